"""The steps of a copy that a ruling brings."""

from __future__ import annotations

import pytest

from gateway.kernel.codes import TicketState
from gateway.tickets import rulings
from gateway.tickets.machine import assign
from tests.unit.tickets.builders import ACT, CLOCKS, a_commission, a_ticket


def test_the_case_that_was_decided_is_off_the_copy_and_another_is_not() -> None:
    waiting = a_ticket(case="case-1")
    ruled = rulings.close_case(waiting, ACT, case="case-1", ruling=1, target="130000")
    assert (ruled.ticket.case, ruled.events[0].kind) == ("", "case.ruled")
    assert ruled.ticket.revision == waiting.revision + 1
    other = rulings.close_case(waiting, ACT, case="case-2", ruling=2, target="130000")
    assert other.ticket.case == "case-1"


def test_an_interim_order_is_noted_and_leaves_the_case() -> None:
    waiting = a_ticket(case="case-1")
    ordered = rulings.order_meanwhile(waiting, ACT, case="case-1", ruling=1, target="130000")
    assert (ordered.ticket.case, ordered.events[0].kind) == ("case-1", "case.ordered")


def test_an_overruled_copy_keeps_its_state_and_its_lead() -> None:
    held = assign(a_ticket(), ACT, commissions=(a_commission(),), clocks=CLOCKS).ticket
    overruled = rulings.overrule(held, ACT, ruling=1, target="130000")
    assert overruled.ticket.state is held.state
    assert overruled.ticket.lead == held.lead
    assert overruled.events[0].kind == "ticket.overruled"


@pytest.mark.parametrize("state", list(TicketState))
def test_a_followed_copy_is_held_by_a_ruling_in_any_state(state: TicketState) -> None:
    followed = a_ticket(followed=True, custodian="130000", state=state)
    taken = rulings.take(followed, ACT, ruling=2, source="130000").ticket
    assert not taken.followed
    assert taken.custodian == "120000"
    is_settled = state is TicketState.RESOLVED or followed.is_final
    assert taken.state is (state if is_settled else TicketState.RECEIVED)
