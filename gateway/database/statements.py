"""The SQL that writes a batch: one statement for all tables, one CTE per table and act.

Rows travel as one array per column and come out of `unnest`, so the text of a statement depends
only on which tables and acts a batch holds, and PostgreSQL prepares few of them. Identifiers come
from the rooms' `Table` declarations, never from input.
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
HORIZON_SQL = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


def write_statement(batch: Batch) -> tuple[str, list[list[Any]]]:
    """Return the statement that writes `batch`, and its array parameters."""
    parts: list[str] = []
    arrays: list[list[Any]] = []
    for part in batch.values():
        for act, rows in _acts(part):
            if rows:
                parts.append(f"s{len(parts)} AS ({_part(part.table, act, len(arrays))})")
                arrays.extend(_arrays(part.table, act, rows))
    return f"WITH {', '.join(parts)} SELECT", arrays


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


def _arrays(table: Table[Any], act: Act, rows: Sequence[Any]) -> list[list[Any]]:
    if act is Act.DELETE:
        return [list(values) for values in zip(*rows, strict=True)]
    columns, read = _sent(table, act)
    arrays = [list(values) for values in zip(*map(read, rows), strict=True)]
    for place, column in enumerate(columns):
        if column.kind is Kind.JSON:
            arrays[place] = [_json_text(column, value) for value in arrays[place]]
    return arrays


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


@cache
def _part(table: Table[Any], act: Act, first: int) -> str:
    """Return one CTE's text; its parameters are numbered after `first`."""
    if act is Act.DELETE:
        return _delete(table, act, first)
    return _write(table, act, first)


def _write(table: Table[Any], act: Act, first: int) -> str:
    targets: list[str] = []
    values: list[str] = []
    for column in _sent_columns(table, act):
        targets.append(_quoted(column.name))
        values.append(_value(table, column))
    if table.transaction:
        targets.append(_quoted(table.transaction))
        values.append(TRANSACTION_NUMBER)
    into = f"{_quoted(table.name)} ({', '.join(targets)})"
    conflict = _on_conflict(table) if act is Act.PUT else ""
    source = _source(table, act, first)
    return f"INSERT INTO {into} SELECT {', '.join(values)} FROM {source}{conflict}"  # noqa: S608 declared names


def _value(table: Table[Any], column: Column) -> str:
    sent = f"u.{_quoted(column.name)}"
    if column.kind is Kind.JSON:
        return f"{sent}::jsonb"
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
