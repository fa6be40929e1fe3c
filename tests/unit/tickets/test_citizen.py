"""Acts of the citizen: each is carried out at most once, in order, whatever comes when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.codes import AssignmentState, CitizenActKind, Solved, TicketState
from gateway.kernel.errors import QuotaExceeded, ResourceNotFound, TransitionNotAllowed
from gateway.tickets import citizen, machine
from gateway.tickets.model import CITIZEN_ACTS_MAX, QUESTIONS_MAX, CitizenAct, Ticket
from gateway.tickets.states import TICKET, Step
from tests.unit.tickets.builders import ACT, CLOCKS, NOW, a_commission, a_ticket

Kind = CitizenActKind
ACTS = (Kind.SUPPLEMENT, Kind.URGE, Kind.REOPEN, Kind.WITHDRAW)


def an_act(number: int, kind: CitizenActKind = Kind.URGE) -> CitizenAct:
    return CitizenAct(number=number, kind=kind, act_time=NOW)


def resolved() -> Ticket:
    ticket = machine.assign(a_ticket(), ACT, commissions=(a_commission(),), clocks=CLOCKS).ticket
    ticket = machine.sign(ticket, ACT, number=1).ticket
    return machine.resolve(ticket, ACT, number=1, solved=Solved.SOLVED).ticket


def settled(ticket: Ticket, *, is_free: bool, done: list[int]) -> Ticket:
    """Carry out what is due, as dispatch does, and note each number that was."""
    while item := citizen.next_due(ticket, is_free=is_free):
        try:
            if item.kind in citizen.CARE:
                ticket = citizen.note_care(ticket, ACT, item).ticket
            elif item.kind is Kind.WITHDRAW:
                ticket = machine.withdraw(citizen.applied(ticket, item), ACT).ticket
            else:
                ticket = machine.reopen(citizen.applied(ticket, item), ACT).ticket
            done.append(item.number)
        except TransitionNotAllowed as error:
            ticket = citizen.refuse(
                ticket, ACT, item, reason=error.reason, text=error.text()
            ).ticket
    return ticket


@given(
    kinds=st.lists(st.sampled_from(ACTS), min_size=1, max_size=6),
    data=st.data(),
    state=st.sampled_from(["received", "resolved"]),
)
def test_each_act_is_carried_out_at_most_once_under_any_order_and_repeats(
    kinds: list[CitizenActKind], data: st.DataObject, state: str
) -> None:
    ticket = a_ticket() if state == "received" else resolved()
    numbers = list(range(1, len(kinds) + 1))
    arrivals = data.draw(st.permutations(numbers + numbers))
    done: list[int] = []
    before = 0
    for number in arrivals:
        item = an_act(number, kinds[number - 1])
        if citizen.is_new(ticket, number):
            ticket = citizen.keep(ticket, ACT, item).ticket
        ticket = settled(ticket, is_free=data.draw(st.booleans()), done=done)
        assert before <= citizen.act_number_done(ticket)
        before = citizen.act_number_done(ticket)
    ticket = settled(ticket, is_free=True, done=done)

    assert len(done) == len(set(done))
    ends = [number for number in done if kinds[number - 1] not in citizen.CARE]
    assert ends == sorted(ends)
    assert citizen.act_number_done(ticket) == len(kinds)
    refused = {item.number for item in ticket.citizen_acts if item.refusal}
    assert refused.isdisjoint(done)
    assert refused | set(done) == set(numbers)


def test_an_act_waits_for_the_one_before_it() -> None:
    ticket = citizen.keep(a_ticket(), ACT, an_act(2)).ticket
    assert citizen.next_due(ticket, is_free=True) is None
    ticket = citizen.keep(ticket, ACT, an_act(1)).ticket
    due = citizen.next_due(ticket, is_free=True)
    assert due is not None
    assert due.number == 1


def test_care_does_not_wait_for_an_offer_to_end() -> None:
    ticket = citizen.keep(a_ticket(), ACT, an_act(1, Kind.WITHDRAW)).ticket
    ticket = citizen.keep(ticket, ACT, an_act(2, Kind.URGE)).ticket
    due = citizen.next_due(ticket, is_free=False)
    assert due is not None
    assert due.kind is Kind.URGE
    carried = citizen.note_care(ticket, ACT, due).ticket
    assert citizen.next_due(carried, is_free=False) is None
    assert citizen.act_number_done(carried) == 0


def test_what_an_earlier_custodian_did_is_not_done_again_and_its_text_is_kept() -> None:
    ticket = citizen.taken_as_done(a_ticket(), 2, NOW)
    assert citizen.next_due(ticket, is_free=True) is None
    assert citizen.is_new(ticket, 1)
    ticket = citizen.keep(ticket, ACT, an_act(1, Kind.SUPPLEMENT)).ticket
    assert not citizen.is_new(ticket, 1)
    assert (ticket.citizen_acts[0].kind, ticket.citizen_acts[0].applied) == (Kind.SUPPLEMENT, True)
    assert citizen.act_number_done(ticket) == 2


@pytest.mark.parametrize("state", list(TicketState))
def test_a_message_is_withdrawn_only_before_its_result(state: TicketState) -> None:
    ticket = a_ticket(state=state)
    if (state, Step.WITHDRAW) in TICKET:
        change = machine.withdraw(ticket, ACT)
        assert change.ticket.state is TicketState.WITHDRAWN
        assert change.events[-1].kind == "ticket.withdrawn"
        return
    with pytest.raises(TransitionNotAllowed):
        machine.withdraw(ticket, ACT)


def test_withdrawing_ends_the_assignments() -> None:
    ticket = machine.assign(a_ticket(), ACT, commissions=(a_commission(),), clocks=CLOCKS).ticket
    assert machine.withdraw(ticket, ACT).ticket.lead is None


@pytest.mark.parametrize("state", [state for state in TicketState if state.name != "RESOLVED"])
def test_only_a_resolved_ticket_is_reopened(state: TicketState) -> None:
    with pytest.raises(TransitionNotAllowed):
        machine.reopen(a_ticket(state=state), ACT)


def test_the_lead_unit_of_a_reopened_ticket_goes_on() -> None:
    ticket = machine.reopen(resolved(), ACT).ticket
    assert ticket.state is TicketState.REOPENED
    lead = ticket.lead
    assert lead is not None
    assert (lead.state, lead.done_time) == (AssignmentState.SIGNED, None)
    contacted = machine.contact(ticket, ACT, number=1, method="PHONE", contact_time=NOW).ticket
    assert contacted.state is TicketState.HANDLING
    again = machine.resolve(ticket, ACT, number=1, solved=Solved.SOLVED).ticket
    assert again.state is TicketState.RESOLVED


@pytest.mark.parametrize("step", [machine.withdraw, machine.reopen])
def test_a_followed_copy_ends_and_reopens_nothing(step: object) -> None:
    followed = replace(resolved(), followed=True)
    with pytest.raises(TransitionNotAllowed, match="followed"):
        step(followed, ACT)  # type: ignore[operator] # one of two steps


def test_refusals_of_the_custodian_are_shown_once() -> None:
    ticket = citizen.keep(a_ticket(followed=True), ACT, an_act(1)).ticket
    ticket = citizen.keep(ticket, ACT, an_act(2, Kind.REOPEN)).ticket
    refused = replace(an_act(2, Kind.REOPEN), refusal="TRANSITION_NOT_ALLOWED")
    change = citizen.learned(ticket, ACT, done=2, refused=(refused,))
    assert [(item.applied, item.refusal) for item in change.ticket.citizen_acts] == [
        (True, ""),
        (False, "TRANSITION_NOT_ALLOWED"),
    ]
    assert [event.kind for event in change.events] == ["citizen.refused"]
    again = citizen.learned(change.ticket, ACT, done=2, refused=(refused,))
    assert again.ticket is change.ticket


def test_acts_are_numbered_to_a_bound() -> None:
    acts = tuple(an_act(number) for number in range(1, CITIZEN_ACTS_MAX + 1))
    assert citizen.next_number(a_ticket(citizen_acts=acts[:-1])) == CITIZEN_ACTS_MAX
    with pytest.raises(QuotaExceeded):
        citizen.next_number(a_ticket(citizen_acts=acts))


def test_a_question_is_answered_once() -> None:
    change, question = citizen.ask(a_ticket(), ACT, asker="120000")
    assert [event.kind for event in change.events] == ["information.requested"]
    asked = citizen.open_question(change.ticket, 1)
    later = NOW + timedelta(hours=1)
    answered = citizen.answer(change.ticket, ACT, asked, at=later).ticket
    assert [item.answer_time for item in answered.questions] == [later]
    with pytest.raises(TransitionNotAllowed):
        citizen.open_question(answered, question.number)
    with pytest.raises(ResourceNotFound):
        citizen.open_question(answered, 2)


@pytest.mark.parametrize("changes", [{"followed": True}, {"state": TicketState.CLOSED}])
def test_only_the_custodian_of_an_open_ticket_asks(changes: dict[str, Any]) -> None:
    with pytest.raises(TransitionNotAllowed):
        citizen.ask(a_ticket(**changes), ACT, asker="120000")


def test_questions_are_numbered_to_a_bound() -> None:
    ticket = a_ticket()
    for _ in range(QUESTIONS_MAX):
        ticket = citizen.ask(ticket, ACT, asker="120000")[0].ticket
    with pytest.raises(QuotaExceeded):
        citizen.ask(ticket, ACT, asker="120000")
