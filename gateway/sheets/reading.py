"""Grids → a pack's canonical text, with the cell of every line of it.

Every problem of all sheets is found in one reading: unknown columns and values that cannot be
handed on here, then whatever the form says about the canonical text, by cell instead of by line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.routing.document import Document, load_document, write_document
from gateway.routing.grammar import ACTION, PACK, Day, Shape, Table, Text
from gateway.routing.model import Finding
from gateway.routing.reading import Value
from gateway.routing.words import NOTHING
from gateway.sheets.cells import NoCell, value_of, vetted
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
from gateway.sheets.model import FINDINGS_MAX, Cell, Grid, SheetFinding, SheetPack
from gateway.sheets.tables import NOTED

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = (
    yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
)
# Stands in for a value that was refused, so that nothing else is said about the same cell.
_STAND_IN: Mapping[type, Value] = {Day: "2000-01-01", Table: {}}
_At = tuple[str | int, ...]
_Written = tuple[Column, Cell, str]


def pack_of(grids: Mapping[str, Grid]) -> SheetPack:
    """Return the pack of sheets by their titles, with everything that is wrong with them."""
    reading = _Reading()
    content = reading.head(grids.get(HEAD))
    for title in grids:
        if title != HEAD and title not in {section.title for section in SECTIONS}:
            reading.note(
                Cell(title),
                (f"不认识的表“{title[:40]}”", f"只能有 {HEAD} 和 {_titles()}"),
                (f"sheet {title[:40]!r} is not known", f"Use {HEAD} and {_titles()}"),
            )
    for section in SECTIONS:
        grid = grids.get(section.title)
        records = reading.records(grid, section) if grid is not None else []
        if records or section.key == "rules":
            content[section.key] = records
    source = write_document(Document(content))
    cells = _cells_of_lines(source, reading.cells)
    document = load_document(source, name=str(content.get("pack", "pack")))
    findings = [*reading.findings, *(_by_cell(each, cells) for each in document.findings)]
    return SheetPack(source, tuple(findings[:FINDINGS_MAX]), cells)


def by_cell(findings: tuple[Finding, ...], pack: SheetPack) -> tuple[SheetFinding, ...]:
    """Return findings about a pack's canonical text by cells instead of lines."""
    return tuple(_by_cell(finding, pack.cells) for finding in findings)


def _by_cell(finding: Finding, cells: Mapping[int, Cell]) -> SheetFinding:
    return SheetFinding(
        cells.get(finding.line, Cell(HEAD)),
        finding.problem_zh or finding.problem,
        finding.advice_zh or finding.advice,
        finding.problem,
        finding.advice,
        finding.is_error,
    )


def _titles() -> str:
    return "、".join(section.title for section in SECTIONS)


@dataclass(slots=True)
class _Reading:
    """Sheets being read: what is wrong so far, and the cell of each value by its path."""

    findings: list[SheetFinding] = field(default_factory=list)
    cells: dict[_At, Cell] = field(default_factory=dict)

    def note(self, cell: Cell, zh: tuple[str, str], en: tuple[str, str]) -> None:
        self.findings.append(SheetFinding(cell, *zh, *en))

    def head(self, grid: Grid | None) -> dict[str, Value]:
        content: dict[str, Value] = {}
        if grid is None:
            zh = (f"缺少表“{HEAD}”", "补上，两列：项目、内容")
            self.note(Cell(HEAD), zh, (f"sheet {HEAD} is missing", "Add it: two columns"))
            return content
        for number, row in enumerate(grid.rows[1:], 2):
            name, text = ((*(each.strip() for each in row), "", ""))[:2]
            key = PACK.key_of(name)
            cell = Cell(HEAD, number, 2)
            if not name or name in NOTED:
                continue
            if key in HEAD_KEYS and key is not None:
                self.cells[(key,)] = cell
                if text and (value := self.value(cell, text, PACK.fields[key].shape)) is not None:
                    content[key] = value
            elif key is not None and text in {NOTHING, ""}:
                content[key] = []
            else:
                known = "、".join(PACK.fields[each].chinese for each in HEAD_KEYS)
                self.note(
                    Cell(HEAD, number, 1),
                    (f"不认识的项目“{name[:40]}”", f"只能用 {known}"),
                    (f"{name[:40]!r} is not known", f"Use {', '.join(HEAD_KEYS)}"),
                )
        return content

    def records(self, grid: Grid, section: Section) -> list[Value]:
        columns = list(self._columns(grid, section))
        found: list[Value] = []
        for number, row in enumerate(grid.rows[1:], 2):
            texts = [
                (column, Cell(section.title, number, position), text.strip())
                for position, (column, text) in enumerate(
                    zip(columns, (*row, *[""] * len(columns)), strict=False), 1
                )
                if column is not None and text.strip()
            ]
            if texts:
                at: _At = (section.key, len(found))
                self.cells[at] = Cell(section.title, number, 1)
                found.append(self._record(texts, at, section))
        return found

    def _columns(self, grid: Grid, section: Section) -> Iterator[Column | None]:
        """Yield the column of each header; None for one that is empty or not known."""
        known = {column.header: column for column in section.columns}
        english = {_english(column): column for column in section.columns}
        seen: set[str] = set()
        header = grid.rows[0] if grid.rows else ()
        for position, text in enumerate(header, 1):
            name = text.strip()
            column = known.get(name) or english.get(name)
            cell = Cell(section.title, 1, position)
            if name and column is None:
                self.note(
                    cell,
                    (f"不认识的列“{name[:40]}”", f"用这些列名：{'、'.join(known)}"),
                    (f"column {name[:40]!r} is not known", f"Use {', '.join(english)}"),
                )
            elif column is not None and column.header in seen:
                zh = (f"列“{name}”出现两次", "只保留一列")
                self.note(cell, zh, (f"column {name!r} is there twice", "Keep one of them"))
                column = None
            seen.add(column.header if column else "")
            yield column
        if len(grid.rows) > 1:
            self._missing(section, known, seen)

    def _missing(self, section: Section, known: Mapping[str, Column], seen: set[str]) -> None:
        for name, column in known.items():
            if column.is_required and len(column.path) == 1 and name not in seen:
                self.note(
                    Cell(section.title, 1, 1),
                    (f"缺少列“{name}”", "补上，必填"),
                    (f"column {_english(column)} is missing", "Add it; it is mandatory"),
                )

    def _record(self, texts: list[_Written], at: _At, section: Section) -> dict[str, Value]:
        row = _Row(self, section, at)
        for written in texts:
            if written[0].shape is ACTION:
                row.take_action(written)
        for written in texts:
            column = written[0]
            if column.shape is ACTION:
                continue
            if column.header == REST:
                row.take_rest(written)
            elif column.parameter:
                row.take_parameter(written)
            else:
                row.take(written)
        return row.record

    def value(self, cell: Cell, text: str, shape: Shape, *, in_template: bool = False) -> Value:
        """Return the value of a cell; what stands in for it, or None, after noting why not."""
        try:
            return value_of(text, shape, in_template=in_template)
        except NoCell as error:
            self.note(cell, error.zh, error.en)
            return _STAND_IN.get(type(shape))


@dataclass(slots=True)
class _Row:
    """One row being read."""

    reading: _Reading
    section: Section
    at: _At
    record: dict[str, Value] = field(default_factory=dict)
    actions: dict[Path, str] = field(default_factory=dict)

    def take(self, written: _Written) -> None:
        """Take a value that has a column of its own."""
        column, cell, text = written
        in_template = self.section.has_placeholders and column.path[0] == "rule"
        value = self.reading.value(cell, text, column.shape, in_template=in_template)
        if value is not None or (isinstance(column.shape, Day) and column.shape.is_open):
            self._put(column.path, value, cell)

    def take_action(self, written: _Written) -> None:
        """Take what is done; its parameters follow."""
        column, cell, text = written
        action = ACTION.key_of(text)
        if action is None:
            known = "、".join(each.chinese for each in ACTION.fields.values())
            self.reading.note(
                cell,
                (f"不认识的处理“{text[:40]}”", f"只能用 {known}"),
                (f"{text[:40]!r} is no action", f"Use {', '.join(ACTION.fields)}"),
            )
        # Another action stands in for one that is not known.
        self.reading.cells[(*self.at, *column.path)] = cell
        self._put((*column.path, action or "merge"), {}, cell)
        self.actions[column.path] = action or ""

    def take_parameter(self, written: _Written) -> None:
        """Take a parameter of the row's action."""
        column, cell, text = written
        action = self.actions.get(column.path, "")
        if not action:
            return  # that there is none, or none that is known, is said about the action
        found = parameters_of(action).fields.get(column.parameter)
        if found is None:
            chinese = ACTION.fields[action].chinese
            self.reading.note(
                cell,
                (f"处理“{chinese}”没有“{column.header}”", "清空该单元格，或改处理方式"),
                (f"{action} has no {column.parameter}", "Empty the cell, or change the action"),
            )
            return
        in_template = self.section.has_placeholders
        value = self.reading.value(cell, text, found.shape, in_template=in_template)
        if value is not None:
            self._put((*column.path, action, column.parameter), value, cell)

    def take_rest(self, written: _Written) -> None:
        """Take what has no column."""
        _, cell, text = written
        try:
            for name, value in _rest_of(text).items():
                path = tuple(name.split("."))
                nested: Value = value
                for key in reversed(path):
                    nested = {key: nested}
                vetted(nested, self.section.record)
                self._put(path, value, cell)
        except NoCell as error:
            self.reading.note(cell, error.zh, error.en)

    def _put(self, path: Path, value: Value, cell: Cell) -> None:
        self.reading.cells[(*self.at, *path)] = cell
        place = self.record
        for key in path[:-1]:
            inner = place.setdefault(key, {})
            if not isinstance(inner, dict):
                return  # the rest holds another value here; the form says so
            place = inner
        place[path[-1]] = value


def _rest_of(text: str) -> dict[str, Value]:
    values = value_of(text, Text())
    if isinstance(values, dict):
        return values
    raise NoCell(
        ("“其余”应为 json:{…}", "该列由工具填写；没有就清空"),
        ("no json:{…}", "Leave the column to the tool"),
    )


def _english(column: Column) -> str:
    path = (*column.path, column.parameter) if column.parameter else column.path
    return ".".join(path) or "rest"


# --- lines ------------------------------------------------------------------------------------


def _cells_of_lines(source: bytes, cells: Mapping[_At, Cell]) -> dict[int, Cell]:
    """Return the cell of each line of a canonical text: that of the deepest value on it."""
    lines: dict[int, _At] = {}
    top = yaml.compose(source, Loader=_LOADER)
    for line, path in _places(top, ()):
        if len(path) >= len(lines.get(line, ())):
            lines[line] = path
    found: dict[int, Cell] = {}
    for line, path in lines.items():
        for length in range(len(path), 0, -1):
            if path[:length] in cells:
                found[line] = cells[path[:length]]
                break
    return found


def _places(node: Node | None, path: _At) -> Iterator[tuple[int, _At]]:
    match node:
        case MappingNode():
            for key, value in node.value:
                yield key.start_mark.line + 1, (*path, str(key.value))
                yield from _places(value, (*path, str(key.value)))
        case SequenceNode():
            for number, value in enumerate(node.value):
                yield value.start_mark.line + 1, (*path, number)
                yield from _places(value, (*path, number))
        case ScalarNode():
            yield node.start_mark.line + 1, path
        case _:
            pass
