"""The in-memory engine: the twin of PostgreSQL for tests and the simulation.

A unit of work is an overlay over the committed rows; it reads its own writes, and its commit
applies the overlay in one step, so an abandoned unit changes nothing. Isolation is that of
PostgreSQL's read committed: every read sees what has committed by then. Locks are exclusive by
name and first come, first served; a circle of waiting units is refused like PostgreSQL's deadlock.
A unit that failed to write is over, as in PostgreSQL: nothing more can be done in it.

Differences that remain: two units that insert the same key at once do not wait for each other (the
second one to commit gets `ResourceExists`), and twins see rows in order of their first writing,
where SQL without ORDER BY promises no order. Nothing here suspends except a contended lock and
`before_commit` hooks; cost is that of the rows touched. There is no clock and no entropy.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar

from gateway.database.known import as_group
from gateway.database.memory_rows import Key, Overlay, Stored, unique_value, unique_values
from gateway.database.staging import Batch, TableBatch
from gateway.database.table import HORIZON, Group, Query, RowsOf, Table, bind_names, words_of
from gateway.database.unit import StagedUnit
from gateway.database.uow import PEER, ROLLED_BACK, check_parameters, check_sequence
from gateway.kernel.errors import InvariantViolated, PeerUnreachable, ResourceExists
from gateway.kernel.values import dataclass, replace

Row = TypeVar("Row")
_Overlays = dict[str, tuple[Table[Any], Overlay]]

BEFORE_COMMIT = "before_commit"
AFTER_COMMIT = "after_commit"


def _no_crash(point: str) -> None:
    """Be the default for `crash`: nothing ever fails."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of everything committed: give it back to `restore` to stand for an old backup."""

    stored: Mapping[str, Stored]
    numbers: Mapping[str, int]
    transactions: int


class MemoryDatabase:
    """A database in memory: what the simulation and most tests run on.

    `crash` is called with `BEFORE_COMMIT` and `AFTER_COMMIT` at these points of every unit and may
    raise to stand for a process that dies there; the first leaves no trace, the second a committed
    unit whose `after_commit` callbacks never ran.
    """

    def __init__(self, *, crash: Callable[[str], None] = _no_crash) -> None:
        """Begin with no rows."""
        self.crash = crash
        self.commits = 0
        self._stored: dict[str, Stored] = {}
        self._numbers: dict[str, int] = {}
        self._transactions = 0
        self._writing: dict[int, _MemoryUnit] = {}  # open units that have a transaction number
        self._locks: dict[str, _Lock] = {}
        self._open: dict[_MemoryUnit, None] = {}  # a dict keeps the order, so runs repeat

    def unit(self) -> _MemoryUnit:
        """Open a unit: commit at the end of the block, roll back on an exception."""
        return _MemoryUnit(self)

    @property
    def tables(self) -> Mapping[str, Mapping[Key, Any]]:
        """The committed rows by table name and key, for the checkers of tests."""
        return MappingProxyType(
            {name: MappingProxyType(stored.rows) for name, stored in self._stored.items()}
        )

    def rows(self, table: Table[Row]) -> list[Row]:
        """Return the committed rows of a table in order of their first writing."""
        stored = self._stored.get(table.name)
        return list(stored.rows.values()) if stored else []

    def snapshot(self) -> Snapshot:
        """Return a copy of everything committed."""
        return Snapshot(
            stored={name: stored.copy() for name, stored in self._stored.items()},
            numbers=dict(self._numbers),
            transactions=self._transactions,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot; open units are abandoned."""
        self.abandon()
        self._stored = {name: stored.copy() for name, stored in snapshot.stored.items()}
        self._numbers = dict(snapshot.numbers)
        self._transactions = snapshot.transactions

    def abandon(self) -> None:
        """End all open units without a trace, as when their process is killed.

        Those that wait for a lock are cancelled.
        """
        locks, self._locks = self._locks, {}
        for lock in locks.values():
            for _, turn in lock.waiting:
                turn.cancel()
        for unit in list(self._open):
            unit.finish()

    # --- what units need ---------------------------------------------------------------------

    def stored(self, table: Table[Any]) -> Stored:
        """Return the committed side of a table, made on first use."""
        found = self._stored.get(table.name)
        if found is None:
            found = self._stored[table.name] = Stored(table)
        return found

    def next_number(self, sequence: str) -> int:
        """Return the next number of a sequence; never rolled back, like PostgreSQL's."""
        number = self._numbers.get(sequence, 0) + 1
        self._numbers[sequence] = number
        return number

    def raise_number(self, sequence: str, number: int) -> None:
        """Keep a sequence ahead of a number that a row carries."""
        self._numbers[sequence] = max(self._numbers.get(sequence, 0), number)

    def begin_writing(self, unit: _MemoryUnit) -> int:
        """Return a fresh transaction number for a unit that writes."""
        self._transactions += 1
        self._writing[self._transactions] = unit
        return self._transactions

    def horizon(self) -> int:
        """Return the number below which no transaction is still running."""
        return min(self._writing, default=self._transactions + 1)

    def opened(self, unit: _MemoryUnit) -> None:
        """Note an open unit."""
        self._open[unit] = None

    def closed(self, unit: _MemoryUnit, transaction: int | None) -> None:
        """Forget a unit that ended."""
        self._open.pop(unit, None)
        if transaction is not None:
            self._writing.pop(transaction, None)

    def lock(self, name: str) -> _Lock:
        """Return the lock of this name."""
        return self._locks.setdefault(name, _Lock())

    def unlock(self, name: str) -> None:
        """Pass a lock on, or forget it when nobody waits."""
        if name in self._locks and self._locks[name].release():
            del self._locks[name]


@dataclass(slots=True)
class _Lock:
    """An exclusive lock: its owner and those that wait, first come, first served."""

    owner: _MemoryUnit | None = None
    waiting: deque[tuple[_MemoryUnit, asyncio.Future[None]]] = field(default_factory=deque)

    def release(self) -> bool:
        """Pass the lock on to the first who still waits; tell whether nobody does."""
        self.owner = None
        while self.waiting:
            unit, turn = self.waiting.popleft()
            if not turn.done():
                self.owner = unit
                unit.awaited = None  # it waits no more, though it has yet to be woken
                turn.set_result(None)
                return False
        return True


class _MemoryUnit(StagedUnit):
    """One open transaction over a `MemoryDatabase`."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__()
        self._database = database
        self._overlays: _Overlays = {}
        self._savepoint: _Overlays | None = None
        self._held: list[str] = []
        self.awaited: _Lock | None = None
        self._transaction: int | None = None
        self._is_open = False
        self._is_failed = False

    async def __aenter__(self) -> Self:
        self._is_open = True
        self._database.opened(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A rollback never suspends, so a coroutine that is closed instead of finished ends cleanly.
        if kind is not None:
            self.finish()
            return
        try:
            self._require_open()
            await self._run_hooks()
            await self._run_checks()
            self._write_all(self._staging.take())
            self._check_conflicts()
            self._database.crash(BEFORE_COMMIT)
            self._apply()
        finally:
            self.finish()
        self._database.crash(AFTER_COMMIT)
        for callback in self._after:
            callback()

    def finish(self) -> None:
        """End the unit: release its locks and let go of what it staged."""
        if not self._is_open:
            return
        self._is_open = False
        self._database.closed(self, self._transaction)
        for name in self._held:
            self._database.unlock(name)
        self._held.clear()
        self._overlays.clear()

    # --- the verbs ---------------------------------------------------------------------------

    async def lock(self, *names: str) -> None:
        self._require_open()
        for name in sorted(set(names) - set(self._held)):
            lock = self._database.lock(name)
            if lock.owner is None:
                lock.owner = self
            else:
                await self._wait(name, lock)
                self._require_open()
            self._held.append(name)
            self._known.forget_reads()

    async def select(self, query: Query[Row], **parameters: Any) -> list[Row]:
        self._require_open()
        check_parameters(query, parameters, bind_names(query.sql, horizon="0").names)
        await self._flush_for(query.sql)
        given = {**parameters, HORIZON: self._database.horizon()}
        return list(query.twin(self._rows_for(query), given))

    def absent(self, what: Table[Any] | Group[Any], *values: Any) -> None:
        super().absent(what, *values)
        group = as_group(what)
        if any(True for _ in self._keys_of(group, values)):
            raise InvariantViolated(invariant="absent", got=f"rows of {group.table.name}")

    async def next_value(self, sequence: str) -> int:
        self._require_open()
        check_sequence(sequence)
        return self._database.next_number(sequence)

    # --- locks -------------------------------------------------------------------------------

    async def _wait(self, name: str, lock: _Lock) -> None:
        holder = lock.owner
        while holder is not None and holder is not self:
            holder = holder.awaited.owner if holder.awaited else None
        if holder is self:
            self.finish()
            raise PeerUnreachable(peer=PEER, got="deadlock", outcome=ROLLED_BACK, lock=name)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lock.waiting.append((self, turn))
        self.awaited = lock
        try:
            await turn
        except BaseException:
            # The turn may have come while we were being cancelled: pass it on.
            if lock.owner is self:
                self._database.unlock(name)
            raise
        finally:
            self.awaited = None

    # --- rows --------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if not self._is_open or self._is_failed:
            raise InvariantViolated(invariant="unit-open", got="a unit that ended or failed")

    def _overlay(self, table: Table[Any]) -> Overlay:
        found = self._overlays.get(table.name)
        if found is None:
            found = self._overlays[table.name] = (table, Overlay())
        return found[1]

    def _visible(self, table: Table[Any], key: Key) -> Any:
        overlay = self._overlay(table).rows
        return overlay[key] if key in overlay else self._database.stored(table).rows.get(key)

    def _rows_of(self, table: Table[Any]) -> Iterator[Any]:
        overlay, stored = self._overlay(table).rows, self._database.stored(table).rows
        for key, row in stored.items():
            if key not in overlay:
                yield row
            elif (own := overlay[key]) is not None:
                yield own
        for key, own in overlay.items():
            if own is not None and key not in stored:
                yield own

    def _rows_for(self, query: Query[Any]) -> RowsOf:
        """Return what gives a twin its rows: those of the tables that its SQL names."""

        def rows(table: Table[Any]) -> Iterator[Any]:
            if table.name not in words_of(query.sql):
                raise InvariantViolated(
                    invariant=f"twin of {query.name}", got=f"{table.name}, which its SQL omits"
                )
            return self._rows_of(table)

        return rows

    def _keys_of(self, group: Group[Any], values: Key) -> Iterator[Key]:
        """Return the keys of the visible rows of a group."""
        overlay = self._overlay(group.table).rows
        if group.columns == group.table.key:
            if self._visible(group.table, values) is not None:
                yield values
            return
        for key in self._database.stored(group.table).group(group, values):
            if key not in overlay:
                yield key
        for key, row in overlay.items():
            if row is not None and group.values_of(row) == values:
                yield key

    def _write_all(self, batches: Iterable[Batch]) -> None:
        try:
            for batch in batches:
                if self._transaction is None:
                    self._transaction = self._database.begin_writing(self)
                self._write_batch(batch)
        except ResourceExists:
            self._is_failed = True
            if self._savepoint is None:
                self.finish()
            raise

    def _write_batch(self, batch: Batch) -> None:
        for part in batch.values():
            for key in part.deletes:
                self._set(part.table, key, None)
            for key, row in part.puts.items():
                self._set(part.table, key, self._numbered_put(part.table, key, row))
            for row in part.inserts:
                self._insert(part, self._numbered(part.table, row))

    # --- what every unit needs of its engine --------------------------------------------------

    def _holds_locks(self) -> bool:
        return bool(self._held)

    async def _read(self, group: Group[Row], keys: Sequence[Key]) -> list[Row]:
        found = (key for values in keys for key in self._keys_of(group, values))
        return [self._visible(group.table, key) for key in found]

    async def _write(self, batches: Iterable[Batch]) -> None:
        self._write_all(batches)

    async def _set_savepoint(self) -> None:
        self._savepoint = {
            name: (table, overlay.copy()) for name, (table, overlay) in self._overlays.items()
        }

    async def _release_savepoint(self) -> None:
        self._savepoint = None

    async def _go_back_to_savepoint(self) -> None:
        self._overlays, self._savepoint = self._savepoint or {}, None
        self._is_failed = False

    def _insert(self, part: TableBatch, row: Any) -> None:
        table, key = part.table, part.table.key_of(row)
        if self._visible(table, key) is not None:
            raise ResourceExists(kind=table.name, name=f"{table.name}_pkey")
        self._set(table, key, row)
        if key not in self._database.stored(table).rows:
            self._overlay(table).absent.add(key)

    def _numbered_put(self, table: Table[Any], key: Key, row: Any) -> Any:
        names = [name for name in (table.generated, table.transaction) if name]
        before = self._visible(table, key) if names else None
        if before is not None:
            return replace(row, **{name: getattr(before, name) for name in names})
        return self._numbered(table, row)

    def _numbered(self, table: Table[Any], row: Any) -> Any:
        numbers: dict[str, int] = {}
        if table.generated:
            sequence = f"{table.name}.{table.generated}"
            if carried := getattr(row, table.generated):
                self._database.raise_number(sequence, carried)
            else:
                numbers[table.generated] = self._database.next_number(sequence)
        if table.transaction:
            numbers[table.transaction] = self._transaction or 0
        return replace(row, **numbers) if numbers else row

    def _set(self, table: Table[Any], key: Key, row: Any | None) -> None:
        overlay = self._overlay(table)
        for names, value in unique_values(table, row):
            self._require_unique(table, names, value, key)
            overlay.owners.setdefault(names, {})[value] = key
        overlay.rows[key] = row

    def _require_unique(
        self, table: Table[Any], names: tuple[str, ...], value: Key, key: Key
    ) -> None:
        indexes = (self._overlay(table).owners, self._database.stored(table).owners)
        for index in indexes:
            owner = index.get(names, {}).get(value)
            if owner is None or owner == key:
                continue
            row = self._visible(table, owner)
            if row is not None and unique_value(names, row) == value:
                raise ResourceExists(kind=table.name, name=f"{table.name}_{'_'.join(names)}_key")

    # --- the commit --------------------------------------------------------------------------

    def _check_conflicts(self) -> None:
        """Refuse what another unit has committed meanwhile; PostgreSQL would have waited for it."""
        for table, overlay in self._overlays.values():
            stored = self._database.stored(table)
            if any(key in stored.rows for key in overlay.absent):
                raise ResourceExists(kind=table.name, name=f"{table.name}_pkey")
            for key, row in overlay.rows.items():
                for names, value in unique_values(table, row):
                    self._require_unique(table, names, value, key)

    def _apply(self) -> None:
        for table, overlay in self._overlays.values():
            stored = self._database.stored(table)
            for key in overlay.rows:
                stored.free(key)
            for key, row in overlay.rows.items():
                stored.write(key, row)
        self._database.commits += 1
