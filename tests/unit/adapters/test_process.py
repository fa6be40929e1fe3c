"""The adapter as a process: its command, its certificates, its exit codes."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from adapters.file_drop.__main__ import main
from adapters.kit.channel import open_channel
from gateway.kernel.errors import FieldInvalid
from gateway.trust.certificates import CertificateAuthority
from hotline.ticket.v1 import ticket_service_pb2, ticket_service_pb2_grpc
from tests.unit.adapters.builders import MAPPING
from tests.unit.adapters.fake_node import FakeNode


def write_settings(folder: Path, **settings: str) -> None:
    folder.chmod(0o700)
    fields = {
        "platform": "131000-p1",
        "authority": '"131000"',
        "endpoint": "127.0.0.1:1",
        "certificates": "certificates",
        "mapping": str(MAPPING.resolve()),
    } | settings
    text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    (folder / "adapter.yaml").write_text(text, encoding="utf-8")


def test_check_prints_the_coverage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_settings(tmp_path)

    assert main(["check", str(tmp_path), "--json"]) == 0

    rows = {row["table"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["state"]["unwritable"] == []
    assert rows["type"]["standard_codes"] == 7


def test_check_of_an_incomplete_mapping_says_no_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("columns: {title: 标题}\n", encoding="utf-8")
    write_settings(tmp_path, mapping="mapping.yaml")

    assert main(["check", str(tmp_path)]) == 1

    assert "columns.region is missing" in capsys.readouterr().err


def test_run_without_certificates_says_no(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_settings(tmp_path)

    assert main(["run", str(tmp_path)]) == 1

    assert "cert.pem" in capsys.readouterr().err


def certificates(folder: Path) -> tuple[Path, Path]:
    """Return a platform's and a node's certificate folder."""
    now = datetime.now(UTC)
    root = CertificateAuthority.create(folder / "root", "federation", now=now)
    own = CertificateAuthority.create(folder / "131000", "131000", now=now)
    platform = own.issue_platform("131000-p1", now=now)
    node = root.issue_node("130000", "hebei", now=now)
    for name, issued in (("platform", platform), ("node", node)):
        (folder / name).mkdir()
        (folder / name / "cert.pem").write_bytes(issued.certificate_pem)
        key = os.open(folder / name / "key.pem", os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(key, "wb") as stream:
            stream.write(issued.key_pem)
    (folder / "platform" / "ca.pem").write_bytes(root.certificate.pem)
    (folder / "node" / "ca.pem").write_bytes(own.certificate.pem)
    return folder / "platform", folder / "node"


async def test_channel_proves_who_both_sides_are(tmp_path: Path) -> None:
    platform, node = certificates(tmp_path)
    server = grpc.aio.server()
    ticket_service_pb2_grpc.add_TicketServiceServicer_to_server(FakeNode(), server)
    credentials = grpc.ssl_server_credentials(
        [((node / "key.pem").read_bytes(), (node / "cert.pem").read_bytes())],
        (node / "ca.pem").read_bytes(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}", platform) as channel:
            stub = ticket_service_pb2_grpc.TicketServiceStub(channel)
            request = ticket_service_pb2.BatchCreateTicketsRequest()
            assert await stub.BatchCreateTickets(request, timeout=5) is not None
    finally:
        await server.stop(None)


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    platform, _ = certificates(tmp_path)
    (platform / "key.pem").chmod(0o644)

    with pytest.raises(FieldInvalid):
        open_channel("127.0.0.1:1", platform)
