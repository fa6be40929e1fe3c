"""Tables and named queries, declared once and run by both engines.

A room declares each of its tables as a `Table` over a frozen dataclass whose fields are the
columns, and each read beyond a get by key as a `Query`: the SQL text (named, in the room's
`queries.sql`) beside its *twin*, the same selection over rows in memory. PostgreSQL runs the SQL,
the in-memory engine runs the twin; contract tests hold both to the same answers.

**Reading a stream without gaps.** A `bigserial` alone skips rows: of two committers, the one that
drew the smaller number may finish last, after a reader has already moved past it. A table that is
read with a cursor therefore declares `generated="position"` and `transaction="txid"`; the engine
fills both when a row is first written. The cursor is the *pair* `(txid, position)`, and the query
reads only what no running transaction can still come before, with the reserved parameter
`:horizon` that the engine itself supplies:

    SELECT … FROM events
    WHERE txid < :horizon AND (txid, position) > (:txid, :position)
    ORDER BY txid, position LIMIT :limit

A cursor over `position` alone is not enough: transaction 7 may have drawn position 5 before
transaction 6 drew position 6, and 6 commits first. Transaction numbers are those of one PostgreSQL
cluster: they survive `pg_upgrade`, a physical backup and replication, but not a dump and reload,
after which the node is a new incarnation, sets `txid` of the reloaded rows to 0 and forgets its
cursors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from gateway.kernel.values import dataclass

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class JsonMarker:
    """Marks the annotation of a jsonb column."""


Json = Annotated[Any, JsonMarker()]
"""A jsonb column: None, bool, int, float, str, sequences and string-keyed dicts of these.

Both engines give sequences back as tuples and dicts with sorted keys. Rows are values: never
change a dict that came out of one.
"""

HORIZON = "horizon"  # the reserved query parameter, see the module docstring


@dataclass(frozen=True, slots=True, eq=False)
class Table(Generic[Row]):
    """One table: its name, its row class, its primary key and other unique keys.

    Column types follow the annotations of the row class: `str` text, `int` bigint, `bool` boolean,
    `bytes` bytea, `Instant` timestamptz, any of them `| None`, and `Json` jsonb (any JSON value;
    tuples come back as tuples). `generated` names a bigserial column that the engine fills on
    insert (the row carries 0 until then); it must be the first field. `transaction` names a bigint
    column that the engine fills with the number of the transaction that first wrote the row (the
    row carries 0 until then). Neither ever changes afterwards: a later `put` keeps them.

    Leave unique constraints in the DDL unnamed (`UNIQUE (a, b)`), so that both engines report the
    same name, `{table}_{a}_{b}_key`.
    """

    name: str
    row: type[Row]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    generated: str | None = None
    transaction: str | None = None
    is_completed: bool = field(init=False)  # PostgreSQL fills a column when a row is written
    _key_of: Callable[[Any], tuple[Any, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a declaration that names columns the row class does not have."""
        columns = _columns(self.row)
        object.__setattr__(self, "is_completed", bool(self.generated or self.transaction))
        object.__setattr__(self, "_key_of", _values(self.key))
        filled = tuple(name for name in (self.generated, self.transaction) if name)
        named = {*self.key, *(name for names in self.unique for name in names), *filled}
        if missing := named - set(columns):
            raise ValueError(f"table {self.name} names unknown columns: {sorted(missing)}")
        if self.generated is not None and columns[0] != self.generated:
            raise ValueError(f"table {self.name}: the generated column must be the first field")

    def columns(self) -> tuple[str, ...]:
        """Return the column names in the order of the row's fields."""
        return _columns(self.row)

    def key_of(self, row: Row) -> tuple[Any, ...]:
        """Return the primary key of a row."""
        return self._key_of(row)


@dataclass(frozen=True, slots=True, eq=False)
class Group(Generic[Row]):
    """The rows of a table that share the values of some columns, such as the chains of a ticket.

    A unit of work reads a group whole (`uow.rows`) and remembers it, so what a step asks for again
    and again belongs in a group and not in a `Query`. The columns have an index in the DDL. A row
    in which one of them is NULL is in no group.
    """

    table: Table[Row]
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse columns that the row class does not have."""
        if missing := set(self.columns) - set(self.table.columns()):
            raise ValueError(f"a group of {self.table.name} names unknown {sorted(missing)}")

    def is_wider_than(self, other: Group[Any]) -> bool:
        """Tell whether a group of the other kind lies whole in one of this kind."""
        return other.table is self.table and set(self.columns) < set(other.columns)

    def values_of(self, row: Row) -> tuple[Any, ...]:
        """Return the values that place a row in its group."""
        values: tuple[Any, ...] = _values(self.columns)(row)
        return values


@cache
def by_key(table: Table[Row]) -> Group[Row]:
    """Return the groups of one row at most, by primary key."""
    return Group(table, table.key)


@cache
def _values(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what reads some columns of a row at once."""
    read = attrgetter(*names)
    # With one name attrgetter returns the value itself, and not a tuple.
    return read if len(names) > 1 else lambda row: (read(row),)


RowsOf = Callable[[Table[Any]], Iterable[Any]]
"""Gives a twin the visible rows of a table."""


@dataclass(frozen=True, slots=True, eq=False)
class Query(Generic[Row]):
    """A named read: SQL with `:name` parameters for PostgreSQL, a twin for the memory engine.

    A twin reads only tables whose names stand in the SQL: what is staged for others need not be
    written before the query runs. The memory engine holds it to that.

    `row` is the dataclass of a result line; the SQL selects exactly its fields, by name. Both
    engines refuse a call whose parameters are not exactly those that the SQL names; `:horizon` is
    supplied by the engine (see the module docstring) and reaches the twin like any other.
    """

    name: str
    row: type[Row]
    sql: str
    twin: Callable[[RowsOf, Mapping[str, Any]], Iterable[Row]]


_NAMES: dict[type[Any], tuple[str, ...]] = {}  # row classes are few and live as long as we do


def _columns(row: type[Any]) -> tuple[str, ...]:
    if row not in _NAMES:
        _NAMES[row] = tuple(field.name for field in fields(row))
    return _NAMES[row]


_QUERY_NAME = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


def load_queries(path: Path) -> dict[str, str]:
    """Return the SQL texts of a `queries.sql` by name.

    Each text follows a line `-- name: some_query`. A name used twice is a programmer's error.
    """
    parts = _QUERY_NAME.split(path.read_text(encoding="utf-8"))
    names, texts = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{path.name} names a query twice: {sorted(names)}")
    return {name: text.strip().rstrip(";") for name, text in zip(names, texts, strict=True)}


_WORD = re.compile(r"[a-z][a-z0-9_]*")


@cache
def words_of(sql: str) -> frozenset[str]:
    """Return the words of an SQL text, among them the names of all tables that it reads."""
    return frozenset(_WORD.findall(sql))


# What is not a parameter is skipped first: strings, quoted names, comments, `::casts`.
_SQL_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|::|:(?P<name>[a-z_][a-z0-9_]*)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class BoundSql:
    """SQL text with numbered parameters, and their names in the order of the numbers."""

    text: str
    names: tuple[str, ...]


@cache
def bind_names(sql: str, *, horizon: str) -> BoundSql:
    """Return `sql` with every `:name` as `$n`; `:horizon` becomes the expression `horizon`."""
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return match[0]
        if name == HORIZON:
            return horizon
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return BoundSql(text=_SQL_TOKEN.sub(replace, sql), names=tuple(names))
