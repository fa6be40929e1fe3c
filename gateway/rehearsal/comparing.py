"""Counting what moves: one ticket at a time, in memory that does not grow with their number.

A ticket *moves* when its destination (what is done, and to whom) differs. Samples are the first few
tickets of a flow. Rules that hold on the compared day are taken to hold always, so that a draft
that begins next month can be tried on last month's tickets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from gateway.kernel.codes import RouteDecisionAction
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.rehearsal.model import (
    FLOWS_MAX,
    LISTED_MAX,
    OTHERS,
    SAMPLES_MAX,
    Balance,
    Destination,
    Flow,
)
from gateway.routing.model import Decision, Guard, Pack, Rule, is_effective

RULES_PER_FLOW_MAX = 50  # pairs of rules remembered for a flow; the rest is not told apart
BALANCES_MAX = 20_000  # destinations; a province has some thousand units
OUTSIDE = "outside"  # stands for bodies and lines among authorities
_EVER = date(2000, 1, 1)  # before every rule of this format
_Pair = tuple[Destination, Destination]


def in_force(packs: Iterable[Pack], *, on: date) -> tuple[Pack, ...]:
    """Return the packs with what holds on a day, as if it always held."""
    return tuple(
        replace(
            pack,
            rules=tuple(_always(rule) for rule in pack.rules if is_effective(rule, on)),
            guards=tuple(_always_guard(guard) for guard in pack.guards if is_effective(guard, on)),
        )
        for pack in packs
    )


def first_day(packs: Iterable[Pack], *, today: date) -> date:
    """Return the first day from today on which everything that still begins has begun."""
    clauses = [clause for pack in packs for clause in _clauses(pack)]
    starts = [
        clause.effective_from
        for clause in clauses
        if clause.effective_to is None or clause.effective_to > today
    ]
    return max([today, *starts])


def destination_of(decision: Decision) -> Destination:
    """Return where a decision sends a ticket; into which other ticket it merges does not count."""
    if decision.action is RouteDecisionAction.MERGE:
        return Destination(decision.action, "")
    return Destination(decision.action, decision.target)


def authority_of(destination: Destination, *, deciding: str) -> str:
    """Return the authority that a destination belongs to; `OUTSIDE` for bodies and lines."""
    match destination.action:
        case RouteDecisionAction.REFER:
            return OUTSIDE
        case RouteDecisionAction.OFFER | RouteDecisionAction.EXTERNAL:
            is_authority = destination.target.startswith("authorities/")
            return destination.target.removeprefix("authorities/") if is_authority else OUTSIDE
        case _:
            return deciding


def is_same_beside(before: Decision, after: Decision) -> bool:
    """Tell whether helpers, notices and everything else beside the destination are the same."""
    return _beside(before) == _beside(after)


def _beside(decision: Decision) -> tuple[object, ...]:
    return (
        decision.offer_reason,
        decision.assisting,
        decision.help_regions,
        decision.notify,
        decision.split_matters,
        decision.fallback,
        decision.identity_withheld,
    )


@dataclass(slots=True)
class _Sums:
    """What one destination or authority gets, gains and loses."""

    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    gained: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    def add(self, before: str, after: str) -> None:
        before, after = self._bounded(before), self._bounded(after)
        self.before[before] += 1
        self.after[after] += 1
        if before != after:
            self.lost[before] += 1
            self.gained[after] += 1

    def _bounded(self, name: str) -> str:
        is_known = name in self.before or name in self.after
        return name if is_known or len(self.before) + len(self.after) < BALANCES_MAX else OTHERS

    def balances(self) -> tuple[Balance, ...]:
        names = {*self.gained, *self.lost}
        found = [
            Balance(
                target=name,
                before=self.before[name],
                after=self.after[name],
                gained=self.gained[name],
                lost=self.lost[name],
            )
            for name in names
        ]
        return tuple(sorted(found, key=lambda each: (-each.gained - each.lost, each.target)))


@dataclass(slots=True)
class Comparison:
    """A trial in the making."""

    authority: str
    lists_all: bool = False  # name every ticket that moves, as far as the bound goes
    examined: int = 0
    moved: int = 0
    beside: int = 0
    by_another_rule: int = 0
    first: Instant | None = None
    last: Instant | None = None
    _flows: dict[_Pair, Flow] = field(default_factory=dict)
    _targets: _Sums = field(default_factory=_Sums)
    _authorities: _Sums = field(default_factory=_Sums)
    _named: int = 0

    def add(self, ticket: str, now: Instant, *, before: Decision, after: Decision) -> None:
        """Count one ticket."""
        self.examined += 1
        self.first = now if self.first is None else min(self.first, now)
        self.last = now if self.last is None else max(self.last, now)
        here, there = destination_of(before), destination_of(after)
        self._targets.add(_shown(here), _shown(there))
        self._authorities.add(
            authority_of(here, deciding=self.authority),
            authority_of(there, deciding=self.authority),
        )
        if here != there:
            self.moved += 1
            self._note(here, there, ticket, (before.rule, after.rule))
        elif not is_same_beside(before, after):
            self.beside += 1
        elif before.rule != after.rule:
            self.by_another_rule += 1

    def flows(self) -> tuple[Flow, ...]:
        """Return the flows, the greatest first."""
        return tuple(
            sorted(self._flows.values(), key=lambda flow: (-flow.count, flow.before, flow.after))
        )

    def balances(self) -> tuple[Balance, ...]:
        """Return what destinations gain and lose, the greatest change first."""
        return self._targets.balances()

    def authorities(self) -> tuple[Balance, ...]:
        """Return what authorities gain and lose, the greatest change first."""
        return self._authorities.balances()

    def _note(
        self, before: Destination, after: Destination, ticket: str, rules: tuple[str, str]
    ) -> None:
        flow = self._flows.get((before, after))
        if flow is None:
            if len(self._flows) >= FLOWS_MAX:
                before = after = Destination(RouteDecisionAction.UNSPECIFIED, OTHERS)
            flow = self._flows.setdefault((before, after), Flow(before, after))
        flow.count += 1
        if rules in flow.rules or len(flow.rules) < RULES_PER_FLOW_MAX:
            flow.rules[rules] = flow.rules.get(rules, 0) + 1
        has_room = self._named < LISTED_MAX if self.lists_all else len(flow.samples) < SAMPLES_MAX
        if has_room:
            self._named += 1
            flow.samples.append(ticket)


def _clauses(pack: Pack) -> tuple[Rule | Guard, ...]:
    return (*pack.rules, *pack.guards)


def _shown(destination: Destination) -> str:
    """Return a destination's name in balances: the action counts where the target says nothing."""
    return destination.target or destination.action.name.lower()


def _always(rule: Rule) -> Rule:
    return replace(rule, effective_from=_EVER, effective_to=None)


def _always_guard(guard: Guard) -> Guard:
    return replace(guard, effective_from=_EVER, effective_to=None)
