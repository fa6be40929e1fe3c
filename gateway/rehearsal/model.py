"""The values of rehearsal: past decisions, what they had in common, and what a trial finds.

A trial decides every past ticket twice, by what is in force and by the draft, and compares where it
goes. Nothing of a citizen is in any of these values: tickets appear by their numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from gateway.kernel.codes import RouteDecisionAction
from gateway.kernel.time import Instant
from gateway.routing.model import Decision, DestinationState, RoutingFacts

SAMPLES_MAX = 5  # tickets named for each flow; enough to look at, few enough to read
LISTED_MAX = 10_000  # tickets named in all, when all in flight that would move are asked for
FLOWS_MAX = 5_000  # pairs of destinations; the rest is counted as one, so memory is bounded
OTHERS = "…"  # stands for the destinations of flows beyond the bound


@dataclass(frozen=True, slots=True)
class Setting:
    """What decisions of one authority have in common besides their facts.

    `packs` are `{pack}@{full version}` in order of evaluation.
    """

    hosted: frozenset[str]
    joined: frozenset[str]
    packs: tuple[str, ...]
    reference: str

    def digest(self) -> str:
        """Return the name under which it is stored."""
        content = [sorted(self.hosted), sorted(self.joined), list(self.packs), self.reference]
        return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One past decision as it is stored."""

    position: int
    authority: str
    ticket: str
    now: Instant
    setting: str
    facts: RoutingFacts
    states: tuple[DestinationState, ...] = ()  # as far as the decision looked at them
    action: RouteDecisionAction
    target: str
    rule: str
    pack: str
    trace_digest: bytes


@dataclass(frozen=True, slots=True, order=True)
class Destination:
    """Where a ticket goes: what is done, and to whom."""

    action: RouteDecisionAction
    target: str

    @classmethod
    def of(cls, decision: Decision) -> Destination:
        """Return the destination of a decision."""
        return cls(decision.action, decision.target)


@dataclass(slots=True)
class Flow:
    """The tickets that would go from one destination to another one."""

    before: Destination
    after: Destination
    count: int = 0
    rules: dict[tuple[str, str], int] = field(default_factory=dict)  # (before, after) → tickets
    samples: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What one destination gains and loses."""

    target: str
    before: int
    after: int
    gained: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a trial found; flows and balances with the greatest number first."""

    authority: str
    draft: str  # what was tried, as people read it
    baseline: str
    first: Instant | None  # of the decisions that were looked at
    last: Instant | None
    on: date  # the day whose rules were compared
    examined: int
    moved: int
    beside: int  # same destination, but other helpers, notices or regions asked for help
    by_another_rule: int  # same in everything but the rule
    missing: int = 0  # tickets in flight whose facts were not stored
    is_cut: bool = False  # there was more than the bound
    flows: tuple[Flow, ...] = ()
    balances: tuple[Balance, ...] = ()
    authorities: tuple[Balance, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)  # of destinations
