"""Group commit: steps of many callers share a unit of work, and so its round trips and its commit.

**Theory of operation.** A *piece* is a step with the names of its locks and the keys that it will
read. Pieces that arrive while units are in flight wait and go together into the next one; a piece
that finds nobody at work goes at once, so a lone caller waits for nobody. The callers of one unit
are all answered in one moment and come again one by one, so after a unit with a crowd the next one
waits some milliseconds, for as long as pieces keep arriving.

A unit takes all locks of its pieces in one call, reads all their keys with one query for each
table, and then runs the pieces one after another, each as an attempt: one that raises drops only
what it staged itself, and its caller gets the error. One composed statement and one commit write
all that remains.

**When the unit fails** (a taken key, a deadlock, a lock that did not come within three seconds), it
has left no trace and nobody knows whose fault it was: each piece is run again in a unit of its own,
beside the units of others, and is answered by itself. Only when
the connection was lost during the commit nothing is repeated, because it may have happened; every
caller is told so. Steps must therefore have no effect but through their unit.

**Which steps.** Those that take all their locks in advance, since two units that hold many locks
each and wait for one more could wait for each other. A piece runs in the context of its caller, so
its traces and logs are the caller's. A caller that is gone is skipped if its turn has not come, and
otherwise what it asked for is done, as by any lost answer.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from dataclasses import field
from datetime import timedelta
from typing import Any, Generic, TypeVar, cast

from gateway.database.table import Group, Table
from gateway.database.uow import UNKNOWN, Database, UnitOfWork, run
from gateway.kernel.errors import PeerUnreachable
from gateway.kernel.values import dataclass

Result = TypeVar("Result")
Read = tuple[Table[Any] | Group[Any], tuple[Any, ...]]

PIECES_MAX = 100  # of a unit: some ten milliseconds of work, the jitter that other calls get
UNITS_AT_ONCE = 2  # one decides while the other one's commit reaches the disk
PIECES_PER_TURN = 8  # then the event loop serves others for a moment
CROWD_MIN = 4  # pieces of a unit: with fewer, waiting costs more than it saves
ALONE_AT_ONCE = 4  # leaves connections to other callers
LOCK_WAIT = timedelta(seconds=3)  # longer than a busy machine takes; then who waits, waits alone
GATHER_TURN = timedelta(milliseconds=1)
GATHER_TURNS_MAX = 20  # a caller waits so many milliseconds at most, and only in a crowd


@dataclass(frozen=True, slots=True)
class Piece(Generic[Result]):
    """One caller's step: what it locks, what it will read by key, and what it does."""

    step: Callable[[UnitOfWork], Coroutine[Any, Any, Result]]
    locks: tuple[str, ...] = ()
    reads: tuple[Read, ...] = ()


@dataclass(slots=True)
class _Waiting(Generic[Result]):
    """A piece with its caller's context, and the place where the outcome goes."""

    piece: Piece[Result]
    answer: asyncio.Future[Result]
    context: Context = field(default_factory=copy_context)

    def settle(self, outcome: Result | BaseException) -> None:
        """Tell the caller, if it still listens."""
        if self.answer.done():
            return
        if isinstance(outcome, asyncio.CancelledError):
            self.answer.cancel()
        elif isinstance(outcome, BaseException):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class GroupCommit:
    """Runs pieces together; one for all callers of a process."""

    def __init__(
        self,
        database: Database,
        *,
        pieces_max: int = PIECES_MAX,
        units_at_once: int = UNITS_AT_ONCE,
        lock_wait: timedelta = LOCK_WAIT,
    ) -> None:
        """Run pieces in units of `database`."""
        self._database = database
        self._pieces_max = pieces_max
        self._units_at_once = units_at_once
        self._lock_wait = lock_wait
        self._waiting: deque[_Waiting[Any]] = deque()
        self._working: set[asyncio.Task[None]] = set()
        self._alone_turns = asyncio.Semaphore(ALONE_AT_ONCE)
        self._alone_tasks: set[asyncio.Task[None]] = set()
        self._crowd = 0  # pieces of the last unit

    async def run(self, piece: Piece[Result]) -> Result:
        """Return what the step of `piece` returned, once it is committed, or raise what it raised.

        Raises:
            ResourceExists, PeerUnreachable: as a unit of work does.
        """
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(piece, answer))
        if len(self._working) < self._units_at_once:
            # It begins in the next turn of the loop: what arrives in this one goes with it.
            task = asyncio.create_task(self._work(), name="group commit")
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        return await answer

    async def _work(self) -> None:
        try:
            await self._work_off()
        finally:
            # At once: who comes before the loop calls back must see that nobody works any more.
            self._working.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _work_off(self) -> None:
        while self._waiting:
            await self._gather()
            count = min(len(self._waiting), self._pieces_max)
            if not count:
                return  # the other unit took them
            taken = [self._waiting.popleft() for _ in range(count)]
            self._crowd = count
            try:
                await self._run_together([one for one in taken if not one.answer.done()])
            except BaseException as error:  # the process ends: nobody waits for what never comes
                while self._waiting:
                    taken.append(self._waiting.popleft())
                for one in taken:
                    one.settle(error)
                if isinstance(error, asyncio.CancelledError):
                    raise

    async def _gather(self) -> None:
        """Wait for more pieces, if there was a crowd the last time.

        As long as they keep coming; and beside a unit in flight to the end of the time, because
        the two would only share the crowd.
        """
        for _ in range(GATHER_TURNS_MAX):
            known = len(self._waiting)
            if self._crowd < CROWD_MIN or known >= self._crowd:
                return
            await asyncio.sleep(GATHER_TURN.total_seconds())
            if len(self._working) == 1 and len(self._waiting) <= known:
                return

    async def _run_together(self, pieces: Sequence[_Waiting[Any]]) -> None:
        try:
            async with self._database.unit() as uow:
                async with asyncio.timeout(self._lock_wait.total_seconds()):
                    await uow.lock(*(name for one in pieces for name in one.piece.locks))
                await _read_ahead(uow, pieces)
                outcomes = [await self._attempt(uow, *item) for item in enumerate(pieces)]
        except Exception as error:  # whosever fault it was, alone it meets it again
            if not _may_have_happened(error):
                self._part(pieces)
                return
            outcomes = [error] * len(pieces)
        for one, outcome in zip(pieces, outcomes, strict=True):
            one.settle(outcome)

    async def _attempt(self, uow: UnitOfWork, index: int, one: _Waiting[Any]) -> Any:
        if index % PIECES_PER_TURN == PIECES_PER_TURN - 1:
            await asyncio.sleep(0)
        try:
            async with uow.attempt():
                result = await _InContext(one.context, one.piece.step(uow))
                await uow.settle()  # its hooks are part of it, and fail with it
                return result
        except asyncio.CancelledError as error:
            if cast("asyncio.Task[None]", asyncio.current_task()).cancelling():
                raise  # the process ends
            return error  # something that the step waited for was cancelled, not we
        except Exception as error:  # its caller's; the others go on
            return error

    def _part(self, pieces: Sequence[_Waiting[Any]]) -> None:
        """Let each go on alone; none of them holds up another, nor the next unit."""
        for one in pieces:
            task = asyncio.create_task(self._alone(one), name="group commit, alone")
            self._alone_tasks.add(task)
            task.add_done_callback(self._alone_tasks.discard)

    async def _alone(self, one: _Waiting[Any]) -> None:
        async def step(uow: UnitOfWork) -> Any:
            await uow.lock(*one.piece.locks)
            await _read_ahead(uow, [one])
            return await _InContext(one.context, one.piece.step(uow))

        try:
            async with self._alone_turns:
                if not one.answer.done():
                    one.settle(await run(self._database, step))
        except BaseException as error:  # its caller's; nobody waits for what never comes
            one.settle(error)


async def _read_ahead(uow: UnitOfWork, pieces: Sequence[_Waiting[Any]]) -> None:
    """Read what is known to be read."""
    keys: dict[Table[Any] | Group[Any], list[tuple[Any, ...]]] = defaultdict(list)
    for one in pieces:
        for what, key in one.piece.reads:
            keys[what].append(key)
    for what, wanted in keys.items():
        await uow.prefetch(what, wanted)


def _may_have_happened(error: Exception) -> bool:
    return isinstance(error, PeerUnreachable) and error.metadata.get("outcome") == UNKNOWN


class _InContext(Awaitable[Result]):
    """Awaits a coroutine in another context, without a task of its own."""

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, Result]) -> None:
        self._context = context
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Result]:
        step: Callable[[Any], Any] = self._coroutine.send
        sent: Any = None
        while True:
            try:
                awaited = self._context.run(step, sent)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            try:
                sent = yield awaited
            except BaseException as error:  # a cancellation belongs to the coroutine
                step, sent = self._coroutine.throw, error
            else:
                step = self._coroutine.send
