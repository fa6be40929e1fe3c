"""The text form of `lubiao ticket show`, and of `lubiao case show`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.cli.connection import Target
from gateway.cli.main import main
from hotline.arbitration.v1 import arbitration_service_pb2, arbitration_service_pb2_grpc, case_pb2
from hotline.ticket.v1 import codes_pb2, ticket_pb2, ticket_service_pb2_grpc
from hotline.ticket.v1 import ticket_service_pb2 as pb

NUMBER = "12000020260302000000017"
OTHER = "12000020260302000000025"
NODE = ("--node", "node.invalid:1", "--cert", "certs")
DIGEST = bytes(range(32))
TEXTS = (
    "[/b]何时漏水（测试）",
    "周一（测试）",
    "很急（测试）",
    "测试转办单",
    "测试复函",
    "测试.jpg",
)


def a_full_ticket() -> ticket_pb2.Ticket:
    ticket = ticket_pb2.Ticket(
        name=f"tickets/{NUMBER}",
        parent=f"tickets/{OTHER}",
        purpose=codes_pb2.TICKET_PURPOSE_ASSIST,
    )
    question, answer, act, sheet, reply, file_name = TEXTS
    ticket.custody.case = "cases/130000-2026-7"
    ticket.children.add(name=f"tickets/{OTHER}", custodian="310000")
    ticket.returns.add(number=1, unit="units/120101-JT-1", reason=1, state=1)
    ticket.extensions.add(number=1, unit="units/120101-CG-1", state=1)
    ticket.information_requests.add(number=1, asker="130000", question=question, answer=answer)
    ticket.citizen_acts.add(
        number=1, kind=codes_pb2.CITIZEN_ACT_KIND_URGE, text=act, refusal="TRANSITION_NOT_ALLOWED"
    )
    attachment = ticket.content.attachments.add(
        size=9, media_type="image/jpeg", file_name=file_name, available=True
    )
    attachment.digest.value = DIGEST
    referral = ticket.external_referral
    referral.region, referral.region_name = "140000", "山西省"
    referral.sheet, referral.answer = f"{sheet}\x1b]0;x\x07", reply
    referral.refer_time.FromDatetime(datetime(2026, 3, 2, 1, 0, tzinfo=UTC))
    return ticket


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Answer `GetTicket` and `GetCase`, and keep what was asked."""
    requests: list[Any] = []

    class Node:
        async def GetTicket(
            self, request: Any, **_options: float
        ) -> pb.GetTicketResponse:  # an RPC
            requests.append(request)
            return pb.GetTicketResponse(ticket=a_full_ticket())

        async def GetCase(self, request: Any, **_options: float) -> Any:  # an RPC
            requests.append(request)
            case = case_pb2.Case(name="cases/130000-2026-7")
            return arbitration_service_pb2.GetCaseResponse(case=case)

    def ask(self: Target, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return asyncio.run(work(None))  # type: ignore[arg-type] # a coroutine

    monkeypatch.setattr(Target, "ask", ask)
    monkeypatch.setattr(ticket_service_pb2_grpc, "TicketServiceStub", lambda _: Node())
    monkeypatch.setattr(arbitration_service_pb2_grpc, "ArbitrationServiceStub", lambda _: Node())
    return requests


@pytest.mark.usefixtures("asked")
def test_show_tells_what_happened_to_a_ticket(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ticket", "show", NUMBER, *NODE]) == 0
    out = capsys.readouterr().out
    for said in (
        *("争议: 130000-2026-7", f"父单: {OTHER} 协办", "310000", "units/120101-JT-1", "属地不符"),
        *("units/120101-CG-1", "130000", "催办", "状态不允许 [TRANSITION_NOT_ALLOWED]"),
        *(f"附件 1: {DIGEST.hex()} image/jpeg 9 字节 已到", "转往: 140000 山西省"),
        "2026-03-02 09:00:00",
    ):
        assert said in out


@pytest.mark.usefixtures("asked")
def test_texts_are_printed_for_a_purpose_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ticket", "show", NUMBER, *NODE]) == 0
    without = capsys.readouterr().out
    assert [text for text in TEXTS if text in without] == []
    assert main(["ticket", "show", NUMBER, "--purpose", "测试", *NODE]) == 0
    with_purpose = capsys.readouterr().out
    assert [text for text in TEXTS if text not in with_purpose] == []


@pytest.mark.usefixtures("asked")
def test_a_strangers_text_does_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ticket", "show", NUMBER, "--purpose", "测试", *NODE]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("given", ["130000-2026-7", "cases/130000-2026-7"])
def test_a_case_is_shown_by_its_number_or_its_name(asked: list[Any], given: str) -> None:
    assert main(["case", "show", given, *NODE]) == 0
    [request] = asked
    assert request.name == "cases/130000-2026-7"
