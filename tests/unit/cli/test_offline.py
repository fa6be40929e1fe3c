"""`custody verify` and `case verify` alike: what they read, and where their verdict goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.arbitration.dossiers.model import CaseCheck
from gateway.cli.case_verify import STEPS
from gateway.cli.main import main

GOLDEN = Path(__file__).parents[2] / "golden" / "dossiers"
DOSSIER = GOLDEN / "provinces.100000.dossier.binpb"
ROSTER = GOLDEN / "provinces.roster.binpb"
VERIFIERS = pytest.mark.parametrize("group", ["case", "custody"])


def test_a_case_that_holds_is_shown_step_by_step_on_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["case", "verify", str(DOSSIER), "--roster", str(ROSTER)]) == 0
    captured = capsys.readouterr()
    assert all(text.chinese in captured.out for text in STEPS.values())
    assert captured.out.endswith("全部成立。\n")
    assert not captured.err


def test_the_instants_of_a_case_are_in_beijing_time(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["case", "verify", str(DOSSIER), "--roster", str(ROSTER)]
    assert main([*arguments, "--json"]) == 0
    [ruled] = json.loads(capsys.readouterr().out)["rulings"]
    day, clock = ruled["issued"][:10], ruled["issued"][11:13]
    assert main(arguments) == 0
    assert f"{day} {int(clock) + 8:02}:" in capsys.readouterr().out


def test_without_an_anchor_the_verdict_says_on_what_it_rests(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--lang", "en", "case", "verify", str(DOSSIER)]) == 0
    assert "if the rosters in the files are true" in capsys.readouterr().out


def test_a_case_that_does_not_hold_is_a_verdict_and_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(DOSSIER.read_bytes()[:-1])
    assert main(["case", "verify", str(cut), "--roster", str(ROSTER)]) == 1
    captured = capsys.readouterr()
    assert captured.out.endswith("不成立：以上为第一处。\n")
    assert not captured.err
    assert main(["case", "verify", str(cut), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["flaw"]["name"] == CaseCheck.FILE.name


@VERIFIERS
@pytest.mark.parametrize("option", ["FILE", "--roster", "--key"])
def test_a_folder_is_called_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], group: str, option: str
) -> None:
    given = [str(tmp_path)] if option == "FILE" else [str(DOSSIER), option, str(tmp_path)]
    assert main([group, "verify", *given]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err == (
        f"字段 {option} 不合规：收到 {tmp_path} (目录)，应为 文件。请更正后重发。 [FIELD_INVALID]\n"
    )


@VERIFIERS
@pytest.mark.parametrize("option", ["FILE", "--roster", "--key"])
def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], group: str, option: str
) -> None:
    missing = str(tmp_path / "nowhere")
    given = [missing] if option == "FILE" else [str(DOSSIER), option, missing]
    assert main([group, "verify", *given]) == 2
    assert capsys.readouterr().err == f"没有文件 {missing}。 [RESOURCE_NOT_FOUND]\n"
