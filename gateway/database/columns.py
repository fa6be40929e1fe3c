"""Columns: what a row's annotations mean in storage, and the check that every staged row passes.

Both engines check rows alike and at the same moment (when they are staged), so a value that
PostgreSQL could not hold never passes a test that runs on the memory engine. A text with a NUL or
a lone surrogate can come from outside and is a `FieldInvalid`; any other mismatch is a defect of
this program. No error carries the value: it may be personal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from math import isfinite
from operator import attrgetter, is_, itemgetter
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from gateway.database.table import Json, JsonMarker
from gateway.kernel.errors import FieldInvalid, InvariantViolated
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace

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
    """Return `row` with its JSON columns in normal form, or raise what is wrong with it.

    A unit of work stages some dozens of rows, and nearly all are right: of a row whose types are
    those of an earlier one only the texts, the bounds of integers and the zones are looked at.
    """
    plan = _plan_of(type(row))
    values = plan.read(row)
    kinds = tuple(map(type, values))
    shape = plan.shapes.get(kinds)
    if shape is None or not shape.holds(values):
        _check_each(table, plan.columns, values)  # raises, unless these types are new
        shape = plan.shapes[kinds] = _shape_of(plan.columns, values)
    changed: dict[str, Any] = {}
    for place in shape.json:
        value = values[place]
        if value is None or value == ():
            continue  # most of them
        name = plan.columns[place].name
        normal = normal_json(value, field=f"{table}.{name}")
        if normal is not value:
            changed[name] = normal
    # replace() wants a dataclass instance; every row is one by the contract of Table.
    return replace(row, **changed) if changed else row  # type: ignore[type-var] # a dataclass, see above


def normal_json(value: Any, *, field: str) -> Any:
    """Return a JSON value with tuples for sequences and sorted keys; raise for what is not JSON.

    A value that is normal already is returned itself.
    """
    kind = type(value)
    if kind is str:
        if not (value.isascii() and "\0" not in value):
            _check_text(field, value)
        return value
    if kind is dict:
        return _normal_object(value, field=field)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, (list, tuple)):
        items = tuple([normal_json(item, field=field) for item in value])
        return value if kind is tuple and all(map(is_, items, value)) else items
    if isinstance(value, float) and isfinite(value):
        return value
    if isinstance(value, str):
        _check_text(field, value)
        return value
    if isinstance(value, Mapping):
        return _normal_object(value, field=field)
    raise InvariantViolated(invariant=field, got=f"{type(value).__name__}, not JSON")


def _normal_object(value: Mapping[Any, Any], *, field: str) -> Mapping[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise InvariantViolated(invariant=field, got=f"a {type(key).__name__} as key, not JSON")
        _check_text(field, key)
    items = {key: normal_json(value[key], field=field) for key in sorted(value)}
    is_same = type(value) is dict and list(value) == list(items)
    return value if is_same and all(map(is_, items.values(), value.values())) else items


def encode_json(value: Any) -> str:
    """Return the text that PostgreSQL parses as jsonb."""
    return _ENCODER.encode(value)


def decode_json(text: str) -> Any:
    """Return the JSON value of jsonb text in normal form."""
    return normal_json(json.loads(text), field="jsonb")


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_COLUMNS: dict[type[Any], tuple[Column, ...]] = {}  # resolving annotations is slow


Picked = Callable[[tuple[Any, ...]], tuple[Any, ...]]
_zone = attrgetter("tzinfo")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What remains to be looked at once the types of a row's values are known to be right."""

    texts: Picked
    integers: Picked | None
    instants: Picked | None
    json: tuple[int, ...]

    def holds(self, values: tuple[Any, ...]) -> bool:
        """Tell whether all values can be stored; JSON is looked at when it is normalised."""
        if self.integers is not None:
            integers = self.integers(values)
            if min(integers) < BIGINT_MIN or max(integers) > BIGINT_MAX:
                return False
        if self.instants is not None and None in map(_zone, self.instants(values)):
            return False
        return _is_storable("".join(self.texts(values)))


def _picked(places: tuple[int, ...]) -> Picked:
    """Return what takes the values of some places out of a row's."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple([values[place] for place in places])


@dataclass(frozen=True, slots=True)
class _Plan:
    """How rows of one class are checked, by the types of their values."""

    columns: tuple[Column, ...]
    read: Callable[[Any], tuple[Any, ...]]
    shapes: dict[tuple[type[Any], ...], _Shape]


_PLANS: dict[type[Any], _Plan] = {}


def _plan_of(row: type[Any]) -> _Plan:
    if row not in _PLANS:
        columns = columns_of(row)
        read = attrgetter(*(column.name for column in columns))
        # With one name attrgetter returns the value itself, and not a tuple.
        _PLANS[row] = _Plan(columns, read if len(columns) > 1 else lambda one: (read(one),), {})
    return _PLANS[row]


def _check_each(table: str, columns: tuple[Column, ...], values: tuple[Any, ...]) -> None:
    for column, value in zip(columns, values, strict=True):
        if value is None and column.is_nullable:
            continue
        if column.kind is Kind.JSON:
            normal_json(value, field=f"{table}.{column.name}")
        else:
            _check(table, column, value)


def _shape_of(columns: tuple[Column, ...], values: tuple[Any, ...]) -> _Shape:
    def places(kind: Kind) -> tuple[int, ...]:
        return tuple(
            place
            for place, column in enumerate(columns)
            if column.kind is kind and not (values[place] is None and column.is_nullable)
        )

    integers, instants = places(Kind.INTEGER), places(Kind.INSTANT)
    return _Shape(
        texts=_picked(places(Kind.TEXT)),
        integers=_picked(integers) if integers else None,
        instants=_picked(instants) if instants else None,
        json=places(Kind.JSON),
    )


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


def _is_storable(value: str) -> bool:
    try:
        return "\0" not in value and (value.isascii() or bool(value.encode()))
    except UnicodeEncodeError:
        return False


def _check_text(field: str, value: str) -> None:
    if not _is_storable(value):
        raise FieldInvalid(
            field=field, got="a NUL or half a character", expected="text that can be stored"
        )
