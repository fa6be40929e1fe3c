"""What a unit of work knows of rows by their keys: an identity map.

**What is known.** Everything that the unit itself staged: nobody else sees or changes it, and once
it is written PostgreSQL keeps the row locked until the end. And what the unit *read while it held a
lock*: a row that is there, and a row that is not. A unit that holds no lock remembers no read but
those it prefetched, so that without locks every `get` sees the latest commit, as before.

**When it is forgotten.** The level is read committed: what was read before a lock was taken may
have been changed by its last holder, so a read before a lock must not answer a `get` after it.
Therefore all reads are forgotten whenever the unit takes a lock that it did not hold; what it
staged itself stays. A step that wants to save round trips takes all its locks first. Within the
time between two locks a row that no lock protects may be older than the latest commit; it is never
older than the last lock, and what a step decides about must be locked anyway.

**What is not known.** A row whose `generated` or `transaction` column PostgreSQL has yet to fill is
*unsettled*: it must be written and read before anybody can see it.

`absent` is the one thing that a caller may add: that no row of a group exists, because its ticket
number was minted a moment ago. It is never forgotten. The memory engine checks it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Any, Final, TypeVar

from gateway.database.table import Group, Table, by_key

Row = TypeVar("Row")
Key = tuple[Any, ...]
Rows = dict[Key, Any]


class Gap(Enum):
    """Why the map has no answer."""

    UNKNOWN = auto()  # it was not read
    UNSETTLED = auto()  # it was staged, and PostgreSQL fills a column when it is written


UNKNOWN: Final = Gap.UNKNOWN
UNSETTLED: Final = Gap.UNSETTLED


_Undo = tuple[str, Key, Any]
"""What was known of a row before the unit wrote it: its table, its key, and that."""


class Known:
    """The identity map of one unit of work."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._written: dict[str, Rows] = {}
        self._members: dict[Group[Any], dict[Key, dict[Key, None]]] = {}  # of written rows
        self._unsettled: set[str] = set()  # tables
        self._undo: list[_Undo] = []
        self._read: dict[str, Rows] = {}
        self._groups: dict[Group[Any], dict[Key, Rows]] = {}
        self._absent: dict[Group[Any], set[Key]] = {}
        self._covering: dict[str, list[Group[Any]]] = {}  # groups in use that a key determines
        self._wider: dict[str, list[Group[Any]]] = {}  # groups in use, by table

    # --- asking -------------------------------------------------------------------------------

    def find(self, table: Table[Row], key: Key) -> Row | Gap | None:
        """Return the row of this key, None if there is none, or why that is not known."""
        for rows in (self._written.get(table.name), self._read.get(table.name)):
            if rows is not None and key in rows:
                found: Row | Gap | None = rows[key]
                return found
        for group in self._covering.get(table.name, ()):
            values = tuple(key[table.key.index(name)] for name in group.columns)
            group_rows = self._group(group, values)
            if group_rows is not None:
                return group_rows.get(key)
        return UNSETTLED if self.is_unsettled(table) else UNKNOWN

    def knows(self, group: Group[Any], values: Key) -> bool:
        """Tell whether a whole group is known."""
        if group.columns == group.table.key:
            return not isinstance(self.find(group.table, values), Gap)
        return self._group(group, values) is not None

    def rows(self, group: Group[Row], values: Key) -> list[Row] | None:
        """Return a group in the order of its keys, or None when it must be read."""
        if self.is_unsettled(group.table):
            return None
        found = self._group(group, values)
        return None if found is None else self.merged(group, values, found.items())

    def merged(self, group: Group[Row], values: Key, read: Iterable[tuple[Key, Row]]) -> list[Row]:
        """Return a group that was read together with what this unit wrote, in order of keys."""
        written = self._written.get(group.table.name)
        found = dict(read)
        if written:
            settled = {key: row for key, row in found.items() if written.get(key) is UNSETTLED}
            for key in (*found, *self._members_of(group).get(values, ())):
                row = settled.get(key, written.get(key, found.get(key)))
                if row is None or row is UNSETTLED or group.values_of(row) != values:
                    found.pop(key, None)
                else:
                    found[key] = row
        return [found[key] for key in sorted(found)]

    def is_unsettled(self, table: Table[Any]) -> bool:
        """Tell whether rows of `table` were staged that PostgreSQL completes."""
        return table.name in self._unsettled

    # --- noting -------------------------------------------------------------------------------

    def note_read(self, table: Table[Row], key: Key, row: Row | None) -> None:
        """Remember what was read of a row."""
        written = self._written.get(table.name)
        if written is not None and key in written:
            written[key] = row  # it was unsettled, and is ours to the end
        else:
            self._read.setdefault(table.name, {})[key] = row

    def note_group(self, group: Group[Row], values: Key, rows: Iterable[Row]) -> None:
        """Remember what was read of a whole group."""
        self._use(group)
        found = {group.table.key_of(row): row for row in rows}
        self._groups.setdefault(group, {})[values] = found
        self._read.setdefault(group.table.name, {}).update(found)

    def note_absent(self, group: Group[Any], values: Key) -> None:
        """Remember for good that nobody but this unit writes a row of this group."""
        self._use(group)
        self._absent.setdefault(group, set()).add(values)

    def note_write(self, table: Table[Any], key: Key, row: Any | None) -> None:
        """Remember what was staged; None stands for a removal."""
        if table.is_completed and row is not None:
            self._unsettled.add(table.name)
            self._read.pop(table.name, None)
            if table.generated in table.key and not getattr(row, table.generated or ""):
                return  # its key is not known yet
            row = UNSETTLED
        written = self._written.get(table.name)
        if written is None:
            written = self._written[table.name] = {}
        self._undo.append((table.name, key, written.get(key, UNKNOWN)))
        written[key] = row
        if self._members and row is not None and row is not UNSETTLED:
            for group, members in self._members.items():
                if group.table is table:
                    members.setdefault(group.values_of(row), {})[key] = None

    def forget_reads(self) -> None:
        """Forget what was read: a lock was taken, and its last holder may have changed it."""
        self._read.clear()
        self._groups.clear()
        self._wider = {group.table.name: [] for group in self._absent}
        for group in self._absent:
            self._wider[group.table.name].append(group)

    # --- attempts -----------------------------------------------------------------------------

    def mark(self) -> int:
        """Return how much was written, for `undo_after`."""
        return len(self._undo)

    def undo_after(self, mark: int) -> None:
        """Know again what was known before the writes after `mark`."""
        while len(self._undo) > mark:
            table, key, before = self._undo.pop()
            if before is UNKNOWN:
                self._written[table].pop(key)
            else:
                self._written[table][key] = before

    # --- parts --------------------------------------------------------------------------------

    def _group(self, group: Group[Any], values: Key) -> Rows | None:
        found = self._groups.get(group, {}).get(values)
        if found is None and values in self._absent.get(group, ()):
            return {}
        return self._within(group, values) if found is None else found

    def _within(self, group: Group[Any], values: Key) -> Rows | None:
        """Return a group out of a known wider one, such as a ticket's that holds a chain's."""
        for wider in self._wider.get(group.table.name, ()):
            if len(wider.columns) >= len(group.columns) or not wider.is_wider_than(group):
                continue
            place = tuple(values[group.columns.index(name)] for name in wider.columns)
            rows = self._groups.get(wider, {}).get(place)
            if rows is not None:
                return {key: row for key, row in rows.items() if group.values_of(row) == values}
            if place in self._absent.get(wider, ()):
                return {}
        return None

    def _use(self, group: Group[Any]) -> None:
        if group in self._groups or group in self._absent:
            return
        self._wider.setdefault(group.table.name, []).append(group)
        if set(group.columns) <= set(group.table.key):
            covering = self._covering.setdefault(group.table.name, [])
            if group not in covering:
                covering.append(group)

    def _members_of(self, group: Group[Any]) -> dict[Key, dict[Key, None]]:
        """Return the written rows of each group by key; a row that left its group may remain."""
        if group not in self._members:
            members = self._members.setdefault(group, {})
            for key, row in self._written.get(group.table.name, {}).items():
                if row is not None and row is not UNSETTLED:
                    members.setdefault(group.values_of(row), {})[key] = None
        return self._members[group]


def as_group(what: Table[Row] | Group[Row]) -> Group[Row]:
    """Return `what` as a group; a table stands for its rows by primary key."""
    return what if isinstance(what, Group) else by_key(what)
