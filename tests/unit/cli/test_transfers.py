"""`lubiao custody offer|waiting|accept|decline|recall`, `lubiao ticket assign`: over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.cli.connection import Target
from gateway.cli.main import main
from hotline.custody.v1 import custody_pb2, custody_service_pb2_grpc
from hotline.custody.v1 import custody_service_pb2 as pb
from hotline.ticket.v1 import codes_pb2, ticket_service_pb2, ticket_service_pb2_grpc

NUMBER = "12000020260302000010012"
TRANSFER = f"tickets/{NUMBER}/transfers/100000-1-0.1"
CASE = f"cases/{NUMBER}-100000-1-0"
NODE = ("--node", "node.invalid:7443", "--cert", "certs")
REQUEST_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@dataclass
class Wire:
    """A node that knows one transfer and remembers what was asked."""

    case: str = ""
    decider: str = ""
    inquiries: int = 0
    asked: list[Any] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def answer(request: Any, **options: float) -> Any:
            assert options["timeout"] > 0
            self.asked.append(request)
            transfer = pb.Transfer(
                name=TRANSFER, source="120000", target="130000", state=pb.Transfer.STATE_OFFERED
            )
            transfer.window_end.FromJsonString("2026-03-02T09:30:00Z")
            if self.inquiries:
                transfer.inquiries = self.inquiries
                transfer.inquiry_time.FromJsonString("2026-03-02T08:00:00Z")
            if self.decider:
                transfer.decider = self.decider
                transfer.stand_by_until_time.FromJsonString("2026-03-02T09:00:00Z")
            match name:
                case "CreateTransfer" if self.case:
                    return pb.CreateTransferResponse(case=self.case)
                case "ListTransfers":
                    return pb.ListTransfersResponse(transfers=[transfer])
                case "GetInquiry":
                    return pb.GetInquiryResponse(question="合成内容？")
                case "AssumeTicket":
                    asked = pb.AssumeTicketResponse(custodian="130000", case=self.case)
                    asked.expire_time.FromJsonString("2026-03-05T09:30:00Z")
                    return asked
                case "AssignTicket":
                    return ticket_service_pb2.AssignTicketResponse()
                case _:
                    return getattr(pb, f"{name}Response")(transfer=transfer)

        return answer


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()

    def ask(self: Target, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return asyncio.run(work(None))  # type: ignore[arg-type] # a coroutine

    monkeypatch.setattr(Target, "ask", ask)
    monkeypatch.setattr(custody_service_pb2_grpc, "CustodyServiceStub", lambda channel: made)
    monkeypatch.setattr(ticket_service_pb2_grpc, "TicketServiceStub", lambda channel: made)
    return made


def test_an_offer_of_a_person_is_shown_with_its_time_in_beijing(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["custody", "offer", NUMBER, "--to", "130000", "--request-id", REQUEST_ID, *NODE])
    assert code == 0
    assert wire.asked == [
        pb.CreateTransferRequest(
            parent=f"tickets/{NUMBER}",
            target="130000",
            reason=custody_pb2.OFFER_REASON_MANUAL,
            request_id=REQUEST_ID,
        )
    ]
    out = capsys.readouterr().out
    assert TRANSFER in out
    assert "2026-03-02 17:30:00" in out


def test_a_move_that_becomes_a_case_names_the_case(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    wire.case = CASE
    assert main(["custody", "offer", NUMBER, "--to", "130000", *NODE]) == 0
    captured = capsys.readouterr()
    assert CASE.removeprefix("cases/") in captured.out
    assert "lubiao case show" in captured.err


def test_offers_that_wait_for_a_person_are_listed(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["custody", "waiting", *NODE]) == 0
    assert wire.asked[0].parent == "tickets/-"
    assert "130000" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["accept", "recall"])
def test_an_offer_is_accepted_or_taken_back_by_its_name(wire: Wire, verb: str) -> None:
    assert main(["custody", verb, TRANSFER, "--json", *NODE]) == 0
    assert wire.asked[0].name == TRANSFER


def test_who_decides_later_says_so_and_is_told_until_when_an_answer_is_due(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    wire.decider = "supervisor"
    words = ("--until", "2026-03-02T17:00", "--request-id", REQUEST_ID)
    assert main(["custody", "stand-by", TRANSFER, *words, *NODE]) == 0
    [request] = wire.asked
    assert (request.name, request.request_id) == (TRANSFER, REQUEST_ID)
    assert request.until_time.ToJsonString() == "2026-03-02T09:00:00Z"
    told = capsys.readouterr()
    assert "supervisor 正在研判，至 2026-03-02 17:00:00" in told.out
    assert "请于 2026-03-02 17:30:00 前接收或拒收" in told.err


def test_without_a_time_the_node_sets_it_and_the_list_marks_what_stands_by(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    wire.decider = "dispatcher"
    assert main(["custody", "stand-by", TRANSFER, "--json", *NODE]) == 0
    assert not wire.asked[0].HasField("until_time")
    capsys.readouterr()
    assert main(["custody", "waiting", *NODE]) == 0
    assert "待定" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["ask", "inform"])
def test_a_question_about_an_offer_and_its_answer_are_sent_as_they_were_said(
    wire: Wire, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    wire.inquiries = 1
    which = ["-n", "1"] if verb == "inform" else []
    assert main(["custody", verb, TRANSFER, *which, "--text", "合成内容？", *NODE]) == 0
    [request] = wire.asked
    said = request.question if verb == "ask" else request.answer
    assert (request.name, said) == (TRANSFER, "合成内容？")
    assert "2026-03-02 16:00:00 询问，待答复" in capsys.readouterr().out


def test_a_question_is_read_for_a_purpose(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["custody", "question", TRANSFER, "--purpose", "dispute", *NODE]) == 0
    assert wire.asked == [pb.GetInquiryRequest(name=TRANSFER, purpose="dispute")]
    assert "合成内容？" in capsys.readouterr().out


def test_who_asks_for_a_ticket_is_told_whom_and_until_when(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["custody", "assume", NUMBER, "--request-id", REQUEST_ID, *NODE]) == 0
    assert wire.asked == [pb.AssumeTicketRequest(name=f"tickets/{NUMBER}", request_id=REQUEST_ID)]
    told = "".join(capsys.readouterr())
    assert "130000" in told
    assert "2026-03-05 17:30:00" in told


def test_a_refusal_says_why_and_whose_it_is(wire: Wire) -> None:
    words = ("--reason", "wrong-region", "--clause", "属地管理（测试）", "--owner", "130000")
    assert main(["custody", "decline", TRANSFER, *words, *NODE]) == 0
    [request] = wire.asked
    assert request.reason == codes_pb2.RETURN_REASON_WRONG_REGION
    assert (request.clause, request.proposed_owner) == ("属地管理（测试）", "130000")


@pytest.mark.parametrize("unit", ["120101-CG-1", "units/120101-CG-1"])
def test_a_unit_is_named_with_or_without_its_prefix(wire: Wire, unit: str) -> None:
    words = ("--unit", unit, "--basis", "测试", *NODE)
    assert main(["ticket", "assign", NUMBER, *words]) == 0
    [request] = wire.asked
    assert (request.unit, request.basis) == ("units/120101-CG-1", "测试")
