"""What custody tells, dispatch carries out: declined offers, cases, persons, loops, identities."""

from __future__ import annotations

import pytest

from gateway.custody.model import (
    CaseOpened,
    ChainKey,
    CustodyEvent,
    OfferReason,
    OfferReturned,
    ProgressArrived,
    Verdict,
)
from gateway.custody.service import Offered
from gateway.dispatch.codec import Result
from gateway.dispatch.handling import Target
from gateway.dispatch.numbers import BLOCK_NUMBERS, NumberMint
from gateway.kernel.codes import PlatformState, Solved, TicketState
from gateway.kernel.errors import NotCustodian, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.tickets.model import Ticket
from gateway.tickets.projection import platform_state
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import codes_pb2
from tests.fixtures.nodes import (
    NOW,
    Federation,
    Node,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
)

TIANJIN, HEBEI, LANGFANG = AuthorityCode("120000"), AuthorityCode("130000"), AuthorityCode("131000")


async def created(
    federation: Federation, authority: str, *, region: str, matter: str = "020401"
) -> TicketNumber:
    message = a_message(region=region, matter=matter)
    ticket = await federation.create(a_platform(authority), message)
    await federation.settle()
    return TicketNumber(ticket.name.removeprefix("tickets/"))


async def copy_of(node: Node, authority: AuthorityCode, number: TicketNumber) -> Ticket:
    async with node.database.unit() as uow:
        return await node.room.tickets.get(uow, authority, number)


async def react(node: Node, number: TicketNumber, *events: CustodyEvent) -> None:
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{number}")
        await node.dispatch.reactions.react(uow, events, now=NOW)


async def offered_by_person(
    node: Node, number: TicketNumber, target: AuthorityCode, reason: OfferReason
) -> None:
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{number}")
        outcome = await node.custody.offer(
            uow,
            authority=TIANJIN,
            ticket=number,
            target=target,
            reason=reason,
            rule="",
            trace_digest=b"",
            window_end=await node.dispatch.acting.answer_window(uow, TIANJIN, number, NOW),
            now=NOW,
        )
    assert isinstance(outcome, Offered)


async def test_offer_for_a_place_elsewhere_is_declined_and_comes_to_the_desk() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="120101")
    node = federation.node_of(TIANJIN)
    await offered_by_person(node, number, HEBEI, OfferReason.PLACE)
    await federation.settle()
    ticket = await copy_of(node, TIANJIN, number)
    assert not ticket.followed
    assert ticket.lead is not None
    assert ticket.lead.unit == "units/120000-desk"
    assert platform_state(ticket) is PlatformState.TO_DISPATCH
    other = federation.node_of(HEBEI)
    async with other.database.unit() as uow:
        assert await other.room.tickets.find(uow, HEBEI, number) is None


async def test_offer_by_a_person_waits_for_a_person() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="120101")
    node, other = federation.node_of(TIANJIN), federation.node_of(HEBEI)
    await offered_by_person(node, number, HEBEI, OfferReason.MANUAL)
    await federation.settle()
    assert not (await copy_of(node, TIANJIN, number)).followed
    async with other.database.unit() as uow:
        await uow.lock(f"ticket/{number}")
        events = await other.custody.accept(uow, authority=HEBEI, ticket=number, now=NOW)
        await other.dispatch.reactions.react(uow, events, now=NOW)
    await federation.settle()
    held = await copy_of(other, HEBEI, number)
    assert not held.followed
    # The rules would send it straight back; a person decides instead.
    assert held.lead is not None
    assert held.lead.unit == "units/130000-desk"
    assert held.case == ""
    assert federation.delivered.count("Offer") == 1
    followed = await copy_of(node, TIANJIN, number)
    assert followed.followed
    assert {item.unit for item in followed.progress} == {"units/130000-desk"}


async def test_nobody_acts_while_an_offer_is_out() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="120101")
    node, platform = federation.node_of(TIANJIN), a_platform(TIANJIN)
    target = Target(number=number)
    await node.dispatch.handling.sign(a_call(platform, "Sign"), target)
    await offered_by_person(node, number, HEBEI, OfferReason.MANUAL)
    result = Result(Solved.SOLVED, "已办（测试）")
    with pytest.raises(NotCustodian):
        await node.dispatch.handling.resolve(a_call(platform, "Resolve"), target, result=result)
    assert (await copy_of(node, TIANJIN, number)).state is TicketState.HANDLING


async def test_former_custodian_cannot_act_any_more() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="131082", matter="041200")
    handling = federation.node_of(TIANJIN).dispatch.handling
    with pytest.raises(TransitionNotAllowed):
        await handling.close(a_call(a_person(TIANJIN), "Close"), Target(number=number))


async def test_case_keeps_the_ticket_at_the_desk() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="120101")
    node = federation.node_of(TIANJIN)
    key = ChainKey(TIANJIN, number, TIANJIN, 1)
    await react(node, number, CaseOpened(key, "case-1", "hops", HEBEI))
    ticket = await copy_of(node, TIANJIN, number)
    assert ticket.case == "case-1"
    assert platform_state(ticket) is PlatformState.DISPUTED
    assert ticket.lead is not None
    assert ticket.lead.is_desk


async def test_reactions_never_refuse_what_custody_took() -> None:
    """A final ticket keeps a note; a ticket that is not followed keeps its own state."""
    federation = a_federation()
    message = a_message(region=HEBEI, matter="210300")
    message.urgency = codes_pb2.URGENCY_EMERGENCY
    ticket = await federation.create(a_platform(HEBEI), message)
    number = TicketNumber(ticket.name.removeprefix("tickets/"))
    node, key = federation.node_of(HEBEI), ChainKey(HEBEI, number, HEBEI, 1)
    before = await copy_of(node, HEBEI, number)
    assert before.is_final
    returned = OfferReturned(key, Epoch(0, 1), TIANJIN, Verdict.DECLINED, 1, "clause", "")
    block = custody_pb2.StateBlock().SerializeToString()
    told = ProgressArrived(key, Epoch(0, 2), int(TicketState.HANDLING), TIANJIN, block)
    await react(node, number, returned, told, CaseOpened(key, "case-1", "hops", TIANJIN))
    after = await copy_of(node, HEBEI, number)
    assert (after.state, after.case) == (TicketState.REFERRED, "")
    assert after.assignments == before.assignments


async def test_identity_is_kept_where_the_ticket_came_in_and_where_it_is_cared_for() -> None:
    """The province of a city's ticket keeps it: nobody beyond can hide the caller from a ruling."""
    federation = a_federation()
    number = await created(federation, LANGFANG, region="120101")
    hebei, tianjin = federation.node_of(HEBEI), federation.node_of(TIANJIN)
    for node, authority, expected in (
        (hebei, HEBEI, True),
        (hebei, LANGFANG, True),
        (tianjin, TIANJIN, True),
    ):
        async with node.database.unit() as uow:
            texts = await node.room.tickets.texts(uow, authority, number)
            assert (texts.citizen is not None) is expected, authority


async def test_numbers_come_in_blocks_and_never_twice() -> None:
    federation = a_federation()
    database = federation.node_of(TIANJIN).database
    one, other = NumberMint(), NumberMint()
    seen: set[str] = set()
    async with database.unit() as uow:
        for _ in range(BLOCK_NUMBERS + 5):
            seen.add(await one.mint(uow, authority=TIANJIN, now=NOW))
        seen.add(await other.mint(uow, authority=TIANJIN, now=NOW))
        assert await uow.next_value("ticket_blocks") == 4
    assert len(seen) == BLOCK_NUMBERS + 6
