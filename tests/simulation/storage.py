"""The simulated storage: the in-memory engine, watched, indexed by ticket, and able to misbehave.

It is the engine of the contract tests and nothing in it is replaced. Three things are added. What
a unit commits is told to `committed` (table, key, row), so that checkers look only at tickets that
changed. Queries that name a ticket read only the rows of that ticket, which the engine would find
by looking at every row. And `at_point` is asked before and after each commit of a unit that writes:
it may raise for a process that dies there, or for a disk that answers late, wrongly or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

from gateway.database.memory import MemoryDatabase, Snapshot, _MemoryUnit
from gateway.database.table import Query, Table

Row = TypeVar("Row")
Key = tuple[Any, ...]

Committed = Callable[[str, Key, "Any | None"], None]
"""Told the table, the key and the row (None: removed) of everything that a unit commits."""


class WatchedDatabase(MemoryDatabase):
    """A `MemoryDatabase` that tells what it commits."""

    def __init__(
        self,
        *,
        at_point: Callable[[str], None],
        began: Callable[[], None],
        committed: Committed,
    ) -> None:
        super().__init__(crash=at_point)
        self.began = began
        self.committed = committed
        self._by_ticket: dict[tuple[str, str], dict[Key, Any]] = {}

    def unit(self) -> WatchedUnit:
        """Open a unit."""
        return WatchedUnit(self)

    def of_ticket(self, table: Table[Row], ticket: str) -> dict[Key, Row]:
        """Return the committed rows of a ticket by key, in order of their first writing."""
        return self._by_ticket.get((table.name, ticket), {})

    def note(self, table: Table[Any], key: Key, row: Any | None) -> None:
        """Keep the index and tell the watcher."""
        before = self.stored(table).rows.get(key)
        ticket = getattr(before if row is None else row, "ticket", None)
        if ticket is not None:
            rows = self._by_ticket.setdefault((table.name, ticket), {})
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        self.committed(table.name, key, row)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, as if a backup had been put in the place of the disk."""
        super().restore(snapshot)
        self._by_ticket.clear()
        for name, stored in self._stored.items():
            for key, row in stored.rows.items():
                if ticket := getattr(row, "ticket", None):
                    self._by_ticket.setdefault((name, ticket), {})[key] = row


class WatchedUnit(_MemoryUnit):
    """A unit of a `WatchedDatabase`."""

    def __init__(self, database: WatchedDatabase) -> None:
        super().__init__(database)
        self._watched = database
        self._ticket: str = ""

    async def __aenter__(self) -> Self:
        self._watched.began()
        return await super().__aenter__()

    async def select(self, query: Query[Row], **parameters: Any) -> list[Row]:
        self._ticket = parameters.get("ticket", "")
        try:
            return await super().select(query, **parameters)
        finally:
            self._ticket = ""

    def _rows_of(self, table: Table[Any]) -> Iterator[Any]:
        if not self._ticket or "ticket" not in table.columns():
            yield from super()._rows_of(table)
            return
        overlay = self._overlay(table).rows
        stored = self._watched.of_ticket(table, self._ticket)
        for key, row in stored.items():
            if key not in overlay:
                yield row
            elif (own := overlay[key]) is not None:
                yield own
        for key, own in overlay.items():
            if own is not None and own.ticket == self._ticket and key not in stored:
                yield own

    def _apply(self) -> None:
        for table, overlay in self._overlays.values():
            for key, row in overlay.rows.items():
                self._watched.note(table, key, row)
        super()._apply()
