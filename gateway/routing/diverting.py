"""Diversion: an exception to the normal answer, made by the state of its destination.

Asked after the normal answer is known, when that is an assignment or an offer. The first diversion
that selects the ticket and can be carried out replaces the answer. It ends by itself with the lease
of the declared state. A diversion is never diverted again, and never goes where it stands no
better, so nothing turns in a circle. What was looked at of the snapshot is remembered, so that the
decision can be replayed (invariant I8). See docs/routing.md#diversion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.kernel.codes import DestinationCondition
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.routing.facts import DestinationState, States
from gateway.routing.judging import Judge
from gateway.routing.model import Action, Outcome, Stage
from gateway.routing.outcomes import Basis, Choice, Outcomes, Refused
from gateway.routing.packs import Candidate
from gateway.routing.selecting import held

_WITH_DESTINATION = frozenset({Action.ASSIGN, Action.OFFER})


@dataclass(slots=True)
class Snapshot:
    """The states of destinations at one instant; remembers which were looked at."""

    states: States
    now: Instant
    used: dict[str, DestinationState] = field(default_factory=dict)

    def of(self, target: str) -> DestinationState:
        """Return how a target stands now: unknown ones, and those whose lease ended, are normal."""
        found = self.states.get(target)
        if found is None:
            return DestinationState(target=target)
        self.used[target] = found
        has_ended = found.lease_until is not None and found.lease_until <= self.now
        return replace(found, state=DestinationCondition.NORMAL) if has_ended else found


@dataclass(frozen=True, slots=True)
class Diverting:
    """Asks the diversions about one ticket."""

    outcomes: Outcomes
    judge: Judge
    snapshot: Snapshot

    def divert(self, normal: Choice, candidates: Iterable[Candidate]) -> Choice:
        """Return what replaces the normal answer, or that itself."""
        if normal.action not in _WITH_DESTINATION:
            return normal
        won: Choice | None = None
        state = self.snapshot.of(normal.target)
        for candidate in candidates:
            if candidate.stage is not Stage.DIVERT or not self._selects(candidate, state):
                continue
            if won is None:
                won = self._diverted(candidate, state)
            else:
                reason = f"在规则 {won.rule} 之后{held(candidate.rule)}"
                self.outcomes.note(Outcome.LOST, Basis.of(candidate), reason)
        return won or normal

    def _selects(self, candidate: Candidate, state: DestinationState) -> bool:
        wanted = candidate.rule.selectors.destinations
        if wanted and state.state not in wanted:
            return False  # the usual case; not worth a step
        return self.judge.selects(candidate, state)

    def _diverted(self, candidate: Candidate, normal: DestinationState) -> Choice | None:
        """Return where a diversion sends the ticket, None when it cannot be carried out."""
        basis = Basis.of(candidate)
        result = self.outcomes.of(candidate.rule.action, basis)
        if isinstance(result, Choice):
            result = self._checked(result, normal)
        match result:
            case Refused(reason):
                self.outcomes.note(Outcome.FAILED, basis, reason)
            case Choice():
                reason = f"原去向 {normal.target} {normal.state.zh}，改为{result.text}"
                self.outcomes.note(Outcome.WON, basis, f"{reason}{held(candidate.rule)}")
                return result
            case None:
                pass  # every unit was guarded, and each is noted
        return None

    def _checked(self, choice: Choice, normal: DestinationState) -> Choice | Refused:
        """Return the choice unless it stands no better than the normal destination."""
        if choice.target == normal.target:
            return Refused("分流的去向即原去向")
        if choice.action not in _WITH_DESTINATION:
            return choice
        state = self.snapshot.of(choice.target).state
        if state is not DestinationCondition.NORMAL and state >= normal.state:
            return Refused(f"分流的去向 {choice.target} {state.zh}")
        return choice
