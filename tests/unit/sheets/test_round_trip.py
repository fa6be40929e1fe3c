"""A pack as decision table is the same pack: YAML → CSV or XLSX → YAML, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from gateway.routing.document import Document, load_document, write_document
from gateway.sheets.convert import read_pack, write_pack
from gateway.sheets.files import Sheets, archive_of, files_of, files_of_archive, sheets_of
from gateway.sheets.reading import pack_of
from gateway.sheets.tables import grids_of
from gateway.sheets.workbook import sheets_of_workbook, workbook_of
from tests.fixtures.golden import Golden
from tests.unit.sheets.strategies import CONTENTS

PACKS = sorted((Path(__file__).parents[3] / "routing_rules" / "packs").glob("*.yaml"))
# A pack as a workbook takes a third of a second.
calm = settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=30)


def loaded(content: dict[str, Any]) -> Document:
    document = load_document(write_document(Document(content)))
    assume(not document.findings)
    return document


@calm
@given(CONTENTS)
def test_csv_files_hold_every_pack(content: dict[str, Any]) -> None:
    document = loaded(content)
    sheets = sheets_of(files_of(grids_of(document)))
    pack = pack_of(sheets.grids)
    assert (sheets.findings, pack.findings) == ([], ())
    assert pack.source == write_document(document)


@calm
@given(CONTENTS)
def test_workbooks_hold_every_pack(content: dict[str, Any]) -> None:
    document = loaded(content)
    sheets = sheets_of_workbook(workbook_of(grids_of(document)))
    pack = pack_of(sheets.grids)
    assert (sheets.findings, pack.findings) == ([], ())
    assert pack.source == write_document(document)


@calm
@given(CONTENTS)
def test_every_line_of_a_rule_has_its_cell(content: dict[str, Any]) -> None:
    document = loaded(content)
    pack = pack_of({grid.title: grid for grid in grids_of(document)})
    headers = {"templates:", "guards:", "use:", "rules:", "guards: []", "use: []", "rules: []"}
    lines = pack.source.decode().split("\n")
    without = [
        line
        for number, line in enumerate(lines, 1)
        if line and number not in pack.cells and line not in headers | {"templates: []"}
    ]
    assert without == []


@pytest.mark.parametrize("form", ["pack.xlsx", "pack.zip", "folder", "120000.folder", "copy.yaml"])
@pytest.mark.parametrize("source", PACKS, ids=lambda path: path.stem)
def test_the_projects_packs_survive_every_form(source: Path, form: str, tmp_path: Path) -> None:
    document = load_document(source.read_bytes())
    write_pack(document, tmp_path / form)
    pack = read_pack(tmp_path / form)
    assert pack.findings == ()
    assert pack.source == write_document(document)


@pytest.mark.golden
def test_the_national_pack_looks_like_this(golden: Golden) -> None:
    document = load_document(PACKS[0].read_bytes())
    for name, content in files_of(grids_of(document)).items():
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        golden.check(f"tests/golden/sheets/{PACKS[0].stem}/{name}", text)


def test_what_chinese_windows_saves_is_read() -> None:
    document = load_document(PACKS[0].read_bytes())
    files = {
        name: content.decode("utf-8-sig").encode("gb18030")
        for name, content in files_of(grids_of(document)).items()
    }
    assert pack_of(sheets_of(files).grids).source == write_document(document)
    assert not pack_of(sheets_of(files).grids).findings


def test_an_archive_with_names_of_chinese_windows_is_read() -> None:
    document = load_document(PACKS[0].read_bytes())
    files = files_of(grids_of(document))
    archive = archive_of(files)
    for name in files:  # the mark that names are UTF-8 is what such archives lack
        utf8, gbk = name.encode(), name.encode("gb18030")
        assert utf8 in archive
        assert len(gbk) <= len(utf8)
    found = Sheets()
    assert set(files_of_archive(archive, found)) == set(files)
    assert not found.findings


def test_headers_and_words_may_be_english() -> None:
    files = {
        "pack.csv": "x,y\npack,131000.test\nowner,131000\ntitle,测试\n",
        "rules.csv": (
            "id,owner,legal_basis,effective_from,effective_to,when.types,when.reported_unit,"
            "then,then.kind,explanation\n"
            "a.b,某局,依据,2026/1/5,null,complaint；help,true,assign,JT,说明\n"
        ),
    }
    pack = pack_of(sheets_of({name: text.encode() for name, text in files.items()}).grids)
    assert pack.findings == ()
    content: Any = load_document(pack.source).content
    (rule,) = content["rules"]
    assert rule == {
        "id": "a.b",
        "owner": "某局",
        "legal_basis": "依据",
        "effective_from": "2026-01-05",
        "effective_to": None,
        "when": {"types": ["complaint", "help"], "reported_unit": True},
        "then": {"assign": {"kind": "JT"}},
        "explanation": "说明",
    }
