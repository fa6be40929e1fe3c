"""A request to a vertically managed body moves nothing until its line accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from gateway.kernel.codes import AssignmentRole, ReturnReason, Solved, TicketState, UnitRequestState
from gateway.kernel.errors import (
    FieldInvalid,
    QuotaExceeded,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.tickets import machine, requests
from gateway.tickets.model import ASSIGNMENTS_MAX, REQUESTS_MAX, Change, Ticket, UnitPlace
from gateway.tickets.requests import Wish
from gateway.tickets.states import REQUEST, Step
from tests.unit.tickets.builders import ACT, CLOCKS, NOW, OTHER, UNIT, a_commission, a_ticket

BODY = UnitPlace("units/120101-SWU-1", "测试税务局", "120000-p2")
ABOVE = "units/120000-SWU-1"
LATER = NOW + timedelta(days=2)


def assigned() -> Ticket:
    return machine.assign(a_ticket(), ACT, commissions=(a_commission(),), clocks=CLOCKS).ticket


def a_wish() -> Wish:
    return Wish(place=BODY, due=NOW + timedelta(days=1), case="c-1", ruling=3)


def asked(ticket: Ticket | None = None) -> Ticket:
    return requests.ask(ticket or assigned(), ACT, a_wish()).ticket


def accepted(ticket: Ticket) -> Change:
    return requests.accept(ticket, ACT, number=1, clause="职责（测试）")


def declined(ticket: Ticket, reason: ReturnReason = ReturnReason.WRONG_FUNCTION) -> Change:
    return requests.decline(ticket, ACT, number=1, reason=reason, clause="职责（测试）")


def test_who_is_bound_keeps_the_lead_and_the_clocks_while_the_body_reads_along() -> None:
    before = assigned()
    change = requests.ask(before, ACT, a_wish())
    after = change.ticket
    assert after.lead == before.lead
    assert (after.state, after.due_time) == (before.state, before.due_time)
    assert after.open_request is not None
    assert (after.open_request.bound_unit, after.open_request.asked) == (UNIT.unit, BODY.unit)
    assert after.assignments[-1].role is AssignmentRole.READ
    assert after.assignments[-1].platform == BODY.platform
    assert [event.kind for event in change.events] == ["request.asked"]
    signed = machine.sign(after, ACT, number=1).ticket
    contacted = machine.contact(signed, ACT, number=1, method="PHONE", contact_time=NOW).ticket
    assert contacted.open_request is not None


def test_one_request_is_open_and_nobody_is_asked_for_what_it_leads() -> None:
    with pytest.raises(TransitionNotAllowed, match="answer request 1"):
        asked(asked())
    leads = machine.assign(a_ticket(), ACT, commissions=(a_commission(BODY),), clocks=CLOCKS).ticket
    with pytest.raises(TransitionNotAllowed, match="led by"):
        asked(leads)
    with pytest.raises(TransitionNotAllowed):
        asked(a_ticket())  # nobody is bound yet
    with pytest.raises(TransitionNotAllowed, match="followed"):
        asked(replace(assigned(), followed=True))


def test_without_room_for_units_the_body_is_asked_all_the_same() -> None:
    ticket = assigned()
    many = tuple(
        replace(ticket.assignments[0], number=number, role=AssignmentRole.ASSIST)
        for number in range(2, ASSIGNMENTS_MAX)
    )
    full = replace(ticket, assignments=(*ticket.assignments, *many))
    after = asked(full)
    assert after.assignments == full.assignments
    assert after.open_request is not None
    used = tuple(
        replace(after.unit_requests[0], number=number, state=UnitRequestState.DECLINED)
        for number in range(1, REQUESTS_MAX + 1)
    )
    with pytest.raises(QuotaExceeded):
        asked(replace(ticket, unit_requests=used))


def test_every_state_of_a_request_takes_a_step_or_refuses_it() -> None:
    steps: dict[Step, Callable[[Ticket], Change]] = {
        Step.ACCEPT: accepted,
        Step.DECLINE: declined,
        Step.CLIMB: lambda ticket: requests.climb(ticket, ACT, number=1, to=ABOVE, due=LATER),
        Step.RUN_OUT: lambda ticket: requests.run_out(ticket, ACT, number=1),
    }
    for state, (step, take) in product(UnitRequestState, steps.items()):
        waiting = asked()
        held = replace(waiting.unit_requests[0], state=state)
        ticket = replace(waiting, unit_requests=(held,))
        expected = REQUEST.get((state, step))
        if expected is None:
            with pytest.raises(TransitionNotAllowed):
                take(ticket)
            continue
        after = take(ticket).ticket
        assert after.unit_requests[0].state is expected
        assert after.lead == ticket.lead
        reads = [item for item in after.assignments if item.role is AssignmentRole.READ]
        assert reads[0].is_open == (expected is UnitRequestState.ASKED)


def test_an_acceptance_moves_the_lead_in_the_same_change() -> None:
    taken = accepted(asked()).ticket
    moved = machine.hand_on(taken, ACT, number=1, to=a_commission(BODY)).ticket
    assert moved.lead is not None
    assert moved.lead.unit == BODY.unit
    assert moved.unit_requests[0].state is UnitRequestState.ACCEPTED


def test_a_body_that_helped_helps_no_more_when_it_leads() -> None:
    commissions = (a_commission(), a_commission(BODY, AssignmentRole.ASSIST))
    helped = machine.assign(a_ticket(), ACT, commissions=commissions, clocks=CLOCKS).ticket
    waiting = asked(helped)
    assert waiting.assignments == helped.assignments  # it sees the ticket already
    assert declined(waiting).ticket.assignments == helped.assignments
    taken = accepted(waiting).ticket
    assert [item.unit for item in taken.assignments if item.is_open] == [UNIT.unit]


def test_a_refusal_names_its_reason_and_a_missing_request_is_not_found() -> None:
    with pytest.raises(FieldInvalid, match="reason"):
        declined(asked(), ReturnReason.UNSPECIFIED)
    refused = declined(asked())
    assert dict(refused.events[0].facts)["reason"] == "WRONG_FUNCTION"
    with pytest.raises(ResourceNotFound):
        requests.accept(assigned(), ACT, number=1, clause="无（测试）")


def test_a_request_is_void_when_the_bound_assignment_ends_otherwise() -> None:
    waiting = asked()
    handed = machine.hand_on(waiting, ACT, number=1, to=a_commission(OTHER)).ticket
    withdrawn = machine.withdraw(waiting, ACT).ticket
    signed = machine.sign(waiting, ACT, number=1).ticket
    resolved = machine.resolve(signed, ACT, number=1, solved=Solved.SOLVED).ticket
    assert resolved.state is TicketState.RESOLVED
    released = machine.release(waiting, ACT, successor="130000", epoch="0.2").ticket
    for after in (handed, withdrawn, resolved, released):
        assert after.unit_requests[0].state is UnitRequestState.VOID
        assert not any(
            item.role is AssignmentRole.READ and item.is_open for item in after.assignments
        )
