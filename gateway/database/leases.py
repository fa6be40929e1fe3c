"""Leases: of several processes of one node, one does what only one may do.

**Theory of operation.** A process says every second that it lives: it writes its row of `workers`
anew. A lease is a row of `leases`, a name and its holder, and counts while its holder lives. So a
heartbeat writes one row, however many names there are. The names (a peer's pump, a task that runs
once a node) are shared out evenly (`sharing.py`). Whoever has seen a row unchanged for three
seconds, on a clock of its own that nobody sets, knows that its process is dead: a second until it
sees the last heartbeat and three more, whatever the clocks of machines say or whoever sets them.
The instant in the row is the database's and only has to change; people read it.

What a process believes is safe by itself. It counts from *before* it asked, on such a clock too,
so it stops believing before anybody else may begin. A heartbeat that was not committed before
that end (a paused process, a slow database) extends nothing: the process then joins anew under the
lock `leases`, as it did at its start. Whoever takes or gives up a name does so under that lock; an
ordinary heartbeat takes no lock, so a process that is paused within it holds up nobody.

The lease is no fence around what has begun: a process that is paused in the middle of a call and
wakes up finishes that call, maybe beside its successor. Holders only do what may be done twice:
the same statement sent twice is answered twice with the stored receipt (I3), and everything that
counts is decided in a unit of work under a lock of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from gateway.database.sharing import share
from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.errors import LubiaoError
from gateway.kernel.time import Instant, SystemClock
from gateway.kernel.values import dataclass

LEASE = timedelta(seconds=3)  # a pause of a busy process is shorter
HEARTBEAT = timedelta(seconds=1)  # LEASE + HEARTBEAT stays below the five seconds that are promised
LOOK = timedelta(milliseconds=200)  # how late a task learns that its lease ended or began
LOCK = "leases"

_log = structlog.get_logger()
_SQL = load_queries(Path(__file__).parent / "queries.sql")


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A process and until when it lives."""

    holder: str
    until: Instant


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """A name and who holds it."""

    name: str
    holder: str


@dataclass(frozen=True, slots=True)
class Present:
    """The present of the database."""

    present: Instant


WORKERS = Table("workers", WorkerRow, key=("holder",))
LEASES = Table("leases", LeaseRow, key=("name",))


def _workers(rows: RowsOf, _parameters: Mapping[str, Any]) -> Iterable[WorkerRow]:
    return sorted(rows(WORKERS), key=lambda row: row.holder)


def _leases(rows: RowsOf, _parameters: Mapping[str, Any]) -> Iterable[LeaseRow]:
    return sorted(rows(LEASES), key=lambda row: row.name)


def _present(_rows: RowsOf, _parameters: Mapping[str, Any]) -> Iterable[Present]:
    return [Present(SystemClock().now())]


WORKERS_ALL = Query("workers_all", WorkerRow, _SQL["workers_all"], _workers)
LEASES_ALL = Query("leases_all", LeaseRow, _SQL["leases_all"], _leases)
DATABASE_CLOCK = Query("database_clock", Present, _SQL["database_clock"], _present)


async def database_now(uow: UnitOfWork) -> Instant:
    """Return the present by the database's clock, the one that all processes share."""
    [found] = await uow.select(DATABASE_CLOCK)
    return found.present


@dataclass(frozen=True, slots=True)
class _Seen:
    """The two tables at an instant of the database."""

    now: Instant
    living: frozenset[str]
    dead: tuple[str, ...]
    leases: Mapping[str, str]


class Leases:
    """The leases of one process."""

    def __init__(
        self,
        *,
        database: Database,
        holder: str,
        wanted: Callable[[], Collection[str]],
        now: Callable[[UnitOfWork], Awaitable[Instant]] = database_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hold nothing yet.

        Args:
            database: what the processes of the node share.
            holder: this process; no other one has ever been called so.
            wanted: the names that somebody must hold, asked at every heartbeat.
            now: the clock that all processes share.
            monotonic: seconds of this process that nobody sets.
        """
        self._database = database
        self._holder = holder
        self._wanted = wanted
        self._now = now
        self._monotonic = monotonic
        self._held: frozenset[str] = frozenset()
        self._until = monotonic()
        self._sightings: dict[str, tuple[Instant, float]] = {}  # of rows: what, and since when
        # Told each name that this process holds from now on.
        self.gained: Callable[[str], None] = lambda _name: None

    def holds(self, name: str) -> bool:
        """Tell whether this process holds `name` at this moment."""
        return name in self._held and self._monotonic() < self._until

    async def run(self) -> None:
        """Live until cancelled; then give everything up."""
        try:
            while True:
                try:
                    await self.beat()
                except (LubiaoError, TimeoutError) as error:
                    _log.warning("leases.unreachable", reason=getattr(error, "reason", "TIMED_OUT"))
                await asyncio.sleep(HEARTBEAT.total_seconds())
        finally:
            with suppress(LubiaoError, TimeoutError):  # what is not given up ends by itself
                await self.give_up()

    async def beat(self) -> None:
        """Say that this process lives, and take its share."""
        wanted = frozenset(self._wanted())
        async with asyncio.timeout(LEASE.total_seconds()):
            if not await self._extended(wanted):
                await self._joined(wanted)

    async def give_up(self) -> None:
        """Let others have what this process holds, at once."""
        self._held = frozenset()
        async with self._database.unit() as uow:
            await uow.lock(LOCK)
            for row in await uow.select(LEASES_ALL):
                if row.holder == self._holder:
                    uow.delete(LEASES, row.name)
            uow.delete(WORKERS, self._holder)

    async def while_held(self, name: str, task: Callable[[], Awaitable[None]]) -> None:
        """Run `task` whenever and as long as this process holds `name`, until cancelled.

        It is cancelled when the lease is lost. When it ends by itself, so does this.
        """
        while True:
            await self._until_holding(name, is_held=True)
            running = asyncio.ensure_future(task())
            losing = asyncio.ensure_future(self._until_holding(name, is_held=False))
            try:
                await asyncio.wait({running, losing}, return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    await running
                    return
                _log.info("lease.lost", name=name)
            finally:
                running.cancel()
                losing.cancel()
                await asyncio.gather(running, losing, return_exceptions=True)

    # --- parts --------------------------------------------------------------------------------

    async def _extended(self, wanted: frozenset[str]) -> bool:
        """Extend without a lock; tell whether that was enough."""
        began, expected_by = self._monotonic(), self._until
        async with self._database.unit() as uow:
            seen = await self._see(uow)
            change = share(self._holder, wanted=wanted, leases=seen.leases, living=seen.living)
            if self._holder not in seen.living or change.taken or change.given_up:
                return False
            uow.put(WORKERS, WorkerRow(self._holder, seen.now + LEASE))
        if self._monotonic() >= expected_by:
            return False  # somebody may have taken our names before this was committed
        self._believe(_names_of(self._holder, seen.leases), began)
        return True

    async def _joined(self, wanted: frozenset[str]) -> None:
        """Take and give up under the lock; also forget who died."""
        began = self._monotonic()
        async with self._database.unit() as uow:
            await uow.lock(LOCK)
            seen = await self._see(uow)
            change = share(self._holder, wanted=wanted, leases=seen.leases, living=seen.living)
            # What is given up must not be believed while somebody else may take it.
            self._held -= frozenset(change.given_up)
            for name in change.given_up:
                uow.delete(LEASES, name)
            for name in change.taken:
                uow.put(LEASES, LeaseRow(name, self._holder))
            for holder in seen.dead:
                uow.delete(WORKERS, holder)
            uow.put(WORKERS, WorkerRow(self._holder, seen.now + LEASE))
        kept = _names_of(self._holder, seen.leases) - frozenset(change.given_up)
        self._believe(kept | frozenset(change.taken), began)

    async def _see(self, uow: UnitOfWork) -> _Seen:
        now = await self._now(uow)
        asked = self._monotonic()
        workers = await uow.select(WORKERS_ALL)
        seen = self._monotonic()
        before, self._sightings = self._sightings, {}
        for row in workers:
            until, since = before.get(row.holder, (None, seen))
            self._sightings[row.holder] = (row.until, since if until == row.until else seen)
        silent = {
            holder
            for holder, (_, since) in self._sightings.items()
            if asked - since >= LEASE.total_seconds()
        }
        leases = await uow.select(LEASES_ALL)
        return _Seen(
            now=now,
            living=frozenset(self._sightings.keys() - silent),
            dead=tuple(sorted(silent)),
            leases={row.name: row.holder for row in leases},
        )

    def _believe(self, names: frozenset[str], began: float) -> None:
        new = names - self._held
        self._held, self._until = names, began + LEASE.total_seconds()
        for name in sorted(new):
            _log.info("lease.taken", name=name, holder=self._holder)
            self.gained(name)

    async def _until_holding(self, name: str, *, is_held: bool) -> None:
        while self.holds(name) is not is_held:  # noqa: ASYNC110 # the end of a lease is no event
            await asyncio.sleep(LOOK.total_seconds())


def _names_of(holder: str, leases: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name for name, of in leases.items() if of == holder)
