"""What the index could not tell of a rule: judged, traced, and reported when it fails.

A condition that cannot be evaluated makes its rule not match; the ticket goes on. The trace says
so, and a `RuleFailure` is for the rule's owner.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.routing.facts import DestinationState, Moment, RoutingFacts
from gateway.routing.model import Outcome, RuleFailure
from gateway.routing.packs import Candidate
from gateway.routing.selecting import judge
from gateway.routing.trace import TraceLog


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the candidates of one ticket."""

    facts: RoutingFacts
    moment: Moment
    log: TraceLog

    def selects(self, candidate: Candidate, destination: DestinationState | None = None) -> bool:
        """Tell whether a candidate selects the ticket; note why when it does not."""
        if candidate.selects(self.facts, self.moment):
            return True
        rule, pack = candidate.rule, candidate.pack
        judgement = judge(rule.selectors, self.facts, self.moment, destination)
        if not judgement.missing:
            return True
        reason = f"条件不符：{'、'.join(judgement.missing)}"
        self.log.note(Outcome.FAILED, pack=pack.label, rule=rule.id, reason=reason)
        if judgement.error:
            self.log.fail(
                RuleFailure(
                    pack=pack.pack,
                    version=pack.version,
                    rule=rule.id,
                    owner=rule.owner,
                    error=judgement.error,
                )
            )
        return False
