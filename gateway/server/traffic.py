"""How much one node serves at a time, and how it stops: quotas, draining, what is in flight.

Draining ends nothing by force: new RPCs are refused with NODE_DRAINING, streams are ended so that
their callers resume elsewhere, and whoever waits on `drained` learns when the last RPC has ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from gateway.kernel.errors import LubiaoError, NodeDraining, QuotaExceeded
from gateway.kernel.values import dataclass
from gateway.trust.principal import Principal

RETRY_AFTER_DRAIN = timedelta(seconds=2)  # another process of the node is reached by then
RETRY_AFTER_QUOTA = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How many RPCs of one principal may be in flight; streams are counted apart."""

    calls_max: int = 64  # an adapter with a full window; one caller must not starve the others
    streams_max: int = 16


class Traffic:
    """What is in flight on this server."""

    def __init__(self, *, node: str, quota: Quota | None = None) -> None:
        """Begin with nothing in flight."""
        self._node = node
        self._quota = quota or Quota()
        self._calls: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._streaming: dict[asyncio.Timeout, Callable[[], object]] = {}
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.is_draining = False

    @property
    def in_flight(self) -> int:
        """How many RPCs have not ended, without those that go on while draining."""
        return self._in_flight

    def check_open(self) -> None:
        """Return unless the node is draining.

        Raises:
            NodeDraining: it is.
        """
        if self.is_draining:
            raise NodeDraining(node=self._node, retry_delay=RETRY_AFTER_DRAIN)

    def begin_drain(self) -> None:
        """Refuse new RPCs from now on and end the streams."""
        self.is_draining = True
        for bound in self._streaming:
            _end(bound)

    def judge_streams(self) -> None:
        """End the streams whose callers would be refused by now."""
        for bound, judge in list(self._streaming.items()):
            try:
                judge()
            except LubiaoError:
                _end(bound)

    async def drained(self) -> None:
        """Return when nothing is in flight."""
        await self._idle.wait()

    @contextmanager
    def admit(self, principal: Principal, *, is_stream: bool) -> Iterator[None]:
        """Count an RPC of `principal` while it runs.

        Raises:
            QuotaExceeded: as many as allowed are in flight already.
        """
        counts = self._streams if is_stream else self._calls
        bound = self._quota.streams_max if is_stream else self._quota.calls_max
        name = principal.name
        if counts[name] >= bound:
            raise QuotaExceeded(
                quota=f"{'streams' if is_stream else 'requests'} in flight of {name}",
                got=counts[name] + 1,
                expected=bound,
                retry_delay=RETRY_AFTER_QUOTA,
            )
        counts[name] += 1
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
            counts[name] -= 1
            if not counts[name]:
                del counts[name]  # principals come and go; the table must not grow for ever

    @contextmanager
    def streaming(self, bound: asyncio.Timeout, judge: Callable[[], object]) -> Iterator[None]:
        """Let a drain, or a `judge` that raises, end the stream that `bound` limits."""
        self._streaming[bound] = judge
        try:
            yield
        finally:
            del self._streaming[bound]


def _end(bound: asyncio.Timeout) -> None:
    if bound.when() is not None and not bound.expired():
        bound.reschedule(asyncio.get_running_loop().time())
