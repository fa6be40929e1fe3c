"""The way from the command to a node: address and certificates, from options or variables."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import grpc
import typer

from gateway.kernel.errors import FieldInvalid
from gateway.server.client import CertificateFolder, open_channel, typed_errors

Answer = TypeVar("Answer")

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
            raise FieldInvalid(field="--node", got="nothing", expected="host:port, or LUBIAO_NODE")
        if certificates is None:
            raise FieldInvalid(field="--cert", got="nothing", expected="a folder, or LUBIAO_CERT")
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
                with typed_errors(peer=self.endpoint):
                    return await work(channel)

        return asyncio.run(run())
