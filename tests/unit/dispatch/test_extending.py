"""More time at the custodian, and what followers see of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from gateway.custody.model import ChainKey, ContentArrived, OfferReason
from gateway.dispatch.handling import Target
from gateway.kernel.codes import TicketPurpose
from gateway.kernel.errors import (
    FieldInvalid,
    NotCustodian,
    ResourceNotFound,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.tickets.children import Wanted
from gateway.tickets.codec import header_to_bytes
from gateway.tickets.model import Change
from gateway.trust.principal import Role
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from tests.fixtures.nodes import (
    HOSTED,
    IDS,
    NOW,
    SPLIT,
    Federation,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
)
from tests.unit.dispatch.desk import ask, copy_at, review

TIANJIN, LANGFANG = "120000", "131000"
DAY = timedelta(days=1)


async def a_local_ticket() -> tuple[Federation, str, Instant]:
    federation = a_federation()
    created = await federation.create(a_platform(TIANJIN), a_message(region="120101"))
    number = created.name.removeprefix("tickets/")
    return federation, number, (await copy_at(federation, TIANJIN, number)).due_time


async def test_a_granted_wish_moves_the_due_time_once() -> None:
    federation, number, due = await a_local_ticket()
    asked = await ask(federation, TIANJIN, number, due + DAY)
    assert asked.platform_state == codes_pb2.PLATFORM_STATE_EXTENSION_ASKED
    assert (await copy_at(federation, TIANJIN, number)).due_time == due
    again = IDS.uuid7(NOW)
    granted = await review(federation, TIANJIN, number, is_granted=True, request_id=again)
    assert granted.extensions[0].state == ticket_pb2.Extension.STATE_GRANTED
    assert granted.extensions[0].citizen_told
    assert (await copy_at(federation, TIANJIN, number)).due_time == due + DAY
    repeated = await review(federation, TIANJIN, number, is_granted=True, request_id=again)
    assert repeated == granted
    with pytest.raises(TransitionNotAllowed, match="extended once"):
        await ask(federation, TIANJIN, number, due + 2 * DAY)


async def test_how_late_it_may_be_is_the_profiles_to_say() -> None:
    federation, number, due = await a_local_ticket()
    with pytest.raises(FieldInvalid, match="new_due_time"):
        await ask(federation, TIANJIN, number, due + 60 * DAY)
    with pytest.raises(FieldInvalid, match="new_due_time"):
        await ask(federation, TIANJIN, number, due)
    latest = datetime.fromisoformat("2026-04-14T17:30:00+08:00")  # 15 working days, one holiday
    with pytest.raises(FieldInvalid):
        await ask(federation, TIANJIN, number, latest + timedelta(minutes=1))
    await ask(federation, TIANJIN, number, latest)


async def test_after_the_due_time_it_is_too_late_to_ask() -> None:
    federation, number, due = await a_local_ticket()
    federation.clock.advance(due - NOW)
    with pytest.raises(TransitionNotAllowed, match="before the due time"):
        await ask(federation, TIANJIN, number, due + DAY)


async def test_who_asks_leads_and_who_reviews_is_of_the_desk() -> None:
    federation, number, due = await a_local_ticket()
    with pytest.raises(RoleMissing):
        await ask(federation, TIANJIN, number, due + DAY, who=a_person(TIANJIN, Role.CLERK))
    await ask(federation, TIANJIN, number, due + DAY, who=a_person(TIANJIN, Role.HANDLER))
    for who in (a_platform(TIANJIN), a_person(TIANJIN, Role.HANDLER)):
        with pytest.raises(RoleMissing):
            await review(federation, TIANJIN, number, is_granted=True, who=who)
    with pytest.raises(ResourceNotFound):
        await review(federation, TIANJIN, number, is_granted=True, extension=2)
    refused = await review(federation, TIANJIN, number, is_granted=False)
    assert refused.extensions[0].state == ticket_pb2.Extension.STATE_REFUSED
    assert (await copy_at(federation, TIANJIN, number)).due_time == due


@pytest.mark.parametrize("hosts", [HOSTED, SPLIT], ids=["hosted", "split"])
async def test_followers_learn_the_due_time_of_the_custodian(hosts: dict[str, list[str]]) -> None:
    federation = a_federation(hosts)
    created = await federation.create(a_platform(TIANJIN), a_message())
    number = created.name.removeprefix("tickets/")
    await federation.settle()
    due = (await copy_at(federation, LANGFANG, number)).due_time
    for authority in (TIANJIN, "130000"):
        with pytest.raises((NotCustodian, TransitionNotAllowed, RoleMissing)):
            await ask(federation, authority, number, due + DAY, who=a_person(authority))
    await ask(federation, LANGFANG, number, due + DAY)
    await review(federation, LANGFANG, number, is_granted=True)
    await federation.settle()
    for authority in (TIANJIN, "130000", LANGFANG):
        assert (await copy_at(federation, authority, number)).due_time == due + DAY, authority


async def test_a_child_is_never_due_later_than_its_parent() -> None:
    federation, number, due = await a_local_ticket()
    node = federation.node_of(TIANJIN)
    await node.dispatch.citizens.splitting.split(
        a_call(a_person(TIANJIN), "SplitTicket"),
        Target(number=TicketNumber(number)),
        wanted=[
            Wanted(
                purpose=TicketPurpose.ISSUE,
                region="120102",
                matter="041200",
                title="另一件事（测试）",
                content="测试内容",
            )
        ],
    )
    async with node.database.unit() as uow:
        [child] = await node.room.tickets.children(
            uow, AuthorityCode(TIANJIN), TicketNumber(number)
        )
    assert (await copy_at(federation, TIANJIN, child.number)).due_time <= due
    with pytest.raises(FieldInvalid, match="new_due_time"):
        await ask(federation, TIANJIN, child.number, due + DAY)
    await ask(federation, TIANJIN, number, due + 2 * DAY)
    await review(federation, TIANJIN, number, is_granted=True)
    await ask(federation, TIANJIN, child.number, due + DAY)
    parent = await copy_at(federation, TIANJIN, number)
    async with node.database.unit() as uow:  # the parent's custodian counted it again meanwhile
        node.room.tickets.save(uow, Change(replace(parent, due_time=due)))
    with pytest.raises(TransitionNotAllowed, match="later than"):
        await review(federation, TIANJIN, child.number, is_granted=True)
    async with node.database.unit() as uow:
        node.room.tickets.save(uow, Change(parent))
    await review(federation, TIANJIN, child.number, is_granted=True)
    assert (await copy_at(federation, TIANJIN, child.number)).due_time == due + DAY


async def test_a_former_custodian_that_gets_it_back_takes_the_due_time_of_the_offer() -> None:
    federation = a_federation()
    created = await federation.create(a_platform(TIANJIN), a_message())
    number = created.name.removeprefix("tickets/")
    await federation.settle()
    known = await copy_at(federation, TIANJIN, number)
    held = await copy_at(federation, LANGFANG, number)
    node = federation.node_of(TIANJIN)
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{number}")
        texts = await node.room.tickets.texts(uow, known.authority, known.number)
        block = custody_pb2.CaseBlock()
        block.content.ParseFromString(texts.content)
        event = ContentArrived(
            key=ChainKey(known.authority, known.number, AuthorityCode("100000"), 1),
            source=AuthorityCode("130000"),
            header=header_to_bytes(replace(held, due_time=held.due_time + DAY)),
            case_block=block.SerializeToString(),
        )
        await node.dispatch.reactions.react(uow, [event], now=NOW)
    assert known.followed
    assert (await copy_at(federation, TIANJIN, number)).due_time == known.due_time + DAY


async def test_nobody_grants_a_wish_of_their_own() -> None:
    federation, number, due = await a_local_ticket()
    await ask(federation, TIANJIN, number, due + DAY, who=a_person(TIANJIN))
    with pytest.raises(RoleMissing, match="another person"):
        await review(federation, TIANJIN, number, is_granted=True, who=a_person(TIANJIN))
    await review(federation, TIANJIN, number, is_granted=True)
    assert (await copy_at(federation, TIANJIN, number)).due_time == due + DAY


async def test_nothing_is_granted_while_the_ticket_is_offered_away() -> None:
    federation, number, due = await a_local_ticket()
    await ask(federation, TIANJIN, number, due + DAY)
    node, now = federation.node_of(TIANJIN), federation.clock.now()
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{number}")
        await node.custody.offer(
            uow,
            authority=AuthorityCode(TIANJIN),
            ticket=TicketNumber(number),
            target=AuthorityCode("130000"),
            reason=OfferReason.MANUAL,
            rule="",
            trace_digest=b"",
            window_end=now + DAY,
            now=now,
        )
    with pytest.raises(NotCustodian):
        await review(federation, TIANJIN, number, is_granted=True)
    assert (await copy_at(federation, TIANJIN, number)).due_time == due
