"""Bytes to rows and back: CSV and JSON Lines, UTF-8 or GB18030.

A row is a table of texts by the platform's own column names. A JSON value that is a list becomes
the text of its items joined by `;`, a boolean `true` or `false`. A row that does not parse is a row
with an error; only bytes in no known encoding or a file without a header spoil a whole file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from gateway.kernel.errors import FieldInvalid, LubiaoError

FILE_BYTES_MAX = 64 * 1024 * 1024  # read as a whole; a day of a large city is below this
ROW_CHARACTERS_MAX = 64 * 1024  # above every limit of the standard together
LIST_SEPARATOR = ";"


class Format(Enum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"

    @classmethod
    def of(cls, path: Path) -> Format | None:
        """Return the format that a file's name says, or None."""
        return {".csv": cls.CSV, ".jsonl": cls.JSONL}.get(path.suffix.lower())


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line or object number from 1, its texts, or why it does not parse."""

    number: int
    values: Mapping[str, str]
    error: LubiaoError | None = None


def decode(data: bytes, *, name: str) -> str:
    """Return the text of a file in UTF-8 (with or without mark) or GB18030.

    Raises:
        FieldInvalid: the bytes are neither, or too many.
    """
    if len(data) > FILE_BYTES_MAX:
        raise FieldInvalid(
            field=name, got=f"{len(data)} bytes", expected=f"at most {FILE_BYTES_MAX}"
        )
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text
    raise FieldInvalid(field=name, got="bytes in another encoding", expected="UTF-8 or GB18030")


def parse(data: bytes, kind: Format, *, name: str) -> tuple[Row, ...]:
    """Return the rows of a file; `name` names it in errors.

    Raises:
        FieldInvalid: no row can be read at all.
    """
    text = decode(data, name=name)
    match kind:
        case Format.CSV:
            return tuple(_csv_rows(text, name))
        case Format.JSONL:
            return tuple(_json_rows(text, name))


def render(rows: Sequence[Mapping[str, str]], kind: Format) -> bytes:
    """Return rows as the bytes of a file; CSV with a mark, so that office programs read it."""
    match kind:
        case Format.JSONL:
            lines = [json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows]
            return "".join(lines).encode()
        case Format.CSV:
            header = list(dict.fromkeys(key for row in rows for key in row))
            stream = io.StringIO()
            writer = csv.DictWriter(stream, header, restval="", lineterminator="\r\n")
            writer.writeheader()
            writer.writerows(rows)
            return b"\xef\xbb\xbf" + stream.getvalue().encode()


def _csv_rows(text: str, name: str) -> Iterable[Row]:
    csv.field_size_limit(ROW_CHARACTERS_MAX)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
    except csv.Error as error:
        raise FieldInvalid(field=name, got=str(error), expected="a header line") from error
    if not header or len(set(header)) != len(header) or "" in header:
        raise FieldInvalid(
            field=f"{name}:1", got="an empty or repeated column", expected="a header line"
        )
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            yield Row(number, {}, _bad_row(name, number, str(error), "a CSV row"))
            continue
        if not any(cell.strip() for cell in cells):
            continue
        number += 1
        if len(cells) != len(header):
            got = f"{len(cells)} cells"
            raw = dict(zip(header, cells, strict=False))
            yield Row(number, raw, _bad_row(name, number, got, f"{len(header)} cells"))
            continue
        yield Row(number, {key: cell.strip() for key, cell in zip(header, cells, strict=True)})


def _json_rows(text: str, name: str) -> Iterable[Row]:
    number = 0
    for line in text.split("\n"):
        if not line.strip():
            continue
        number += 1
        raw = {"line": line[:ROW_CHARACTERS_MAX]}
        if len(line) > ROW_CHARACTERS_MAX:
            got = f"{len(line)} characters"
            yield Row(number, raw, _bad_row(name, number, got, f"at most {ROW_CHARACTERS_MAX}"))
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            yield Row(number, raw, _bad_row(name, number, "no JSON", "a JSON object"))
            continue
        if not isinstance(value, dict):
            yield Row(number, raw, _bad_row(name, number, "no object", "a JSON object"))
            continue
        yield Row(number, {str(key).strip(): _text(item) for key, item in value.items()})


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list():
            return LIST_SEPARATOR.join(_text(item) for item in value)
        case str():
            return value.strip()
        case _:
            return str(value)


def _bad_row(name: str, number: int, got: str, expected: str) -> FieldInvalid:
    return FieldInvalid(field=f"{name}:{number}", got=got, expected=expected)
