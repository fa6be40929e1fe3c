"""Rules of one's own: copied from the release, checked as a folder, named in a new node."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.output import Exit
from gateway.config import load_settings
from tests.unit.cli.builders import Command

PACK = """\
pack: 130000.own
owner: "130000"
title: 测试规则
rules:
  - id: own.heating
    owner: 测试机构
    legal_basis: 测试（待核实）
    effective_from: 2026-01-01
    effective_to: null
    when: {matters: ["030400"]}
    then: {assign: {kind: CG}}
    explanation: 测试
"""
NODE = ("--authority", "130000", "--endpoint", "127.0.0.1:17443")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def rules(run: Command, tmp_path: Path) -> Path:
    run.ok("rules", "copy", tmp_path / "rules")
    return tmp_path / "rules"


def test_a_copy_is_a_whole_folder_of_rules(run: Command, rules: Path) -> None:
    run.ok("reference", "check", rules / "reference")
    run.ok("rules", "check", "--rules", rules)
    assert run("rules", "copy", rules).code == Exit.NO


def test_a_rule_of_ones_own_needs_a_case(run: Command, rules: Path) -> None:
    (rules / "packs" / "130000.own.yaml").write_text(PACK, encoding="utf-8")
    answer = run("rules", "test", "--rules", rules)
    assert answer.code == Exit.NO
    assert "own.heating has no passing case" in answer.out


def test_a_folder_that_is_none_is_told(run: Command, tmp_path: Path) -> None:
    assert run("rules", "check", "--rules", tmp_path / "none").code == Exit.USAGE
    assert run("init", tmp_path / "node", *NODE, "--rules", tmp_path).code == Exit.USAGE
    assert not (tmp_path / "node").exists()


def test_a_node_finds_its_rules_from_wherever_it_is_started(
    run: Command, rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run.ok("init", "node", *NODE, "--rules", "rules")
    assert load_settings(tmp_path / "node").rules == rules


def test_the_doctor_says_when_it_waited_in_vain(run: Command, rules: Path, tmp_path: Path) -> None:
    folder = tmp_path / "node"
    run.ok("init", folder, *NODE, "--rules", rules)
    answer = run("--lang", "en", "doctor", folder, "--wait", "0.01")
    assert answer.code == Exit.NO
    assert "it does not serve after 0.01 s" in answer.out
