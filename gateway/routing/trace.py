"""The trace of a decision and its canonical bytes.

Equal inputs give equal bytes (invariant I8): JSON with sorted keys, no spaces, UTF-8, instants as
microseconds. The digest covers the facts (no personal field exists among them), the packs with
their full versions, the version of the reference data, the instant, what was looked at of the
states of destinations, the outcome and every step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from operator import attrgetter

from gateway.kernel.time import Instant, to_microseconds
from gateway.routing.facts import DestinationState, RoutingFacts
from gateway.routing.model import Decision, Outcome, Pack, RuleFailure, TraceStep

TRACE_STEPS_MAX = 100  # what a person reads; hundreds of losers are counted, not listed
TRACE_FORMAT = "lubiao-route-trace-3"
_FACTS = tuple(sorted(each.name for each in fields(RoutingFacts)))  # plain, or tuples of plain
_values = attrgetter(*_FACTS)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(slots=True)
class TraceLog:
    """The steps so far; keeps the bound and never drops the winner."""

    steps: list[TraceStep] = field(default_factory=list)
    omitted: int = 0
    failures: dict[str, RuleFailure] = field(default_factory=dict)  # by rule

    def fail(self, failure: RuleFailure) -> None:
        """Remember a condition that could not be evaluated; each rule once."""
        self.failures.setdefault(failure.rule, failure)

    def note(self, outcome: Outcome, *, pack: str, rule: str, reason: str) -> None:
        """Add a step, or count it when there are too many."""
        if outcome is not Outcome.WON and len(self.steps) >= TRACE_STEPS_MAX:
            self.omitted += 1
            return
        self.steps.append(TraceStep(pack, rule, outcome, reason))

    def finish(self) -> tuple[TraceStep, ...]:
        """Return the steps, the last one telling how many were left out."""
        if self.omitted:
            text = f"另有 {self.omitted} 个步骤未逐条列出"
            self.steps.append(TraceStep("", "", Outcome.LOST, text))
            self.omitted = 0
        return tuple(self.steps)


def canonical_bytes(
    decision: Decision,
    *,
    facts: RoutingFacts,
    authority: str,
    packs: Iterable[Pack],
    now: Instant,
) -> bytes:
    """Return the bytes that the trace digest is taken over."""
    plan = decision.fallback
    content = {  # in the order of the keys, which saves the encoder the sorting
        "authority": authority,
        "facts": dict(zip(_FACTS, _values(facts), strict=True)),
        "fallback": [plan.hours, plan.is_working, plan.targets] if plan else [],
        "format": TRACE_FORMAT,
        "help": decision.help_regions,
        "leading": [decision.leading_region, decision.lead_rule],
        "notify": decision.notify,
        "now": to_microseconds(now),
        "packs": [f"{pack.pack}@{pack.version}" for pack in packs],
        "reference": decision.reference_version,
        "requestable": decision.requestable,
        "result": [
            decision.action.name,
            decision.target,
            decision.offer_reason.name,
            decision.diverted_from,
            *decision.assisting,
        ],
        "split": decision.split_matters,
        "states": [_plain(state) for state in decision.states],
        "steps": [
            [step.pack, step.rule, step.outcome.value, step.reason] for step in decision.trace
        ],
        "withheld": decision.identity_withheld,
    }
    return _encode(content).encode()


def _plain(state: DestinationState) -> list[object]:
    lease = to_microseconds(state.lease_until) if state.lease_until else 0
    return [
        state.target,
        int(state.state),
        state.open_load,
        repr(float(state.overdue_share)),
        lease,
        state.normal_next_hop,
    ]


def trace_digest(content: bytes) -> bytes:
    """Return the SHA-256 of canonical bytes."""
    return hashlib.sha256(content).digest()
