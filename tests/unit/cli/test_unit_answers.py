"""`lubiao ticket answer-return|respond-return|claim|request|answer-request` over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.cli.connection import Target
from gateway.cli.main import main
from hotline.ticket.v1 import codes_pb2, ticket_pb2, ticket_service_pb2_grpc
from hotline.ticket.v1 import ticket_service_pb2 as pb

NUMBER = "12000020260302000010012"
UNIT = "units/120101-SWU-1"
COMMON = ("--node", "node.invalid:7443", "--cert", "certs")


@dataclass
class Wire:
    """A node that answers every call and remembers what was asked."""

    asked: list[Any] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def answer(request: Any, **options: float) -> Any:
            assert options["timeout"] > 0
            self.asked.append(request)
            item = ticket_pb2.UnitRequest(
                number=1, unit=UNIT, asked=UNIT, state=ticket_pb2.UnitRequest.STATE_ASKED
            )
            if name == "AnswerUnitRequest":
                return pb.AnswerUnitRequestResponse(unit_request=item)
            ticket = ticket_pb2.Ticket(name=f"tickets/{NUMBER}", unit_requests=[item])
            return getattr(pb, f"{name}Response")(ticket=ticket)

        return answer


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()

    def ask(_: Target, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return asyncio.run(work(None))  # type: ignore[arg-type] # a coroutine

    monkeypatch.setattr(Target, "ask", ask)
    monkeypatch.setattr(ticket_service_pb2_grpc, "TicketServiceStub", lambda channel: made)
    return made


def run(*words: str) -> int:
    return main(["ticket", *words, *COMMON])


def test_the_desk_answers_in_one_of_three_ways(wire: Wire) -> None:
    common = ("answer-return", NUMBER, "-n", "1", "--basis", "测试")
    assert run(*common, "--stand-by") == 0
    assert run(*common, "--stand-by", "--until", "2026-04-01T17:30") == 0
    assert run(*common, "--propose", "120101-SWU-1") == 0
    assert run(*common, "--ask", "依据（测试）") == 0
    longest, until, other, question = wire.asked
    assert longest.HasField("stand_by")
    assert not longest.stand_by.HasField("until_time")
    assert until.stand_by.until_time.ToJsonString() == "2026-04-01T09:30:00Z"
    assert other.counter_proposal == UNIT
    assert (question.question, question.basis, question.return_number) == (
        "依据（测试）",
        "测试",
        1,
    )
    assert run(*common) == 2
    assert run(*common, "--stand-by", "--ask", "两个") == 2


def test_a_unit_agrees_or_answers(wire: Wire) -> None:
    common = ("respond-return", NUMBER, "-n", "2")
    assert run(*common, "--agree", UNIT) == 0
    assert run(*common, "--text", "见附件（测试）") == 0
    agreed, told = wire.asked
    assert (agreed.agreed_by, agreed.return_number) == (UNIT, 2)
    assert told.information == "见附件（测试）"
    assert run(*common) == 2


def test_a_unit_claims_what_is_its_own(wire: Wire) -> None:
    assert run("claim", NUMBER, "--unit", "120101-SWU-1", "--clause", "清单（测试）") == 0
    [request] = wire.asked
    assert (request.unit, request.clause) == (UNIT, "清单（测试）")


def test_a_body_is_asked_and_answers(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("request", NUMBER, "--unit", UNIT, "--basis", "商请（测试）") == 0
    out = capsys.readouterr().out
    assert "商请 1" in out
    assert "待答复" in out
    words = ("answer-request", NUMBER, "-n", "1", "--clause", "三定（测试）")
    assert run(*words, "accept") == 0
    assert run(*words, "decline", "--reason", "wrong-function", "--json") == 0
    assert '"asked": "units/120101-SWU-1"' in capsys.readouterr().out
    asked, accepted, declined = wire.asked
    assert (asked.unit, asked.basis) == (UNIT, "商请（测试）")
    assert accepted.accepted
    assert not declined.accepted
    assert declined.reason == codes_pb2.RETURN_REASON_WRONG_FUNCTION
