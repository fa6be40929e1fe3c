"""What the units of both engines share: staging, the identity map, attempts and hooks.

Writes are staged and go out at the commit, or before a query whose SQL names one of their tables. A
`get`, and the `rows` of a group, are answered from what is known (`known.py`) joined with what is
staged, without writing and without asking the database again. An engine adds how rows are read,
how batches are written, and what a lock and the end of a transaction are.

**Attempts.** Several steps may share one unit, which costs one commit for all. Each runs as an
attempt: if it raises, what it staged is cut off and nothing else happened. As long as nothing was
written inside the attempt this needs no round trip; else the engine sets a savepoint before the
first write. Locks taken inside a failed attempt may be gone: take them before.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.database.known import UNSETTLED, Gap, Known, as_group
from gateway.database.staging import Batch, Staging
from gateway.database.table import Group, Table, by_key, words_of
from gateway.database.uow import UnitOfWork, check_key, check_values
from gateway.kernel.errors import InvariantViolated

Row = TypeVar("Row")
Values = tuple[Any, ...]

HOOKS_MAX = 5_000  # before one commit; a step that goes on and on must not hold its node
PREFETCH_KEYS_MAX = 10_000  # of one call; a group commit has some hundred


@dataclass(slots=True)
class _Attempt:
    """What to go back to when an attempt fails."""

    staged: int
    known: int
    after: int
    before: tuple[Callable[[], Any], ...]
    last: dict[Hashable, Callable[[], Any]]
    is_written: bool = False  # a savepoint stands in the database


class StagedUnit(UnitOfWork):
    """An open unit that stages its writes and remembers its reads."""

    def __init__(self) -> None:
        """Begin with nothing staged and nothing known."""
        self._staging = Staging()
        self._known = Known()
        self._after: list[Callable[[], None]] = []
        self._before: deque[Callable[[], Any]] = deque()
        self._last: dict[Hashable, Callable[[], Any]] = {}
        self._attempt: _Attempt | None = None
        self._checks: dict[Hashable, Callable[[], Awaitable[None]]] = {}

    # --- what an engine adds ------------------------------------------------------------------

    @abstractmethod
    def _require_open(self) -> None:
        """Refuse a unit that ended or failed."""

    @abstractmethod
    def _holds_locks(self) -> bool:
        """Tell whether the unit holds any lock."""

    @abstractmethod
    async def _read(self, group: Group[Row], keys: Sequence[Values]) -> list[Row]:
        """Return the rows of these groups as the database shows them to this unit now."""

    @abstractmethod
    async def _write(self, batches: Iterable[Batch]) -> None:
        """Write batches in their order."""

    @abstractmethod
    async def _set_savepoint(self) -> None:
        """Remember the state of the transaction."""

    @abstractmethod
    async def _release_savepoint(self) -> None:
        """Forget the remembered state."""

    @abstractmethod
    async def _go_back_to_savepoint(self) -> None:
        """Go back to the remembered state and forget it."""

    # --- the verbs ----------------------------------------------------------------------------

    async def get(self, table: Table[Row], *key: Any) -> Row | None:
        """Return the row with this primary key as this unit sees it, or None."""
        self._require_open()
        check_key(table, key)
        found = self._known.find(table, key)
        if not isinstance(found, Gap):
            return found
        if found is UNSETTLED:
            await self._flush()
        rows = await self._read(by_key(table), [key])
        row = rows[0] if rows else None
        if self._holds_locks():
            self._known.note_read(table, key, row)
        return row

    async def rows(self, group: Group[Row], *values: Any) -> list[Row]:
        """Return the rows of a group in the order of their keys."""
        self._require_open()
        check_values(group, values)
        known = self._known.rows(group, values)
        if known is not None:
            return known
        if self._known.is_unsettled(group.table):
            await self._flush()
        found = await self._read(group, [values])
        if self._holds_locks():
            self._known.note_group(group, values, found)
        return self._known.merged(group, values, ((group.table.key_of(row), row) for row in found))

    async def prefetch(self, what: Table[Any] | Group[Any], keys: Iterable[Sequence[Any]]) -> None:
        """Read many rows or groups in one query and remember them."""
        self._require_open()
        group = as_group(what)
        wanted = list(dict.fromkeys(tuple(key) for key in keys))
        if len(wanted) > PREFETCH_KEYS_MAX:
            raise InvariantViolated(invariant="prefetch", got=f"{len(wanted)} keys")
        for key in wanted:
            check_values(group, key)
        wanted = [key for key in wanted if not self._known.knows(group, key)]
        if not wanted:
            return
        if self._known.is_unsettled(group.table):
            await self._flush()
        found: dict[Values, list[Any]] = {key: [] for key in wanted}
        for row in await self._read(group, wanted):
            found[group.values_of(row)].append(row)
        for key, rows in found.items():
            if group.columns == group.table.key:
                self._known.note_read(group.table, key, rows[0] if rows else None)
            else:
                self._known.note_group(group, key, rows)

    def absent(self, what: Table[Any] | Group[Any], *values: Any) -> None:
        """Say that nobody but this unit has a row of this key or group."""
        self._require_open()
        group = as_group(what)
        check_values(group, values)
        self._known.note_absent(group, values)

    def insert(self, table: Table[Row], row: Row) -> None:
        """Stage a new row."""
        self._require_open()
        key, stored = self._staging.insert(table, row)
        self._known.note_write(table, key, stored)

    def put(self, table: Table[Row], row: Row) -> None:
        """Stage a row that replaces the one with the same key, or is new."""
        self._require_open()
        key, stored = self._staging.put(table, row)
        self._known.note_write(table, key, stored)

    def delete(self, table: Table[Row], *key: Any) -> None:
        """Stage the removal of a row."""
        self._require_open()
        self._staging.delete(table, key)
        self._known.note_write(table, key, None)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` once the unit has committed."""
        self._after.append(callback)

    def before_commit(self, callback: Callable[[], Any], *, once: Hashable | None = None) -> None:
        """Await `callback()` just before the commit; with `once` last, and the last one only."""
        self._require_open()
        if once is None:
            self._before.append(callback)
        else:
            self._last[once] = callback

    def check_at_commit(self, name: Hashable, check: Callable[[], Awaitable[None]]) -> None:
        """Await `check()` as the last thing before the commit, once a unit for each name."""
        self._require_open()
        self._checks.setdefault(name, check)

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Try one of several steps: if the block raises, only that is undone."""
        self._require_open()
        if self._attempt is not None:
            raise InvariantViolated(invariant="attempts", got="an attempt within an attempt")
        attempt = self._attempt = _Attempt(
            staged=self._staging.mark(),
            known=self._known.mark(),
            after=len(self._after),
            before=tuple(self._before),
            last=dict(self._last),
        )
        try:
            yield
            if attempt.is_written:
                await self._release_savepoint()
        except (Exception, asyncio.CancelledError):  # who ran out of time may go on without it
            await self._undo(attempt)
            raise
        finally:
            self._attempt = None

    async def settle(self) -> None:
        """Run the `before_commit` hooks registered so far, now."""
        self._require_open()
        await self._run_hooks()

    # --- parts --------------------------------------------------------------------------------

    async def _flush(self) -> None:
        """Write what is staged; inside an attempt, what was staged before it goes first."""
        attempt = self._attempt
        if attempt is not None and not attempt.is_written and self._staging:
            await self._write(self._staging.take(attempt.staged))
            await self._set_savepoint()
            attempt.is_written, attempt.staged = True, 0
        await self._write(self._staging.take())

    async def _flush_for(self, sql: str) -> None:
        """Write what is staged if the query may read it."""
        if self._staging.touches_any(words_of(sql)):
            await self._flush()

    async def _undo(self, attempt: _Attempt) -> None:
        if attempt.is_written:
            await self._go_back_to_savepoint()
        self._staging.drop_after(attempt.staged)
        self._known.undo_after(attempt.known)
        if attempt.is_written:  # what was read since the savepoint may be of these writes
            self._known.forget_reads()
        del self._after[attempt.after :]
        self._before = deque(attempt.before)
        self._last = attempt.last

    async def _run_checks(self) -> None:
        for check in self._checks.values():
            await check()

    async def _run_hooks(self) -> None:
        for _ in range(HOOKS_MAX):
            if not self._before and not self._last:
                return
            hook = self._before.popleft() if self._before else self._last.popitem()[1]
            result = hook()
            if inspect.isawaitable(result):
                await result
            self._require_open()
        raise InvariantViolated(invariant="a step ends", got=f"{HOOKS_MAX} hooks and more")
