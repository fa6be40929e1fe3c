"""Reading tables and YAML shapes without stopping at the first mistake.

A broken reference file must name every problem at once, so a reader never raises: it notes a
`Finding` (where, what, what to do) and goes on with the rows that are usable. `data.py` refuses
to load when any was noted; `lubiao reference check` prints them all. Nothing here does I/O.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import date
from io import StringIO

from gateway.kernel.values import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of the reference files: where it is, what it is, what to do about it."""

    location: str
    problem: str
    advice: str

    def __str__(self) -> str:
        """Return the finding on one line."""
        return f"{self.location}: {self.problem}. {self.advice}."


@dataclass(slots=True)
class Findings:
    """The problems noted so far, in the order they were met."""

    items: list[Finding] = field(default_factory=list)

    def note(self, *, location: str, problem: str, advice: str) -> None:
        """Add one problem."""
        self.items.append(Finding(location, problem, advice))


@dataclass(frozen=True, slots=True)
class Row:
    """One data line of a CSV file with the place to point at."""

    location: str
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        """Return the value of a column, stripped."""
        return self.values[column]


def read_table(
    text: str, *, file: str, columns: tuple[str, ...], findings: Findings
) -> tuple[Row, ...]:
    """Return the rows of a CSV text that has at least `columns`; a byte order mark is ignored."""
    reader = csv.reader(StringIO(text.removeprefix("\ufeff"), newline=""))
    header = next(reader, [])
    if missing := [column for column in columns if column not in header]:
        findings.note(
            location=f"{file}:1",
            problem=f"columns {', '.join(missing)} are missing",
            advice=f"Start the file with {','.join(columns)}",
        )
        return ()
    rows: list[Row] = []
    for cells in reader:
        location = f"{file}:{reader.line_num}"
        if len(cells) != len(header):
            findings.note(
                location=location,
                problem=f"{len(cells)} cells, expected {len(header)}",
                advice="Quote cells that hold a comma, and give every column",
            )
            continue
        values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        rows.append(Row(location, values))
    return tuple(rows)


def parse_day(value: object, *, location: str, findings: Findings) -> date | None:
    """Return the ISO day in `value` (text, or a day that YAML has already parsed), else None."""
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        findings.note(
            location=location,
            problem=f"{value!r} is not a day",
            advice="Write it as 2026-01-31",
        )
        return None


@dataclass(frozen=True, slots=True)
class Shape:
    """A YAML mapping that is read key by key; wrong types are noted and read as empty."""

    location: str
    values: Mapping[str, object]
    findings: Findings

    @classmethod
    def of(
        cls, value: object, *, location: str, known: tuple[str, ...], findings: Findings
    ) -> Shape:
        """Return `value` as a mapping with only `known` keys; note everything else."""
        if not isinstance(value, dict):
            findings.note(
                location=location,
                problem=f"got {type(value).__name__}, expected a mapping",
                advice=f"Give the keys {', '.join(known)}",
            )
            return cls(location, {}, findings)
        for key in value:
            if key not in known:
                findings.note(
                    location=location,
                    problem=f"key {key!r} is not known",
                    advice=f"Use only {', '.join(known)}",
                )
        return cls(location, {str(key): entry for key, entry in value.items()}, findings)

    def text(self, key: str, *, default: str | None = None) -> str:
        """Return a text; without a default the key must be there and not be empty."""
        value = self.values.get(key, default)
        if isinstance(value, str) and (value or default is not None):
            return value
        self._note(key, value, "a text (quote codes)")
        return default or ""

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.values.get(key, default)
        if isinstance(value, bool):
            return value
        self._note(key, value, "true or false")
        return default

    def numbers(self, key: str) -> tuple[int, ...]:
        """Return a list of whole numbers; a missing key is an empty list."""
        found: list[int] = []
        for value in self._list(key):
            if isinstance(value, int) and not isinstance(value, bool):
                found.append(value)
            else:
                self._note(key, value, "a whole number")
        return tuple(found)

    def day(self, key: str) -> date | None:
        """Return a day that must be there; None after noting that it is not."""
        return parse_day(
            self.values.get(key), location=f"{self.location}.{key}", findings=self.findings
        )

    def shapes(self, key: str, *, known: tuple[str, ...]) -> Iterator[Shape]:
        """Yield the mappings of a list; a missing key is an empty list."""
        for number, value in enumerate(self._list(key)):
            place = f"{self.location}.{key}[{number}]"
            yield Shape.of(value, location=place, known=known, findings=self.findings)

    def _list(self, key: str) -> list[object]:
        value = self.values.get(key, [])
        if isinstance(value, list):
            return value
        self._note(key, value, "a list")
        return []

    def _note(self, key: str, value: object, expected: str) -> None:
        self.findings.note(
            location=f"{self.location}.{key}",
            problem=f"got {value!r}",
            advice=f"Give {expected}",
        )
