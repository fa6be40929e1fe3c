"""Identifiers and clocks of a simulated node: from the seed, and a little off."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

from gateway.kernel.ids import uuid7
from gateway.kernel.time import Instant, ManualClock


class SeededIds:
    """Identifiers and entropy from a seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def uuid7(self, now: Instant) -> str:
        return uuid7(now, self._rng.randbytes(10))

    def entropy(self, size: int) -> bytes:
        return self._rng.randbytes(size)


@dataclass(slots=True)
class SkewedClock:
    """The clock of one node: no rule compares clocks of two nodes, so `skew` must not matter."""

    base: ManualClock
    skew: timedelta = timedelta(0)

    def now(self) -> Instant:
        return self.base.now() + self.skew
