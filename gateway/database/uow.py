"""The unit of work: one transaction is one step.

A service opens a unit with `async with database.unit() as uow`, locks what it will change, reads,
and stages whole rows. Staged rows are written when the unit commits (or before a query of their
tables), all tables in one composed statement. Leaving the block commits; an exception rolls back
and nothing happened. Services that are handed a unit never open another one. Nothing is ever sent
from inside.

What a unit raises besides the step's own errors:

* `ResourceExists` when an inserted row meets a key that is taken (`kind` is the table, `name` the
  constraint, never a value). It comes when the row is written: at a query or at the commit.
* `PeerUnreachable` when the database does not answer. Its metadata `outcome` is `rolled_back` when
  the unit certainly left no trace (deadlock, time-out, no connection) and `unknown` when the
  connection was lost during the commit; only the first may be repeated, which `run` does.
* `InvariantViolated` for a defect of the program.

After any of them the unit is over: leave the block.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from gateway.database.table import Group, Query, Table
from gateway.kernel.errors import InvariantViolated, PeerUnreachable, RulesChanged

Row = TypeVar("Row")
Result = TypeVar("Result")

PEER = "postgresql"
ROLLED_BACK = "rolled_back"
UNKNOWN = "unknown"
ATTEMPTS_MAX = 3  # deadlocks are rare; a third in a row says that the locks are wrong
CHANGES_MAX = 10  # of what a step rested on; whoever publishes faster waits for people to decide


class UnitOfWork(Protocol):
    """One open transaction."""

    async def lock(self, *names: str) -> None:
        """Take exclusive locks on `names` until the end; they are taken in sorted order.

        A ticket is locked as `ticket/{number}` once per unit, so inner and outer steps cannot
        deadlock (custody-protocol.md §2).
        """
        ...

    async def get(self, table: Table[Row], *key: Any) -> Row | None:
        """Return the row with this primary key as this unit sees it, or None.

        A unit that holds a lock remembers what it read, and that there was nothing, until it takes
        another lock: the second `get` costs nothing. What it staged is answered at once.
        """
        ...

    async def rows(self, group: Group[Row], *values: Any) -> list[Row]:
        """Return the rows of a group in the order of their keys; remembered like `get`."""
        ...

    async def prefetch(self, what: Table[Any] | Group[Any], keys: Iterable[Sequence[Any]]) -> None:
        """Read many rows by key, or many groups, in one query, so that `get` and `rows` know them.

        They are remembered until the unit takes another lock: take all locks first.
        """
        ...

    def absent(self, what: Table[Any] | Group[Any], *values: Any) -> None:
        """Say that nobody but this unit has a row of this key or group, so nobody need look.

        Right only for what cannot be known elsewhere, such as a number minted in this unit.
        """
        ...

    def attempt(self) -> AbstractAsyncContextManager[None]:
        """Try one of several steps of this unit: if the block raises, only that is undone.

        What it staged and its hooks are dropped; locks are to be taken before. Not nested. When the
        database itself refused a statement outside a savepoint, the whole unit is over.
        """
        ...

    async def settle(self) -> None:
        """Run the `before_commit` hooks registered so far, within the attempt they belong to."""
        ...

    async def select(self, query: Query[Row], **parameters: Any) -> list[Row]:
        """Return the rows of a named query, staged rows of this unit included.

        Nothing is remembered, and what is staged for its tables is written first.
        """
        ...

    def insert(self, table: Table[Row], row: Row) -> None:
        """Stage a new row; an existing key raises ResourceExists when it is written."""
        ...

    def put(self, table: Table[Row], row: Row) -> None:
        """Stage a row that replaces the one with the same key, or is new.

        The `generated` and `transaction` columns of an existing row stay as they are.
        """
        ...

    def delete(self, table: Table[Row], *key: Any) -> None:
        """Stage the removal of a row; a missing one is no error."""
        ...

    async def next_value(self, sequence: str) -> int:
        """Return the next number of a named sequence; gaps are allowed, repeats are not.

        The room's migration creates the sequence (`CREATE SEQUENCE ticket_number`).
        """
        ...

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` once the unit has committed; never when it rolled back."""
        ...

    def before_commit(self, callback: Callable[[], Any], *, once: Hashable | None = None) -> None:
        """Await `callback()` just before the commit, in order of registration.

        With `once` it is awaited after all others, the newest first, and only the last one of its
        name: what tells the whole state of something need not be said twice in one step.
        """
        ...

    def check_at_commit(self, name: Hashable, check: Callable[[], Awaitable[None]]) -> None:
        """Await `check()` as the last thing before the commit, once a unit for each name.

        What several steps of one unit rest on is looked at once, whoever of them failed meanwhile;
        if it raises, nothing of the whole unit happened.
        """
        ...


class Database(Protocol):
    """A store of tables that opens units of work."""

    def unit(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open a unit: commit at the end of the block, roll back on an exception."""
        ...


async def run(
    database: Database,
    step: Callable[[UnitOfWork], Awaitable[Result]],
    *,
    attempts_max: int = ATTEMPTS_MAX,
) -> Result:
    """Run `step` in a unit of its own and repeat it when the unit was certainly rolled back.

    The step must have no effect but through its unit.
    """
    attempt, changes = 0, 0
    while True:
        attempt += 1
        try:
            async with database.unit() as uow:
                return await step(uow)
        except RulesChanged:
            attempt, changes = attempt - 1, changes + 1
            if changes == CHANGES_MAX:
                raise
        except PeerUnreachable as error:
            is_ours = error.metadata["peer"] == PEER
            is_repeatable = is_ours and error.metadata.get("outcome") == ROLLED_BACK
            if not is_repeatable or attempt >= attempts_max:
                raise


_SEQUENCE = re.compile(r"^[a-z][a-z0-9_]*$")


def check_key(table: Table[Any], key: Sequence[Any]) -> None:
    """Refuse a key with the wrong number of parts."""
    if len(key) != len(table.key):
        raise InvariantViolated(
            invariant=f"{table.name} key", got=f"{len(key)} parts, expected {len(table.key)}"
        )


def check_values(group: Group[Any], values: Sequence[Any]) -> None:
    """Refuse values that place no row in a group: the wrong number of them, or a NULL."""
    if len(values) != len(group.columns) or None in values:
        raise InvariantViolated(
            invariant=f"{group.table.name} group",
            got=f"{len(values)} values, expected {len(group.columns)} that are not None",
        )


def check_parameters(query: Query[Any], given: Mapping[str, Any], expected: Sequence[str]) -> None:
    """Refuse parameters that are not exactly those that the SQL of `query` names."""
    if given.keys() != set(expected):
        raise InvariantViolated(
            invariant=f"parameters of {query.name}",
            got=f"{sorted(given)}, expected {sorted(expected)}",
        )


def check_sequence(sequence: str) -> None:
    """Refuse the name of a sequence that no migration could have created."""
    if not _SEQUENCE.match(sequence):
        raise InvariantViolated(invariant="sequence name", got="a name that is no identifier")
