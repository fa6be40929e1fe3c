"""Conditions of rules: CEL over `hotline.routing.v1.RoutingFacts`, which has no personal field.

The variable is `facts`; enums are named without their package (`TicketType.TICKET_TYPE_COMPLAINT`).
A message is made of the facts once per ticket, and only when a rule with a condition selects it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from gateway.kernel.expressions import Bound, Fault, Language, Outcome, Program
from gateway.routing.codec import facts_to_pb
from gateway.routing.model import Condition, ConditionFault, RoutingFacts, Verdict
from hotline.routing.v1 import routing_service_pb2 as routing_pb

VARIABLE = "facts"
CONTAINER = "hotline.ticket.v1"
_VERDICTS = {
    outcome: Verdict(holds=outcome is Outcome.TRUE, error=outcome.value if outcome.is_error else "")
    for outcome in Outcome
}


class CelConditions:
    """Compiles conditions; `routing.model.Conditions`."""

    def __init__(self) -> None:
        """Declare the variable `facts`."""
        self._language = Language(routing_pb.RoutingFacts, variable=VARIABLE, container=CONTAINER)
        # The ticket looked at last: one decision asks many conditions about the same facts.
        self._last: tuple[RoutingFacts, Bound] | None = None

    def compile(self, text: str) -> Condition | ConditionFault:
        """Return the condition of a text, or what is wrong with it."""
        match self._language.compile(text):
            case Fault(line, column, problem, advice):
                return ConditionFault(line, column, problem, advice)
            case Program() as program:
                return _CelCondition(program, self)

    def bind(self, facts: RoutingFacts) -> Bound:
        """Return the facts as programs look at them."""
        last = self._last
        if last is None or last[0] is not facts:
            last = (facts, self._language.bind(facts_to_pb(facts)))
            self._last = last
        return last[1]


@dataclass(frozen=True, slots=True, eq=False)
class _CelCondition:
    program: Program
    owner: CelConditions

    @property
    def text(self) -> str:
        return self.program.text

    def test(self, facts: RoutingFacts) -> Verdict:
        return _VERDICTS[self.program.evaluate(self.owner.bind(facts))]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _CelCondition) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


@cache
def cel_conditions() -> CelConditions:
    """Return the conditions of this process; declaring the language takes milliseconds."""
    return CelConditions()
