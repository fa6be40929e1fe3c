"""Shrinking: fewer and fewer decisions that still violate the same property (delta debugging).

Each decision has a random stream of its own (`play.py`), so a run without some of them is still the
same story. Chunks are dropped, first halves, then quarters and so on down to single decisions, as
long as the same property fails; what remains is a run in which every decision that could be dropped
has been dropped, or the time is up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.simulation.checkers import Violation
from tests.simulation.play import STEPS, Decision, Play

SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest run that was found, and what it violates."""

    schedule: tuple[Decision, ...]
    decisions_before: int
    runs: int
    violation: Violation

    def text(self) -> str:
        """Return the schedule and the log of its run."""
        verbs = " ".join(map(str, self.schedule))
        return (
            f"shrunk from {self.decisions_before} to {len(self.schedule)} decisions"
            f" in {self.runs} runs:\n{verbs}\n{self.violation}"
        )


def violation_of(seed: int, schedule: Sequence[Decision]) -> Violation | None:
    """Play a seed's decisions and return what they violate."""
    try:
        asyncio.run(Play(seed, schedule).run())
    except Violation as violation:
        return violation
    except Exception as error:  # a smaller story may break something else: that is another one
        return Violation("ERROR", f"{type(error).__name__}: {error}")
    return None


def shrink(
    seed: int,
    *,
    steps: int = STEPS,
    seconds_max: float = SECONDS_MAX,
    clock: Callable[[], float] = time.monotonic,
) -> Shrunk | None:
    """Return a small run of `seed` that fails as the whole one does; None if that one holds."""
    whole = Play(seed)
    try:
        asyncio.run(whole.run(steps))
    except Violation as violation:
        first = found = violation
    else:
        return None
    schedule, runs = list(whole.schedule), 1
    end, size = clock() + seconds_max, max(1, len(schedule) // 2)
    while clock() < end:
        start, dropped = 0, False
        while start < len(schedule) and clock() < end:
            candidate = schedule[:start] + schedule[start + size :]
            runs += 1
            failed = violation_of(seed, candidate)
            if failed is not None and failed.name == first.name:
                schedule, found, dropped = candidate, failed, True
            else:
                start += size
        if size == 1 and not dropped:
            break
        if not dropped:
            size = max(1, size // 2)
    return Shrunk(tuple(schedule), len(whole.schedule), runs, found)
