"""The SQL that writes a batch: one statement for all tables, one CTE per table and act.

Rows travel as one array per column and come out of `unnest`, so the text of a statement depends
only on which tables and acts a batch holds, and PostgreSQL prepares few of them. Identifiers come
from the rooms' `Table` declarations, never from input.

Most columns of many rows hold one value: an authority, a kind, an empty list. Such a column of a
large batch travels *folded*, as an array of one, and the statement takes its only element for every
row. PostgreSQL decides that once, when it plans: the arrays are constants to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from gateway.database.columns import Column, Kind, columns_of, encode_json
from gateway.database.staging import Act, Batch, TableBatch
from gateway.database.table import Group, Table

TRANSACTION_NUMBER = "pg_current_xact_id()::text::bigint"
FOLDED_ROWS_MIN = 8  # with fewer, a longer statement costs more to plan than it saves
HORIZON_SQL = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


def write_statement(batch: Batch) -> tuple[str, list[list[Any]]]:
    """Return the statement that writes `batch`, and its array parameters."""
    parts: list[tuple[Table[Any], Act]] = []
    arrays: list[list[Any]] = []
    acts = [(part.table, act, rows) for part in batch.values() for act, rows in _acts(part) if rows]
    is_folded = max(len(rows) for _, _, rows in acts) >= FOLDED_ROWS_MIN
    for table, act, rows in acts:
        parts.append((table, act))
        arrays.extend(_arrays(table, act, rows, is_folded=is_folded))
    return _text(tuple(parts), is_folded), arrays


@cache
def _text(parts: tuple[tuple[Table[Any], Act], ...], is_folded: bool) -> str:
    """Return the text of a statement, whose parameters are numbered through."""
    texts: list[str] = []
    first = 0
    for table, act in parts:
        texts.append(f"s{len(texts)} AS ({_part(table, act, first, is_folded=is_folded)})")
        first += len(_sent(table, act)[0])
    return f"WITH {', '.join(texts)} SELECT"


@cache
def read_statement(group: Group[Any]) -> str:
    """Return the statement that reads the rows of one group."""
    where = " AND ".join(f"{_quoted(name)} = ${n}" for n, name in enumerate(group.columns, start=1))
    return f"{_select(group.table)} AS t WHERE {where}"


@cache
def read_many_statement(group: Group[Any]) -> str:
    """Return the statement that reads the rows of many groups, one array for each column."""
    kinds = {column.name: column.kind for column in columns_of(group.table.row)}
    arrays = ", ".join(
        f"${n}::{kinds[name].value}[]" for n, name in enumerate(group.columns, start=1)
    )
    names = ", ".join(_quoted(name) for name in group.columns)
    where = " AND ".join(f"t.{_quoted(name)} = u.{_quoted(name)}" for name in group.columns)
    return f"{_select(group.table)} AS t JOIN unnest({arrays}) AS u({names}) ON {where}"


def _select(table: Table[Any]) -> str:
    columns = ", ".join(f"t.{_quoted(name)}" for name in table.columns())
    return f"SELECT {columns} FROM {_quoted(table.name)}"  # noqa: S608 declared names


def _acts(part: TableBatch) -> tuple[tuple[Act, Sequence[Any]], ...]:
    return (
        (Act.INSERT, part.inserts),
        (Act.PUT, list(part.puts.values())),
        (Act.DELETE, list(part.deletes)),
    )


def _sent_columns(table: Table[Any], act: Act) -> list[Column]:
    """Return the columns whose values the statement carries."""
    columns = columns_of(table.row)
    match act:
        case Act.INSERT:
            filled = {table.generated, table.transaction}
            return [column for column in columns if column.name not in filled]
        case Act.PUT:
            return [column for column in columns if column.name != table.transaction]
        case Act.DELETE:
            by_name = {column.name: column for column in columns}
            return [by_name[name] for name in table.key]


def _arrays(
    table: Table[Any], act: Act, rows: Sequence[Any], *, is_folded: bool
) -> list[list[Any]]:
    if act is Act.DELETE:
        return [list(values) for values in zip(*rows, strict=True)]
    columns, read = _sent(table, act)
    arrays = [list(values) for values in zip(*map(read, rows), strict=True)]
    is_long = False  # the longest array says how many rows there are
    for place, column in enumerate(columns):
        values = arrays[place]
        if column.kind is Kind.JSON:
            arrays[place] = values = _json_texts(column, values)
        if is_folded and values[0] == values[-1] and values.count(values[0]) == len(values):
            arrays[place] = values[:1]
        else:
            is_long = True
    return arrays if is_long else [[value[0]] * len(rows) for value in arrays]


def _json_texts(column: Column, values: list[Any]) -> list[str | None]:
    first = values[0]
    if (first is None or first == ()) and values.count(first) == len(values):
        return [_json_text(column, first)] * len(values)  # most of them
    return [_json_text(column, value) for value in values]


@cache
def _sent(table: Table[Any], act: Act) -> tuple[list[Column], Callable[[Any], tuple[Any, ...]]]:
    """Return the columns that a write sends, and what reads them off a row."""
    columns = _sent_columns(table, act)
    read = attrgetter(*(column.name for column in columns))
    # With one name attrgetter returns the value itself, and not a tuple.
    return columns, read if len(columns) > 1 else lambda row: (read(row),)


def _json_text(column: Column, value: Any) -> str | None:
    if value == () and type(value) is tuple:
        return "[]"
    return None if value is None and column.is_nullable else encode_json(value)


def _source(table: Table[Any], act: Act, first: int) -> str:
    """Return the `unnest(…) AS u(…)` that gives the sent rows."""
    columns = _sent_columns(table, act)
    arrays = ", ".join(
        f"${first + n}::{_sent_type(column)}[]" for n, column in enumerate(columns, start=1)
    )
    names = ", ".join(_quoted(column.name) for column in columns)
    return f"unnest({arrays}) AS u({names})"


def _sent_type(column: Column) -> str:
    # An array of jsonb would need a codec; text is cast row by row instead.
    return Kind.TEXT.value if column.kind is Kind.JSON else column.kind.value


def _part(table: Table[Any], act: Act, first: int, *, is_folded: bool) -> str:
    """Return one CTE's text; its parameters are numbered after `first`."""
    if act is Act.DELETE:
        return _delete(table, act, first)
    return _write(table, act, first, is_folded=is_folded)


def _write(table: Table[Any], act: Act, first: int, *, is_folded: bool) -> str:
    targets: list[str] = []
    values: list[str] = []
    for n, column in enumerate(_sent_columns(table, act), start=first + 1):
        targets.append(_quoted(column.name))
        values.append(_value(table, column, _one(column, n) if is_folded else _each(column)))
    if table.transaction:
        targets.append(_quoted(table.transaction))
        values.append(TRANSACTION_NUMBER)
    into = f"{_quoted(table.name)} ({', '.join(targets)})"
    conflict = _on_conflict(table) if act is Act.PUT else ""
    source = _source(table, act, first)
    return f"INSERT INTO {into} SELECT {', '.join(values)} FROM {source}{conflict}"  # noqa: S608 declared names


def _each(column: Column) -> str:
    return f"u.{_quoted(column.name)}"


def _one(column: Column, number: int) -> str:
    """Return a row's value, which is the only one if the column is folded."""
    array = f"${number}::{_sent_type(column)}[]"
    return f"CASE WHEN cardinality({array}) = 1 THEN ({array})[1] ELSE {_each(column)} END"


def _value(table: Table[Any], column: Column, sent: str) -> str:
    if column.kind is Kind.JSON:
        return f"({sent})::jsonb"
    if column.name == table.generated:
        sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
        return f"COALESCE(NULLIF({sent}, 0), nextval({sequence}))"
    return sent


def _on_conflict(table: Table[Any]) -> str:
    key = ", ".join(_quoted(name) for name in table.key)
    kept = {*table.key, table.generated, table.transaction}
    changed = [_quoted(name) for name in table.columns() if name not in kept]
    if not changed:
        return f" ON CONFLICT ({key}) DO NOTHING"
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in changed)
    return f" ON CONFLICT ({key}) DO UPDATE SET {changes}"


def _delete(table: Table[Any], act: Act, first: int) -> str:
    name = _quoted(table.name)
    where = " AND ".join(f"{name}.{_quoted(part)} = u.{_quoted(part)}" for part in table.key)
    return f"DELETE FROM {name} USING {_source(table, act, first)} WHERE {where}"  # noqa: S608 declared names


def _quoted(name: str) -> str:
    return f'"{name}"'
