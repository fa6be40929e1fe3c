"""Packs are read strictly, and every problem is named at once with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.kernel.errors import RulePackInvalid
from gateway.reference.data import ReferenceData
from gateway.reference.units import UnitRef
from gateway.routing import nodes
from gateway.routing.conditions import cel_conditions
from gateway.routing.grammar import ACTION
from gateway.routing.model import Assign, Help, Lead, Offer, RegionFact, Stage
from gateway.routing.packs import PackSet
from gateway.routing.parse import ParseResult, parse_pack
from tests.unit.routing.builders import AUTHORITIES, RULE_TEXT, a_condition, pack_text


def parsed(source: bytes, reference: ReferenceData, *, name: str = "131000.test") -> ParseResult:
    return parse_pack(source, name=name, reference=reference, conditions=cel_conditions())


def problems(source: bytes, reference: ReferenceData) -> list[tuple[int, str]]:
    return [(finding.line, finding.problem) for finding in parsed(source, reference).errors]


def test_a_good_pack_is_read_with_its_codes_as_written(reference: ReferenceData) -> None:
    result = parsed(pack_text(), reference)

    assert result.findings == ()
    assert result.pack is not None
    (rule,) = result.pack.rules
    assert rule.selectors.matters == ("041200",)
    assert rule.action == Assign(UnitRef(kind="JT"))
    assert rule.line == 5


def test_every_problem_is_named_at_once_with_its_line(reference: ReferenceData) -> None:
    rules = """\
- id: Bad_Id
  owner: x
  effective_from: yesterday
  effective_to: 2025-01-01
  when: {matters: ["999999"], regions: ["120101", "131099"], types: [grumble], colour: red}
  then: {assign: {kind: QQ}, triage: {question: why}}
  explanation: x
"""
    found = problems(pack_text(rules), reference)

    assert found == [
        (5, "'Bad_Id' does not fit"),
        (5, "key legal_basis is missing"),
        (7, "'yesterday' is not a day"),
        (9, "'grumble' is not known"),
        (9, "key 'colour' is not known"),
        (9, "region 120101 is outside 131000"),
        (9, "region '131099' is not in use"),
        (9, "matter '999999' is not known"),
        (10, f"2 of {', '.join(ACTION.one_of)}"),
    ]


@pytest.mark.parametrize(
    "key", ["id", "owner", "legal_basis", "effective_from", "effective_to", "then", "explanation"]
)
def test_what_is_mandatory_is_missed(key: str, reference: ReferenceData) -> None:
    lines = RULE_TEXT.splitlines(keepends=True)
    rest = [line for line in lines if not line.strip("- ").startswith(f"{key}:")]
    rest[0] = "- " + rest[0].lstrip("- ")

    assert (5, f"key {key} is missing") in problems(pack_text("".join(rest)), reference)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("effective_from: 2026-01-01", "effective_from: null", "'null' is not a day"),
        ("effective_to: null", "effective_to: 2026-01-01", "it ends on 2026-01-01"),
        ("legal_basis: 测试依据", "legal_basis: ''", "not a text"),
        ("legal_basis: 测试依据", f"legal_basis: {'据' * 401}", "401 characters"),
        ('matters: ["041200"]', 'matters: "041200"', "not a list"),
        ('matters: ["041200"]', 'matters: ["041200", "041200"]', "is there twice"),
        ('matters: ["041200"]', "on_boundary: perhaps", "not true or false"),
        ("{kind: JT}", "{kind: jt}", "does not fit"),
        ("{kind: JT}", "{unit: JT}", "does not fit"),
        ("{kind: JT}", "{kind: 131000-JT-1}", "does not fit"),
        ("{kind: JT}", "{unit: 131000-JT-99}", "is not one of '131000'"),
        ("{kind: JT}", "{unit: 120000-JT-1}", "is not one of '131000'"),
        ("{kind: JT}", "{kind: JT, unit: 131000-JT-1}", "2 of unit, kind"),
        ("{kind: JT}", "{kind: JT, level: county}", "'county' is not known"),
        ("{assign: {kind: JT}}", "{refer: {line: 118}}", "'118' is not known"),
        ("{assign: {kind: JT}}", '{offer: {to: "131082"}}', "offer to '131082'"),
        ("{assign: {kind: JT}}", "{triage: {}}", "key question is missing"),
        ("{assign: {kind: JT}}", "{}", "0 of assign"),
        ("  when:", "  id: other.id\n  when:", "key id is there twice"),
        ('matters: ["041200"]', "zones: [unheard-of]", "zone 'unheard-of' is not known"),
        ('matters: ["041200"]', "if: facts.zone", "if, character 1: it gives string"),
        ('matters: ["041200"]', "if: facts.name == ''", "character 6: undefined field 'name'"),
        ('matters: ["041200"]', "if: ''", "not a text"),
        ('matters: ["041200"]', "if: [facts.parent]", "not a single value"),
        ('matters: ["041200"]', f"if: {'x' * 501}", "501 characters"),
        ("{assign: {kind: JT}}", "{lead: {region: place}}", "'place' is not known"),
        ("{assign: {kind: JT}}", "{lead: {region: passing_regions}}", "is not known"),
        ("{assign: {kind: JT}}", '{lead: {region: "131000"}}', "'131000' is not known"),
        ("{assign: {kind: JT}}", "{help: {}}", "key region is missing"),
        ("{assign: {kind: JT}}", "{help: {region: [seller_region]}}", "not a single value"),
        ("{assign: {kind: JT}}", "{help: {region: seller_region}, triage: {}}", "2 of assign"),
    ],
)
def test_a_wrong_value_is_named(
    before: str, after: str, problem: str, reference: ReferenceData
) -> None:
    assert before in RULE_TEXT
    found = problems(pack_text(RULE_TEXT.replace(before, after)), reference)

    assert any(problem in text for _, text in found), found


def test_a_condition_and_what_a_rule_says_about_regions_are_read(
    reference: ReferenceData,
) -> None:
    text = RULE_TEXT.replace(
        '{matters: ["041200"]}', '{matters: ["041200"], if: "facts.zone == \'高新区\'"}'
    )
    lead = text.replace("{assign: {kind: JT}}", "{lead: {region: insured_region}}")
    help_ = RULE_TEXT.replace("test.rule", "test.help").replace(
        "{assign: {kind: JT}}", "{help: {region: passing_regions}}"
    )
    result = parsed(pack_text(lead + help_), reference)

    assert result.findings == ()
    assert result.pack is not None
    first, second = result.pack.rules
    assert first.selectors.condition == a_condition("facts.zone == '高新区'")
    assert (first.action, first.stage) == (Lead(RegionFact.INSURED), Stage.LEAD)
    assert (second.action, second.stage) == (Help(RegionFact.PASSING), Stage.HELP)


def test_a_condition_on_several_lines_is_pointed_at_by_its_line(reference: ReferenceData) -> None:
    block = "\n    matters: ['041200']\n    if: |\n      facts.zone == '' &&\n      facts.name"
    found = problems(pack_text(RULE_TEXT.replace(' {matters: ["041200"]}', block)), reference)

    assert found == [
        (
            14,
            "if, line 2, character 6: undefined field 'name' not found in struct "
            "'hotline.routing.v1.RoutingFacts'",
        )
    ]


def test_a_guard_has_no_condition(reference: ReferenceData) -> None:
    guard = (
        RULE_TEXT.replace("then: {assign: {kind: JT}}", "forbid: {kinds: [JT]}")
        .replace("test.rule", "test.guard")
        .replace('matters: ["041200"]', "if: facts.at_night")
    )
    source = pack_text(RULE_TEXT, owner="130000", guards=guard)
    result = parsed(source, reference, name="130000.test")

    assert [finding.problem for finding in result.errors] == ["key 'if' is not known"]


def test_an_id_is_given_once(reference: ReferenceData) -> None:
    assert problems(pack_text(RULE_TEXT + RULE_TEXT), reference) == [
        (13, "id test.rule is also on line 5")
    ]


def test_a_city_makes_no_guards(reference: ReferenceData) -> None:
    guard = RULE_TEXT.replace("then: {assign: {kind: JT}}", "forbid: {kinds: [JT]}").replace(
        "test.rule", "test.guard"
    )

    assert problems(pack_text(guards=guard), reference) == [(14, "a guard of a city")]


def test_a_guard_forbids_something(reference: ReferenceData) -> None:
    guard = RULE_TEXT.replace("then: {assign: {kind: JT}}", "forbid: {}").replace(
        "test.rule", "test.guard"
    )
    source = pack_text(owner="130000", guards=guard)
    result = parse_pack(
        source, name="130000.test", reference=reference, conditions=cel_conditions()
    )

    assert [finding.problem for finding in result.errors] == ["0 of reported, kinds, managements"]


def test_the_name_fits_file_and_owner(reference: ReferenceData) -> None:
    result = parsed(pack_text(), reference, name="131000.other")

    assert "in file '131000.other'" in result.errors[0].problem


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"pack: &a x\nowner: *a\n", "an alias"),
        (b"a: " + b"[" * 13 + b"]" * 13, "too deep"),
        (b"- a\n", "not a mapping"),
        (b"", "not a mapping"),
        (b"a: [1, 2", "not YAML"),
        (b"a: \x01", "not YAML"),
        ("标题: 国家".encode("gbk"), "not UTF-8"),
        (b"a: " + b"x" * nodes.BYTES_MAX, "bytes"),
        (b"a: [" + b"1,\n" * nodes.NODES_MAX + b"]", "too many"),
        (b"a: " + b"x" * 5000, "a line of 5003 characters"),
    ],
)
def test_hostile_text_is_refused_in_one_finding(
    source: bytes, problem: str, reference: ReferenceData
) -> None:
    result = parsed(source, reference)

    assert result.pack is None
    assert len(result.errors) == 1
    assert problem in result.errors[0].problem


def test_an_offer_goes_to_the_place_or_to_an_authority(reference: ReferenceData) -> None:
    for text, expected in (("place", None), ('"130000"', "130000")):
        source = pack_text(RULE_TEXT.replace("{assign: {kind: JT}}", f"{{offer: {{to: {text}}}}}"))
        pack = parsed(source, reference).pack
        assert pack is not None
        assert pack.rules[0].action == Offer(expected)  # type: ignore[arg-type] # plain text


def test_loading_a_broken_folder_names_all_files(tmp_path: Path, reference: ReferenceData) -> None:
    (tmp_path / "131000.test.yaml").write_bytes(pack_text(RULE_TEXT.replace("JT", "QQ")))
    (tmp_path / "130000.test.yaml").write_bytes(b"- nothing\n")
    (tmp_path / "310000.test.yaml").write_bytes(b"not of this node")

    with pytest.raises(RulePackInvalid) as caught:
        PackSet.load(
            tmp_path,
            authorities=AUTHORITIES,
            reference=reference,
            conditions=cel_conditions(),
        )

    assert caught.value.metadata["count"] == "2"
    assert "130000.test:1" in caught.value.hint
    assert "131000.test:11" in caught.value.hint


def test_an_id_belongs_to_one_pack(tmp_path: Path, reference: ReferenceData) -> None:
    (tmp_path / "131000.test.yaml").write_bytes(pack_text())
    (tmp_path / "130000.test.yaml").write_bytes(pack_text(owner="130000"))

    with pytest.raises(RulePackInvalid, match=r"id test.rule is also in 130000.test"):
        PackSet.load(
            tmp_path,
            authorities=AUTHORITIES,
            reference=reference,
            conditions=cel_conditions(),
        )
