"""Bad sheets: everything at once, by cell, with what to write; hostile files are refused."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.utils import get_column_letter

from gateway.kernel.errors import FieldInvalid, ResourceExists, ResourceNotFound
from gateway.routing.document import load_document, write_document
from gateway.sheets import files as files_module
from gateway.sheets import workbook as workbook_module
from gateway.sheets.convert import read_pack, write_pack
from gateway.sheets.files import Sheets, archive_of, files_of, files_of_archive, sheets_of
from gateway.sheets.model import Cell
from gateway.sheets.reading import pack_of
from gateway.sheets.tables import grids_of
from gateway.sheets.workbook import sheets_of_workbook, workbook_of

HEAD = "项目,内容\n规则包,131000.test\n负责单位,131000\n名称,测试\n"
COLUMNS = (
    "编号,负责单位,依据,生效日期,失效日期,"
    "条件·诉求类型,条件·交界或权属不清,处理,处理·单位类别,说明\n"
)
GOOD = "a.one,某局,依据,2026-01-01,长期,投诉,,派单,JT,说明\n"
PACK = next((Path(__file__).parents[3] / "routing_rules" / "packs").glob("131000*.yaml"))


def told(rules: str, *, head: str = HEAD, columns: str = COLUMNS) -> dict[str, str]:
    """Return what is said about each cell of a sheet of rules."""
    files = {"规则包.csv": head.encode(), "规则.csv": (columns + rules).encode()}
    sheets = sheets_of(files)
    pack = pack_of(sheets.grids)
    return {
        str(each.cell): f"{each.problem_zh}|{each.advice_zh}"
        for each in (*sheets.findings, *pack.findings)
    }


def a_workbook() -> bytes:
    return workbook_of(grids_of(load_document(PACK.read_bytes())))


def repacked(content: bytes, **changes: bytes) -> bytes:
    """Return a workbook with parts added or replaced; `__` in a name stands for a slash."""
    out = io.BytesIO()
    parts = {name.replace("__", "/").replace("_dot_", "."): data for name, data in changes.items()}
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            if name not in parts:
                new.writestr(name, old.read(name))
        for name, data in parts.items():
            new.writestr(name, data)
    return out.getvalue()


def problems(content: bytes) -> str:
    return " ".join(each.problem_zh for each in sheets_of_workbook(content).findings)


def test_a_good_sheet_has_no_findings() -> None:
    assert told(GOOD) == {}


def test_all_problems_are_told_at_once_by_cell() -> None:
    found = told(
        "A.One,某局,依据,2026年1月1日,长期,投诉,,派单,JT,说明\n"
        ",,,,,,,,,\n"
        "a.two,某局,依据,昨天,长期,牢骚,也许,派单,JT,说明\n"
        "a.three,某局,,2026-01-01,长期,投诉,,飞单,JT,说明\n"
        "a.four,某局,依据,2026-01-01,长期,投诉,是,不予受理,JT,说明\n"
    )
    assert "不合格式" in found["规则!A2"]
    assert "不是日期|写成 2026-01-31" in found["规则!D4"]
    assert "'牢骚'" in found["规则!F4"]
    assert "投诉" in found["规则!F4"]  # what may be written
    assert "是或否" in found["规则!G4"] or "“是”或“否”" in found["规则!G4"]
    assert "缺少“依据”" in found["规则!A5"]
    assert "飞单" in found["规则!H5"]
    assert "没有“处理·单位类别”" in found["规则!I6"]
    assert len(found) >= 8


def test_a_zero_that_a_spreadsheet_ate_is_noticed() -> None:
    columns = COLUMNS.replace("条件·诉求类型", "条件·事项")
    assert "'41200'" in told(GOOD.replace("投诉", "41200"), columns=columns)["规则!F2"]


def test_unknown_missing_and_repeated_columns_and_sheets_are_told() -> None:
    found = told(
        "a.one,x,y,某局,2026-01-01,长期,派单,JT,说明\n",
        columns="编号,颜色,负责单位,负责单位,生效日期,失效日期,处理,处理·单位类别,说明\n",
        head=HEAD + "口号,x\n",
    )
    assert "不认识的列“颜色”" in found["规则!B1"]
    assert "出现两次" in found["规则!D1"]
    assert "缺少列“依据”" in found["规则!A1"]
    assert "不认识的项目“口号”" in found["规则包!A5"]
    files = {"规则包.csv": HEAD.encode(), "别的.csv": b"x"}
    findings = pack_of(sheets_of(files).grids).findings
    assert [str(each.cell) for each in findings] == ["别的"]


def test_without_a_head_it_is_said() -> None:
    pack = pack_of(sheets_of({"规则.csv": (COLUMNS + GOOD).encode()}).grids)
    assert "缺少表“规则包”" in {each.problem_zh for each in pack.findings}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('"json:{"', "不是 JSON"),
        ('"json:{""when"":{""colour"":1}}"', "colour"),
        ('"json:{""effective_from"":""x: [""}"', "不是日期"),
        ("=1+1", "应为 json"),
    ],
)
def test_the_rest_is_examined_too(text: str, wanted: str) -> None:
    columns = COLUMNS.replace("说明", "说明,其余")
    found = told(GOOD.rstrip("\n") + f",{text}\n", columns=columns)
    assert wanted in found["规则!K2"]


def test_a_cell_has_the_name_that_spreadsheets_show() -> None:
    names = [Cell("x", 7, column).name for column in (1, 26, 27, 52, 703)]
    assert names == ["A7", "Z7", "AA7", "AZ7", "AAA7"]


# --- files ------------------------------------------------------------------------------------


def test_files_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files_module, "BYTES_MAX", 10)
    assert sheets_of({"规则.csv": b"x" * 11}).findings
    found = Sheets()
    assert files_of_archive(archive_of({"规则.csv": b"x" * 11}), found) == {}
    assert "11 字节" in found.findings[0].problem_zh
    monkeypatch.setattr("gateway.sheets.convert.BYTES_MAX", 10)
    (tmp_path / "a.yaml").write_bytes(b"x" * 11)
    with pytest.raises(FieldInvalid, match="11 bytes"):
        read_pack(tmp_path / "a.yaml")


def test_rows_and_columns_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "ROWS_MAX", 3)
    found = sheets_of({"规则.csv": b"a\nb\nc\nd\n"}).findings
    assert [str(each.cell) for each in found] == ["规则!A4"]
    assert sheets_of({"规则.csv": b"," * 200}).findings


@pytest.mark.parametrize("content", [b"\xff\xff\x80", b'a,"b\n', b'"a"b,c\n'])
def test_what_is_no_csv_is_said(content: bytes) -> None:
    assert sheets_of({"规则.csv": content}).findings


def test_other_forms_are_refused_with_what_to_do(tmp_path: Path) -> None:
    for name in ("a.xls", "a.xlsm", "a.ods", "a.csv", "a.txt"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(FieldInvalid):
            read_pack(tmp_path / name)
    with pytest.raises(ResourceNotFound):
        read_pack(tmp_path / "none.yaml")
    with pytest.raises(ResourceExists):
        write_pack(load_document(PACK.read_bytes()), tmp_path / "a.xls")
    with pytest.raises(FieldInvalid):
        write_pack(load_document(PACK.read_bytes()), tmp_path / "b.xls")


# --- workbooks --------------------------------------------------------------------------------


def test_words_are_offered_and_codes_stay_texts() -> None:
    book = openpyxl.load_workbook(io.BytesIO(a_workbook()))
    sheet = book["规则"]
    offered = {
        str(each.sqref).split(":")[0]: each.formula1
        for each in sheet.data_validations.dataValidation
    }
    header = [cell.value for cell in sheet[1]]
    place = offered[f"{get_column_letter(header.index('处理') + 1)}2"]
    letter = place.split("$")[1]
    words = [cell.value for cell in book["词表"][letter] if cell.value]
    assert "派单" in words
    assert "并单" in words
    assert book["词表"].sheet_state == "hidden"
    matter = sheet.cell(2, header.index("条件·事项") + 1)
    assert (matter.value, matter.number_format) == ("041200", "@")
    assert sheet.freeze_panes == "B2"


def test_what_people_type_into_cells_is_understood() -> None:
    book = openpyxl.load_workbook(io.BytesIO(a_workbook()))
    sheet = book["规则"]
    header = [cell.value for cell in sheet[1]]
    sheet.cell(2, header.index("生效日期") + 1).value = date(2026, 3, 1)
    sheet.cell(2, header.index("条件·交界或权属不清") + 1).value = True
    sheet.cell(2, header.index("条件·区划") + 1).value = 131082
    sheet.cell(2, header.index("处理·协办") + 1).value = "SJ，GA"
    out = io.BytesIO()
    book.save(out)
    pack = pack_of(sheets_of_workbook(out.getvalue()).grids)
    assert pack.findings == ()
    content: Any = load_document(pack.source).content
    rule = content["rules"][0]
    assert rule["effective_from"] == "2026-03-01"
    assert rule["when"]["on_boundary"] is True
    assert rule["when"]["regions"] == ["131082"]
    assert rule["then"]["assign"]["assist"] == ["SJ", "GA"]


def test_a_formula_and_an_error_are_told_by_cell() -> None:
    book = openpyxl.load_workbook(io.BytesIO(a_workbook()))
    book["规则"]["C2"].value = "=1+1"
    book["规则"]["C3"].value = "#REF!"
    out = io.BytesIO()
    book.save(out)
    found = {str(e.cell): e.problem_zh for e in sheets_of_workbook(out.getvalue()).findings}
    assert "公式" in found["规则!C2"]
    assert "错误值" in found["规则!C3"]


@pytest.mark.parametrize(
    ("part", "data", "wanted"),
    [
        ("xl__vbaProject_dot_bin", b"x", "宏"),
        ("xl__externalLinks__externalLink1_dot_xml", b"<x/>", "外部链接"),
        ("xl__embeddings__oleObject1_dot_bin", b"x", "嵌入"),
        ("xl__connections_dot_xml", b"<x/>", "外部链接"),
        ("xl__evil_dot_xml", b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "实体"),
        ("xl__evil_dot_xml", "<!DOCTYPE x>".encode("utf-16"), "实体"),
    ],
)
def test_what_a_workbook_may_not_carry_is_refused(part: str, data: bytes, wanted: str) -> None:
    assert wanted in problems(repacked(a_workbook(), **{part: data}))


def test_a_macro_workbook_under_another_name_is_refused() -> None:
    content = a_workbook()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        types = archive.read("[Content_Types].xml")
    types = types.replace(b"spreadsheetml.sheet.main", b"sheet.macroEnabled.main")
    assert "宏" in problems(repacked(content, **{"[Content_Types]_dot_xml": types}))


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook_module, "UNPACKED_MAX", 1_000_000)
    assert "解压后" in problems(repacked(a_workbook(), xl__bomb_dot_xml=b"0" * 1_000_001))
    monkeypatch.setattr(workbook_module, "BYTES_MAX", 100)
    assert "不超过" in sheets_of_workbook(a_workbook()).findings[0].advice_zh


def test_what_a_sheet_says_of_its_size_is_not_believed() -> None:
    book = openpyxl.load_workbook(io.BytesIO(a_workbook()))
    out = io.BytesIO()
    book.save(out)
    with zipfile.ZipFile(out) as archive:
        names = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        sheets = {name: archive.read(name) for name in names}
    lying = {
        name.replace("/", "__").replace(".", "_dot_"): re.sub(
            rb'<dimension ref="[^"]*"', b'<dimension ref="A1:A1"', content
        )
        for name, content in sheets.items()
    }
    assert lying
    sheets_read = sheets_of_workbook(repacked(out.getvalue(), **lying))
    assert pack_of(sheets_read.grids).source == write_document(load_document(PACK.read_bytes()))


def test_a_far_cell_does_not_make_rows() -> None:
    book = openpyxl.Workbook()
    sheet = book.create_sheet("规则")
    sheet["A900000"] = "x"
    out = io.BytesIO()
    book.save(out)
    assert "过多" in problems(out.getvalue())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xd0\xcf\x11\xe0 old or encrypted"])
def test_what_is_no_workbook_is_said(content: bytes) -> None:
    assert "不是 XLSX" in problems(content)


WORKBOOK = a_workbook()


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(st.integers(0, len(WORKBOOK) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_workbook_never_raises(position: int, data: bytes) -> None:
    damaged = WORKBOOK[:position] + data + WORKBOOK[position + len(data) :]
    sheets = sheets_of_workbook(damaged)
    assert sheets.findings or pack_of(sheets.grids) is not None


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(st.lists(st.text(max_size=8), max_size=4), max_size=4), st.booleans())
def test_no_sheet_whatever_raises(rows: list[list[str]], is_head: bool) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([*([["项目", "内容"]] if is_head else []), *rows])
    files = files_of(grids_of(load_document(PACK.read_bytes())))
    name = "规则包.csv" if is_head else "规则.csv"
    content = text.getvalue().encode("utf-8", "surrogatepass")
    pack = pack_of(sheets_of({**files, name: content}).grids)
    assert isinstance(pack.source, bytes)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    assert read_pack(tmp_path).findings
