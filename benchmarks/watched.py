"""The in-memory engine, told to report what every unit commits; for checks outside the product.

Nothing of the engine is replaced. What a unit commits is told to `committed` (table, key, row)
before it takes effect, and `checked` is called after it has: a check there sees every state that
ever was. Queries that name a ticket read only its rows, which the engine would find by looking at
every row. `began` is asked when a unit begins, `at_point` before and after each commit of one that
writes: either may raise, for a process that dies there or a disk that does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

from gateway.database.memory import AFTER_COMMIT, MemoryDatabase, Snapshot, _MemoryUnit
from gateway.database.table import Query, Table

Row = TypeVar("Row")
Key = tuple[Any, ...]
Committed = Callable[[str, Key, "Any | None"], None]
"""Told the table, the key and the row (None: removed) of everything that a unit commits."""
NUMBER_LENGTH = 23  # of a ticket's number


class WatchedDatabase(MemoryDatabase):
    """A `MemoryDatabase` that tells what it commits."""

    def __init__(
        self,
        *,
        committed: Committed,
        at_point: Callable[[str], None] | None = None,
        began: Callable[[], None] | None = None,
    ) -> None:
        """Tell `committed` of every table, key and row (None: removed)."""
        super().__init__(crash=self._at)
        self.checked: Callable[[], None] = _nothing
        self.began = began or _nothing
        self._at_point = at_point
        self._committed = committed
        self._by_ticket: dict[tuple[str, str], dict[Key, Any]] = {}

    def unit(self) -> _WatchedUnit:
        """Open a unit."""
        return _WatchedUnit(self)

    def of_ticket(self, table: Table[Row], ticket: str) -> dict[Key, Row]:
        """Return the committed rows of a ticket by key, in order of their first writing."""
        return self._by_ticket.get((table.name, ticket), {})

    def note(self, table: Table[Any], key: Key, row: Any | None) -> None:
        """Keep the index and tell the watcher."""
        before = self.stored(table).rows.get(key)
        ticket = ticket_of(before if row is None else row)
        if ticket:
            rows = self._by_ticket.setdefault((table.name, ticket), {})
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        self._committed(table.name, key, row)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, as if a backup had been put in the place of the disk."""
        super().restore(snapshot)
        self._by_ticket.clear()
        for name, stored in self._stored.items():
            for key, row in stored.rows.items():
                if ticket := ticket_of(row):
                    self._by_ticket.setdefault((name, ticket), {})[key] = row

    def _at(self, point: str) -> None:
        if self._at_point is not None:
            self._at_point(point)
        if point == AFTER_COMMIT:
            self.checked()


class _WatchedUnit(_MemoryUnit):
    """A unit of a `WatchedDatabase`."""

    def __init__(self, database: WatchedDatabase) -> None:
        super().__init__(database)
        self._watched = database
        self._ticket = ""

    async def __aenter__(self) -> Self:
        self._watched.began()
        return await super().__aenter__()

    async def select(self, query: Query[Row], **parameters: Any) -> list[Row]:
        named = parameters.get("ticket") or parameters.get("number")
        self._ticket = named if isinstance(named, str) and len(named) == NUMBER_LENGTH else ""
        try:
            return await super().select(query, **parameters)
        finally:
            self._ticket = ""

    def _rows_of(self, table: Table[Any]) -> Iterator[Any]:
        columns = table.columns()
        if not self._ticket or not ("ticket" in columns or table.name == "ticket_copies"):
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
            if own is not None and ticket_of(own) == self._ticket and key not in stored:
                yield own

    def _apply(self) -> None:
        for table, overlay in self._overlays.values():
            for key, row in overlay.rows.items():
                self._watched.note(table, key, row)
        super()._apply()


def ticket_of(row: Any) -> str:
    """Return the number of the ticket that a row is about, or an empty text."""
    named: object = getattr(row, "ticket", None) or getattr(row, "number", None)
    return named if isinstance(named, str) and len(named) == NUMBER_LENGTH else ""


def _nothing() -> None:
    """Do nothing."""
