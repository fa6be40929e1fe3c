"""Rows in memory: what is committed of a table, and what one open unit wrote to it.

`memory.py` decides when an overlay becomes what is stored; here are only the rows, an index of each
unique key, and an index of each group in use, so a unit costs what it touches and not what exists.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.database.table import Group, Table

Key = tuple[Any, ...]


@dataclass(slots=True)
class Stored:
    """The committed rows of one table, with an index per unique key and per group in use."""

    table: Table[Any]
    rows: dict[Key, Any] = field(default_factory=dict)
    owners: dict[tuple[str, ...], dict[Key, Key]] = field(default_factory=dict)
    members: dict[Group[Any], dict[Key, dict[Key, None]]] = field(default_factory=dict)

    def free(self, key: Key) -> None:
        """Give the unique values of the row of `key` free."""
        for names, value in unique_values(self.table, self.rows.get(key)):
            self.owners.setdefault(names, {}).pop(value, None)

    def write(self, key: Key, row: Any | None) -> None:
        """Replace the row of `key`, whose unique values are free, or remove it for None."""
        before = self.rows.get(key)
        if row is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = row
            for names, value in unique_values(self.table, row):
                self.owners.setdefault(names, {})[value] = key
        for group, members in self.members.items():
            if before is not None:
                members[group.values_of(before)].pop(key, None)
            if row is not None:
                members.setdefault(group.values_of(row), {})[key] = None

    def group(self, group: Group[Any], values: Key) -> Iterable[Key]:
        """Return the keys of a group; its index is made on first use."""
        if group not in self.members:
            members = self.members.setdefault(group, {})
            for key, row in self.rows.items():
                members.setdefault(group.values_of(row), {})[key] = None
        return self.members[group].get(values, ())

    def copy(self) -> Stored:
        """Return a copy that shares only rows."""
        owners = {names: dict(index) for names, index in self.owners.items()}
        return Stored(table=self.table, rows=dict(self.rows), owners=owners)


@dataclass(slots=True)
class Overlay:
    """What one unit wrote to one table; None stands for a removed row."""

    rows: dict[Key, Any | None] = field(default_factory=dict)
    absent: set[Key] = field(default_factory=set)  # inserted keys that nobody else may commit
    owners: dict[tuple[str, ...], dict[Key, Key]] = field(default_factory=dict)

    def copy(self) -> Overlay:
        """Return a copy that shares only rows."""
        owners = {names: dict(index) for names, index in self.owners.items()}
        return Overlay(rows=dict(self.rows), absent=set(self.absent), owners=owners)


def unique_value(names: tuple[str, ...], row: Any) -> Key | None:
    """Return the value of a unique key; None when a column is NULL, which is never equal."""
    value = tuple(getattr(row, name) for name in names)
    return None if None in value else value


def unique_values(table: Table[Any], row: Any | None) -> Iterable[tuple[tuple[str, ...], Key]]:
    """Return the unique keys of a row with their values."""
    if row is None or not table.unique:
        return ()
    values = ((names, unique_value(names, row)) for names in table.unique)
    return [(names, value) for names, value in values if value is not None]
