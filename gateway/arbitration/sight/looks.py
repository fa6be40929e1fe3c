"""How often one person may look at what a panel sees: a look decides a month of the past again.

What a look reads is bounded (docs/arbitration.md#sight); how many there are is bounded here, for
each caller, so that one who asks in a loop takes no time of the tickets. A panel reads a case for
minutes and never comes near. Counts live in memory and belong to one process, as a peer's do
(`gateway/delivery/quotas.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from gateway.kernel.errors import QuotaExceeded
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import dataclass

SPAN = timedelta(minutes=1)
RETRY_LOOKS = timedelta(seconds=2)
CALLERS_MAX = 10_000  # remembered at once; who has not looked for a minute is forgotten first


@dataclass(frozen=True, slots=True, kw_only=True)
class LookQuota:
    """Bounds of one caller."""

    at_once_max: int = 2
    per_minute_max: int = 30


class Looks:
    """Counts the looks of each caller."""

    def __init__(self, *, clock: Clock, quota: LookQuota | None = None) -> None:
        """`clock` is machine time."""
        self._clock = clock
        self._quota = quota or LookQuota()
        self._began: dict[str, deque[Instant]] = {}
        self._running: dict[str, int] = {}

    @contextmanager
    def admit(self, caller: str) -> Iterator[None]:
        """Count a look while it is answered.

        Raises:
            QuotaExceeded: the caller is beyond a bound; nothing was read for it.
        """
        now, running = self._clock.now(), self._running.get(caller, 0)
        recent = self._recent(caller, now)
        bound = self._quota.at_once_max
        if running >= bound:
            raise _exceeded(caller, "at once", running + 1, bound, retry=RETRY_LOOKS)
        bound = self._quota.per_minute_max
        if len(recent) >= bound:
            rest = recent[0] + SPAN - now
            raise _exceeded(caller, "a minute", len(recent) + 1, bound, retry=rest)
        recent.append(now)
        self._running[caller] = running + 1
        try:
            yield
        finally:
            self._running[caller] -= 1
            if not self._running[caller]:
                del self._running[caller]

    def _recent(self, caller: str, now: Instant) -> deque[Instant]:
        if len(self._began) >= CALLERS_MAX:
            self._began = {
                name: times
                for name, times in self._began.items()
                if times and times[-1] > now - SPAN
            }
        recent = self._began.setdefault(caller, deque())
        while recent and not now - SPAN < recent[0] <= now:  # also after a clock was set back
            recent.popleft()
        return recent


def _exceeded(caller: str, what: str, got: int, bound: int, *, retry: timedelta) -> QuotaExceeded:
    return QuotaExceeded(
        quota=f"looks at cases {what} of {caller}", got=got, expected=bound, retry_delay=retry
    )
