"""What a unit of work has staged, in batches that one SQL statement each can express.

Inside one statement the parts (inserts, puts, deletes per table) have no order among each other,
so a batch holds nothing whose order matters: a key is touched by one part only, and a table with a
second unique key by one kind of part only. Where the order matters, a new batch begins. Within a
part the last word on a key wins. Both engines write from here, so they agree by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeVar

from gateway.database.columns import checked
from gateway.database.table import Table
from gateway.database.uow import check_key
from gateway.kernel.errors import InvariantViolated

Row = TypeVar("Row")
Key = tuple[Any, ...]


class Act(Enum):
    """What is done to a row."""

    INSERT = auto()
    PUT = auto()
    DELETE = auto()


@dataclass(slots=True)
class TableBatch:
    """The staged rows of one table in one batch."""

    table: Table[Any]
    inserts: list[Any] = field(default_factory=list)
    puts: dict[Key, Any] = field(default_factory=dict)
    deletes: dict[Key, None] = field(default_factory=dict)
    inserted: dict[Key, int] = field(default_factory=dict)  # key → place in `inserts`

    def allows(self, act: Act, key: Key) -> bool:
        """Tell whether `act` on `key` may join this batch without its order mattering."""
        if self.table.unique and not self._is_only(act):
            return False
        match act:
            case Act.INSERT:
                return not any(key in part for part in (self.inserted, self.puts, self.deletes))
            case Act.PUT:
                return key not in self.deletes
            case Act.DELETE:
                return key not in self.inserted

    def _is_only(self, act: Act) -> bool:
        kinds = {Act.INSERT: self.inserts, Act.PUT: self.puts, Act.DELETE: self.deletes}
        return not any(rows for kind, rows in kinds.items() if kind is not act)


Batch = dict[str, TableBatch]
"""The table batches of one statement, by table name."""


class Staging:
    """Collects the writes of one unit of work."""

    def __init__(self) -> None:
        """Begin with nothing staged."""
        self._batches: list[Batch] = []

    def insert(self, table: Table[Row], row: Row) -> None:
        """Stage a new row."""
        row = checked(table.name, row)
        for name in (table.generated, table.transaction):
            if name and getattr(row, name) != 0:
                raise InvariantViolated(
                    invariant=f"{table.name}.{name}", got="an insert that carries a number"
                )
        key = table.key_of(row)
        batch = self._batch(table, Act.INSERT, key)
        if table.generated not in table.key:
            batch.inserted.setdefault(key, len(batch.inserts))
        batch.inserts.append(row)

    def put(self, table: Table[Row], row: Row) -> None:
        """Stage a row that replaces the one with the same key, or is new."""
        row = checked(table.name, row)
        if table.generated in table.key and getattr(row, table.generated or "") == 0:
            raise InvariantViolated(
                invariant=f"{table.name}.{table.generated}", got="a put before the first insert"
            )
        key = table.key_of(row)
        batch = self._batch(table, Act.PUT, key)
        place = batch.inserted.get(key)
        if place is None:
            batch.puts[key] = row
        else:
            batch.inserts[place] = _with_generated(table, row)

    def delete(self, table: Table[Any], key: Key) -> None:
        """Stage the removal of a row."""
        check_key(table, key)
        batch = self._batch(table, Act.DELETE, key)
        batch.puts.pop(key, None)
        batch.deletes[key] = None

    def touches(self, table: Table[Any]) -> bool:
        """Tell whether rows of `table` are staged."""
        return any(table.name in batch for batch in self._batches)

    def take(self) -> list[Batch]:
        """Return what is staged, in order, and begin anew."""
        batches, self._batches = self._batches, []
        return batches

    def __bool__(self) -> bool:
        """Tell whether anything is staged."""
        return bool(self._batches)

    def _batch(self, table: Table[Any], act: Act, key: Key) -> TableBatch:
        if self._batches:
            found = self._batches[-1].setdefault(table.name, TableBatch(table))
            if found.allows(act, key):
                return found
        self._batches.append({table.name: TableBatch(table)})
        return self._batches[-1][table.name]


def _with_generated(table: Table[Row], row: Row) -> Row:
    """Return a row that was put over an insert of the same batch; it cannot know its numbers."""
    for name in (table.generated, table.transaction):
        if name and getattr(row, name) != 0:
            raise InvariantViolated(
                invariant=f"{table.name}.{name}", got="a number before the first write"
            )
    return row
