"""The inner half of I2: whatever comes, one unit or the desk is responsible and can go on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.custody.model import (
    BecameCustodian,
    CaseRuled,
    ChainKey,
    OfferReturned,
    Released,
    Verdict,
)
from gateway.dispatch.codec import Result
from gateway.dispatch.handling import Target
from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    CitizenActKind,
    DispatchMode,
    Solved,
    TicketState,
)
from gateway.kernel.errors import QuotaExceeded
from gateway.kernel.ids import Epoch
from gateway.tickets.model import ASSIGNMENTS_MAX, Assignment, Change, Ticket
from gateway.trust.principal import Principal
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.nodes import NOW, Node, a_call, a_federation, a_person, a_platform
from tests.unit.dispatch.test_ruled import (
    HEBEI,
    TAKEN,
    TIANJIN,
    created,
    is_at_desk,
    react,
    rule_chain,
)

RESULT = Result(Solved.SOLVED, "已办（测试）")
UNIT = "units/120000-CG-1"


async def changed(node: Node, key: ChainKey, **changes: object) -> Ticket:
    """Put a copy into a state that a longer story would lead to."""
    async with node.database.unit() as uow:
        ticket = await node.room.tickets.get(uow, key.authority, key.ticket)
        return node.room.tickets.save(uow, Change(replace(ticket, **changes)))  # type: ignore[arg-type] # fields of a copy


async def assign(node: Node, key: ChainKey, unit: str = UNIT) -> ticket_pb2.Ticket:
    answer = await node.dispatch.handling.assign(
        a_call(a_person(TIANJIN), "AssignTicket"), Target(number=key.ticket), unit=unit
    )
    return ticket_pb2.Ticket.FromString(answer)


async def sign(node: Node, key: ChainKey) -> None:
    await node.dispatch.handling.sign(
        a_call(a_person(TIANJIN), "SignForTicket"), Target(number=key.ticket)
    )


async def resolve(node: Node, key: ChainKey, *, who: Principal | None = None) -> ticket_pb2.Ticket:
    answer = await node.dispatch.handling.resolve(
        a_call(who or a_person(TIANJIN), "ResolveTicket"),
        Target(number=key.ticket),
        result=RESULT,
    )
    return ticket_pb2.Ticket.FromString(answer)


def leads(ticket: Ticket) -> list[Assignment]:
    return [item for item in ticket.assignments if item.is_lead and item.is_standing]


async def test_a_ticket_that_was_taken_resolved_and_is_reopened_waits_at_the_desk() -> None:
    node, key = await created(a_federation())
    await rule_chain(node, key)
    await react(node, key, Released(key, Epoch(0, 1), HEBEI))
    await changed(node, key, state=TicketState.RESOLVED)
    taken = await react(node, key, BecameCustodian(key, TAKEN, HEBEI))
    assert taken.lead is None
    await node.dispatch.citizens.desk.take(
        a_call(a_platform(TIANJIN), "ReopenTicket"),
        Target(number=key.ticket),
        kind=CitizenActKind.REOPEN,
        text="测试：又坏了",
    )
    async with node.database.unit() as uow:
        again = await node.room.tickets.get(uow, key.authority, key.ticket)
    assert is_at_desk(again)


async def test_who_resolved_it_in_an_earlier_term_leads_no_more() -> None:
    node, key = await created(a_federation())
    await sign(node, key)
    await resolve(node, key)
    await rule_chain(node, key)
    await react(node, key, Released(key, Epoch(0, 1), HEBEI))
    await changed(node, key, state=TicketState.DISPATCHED, matter="999999")
    taken = await react(node, key, BecameCustodian(key, TAKEN, HEBEI))
    assert len(leads(taken)) == 1
    assert is_at_desk(taken)
    assigned = await assign(node, key)
    assert assigned.assignments[-1].unit == UNIT


async def test_a_ticket_that_the_desk_works_at_stays_with_it_when_its_authority_is_upheld() -> None:
    federation = a_federation()
    node, key = await created(federation, region="330100")  # outside the federation: a sheet
    await sign(node, key)
    upheld = await react(node, key, CaseRuled(key, "case-1", 1, TIANJIN))
    assert upheld.state is TicketState.HANDLING
    assert is_at_desk(upheld)


async def test_a_unit_that_got_a_ticket_after_an_external_referral_resolves_it() -> None:
    node, key = await created(a_federation(), region="330100")
    await assign(node, key)
    await sign(node, key)
    async with node.database.unit() as uow:
        ticket = await node.room.tickets.get(uow, key.authority, key.ticket)
    assert ticket.lead is not None
    shown = await resolve(node, key, who=a_platform(TIANJIN, ticket.lead.platform))
    assert shown.state == ticket_pb2.Ticket.STATE_RESOLVED
    assert not shown.external_referral.HasField("answer_time")


async def test_a_ticket_whose_assignments_are_used_up_still_gets_to_the_desk() -> None:
    node, key = await created(a_federation())
    await rule_chain(node, key)
    await react(node, key, Released(key, Epoch(0, 1), HEBEI))
    gone = tuple(_ended(number) for number in range(1, ASSIGNMENTS_MAX))
    desk = replace(_ended(ASSIGNMENTS_MAX), unit="units/120000-desk", unit_name="测试研判席")
    await changed(node, key, assignments=(*gone, desk))
    taken = await react(node, key, BecameCustodian(key, TAKEN, HEBEI))
    assert is_at_desk(taken)
    assert len(taken.assignments) == ASSIGNMENTS_MAX
    assert taken.state is TicketState.DISPATCHED
    await sign(node, key)
    assert (await resolve(node, key)).state == ticket_pb2.Ticket.STATE_RESOLVED


async def test_units_leave_the_last_assignment_to_the_desk() -> None:
    node, key = await created(a_federation())
    await rule_chain(node, key)
    await react(node, key, Released(key, Epoch(0, 1), HEBEI))
    await changed(
        node, key, assignments=tuple(_ended(number) for number in range(1, ASSIGNMENTS_MAX - 1))
    )
    taken = await react(node, key, BecameCustodian(key, TAKEN, HEBEI))
    assert taken.lead is not None
    assert taken.lead.number == ASSIGNMENTS_MAX - 1
    returned = OfferReturned(key, Epoch(1, 1), HEBEI, Verdict.REVOKED, 0, "", "")
    back = await react(node, key, returned)
    assert is_at_desk(back)
    assert len(back.assignments) == ASSIGNMENTS_MAX


async def test_no_person_takes_the_last_assignment_from_the_desk() -> None:
    node, key = await created(a_federation())
    await rule_chain(node, key)
    await react(node, key, Released(key, Epoch(0, 1), HEBEI))
    gone = tuple(_ended(number) for number in range(1, ASSIGNMENTS_MAX - 1))
    await changed(node, key, assignments=gone, matter="999999")
    taken = await react(node, key, BecameCustodian(key, TAKEN, HEBEI))
    assert is_at_desk(taken)
    with pytest.raises(QuotaExceeded):
        await assign(node, key)


async def test_what_the_citizen_did_while_it_was_offered_is_done_when_a_ruling_upholds() -> None:
    node, key = await created(a_federation())
    await rule_chain(node, key, holding="OFFERED")
    await node.dispatch.citizens.desk.take(
        a_call(a_platform(TIANJIN), "WithdrawTicket"),
        Target(number=key.ticket),
        kind=CitizenActKind.WITHDRAW,
    )
    await rule_chain(node, key, holding="HELD")
    upheld = await react(node, key, CaseRuled(key, "case-1", 1, TIANJIN))
    assert upheld.state is TicketState.WITHDRAWN


def _ended(number: int) -> Assignment:
    return Assignment(
        number=number,
        unit=UNIT,
        unit_name="测试城管局",
        platform="120000-p1",
        role=AssignmentRole.LEAD,
        state=AssignmentState.REASSIGNED,
        mode=DispatchMode.MANUAL,
        assign_time=NOW,
    )
