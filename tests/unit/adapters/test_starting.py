"""A new adapter folder, and an export file tried against its mapping."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.file_drop.__main__ import main
from adapters.kit.mapping import load_mapping
from tests.unit.adapters.builders import MAPPING, a_row, lines
from tests.unit.adapters.test_process import certificates

PLACE = ("--platform", "131000-p1", "--authority", "131000", "--endpoint", "127.0.0.1:1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    platform, _ = certificates(tmp_path)
    made = tmp_path / "adapter"
    assert main(["init", str(made), *PLACE, "--cert", str(platform)]) == 0
    return made


def an_export(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "export.jsonl"
    path.write_bytes(lines(*rows))
    return path


def test_a_new_folder_is_private_and_complete(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    inner = {"inbox", "answers", "outbox", "rejected", "state", "certificates"}
    assert names == inner | {"adapter.yaml", "mapping.yaml"}
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "certificates" / "key.pem").stat().st_mode & 0o077 == 0
    assert load_mapping(folder / "mapping.yaml") == load_mapping(MAPPING)


def test_a_folder_is_not_made_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cert = ("--cert", str(folder / "certificates"))
    assert main(["init", str(folder), *PLACE, *cert]) == 1
    assert "RESOURCE_EXISTS" in capsys.readouterr().err


def test_a_folder_without_certificates_is_not_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "adapter"
    assert main(["init", str(made), *PLACE, "--cert", str(tmp_path / "none")]) == 1
    assert "cert.pem" in capsys.readouterr().err
    assert not made.exists()


def test_a_wrong_setting_leaves_room_for_the_corrected_command(folder: Path) -> None:
    again = folder.with_name("again")
    cert = ("--cert", str(folder / "certificates"))
    assert main(["init", str(again), *PLACE[:-1], "nowhere", *cert]) == 1
    assert main(["init", str(again), *PLACE, *cert]) == 0


def test_a_file_of_good_rows_is_ready(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = an_export(folder, a_row())
    assert main(["check", str(folder), "--file", str(export)]) == 0
    assert "1 of 1 rows are ready" in capsys.readouterr().out


def test_a_file_without_a_required_column_names_it_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = a_row() | {"标题": "演示标题"}
    del row["诉求标题"]
    export = an_export(folder, row, row)
    assert main(["check", str(folder), "--file", str(export), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found == {"rows": 2, "missing": ["诉求标题"], "unread": ["标题"], "problems": []}


def test_a_row_with_an_unknown_code_is_told_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = an_export(folder, a_row(), a_row(诉求来源="飞鸽"))
    assert main(["check", str(folder), "--file", str(export)]) == 1
    out = capsys.readouterr().out
    assert "第 2 行" in out
    assert "codes.channel.inward" in out
    assert "1 of 2 rows are ready" in out


def test_a_file_of_another_kind_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(folder), "--file", str(folder / "export.xls")]) == 1
    assert ".csv or .jsonl" in capsys.readouterr().err


def test_yaml_that_does_not_parse_is_told_with_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mapping.yaml").write_text("columns:\n  title: [\n", encoding="utf-8")
    assert main(["check", str(folder)]) == 1
    assert "mapping.yaml:3" in capsys.readouterr().err
