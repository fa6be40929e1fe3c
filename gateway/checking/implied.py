"""What a rule's action needs of a ticket: without it the rule says nothing, as if not selected.

`merge` needs the ticket that it is a duplicate of, `offer` to a fact's region needs the fact. For
the analysis that is one more condition, so that a rule which merges duplicates does not seem to
hide every rule after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.routing.model import (
    Condition,
    DestinationState,
    Merge,
    Offer,
    RegionFact,
    RoutingFacts,
    Rule,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Needing:
    """A rule's own condition, if any, and that a fact is given."""

    fact: str
    is_list: bool
    own: Condition | None

    @property
    def text(self) -> str:
        """The two as one expression."""
        given = f"facts.{self.fact}.size() > 0" if self.is_list else f"facts.{self.fact} != ''"
        return given if self.own is None else f"({self.own.text}) && {given}"

    @property
    def names_destination(self) -> bool:
        """Whether the rule's own condition looks at the destination."""
        return self.own is not None and self.own.names_destination

    def test(self, facts: RoutingFacts, destination: DestinationState | None = None) -> Verdict:
        """Evaluate both."""
        if not getattr(facts, self.fact):
            return Verdict(holds=False)
        return Verdict(holds=True) if self.own is None else self.own.test(facts, destination)


def condition_of(rule: Rule) -> Condition | None:
    """Return what must hold beside the other selectors for a rule to say anything."""
    own = rule.selectors.condition
    match rule.action:
        case Merge():
            return Needing("duplicate_of", is_list=False, own=own)
        case Offer(fact=RegionFact() as fact):
            return Needing(fact.word, is_list=fact is RegionFact.PASSING, own=own)
        case _:
            return own
