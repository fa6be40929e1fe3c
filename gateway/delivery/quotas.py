"""How much one peer may ask of this node: calls at once, envelopes and bytes a minute and a day.

The bounds are per peer node, so that a hostile, broken or merely busy peer takes nothing from the
others: at most `calls_max` of its batches are worked on, and so at most that many connections of
the database are its. What is beyond a bound is answered before anything of it is looked at, with
QUOTA_EXCEEDED and when to come again; an honest sender then backs off and loses nothing.

Counts live in memory and belong to one process: a restart begins anew, and a node of several
processes grants each bound once per process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from datetime import timedelta

from gateway.kernel.errors import QuotaExceeded
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import dataclass

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
RETRY_MAX = timedelta(seconds=60)
RETRY_CALLS = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerQuota:
    """Bounds of one peer; a day of the largest province stays far below them."""

    calls_max: int = 8  # an honest sender has four in flight
    readings_max: int = 2  # pages of history; an honest node asks for one after the other
    envelopes_per_minute: int = 300_000
    bytes_per_minute: int = 1024**3
    envelopes_per_day: int = 5_000_000
    bytes_per_day: int = 50 * 1024**3
    evidence_per_day: int = 1000  # proof enough
    evidence_bytes_per_day: int = 256 * 1024**2


@dataclass(slots=True)
class _Window:
    """What came in since `since`."""

    length: timedelta
    since: Instant
    envelopes: int = 0
    size: int = 0

    def at(self, now: Instant) -> _Window:
        """Return this window, or begin a new one."""
        if not self.since <= now < self.since + self.length:
            self.since, self.envelopes, self.size = now, 0, 0
        return self


@dataclass(slots=True)
class _Use:
    minute: _Window
    day: _Window
    calls: int = 0
    readings: int = 0


@dataclass(slots=True)
class PeerQuotas:
    """Counts what each peer asks for.

    Attributes:
        quota: the bounds.
        clock: machine time.
        refused: how many calls of each peer were beyond a bound.
    """

    clock: Clock
    quota: PeerQuota = field(default_factory=PeerQuota)
    refused: dict[NodeId, int] = field(default_factory=dict)
    _uses: dict[NodeId, _Use] = field(default_factory=dict)

    @contextmanager
    def admit(self, peer: NodeId, *, envelopes: int, size: int) -> Iterator[None]:
        """Count a batch of a peer while it is worked on; peers are nodes of the roster only.

        Raises:
            QuotaExceeded: it is beyond a bound; nothing of it was looked at.
        """
        now, use = self.clock.now(), self._use(peer)
        try:
            self._check(peer, use, envelopes=envelopes, size=size, now=now)
        except QuotaExceeded:
            self.refused[peer] = self.refused.get(peer, 0) + 1
            raise
        use.calls += 1
        for window in (use.minute, use.day):
            window.envelopes += envelopes
            window.size += size
        try:
            yield
        finally:
            use.calls -= 1

    @contextmanager
    def reading(self, peer: NodeId) -> Iterator[None]:
        """Count a question of a peer about history while it is answered.

        Raises:
            QuotaExceeded: as many as allowed are being answered already.
        """
        use = self._use(peer)
        if use.readings >= self.quota.readings_max:
            self.refused[peer] = self.refused.get(peer, 0) + 1
            raise _exceeded(peer, "questions at once", use.readings + 1, self.quota.readings_max)
        use.readings += 1
        try:
            yield
        finally:
            use.readings -= 1

    def _use(self, peer: NodeId) -> _Use:
        use = self._uses.get(peer)
        if use is None:
            now = self.clock.now()
            use = self._uses[peer] = _Use(_Window(MINUTE, now), _Window(DAY, now))
        return use

    def _check(self, peer: NodeId, use: _Use, *, envelopes: int, size: int, now: Instant) -> None:
        if use.calls >= self.quota.calls_max:
            raise _exceeded(peer, "batches at once", use.calls + 1, self.quota.calls_max)
        minute, day = use.minute.at(now), use.day.at(now)
        bounds = (
            (minute, minute.envelopes + envelopes, self.quota.envelopes_per_minute, "envelopes"),
            (minute, minute.size + size, self.quota.bytes_per_minute, "bytes"),
            (day, day.envelopes + envelopes, self.quota.envelopes_per_day, "envelopes"),
            (day, day.size + size, self.quota.bytes_per_day, "bytes"),
        )
        for window, got, bound, what in bounds:
            if got > bound:
                span = "minute" if window.length == MINUTE else "day"
                rest = min(window.since + window.length - now, RETRY_MAX)
                raise _exceeded(peer, f"{what} a {span}", got, bound, retry=rest)


def _exceeded(
    peer: NodeId, what: str, got: int, bound: int, *, retry: timedelta = RETRY_CALLS
) -> QuotaExceeded:
    return QuotaExceeded(quota=f"{what} of node/{peer}", got=got, expected=bound, retry_delay=retry)
