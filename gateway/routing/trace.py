"""The trace of a decision and its canonical bytes.

Equal inputs give equal bytes (invariant I8): JSON with sorted keys, no spaces, UTF-8, instants as
microseconds. The digest covers the facts (no personal field exists among them), the packs with
their full versions, the version of the reference data, the instant, the outcome and every step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from gateway.kernel.time import Instant, to_microseconds
from gateway.routing.model import Outcome, Pack, RoutingFacts, TraceStep

TRACE_STEPS_MAX = 100  # what a person reads; hundreds of losers are counted, not listed
TRACE_FORMAT = "lubiao-route-trace-2"
_FACTS = tuple(each.name for each in fields(RoutingFacts))  # values are plain or tuples of such


@dataclass(slots=True)
class TraceLog:
    """The steps so far; keeps the bound and never drops the winner."""

    steps: list[TraceStep] = field(default_factory=list)
    omitted: int = 0

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
    *,
    facts: RoutingFacts,
    authority: str,
    packs: Iterable[Pack],
    reference_version: str,
    now: Instant,
    result: tuple[str, ...],
    leading: tuple[str, str],
    help_regions: tuple[str, ...],
    steps: tuple[TraceStep, ...],
) -> bytes:
    """Return the bytes that the trace digest is taken over."""
    content = {
        "format": TRACE_FORMAT,
        "authority": authority,
        "facts": {name: getattr(facts, name) for name in _FACTS},
        "help": list(help_regions),
        "leading": list(leading),
        "now": to_microseconds(now),
        "packs": [f"{pack.pack}@{pack.version}" for pack in packs],
        "reference": reference_version,
        "result": list(result),
        "steps": [[step.pack, step.rule, step.outcome.value, step.reason] for step in steps],
    }
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def trace_digest(content: bytes) -> bytes:
    """Return the SHA-256 of canonical bytes."""
    return hashlib.sha256(content).digest()
