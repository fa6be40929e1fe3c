"""`lubiao reference`: problems of the files, and what a region code means."""

import json
import shutil
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.kernel.data import data_path


def test_the_released_reference_data_has_no_problem() -> None:
    assert main(["reference", "check"]) == 0


def test_a_broken_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "reference"
    shutil.copytree(data_path("routing_rules/reference"), folder)
    (folder / "calendar.yaml").write_text("hours: nonsense\n", encoding="utf-8")

    assert main(["reference", "check", str(folder), "--json"]) == 1
    assert any("calendar.yaml" in each["location"] for each in json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("code", "year", "found", "exit_code"),
    [
        ("120107", "2009", ["120116"], 0),
        ("330104", "2020", ["330102", "330114"], 1),
        ("999999", "2020", [], 1),
    ],
)
def test_a_region_code_means_one_several_or_none(
    code: str,
    year: str,
    found: list[str],
    exit_code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["reference", "region", code, "--year", year, "--json"]) == exit_code
    assert [each["code"] for each in json.loads(capsys.readouterr().out)] == found
