"""What the pump remembers of one peer while it sends; forgetting it costs one attempt."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gateway.delivery.model import Breaker
from gateway.delivery.pace import Pace
from gateway.delivery.peers import Peer
from gateway.delivery.store import OutboxRow
from gateway.kernel.time import Instant

TRIAL_ENVELOPES_MAX = 10  # to a peer that has not answered: its first answer must come soon
ALONE_MAX = 3  # so often an envelope fails alone, while others pass, until it is set aside
INVALID_RECEIPTS_MAX = 50  # so often the receipt of one is wrong, while others are right
REASONS_MAX = 1000  # remembered reasons of deferrals: they only explain
SUSPECTS_MAX = 1000  # a peer whose receipts are all wrong must not fill our memory
LATE_MAX = timedelta(seconds=10)  # a commit later than that is found when all is read again
PATIENCE = 20  # what takes a second is done again after twenty
START = (datetime(1970, 1, 1, tzinfo=UTC), 0)


@dataclass(slots=True)
class Suspect:
    """An envelope that the peer could not take, or not answer for."""

    alone: int = 0
    invalid: int = 0
    passed: int = 0  # envelopes of others that had been taken when it failed first
    counted: int = -1  # when it failed alone the last time

    def fail_alone(self, passed: int) -> None:
        """Count it if others were taken since: else it may well be the peer that fails."""
        if passed > self.counted:
            self.alone, self.counted = self.alone + 1, passed


@dataclass(slots=True)
class Sender:
    """What is remembered of one peer; forgetting it costs nothing but one attempt."""

    peer: Peer
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ahead: deque[OutboxRow] = field(default_factory=deque)
    cursor: tuple[Instant, int] = START
    flying: dict[int, str] = field(default_factory=dict)  # position → what it keeps order in
    read_again: int = 0  # how often the cursor was set back
    whole_at: Instant = START[0]  # when all that is due may be read from the start again
    pace: Pace = field(default_factory=Pace)
    passed: int = 0
    stalled: bool = False
    suspects: dict[int, Suspect] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)

    def forget(self) -> None:
        """Read from the beginning next time: what was read ahead may be stale."""
        self.ahead.clear()
        self.cursor = START
        self.read_again += 1

    def rewind(self, now: Instant) -> None:
        """Read again what may have committed late, and everything when that is cheap.

        While a snapshot is open, the database reads past all that was deleted since: a second for
        a million rows. So everything is read again as seldom as that takes long.
        """
        self.cursor = START if now >= self.whole_at else min(self.cursor, (now - LATE_MAX, 0))
        self.read_again += 1

    def note_whole(self, now: Instant, *, took: timedelta) -> None:
        """Note that everything was read from the start, and how long that took."""
        self.whole_at = now + PATIENCE * took

    def suspect(self, row: OutboxRow) -> Suspect:
        """Return the count of an envelope's failures; beyond a bound it is not remembered."""
        known = self.suspects.get(row.position) or Suspect(passed=self.passed)
        if row.position in self.suspects or len(self.suspects) < SUSPECTS_MAX:
            self.suspects[row.position] = known
        return known

    @property
    def batch_max(self) -> int:
        """How many envelopes the next batch may hold."""
        if self.peer.breaker is not Breaker.CLOSED:
            return min(self.pace.batch_max, TRIAL_ENVELOPES_MAX)
        return self.pace.batch_max

    def is_poison(self, row: OutboxRow) -> bool:
        """Tell whether it is the envelope that fails and not the peer: others have passed since."""
        suspect = self.suspects.get(row.position)
        if suspect is None:
            return False
        if suspect.alone >= ALONE_MAX:
            return True
        return suspect.invalid >= INVALID_RECEIPTS_MAX and self.passed > suspect.passed

    def explain(self, row: OutboxRow, reason: str) -> None:
        """Remember why a row was deferred."""
        if row.position in self.reasons or len(self.reasons) < REASONS_MAX:
            self.reasons[row.position] = reason

    def settle(self, row: OutboxRow) -> None:
        """Forget a row that has its answer."""
        self.suspects.pop(row.position, None)
        self.reasons.pop(row.position, None)

    def land(self, batch: list[OutboxRow]) -> None:
        """Note that a batch is not in flight any more."""
        for row in batch:
            self.flying.pop(row.position, None)
