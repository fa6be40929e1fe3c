"""A return moves nothing until it is granted; what is too late or tried before says what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    PlatformState,
    ReturnReason,
    ReturnState,
    Solved,
    TicketState,
    Urgency,
)
from gateway.kernel.errors import FieldInvalid, ResourceNotFound, TransitionNotAllowed
from gateway.kernel.time import Instant
from gateway.reference.calendar import Calendar
from gateway.tickets import machine, returns
from gateway.tickets.model import Act, Change, Ticket
from gateway.tickets.projection import platform_state
from gateway.tickets.returns import Filing
from tests.unit.tickets.builders import (
    ACT,
    CLOCKS,
    DESK,
    NOW,
    OTHER,
    UNIT,
    a_commission,
    a_ticket,
)


def assigned(*roles: AssignmentRole, **changes: Any) -> Ticket:
    places = (UNIT, OTHER)
    commissions = tuple(
        a_commission(places[index], role)
        for index, role in enumerate(roles or (AssignmentRole.LEAD,))
    )
    ticket = a_ticket(**changes)
    return machine.assign(ticket, ACT, commissions=commissions, clocks=CLOCKS).ticket


def act_at(moment: Instant) -> Act:
    return replace(ACT, now=moment)


def a_filing(**changes: Any) -> Filing:
    filing = Filing(
        assignment=1,
        reason=ReturnReason.WRONG_FUNCTION,
        clause="三定方案第四条（测试）",
        proposed_owner=OTHER.unit,
        window_end=NOW + timedelta(hours=8),
        review_due=NOW + timedelta(hours=8),
    )
    return replace(filing, **changes)


def filed(ticket: Ticket | None = None, **changes: Any) -> Ticket:
    return returns.file(ticket or assigned(), ACT, a_filing(**changes)).ticket


def reviewed(ticket: Ticket, *, is_granted: bool, number: int = 1) -> Change:
    return returns.review(ticket, ACT, number=number, is_granted=is_granted, basis="依据（测试）")


def test_a_filed_return_leaves_the_unit_responsible_and_the_clock_running() -> None:
    before = assigned()
    change = returns.file(before, ACT, a_filing())
    after = change.ticket
    assert after.lead == before.lead
    assert (after.state, after.due_time) == (before.state, before.due_time)
    assert after.open_return is not None
    assert after.revision == before.revision + 1
    [event] = change.events
    assert (event.kind, dict(event.facts)["proposed_owner"]) == ("return.filed", OTHER.unit)
    assert platform_state(after) is PlatformState.RETURN_FILED
    signed = machine.sign(after, ACT, number=1).ticket
    assert signed.open_return is not None


@pytest.mark.parametrize("reason", [ReturnReason.LOOP, ReturnReason.HOPS])
def test_a_reason_of_transfers_is_no_reason_of_a_unit(reason: ReturnReason) -> None:
    with pytest.raises(FieldInvalid, match="reason"):
        filed(reason=reason)


def test_a_unit_does_not_propose_itself() -> None:
    with pytest.raises(FieldInvalid, match="proposed_owner"):
        filed(proposed_owner=UNIT.unit)


@pytest.mark.parametrize(
    ("urgency", "hours"), [(Urgency.URGENT, 2), (Urgency.EMERGENCY, 2), (Urgency.NORMAL, 5.5)]
)
def test_the_window_is_two_hours_or_four_working_hours(urgency: Urgency, hours: float) -> None:
    ticket = assigned(urgency=urgency)
    end = returns.window_end(ticket, ticket.assignments[0], Calendar())
    assert end == NOW + timedelta(hours=hours)  # Monday 10:00 to 15:30, with a break at noon
    filing = a_filing(window_end=end)
    assert returns.file(ticket, act_at(end), filing).ticket.open_return is not None
    with pytest.raises(TransitionNotAllowed, match="tell the desk"):
        returns.file(ticket, act_at(end + timedelta(seconds=1)), filing)


def test_review_is_due_in_four_hours_or_a_working_day() -> None:
    urgent, general = assigned(urgency=Urgency.URGENT), assigned()
    assert returns.review_due(urgent, NOW, Calendar()) == NOW + timedelta(hours=4)
    assert returns.review_due(general, NOW, Calendar()) == NOW + timedelta(hours=31.5)


def test_a_second_return_waits_for_the_review_of_the_first() -> None:
    ticket = filed(assigned(AssignmentRole.LEAD, AssignmentRole.ASSIST))
    with pytest.raises(TransitionNotAllowed, match="waiting for the review of return 1"):
        filed(ticket, assignment=2, proposed_owner=DESK.unit)


def test_a_unit_returns_once_and_a_ticket_twice() -> None:
    ticket = assigned(AssignmentRole.LEAD, AssignmentRole.ASSIST)
    ticket = reviewed(filed(ticket), is_granted=False).ticket
    with pytest.raises(TransitionNotAllowed, match="already"):
        filed(ticket)
    ticket = filed(ticket, assignment=2, proposed_owner=UNIT.unit)
    ticket = reviewed(ticket, is_granted=False, number=2).ticket
    third = replace(UNIT, unit="units/120101-CG-1")
    ticket = machine.hand_on(ticket, ACT, number=2, to=a_commission(third)).ticket
    with pytest.raises(TransitionNotAllowed, match="returned 2 times already"):
        filed(ticket, assignment=3)


def test_a_refused_return_leaves_the_assignment_with_its_unit() -> None:
    change = reviewed(filed(), is_granted=False)
    assert change.ticket.returns[0].state is ReturnState.REFUSED
    assert change.ticket.returns[0].review_basis == "依据（测试）"
    assert change.ticket.lead == filed().lead
    assert [event.kind for event in change.events] == ["return.refused"]
    assert platform_state(change.ticket) is PlatformState.RETURN_REFUSED
    signed = machine.sign(change.ticket, ACT, number=1).ticket
    assert platform_state(signed) is PlatformState.HANDLING


def test_a_granted_return_gives_the_lead_to_the_next_unit_and_keeps_who_assists() -> None:
    ticket = assigned(AssignmentRole.LEAD, AssignmentRole.ASSIST)
    ticket = machine.sign(ticket, ACT, number=2).ticket
    granted = reviewed(filed(ticket), is_granted=True).ticket
    third = replace(UNIT, unit="units/120101-CG-1")
    change = machine.hand_on(granted, ACT, number=1, to=a_commission(third))
    assert [item.state for item in change.ticket.assignments] == [
        AssignmentState.REASSIGNED,
        AssignmentState.SIGNED,
        AssignmentState.ASSIGNED,
    ]
    lead = change.ticket.lead
    assert lead is not None
    assert lead.unit == third.unit
    assert change.ticket.state is TicketState.DISPATCHED
    assert change.ticket.returns[0].state is ReturnState.GRANTED
    assert [event.kind for event in change.events] == [
        "assignment.reassigned",
        "assignment.assigned",
    ]


def test_an_assisting_unit_goes_without_moving_the_lead_but_a_lead_never_without_a_next() -> None:
    ticket = assigned(AssignmentRole.LEAD, AssignmentRole.ASSIST)
    gone = machine.hand_on(ticket, ACT, number=2, to=None).ticket
    assert gone.lead == ticket.lead
    assert gone.assignments[1].state is AssignmentState.REASSIGNED
    with pytest.raises(TransitionNotAllowed):
        machine.hand_on(ticket, ACT, number=1, to=None)


def test_a_return_is_decided_once_and_only_where_the_ticket_is_held() -> None:
    ticket = reviewed(filed(), is_granted=False).ticket
    with pytest.raises(TransitionNotAllowed, match="REFUSED"):
        reviewed(ticket, is_granted=True)
    with pytest.raises(ResourceNotFound):
        reviewed(ticket, is_granted=True, number=2)
    with pytest.raises(TransitionNotAllowed, match="followed"):
        reviewed(replace(filed(), followed=True), is_granted=True)


def test_a_return_lapses_when_its_assignment_ends_otherwise() -> None:
    signed = machine.sign(filed(), ACT, number=1).ticket
    endings = {
        "released": machine.release(signed, ACT, successor="130000", epoch="0.1"),
        "resolved": machine.resolve(signed, ACT, number=1, solved=Solved.SOLVED),
        "withdrawn": machine.withdraw(signed, ACT),
        "triaged": machine.triage(signed, ACT, desk=DESK, reason="测试"),
        "assigned": machine.assign(filed(), ACT, commissions=(a_commission(OTHER),), clocks=CLOCKS),
    }
    for name, change in endings.items():
        assert change.ticket.returns[0].state is ReturnState.LAPSED, name
        assert "return.lapsed" in [event.kind for event in change.events], name
    again = filed(
        machine.triage(
            endings["assigned"].ticket, ACT, desk=DESK, reason="测试"
        ).ticket.with_assignment(replace(signed.assignments[0], state=AssignmentState.ASSIGNED))
    )
    assert again.returns[-1].state is ReturnState.FILED  # a lapsed one does not count


def test_neither_the_desk_nor_a_finished_unit_returns() -> None:
    with pytest.raises(TransitionNotAllowed, match="at the desk"):
        filed(machine.triage(a_ticket(), ACT, desk=DESK, reason="测试").ticket)
    signed = machine.sign(assigned(), ACT, number=1).ticket
    done = machine.resolve(signed, ACT, number=1, solved=Solved.SOLVED).ticket
    with pytest.raises(TransitionNotAllowed, match="not open"):
        filed(done)
    with pytest.raises(TransitionNotAllowed, match="followed"):
        filed(replace(assigned(), followed=True))


def test_a_late_review_is_told_and_moves_nothing() -> None:
    ticket = filed()
    change = returns.overdue(ticket, ACT, number=1)
    assert [event.kind for event in change.events] == ["return.overdue"]
    assert (change.ticket.returns, change.ticket.assignments) == (
        ticket.returns,
        ticket.assignments,
    )
    decided = reviewed(ticket, is_granted=False).ticket
    assert returns.overdue(decided, ACT, number=1) == Change(decided)
    assert returns.overdue(decided, ACT, number=7) == Change(decided)
