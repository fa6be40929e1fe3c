"""A pack's text as plain nested values, and back: the form that every tool works on.

`load_document` reads YAML with English or Chinese keys and words into the values of the canonical
(English) form; what does not fit is among the findings and left out. `write_document` writes the
one canonical text of the values: English, fixed order of keys, texts in quotes, so that equal
packs have equal bytes whatever they were made from (YAML in either language, a sheet).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.routing.grammar import PACK, Day, Listing, Record, Shape, Table, Template
from gateway.routing.model import Finding
from gateway.routing.nodes import Reader
from gateway.routing.reading import FormReader, Place, Value

FLOW_LENGTH_MAX = 90  # a list that is longer gets a line per value
_INDENT = "  "
# Line breaks and what is no character to YAML, which JSON leaves as it is.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a pack by English key, with the lines they came from.

    Texts, codes and days are `str`, hours are `int`, flags are `bool`, an open end is None. Of
    values without a text (a sheet's) all lines are 1.
    """

    content: dict[str, Value]
    place: Place = field(default_factory=lambda: Place(1), compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)

    def line(self, *path: str | int) -> int:
        """Return the line of a value: `line("rules", 3, "when", "regions", 0)`."""
        return self.place.of(*path).line

    @property
    def top(self) -> Part:
        """The whole as one record."""
        return Part(self.content, self.place)

    @property
    def has_errors(self) -> bool:
        """Whether some values were left out."""
        return any(finding.is_error for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Part:
    """One record of a document, with typed access to its values; what is not there is empty."""

    values: dict[str, Value]
    place: Place

    @property
    def line(self) -> int:
        """The line on which it begins."""
        return self.place.line

    def line_of(self, key: str) -> int:
        """Return the line of a value; the record's own when it is not there."""
        return self.place.of(key).line

    def text(self, key: str) -> str:
        """Return a text."""
        value = self.values.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int | None:
        """Return a number."""
        value = self.values.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def flag(self, key: str) -> bool | None:
        """Return a flag."""
        value = self.values.get(key)
        return value if isinstance(value, bool) else None

    def texts(self, key: str) -> list[tuple[str, int]]:
        """Return a list of texts with their lines."""
        value, place = self.values.get(key), self.place.of(key)
        if not isinstance(value, list):
            return []
        return [
            (text, place.of(order).line)
            for order, text in enumerate(value)
            if isinstance(text, str)
        ]

    def part(self, key: str) -> Part | None:
        """Return a record."""
        value = self.values.get(key)
        return Part(value, self.place.of(key)) if isinstance(value, dict) else None

    def parts(self, key: str) -> list[Part]:
        """Return a list of records."""
        value, place = self.values.get(key), self.place.of(key)
        if not isinstance(value, list):
            return []
        return [
            Part(each, place.of(order))
            for order, each in enumerate(value)
            if isinstance(each, dict)
        ]


def load_document(source: bytes, *, name: str = "pack") -> Document:
    """Return the values of a YAML text; `name` is the file's, for the findings. Never raises."""
    notes = Reader(name)
    top = notes.compose(source)
    read = FormReader(notes).read(top, PACK) if top is not None else None
    findings = tuple(notes.findings)
    if read is None or not isinstance(read.value, dict):
        return Document({}, findings=findings)
    return Document(read.value, read.place, findings)


def write_document(document: Document) -> bytes:
    """Return the canonical YAML of the values."""
    return "".join(_record(document.content, PACK, "")).encode()


def _record(values: dict[str, Value], record: Record, indent: str) -> Iterator[str]:
    for key, each in record.fields.items():
        if key in values:
            yield f"{indent}{key}:"
            yield from _after_key(values[key], each.shape, indent)


def _after_key(value: Value, shape: Shape, indent: str) -> Iterator[str]:
    """Yield what follows a key and its colon: on the same line, or deeper below."""
    deeper = indent + _INDENT
    match value, shape:
        case dict(), Record() as record if value:
            yield "\n"
            yield from _record(value, record, deeper)
        case dict(), Template(record):
            yield "\n"
            yield from _record(value, record, deeper)
        case dict(), Table(item=item) if value:
            yield "\n"
            for name in sorted(value):
                yield f"{deeper}{name}:"
                yield from _after_key(value[name], item, deeper)
        case list(), _ if value:
            yield from _list(value, shape, deeper)
        case _:
            yield f" {_scalar(value, shape)}\n"


def _list(values: list[Value], shape: Shape, indent: str) -> Iterator[str]:
    item = shape.item if isinstance(shape, Listing) else shape
    if isinstance(item, Record):
        yield "\n"
        for value in values:
            lines = (
                "".join(_record(value, item, indent + _INDENT)) if isinstance(value, dict) else ""
            )
            yield f"{indent}- {lines.lstrip(' ')}"
        return
    texts = [_scalar(value, item) for value in values]
    flow = f" [{', '.join(texts)}]\n"
    if len(flow) <= FLOW_LENGTH_MAX:
        yield flow
        return
    yield "\n"
    for text in texts:
        yield f"{indent}- {text}\n"


def _scalar(value: Value, shape: Shape) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str() if isinstance(shape, Day):
            return value
        case str() | int():
            return _UNPRINTABLE.sub(_escaped, json.dumps(value, ensure_ascii=False))
        case _:
            return "{}" if isinstance(value, dict) else "[]"


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
