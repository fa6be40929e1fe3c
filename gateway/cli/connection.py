"""The way from the command to a node: address and certificates, from options or variables."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import grpc
import typer

from gateway.cli.output import pick
from gateway.kernel.errors import FieldInvalid, PeerUnreachable
from gateway.server.client import CertificateFolder, open_channel, typed_errors

Answer = TypeVar("Answer")
# How gRPC tells that the two sides do not trust each other's certificates. A node that refuses
# ours says no more than that it hangs up.
_DISTRUST = ("socket closed", "connection reset", "handshake", "certificate")

Endpoint = Annotated[
    str,
    typer.Option("--node", envvar="LUBIAO_NODE", help="节点地址 / node, host:port"),
]
Certificates = Annotated[
    Path | None,
    typer.Option(
        "--cert",
        envvar="LUBIAO_CERT",
        help="证书目录 / folder with cert.pem, key.pem, ca.pem",
    ),
]
ServerName = Annotated[
    str,
    typer.Option(
        "--host",
        envvar="LUBIAO_HOST",
        help="证书中的节点名 / name in the node's certificate, if not that of --node",
    ),
]


@dataclass(frozen=True, slots=True)
class Target:
    """Which node to ask, and as whom."""

    endpoint: str
    certificates: Path
    host: str

    @classmethod
    def of(cls, endpoint: str, certificates: Path | None, host: str) -> Target:
        """Return the target of a command's options.

        Raises:
            FieldInvalid: an option is missing.
        """
        if not endpoint:
            raise FieldInvalid(
                field="--node",
                got=pick("未给出", "nothing"),
                expected=pick("host:port，或 LUBIAO_NODE", "host:port, or LUBIAO_NODE"),
            )
        if certificates is None:
            raise FieldInvalid(
                field="--cert",
                got=pick("未给出", "nothing"),
                expected=pick("证书目录，或 LUBIAO_CERT", "a folder, or LUBIAO_CERT"),
            )
        return cls(endpoint, certificates, host)

    def ask(self, work: Callable[[grpc.aio.Channel], Awaitable[Answer]]) -> Answer:
        """Run `work` with a channel to the node, and raise typed errors only.

        Raises:
            LubiaoError: the node refused, or cannot be reached.
        """
        folder = CertificateFolder.load(self.certificates)

        async def run() -> Answer:
            credentials = folder.channel_credentials()
            async with open_channel(self.endpoint, credentials, host=self.host) as channel:
                try:
                    with typed_errors(peer=self.endpoint):
                        return await work(channel)
                except PeerUnreachable as error:
                    error.hint = error.hint or _trust_hint(error.__cause__)
                    raise

        return asyncio.run(run())


def _trust_hint(cause: BaseException | None) -> str:
    """Return what to examine when a connection ended as one without trust does, or nothing."""
    if not isinstance(cause, grpc.aio.AioRpcError):
        return ""
    details = (cause.details() or "").lower()
    if not any(sign in details for sign in _DISTRUST):
        return ""
    return pick(
        "若节点在运行：可能是节点不信任签发本证书的机构，或本机 ca.pem 不是签发节点证书的根；"
        "请核对 --cert、--host 与节点的信任目录",
        "If the node runs: it may not trust the authority that issued this certificate, or the"
        " ca.pem here is not the root of the node's; check --cert, --host and the node's trust.",
    )
