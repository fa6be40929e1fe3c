"""What a decision becomes besides an assignment: merged, not accepted, split, told, asked next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.custody.model import ChainKey, Holding, OfferSent
from gateway.custody.service import WINDOW_TIMER
from gateway.custody.store import CHAINS
from gateway.database.timers import TIMERS, TimerRunner
from gateway.dispatch.codec import Result
from gateway.dispatch.handling import Target
from gateway.dispatch.plans import FALLBACK_TIMER, FALLBACKS
from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    OfferReason,
    ReturnReason,
    RouteDecisionAction,
    Solved,
    TicketPurpose,
    TicketState,
)
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.routing.model import Decision, FallbackPlan
from gateway.tickets.model import Ticket
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.nodes import (
    Federation,
    Node,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
)
from tests.unit.dispatch.test_ruled import react, rule_chain

TIANJIN, HEBEI = AuthorityCode("120000"), AuthorityCode("130000")
FIRST, NEXT, LAST = "units/120000-ZJ-1", "units/120000-CG-1", "units/120000-SW-1"
RESULT = Result(Solved.SOLVED, "已办（测试）")
ASSIGN, OFFER = RouteDecisionAction.ASSIGN, RouteDecisionAction.OFFER


def decides(monkeypatch: pytest.MonkeyPatch, node: Node, **changes: Any) -> None:
    """Let the node's router decide as it does, but with these outcomes for tickets of its own."""
    router = node.dispatch.acting._router
    decide = router.decide

    def changed(*given: Any, **named: Any) -> Decision:
        decision = decide(*given, **named)
        return decision if given[1].parent else replace(decision, **changes)

    monkeypatch.setattr(router, "decide", changed)


async def created(federation: Federation, message: ticket_pb2.Ticket | None = None) -> TicketNumber:
    ticket = await federation.create(a_platform(TIANJIN), message or a_message(region="120101"))
    await federation.settle()
    return TicketNumber(ticket.name.removeprefix("tickets/"))


async def copy_of(node: Node, number: str) -> Ticket:
    async with node.database.unit() as uow:
        return await node.room.tickets.get(uow, TIANJIN, TicketNumber(number))


async def kinds_of(node: Node, number: TicketNumber) -> list[str]:
    reader = node.dispatch.reader
    events, _ = await reader.events(a_person(TIANJIN), number, page_size=500, page_token="")
    return [item.event.kind for item in events]


async def later(federation: Federation, node: Node, **time: float) -> None:
    """Let time pass, and everything that is due by then happen."""
    federation.clock.advance(timedelta(**time))
    node.custody.recall.react = node.dispatch.reactions.react
    handlers = {**node.dispatch.timers, WINDOW_TIMER: node.custody}
    runner = TimerRunner(database=node.database, clock=federation.clock, handlers=handlers)
    while await runner.run_due():
        pass
    await federation.settle()


def plans_of(node: Node) -> list[Any]:
    return list(node.database.rows(FALLBACKS))  # type: ignore[attr-defined] # memory


# --- merging ----------------------------------------------------------------------------------


async def test_a_repeat_is_merged_into_the_earlier_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    earlier = await created(federation)
    federation.clock.advance(timedelta(minutes=1))
    decides(monkeypatch, node, action=RouteDecisionAction.MERGE, target=f"tickets/{earlier}")
    number = await created(federation, a_message("T-2", region="120101"))

    merged = await copy_of(node, number)
    assert merged.state is TicketState.MERGED
    assert merged.is_final
    assert merged.decision is not None
    assert merged.decision.target == f"tickets/{earlier}"
    assert "ticket.joined" in await kinds_of(node, earlier)
    assert not (await copy_of(node, earlier)).is_final


@pytest.mark.parametrize("case", ["unknown", "settled", "elsewhere"])
async def test_what_is_not_certain_is_not_merged(
    monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    place = "131082" if case == "elsewhere" else "120101"
    earlier = await created(federation, a_message(region=place))
    federation.clock.advance(timedelta(minutes=1))
    if case == "settled":
        person, target = a_person(TIANJIN), Target(number=earlier)
        await node.dispatch.handling.sign(a_call(person, "Sign"), target)
        await node.dispatch.handling.resolve(a_call(person, "Resolve"), target, result=RESULT)
    named = "tickets/12000000000000000000000" if case == "unknown" else f"tickets/{earlier}"
    decides(monkeypatch, node, action=RouteDecisionAction.MERGE, target=named)
    number = await created(federation, a_message("T-2", region="120101"))

    ticket = await copy_of(node, number)
    assert ticket.state is TicketState.DISPATCHED
    assert ticket.lead is not None
    assert ticket.lead.is_desk


# --- not accepted -----------------------------------------------------------------------------


async def test_nobody_is_turned_away_by_a_rule_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    decides(monkeypatch, node, action=RouteDecisionAction.LEGAL, target="LITIGATION")
    number = await created(federation)

    ticket = await copy_of(node, number)
    assert ticket.lead is not None
    assert ticket.lead.is_desk
    assert ticket.state is TicketState.DISPATCHED
    assert "ticket.not_accepted" in await kinds_of(node, number)


# --- split and told ---------------------------------------------------------------------------


async def test_further_matters_become_children_and_told_units_hold_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    decides(
        monkeypatch,
        node,
        action=ASSIGN,
        target=FIRST,
        assisting=(),
        notify=(NEXT, FIRST),
        split_matters=("060200", "041200", "060200"),
    )
    number = await created(federation)

    parent = await copy_of(node, number)
    roles = {item.unit: item.role for item in parent.assignments}
    assert roles == {FIRST: AssignmentRole.LEAD, NEXT: AssignmentRole.READ}
    async with node.database.unit() as uow:
        [child] = await node.room.tickets.child_copies(uow, TIANJIN, number)
    assert (child.purpose, child.matter) == (TicketPurpose.ISSUE, "060200")


# --- asked next -------------------------------------------------------------------------------


def plan(*targets: str, hours: int = 2, is_working: bool = False) -> FallbackPlan:
    return FallbackPlan(hours=hours, is_working=is_working, targets=targets)


async def test_who_does_not_sign_in_time_is_followed_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    decides(monkeypatch, node, action=ASSIGN, target=FIRST, fallback=plan(NEXT, LAST))
    number = await created(federation)
    await later(federation, node, hours=1.9)
    assert (await copy_of(node, number)).lead.unit == FIRST  # type: ignore[union-attr] # it has one
    for expected in (NEXT, LAST):
        await later(federation, node, hours=2.1)
        lead = (await copy_of(node, number)).lead
        assert lead is not None
        assert (lead.unit, lead.state) == (expected, AssignmentState.ASSIGNED)
    await later(federation, node, hours=2.1)
    lead = (await copy_of(node, number)).lead
    assert lead is not None
    assert lead.is_desk
    assert plans_of(node) == []


async def test_who_signs_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    decides(monkeypatch, node, action=ASSIGN, target=FIRST, fallback=plan(NEXT))
    number = await created(federation)
    await node.dispatch.handling.sign(a_call(a_person(TIANJIN), "Sign"), Target(number=number))
    await later(federation, node, hours=3)
    lead = (await copy_of(node, number)).lead
    assert lead is not None
    assert (lead.unit, lead.state) == (FIRST, AssignmentState.SIGNED)
    assert plans_of(node) == []
    timers = node.database.rows(TIMERS)  # type: ignore[attr-defined] # memory
    assert not [row for row in timers if row.kind == FALLBACK_TIMER]


@pytest.mark.parametrize("answer", ["declined", "silent"])
async def test_an_offer_that_comes_back_goes_to_the_next(
    monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    decides(
        monkeypatch,
        node,
        action=OFFER,
        target=f"authorities/{HEBEI}",
        offer_reason=OfferReason.RULE,
        fallback=plan(NEXT, hours=3),
    )
    number = await created(federation)
    if answer == "declined":
        hebei = federation.node_of(HEBEI)
        async with hebei.database.unit() as uow:
            await hebei.custody.decline(
                uow,
                authority=HEBEI,
                ticket=number,
                reason=int(ReturnReason.WRONG_FUNCTION),
                clause="测试条款",
                proposed_owner="120000",
                now=federation.clock.now(),
            )
        await federation.settle()
    else:
        await later(federation, node, hours=3.1)
    lead = (await copy_of(node, number)).lead
    assert lead is not None
    assert lead.unit == NEXT


async def test_a_person_s_choice_makes_the_plan_void(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    decides(monkeypatch, node, action=ASSIGN, target=FIRST, fallback=plan(NEXT))
    number = await created(federation)
    async with node.database.unit() as uow:
        ticket = await node.room.tickets.get(uow, TIANJIN, number)
        act = node.dispatch.acting.act_of(TIANJIN, "test", federation.clock.now())
        node.dispatch.acting.to_desk(uow, ticket, act, reason="测试")
    await later(federation, node, hours=3)
    lead = (await copy_of(node, number)).lead
    assert lead is not None
    assert lead.is_desk


@pytest.mark.parametrize("targets", [["units/120000-XX-9"], ["authorities/990000"]])
async def test_who_is_not_there_is_left_out(
    monkeypatch: pytest.MonkeyPatch, targets: Sequence[str]
) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    decides(monkeypatch, node, action=ASSIGN, target=FIRST, fallback=plan(*targets, LAST))
    number = await created(federation)
    await later(federation, node, hours=2.1)
    assert (await copy_of(node, number)).lead.unit == LAST  # type: ignore[union-attr] # it has one


async def test_after_a_ruling_nobody_else_is_asked_to_take_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    federation, city = a_federation(), AuthorityCode("131000")
    node = federation.node_of(city)
    decides(monkeypatch, node, fallback=plan(f"authorities/{HEBEI}"))
    ticket = await federation.create(a_platform(city), a_message())
    number = TicketNumber(ticket.name.removeprefix("tickets/"))
    async with node.database.unit() as uow:
        row = await uow.get(CHAINS, city, number, HEBEI, 1)
        assert row is not None
        uow.put(CHAINS, replace(row, ruling=1, offers_allowed=False))
    await later(federation, node, hours=2.1)
    async with node.database.unit() as uow:
        copy = await node.room.tickets.get(uow, city, number)
    assert copy.case == ""
    assert copy.lead is not None
    assert copy.lead.is_desk


async def test_who_is_overruled_asks_nobody_more(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    decides(monkeypatch, node, action=ASSIGN, target=FIRST, fallback=plan(NEXT))
    number = await created(federation)
    key = ChainKey(TIANJIN, number, TIANJIN, 1)
    await rule_chain(node, key, holding=Holding.YIELDING.value)
    await later(federation, node, hours=2.1)
    timers = node.database.rows(TIMERS)  # type: ignore[attr-defined] # memory
    assert not [row for row in timers if row.kind == FALLBACK_TIMER]
    assert (await copy_of(node, number)).lead.unit == FIRST  # type: ignore[union-attr] # it has one
    assert plans_of(node) == []


async def test_a_person_s_offer_makes_the_plan_void(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    decides(monkeypatch, node, action=ASSIGN, target=FIRST, fallback=plan(NEXT))
    number = await created(federation)
    assert plans_of(node)
    key = ChainKey(TIANJIN, number, TIANJIN, 1)
    actor = a_person(TIANJIN).name
    await react(node, key, OfferSent(key, Epoch(0, 1), HEBEI, actor))
    assert plans_of(node) == []


async def test_what_is_on_its_way_to_somebody_else_takes_nothing_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    earlier = await created(federation)
    federation.clock.advance(timedelta(minutes=1))
    key = ChainKey(TIANJIN, earlier, TIANJIN, 1)
    await rule_chain(node, key, ruling=0, holding=Holding.OFFERED.value)
    decides(monkeypatch, node, action=RouteDecisionAction.MERGE, target=f"tickets/{earlier}")
    number = await created(federation, a_message("T-2", region="120101"))
    assert (await copy_of(node, number)).state is TicketState.DISPATCHED
