"""A return moves nothing until it is granted; what is too late or tried before says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    DispatchMode,
    PlatformState,
    ReturnReason,
    ReturnState,
    Solved,
    TicketState,
)
from gateway.kernel.errors import (
    CasePending,
    FieldInvalid,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.time import Instant
from gateway.tickets import disputes, machine, returns
from gateway.tickets.model import Act, Change, Ticket
from gateway.tickets.projection import platform_state
from gateway.tickets.returns import Filing
from gateway.tickets.states import RETURN, Step
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

THIRD = "units/120101-SJ-1"


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


def test_after_its_window_a_return_is_refused_to_the_second() -> None:
    filing = a_filing()
    in_time = returns.file(assigned(), act_at(filing.window_end), filing).ticket
    assert in_time.open_return is not None
    with pytest.raises(TransitionNotAllowed, match="tell the desk"):
        returns.file(assigned(), act_at(filing.window_end + timedelta(seconds=1)), filing)


def test_what_a_return_lacks_is_named_all_at_once() -> None:
    with pytest.raises(FieldInvalid) as caught:
        filed(reason=ReturnReason.UNSPECIFIED, clause=" ", proposed_owner=UNIT.unit)
    assert [name for name, _ in caught.value.violations] == ["reason", "clause", "proposed_owner"]


def test_an_invalid_return_is_an_event_that_changes_nothing() -> None:
    before = assigned()
    change = returns.invalid(before, ACT, reason="FIELD_INVALID", missing="clause")
    assert change.ticket == before
    [event] = change.events
    facts = (("reason", "FIELD_INVALID"), ("missing", "clause"))
    assert (event.kind, event.facts) == ("return.invalid", facts)


def test_nothing_is_returned_in_a_case_or_after_a_ruling() -> None:
    with pytest.raises(CasePending):
        filed(replace(assigned(), case="c-1"))
    ticket = assigned()
    ruled = ticket.with_assignment(replace(ticket.assignments[0], mode=DispatchMode.RULING))
    with pytest.raises(TransitionNotAllowed, match="by a ruling"):
        filed(ruled)
    told = ticket.with_assignment(replace(ticket.assignments[0], role=AssignmentRole.READ))
    with pytest.raises(TransitionNotAllowed, match="read along"):
        filed(told)


def test_every_state_of_a_return_takes_a_step_or_refuses_it_and_changes_nothing() -> None:
    later = NOW + timedelta(days=2)
    steps: dict[Step, Callable[[Ticket], Change]] = {
        Step.GRANT: lambda ticket: reviewed(ticket, is_granted=True),
        Step.REFUSE: lambda ticket: reviewed(ticket, is_granted=False),
        Step.STAND_BY: lambda ticket: returns.stand_by(ticket, ACT, number=1, until=later),
        Step.COUNTER: lambda ticket: returns.counter(ticket, ACT, number=1, unit=THIRD),
        Step.ASK: lambda ticket: returns.ask(ticket, ACT, number=1, question="何处（测试）"),
        Step.INFORM: lambda ticket: returns.inform(ticket, ACT, number=1, answer="此处（测试）"),
        Step.AGREE: lambda ticket: returns.agree(ticket, ACT, number=1, unit=UNIT.unit),
        Step.DISPUTE: lambda ticket: returns.dispute(ticket, ACT, number=1, cause="silence"),
    }
    for state, (step, take) in product(ReturnState, steps.items()):
        waiting = filed()
        asked = "问（测试）" if step is Step.INFORM else ""
        held = replace(waiting.returns[0], state=state, counter_proposal=THIRD, question=asked)
        ticket = replace(waiting, returns=(held,))
        expected = RETURN.get((state, step))
        if expected is None:
            with pytest.raises(TransitionNotAllowed):
                take(ticket)
            continue
        after = take(ticket).ticket
        assert after.returns[0].state is expected
        assert after.assignments == ticket.assignments
        assert after.due_time == ticket.due_time


def test_a_person_who_is_deciding_moves_the_review_once_and_to_a_later_time() -> None:
    ticket = filed()
    due = ticket.returns[0].review_due_time
    with pytest.raises(FieldInvalid, match="until_time"):
        returns.stand_by(ticket, ACT, number=1, until=due)
    waits = returns.stand_by(ticket, ACT, number=1, until=due + timedelta(hours=1)).ticket
    assert waits.open_return is not None
    assert waits.open_return.review_due_time == due + timedelta(hours=1)
    with pytest.raises(TransitionNotAllowed):
        returns.stand_by(waits, ACT, number=1, until=due + timedelta(hours=2))


def test_the_desk_asks_once_and_the_unit_answers_once() -> None:
    with pytest.raises(TransitionNotAllowed, match="open question"):
        returns.inform(filed(), ACT, number=1, answer="未问（测试）")
    asked = returns.ask(filed(), ACT, number=1, question="依据（测试）").ticket
    with pytest.raises(TransitionNotAllowed, match="once"):
        returns.ask(asked, ACT, number=1, question="再问（测试）")
    told = returns.inform(asked, ACT, number=1, answer="见附件（测试）").ticket
    assert told.returns[0].review_due_time == filed().returns[0].review_due_time
    with pytest.raises(TransitionNotAllowed, match="once"):
        returns.inform(told, ACT, number=1, answer="再答（测试）")


def test_only_the_two_units_of_a_proposal_agree_to_it() -> None:
    with pytest.raises(FieldInvalid, match="counter_proposal"):
        returns.counter(filed(), ACT, number=1, unit=OTHER.unit)
    ticket = returns.counter(filed(), ACT, number=1, unit=THIRD).ticket
    with pytest.raises(FieldInvalid, match="agreed_by"):
        returns.agree(ticket, ACT, number=1, unit=OTHER.unit)
    agreed = returns.agree(ticket, ACT, number=1, unit=THIRD).ticket
    assert agreed.returns[0].state is ReturnState.GRANTED
    assert agreed.returns[0].successor == THIRD


def test_a_ticket_is_claimed_only_from_a_lead_that_returns_it() -> None:
    with pytest.raises(TransitionNotAllowed, match="wants to return it"):
        returns.claim(assigned(), ACT, unit=THIRD)
    both = assigned(AssignmentRole.LEAD, AssignmentRole.ASSIST)
    by_helper = filed(both, assignment=2, proposed_owner=THIRD)
    with pytest.raises(TransitionNotAllowed):
        returns.claim(by_helper, ACT, unit=THIRD)
    with pytest.raises(FieldInvalid, match="unit"):
        returns.claim(filed(), ACT, unit=UNIT.unit)
    assumed = returns.claim(filed(), ACT, unit=THIRD).ticket
    assert assumed.returns[0].state is ReturnState.ASSUMED
    refused = reviewed(filed(), is_granted=False).ticket
    with pytest.raises(TransitionNotAllowed):
        returns.claim(refused, ACT, unit=THIRD)
    case = f"{disputes.prefix_of(refused)}1"
    in_case = disputes.opened(refused, ACT, case=case, cause="refusals").ticket
    assert returns.claim(in_case, ACT, unit=THIRD).ticket.returns[0].state is ReturnState.ASSUMED
    with pytest.raises(CasePending):
        returns.claim(replace(refused, case="wider"), ACT, unit=THIRD)


def test_a_move_back_and_a_third_unit_by_returns_are_disputes() -> None:
    ticket = filed()
    assert returns.ground(ticket, number=1, to=OTHER.unit) == ""
    assert returns.ground(ticket, number=1, to=UNIT.unit) == "path"
    granted = reviewed(ticket, is_granted=True).ticket
    moved = machine.hand_on(granted, ACT, number=1, to=a_commission(OTHER)).ticket
    again = filed(moved, assignment=2, proposed_owner=THIRD)
    assert returns.leads(again) == (UNIT.unit, OTHER.unit)
    assert returns.ground(again, number=2, to=THIRD) == "hops"
    assert returns.ground(again, number=2, to=UNIT.unit) == "path"


def test_two_units_that_name_each_other_disclaim_it() -> None:
    granted = reviewed(filed(), is_granted=True).ticket
    moved = machine.hand_on(granted, ACT, number=1, to=a_commission(OTHER)).ticket
    back = filed(moved, assignment=2, proposed_owner=UNIT.unit)
    assert returns.is_disclaimed(back, back.returns[-1])
    onward = filed(moved, assignment=2, proposed_owner=THIRD)
    assert not returns.is_disclaimed(onward, onward.returns[-1])


def test_a_case_and_a_ruling_leave_nothing_for_the_desk_to_decide() -> None:
    in_case = replace(filed(), case="c-1")
    for is_granted in (True, False):
        with pytest.raises(CasePending):
            reviewed(in_case, is_granted=is_granted)
    ticket = filed()
    upheld = ticket.with_assignment(replace(ticket.assignments[0], mode=DispatchMode.RULING))
    with pytest.raises(TransitionNotAllowed, match="ruling"):
        reviewed(upheld, is_granted=True)


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
