"""`lubiao ticket return|review-return|extend|review-extension`: what goes over the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.connection import Target
from gateway.cli.main import main
from hotline.ticket.v1 import codes_pb2, ticket_pb2, ticket_service_pb2_grpc
from hotline.ticket.v1 import ticket_service_pb2 as pb

NUMBER = "12000020260302000010012"
NODE = ("--node", "node.invalid:7443", "--cert", "certs")
REQUEST_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@dataclass
class Wire:
    """A node that answers every call with one ticket and remembers what was asked."""

    asked: list[Any] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def answer(request: Any, **options: float) -> Any:
            assert options["timeout"] > 0
            self.asked.append(request)
            ticket = ticket_pb2.Ticket(
                name=f"tickets/{NUMBER}",
                etag="7",
                platform_state=codes_pb2.PLATFORM_STATE_RETURN_FILED,
            )
            ticket.returns.add(
                number=1,
                unit="units/120101-JT-1",
                proposed_owner="authorities/130000",
                state=ticket_pb2.Return.STATE_FILED,
                reason=codes_pb2.RETURN_REASON_WRONG_REGION,
            )
            ticket.extensions.add(
                number=1, unit="units/120101-JT-1", state=ticket_pb2.Extension.STATE_ASKED
            )
            return getattr(pb, f"{name}Response")(ticket=ticket)

        return answer


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()

    def ask(self: Target, work: Callable[[Any], Awaitable[Any]]) -> Any:
        assert self.certificates == Path("certs")
        return asyncio.run(work(None))  # type: ignore[arg-type] # a coroutine

    monkeypatch.setattr(Target, "ask", ask)
    monkeypatch.setattr(ticket_service_pb2_grpc, "TicketServiceStub", lambda channel: made)
    return made


def test_a_return_says_why_by_name_and_whose_it_is(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        [
            *(
                "ticket",
                "return",
                NUMBER,
                "--reason",
                "wrong-region",
                "--clause",
                "属地管理（测试）",
            ),
            *("--owner", "authorities/130000", "--request-id", REQUEST_ID, *NODE),
        ]
    )
    assert code == 0
    [request] = wire.asked
    assert request == pb.ReturnTicketRequest(
        name=f"tickets/{NUMBER}",
        reason=codes_pb2.RETURN_REASON_WRONG_REGION,
        clause="属地管理（测试）",
        proposed_owner="authorities/130000",
        request_id=REQUEST_ID,
    )
    out = capsys.readouterr().out
    assert "退单申请" in out
    assert "units/120101-JT-1 → authorities/130000 属地不符" in out


@pytest.mark.parametrize(("decision", "granted"), [("grant", True), ("refuse", False)])
def test_a_review_grants_or_refuses(
    wire: Wire, capsys: pytest.CaptureFixture[str], decision: str, granted: bool
) -> None:
    common = [NUMBER, decision, "-n", "1", "--basis", "测试", "--etag", "7", "--json", *NODE]
    assert main(["ticket", "review-return", *common]) == 0
    assert main(["ticket", "review-extension", *common, "--citizen-told"]) == 0
    of_return, of_extension = wire.asked
    assert (of_return.return_number, of_return.granted, of_return.etag) == (1, granted, "7")
    assert (of_extension.extension_number, of_extension.granted) == (1, granted)
    assert of_extension.citizen_told
    assert of_return.request_id != of_extension.request_id
    assert '"etag": "7"' in capsys.readouterr().out


def test_a_time_without_an_offset_is_beijing_time(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--reason", "COMPLEX", "--basis", "测试", "--json", *NODE]
    assert main(["ticket", "extend", NUMBER, "--until", "2026-04-01T17:30", *words]) == 0
    [request] = wire.asked
    assert request.new_due_time.ToJsonString() == "2026-04-01T09:30:00Z"
    assert json.loads(capsys.readouterr().out)["name"] == f"tickets/{NUMBER}"


@pytest.mark.parametrize(
    ("option", "value"), [("--reason", "UNSPECIFIED"), ("--reason", "x"), ("--until", "soon")]
)
def test_what_is_no_reason_or_no_time_is_wrong_usage(wire: Wire, option: str, value: str) -> None:
    values = {"--reason": "COMPLEX", "--until": "2026-04-01", "--basis": "测试"} | {option: value}
    words = [word for pair in values.items() for word in pair]
    assert main(["ticket", "extend", NUMBER, *words, *NODE]) == 2
    assert wire.asked == []
