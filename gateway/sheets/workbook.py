"""Grids ↔ an XLSX workbook: the only importer of openpyxl, which is an extra.

Cells are texts, so no code loses its leading zero; words have drop-down lists. What a workbook may
carry besides tables is refused before it is opened: macros, links to other files, embedded objects,
declarations of XML entities, formulas in cells, anything that unpacks to more than a bound.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation

from gateway.routing.grammar import ACTION, Flag, Listing, Shape, Word
from gateway.routing.words import FLAGS
from gateway.sheets.columns import HEAD, SECTIONS, Column
from gateway.sheets.files import Sheets, is_within
from gateway.sheets.model import BYTES_MAX, COLUMNS_MAX, ROWS_MAX, Cell, Grid

WORDS, HELP = "词表", "填表说明"  # sheets that say nothing about the pack
UNPACKED_MAX = 6 * BYTES_MAX  # XML of a full table is five times its texts
PARTS_MAX = 200
_REFUSED_PARTS = re.compile(
    r"vbaproject|externallinks/|embeddings/|activex|macrosheets|dialogsheets|connections\.xml"
    r"|querytables/|customxml/.*\.bin",
    re.IGNORECASE,
)
_BROKEN = (  # what openpyxl raises on what is no workbook
    zipfile.BadZipFile,
    zlib.error,
    ParseError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    AssertionError,
    NotImplementedError,
    RuntimeError,
    OSError,
    EOFError,
)
_WIDTHS = {"编号": 30, "依据": 40, "说明": 50, "条件·条件式": 40, "条件·事项": 20, "条件·区划": 20}
_WIDTH, _WIDTH_OF_HEAD = 14, 40
_HEAD_COLUMNS = 2


# --- writing ----------------------------------------------------------------------------------


def workbook_of(grids: Iterable[Grid]) -> bytes:
    """Return grids as a workbook with drop-down lists and a sheet of explanations."""
    made = openpyxl.Workbook(write_only=True)
    lists = _Lists()
    for grid in grids:
        section = next((each for each in SECTIONS if each.title == grid.title), None)
        sheet = made.create_sheet(grid.title)
        columns = section.columns if section else ()
        _dress(sheet, grid.rows[0], hides=_unused(grid, columns))
        for position, column in enumerate(columns, 1):
            if words := _words_of(column.shape):
                is_free = isinstance(column.shape, Listing) or bool(column.parameter)
                lists.offer(sheet, position, words, is_free=is_free)
        _fill(sheet, grid.rows)
    help_sheet = made.create_sheet(HELP)
    _fill(help_sheet, tuple(_help()))
    lists.write(made)
    content = io.BytesIO()
    made.save(content)
    return content.getvalue()


def _dress(sheet: Any, header: Sequence[str], *, hides: frozenset[int]) -> None:
    """Set what comes before the rows: widths, text format, a header that stays."""
    sheet.freeze_panes = "B2"
    for position, title in enumerate(header, 1):
        dimension = sheet.column_dimensions[get_column_letter(position)]
        usual = _WIDTH if len(header) > _HEAD_COLUMNS else _WIDTH_OF_HEAD
        dimension.width = _WIDTHS.get(title, usual)
        dimension.number_format = "@"
        dimension.hidden = position in hides


def _unused(grid: Grid, columns: Sequence[Column]) -> frozenset[int]:
    """Return the columns that nobody needs to see: the rest, while it is empty."""
    return frozenset(
        position
        for position, column in enumerate(columns, 1)
        if not column.path and not any(row[position - 1] for row in grid.rows[1:])
    )


def _fill(sheet: Any, rows: Sequence[Sequence[str]]) -> None:

    wrapped, bold = Alignment(wrap_text=True, vertical="top"), Font(bold=True)
    for number, row in enumerate(rows):
        cells: list[Any] = []
        for text in row:
            if not text:
                cells.append(None)
                continue
            cell = WriteOnlyCell(sheet, value=text)
            cell.data_type = "s"  # never a formula
            cell.number_format = "@"
            cell.alignment = wrapped
            if not number:
                cell.font = bold
            cells.append(cell)
        sheet.append(cells)


def _words_of(shape: Shape) -> tuple[str, ...]:
    match shape:
        case Flag():
            return tuple(FLAGS.values())
        case Word(words):
            return tuple(words.values())
        case Listing(item=Word(words)):
            return tuple(words.values())
        case _ if shape is ACTION:
            return tuple(field.chinese for field in ACTION.fields.values())
        case _:
            return ()


class _Lists:
    """The lists behind the drop-downs: columns of a hidden sheet, each list once."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lists: list[tuple[str, ...]] = []

    def offer(self, sheet: Any, column: int, words: tuple[str, ...], *, is_free: bool) -> None:
        """Offer words in a column; `is_free`: several of them, or others, may be written too."""
        if words not in self._lists:
            self._lists.append(words)
        letter = get_column_letter(self._lists.index(words) + 1)
        chosen = DataValidation(
            type="list",
            formula1=f"'{WORDS}'!${letter}$1:${letter}${len(words)}",
            allow_blank=True,
            showErrorMessage=not is_free,
        )
        chosen.error = "请从下拉列表中选择"
        place = get_column_letter(column)
        chosen.add(f"{place}2:{place}{ROWS_MAX}")
        sheet.data_validations.append(chosen)

    def write(self, made: Any) -> None:
        """Write the hidden sheet."""
        sheet = made.create_sheet(WORDS)
        sheet.sheet_state = "hidden"
        height = max((len(words) for words in self._lists), default=0)
        _fill(
            sheet,
            [
                [words[number] if number < len(words) else "" for words in self._lists]
                for number in range(height)
            ],
        )


def _help() -> Iterator[tuple[str, ...]]:
    yield ("表", "列", "英文键", "必填")
    for section in SECTIONS:
        for column in section.columns:
            key = ".".join((*column.path, column.parameter) if column.parameter else column.path)
            yield (section.title, column.header, key, "是" if column.is_required else "")
    yield ("提示", "一格多值用“、”分隔；空格等于不写该键；失效日期写“长期”即不失效", "", "")
    yield ("提示", "不要写公式；编码单元格保持“文本”格式，以免前导 0 丢失", "", "")


# --- reading ----------------------------------------------------------------------------------


def sheets_of_workbook(content: bytes) -> Sheets:
    """Return the grids of a workbook and what is wrong with it."""
    found = Sheets()
    if not _is_harmless(content, found):
        return found
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts that it does not know, and we do not need
            book = openpyxl.load_workbook(
                io.BytesIO(content), read_only=True, data_only=False, keep_links=False
            )
            for sheet in book.worksheets:
                if sheet.title not in {WORDS, HELP}:
                    _read(sheet, found)
    except _BROKEN as error:
        found.note(
            Cell("XLSX"),
            ("不是可读的 XLSX 工作簿", "用表格软件打开后另存为 .xlsx"),
            (f"no workbook that can be read ({type(error).__name__})", "Save it again as .xlsx"),
        )
    return found


def _is_harmless(content: bytes, found: Sheets) -> bool:
    """Tell whether a workbook may be opened; note why not."""
    if len(content) > BYTES_MAX:
        found.note(
            Cell("XLSX"),
            (f"{len(content)} 字节", f"不超过 {BYTES_MAX} 字节；拆分规则包"),
            (f"{len(content)} bytes", f"Stay within {BYTES_MAX} bytes"),
        )
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            if len(entries) > PARTS_MAX or total > UNPACKED_MAX:
                found.note(
                    Cell("XLSX"),
                    (f"解压后 {total} 字节、{len(entries)} 个部件", "疑似压缩炸弹，拒绝打开"),
                    (f"{total} bytes unpacked, {len(entries)} parts", "Refused as a ZIP bomb"),
                )
                return False
            return not any(_is_refused(archive, entry, found) for entry in entries)
    except (*_BROKEN,):
        found.note(
            Cell("XLSX"),
            ("不是 XLSX 工作簿（或已加密）", "另存为不加密的 .xlsx"),
            ("no XLSX workbook, or encrypted", "Save it as .xlsx without a password"),
        )
        return False


def _is_refused(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, found: Sheets) -> bool:
    if refused := _REFUSED_PARTS.search(entry.filename):
        found.note(
            Cell("XLSX"),
            (f"含有宏、外部链接或嵌入对象（{refused[0]}）", "另存为不含这些内容的 .xlsx"),
            (f"has macros, links or objects ({refused[0]})", "Save it as .xlsx without them"),
        )
        return True
    if not entry.filename.lower().endswith((".xml", ".rels")):
        return False
    part = archive.read(entry)
    is_strange = part[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"\0" in part[:100]
    is_macro = entry.filename == "[Content_Types].xml" and b"macroenabled" in part.lower()
    if is_strange or is_macro or b"<!DOCTYPE" in part or b"<!ENTITY" in part:
        found.note(
            Cell("XLSX"),
            ("含有宏或 XML 实体声明", "另存为普通的 .xlsx"),
            ("has macros or declares XML entities", "Save it as a plain .xlsx"),
        )
        return True
    return False


def _read(sheet: Any, found: Sheets) -> None:
    sheet.reset_dimensions()  # what a sheet says of its size is not to be trusted
    rows: list[tuple[str, ...]] = []
    for number, row in enumerate(sheet.iter_rows(max_col=COLUMNS_MAX + 1), 1):
        texts = [
            _text(cell, Cell(sheet.title, number, position), found)
            for position, cell in enumerate(row, 1)
        ]
        while texts and not texts[-1]:
            texts.pop()
        rows.append(tuple(texts))
        if not is_within(rows, sheet.title, found):
            return
    while rows and not rows[-1]:
        rows.pop()
    if rows or sheet.title == HEAD:
        found.add(Grid(sheet.title, tuple(rows)))


def _text(cell: Any, place: Cell, found: Sheets) -> str:
    """Return the text of a cell, an empty one after noting why it has none."""
    match cell.data_type, cell.value:
        case _, None:
            return ""
        case "f", _:
            found.note(
                place,
                ("单元格是公式", "写成值，不要公式"),
                ("the cell is a formula", "Write the value, no formula"),
            )
            return ""
        case "e", value:
            found.note(
                place,
                (f"单元格是错误值 {str(value)[:20]}", "写成值"),
                (f"the cell holds an error: {str(value)[:20]}", "Write the value"),
            )
            return ""
        case _, bool() as flag:
            return FLAGS["true" if flag else "false"]
        case _, datetime() as moment:
            return moment.date().isoformat()
        case _, date() as day:
            return day.isoformat()
        case _, float() as number if number.is_integer():
            return str(int(number))
        case _, value:
            return str(value).replace("\r\n", "\n")
