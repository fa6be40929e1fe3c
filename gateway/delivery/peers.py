"""What a process knows of each peer: is it served, does it answer, how long ago, how well.

Everything here lives in memory and may be forgotten: a restart costs one attempt. What a person
ordered (`peer_controls`) and when a peer was last reached and heard of (`peer_contacts`) is in the
database as well; the pump reads the first every second, the monitor writes the second now and then.

The breaker is a view of the failures in a row. CLOSED: the peer is called as a matter of course.
OPEN after the third failure: not before the back-off is over. HALF_OPEN while one small batch
tries whether it answers again. Whatever is heard of the peer closes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.delivery.model import BACKOFF_FIRST, BACKOFF_MAX, Breaker, Mode, Outcome
from gateway.delivery.store import ContactRow, ControlRow
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Clock, Instant

FAILURES_MAX = 3  # one lost call is weather; the third in a row is an outage
FOREVER = datetime(2999, 1, 1, tzinfo=UTC)
_SMOOTHING = 8  # a round trip counts for an eighth, as in TCP


def backoff(node: NodeId, failures: int) -> timedelta:
    """Return the delay after `failures` failures in a row, with a jitter fixed by its inputs.

    The jitter (up to a quarter) keeps many nodes from calling a restarted one in step.
    """
    if failures <= 0:
        return timedelta(0)
    delay = min(BACKOFF_FIRST * (1 << min(failures - 1, 10)), BACKOFF_MAX)
    seed = hashlib.sha256(f"{node}/{failures}".encode()).digest()[0]
    return delay * (1 - seed / 1024)


@dataclass(slots=True)
class Peer:
    """One peer as this process knows it."""

    node: NodeId
    mode: Mode = Mode.OPEN
    drained_to: Instant = FOREVER  # while DRAINING: only what was posted by then is sent
    failures: int = 0
    calling: int = 0
    retry_at: Instant | None = None
    error: str = ""
    reached: Instant | None = None
    heard: Instant | None = None
    cleared: Instant | None = None
    round_trip: timedelta | None = None
    sent: int = 0
    received: int = 0
    refused: int = 0
    deferred: int = 0
    invalid: int = 0

    @property
    def breaker(self) -> Breaker:
        """Return whether the peer is called as a matter of course."""
        if self.failures < FAILURES_MAX:
            return Breaker.CLOSED
        return Breaker.HALF_OPEN if self.calling else Breaker.OPEN

    def began(self, envelopes: int) -> None:
        """Note a call."""
        self.calling += 1
        self.sent += envelopes

    def answered(self, now: Instant, *, took: timedelta) -> None:
        """Note that a call was answered, whatever the answer."""
        self.failures, self.error, self.retry_at = 0, "", None
        self.reached = now
        known = self.round_trip
        self.round_trip = took if known is None else known + (took - known) / _SMOOTHING

    def failed(self, now: Instant, *, error: str) -> None:
        """Note that a call was not answered."""
        self.failures += 1
        self.error = error
        self.retry_at = now + backoff(self.node, self.failures)

    def count(self, outcome: Outcome) -> None:
        """Count what a receipt said."""
        match outcome:
            case Outcome.RECEIVED:
                self.received += 1
            case Outcome.REFUSED:
                self.refused += 1
            case Outcome.DEFERRED:
                self.deferred += 1


class PeerBook:
    """The peers of one process."""

    def __init__(self, clock: Clock) -> None:
        """Begin with nobody; `clock` is machine time."""
        self._clock = clock
        self._peers: dict[NodeId, Peer] = {}
        self.has_orders = False  # until they were read once, a paused peer looks like any other

    def of(self, node: NodeId) -> Peer:
        """Return what is known of a node."""
        if node not in self._peers:
            self._peers[node] = Peer(node)
        return self._peers[node]

    def known(self) -> Mapping[NodeId, Peer]:
        """Return everybody of whom anything is known."""
        return self._peers

    def heard(self, node: NodeId) -> bool:
        """Note a sign of life; tell whether it ended a back-off.

        A peer that calls us without pause but never answers must not make us call without pause:
        a back-off ends by contact only every half second.
        """
        peer, now = self.of(node), self._clock.now()
        peer.heard = now
        if not peer.failures:
            return False
        if peer.cleared is not None and now - peer.cleared < BACKOFF_FIRST:
            return False
        peer.failures, peer.retry_at, peer.cleared = 0, None, now
        return True

    def obey(self, controls: Iterable[ControlRow]) -> None:
        """Take over what people ordered."""
        self.has_orders = True
        orders = {NodeId(row.node): row for row in controls}
        for node, peer in self._peers.items():
            if node not in orders:
                peer.mode, peer.drained_to = Mode.OPEN, FOREVER
        for node, row in orders.items():
            peer = self.of(node)
            peer.mode = Mode(row.mode)
            peer.drained_to = row.changed if peer.mode is Mode.DRAINING else FOREVER

    def remember(self, contacts: Iterable[ContactRow]) -> None:
        """Take over what an earlier life, or another process, knew of contacts."""
        for row in contacts:
            peer = self.of(NodeId(row.node))
            peer.reached = _later(peer.reached, row.reached)
            peer.heard = _later(peer.heard, row.heard)

    def contacts(self) -> list[ContactRow]:
        """Return the contacts as they are to be kept."""
        return [
            ContactRow(peer.node, peer.reached, peer.heard)
            for peer in self._peers.values()
            if peer.reached or peer.heard
        ]


def _later(one: Instant | None, other: Instant | None) -> Instant | None:
    known = [instant for instant in (one, other) if instant is not None]
    return max(known, default=None)
