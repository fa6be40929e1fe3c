"""Grids ↔ CSV files: one for each sheet, in a folder or a ZIP archive.

Written for spreadsheets on Windows: UTF-8 with a byte order mark, CRLF. Read are UTF-8 and GB18030
(what Chinese Windows saves). Archives are bounded before anything is unpacked.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from gateway.sheets.columns import HEAD, SECTIONS
from gateway.sheets.model import (
    BYTES_MAX,
    COLUMNS_MAX,
    ROWS_MAX,
    Cell,
    Grid,
    SheetFinding,
)

SUFFIX = ".csv"
FILES_MAX = 20  # five sheets, and what a desktop leaves beside them
ENGLISH = {HEAD: "pack", **{section.title: section.key for section in SECTIONS}}
TITLES = {english: title for title, english in ENGLISH.items()}


@dataclass(slots=True)
class Sheets:
    """Grids by their titles, and what is wrong with the files they came from."""

    grids: dict[str, Grid] = field(default_factory=dict)
    findings: list[SheetFinding] = field(default_factory=list)

    def note(self, cell: Cell, zh: tuple[str, str], en: tuple[str, str]) -> None:
        """Add a finding; `zh` and `en` are problem and advice."""
        self.findings.append(SheetFinding(cell, *zh, *en))

    def add(self, grid: Grid) -> None:
        """Add a grid; note a second one of the same title."""
        if grid.title in self.grids:
            self.note(
                Cell(grid.title),
                ("这张表出现两次", "只保留一张"),
                ("the sheet is there twice", "Keep one of them"),
            )
        self.grids[grid.title] = grid


def csv_of(grid: Grid) -> bytes:
    """Return a grid as a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(grid.rows)
    return text.getvalue().encode("utf-8-sig")


def files_of(grids: Iterable[Grid]) -> dict[str, bytes]:
    """Return the CSV files of grids by name; a list that is not there needs no file."""
    return {
        f"{grid.title}{SUFFIX}": csv_of(grid)
        for grid in grids
        if len(grid.rows) > 1 or grid.title == SECTIONS[0].title
    }


def sheets_of(files: Mapping[str, bytes]) -> Sheets:
    """Return the grids of CSV files by name."""
    found = Sheets()
    total = sum(len(content) for content in files.values())
    if total > BYTES_MAX:
        found.note(Cell("CSV"), *_too_big(total))
        return found
    for name, content in sorted(files.items()):
        path = PurePosixPath(name)
        if path.suffix.lower() == SUFFIX and not path.name.startswith((".", "~")):
            title = TITLES.get(path.stem, path.stem)
            _read(content, title, found)
    return found


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """Return files as a ZIP archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def files_of_archive(content: bytes, found: Sheets) -> dict[str, bytes]:
    """Return the files of an archive, none after noting why it is refused."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            total = sum(entry.file_size for entry in entries)
            if len(entries) > FILES_MAX or total > BYTES_MAX:
                found.note(Cell("ZIP"), *_too_big(total, files=len(entries)))
                return {}
            # No more is read of an entry than it declares.
            return {_name_of(entry): archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError):
        found.note(
            Cell("ZIP"),
            ("不是可读的 ZIP 文件", "重新压缩，不加密码"),
            ("no ZIP archive that can be read", "Pack it again, without a password"),
        )
        return {}


def _name_of(entry: zipfile.ZipInfo) -> str:
    """Return an entry's name; archives of Chinese Windows say it in GB18030 without a mark."""
    name = entry.filename
    if not entry.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("gb18030")
        except UnicodeError:
            name = entry.filename
    return PurePosixPath(name).name


def _read(content: bytes, title: str, found: Sheets) -> None:
    text = _decoded(content)
    if text is None:
        found.note(
            Cell(title),
            ("不是 UTF-8 或 GB18030 文字", "另存为“CSV UTF-8”"),
            ("neither UTF-8 nor GB18030", "Save it as CSV UTF-8"),
        )
        return
    rows: list[tuple[str, ...]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            rows.append(tuple(row))
            if not is_within(rows, title, found):
                return
    except csv.Error:
        found.note(
            Cell(title, len(rows) + 1, 1),
            ("CSV 引号或换行不完整", "用表格软件打开后重新保存"),
            ("broken quotes or line ends", "Open it in a spreadsheet and save it again"),
        )
        return
    found.add(Grid(title, tuple(rows)))


def is_within(rows: list[tuple[str, ...]], title: str, found: Sheets) -> bool:
    """Tell whether the newest row keeps the bounds; note it when it does not."""
    if len(rows) <= ROWS_MAX and len(rows[-1]) <= COLUMNS_MAX:
        return True
    found.note(
        Cell(title, len(rows), 1),
        ("行或列过多", f"不超过 {ROWS_MAX} 行、{COLUMNS_MAX} 列；删去空行空列或拆分规则包"),
        ("too many rows or columns", f"Stay within {ROWS_MAX} rows and {COLUMNS_MAX} columns"),
    )
    return False


def _decoded(content: bytes) -> str | None:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _too_big(total: int, *, files: int = 0) -> tuple[tuple[str, str], tuple[str, str]]:
    zh = f"{total} 字节" + (f"、{files} 个文件" if files else "")
    return (
        (zh, f"不超过 {BYTES_MAX} 字节、{FILES_MAX} 个文件；拆分规则包"),
        (f"{total} bytes, {files} files", f"Stay within {BYTES_MAX} bytes, {FILES_MAX} files"),
    )
