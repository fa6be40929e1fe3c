"""Whatever units, the desk and bodies answer, in any order: one is responsible, at every instant.

No unit returns twice, the ticket is returned twice at most, no clock of the ticket moves, and what
would be a circle or a third unit by returns is never granted: it is a case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.kernel.codes import AssignmentRole, ReturnReason, ReturnState
from gateway.kernel.errors import LubiaoError
from gateway.tickets import changes, disputes, machine, requests, returns
from gateway.tickets.model import Act, Change, Ticket, UnitPlace
from gateway.tickets.requests import Wish
from gateway.tickets.returns import Filing
from tests.unit.tickets.builders import ACT, CLOCKS, NOW, UNIT, a_commission, a_ticket

UNITS = tuple(replace(UNIT, unit=f"units/120101-JT-{number}") for number in range(1, 6))
BODY = UnitPlace("units/120101-SWU-1", "测试税务局", "120000-p2")
NAMED = st.sampled_from(UNITS)
NUMBERS = st.sampled_from((0, 0, 0, 1, 2))  # 0: the return that is open


class Answers(RuleBasedStateMachine):
    """A ticket at its units, from the first assignment on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        change = machine.assign(
            a_ticket(), ACT, commissions=(a_commission(UNITS[0]),), clocks=CLOCKS
        )
        self.ticket = change.ticket
        self.cases = 0

    def which(self, number: int) -> int:
        waiting = self.ticket.open_return
        return number or (waiting.number if waiting is not None else 1)

    def take(self, step: Callable[[Ticket, Act], Change]) -> None:
        self.now += timedelta(minutes=1)
        try:
            after = step(self.ticket, replace(ACT, now=self.now)).ticket
        except LubiaoError:
            return
        assert after.revision > self.ticket.revision or after == self.ticket
        self.ticket = after

    def open_case(self, ticket: Ticket, act: Act, cause: str) -> Change:
        if ticket.case:
            return Change(ticket)
        self.cases += 1
        case = f"{disputes.prefix_of(ticket)}{self.cases}"
        return disputes.opened(ticket, act, case=case, cause=cause)

    def disputed(self, ticket: Ticket, act: Act, number: int, cause: str) -> Change:
        opened = self.open_case(ticket, act, cause)
        left = returns.dispute(opened.ticket, act, number=number, cause=cause)
        return changes.then(opened, left)

    @rule(owner=NAMED)
    def file(self, owner: UnitPlace) -> None:
        def step(ticket: Ticket, act: Act) -> Change:
            lead = ticket.lead
            assert lead is not None
            filing = Filing(
                assignment=lead.number,
                reason=ReturnReason.WRONG_FUNCTION,
                clause="条款（测试）",
                proposed_owner=owner.unit,
                window_end=lead.assign_time + timedelta(hours=4),
                review_due=act.now + timedelta(hours=4),
            )
            filed = returns.file(ticket, act, filing)
            made = filed.ticket.returns[-1]
            if not returns.is_disclaimed(filed.ticket, made):
                return filed
            return changes.then(filed, self.disputed(filed.ticket, act, made.number, "disclaimed"))

        self.take(step)

    @rule(number=NUMBERS)
    def grant(self, number: int) -> None:
        self.take(lambda ticket, act: self.granted(ticket, act, self.which(number)))

    def granted(self, ticket: Ticket, act: Act, number: int) -> Change:
        decided = returns.review(ticket, act, number=number, is_granted=True, basis="准")
        found = returns.find(ticket, number)
        if cause := returns.ground(ticket, number=number, to=found.proposed_owner):
            return self.disputed(ticket, act, number, cause)
        return self.moved(decided, act, found.assignment, found.proposed_owner)

    def moved(self, decided: Change, act: Act, assignment: int, to: str) -> Change:
        heir = a_commission(UnitPlace(to, "测试单位", "120000-p1"))
        handed = machine.hand_on(decided.ticket, act, number=assignment, to=heir)
        return changes.then(decided, handed)

    @rule(number=NUMBERS)
    def refuse(self, number: int) -> None:
        def step(ticket: Ticket, act: Act) -> Change:
            which = self.which(number)
            refused = returns.review(ticket, act, number=which, is_granted=False, basis="驳")
            if len(returns.refusals(refused.ticket)) < returns.REFUSALS_MAX:
                return refused
            return changes.then(refused, self.open_case(refused.ticket, act, "refusals"))

        self.take(step)

    @rule(number=NUMBERS, hours=st.integers(0, 9))
    def stand_by(self, number: int, hours: int) -> None:
        until, which = self.now + timedelta(hours=hours), self.which(number)
        self.take(lambda ticket, act: returns.stand_by(ticket, act, number=which, until=until))

    @rule(number=NUMBERS, unit=NAMED)
    def counter(self, number: int, unit: UnitPlace) -> None:
        which = self.which(number)
        self.take(lambda ticket, act: returns.counter(ticket, act, number=which, unit=unit.unit))

    @rule(number=NUMBERS, unit=NAMED)
    def agree(self, number: int, unit: UnitPlace) -> None:
        def step(ticket: Ticket, act: Act) -> Change:
            which = self.which(number)
            decided = returns.agree(ticket, act, number=which, unit=unit.unit)
            found = returns.find(ticket, which)
            to = found.counter_proposal
            cause = returns.ground(ticket, number=which, to=to)
            if cause and unit.unit != to:
                return self.disputed(ticket, act, which, cause)
            return self.moved(decided, act, found.assignment, to)

        self.take(step)

    @rule(number=NUMBERS)
    def ask_and_inform(self, number: int) -> None:
        which = self.which(number)
        self.take(lambda ticket, act: returns.ask(ticket, act, number=which, question="问"))
        self.take(lambda ticket, act: returns.inform(ticket, act, number=which, answer="答"))

    @rule(unit=NAMED)
    def claim(self, unit: UnitPlace) -> None:
        def step(ticket: Ticket, act: Act) -> Change:
            decided = returns.claim(ticket, act, unit=unit.unit)
            lead = ticket.lead
            assert lead is not None
            return self.moved(decided, act, lead.number, unit.unit)

        self.take(step)

    @rule()
    def silence(self) -> None:
        waiting = self.ticket.open_return
        if waiting is not None:
            self.now = max(self.now, waiting.review_due_time)
            self.take(lambda ticket, act: self.disputed(ticket, act, waiting.number, "silence"))

    @rule()
    def ask_a_body(self) -> None:
        wish = Wish(place=BODY, due=self.now + timedelta(hours=4))
        self.take(lambda ticket, act: requests.ask(ticket, act, wish))

    @rule(number=NUMBERS, is_accepted=st.booleans())
    def answer_of_the_body(self, number: int, is_accepted: bool) -> None:
        def step(ticket: Ticket, act: Act) -> Change:
            which = number or len(ticket.unit_requests)
            if not is_accepted:
                return requests.decline(
                    ticket, act, number=which, reason=ReturnReason.WRONG_FUNCTION, clause="条"
                )
            taken = requests.accept(ticket, act, number=which, clause="条")
            found = requests.find(ticket, which)
            return self.moved(taken, act, found.bound, found.unit)

        self.take(step)

    @rule()
    def sign_and_contact(self) -> None:
        lead = self.ticket.lead
        assert lead is not None
        self.take(lambda ticket, act: machine.sign(ticket, act, number=lead.number))
        at = self.now
        self.take(
            lambda ticket, act: machine.contact(
                ticket, act, number=lead.number, method="PHONE", contact_time=at
            )
        )

    @invariant()
    def exactly_one_is_responsible(self) -> None:
        leads = [item for item in self.ticket.assignments if item.is_lead and item.is_open]
        assert len(leads) == 1

    @invariant()
    def nobody_returns_twice_and_the_ticket_twice_at_most(self) -> None:
        tried = [item for item in self.ticket.returns if item.state is not ReturnState.LAPSED]
        units = [item.unit for item in tried]
        assert len(set(units)) == len(units)
        assert len(tried) <= returns.RETURNS_PER_TICKET_MAX
        assert sum(item.is_open for item in self.ticket.returns) <= 1

    @invariant()
    def no_clock_moves(self) -> None:
        assert self.ticket.due_time == CLOCKS.due
        assert self.ticket.dispatch_due_time == CLOCKS.dispatch_due

    @invariant()
    def what_waits_belongs_to_who_is_responsible(self) -> None:
        waiting, asked, lead = self.ticket.open_return, self.ticket.open_request, self.ticket.lead
        assert lead is not None
        assert waiting is None or waiting.assignment == lead.number
        assert asked is None or asked.bound == lead.number

    @invariant()
    def who_reads_along_was_asked(self) -> None:
        reads = [item for item in self.ticket.assignments if item.role is AssignmentRole.READ]
        assert sum(item.is_open for item in reads) == (self.ticket.open_request is not None)


TestAnswers = Answers.TestCase
TestAnswers.settings = settings(stateful_step_count=40, deadline=None)
