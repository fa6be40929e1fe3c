"""A pack's document → grids, cell by cell: the writing half (reading.py is the other one).

A row is one rule, guard, template or use; an empty cell is a key that is not there. Each value goes
to the column of its path, and what no column can hold to the column `其余`.
"""

from __future__ import annotations

from gateway.routing.document import Document
from gateway.routing.grammar import ACTION, PACK
from gateway.routing.reading import Value
from gateway.routing.words import NOTHING
from gateway.sheets.cells import cell_of, json_cell
from gateway.sheets.columns import (
    HEAD,
    HEAD_KEYS,
    REST,
    SECTIONS,
    Column,
    Path,
    Section,
    parameters_of,
)
from gateway.sheets.model import Grid

FORMAT, FORMAT_VALUE = "格式", "路标决策表 1"
NOTE = "注"
NOTE_VALUE = "YAML 中的 # 注释不会带入表格，其余内容一字不差"
NOTED = frozenset({FORMAT, NOTE})  # rows of the head that say nothing about the pack


def grids_of(document: Document) -> tuple[Grid, ...]:
    """Return the sheets of a pack: its head first, then one for each of its lists."""
    content = document.content
    head = [(PACK.fields[key].chinese, key) for key in HEAD_KEYS if key in content]
    rows = [(chinese, cell_of(content[key], PACK.fields[key].shape)) for chinese, key in head]
    rows += [(each.title, NOTHING) for each in SECTIONS if content.get(each.key) == []]
    rows += [(FORMAT, FORMAT_VALUE), (NOTE, NOTE_VALUE)]
    grids = [Grid(HEAD, (("项目", "内容"), *rows))]
    for section in SECTIONS:
        listed = content.get(section.key)
        records = listed if isinstance(listed, list) else []
        header = tuple(column.header for column in section.columns)
        grids.append(Grid(section.title, (header, *(_row(each, section) for each in records))))
    return tuple(grids)


def _row(record: Value, section: Section) -> tuple[str, ...]:
    cells: dict[str, str] = {}
    rest: dict[str, Value] = {}
    if isinstance(record, dict):
        _flatten(record, (), section, cells, rest)
    else:
        rest[""] = record
    if rest:
        cells[REST] = json_cell(rest)
    return tuple(cells.get(column.header, "") for column in section.columns)


def _flatten(
    values: dict[str, Value],
    path: Path,
    section: Section,
    cells: dict[str, str],
    rest: dict[str, Value],
) -> None:
    """Put each value into the cell of its column; what has none into the rest."""
    for key, value in values.items():
        here = (*path, key)
        column = _column(section, here)
        if column is not None and column.shape is ACTION:
            if not _flatten_action(value, column, section, cells):
                rest[".".join(here)] = value
        elif column is not None:
            cells[column.header] = cell_of(
                value, column.shape, in_template=section.has_placeholders and "rule" in here[:1]
            )
        elif isinstance(value, dict) and value and _is_record(section, here):
            _flatten(value, here, section, cells, rest)
        else:
            rest[".".join(here)] = value


def _flatten_action(value: Value, column: Column, section: Section, cells: dict[str, str]) -> bool:
    """Put an action and its parameters into their cells; False when they do not fit there."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((action, parameters),) = value.items()
    if action not in ACTION.fields or not isinstance(parameters, dict):
        return False
    fields = parameters_of(action).fields
    if not set(parameters) <= set(fields):
        return False
    cells[column.header] = ACTION.fields[action].chinese
    for other in section.columns:
        if other.parameter in parameters and other.path == column.path:
            cells[other.header] = cell_of(
                parameters[other.parameter],
                fields[other.parameter].shape,
                in_template=section.has_placeholders,
            )
    return True


def _column(section: Section, path: Path) -> Column | None:
    for column in section.columns:
        if column.path == path and not column.parameter and column.header != REST:
            return column
    return None


def _is_record(section: Section, path: Path) -> bool:
    return any(column.path[: len(path)] == path for column in section.columns)
