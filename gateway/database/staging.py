"""What a unit of work has staged, in batches that one SQL statement each can express.

Inside one statement the parts (inserts, puts, deletes per table) have no order among each other,
so a batch holds nothing whose order matters: a key is touched by one part only, and a table with a
second unique key by one kind of part only. Where the order matters, a new batch begins. Within a
part the last word on a key wins. Both engines write from here, so they agree by construction.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
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
        if self.table.unique and not self._is_only(act, key):
            return False
        if act is Act.INSERT:
            return not (key in self.inserted or key in self.puts or key in self.deletes)
        return key not in (self.deletes if act is Act.PUT else self.inserted)

    def _is_only(self, act: Act, key: Key) -> bool:
        """Tell whether no other kind of act is in this batch; a put may complete an insert."""
        if act is Act.PUT:
            return not self.deletes and (key in self.inserted or not self.inserts)
        if act is Act.INSERT:
            return not self.puts and not self.deletes
        return not self.inserts and not self.puts


_Entry = tuple[Act, Table[Any], Key, Any]
"""One staged write: what is done, in which table, to which key, with which row."""
Batch = dict[str, TableBatch]
"""The table batches of one statement, by table name."""


class Staging:
    """Collects the writes of one unit of work, in their order."""

    def __init__(self) -> None:
        """Begin with nothing staged."""
        self._journal: list[_Entry] = []
        self._tables: dict[str, int] = {}  # staged rows by table

    def insert(self, table: Table[Row], row: Row) -> tuple[Key, Row]:
        """Stage a new row; return its key and the row as it will be stored."""
        row = checked(table.name, row)
        if table.is_completed:
            for name in (table.generated, table.transaction):
                if name and getattr(row, name) != 0:
                    raise InvariantViolated(
                        invariant=f"{table.name}.{name}", got="an insert that carries a number"
                    )
        key = table.key_of(row)
        self._note(Act.INSERT, table, key, row)
        return key, row

    def put(self, table: Table[Row], row: Row) -> tuple[Key, Row]:
        """Stage a row that replaces the one with the same key, or is new; return key and row."""
        row = checked(table.name, row)
        if table.generated in table.key and getattr(row, table.generated or "") == 0:
            raise InvariantViolated(
                invariant=f"{table.name}.{table.generated}", got="a put before the first insert"
            )
        key = table.key_of(row)
        self._note(Act.PUT, table, key, row)
        return key, row

    def delete(self, table: Table[Any], key: Key) -> None:
        """Stage the removal of a row."""
        check_key(table, key)
        self._note(Act.DELETE, table, key, None)

    def touches(self, table: Table[Any]) -> bool:
        """Tell whether rows of `table` are staged."""
        return table.name in self._tables

    def touches_any(self, names: AbstractSet[str]) -> bool:
        """Tell whether rows of any table of these names are staged."""
        return not names.isdisjoint(self._tables)

    def mark(self) -> int:
        """Return how much is staged, for `take` and `drop_after`."""
        return len(self._journal)

    def drop_after(self, mark: int) -> None:
        """Forget what was staged after `mark`."""
        self._keep(self._journal[:mark])

    def take(self, mark: int | None = None) -> list[Batch]:
        """Return what is staged, in order, up to `mark` if it is given, and forget it."""
        taken = self._journal[:mark]
        self._keep([] if mark is None else self._journal[mark:])
        batches: list[Batch] = []
        for entry in taken:
            _join(batches, entry)
        return batches

    def __bool__(self) -> bool:
        """Tell whether anything is staged."""
        return bool(self._journal)

    def _note(self, act: Act, table: Table[Any], key: Key, row: Any) -> None:
        self._journal.append((act, table, key, row))
        self._tables[table.name] = self._tables.get(table.name, 0) + 1

    def _keep(self, journal: list[_Entry]) -> None:
        self._journal = journal
        self._tables = {table.name: 1 for _, table, _, _ in journal}


def _join(batches: list[Batch], entry: _Entry) -> None:
    """Add an entry to the last batch, or to a new one where its order matters."""
    act, table, key, row = entry
    part = batches[-1].get(table.name) if batches else None
    if batches and part is None:
        part = batches[-1][table.name] = TableBatch(table)
    elif part is None or not part.allows(act, key):
        part = TableBatch(table)
        batches.append({table.name: part})
    if act is Act.INSERT:
        if table.generated not in table.key:
            part.inserted.setdefault(key, len(part.inserts))
        part.inserts.append(row)
    elif act is Act.PUT:
        place = part.inserted.get(key)
        if place is None:
            part.puts[key] = row
        else:
            part.inserts[place] = _with_generated(table, row)
    else:
        part.puts.pop(key, None)
        part.deletes[key] = None


def _with_generated(table: Table[Row], row: Row) -> Row:
    """Return a row that was put over an insert of the same batch; it cannot know its numbers."""
    for name in (table.generated, table.transaction):
        if name and getattr(row, name) != 0:
            raise InvariantViolated(
                invariant=f"{table.name}.{name}", got="a number before the first write"
            )
    return row
