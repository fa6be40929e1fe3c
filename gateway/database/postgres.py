"""The PostgreSQL engine: a unit of work over a pool of asyncpg connections.

A unit takes a connection and begins its transaction with its first lock or read. Writes are staged
(`unit.py`) and go out as one statement per batch (`statements.py`), normally a single one right
before the commit; a unit that only writes one batch sends that statement alone, without BEGIN and
COMMIT, because one statement is one transaction. The level is read committed: what must not change
under a step is locked by name first (`pg_advisory_xact_lock`), and a read then sees the latest
commit.

The commit cannot be interrupted: a cancelled task still learns how its commit ended, so that
`after_commit` callbacks run exactly for committed units. When the connection is lost during the
commit, nobody knows the outcome; the error says so and is never repeated blindly (`uow.run`).

PostgreSQL's own error texts quote values, which may be personal. They go neither into our errors
nor into a traceback; what remains is the SQLSTATE and the names of table, column and constraint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import asyncpg

from gateway.database.columns import Kind, columns_of, decode_json
from gateway.database.faults import LOST, translated_errors
from gateway.database.staging import Batch
from gateway.database.statements import (
    HORIZON_SQL,
    read_many_statement,
    read_statement,
    write_statement,
)
from gateway.database.table import Group, Query, bind_names
from gateway.database.unit import StagedUnit
from gateway.database.uow import ROLLED_BACK, UNKNOWN, check_parameters, check_sequence
from gateway.kernel import crashpoints
from gateway.kernel.errors import InvariantViolated, PeerUnreachable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Row = TypeVar("Row")

CONNECTIONS_MAX = 10  # per process; an embedded PostgreSQL serves a few processes with 40
CONNECT_TIMEOUT = timedelta(seconds=10)
STATEMENT_TIMEOUT = timedelta(seconds=30)  # the longest: a purge; hot statements take milliseconds
LOCK_TIMEOUT = timedelta(seconds=10)  # a ticket's step takes milliseconds; ten seconds is a fault
IDLE_TIMEOUT = timedelta(seconds=60)  # an open transaction holds back every stream reader
STATEMENT_BYTES_MAX = 65_536  # kept prepared: the statement that writes a ticket has 12 KB
COMMAND_TIMEOUT = STATEMENT_TIMEOUT + timedelta(seconds=5)  # the server's own limit comes first

_SETTINGS = {
    "application_name": "lubiao",
    "timezone": "UTC",
    "default_transaction_isolation": "read committed",
    "synchronous_commit": "on",  # I1: acknowledged means on disk
    "statement_timeout": str(STATEMENT_TIMEOUT // timedelta(milliseconds=1)),
    "lock_timeout": str(LOCK_TIMEOUT // timedelta(milliseconds=1)),
    "idle_in_transaction_session_timeout": str(IDLE_TIMEOUT // timedelta(milliseconds=1)),
    # A generic plan made while a table was empty would scan it for ever after; planning our short
    # statements afresh costs far less than one such plan.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
}
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest($1::text[]) AS n(name)"


class _Connection(asyncpg.Connection):
    """A connection that is given back without a round trip: units never change session state."""

    def get_reset_query(self) -> str:
        return ""


class PostgresDatabase:
    """A database in PostgreSQL; `connect` makes it, `close` ends it."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        """Serve units from `pool`, which `connect` has made."""
        self._pool = pool

    @classmethod
    async def connect(cls, dsn: str, *, connections_max: int = CONNECTIONS_MAX) -> Self:
        """Return a database that answers; its connections are made on demand, again after loss.

        Raises:
            PeerUnreachable: PostgreSQL does not answer.
        """
        with translated_errors(outcome=ROLLED_BACK):
            pool = await asyncpg.create_pool(
                dsn,
                min_size=0,
                max_size=connections_max,
                timeout=CONNECT_TIMEOUT.total_seconds(),
                command_timeout=COMMAND_TIMEOUT.total_seconds(),
                connection_class=_Connection,
                max_cacheable_statement_size=STATEMENT_BYTES_MAX,
                server_settings=_SETTINGS,
            )
        database = cls(pool)
        try:
            await database.ping()
        except PeerUnreachable:
            database.terminate()
            raise
        return database

    async def close(self) -> None:
        """Wait for open units and close all connections."""
        await self._pool.close()

    def terminate(self) -> None:
        """Cut all connections at once."""
        self._pool.terminate()

    def unit(self) -> _PostgresUnit:
        """Open a unit: commit at the end of the block, roll back on an exception."""
        return _PostgresUnit(self._pool)

    def connections(self) -> tuple[int, int]:
        """Return how many connections of the pool work now, and how many there are."""
        size = self._pool.get_size()
        return size - self._pool.get_idle_size(), size

    async def ping(self) -> None:
        """Raise PeerUnreachable unless PostgreSQL answers."""
        with translated_errors(outcome=ROLLED_BACK):
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT.total_seconds()) as connection:
                await connection.execute("SELECT 1")


class _PostgresUnit(StagedUnit):
    """One open transaction."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__()
        self._pool = pool
        self._connection: PoolConnectionProxy | None = None
        self._held: set[str] = set()
        self._held_at_savepoint: frozenset[str] = frozenset()
        self._is_open = False
        self._has_begun = False
        self._is_failed = False

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        is_committed = False
        try:
            if kind is None:
                self._require_open()
                await self._run_hooks()
                await self._run_checks()
                await self._uninterrupted_commit()
                is_committed = True
        finally:
            self._is_open = False
            await self._uninterrupted_end(is_committed=is_committed)
        if kind is None:
            self._run_callbacks()

    # --- the verbs ---------------------------------------------------------------------------

    async def lock(self, *names: str) -> None:
        self._require_open()
        wanted = sorted(set(names) - self._held)
        if wanted:
            await self._fetch(_LOCK, wanted)
            self._held.update(wanted)
            self._known.forget_reads()

    async def select(self, query: Query[Row], **parameters: Any) -> list[Row]:
        self._require_open()
        bound = bind_names(query.sql, horizon=HORIZON_SQL)
        check_parameters(query, parameters, bound.names)
        await self._flush_for(query.sql)
        records = await self._fetch(bound.text, *(parameters[name] for name in bound.names))
        return [_row_of(query.row, record) for record in records]

    async def next_value(self, sequence: str) -> int:
        self._require_open()
        check_sequence(sequence)
        records = await self._fetch("SELECT nextval($1::text::regclass)", sequence)
        return int(records[0][0])

    # --- statements --------------------------------------------------------------------------

    def _require_open(self) -> None:
        if not self._is_open or self._is_failed:
            raise InvariantViolated(invariant="unit-open", got="a unit that ended or failed")

    @contextmanager
    def _failing(self, *, outcome: str = ROLLED_BACK) -> Iterator[None]:
        """Mark the unit as over when the block raises; PostgreSQL would refuse all that follows."""
        try:
            with translated_errors(outcome=outcome):
                yield
        except BaseException:
            self._is_failed = True
            raise

    async def _take(self) -> PoolConnectionProxy:
        if self._connection is None:
            timeout = CONNECT_TIMEOUT.total_seconds()
            self._connection = await self._pool.acquire(timeout=timeout)
        return self._connection

    async def _begin(self) -> PoolConnectionProxy:
        connection = await self._take()
        if not self._has_begun:
            await connection.execute("BEGIN")
            self._has_begun = True
        return connection

    async def _fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        with self._failing():
            connection = await self._begin()
            return await connection.fetch(statement, *arguments)

    async def _execute(self, statement: str) -> None:
        with self._failing():
            connection = await self._begin()
            await connection.execute(statement)

    # --- what every unit needs of its engine --------------------------------------------------

    def _holds_locks(self) -> bool:
        return bool(self._held)

    async def _read(self, group: Group[Row], keys: Sequence[tuple[Any, ...]]) -> list[Row]:
        if len(keys) == 1:
            records = await self._fetch(read_statement(group), *keys[0])
        else:
            arrays = (list(values) for values in zip(*keys, strict=True))
            records = await self._fetch(read_many_statement(group), *arrays)
        return [_row_of(group.table.row, record) for record in records]

    async def _write(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            with self._failing():
                await _write(await self._begin(), batch)

    async def _set_savepoint(self) -> None:
        await self._execute("SAVEPOINT attempt")
        self._held_at_savepoint = frozenset(self._held)

    async def _release_savepoint(self) -> None:
        await self._execute("RELEASE SAVEPOINT attempt")

    async def _go_back_to_savepoint(self) -> None:
        await self._execute("ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt")
        self._is_failed = False
        self._held &= self._held_at_savepoint  # PostgreSQL gave the later ones free

    # --- the end -----------------------------------------------------------------------------

    async def _uninterrupted_commit(self) -> None:
        commit = asyncio.ensure_future(self._commit())
        try:
            await asyncio.shield(commit)
        except asyncio.CancelledError:
            await _finished(commit)
            if commit.exception() is None:
                self._run_callbacks()
            raise

    async def _commit(self) -> None:
        batches = self._staging.take()
        if self._connection is None and not batches:
            return
        with self._failing():
            connection = await self._take()
            if connection.is_closed():
                raise asyncpg.ConnectionDoesNotExistError
            is_one_statement = len(batches) == 1 and not self._has_begun
            if not is_one_statement:
                await self._begin()
                for batch in batches:
                    await _write(connection, batch)
        crashpoints.reach("commit.before")
        with self._failing(outcome=UNKNOWN):
            if is_one_statement:
                await _write(connection, batches[0])
            else:
                await connection.execute("COMMIT")
        crashpoints.reach("commit.after")

    def _run_callbacks(self) -> None:
        for callback in self._after:
            callback()

    async def _uninterrupted_end(self, *, is_committed: bool) -> None:
        """Roll back what did not commit, and give the connection back, whoever hangs up meanwhile.

        A server cancels a call more than once. A cancelled rollback would leave the connection out
        of the pool, with the locks of its transaction, until PostgreSQL ends it.
        """
        end = asyncio.ensure_future(self._end(is_committed=is_committed))
        try:
            await asyncio.shield(end)
        except asyncio.CancelledError:
            await _finished(end)
            if is_committed:
                self._run_callbacks()
            raise

    async def _end(self, *, is_committed: bool) -> None:
        try:
            if not is_committed:
                await self._roll_back()
        finally:
            await self._give_back()

    async def _roll_back(self) -> None:
        # A lost connection has rolled back by itself, and the step's own error is what matters.
        with suppress(*LOST):
            if self._connection is not None and self._connection.is_in_transaction():
                await self._connection.execute("ROLLBACK")

    async def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*LOST):
                await self._pool.release(connection)


async def _write(connection: PoolConnectionProxy, batch: Batch) -> None:
    statement, arrays = write_statement(batch)
    await connection.execute(statement, *arrays)


async def _finished(task: asyncio.Task[None]) -> None:
    """Wait for `task`, whatever else is cancelled; the time-outs of a statement bound it."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])


def _row_of(row: type[Row], record: asyncpg.Record) -> Row:
    """Return the row of a record, whose columns are found by name."""
    values: dict[str, Any] = {}
    for column in columns_of(row):
        try:
            value = record[column.name]
        except KeyError:
            raise InvariantViolated(
                invariant=f"columns of {row.__name__}", got=f"no {column.name}"
            ) from None
        if column.kind is Kind.JSON and value is not None:
            value = decode_json(value)
        values[column.name] = value
    return row(**values)
