"""Columns: what a row's annotations mean in storage, and the check that every staged row passes.

Both engines check rows alike and at the same moment (when they are staged), so a value that
PostgreSQL could not hold never passes a test that runs on the memory engine. A text with a NUL or
a lone surrogate can come from outside and is a `FieldInvalid`; any other mismatch is a defect of
this program. No error carries the value: it may be personal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from gateway.database.table import Json, JsonMarker
from gateway.kernel.errors import FieldInvalid, InvariantViolated
from gateway.kernel.time import Instant

Row = TypeVar("Row")

BIGINT_MIN, BIGINT_MAX = -(2**63), 2**63 - 1  # PostgreSQL's bigint


class Kind(Enum):
    """The type of a column, by its PostgreSQL name."""

    TEXT = "text"
    INTEGER = "bigint"
    BOOLEAN = "boolean"
    BYTES = "bytea"
    INSTANT = "timestamptz"
    JSON = "jsonb"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a row class."""

    name: str
    kind: Kind
    is_nullable: bool


_KINDS: dict[Any, Kind] = {
    str: Kind.TEXT,
    int: Kind.INTEGER,
    bool: Kind.BOOLEAN,
    bytes: Kind.BYTES,
    datetime: Kind.INSTANT,
}
_TYPES: dict[Kind, type[Any]] = {kind: python for python, kind in _KINDS.items()}
# A linter may have moved these imports under TYPE_CHECKING in a row's module; they mean the same.
_WELL_KNOWN = {"Instant": Instant, "datetime": datetime, "Json": Json}


def columns_of(row: type[Any]) -> tuple[Column, ...]:
    """Return the columns of a row class in the order of its fields."""
    if row not in _COLUMNS:
        _COLUMNS[row] = _resolved(row)
    return _COLUMNS[row]


def checked(table: str, row: Row) -> Row:
    """Return `row` with its JSON columns in normal form, or raise what is wrong with it."""
    changed: dict[str, Any] = {}
    for column in columns_of(type(row)):
        value = getattr(row, column.name)
        if value is None and column.is_nullable:
            continue
        if column.kind is Kind.JSON:
            changed[column.name] = normal_json(value, field=f"{table}.{column.name}")
        else:
            _check(table, column, value)
    # replace() wants a dataclass instance; every row is one by the contract of Table.
    return replace(row, **changed) if changed else row  # type: ignore[type-var] # a dataclass, see above


def normal_json(value: Any, *, field: str) -> Any:
    """Return a JSON value with tuples for sequences and sorted keys; raise for what is not JSON."""
    match value:
        case None | bool() | int():
            return value
        case str():
            _check_text(field, value)
            return value
        case float() if isfinite(value):
            return value
        case list() | tuple():
            return tuple(normal_json(item, field=field) for item in value)
        case Mapping() if all(isinstance(key, str) for key in value):
            for key in value:
                _check_text(field, key)
            return {key: normal_json(value[key], field=field) for key in sorted(value)}
        case _:
            raise InvariantViolated(invariant=field, got=f"{type(value).__name__}, not JSON")


def encode_json(value: Any) -> str:
    """Return the text that PostgreSQL parses as jsonb."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def decode_json(text: str) -> Any:
    """Return the JSON value of jsonb text in normal form."""
    return normal_json(json.loads(text), field="jsonb")


_COLUMNS: dict[type[Any], tuple[Column, ...]] = {}  # resolving annotations is slow


def _resolved(row: type[Any]) -> tuple[Column, ...]:
    try:
        hints = get_type_hints(row, localns=_WELL_KNOWN, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"{row.__name__} has an annotation that does not exist at run time: {error.name}. "
            "Import it outside TYPE_CHECKING."
        ) from error
    return tuple(_column(row, name, hints[name]) for name in row.__dataclass_fields__)


def _column(row: type[Any], name: str, hint: Any) -> Column:
    is_nullable = False
    if get_origin(hint) in (Union, UnionType):
        rest = [option for option in get_args(hint) if option is not NoneType]
        is_nullable = len(rest) < len(get_args(hint))
        hint = rest[0] if len(rest) == 1 else hint
    if get_origin(hint) is Annotated and any(
        isinstance(note, JsonMarker) for note in get_args(hint)[1:]
    ):
        return Column(name=name, kind=Kind.JSON, is_nullable=is_nullable)
    while isinstance(hint, NewType):
        hint = hint.__supertype__
    if hint not in _KINDS:
        expected = "str, int, bool, bytes, Instant, Json or one of them | None"
        raise TypeError(f"{row.__name__}.{name}: {hint} is no column type; use {expected}")
    return Column(name=name, kind=_KINDS[hint], is_nullable=is_nullable)


def _check(table: str, column: Column, value: Any) -> None:
    expected = _TYPES[column.kind]
    is_right = isinstance(value, expected)
    match column.kind:
        case Kind.TEXT if is_right:
            _check_text(f"{table}.{column.name}", value)
        case Kind.INTEGER if is_right:
            is_right = not isinstance(value, bool) and BIGINT_MIN <= value <= BIGINT_MAX
        case Kind.INSTANT if is_right:
            is_right = value.tzinfo is not None
        case _:
            pass
    if not is_right:
        raise InvariantViolated(
            invariant=f"{table}.{column.name}",
            got=f"{type(value).__name__}, which is no {column.kind.value}",
        )


def _check_text(field: str, value: str) -> None:
    try:
        is_storable = "\0" not in value and (value.isascii() or bool(value.encode()))
    except UnicodeEncodeError:
        is_storable = False
    if not is_storable:
        raise FieldInvalid(
            field=field, got="a NUL or half a character", expected="text that can be stored"
        )
