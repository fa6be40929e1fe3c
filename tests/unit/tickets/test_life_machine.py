"""Whatever units and the desk do, in any order: one is responsible, and the clock is kept.

Every step that could run is run at a time of its own; a refused one must change nothing. The due
time may move in one step only, the grant of an extension.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.kernel.codes import (
    AssignmentRole,
    ExtensionReason,
    ExtensionState,
    ReturnReason,
    ReturnState,
    Solved,
    TicketState,
)
from gateway.kernel.errors import LubiaoError
from gateway.tickets import changes, extensions, machine, returns
from gateway.tickets.extensions import Review, Wish
from gateway.tickets.model import Act, Change, Clocks, Ticket, UnitPlace
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

UNITS = tuple(replace(UNIT, unit=f"units/120101-JT-{number}") for number in range(1, 5))
NUMBERS = st.integers(1, 6)
HOURS = st.integers(0, 9)
HOPS_MAX = 3  # more hand-overs become a case (I5)
OTHER_CLOCKS = Clocks(NOW, NOW + timedelta(days=99), False)


class Life(RuleBasedStateMachine):
    """A ticket at its custodian, from its first assignment on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        commissions = (a_commission(UNITS[0]), a_commission(OTHER, AssignmentRole.ASSIST))
        change = machine.assign(a_ticket(), ACT, commissions=commissions, clocks=CLOCKS)
        self.ticket = change.ticket
        self.returns_home = 0

    def take(self, step: Callable[[Ticket, Act], Change], *, moves_due: bool = False) -> None:
        before = self.ticket
        try:
            change = step(before, replace(ACT, now=self.now))
        except LubiaoError:
            return
        self.ticket = change.ticket
        if not moves_due:
            assert self.ticket.due_time == before.due_time
        assert self.ticket.due_time >= before.due_time
        if change.events:
            assert self.ticket.revision > before.revision
        for old, new in zip(before.returns, self.ticket.returns, strict=False):
            assert old.state is ReturnState.FILED or old == new  # what is decided stays so
        for was, now in zip(before.extensions, self.ticket.extensions, strict=False):
            assert was.state is ExtensionState.ASKED or was == now

    @rule(hours=HOURS)
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours * hours)

    @rule(number=NUMBERS)
    def sign(self, number: int) -> None:
        self.take(lambda ticket, act: machine.sign(ticket, act, number=number))

    @rule(number=NUMBERS)
    def resolve(self, number: int) -> None:
        self.take(lambda t, act: machine.resolve(t, act, number=number, solved=Solved.SOLVED))

    @rule()
    def reopen(self) -> None:
        self.take(machine.reopen)

    @rule(unit=st.sampled_from(UNITS))
    def assign(self, unit: UnitPlace) -> None:
        commissions = (a_commission(unit), a_commission(OTHER, AssignmentRole.ASSIST))
        self.take(
            lambda t, act: machine.assign(t, act, commissions=commissions, clocks=OTHER_CLOCKS)
        )

    @rule()
    def triage(self) -> None:
        self.take(lambda t, act: machine.triage(t, act, desk=DESK, reason="测试"))

    @rule(number=NUMBERS, owner=st.sampled_from(UNITS))
    def file(self, number: int, owner: UnitPlace) -> None:
        filing = Filing(
            assignment=number,
            reason=ReturnReason.WRONG_FUNCTION,
            clause="测试条款",
            proposed_owner=owner.unit,
            window_end=self.now,
            review_due=self.now,
        )
        self.take(lambda t, act: returns.file(t, act, filing))

    @rule(number=NUMBERS, is_granted=st.booleans(), place=st.sampled_from((*UNITS, DESK)))
    def review_return(self, number: int, is_granted: bool, place: UnitPlace) -> None:
        def step(ticket: Ticket, act: Act) -> Change:
            change = returns.review(ticket, act, number=number, is_granted=is_granted, basis="测试")
            if not is_granted:
                return change
            assignment = returns.find(ticket, number).assignment
            moved = machine.hand_on(change.ticket, act, number=assignment, to=a_commission(place))
            return changes.then(change, moved)

        self.take(step)

    @rule(number=NUMBERS, hours=HOURS)
    def ask_for_time(self, number: int, hours: int) -> None:
        new_due = self.ticket.due_time + timedelta(hours=hours)
        wish = Wish(
            assignment=number,
            reason=ExtensionReason.COMPLEX,
            basis="测试",
            new_due=new_due,
            latest=new_due,
        )
        self.take(lambda t, act: extensions.ask(t, act, wish))

    @rule(number=NUMBERS, is_granted=st.booleans())
    def review_extension(self, number: int, is_granted: bool) -> None:
        review = Review(number=number, is_granted=is_granted, is_citizen_told=True, basis="测试")
        self.take(lambda t, act: extensions.review(t, act, review), moves_due=is_granted)

    @precondition(lambda self: self.returns_home < HOPS_MAX and len(self.ticket.assignments) < 18)
    @rule()
    def leave_and_come_back(self) -> None:
        """Custody goes and comes; the desk has the ticket until it is dispatched again."""
        self.returns_home += 1
        self.take(lambda t, act: machine.release(t, act, successor="130000", epoch="0.1"))
        assert self.ticket.open_return is None
        assert self.ticket.open_extension is None
        self.take(lambda t, act: machine.take_over(t, act, source="130000", epoch="0.2"))
        self.take(lambda t, act: machine.triage(t, act, desk=DESK, reason="测试"))

    @invariant()
    def exactly_one_unit_or_desk_is_responsible(self) -> None:
        open_leads = [each for each in self.ticket.assignments if each.is_lead and each.is_open]
        if self.ticket.state in {TicketState.RESOLVED, TicketState.REOPENED}:
            assert len(open_leads) <= 1  # it may have come here resolved
            return
        assert len(open_leads) == 1

    @invariant()
    def what_waits_for_the_desk_belongs_to_an_open_assignment(self) -> None:
        ticket = self.ticket
        if ticket.open_return is not None:
            [held] = [a for a in ticket.assignments if a.number == ticket.open_return.assignment]
            assert held.is_open
        if ticket.open_extension is not None:
            assert ticket.lead is not None
            assert ticket.lead.unit == ticket.open_extension.unit

    @invariant()
    def the_bounds_hold(self) -> None:
        tried = [each for each in self.ticket.returns if each.state is not ReturnState.LAPSED]
        assert len(tried) <= returns.RETURNS_PER_TICKET_MAX
        assert len({each.unit for each in tried}) == len(tried)
        granted = [e for e in self.ticket.extensions if e.state is ExtensionState.GRANTED]
        assert len(granted) <= extensions.GRANTED_MAX


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30)
