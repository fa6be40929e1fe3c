"""Which columns a sheet has: derived from the form of a pack, so both cannot differ.

A record within a row becomes several columns (`条件·区划`, `条件·事项` …). What is done is one
column with the action (`处理`) and one for each parameter that some action has (`处理·单位` …).
What no column can hold (a record that a template's parameter stands for) goes into `其余`, as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from gateway.routing.grammar import (
    ACTION,
    GUARD,
    PACK,
    RULE,
    TEMPLATE,
    USE,
    Field,
    Record,
    Shape,
    Template,
)

SEPARATOR = "·"
REST = "其余"
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: which value of a row it holds, and how it is called."""

    path: Path
    header: str
    shape: Shape
    is_required: bool = False
    parameter: str = ""  # of an action; `path` is then that of the action


@dataclass(frozen=True, slots=True)
class Section:
    """One list of a pack, as a sheet."""

    key: str
    title: str
    record: Record
    has_placeholders: bool = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return its columns; the last one takes what no other can hold."""
        return _columns_of(self.key)


SECTIONS: tuple[Section, ...] = (
    Section("rules", PACK.fields["rules"].chinese, RULE),
    Section("guards", PACK.fields["guards"].chinese, GUARD),
    Section("templates", PACK.fields["templates"].chinese, TEMPLATE, has_placeholders=True),
    Section("use", PACK.fields["use"].chinese, USE),
)
HEAD = PACK.fields["pack"].chinese
HEAD_KEYS = ("pack", "owner", "title")


def record_of(shape: Shape) -> Record | None:
    """Return the record that a shape is, also the one with placeholders."""
    if isinstance(shape, Template):
        return shape.record
    return shape if isinstance(shape, Record) else None


def parameters_of(action: str) -> Record:
    """Return the record of an action's parameters."""
    found = record_of(ACTION.fields[action].shape)
    assert found is not None
    return found


@cache
def _columns_of(key: str) -> tuple[Column, ...]:
    section = next(each for each in SECTIONS if each.key == key)
    rest = Column((), REST, section.record)
    return (*_columns(section.record, (), ""), rest)


def _columns(record: Record, path: Path, prefix: str) -> Iterator[Column]:
    for key, field in record.fields.items():
        inner = record_of(field.shape)
        here, header = (*path, key), prefix + field.chinese
        if inner is ACTION:
            yield Column(here, header, inner, field.is_required)
            yield from _parameters(here, header)
        elif inner is not None:
            yield from _columns(inner, here, header + SEPARATOR)
        else:
            yield Column(here, header, field.shape, field.is_required)


def _parameters(path: Path, header: str) -> Iterator[Column]:
    seen: dict[str, Field] = {}
    for action in ACTION.fields:
        for name, field in parameters_of(action).fields.items():
            if name not in seen:
                seen[name] = field
                name_zh = header + SEPARATOR + field.chinese
                yield Column(path, name_zh, field.shape, parameter=name)
