"""A bound on what others can make a node write into its log.

What peers and callers cause (a refused envelope, an RPC that failed) is logged, and a hostile one
could fill a disk with that. Of each such event, told apart by its reason and by who caused it, the
first lines of a minute are written; the rest is counted, and the next line says how many were left
out (`left_out`). Events of the node itself are never held back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

LINES_PER_MINUTE_MAX = 60
KEYS_MAX = 1000  # kinds of events times who causes them; more is one kind of all
MINUTE_SECONDS = 60.0
CAUSED_BY_OTHERS = frozenset(
    {
        "batch.apart",
        "batch.rejected",
        "envelope.deferred",
        "envelope.failed",
        "envelope.not_for_here",
        "envelope.of_an_earlier_life",
        "envelope.refused",
        "peer.unreachable",
        "receipt.invalid",
        "rpc.ended",
        "rpc.failed",
        "statement.refused",
        "statement.refused_by_peer",
    }
)
_WHO = ("peer", "principal", "issuer", "node", "target")
_GOOD = "OK"


class Throttle:
    """A structlog processor that leaves out what is beyond the bound."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._clock = clock
        self._since = clock()
        self._lines: dict[tuple[str, ...], int] = {}
        self._left_out: dict[tuple[str, ...], int] = {}

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Return the event, or drop it.

        Raises:
            DropEvent: it is beyond the bound.
        """
        name = str(event.get("event", ""))
        if name not in CAUSED_BY_OTHERS or event.get("code") == _GOOD:
            return event
        now = self._clock()
        if now - self._since >= MINUTE_SECONDS:
            self._since, self._lines = now, {}
        key = (name, str(event.get("reason", "")), *(str(event.get(who, "")) for who in _WHO))
        if key not in self._lines and len(self._lines) >= KEYS_MAX:
            key = (name,)
        self._lines[key] = self._lines.get(key, 0) + 1
        if self._lines[key] > LINES_PER_MINUTE_MAX:
            if key not in self._left_out and len(self._left_out) >= KEYS_MAX:
                del self._left_out[next(iter(self._left_out))]  # the oldest: it may never end
            self._left_out[key] = self._left_out.get(key, 0) + 1
            raise structlog.DropEvent
        left_out = self._left_out.pop(key, 0)
        if left_out:
            event["left_out"] = left_out
        return event
