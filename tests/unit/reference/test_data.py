"""Loading, version and check of the whole directory."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from gateway.kernel.errors import FieldInvalid
from gateway.reference.calendar import PublishedDays
from gateway.reference.data import ReferenceData, check


@pytest.fixture
def copy(directory: Path, tmp_path: Path) -> Path:
    """A copy of the reference files to break."""
    target = tmp_path / "reference"
    shutil.copytree(directory, target)
    return target


def append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8", newline="") as stream:
        stream.write(text)


def test_the_projects_own_files_have_no_finding(directory: Path) -> None:
    assert check(directory) == ()


def test_the_projects_own_files_load_in_half_a_second(directory: Path) -> None:
    ReferenceData.load(directory)  # warms the imports and the file cache
    begun = time.process_time()
    ReferenceData.load(directory)
    assert time.process_time() - begun < 0.5


def test_the_version_is_the_same_for_the_same_files_wherever_they_lie(
    data: ReferenceData, copy: Path
) -> None:
    (copy / "README.md").write_text("not data")
    assert ReferenceData.load(copy).version == data.version
    assert len(data.version) == 64


@pytest.mark.parametrize(
    "change",
    [
        lambda copy: append(copy / "calendar.yaml", "# a comment\n"),
        lambda copy: append(copy / "units" / "130000.csv", "130000-JT-2,二厅,130000,JT,130000,\n"),
        lambda copy: (copy / "units" / "130000.csv").rename(copy / "units" / "13.csv"),
    ],
)
def test_any_change_of_the_files_changes_the_version(
    data: ReferenceData, copy: Path, change: Callable[[Path], object]
) -> None:
    change(copy)
    assert ReferenceData.load(copy).version != data.version


def test_published_days_are_part_of_the_version(
    data: ReferenceData, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.reference.data.published_days", PublishedDays)
    assert ReferenceData.load(directory).version != data.version


def test_different_published_days_have_different_canonical_texts() -> None:
    one = PublishedDays(years=frozenset({2026}), days_off=frozenset({date(2026, 1, 1)}))
    two = PublishedDays(years=frozenset({2026}), make_up_days=frozenset({date(2026, 1, 1)}))
    assert len({one.canonical(), two.canonical(), PublishedDays().canonical()}) == 3


def test_every_problem_is_named_at_once(copy: Path) -> None:
    append(copy / "areacodes.csv", "13010,河北省,,短码,地级,在用,1981,,\n")
    append(copy / "matters.csv", "010199,无此主办,010100,,3,,,QQ\n")
    append(copy / "responsibility.csv", "x,041200,131000,,soon,,JT,,x\n")
    (copy / "org_kinds.csv").write_bytes("kind,name,management\nZJ,住建,x\n".encode("gbk"))
    (copy / "calendar.yaml").write_text("hours: [")
    (copy / "service_levels.yaml").unlink()
    with pytest.raises(FieldInvalid) as caught:
        ReferenceData.load(copy)
    hint = caught.value.hint
    assert all(
        part in hint
        for part in (
            "areacodes.csv:",
            "org_kinds.csv: byte",
            "calendar.yaml:",
            "service_levels.yaml: the",
        )
    )
    assert "matters.csv: and 3" in hint  # what only follows from the missing kinds is counted
    findings = check(copy)
    assert {finding.location.split(":")[0] for finding in findings} >= {
        "areacodes.csv",
        "matters.csv",
        "responsibility.csv",
        "org_kinds.csv",
        "calendar.yaml",
        "service_levels.yaml",
    }


def test_an_empty_directory_is_one_problem(tmp_path: Path) -> None:
    assert len(check(tmp_path)) == 1
    with pytest.raises(FieldInvalid, match="no reference file"):
        ReferenceData.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("code,name\n1,2\n", "org_kinds.csv:1"),
        ("", "matters.csv:2"),
        ("kind,name,management\nZJ,住建\n", "org_kinds.csv:2"),
    ],
)
def test_a_table_without_its_columns_is_named(copy: Path, text: str, location: str) -> None:
    (copy / "org_kinds.csv").write_text(text, encoding="utf-8")
    assert location in [finding.location for finding in check(copy)]


def test_what_parses_but_does_not_fit_loads_and_is_found_by_check(copy: Path) -> None:
    append(copy / "units" / "120000.csv", "120107-JT-1,塘沽区交通运输局,120107,JT,120000,\n")
    ReferenceData.load(copy)
    problems = [str(finding) for finding in check(copy)]
    assert problems == [
        "unit 120107-JT-1: region 120107 is retired. "
        "Give the unit an id in the region that took over.",
        "unit 120107-JT-1: no platform fetches its work. "
        "Name the platform, or the unit's tickets wait for a person.",
    ]
