"""A rule pack from and to a file of any form, by its extension: YAML, XLSX, CSV in a folder or ZIP.

Whatever the form, what comes out is the pack's canonical text and all that is wrong with it, by
line or by cell. Nothing is written unless everything could be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from gateway.kernel.errors import FieldInvalid, ResourceExists, ResourceNotFound
from gateway.routing.document import Document, load_document, write_document
from gateway.sheets.files import Sheets, archive_of, files_of, files_of_archive, sheets_of
from gateway.sheets.model import BYTES_MAX, Cell, SheetFinding, SheetPack
from gateway.sheets.reading import pack_of
from gateway.sheets.tables import grids_of

EXTRA = "rules"  # of the package, which brings openpyxl
YAML = frozenset({".yaml", ".yml"})
FORMS = ".yaml、.xlsx、.zip（CSV）或文件夹（CSV）"
FORMS_ENGLISH = ".yaml, .xlsx, .zip of CSV, or a folder of CSV"
_OTHER_FORMS = frozenset({".xls", ".xlsm", ".xlsb", ".et", ".ods", ".csv"})
_OWNED = re.compile(r"[0-9]{6}\.[a-z][a-z0-9-]*")  # a folder called like its pack has no extension


def read_pack(path: Path) -> SheetPack:
    """Return the pack of a file or folder, with everything that is wrong with it.

    Raises:
        ResourceNotFound: there is none.
        FieldInvalid: it is of no form that we read.
    """
    if path.is_dir():
        files = {each.name: read_source(each) for each in sorted(path.glob("*.csv"))}
        return _of_sheets(sheets_of(files))
    content, suffix = read_source(path), path.suffix.lower()
    if suffix in YAML:
        return _of_yaml(content, path)
    if suffix == ".xlsx":
        return _of_sheets(_workbooks().sheets_of_workbook(content))
    if suffix == ".zip":
        refused = Sheets()
        files = files_of_archive(content, refused)
        return _of_sheets(refused if refused.findings else sheets_of(files))
    raise _no_form(path)


def write_pack(document: Document, path: Path) -> None:
    """Write a pack in the form of a path's extension; else it becomes a folder.

    A folder may be called like its pack (`131000.langfang`).

    Raises:
        ResourceExists: something is there already.
        FieldInvalid: it is of no form that we write.
    """
    if path.exists():
        raise ResourceExists(kind="file", name=path)
    suffix = path.suffix.lower()
    if suffix in YAML:
        path.write_bytes(write_document(document))
    elif suffix == ".xlsx":
        path.write_bytes(_workbooks().workbook_of(grids_of(document)))
    elif suffix == ".zip":
        path.write_bytes(archive_of(files_of(grids_of(document))))
    elif not suffix or (_OWNED.fullmatch(path.name) and suffix not in _OTHER_FORMS):
        path.mkdir(parents=True)
        for name, content in files_of(grids_of(document)).items():
            (path / name).write_bytes(content)
    else:
        raise _no_form(path)


def _workbooks() -> ModuleType:
    """Return what reads and writes workbooks; it needs an extra of the package."""
    try:
        from gateway.sheets import workbook  # noqa: PLC0415 - only who uses workbooks needs it
    except ImportError as error:
        raise FieldInvalid(
            field="XLSX",
            got="openpyxl is not installed",
            expected=f"the extra: pip install 'lubiao[{EXTRA}]', or CSV instead",
        ) from error
    return workbook


def _of_sheets(sheets: Sheets) -> SheetPack:
    found = tuple(sheets.findings)
    if not sheets.grids:
        empty = SheetFinding(
            Cell("CSV"),
            "没有表",
            "导出一个规则包看样式",
            "no sheets",
            "Export a pack to see the form",
        )
        return SheetPack(b"", found or (empty,), {})
    pack = pack_of(sheets.grids)
    return SheetPack(pack.source, (*found, *pack.findings), pack.cells)


def _of_yaml(content: bytes, path: Path) -> SheetPack:
    document = load_document(content, name=path.stem)
    findings = tuple(
        SheetFinding(
            Cell(f"{path.name}:{each.line}"),
            each.problem_zh or each.problem,
            each.advice_zh or each.advice,
            each.problem,
            each.advice,
            each.is_error,
        )
        for each in document.findings
    )
    source = content if document.has_errors else write_document(document)
    cells: Mapping[int, Cell] = {}
    return SheetPack(source, findings, cells)


def read_source(path: Path) -> bytes:
    """Return the bytes of a file that may be a pack.

    Raises:
        ResourceNotFound: there is none.
        FieldInvalid: it is too big.
    """
    try:
        size = path.stat().st_size
        if size > BYTES_MAX:
            raise FieldInvalid(
                field=path.name, got=f"{size} bytes", expected=f"{BYTES_MAX} bytes at most"
            )
        return path.read_bytes()
    except OSError as error:
        raise ResourceNotFound(kind="file", name=path) from error


def _no_form(path: Path) -> FieldInvalid:
    hint = f"支持 {FORMS}"
    if path.suffix.lower() in _OTHER_FORMS:
        hint = f"请用表格软件另存为 .xlsx；CSV 须成套放在文件夹或 .zip 中。{hint}"
    return FieldInvalid(field=path.name, got=path.suffix or "?", expected=FORMS_ENGLISH, hint=hint)
