"""The values of decision tables: grids of texts, cells, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BYTES_MAX = 10 * 1024 * 1024  # of a file, and of what it unpacks to in text
ROWS_MAX = 20_001  # a header and as many rules as a pack may have
COLUMNS_MAX = 100  # twice what the form has; beyond it is no table of ours
FINDINGS_MAX = 500  # enough to work on; one wrong column could have thousands


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A cell by its sheet and its name in A1 notation; row 0: the sheet as a whole."""

    sheet: str
    row: int = 0
    column: int = 0

    @property
    def name(self) -> str:
        """Return the name as spreadsheets show it, like B7."""
        if not self.row:
            return ""
        letters, number = "", self.column
        while number:
            number, rest = divmod(number - 1, 26)
            letters = chr(ord("A") + rest) + letters
        return f"{letters}{self.row}"

    def __str__(self) -> str:
        """Return sheet and name."""
        return f"{self.sheet}!{self.name}" if self.row else self.sheet


@dataclass(frozen=True, slots=True)
class Grid:
    """One sheet: rows of texts, the header first."""

    title: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class SheetFinding:
    """What is wrong with a cell, in Chinese and English, and what to write instead."""

    cell: Cell
    problem_zh: str
    advice_zh: str
    problem: str
    advice: str
    is_error: bool = True


@dataclass(frozen=True, slots=True)
class SheetPack:
    """A pack read from sheets: its canonical text, findings, and the cell of each of its lines."""

    source: bytes
    findings: tuple[SheetFinding, ...]
    cells: Mapping[int, Cell]

    @property
    def is_right(self) -> bool:
        """Whether nothing is an error."""
        return not any(finding.is_error for finding in self.findings)
