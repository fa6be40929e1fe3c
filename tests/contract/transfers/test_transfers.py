"""People decide on transfers through CustodyService, and tickets follow (docs/custody.md)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.audit.service import AuditLog
from gateway.audit.store import ENTRIES
from gateway.custody.transfers import Transfers
from gateway.database.once import Once
from gateway.evidence.servicer import EvidenceServicer
from gateway.kernel.errors import (
    CasePending,
    DestinationNotJoined,
    FieldInvalid,
    NotCustodian,
    PageTokenInvalid,
    RequestIdReused,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.tickets.store import EVENTS
from gateway.tickets.tokens import Tokens
from hotline.custody.v1 import custody_pb2, custody_service_pb2
from hotline.ticket.v1 import codes_pb2
from tests.fixtures.exporting import an_exporter
from tests.fixtures.nodes import IDS, NOW, Federation, a_federation, a_message, a_person, a_platform

pb = custody_service_pb2
MANUAL = custody_pb2.OFFER_REASON_MANUAL
CONTEXT: Any = None


def a_desk(federation: Federation, authority: str) -> EvidenceServicer:
    node = federation.node_of(authority)
    transfers = Transfers(
        database=node.database,
        custody=node.custody,
        audit=AuditLog(),
        clock=federation.clock,
        react=node.dispatch.reactions.react,
        window=node.dispatch.acting.answer_window,
    )
    return EvidenceServicer(
        transfers=transfers,
        once=Once(database=node.database, clock=federation.clock, key=node.room.token_key),
        tokens=Tokens(node.room.token_key),
        principal_of=lambda _context: a_person(authority),
        exporter=an_exporter(node),
    )


def an_id() -> str:
    return IDS.uuid7(NOW)


async def a_ticket_at_the_desk(federation: Federation) -> str:
    """Return the name of a ticket that 天津 holds and whose place nobody can tell."""
    message = a_message(region="330104")  # 江干区 was divided: two districts may be meant
    message.content.place.as_of_year = 2020
    ticket = await federation.create(a_platform("120000"), message)
    return ticket.name


async def an_offer(federation: Federation, name: str, *, target: str = "130000") -> str:
    """Offer a ticket of 天津 by a person and return the transfer's name."""
    response = await a_desk(federation, "120000").CreateTransfer(
        pb.CreateTransferRequest(parent=name, target=target, reason=MANUAL, request_id=an_id()),
        CONTEXT,
    )
    await federation.settle()
    return response.transfer.name


async def state_of(federation: Federation, authority: str, transfer: str) -> str:
    response = await a_desk(federation, authority).GetTransfer(
        pb.GetTransferRequest(name=transfer), CONTEXT
    )
    return pb.Transfer.State.Name(response.transfer.state)


async def test_an_offer_by_a_person_waits_for_a_person_at_the_other_side() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)

    transfer = await an_offer(federation, name)

    assert await state_of(federation, "120000", transfer) == "STATE_OFFERED"
    waiting = await a_desk(federation, "130000").ListTransfers(
        pb.ListTransfersRequest(parent="tickets/-"), CONTEXT
    )
    assert [item.name for item in waiting.transfers] == [transfer]


async def test_an_accepted_transfer_moves_the_ticket_and_the_sender_follows_it() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    transfer = await an_offer(federation, name)

    await a_desk(federation, "130000").AcceptTransfer(
        pb.AcceptTransferRequest(name=transfer, request_id=an_id()), CONTEXT
    )
    await federation.settle()

    assert await state_of(federation, "120000", transfer) == "STATE_ACCEPTED"
    assert await state_of(federation, "130000", transfer) == "STATE_ACCEPTED"
    with pytest.raises(NotCustodian):
        await an_offer(federation, name)


async def test_a_declined_transfer_comes_back_with_reason_clause_and_owner() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    transfer = await an_offer(federation, name)

    await a_desk(federation, "130000").DeclineTransfer(
        pb.DeclineTransferRequest(
            name=transfer,
            reason=codes_pb2.RETURN_REASON_WRONG_REGION,
            clause="测试条款",
            proposed_owner="120000",
            request_id=an_id(),
        ),
        CONTEXT,
    )
    await federation.settle()

    [shown] = (
        await a_desk(federation, "120000").ListTransfers(
            pb.ListTransfersRequest(parent=name), CONTEXT
        )
    ).transfers
    assert pb.Transfer.State.Name(shown.state) == "STATE_DECLINED"
    assert (shown.clause, shown.proposed_owner) == ("测试条款", "120000")


async def test_who_declines_keeps_nothing_of_the_content_and_never_saw_who_calls() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    transfer = await an_offer(federation, name)
    tables = federation.node_of("130000").database.tables  # type: ignore[attr-defined] # memory
    assert [bool(row.case_block) for row in tables["invitations"].values()] == [True]
    kinds = {row.kind for row in tables["statements"].values()}

    await a_desk(federation, "130000").DeclineTransfer(
        pb.DeclineTransferRequest(
            name=transfer,
            reason=codes_pb2.RETURN_REASON_WRONG_REGION,
            clause="测试条款",
            proposed_owner="120000",
            request_id=an_id(),
        ),
        CONTEXT,
    )
    await federation.settle()

    assert "Offer" in kinds
    assert "Release" not in kinds  # the statement that who calls travels beside
    assert not tables["invitations"]
    assert not tables.get("ticket_contents")


async def test_a_second_refusal_files_a_case_and_the_ticket_stays() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    for _ in range(2):
        transfer = await an_offer(federation, name)
        await a_desk(federation, "130000").DeclineTransfer(
            pb.DeclineTransferRequest(
                name=transfer,
                reason=codes_pb2.RETURN_REASON_WRONG_FUNCTION,
                clause="测试条款",
                proposed_owner="120000",
                request_id=an_id(),
            ),
            CONTEXT,
        )
        await federation.settle()

    node = federation.node_of("120000")
    async with node.database.unit() as uow:
        number = name.removeprefix("tickets/")
        view = await node.custody.view(uow, a_person("120000").authority, number)  # type: ignore[arg-type] # text of a number
    assert view is not None
    assert view.case
    assert view.custodian == "120000"


async def test_during_a_case_who_asks_for_the_ticket_gets_it_without_another_question() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    for _ in range(2):
        transfer = await an_offer(federation, name)
        await a_desk(federation, "130000").DeclineTransfer(
            pb.DeclineTransferRequest(
                name=transfer,
                reason=codes_pb2.RETURN_REASON_WRONG_FUNCTION,
                clause="测试条款",
                proposed_owner="120000",
                request_id=an_id(),
            ),
            CONTEXT,
        )
        await federation.settle()
    desk = a_desk(federation, "130000")
    request = pb.AssumeTicketRequest(name=name, request_id=an_id())

    asked = await desk.AssumeTicket(request, CONTEXT)
    assert asked.custodian == "120000"
    assert asked == await desk.AssumeTicket(request, CONTEXT)
    await federation.settle()
    transfer = await an_offer(federation, name)

    assert await state_of(federation, "120000", transfer) == "STATE_ACCEPTED"
    with pytest.raises(TransitionNotAllowed):
        await desk.AssumeTicket(pb.AssumeTicketRequest(name=name, request_id=an_id()), CONTEXT)


async def test_a_person_who_decides_later_says_so_once_and_both_sides_show_it() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    transfer = await an_offer(federation, name)
    desk, offerer = a_desk(federation, "130000"), a_desk(federation, "120000")
    before = (await offerer.GetTransfer(pb.GetTransferRequest(name=transfer), CONTEXT)).transfer
    request = pb.StandByRequest(name=transfer, request_id=an_id())

    told = (await desk.StandBy(request, CONTEXT)).transfer
    assert told == (await desk.StandBy(request, CONTEXT)).transfer
    await federation.settle()

    seen = (await offerer.GetTransfer(pb.GetTransferRequest(name=transfer), CONTEXT)).transfer
    assert (seen.state, seen.decider) == (pb.Transfer.STATE_OFFERED, "dispatcher")
    assert seen.window_end == told.window_end == told.stand_by_until_time
    assert seen.window_end.ToDatetime() > before.window_end.ToDatetime()
    told_here = federation.node_of("120000").database.rows(EVENTS)  # type: ignore[attr-defined] # in memory
    assert "transfer.stood_by" in [row.kind for row in told_here]
    audited = federation.node_of("130000").database.rows(ENTRIES)  # type: ignore[attr-defined] # in memory
    assert [row.subject for row in audited if row.act == "transfer.stand-by"] == [transfer]
    with pytest.raises(TransitionNotAllowed):
        await desk.StandBy(pb.StandByRequest(name=transfer, request_id=an_id()), CONTEXT)


async def test_who_is_offered_a_ticket_asks_and_is_answered_and_each_reading_is_audited() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    transfer = await an_offer(federation, name)
    desk, offerer = a_desk(federation, "130000"), a_desk(federation, "120000")
    words = {"question": "合成问题：哪一条街？", "answer": "合成答复：河边那条。"}
    read = pb.GetInquiryRequest(name=transfer, purpose="dispute")

    ask = pb.AskAboutTransferRequest(name=transfer, question=words["question"], request_id=an_id())
    asked = (await desk.AskAboutTransfer(ask, CONTEXT)).transfer
    assert asked == (await desk.AskAboutTransfer(ask, CONTEXT)).transfer
    assert (asked.inquiries, asked.HasField("inquiry_answer_time")) == (1, False)
    with pytest.raises(ResourceNotFound):
        await desk.GetInquiry(read, CONTEXT)
    await federation.settle()
    assert (await offerer.GetInquiry(read, CONTEXT)).question == words["question"]
    tell = pb.AnswerInquiryRequest(
        name=transfer, number=1, answer=words["answer"], request_id=an_id()
    )
    told = (await offerer.AnswerInquiry(tell, CONTEXT)).transfer
    await federation.settle()

    assert told.state == pb.Transfer.STATE_OFFERED
    assert await desk.GetInquiry(read, CONTEXT) == pb.GetInquiryResponse(**words)
    here = federation.node_of("120000").database
    assert "transfer.asked" in [row.kind for row in here.rows(EVENTS)]  # type: ignore[attr-defined] # in memory
    audited = [row for row in here.rows(ENTRIES) if row.subject == transfer]  # type: ignore[attr-defined] # in memory
    assert [(row.act, row.purpose) for row in audited] == [
        ("transfer.read_inquiry", "dispute"),
        ("transfer.inform", None),
    ]
    again = pb.AnswerInquiryRequest(name=transfer, number=1, answer="-", request_id=an_id())
    with pytest.raises(TransitionNotAllowed):
        await offerer.AnswerInquiry(again, CONTEXT)


async def test_a_person_asks_the_arbiter_to_rule_and_the_ticket_stays() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    desk, number = a_desk(federation, "120000"), name.removeprefix("tickets/")

    async def filed(owner: str, request_id: str) -> str:
        wish = pb.FileCaseRequest(name=name, proposed_owner=owner, request_id=request_id)
        return (await desk.FileCase(wish, CONTEXT)).case

    with pytest.raises(FieldInvalid, match="scope 120000"):
        await filed("130000", an_id())  # it never left: no arbiter above knows of it
    transfer = await an_offer(federation, name)
    await a_desk(federation, "120000").RevokeTransfer(
        pb.RevokeTransferRequest(name=transfer, request_id=an_id()), CONTEXT
    )
    await federation.settle()
    again = an_id()
    case = await filed("130000", again)

    assert case.startswith(f"{number}-100000-")
    assert case == await filed("130000", again)
    room = federation.node_of("120000").room
    async with federation.node_of("120000").database.unit() as uow:
        copy = await room.tickets.get(uow, AuthorityCode("120000"), TicketNumber(number))
    assert (copy.case, copy.followed) == (case, False)
    with pytest.raises(CasePending):
        await filed("130000", an_id())
    with pytest.raises(FieldInvalid):
        await filed("120000", an_id())


async def test_a_revoked_transfer_ends_at_both_sides() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    transfer = await an_offer(federation, name)

    await a_desk(federation, "120000").RevokeTransfer(
        pb.RevokeTransferRequest(name=transfer, request_id=an_id()), CONTEXT
    )
    assert await state_of(federation, "120000", transfer) == "STATE_REVOKING"
    await federation.settle()

    assert await state_of(federation, "120000", transfer) == "STATE_REVOKED"
    with pytest.raises(ResourceNotFound):
        await a_desk(federation, "130000").AcceptTransfer(
            pb.AcceptTransferRequest(name=transfer, request_id=an_id()), CONTEXT
        )


async def test_a_repeated_request_gets_the_first_answer_and_another_body_is_refused() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    desk = a_desk(federation, "120000")
    request = pb.CreateTransferRequest(
        parent=name, target="130000", reason=MANUAL, request_id=an_id()
    )

    first = await desk.CreateTransfer(request, CONTEXT)
    again = await desk.CreateTransfer(request, CONTEXT)

    assert first == again
    request.reason = custody_pb2.OFFER_REASON_RULE
    with pytest.raises(RequestIdReused):
        await desk.CreateTransfer(request, CONTEXT)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("330000", DestinationNotJoined),
        ("120000", FieldInvalid),
        ("100000", FieldInvalid),
        ("131000", FieldInvalid),
    ],
)
async def test_an_offer_to_nobody_or_past_a_province_is_refused(
    target: str, error: type[Exception]
) -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)

    with pytest.raises(error):
        await an_offer(federation, name, target=target)


async def test_records_page_through_the_whole_ledger_and_end_in_its_head() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    await an_offer(federation, name)
    desk = a_desk(federation, "120000")

    whole = await desk.ListCustodyRecords(pb.ListCustodyRecordsRequest(parent=name), CONTEXT)
    paged: list[pb.CustodyRecord] = []
    token = ""
    while True:
        page = await desk.ListCustodyRecords(
            pb.ListCustodyRecordsRequest(parent=name, page_size=1, page_token=token), CONTEXT
        )
        paged += page.records
        token = page.next_page_token
        if not token:
            break

    assert paged == list(whole.records)
    assert {"Genesis", "Offer"} <= {record.kind for record in paged}
    with pytest.raises(PageTokenInvalid):
        await desk.ListCustodyRecords(
            pb.ListCustodyRecordsRequest(parent=name, page_token="AAAA"), CONTEXT
        )


async def test_a_stranger_sees_neither_transfers_nor_records() -> None:
    federation = a_federation()
    name = await a_ticket_at_the_desk(federation)
    stranger = a_desk(federation, "131000")

    with pytest.raises(ResourceNotFound):
        await stranger.ListTransfers(pb.ListTransfersRequest(parent=name), CONTEXT)
    with pytest.raises(ResourceNotFound):
        await stranger.ListCustodyRecords(pb.ListCustodyRecordsRequest(parent=name), CONTEXT)
