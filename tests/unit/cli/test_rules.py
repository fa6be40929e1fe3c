"""`lubiao rules`: facts from a file or from options, and packs with conditions."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.rules import app, read_facts
from gateway.kernel.errors import FieldInvalid
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.ticket.v1 import codes_pb2

WANTED = routing_pb.RoutingFacts(
    region="131082",
    matter="041200",
    type=codes_pb2.TICKET_TYPE_COMPLAINT,
    urgency=codes_pb2.URGENCY_NORMAL,
    risk_tags=[codes_pb2.RISK_TAG_MINOR],
    passing_regions=["310000", "320000"],
    noise_source=codes_pb2.NOISE_SOURCE_UNKNOWN,
    at_night=True,
)
OPTIONS = (
    "region=131082",
    "matter=041200",
    "type=complaint",
    "urgency=URGENCY_NORMAL",
    "risk_tags=minor",
    "passing_regions=310000,320000",
    "noise_source=unknown",
    "at_night=true",
)
PACK = """\
pack: 130000.test
owner: "130000"
title: 测试规则
rules:
  - id: test.rule
    owner: 测试规则管理
    legal_basis: 测试依据
    effective_from: 2026-01-01
    effective_to: null
    when: {if: "%s"}
    then: {help: {region: registration_region}}
    explanation: 测试说明
"""


def test_facts_are_given_as_options() -> None:
    assert read_facts(None, OPTIONS) == WANTED


def test_facts_are_given_as_a_file_and_options_come_first(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    file.write_text(
        '{"region": "120101", "matter": "041200", "type": "TICKET_TYPE_COMPLAINT",'
        ' "urgency": "normal", "risk_tags": ["minor"], "passing_regions": ["310000", "320000"],'
        ' "noise_source": "unknown", "at_night": true}',
        encoding="utf-8",
    )

    assert read_facts(file, ["region=131082"]) == WANTED


@pytest.mark.parametrize(
    "option", ["region", "name=x", "=x", "type=grumble", "at_night=perhaps", "risk_tags=x"]
)
def test_a_wrong_fact_is_named(option: str) -> None:
    with pytest.raises(FieldInvalid):
        read_facts(None, [option])


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "", "region: {a: 1}", "colour: red"])
def test_a_wrong_file_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "facts.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(FieldInvalid):
        read_facts(file, [])


@pytest.mark.parametrize(
    ("condition", "code", "told"),
    [
        ("facts.industry == 'e_commerce'", 0, "1 个规则包没有问题"),
        ("facts.name == 'x'", 1, "没有名为 name 的要素。改用有的要素"),
        ("facts.zone.matches('(a{60}){60}')", 1, "模式重复太多"),
    ],
)
def test_check_compiles_conditions(
    condition: str, code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    file = tmp_path / "130000.test.yaml"
    file.write_text(PACK % condition, encoding="utf-8")

    result = CliRunner().invoke(app, ["check", str(file)])

    assert result.exit_code == code
    assert told in result.output
