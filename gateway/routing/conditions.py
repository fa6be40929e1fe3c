"""Conditions of rules: CEL over `hotline.routing.v1.RoutingFacts`, which has no personal field.

The variable is `facts`, beside it `destination` (`DestinationState`) in a diversion; enums are
named without their package (`TicketType.TICKET_TYPE_COMPLAINT`). A message is made of the facts
once per ticket, and only when a rule with a condition selects it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from gateway.kernel.errors import InvariantViolated
from gateway.kernel.expressions import Bound, Fault, Language, Outcome, Program
from gateway.routing.codec import destination_to_pb, facts_to_pb
from gateway.routing.facts import (
    Condition,
    ConditionFault,
    DestinationState,
    RoutingFacts,
    Verdict,
)
from hotline.routing.v1 import routing_service_pb2 as routing_pb

VARIABLE = "facts"
DESTINATION = "destination"
CONTAINER = "hotline.ticket.v1"
_VERDICTS = {
    outcome: Verdict(holds=outcome is Outcome.TRUE, error=outcome.value if outcome.is_error else "")
    for outcome in Outcome
}
_TRUE, _FALSE = _VERDICTS[Outcome.TRUE], _VERDICTS[Outcome.FALSE]


class CelConditions:
    """Compiles conditions; `routing.model.Conditions`."""

    def __init__(self) -> None:
        """Declare the variables."""
        self._language = Language(
            routing_pb.RoutingFacts,
            variable=VARIABLE,
            beside={DESTINATION: routing_pb.DestinationState},
            container=CONTAINER,
        )
        # The ticket looked at last: one decision asks many conditions about the same facts.
        self._last: tuple[RoutingFacts, Bound] | None = None

    def compile(self, text: str) -> Condition | ConditionFault:
        """Return the condition of a text, or what is wrong with it."""
        match self._language.compile(text):
            case Fault(line, column, problem, advice):
                return ConditionFault(line, column, problem, advice)
            case Program() as program:
                return _CelCondition(program, self)

    def bind_diversion(self, facts: RoutingFacts, destination: DestinationState) -> Bound:
        """Return the facts and the destination as programs look at them; seldom asked for."""
        return self._language.bind(facts_to_pb(facts), destination=destination_to_pb(destination))

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

    @property
    def names_destination(self) -> bool:
        return DESTINATION in self.program.names

    def test(self, facts: RoutingFacts, destination: DestinationState | None = None) -> Verdict:
        if (plain := self.program.plain) is not None:
            return _TRUE if plain(facts) else _FALSE
        if not self.names_destination:
            return _VERDICTS[self.program.evaluate(self.owner.bind(facts))]
        if destination is None:
            return _FALSE  # there is no normal answer to divert
        bound = self.owner.bind_diversion(facts, destination)
        return _VERDICTS[self.program.evaluate(bound)]

    def __reduce__(self) -> tuple[Callable[[str], Condition], tuple[str]]:
        return _again, (self.text,)  # compiled anew where it arrives

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _CelCondition) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


@cache
def cel_conditions() -> CelConditions:
    """Return the conditions of this process; declaring the language takes milliseconds."""
    return CelConditions()


def _again(text: str) -> Condition:
    """Return a condition that another process of this version has compiled."""
    found = cel_conditions().compile(text)
    if isinstance(found, ConditionFault):
        raise InvariantViolated(
            invariant="a condition compiles in every process alike", got=found.problem
        )
    return found
