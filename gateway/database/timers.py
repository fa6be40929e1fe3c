"""Durable timers: what must happen at an instant happens in one unit of work with its removal.

A room schedules a timer by kind and key in the same unit as the state that needs it, and cancels
it likewise. The runner handles each due timer in a unit of its own: it takes the timer's lock and
those the handler names, in sorted order and so before any of them alone (`ticket/…` sorts before
`timer/…`), reads the timer again, removes it and calls the handler. A crash at any place leaves
the timer due or handled, never lost and never handled twice. A handler may schedule its timer anew.

A handler that fails rolls back; its timer is tried again after a growing pause, and the others go
on. Timers of kinds without a handler stay where they are. Times are those of the given clock, so
business timers and machine timers have a runner each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import dataclass

TIMERS_PER_PASS_MAX = 200  # a pass stays short, so that a stop need not wait
POLL_INTERVAL = timedelta(seconds=1)  # another process may have scheduled a timer
RETRY_FIRST = timedelta(seconds=1)
RETRY_MAX = timedelta(minutes=5)

_log = structlog.get_logger()
_SQL = load_queries(Path(__file__).parent / "queries.sql")


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer."""

    kind: str
    key: str
    due: Instant


TIMERS = Table("timers", Timer, key=("kind", "key"))


def _due(rows: RowsOf, parameters: Mapping[str, Any]) -> Iterable[Timer]:
    kinds, now = parameters["kinds"], parameters["now"]
    found = [row for row in rows(TIMERS) if row.kind in kinds and row.due <= now]
    found.sort(key=lambda row: (row.due, row.kind, row.key))
    return found[: parameters["limit"]]


TIMERS_DUE = Query("timers_due", Timer, _SQL["timers_due"], _due)


class TimerHandler(Protocol):
    """What a room does when a timer of its kind is due."""

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the names to lock before the timer is read, such as `ticket/{key}`."""
        ...

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Act on a due timer, which is already removed in this unit."""
        ...


def schedule(uow: UnitOfWork, *, kind: str, key: str, due: Instant) -> None:
    """Stage a timer; it replaces one of the same kind and key."""
    uow.put(TIMERS, Timer(kind=kind, key=key, due=due))


def cancel(uow: UnitOfWork, *, kind: str, key: str) -> None:
    """Stage the removal of a timer; a missing one is no error."""
    uow.delete(TIMERS, kind, key)


async def due_timers(
    uow: UnitOfWork, *, kinds: Iterable[str], now: Instant, limit: int = TIMERS_PER_PASS_MAX
) -> list[Timer]:
    """Return the timers of these kinds that are due, the oldest first."""
    return await uow.select(TIMERS_DUE, kinds=sorted(kinds), now=now, limit=limit)


@dataclass(frozen=True, slots=True)
class _Failure:
    """How often a timer failed in a row, and when it may be tried again."""

    times: int
    retry: Instant


class TimerRunner:
    """Handles due timers of the kinds it has handlers for."""

    def __init__(
        self, *, database: Database, clock: Clock, handlers: Mapping[str, TimerHandler]
    ) -> None:
        """Serve `handlers` by kind, with instants of `clock`."""
        self._database = database
        self._clock = clock
        self._handlers = dict(handlers)
        self._failures: dict[tuple[str, str], _Failure] = {}
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Look for due timers now; give it to `after_commit` of a unit that scheduled one."""
        self._awake.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Handle due timers until `stopping` is set."""
        while not stopping.is_set():
            self._awake.clear()
            handled = await self._guarded_pass()
            if handled < TIMERS_PER_PASS_MAX:
                await self._pause(stopping)

    async def run_due(self) -> int:
        """Handle what is due now, once, and return how many timers were handled."""
        now = self._clock.now()
        async with self._database.unit() as uow:
            # Timers that wait for their next try must not crowd out the others.
            limit = TIMERS_PER_PASS_MAX + len(self._failures)
            timers = await due_timers(uow, kinds=self._handlers, now=now, limit=limit)
        handled = 0
        for timer in timers:
            failure = self._failures.get((timer.kind, timer.key))
            if failure is None or failure.retry <= now:
                handled += await self._guarded_timer(timer)
        return handled

    async def _guarded_timer(self, timer: Timer) -> bool:
        place = (timer.kind, timer.key)
        try:
            is_handled = await self._handle(timer)
        except Exception as error:  # one broken timer must not stop the others
            times = self._failures[place].times + 1 if place in self._failures else 1
            pause = min(RETRY_FIRST * 2 ** min(times - 1, 20), RETRY_MAX)
            self._failures[place] = _Failure(times=times, retry=self._clock.now() + pause)
            _log.warning(
                "timer.failed",
                kind=timer.kind,
                reason=getattr(error, "reason", type(error).__name__),
                times=times,
            )
            return False
        self._failures.pop(place, None)
        return is_handled

    async def _handle(self, timer: Timer) -> bool:
        handler = self._handlers[timer.kind]
        async with self._database.unit() as uow:
            await uow.lock(f"timer/{timer.kind}/{timer.key}", *handler.locks(timer.key))
            now = self._clock.now()
            current = await uow.get(TIMERS, timer.kind, timer.key)
            if current is None or current.due > now:
                return False  # handled elsewhere, cancelled or moved meanwhile
            uow.delete(TIMERS, timer.kind, timer.key)
            await handler.handle(uow, key=timer.key, now=now)
        return True

    async def _guarded_pass(self) -> int:
        try:
            return await self.run_due()
        except Exception as error:  # the database may be away; timers wait in it
            _log.warning("timers.unreachable", reason=type(error).__name__)
            return 0

    async def _pause(self, stopping: asyncio.Event) -> None:
        """Wait for a wake-up, the end or the next poll."""
        waiting = [asyncio.ensure_future(event.wait()) for event in (self._awake, stopping)]
        try:
            await asyncio.wait(
                waiting,
                timeout=POLL_INTERVAL.total_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
