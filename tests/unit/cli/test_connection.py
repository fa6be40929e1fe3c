"""A certificate without trust is told apart from a node that does not run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from gateway.cli.main import main
from gateway.server.client import CertificateFolder

NUMBER = "12000020260302000000017"
CLOSED = "failed to connect to all addresses; last error: UNAVAILABLE: Socket closed"
REFUSED = "failed to connect to all addresses; last error: UNKNOWN: Connection refused"
HANDSHAKE = "failed to connect to all addresses; last error: UNKNOWN: Tls handshake failed"


def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], details: str, language: str
) -> str:
    """Return what a person is told when a connection ends with `details`."""

    def stub(_channel: object) -> Any:
        async def fail(_request: object, **_options: float) -> None:
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details
            )

        return SimpleNamespace(GetTicket=fail)

    folder = SimpleNamespace(channel_credentials=grpc.ssl_channel_credentials)
    monkeypatch.setattr(CertificateFolder, "load", lambda _: folder)
    monkeypatch.setattr("gateway.cli.ticket.ticket_grpc.TicketServiceStub", stub)
    node = ("--node", "127.0.0.1:1", "--cert", "certs")
    assert main(["--lang", language, "ticket", "show", NUMBER, *node]) == 3
    return capsys.readouterr().err


@pytest.mark.parametrize("details", [CLOSED, HANDSHAKE])
def test_a_connection_that_ends_without_trust_names_the_certificates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], details: str
) -> None:
    assert "节点不信任签发本证书的机构" in told(monkeypatch, capsys, details, "zh")
    english = told(monkeypatch, capsys, details, "en")
    assert "may not trust the authority that issued this certificate" in english


def test_a_node_that_does_not_run_is_no_matter_of_trust(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    err = told(monkeypatch, capsys, REFUSED, "zh")
    assert "暂时无法连通" in err
    assert "不信任" not in err
