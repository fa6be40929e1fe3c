"""A dispute of units changes nothing on its ticket, and ends by itself when its object is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    DispatchMode,
    EmergencyLine,
    RouteDecisionAction,
    Solved,
    TicketState,
)
from gateway.tickets import disputes, machine, rulings
from gateway.tickets.model import Change, ExternalReferral, RouteDecision, Ticket
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

LEAD = AssignmentRole.LEAD


def a_decision(*, rule: str, target: str) -> RouteDecision:
    return RouteDecision(
        action=RouteDecisionAction.ASSIGN,
        target=target,
        rule=rule,
        pack="130100.test",
        legal_basis="测试依据",
        explanation="测试",
        trace_digest=b"",
        decide_time=NOW,
        reference_version="",
    )


def led() -> Ticket:
    commissions = (a_commission(UNIT, LEAD), a_commission(OTHER, AssignmentRole.ASSIST))
    return machine.assign(a_ticket(), ACT, commissions=commissions, clocks=CLOCKS).ticket


def number_of(ticket: Ticket, place: int = 0) -> str:
    return f"{ticket.number}-{ticket.authority}-0-{place}"


def disputed(ticket: Ticket | None = None) -> Ticket:
    held = ticket or led()
    return machine.open_case(held, ACT, case=number_of(held), cause="request").ticket


def kinds(change: Change) -> list[str]:
    return [event.kind for event in change.events]


def test_an_open_dispute_moves_nobody_and_no_clock() -> None:
    before = led()
    change = machine.open_case(before, ACT, case=number_of(before), cause="request")
    after = change.ticket
    assert disputes.is_between_units(after)
    assert (after.assignments, after.state, after.due_time) == (
        before.assignments,
        before.state,
        before.due_time,
    )
    assert kinds(change) == ["case.opened"]
    assert kinds(machine.open_case(after, ACT, case=after.case, cause="request")) == []


def test_the_unit_signs_and_contacts_while_it_is_open() -> None:
    signed = machine.sign(disputed(), ACT, number=1).ticket
    called = machine.contact(signed, ACT, number=1, method="PHONE", contact_time=NOW).ticket
    assert disputes.is_between_units(called)
    assert called.state is TicketState.HANDLING


def resolved(ticket: Ticket) -> Change:
    return machine.resolve(
        machine.sign(ticket, ACT, number=1).ticket, ACT, number=1, solved=Solved.SOLVED
    )


GONE: dict[str, Callable[[Ticket], Change]] = {
    "offered": lambda it: machine.offer(it, ACT, target="130000", epoch="0.1", clocks=CLOCKS),
    "released": lambda it: machine.release(it, ACT, successor="130000", epoch="0.1"),
    "resolved": resolved,
    "withdrawn": lambda it: machine.withdraw(it, ACT),
    "merged": lambda it: machine.merge(it, ACT, into="tickets/1"),
    "referred": lambda it: machine.refer(it, ACT, line=EmergencyLine.POLICE_110, clocks=CLOCKS),
    "referred outside": lambda it: machine.refer_externally(
        it, ACT, referral=ExternalReferral("440300", "深圳", NOW), desk=DESK, clocks=CLOCKS
    ),
    "led by another": lambda it: machine.hand_on(it, ACT, number=1, to=a_commission(OTHER, LEAD)),
    "assigned anew": lambda it: machine.assign(
        it, ACT, commissions=(a_commission(OTHER, LEAD),), clocks=CLOCKS
    ),
    "put before the desk": lambda it: machine.triage(it, ACT, desk=DESK, reason="测试"),
    "in a wider case": lambda it: machine.open_case(it, ACT, case="wider", cause="path"),
}


@pytest.mark.parametrize("step", GONE.values(), ids=GONE.keys())
def test_it_ends_when_its_object_is_gone(step: Callable[[Ticket], Change]) -> None:
    before = disputed()
    change = step(before)
    assert not disputes.is_between_units(change.ticket)
    [ended] = [event for event in change.events if event.kind == "case.ended"]
    assert dict(ended.facts) == {"case": before.case}
    undisputed = step(led())
    assert "case.ended" not in kinds(undisputed)


def test_a_wider_case_stands_after_the_narrow_one_ended() -> None:
    assert machine.open_case(disputed(), ACT, case="wider", cause="path").ticket.case == "wider"


def test_a_case_of_authorities_is_not_ended_by_what_units_do() -> None:
    wider = machine.open_case(led(), ACT, case=f"{led().number}-130000-1-0", cause="path").ticket
    moved = machine.hand_on(wider, ACT, number=1, to=a_commission(OTHER, LEAD))
    assert moved.ticket.case == wider.case


def test_an_assisting_unit_that_goes_ends_no_dispute() -> None:
    assert disputes.is_between_units(machine.hand_on(disputed(), ACT, number=2, to=None).ticket)


def test_a_ruling_closes_it_without_ending_it() -> None:
    before = disputed()
    change = rulings.close_case(before, ACT, case=before.case, ruling=1, target=UNIT.unit)
    assert (change.ticket.case, kinds(change)) == ("", ["case.ruled"])


def test_who_has_it_by_a_ruling_gives_nothing_back() -> None:
    ticket = led()
    assert disputes.return_bar(ticket, ticket.assignments[0]) == ""
    kept = disputes.bound(ticket, ACT, mode=DispatchMode.RULING)
    assert "by a ruling" in disputes.return_bar(kept.ticket, kept.ticket.assignments[0])
    assert disputes.return_bar(kept.ticket, kept.ticket.assignments[1]) == ""
    assert kinds(kept) == ["assignment.upheld"]
    assert not disputes.bound(kept.ticket, ACT, mode=DispatchMode.RULING).events
    assert "in case" in disputes.return_bar(disputed(), ticket.assignments[0])


@pytest.mark.parametrize(
    ("rule", "target", "is_barred"),
    [
        ("ruling.13010020260302000000013-130100-0-0.r1", UNIT.unit, True),
        ("ruling.13010020260302000000013-130100-0-0.r1", OTHER.unit, False),
        ("cn.duties", UNIT.unit, False),
    ],
)
def test_what_a_rule_out_of_a_ruling_gave_is_not_given_back(
    rule: str, target: str, is_barred: bool
) -> None:
    ticket = machine.decided(led(), a_decision(rule=rule, target=target))
    assert bool(disputes.return_bar(ticket, ticket.assignments[0])) is is_barred


def test_the_desk_is_bound_to_nothing() -> None:
    waiting = machine.triage(a_ticket(), ACT, desk=DESK, reason="测试").ticket
    assert not disputes.bound(waiting, ACT, mode=DispatchMode.RULING).events


def test_numbers_of_other_tickets_and_authorities_are_not_its_own() -> None:
    ticket = led()
    for case in ("", f"{ticket.number}9-{ticket.authority}-0-0", f"{ticket.number}-130000-0-0"):
        assert not disputes.is_between_units(replace(ticket, case=case))
    assert ticket.assignments[0].state is AssignmentState.ASSIGNED
