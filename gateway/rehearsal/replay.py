"""Deciding again what was decided once, as of its moment (invariant I8).

Equal facts, packs, reference data, states and instant give equal traces, byte for byte; so a stored
digest proves how a decision came about. What is missing or has changed since is said, not guessed.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.rehearsal.model import Past, Setting
from gateway.rehearsal.scenes import Scene
from gateway.routing.model import Decision, Pack, Reference
from gateway.routing.packs import PackSet


@dataclass(frozen=True, slots=True)
class Replay:
    """A stored decision, what comes out today, and why that is not the same (Chinese)."""

    past: Past
    decision: Decision
    difference: str = ""

    @property
    def is_identical(self) -> bool:
        """Whether both traces are the same, byte for byte."""
        return not self.difference


def replay(past: Past, setting: Setting, *, packs: Sequence[Pack], reference: Reference) -> Replay:
    """Return a stored decision made again with `packs`, as far as they are those of then."""
    versions = {f"{pack.pack}@{pack.version}" for pack in packs}
    missing = [version for version in setting.packs if version not in versions]
    scene = Scene(
        packs=PackSet(packs),
        reference=reference,
        hosted=setting.hosted,
        joined=setting.joined,
    )
    decision = scene.decide(past)
    if hmac.compare_digest(decision.trace_digest, past.trace_digest):
        return Replay(past, decision)
    reasons = []
    if missing:
        reasons.append(f"本节点已无当时的规则包 {'、'.join(_short(name) for name in missing)}")
    if reference.version != setting.reference:
        then, now = setting.reference[:12], reference.version[:12]
        reasons.append(f"基础数据已由 {then} 变为 {now}")
    if not reasons:
        reasons.append("要素、规则包与基础数据相同而轨迹不同，请报告程序缺陷")
    return Replay(past, decision, "；".join(reasons))


def _short(name: str) -> str:
    pack, _, version = name.partition("@")
    return f"{pack}@{version[:12]}"
