"""How much one peer is sent at once, and how long it is left alone besides failed calls. Pure.

Three things make a batch smaller, and each grows back in its own way. A batch that is *rejected as
such* is halved, at once and again, until the envelope that it cannot take is alone; then the size
doubles. A batch that comes *too late* may have been too much for the time it had: what the peer can
bear is halved, and grows by an eighth with each batch of that size which is in time, because to
find the bound anew costs a whole deadline. A peer whose *breaker* is open gets a small one.

A *barren* batch is a large one of which nothing was taken: all of it deferred, or without a valid
receipt. A few are nothing; a peer that defers everything would have us write its whole queue anew
without pause, so after some of them in a row it is left alone for longer and longer.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.delivery.model import ENVELOPES_PER_BATCH_MAX

# Finding the one that a batch fails by takes seven halvings; those are made at once.
HALVINGS = ENVELOPES_PER_BATCH_MAX.bit_length() + 1
BARREN_MAX = 5  # in a row
BARREN_ENVELOPES_MIN = 50  # a few envelopes that wait for others must not hold up what is new


@dataclass(slots=True)
class Pace:
    """What the answers of one peer say about the size and the time of its next batch."""

    limit: int = ENVELOPES_PER_BATCH_MAX
    bearable: int = ENVELOPES_PER_BATCH_MAX
    rejected: int = 0
    barren: int = 0

    @property
    def batch_max(self) -> int:
        """How many envelopes the next batch may hold."""
        return min(self.limit, self.bearable)

    @property
    def setbacks(self) -> int:
        """Count what makes us wait as if so many calls had failed in a row."""
        return max(self.rejected - HALVINGS, self.barren - BARREN_MAX, 0)

    @property
    def is_full(self) -> bool:
        """Tell whether there is nothing against several batches in flight."""
        return not (self.rejected or self.setbacks)

    def was_rejected(self, size: int) -> None:
        """Note that the peer would not take a batch as such."""
        self.rejected += 1
        self.limit = max(1, size // 2)

    def was_late(self, size: int) -> None:
        """Note that a batch was not answered in its time."""
        self.bearable = max(1, min(self.bearable, size // 2))

    def was_answered(self, size: int, *, is_barren: bool) -> None:
        """Note that a batch has its receipts."""
        self.rejected = 0
        self.limit = min(self.limit * 2, ENVELOPES_PER_BATCH_MAX)
        if size >= self.bearable:
            self.bearable = min(self.bearable + max(1, size // 8), ENVELOPES_PER_BATCH_MAX)
        if not is_barren:
            self.barren = 0
        elif size >= BARREN_ENVELOPES_MIN:
            self.barren += 1
