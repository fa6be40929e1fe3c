"""Certificates, CAs and revocation lists are used as soon as they lie in the folder, or not at all.

Real handshakes; a certificate that expired was issued in the past, so nobody waits.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from gateway.delivery.transport import GrpcTransport
from gateway.kernel.errors import FieldInvalid, KeyRevoked, PeerNotAllowed
from gateway.kernel.ids import NodeId
from gateway.kernel.time import SystemClock
from gateway.server.credentials import CredentialHolder
from gateway.telemetry.metrics import Metrics
from gateway.trust.certificates import CertificateAuthority, IssuedCertificate
from gateway.trust.key_files import write_private
from gateway.trust.revocation import RevocationList
from gateway.trust.roster import NodeEntry, NodeRole, Roster

DAY = timedelta(days=1)
TIANJIN = NodeId("tianjin")
# The generated functions of the health service have no types.
add_health: Callable[[object, grpc.aio.Server], None] = health_pb2_grpc.add_HealthServicer_to_server
health_stub: Callable[[grpc.aio.Channel], Any] = health_pb2_grpc.HealthStub


@dataclass
class Folder:
    """A node's `tls/` and `trust/`, and who fills them."""

    path: Path
    root: CertificateAuthority
    ca: CertificateAuthority

    @classmethod
    def of(cls, path: Path) -> Folder:
        now = datetime.now(UTC)
        for name in ("root", "ca", "tls", "trust"):
            (path / name).mkdir()
        root = CertificateAuthority.create(path / "root", "federation", now=now - 30 * DAY)
        ca = CertificateAuthority.create(path / "ca", "120000", now=now - 30 * DAY)
        folder = cls(path, root, ca)
        folder.put(folder.node())
        shutil.copyfile(path / "ca" / "ca.pem", path / "trust" / "120000.pem")
        return folder

    def node(self, *, name: str = "tianjin", age: timedelta = timedelta(0)) -> IssuedCertificate:
        now = datetime.now(UTC) - age
        return self.root.issue_node("120000", name, now=now, validity=DAY)

    def put(self, issued: IssuedCertificate, *, with_key: bool = True) -> None:
        (self.path / "tls" / "cert.pem").write_bytes(issued.certificate_pem)
        (self.path / "tls" / "ca.pem").write_bytes(self.root.certificate.pem)
        if with_key:
            self.put_key(issued)

    def put_key(self, issued: IssuedCertificate) -> None:
        (self.path / "tls" / "key.pem").unlink(missing_ok=True)
        write_private(self.path / "tls" / "key.pem", issued.key_pem)

    def holder(self, metrics: Metrics | None = None) -> CredentialHolder:
        return CredentialHolder(
            tls=self.path / "tls",
            trust=self.path / "trust",
            clock=SystemClock(),
            metrics=metrics,
        )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.of(tmp_path)


@asynccontextmanager
async def serving(holder: CredentialHolder) -> AsyncIterator[int]:
    server = grpc.aio.server()
    add_health(HealthServicer(), server)
    port = server.add_secure_port("127.0.0.1:0", holder.server())
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def answer(port: int, folder: Folder, client: IssuedCertificate) -> str:
    credentials = grpc.ssl_channel_credentials(
        folder.root.certificate.pem, client.key_pem, client.certificate_pem
    )
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        try:
            await health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return "OK"


async def test_an_expired_server_heals_when_its_certificate_is_renewed(folder: Folder) -> None:
    folder.put(folder.node(age=2 * DAY))
    holder = folder.holder()
    client = folder.ca.issue_platform("p1", now=datetime.now(UTC))
    async with serving(holder) as port:
        assert await answer(port, folder, client) == "UNAVAILABLE"
        before = holder.channel()

        folder.put(folder.node())
        assert holder.look()

        assert await answer(port, folder, client) == "OK"
        assert holder.channel() is not before
        assert not holder.look()


async def test_a_node_calls_its_peers_with_the_renewed_certificate(folder: Folder) -> None:
    holder, callers = folder.holder(), list[bytes]()
    first, second = folder.node(), folder.node()

    async def deliver(_request: bytes, context: Any) -> bytes:
        callers.extend(context.auth_context()["x509_pem_cert"])
        return b""

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"DeliverEnvelopes": grpc.unary_unary_rpc_method_handler(deliver)}
    service = "hotline.peer.v1.PeerService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_secure_port("127.0.0.1:0", holder.server())
    await server.start()
    entry = NodeEntry(
        id=TIANJIN, endpoint=f"127.0.0.1:{port}", roles=frozenset({NodeRole.CUSTODIAN})
    )
    roster = Roster.of((), (entry,), version=1, issued=datetime.now(UTC))
    transport = GrpcTransport(roster=lambda: roster, credentials=holder.channel)

    for issued in (first, second):
        folder.put(issued)
        assert holder.look()
        for _ in range(2):
            await transport.deliver(TIANJIN, [])

    await transport.close()
    await server.stop(None)
    assert callers == [first.certificate_pem] * 2 + [second.certificate_pem] * 2


async def test_a_new_ca_and_its_callers_are_trusted_without_a_restart(folder: Folder) -> None:
    (folder.path / "other").mkdir()
    now = datetime.now(UTC)
    other = CertificateAuthority.create(folder.path / "other", "130000", now=now)
    client = other.issue_platform("p2", now=now)
    holder = folder.holder()
    async with serving(holder) as port:
        assert await answer(port, folder, client) == "UNAVAILABLE"
        with pytest.raises(PeerNotAllowed):
            holder.authenticate(client.certificate_pem)

        shutil.copyfile(folder.path / "other" / "ca.pem", folder.path / "trust" / "130000.pem")
        assert holder.look()

        assert await answer(port, folder, client) == "OK"
        assert holder.authenticate(client.certificate_pem).authority == "130000"


def test_a_revoked_caller_is_refused_as_soon_as_the_list_is_there(folder: Folder) -> None:
    holder = folder.holder()
    client = folder.ca.issue_platform("p1", now=datetime.now(UTC))
    assert holder.authenticate(client.certificate_pem).id == "p1"

    revoked = RevocationList("120000", frozenset({client.certificate.serial}))
    revoked.save(folder.path / "trust" / "120000.revoked.json")
    assert holder.look()

    with pytest.raises(KeyRevoked):
        holder.authenticate(client.certificate_pem)


def test_a_half_copied_certificate_changes_nothing_until_it_is_whole(folder: Folder) -> None:
    holder, before = folder.holder(), folder.holder().current.folder.certificate
    renewed = folder.node()

    folder.put(renewed, with_key=False)
    assert not holder.look()
    assert holder.current.folder.certificate == before

    folder.put_key(renewed)
    assert holder.look()
    assert holder.current.folder.certificate == renewed.certificate


def test_the_certificate_of_another_node_is_not_taken(folder: Folder) -> None:
    holder = folder.holder()

    folder.put(folder.node(name="hebei"))

    assert not holder.look()


def test_a_broken_list_does_not_unlock_whom_the_last_one_refused(folder: Folder) -> None:
    client = folder.ca.issue_platform("p1", now=datetime.now(UTC))
    path = folder.path / "trust" / "120000.revoked.json"
    RevocationList("120000", frozenset({client.certificate.serial})).save(path)
    holder = folder.holder()

    path.write_text("{", encoding="utf-8")

    assert not holder.look()
    with pytest.raises(KeyRevoked):
        holder.authenticate(client.certificate_pem)


def test_what_no_reader_expects_changes_nothing(folder: Folder) -> None:
    holder = folder.holder()
    path = folder.path / "trust" / "120000.revoked.json"

    path.write_text("[" * 100_000, encoding="utf-8")

    assert not holder.look()


def test_a_node_does_not_start_with_the_key_of_another_certificate(folder: Folder) -> None:
    folder.put(folder.node(), with_key=False)

    with pytest.raises(FieldInvalid):
        folder.holder()


async def test_what_expires_soon_is_shown_and_said(folder: Folder) -> None:
    metrics = Metrics()
    holder = folder.holder(metrics)

    [line] = [
        line
        for line in metrics.exposition().decode().splitlines()
        if line.startswith('lubiao_certificate_left_seconds{certificate="node"}')
    ]
    assert 0 < float(line.rpartition(" ")[2]) < DAY.total_seconds()
    assert holder.show_validity() == ["node"]
    metrics.close()
