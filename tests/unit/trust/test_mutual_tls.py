"""Real mutual TLS: what a gRPC server sees of a client is enough to know the principal.

These tests use the machine's clock because the TLS library does.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from gateway.kernel.errors import LubiaoError
from gateway.kernel.time import SystemClock
from gateway.trust.authentication import Authenticator
from gateway.trust.certificates import CertificateAuthority, IssuedCertificate, node_host
from gateway.trust.principal import Role
from gateway.trust.revocation import Revocations
from tests.unit.trust.builders import a_federation_root, an_authority_ca

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

METHOD = "/test.Echo/WhoAmI"
CLOCK = SystemClock()


@dataclass
class Federation:
    """A root, two authorities' CAs and a running server that answers with the caller's name."""

    root: CertificateAuthority
    tianjin: CertificateAuthority
    hebei: CertificateAuthority
    port: int

    async def who_am_i(self, client: IssuedCertificate | None, host: str = "hebei") -> str:
        """Return the name under which the server knows `client`."""
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self.root.certificate.pem,
            private_key=client.key_pem if client else None,
            certificate_chain=client.certificate_pem if client else None,
        )
        options = [("grpc.ssl_target_name_override", node_host(host))]
        target = f"127.0.0.1:{self.port}"
        async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
            call: Any = channel.unary_unary(METHOD)
            answer: bytes = await call(b"", timeout=5)
            return answer.decode()


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[bytes, bytes]:
        return grpc.unary_unary_rpc_method_handler(self._who_am_i)

    async def _who_am_i(self, request: bytes, context: Any) -> bytes:
        (leaf,) = context.auth_context()["x509_pem_cert"]
        try:
            principal = self._authenticator.authenticate(leaf, now=CLOCK.now())
        except LubiaoError as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        roles = sorted(role.value for role in principal.roles)
        return " ".join([principal.name, *roles]).encode()


@asynccontextmanager
async def _a_federation(directory: Path) -> AsyncIterator[Federation]:
    now = CLOCK.now()
    root = a_federation_root(directory, now)
    tianjin = an_authority_ca(directory, "120000", now)
    hebei = an_authority_ca(directory, "130000", now)
    cas = {"120000": tianjin.certificate, "130000": hebei.certificate}
    authenticator = Authenticator(root.certificate, cas, Revocations.none())
    own = root.issue_node("130000", "hebei", now=now)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Handler(authenticator),))
    credentials = grpc.ssl_server_credentials(
        [(own.key_pem, own.certificate_pem)],
        root_certificates=authenticator.trust_bundle(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield Federation(root, tianjin, hebei, port)
    finally:
        await server.stop(None)


async def test_node_is_known_over_mutual_tls(tmp_path: Path) -> None:
    async with _a_federation(tmp_path) as federation:
        client = federation.root.issue_node("120000", "tianjin", now=CLOCK.now())
        assert await federation.who_am_i(client) == "lubiao://120000/node/tianjin"


async def test_platform_and_staff_are_known_over_mutual_tls(tmp_path: Path) -> None:
    async with _a_federation(tmp_path) as federation:
        now = CLOCK.now()
        platform = federation.hebei.issue_platform("langfang-12345", now=now)
        roles = frozenset({Role.DISPATCHER, Role.CLERK})
        staff = federation.hebei.issue_staff("li", roles, now=now, is_outsourced=True)
        assert await federation.who_am_i(platform) == "lubiao://130000/platform/langfang-12345"
        assert await federation.who_am_i(staff) == "lubiao://130000/staff/li clerk dispatcher"


async def test_platform_claiming_another_authority_is_refused(tmp_path: Path) -> None:
    async with _a_federation(tmp_path) as federation:
        tianjin = federation.tianjin
        forger = CertificateAuthority(tianjin.directory, "130000", tianjin.certificate, tianjin.key)
        forged = forger.issue_platform("langfang-12345", now=CLOCK.now())
        with pytest.raises(grpc.aio.AioRpcError, match="CA of 130000") as refused:
            await federation.who_am_i(forged)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_certificate_of_an_unknown_ca_gets_no_connection(tmp_path: Path) -> None:
    async with _a_federation(tmp_path) as federation:
        stranger = an_authority_ca(tmp_path / "stranger", "130000", CLOCK.now())
        client = stranger.issue_platform("langfang-12345", now=CLOCK.now())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await federation.who_am_i(client)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_client_without_a_certificate_gets_no_connection(tmp_path: Path) -> None:
    async with _a_federation(tmp_path) as federation:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await federation.who_am_i(None)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_server_under_the_name_of_another_node_is_refused(tmp_path: Path) -> None:
    async with _a_federation(tmp_path) as federation:
        client = federation.root.issue_node("120000", "tianjin", now=CLOCK.now())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await federation.who_am_i(client, host="shanghai")
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
