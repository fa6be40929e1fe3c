"""The machine does what the tables say; everything else raises and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    ContactMethod,
    EmergencyLine,
    PlatformState,
    Satisfaction,
    Solved,
    TicketState,
)
from gateway.kernel.errors import TransitionNotAllowed
from gateway.tickets import machine, rulings
from gateway.tickets.model import Act, Change, Clocks, ExternalReferral, Rating, Ticket
from gateway.tickets.projection import platform_state
from gateway.tickets.states import TICKET
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

RATING = Rating(
    satisfaction=Satisfaction.SATISFIED,
    responded=True,
    solved=True,
    method=ContactMethod.PHONE,
    rate_time=NOW,
)


def latest(ticket: Ticket) -> int:
    return len(ticket.assignments)


STEPS: dict[str, Callable[[Ticket], Change]] = {
    "assign": lambda t: machine.assign(t, ACT, commissions=(a_commission(),), clocks=CLOCKS),
    "triage": lambda t: machine.triage(t, ACT, desk=DESK, reason="测试"),
    "offer": lambda t: machine.offer(t, ACT, target="130000", epoch="0.1", clocks=CLOCKS),
    "refer": lambda t: machine.refer(t, ACT, line=EmergencyLine.FIRE_119, clocks=CLOCKS),
    "external": lambda t: machine.refer_externally(
        t, ACT, referral=ExternalReferral("330000", "浙江", NOW), desk=DESK, clocks=CLOCKS
    ),
    "acknowledge": lambda t: machine.acknowledge(t, ACT, number=latest(t), external_id="X"),
    "sign": lambda t: machine.sign(t, ACT, number=latest(t)),
    "contact": lambda t: machine.contact(
        t, ACT, number=latest(t), method="PHONE", contact_time=NOW
    ),
    "resolve": lambda t: machine.resolve(t, ACT, number=latest(t), solved=Solved.SOLVED),
    "answer": lambda t: machine.record_answer(t, ACT, solved=Solved.EXPLAINED),
    "rate": lambda t: machine.rate(t, ACT, rating=RATING),
    "close": lambda t: machine.close(t, ACT),
    "release": lambda t: machine.release(t, ACT, successor="130000", epoch="0.1"),
    "take_over": lambda t: machine.take_over(t, ACT, source="130000", epoch="0.2"),
    "taken": lambda t: rulings.take(t, ACT, ruling=1, source="130000"),
    "reopen": lambda t: machine.reopen(t, ACT),
    "withdraw": lambda t: machine.withdraw(t, ACT),
    # A custodian tells nothing new about what was final before it got it.
    "told": lambda t: Change(
        replace(t, state=TicketState.HANDLING) if t.followed and not t.is_final else t
    ),
}
# More than the bound on assignments cannot come of so few steps.
HISTORIES = st.lists(st.sampled_from(sorted(STEPS)), max_size=12)


def attempted(ticket: Ticket, name: str) -> Change | None:
    """Take a step, or return None when the tables refuse it."""
    try:
        return STEPS[name](ticket)
    except TransitionNotAllowed as error:
        if not error.metadata["state"] or not error.metadata["allowed"]:
            raise
        return None


def run(ticket: Ticket, *names: str) -> Ticket:
    for name in names:
        ticket = STEPS[name](ticket).ticket
    return ticket


@given(HISTORIES)
@example(["assign", "sign", "resolve", "release", "told", "take_over", "triage"])
@example(["refer", "release", "told"])
def test_any_history_keeps_the_invariants(history: list[str]) -> None:
    ticket = a_ticket()
    for name in history:
        before = ticket
        change = attempted(ticket, name)
        if change is None:
            assert ticket == before
            continue
        ticket = change.ticket
        leads = [item for item in ticket.assignments if item.is_lead and item.is_standing]
        assert len(leads) <= 1  # I2
        assert [item.number for item in ticket.assignments] == list(
            range(1, len(ticket.assignments) + 1)
        )
        if before.first_dispatch_time is not None:  # I9
            assert ticket.due_time == before.due_time
            assert ticket.first_dispatch_time == before.first_dispatch_time
        if before.is_final:
            assert ticket.state is before.state
        assert ticket.revision == before.revision + bool(change.events)
        assert platform_state(ticket) is not PlatformState.UNSPECIFIED


@given(HISTORIES)
def test_a_dispatched_ticket_that_was_not_offered_has_one_responsible(history: list[str]) -> None:
    ticket = a_ticket()
    for name in history:
        change = attempted(ticket, name)
        ticket = change.ticket if change else ticket
    moved = {"offer", "release", "told"} & set(history)
    if ticket.state in {TicketState.DISPATCHED, TicketState.HANDLING} and not moved:
        assert ticket.lead is not None


def test_every_state_without_a_row_refuses() -> None:
    for state in TicketState:
        for name, step in STEPS.items():
            if name in {"release", "take_over", "taken", "told", "answer", "acknowledge"}:
                continue
            allowed = {found.value for held, found in TICKET if held is state}
            wanted = "refer externally" if name == "external" else name
            if wanted not in allowed:
                with pytest.raises(TransitionNotAllowed):
                    step(a_ticket(state=state, assignments=run(a_ticket(), "assign").assignments))


def test_rating_a_resolved_ticket_closes_it_with_both_events() -> None:
    resolved = run(a_ticket(), "assign", "sign", "contact", "resolve")
    assert resolved.state is TicketState.RESOLVED
    change = STEPS["rate"](resolved)
    assert change.ticket.state is TicketState.CLOSED
    assert [event.kind for event in change.events] == ["ticket.rated", "ticket.closed"]


def test_triage_is_no_dispatch_and_waits_for_one() -> None:
    triaged = run(a_ticket(), "triage")
    assert triaged.first_dispatch_time is None
    assert platform_state(triaged) is PlatformState.TO_DISPATCH
    assert triaged.is_overdue(CLOCKS.dispatch_due + timedelta(seconds=1))
    assigned = run(triaged, "assign")
    assert [item.state for item in assigned.assignments] == [
        AssignmentState.REASSIGNED,
        AssignmentState.ASSIGNED,
    ]
    assert not assigned.is_overdue(CLOCKS.dispatch_due + timedelta(seconds=1))


def test_due_time_is_fixed_by_the_first_dispatch() -> None:
    offered = run(a_ticket(), "offer")
    later = Clocks(NOW, NOW + timedelta(days=99), True)
    act = Act(ACT.actor, ACT.role, ACT.basis, NOW + timedelta(days=1))
    assigned = machine.assign(offered, act, commissions=(a_commission(),), clocks=later).ticket
    assert (assigned.due_time, assigned.due_provisional) == (CLOCKS.due, False)


def test_assisting_unit_signs_but_does_not_resolve() -> None:
    commissions = (a_commission(UNIT), a_commission(OTHER, AssignmentRole.ASSIST))
    ticket = machine.assign(a_ticket(), ACT, commissions=commissions, clocks=CLOCKS).ticket
    ticket = machine.sign(ticket, ACT, number=2).ticket
    with pytest.raises(TransitionNotAllowed):
        machine.resolve(ticket, ACT, number=2, solved=Solved.SOLVED)
    ticket = machine.sign(ticket, ACT, number=1).ticket
    ticket = machine.resolve(ticket, ACT, number=1, solved=Solved.SOLVED).ticket
    assert {item.state for item in ticket.assignments} == {AssignmentState.DONE}


def test_repeated_acknowledgement_changes_nothing() -> None:
    received = run(a_ticket(), "assign", "acknowledge")
    assert STEPS["acknowledge"](received).ticket == received


def test_followed_copy_takes_no_step_of_its_own() -> None:
    released = run(a_ticket(), "offer", "release")
    assert released.followed
    assert platform_state(released) is PlatformState.TRANSFERRED_OUT
    for name in ("assign", "triage", "offer", "refer", "close", "rate", "answer"):
        with pytest.raises(TransitionNotAllowed):
            STEPS[name](released)


def test_answer_of_an_external_referral_needs_no_signature_of_a_unit() -> None:
    answered = run(a_ticket(), "external", "answer")
    assert answered.state is TicketState.RESOLVED
    assert run(answered, "close").state is TicketState.CLOSED
