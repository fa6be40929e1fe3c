"""A pack in Chinese is the pack in English, and templates are rules written out."""

from __future__ import annotations

import time
from textwrap import indent

import pytest

from gateway.reference.data import ReferenceData
from gateway.routing.conditions import cel_conditions
from gateway.routing.document import load_document, write_document
from gateway.routing.model import (
    DestinationCondition,
    Hours,
    Legal,
    Offer,
    Pack,
    RegionFact,
    Rule,
    Stage,
    Template,
)
from gateway.routing.packs import PackSet
from gateway.routing.parse import ParseResult, parse_pack
from gateway.routing.templates import templates_of
from tests.unit.routing.builders import RULE_TEXT, a_ticket, pack_text

CHINESE = """\
规则包: 131000.test
负责单位: "131000"
名称: 测试规则
规则:
  - 编号: test.night
    负责单位: 测试规则管理
    依据: 测试依据
    生效日期: 2026-01-01
    失效日期: 无
    条件:
      区划: ["131082"]
      事项: ["041200"]
      诉求类型: [投诉, 举报]
      风险标签: [涉未成年, 自伤/扬言极端]
      时段: ["22:00-06:00"]
      日期类型: [工作日]
      要求保密: 否
      条件式: facts.at_night
    处理: {派单: {单位类别: JT, 协办: [SJ], 授权依据: 测试授权}}
    知会: [YJ]
    逾期未接: {工作小时: 8, 依次转: [{派单: {单位类别: SJ}}, {移交: {接收机构: 事发地}}]}
    说明: 测试说明
"""
ENGLISH = """\
pack: 131000.test
owner: "131000"
title: 测试规则
rules:
  - id: test.night
    owner: 测试规则管理
    legal_basis: 测试依据
    effective_from: 2026-01-01
    effective_to: null
    when:
      regions: ["131082"]
      matters: ["041200"]
      types: [complaint, report]
      risk_tags: [minor, self_harm]
      hours: ["22:00-06:00"]
      day_kinds: [working]
      secrecy_required: false
      if: facts.at_night
    then: {assign: {kind: JT, assist: [SJ], mandate: 测试授权}}
    notify: [YJ]
    unless_accepted_within: {working_hours: 8, then: [{assign: {kind: SJ}}, {offer: {to: place}}]}
    explanation: 测试说明
"""
TEMPLATE = """\
- id: cn.template.test
  title: 测试模板
  parameters: {matters: 事项, kind: 类别, who: 名称}
  example: {matters: ["041200"], kind: JT, who: 某单位}
  rule:
    legal_basis: 模板依据
    when: {matters: $matters, types: [complaint]}
    then: {assign: {kind: $kind, assist: [SJ, $kind]}}
    explanation: 由$who办理
"""
USE = """\
- id: lf.used
  owner: 测试规则管理
  effective_from: 2026-01-01
  effective_to: null
  template: cn.template.test
  with: {matters: ["041200", "050500"], kind: GA, who: 公安机关}
"""


def parsed(
    source: bytes | str,
    reference: ReferenceData,
    *,
    name: str = "131000.test",
    templates: dict[str, Template] | None = None,
) -> ParseResult:
    text = source.encode() if isinstance(source, str) else source
    return parse_pack(
        text,
        name=name,
        reference=reference,
        conditions=cel_conditions(),
        templates=templates or {},
    )


def only_rule(source: bytes | str, reference: ReferenceData) -> Rule:
    result = parsed(source, reference)
    assert result.findings == ()
    assert result.pack is not None
    (rule,) = result.pack.rules
    return rule


def national(reference: ReferenceData, template: str = TEMPLATE) -> ParseResult:
    text = (
        f'pack: "100000.test"\nowner: "100000"\ntitle: 测试\ntemplates:\n{indent(template, "  ")}'
    )
    return parsed(f"{text}rules: []\n", reference, name="100000.test")


def lower(use: str = USE) -> str:
    head = 'pack: 131000.test\nowner: "131000"\ntitle: 测试规则\n'
    return f"{head}use:\n{indent(use, '  ')}rules: []\n"


def used(reference: ReferenceData, use: str = USE) -> ParseResult:
    nation = national(reference).pack
    assert nation is not None
    return parsed(lower(use), reference, templates=templates_of([nation]))


# --- two languages -------------------------------------------------------------------------------


def test_a_pack_in_chinese_means_what_it_means_in_english(reference: ReferenceData) -> None:
    assert only_rule(CHINESE, reference) == only_rule(ENGLISH, reference)


def test_both_languages_have_one_canonical_text() -> None:
    chinese, english = load_document(CHINESE.encode()), load_document(ENGLISH.encode())

    assert chinese.findings == english.findings == ()
    assert write_document(chinese) == write_document(english)


def test_a_key_is_there_once_in_whatever_language() -> None:
    twice = ENGLISH.replace("title: 测试规则", "title: 测试规则\n名称: 又一个")

    (finding,) = load_document(twice.encode()).findings
    assert (finding.line, finding.problem) == (4, "key title is there twice")
    assert "名称" in finding.problem_zh


def test_every_finding_says_in_chinese_what_to_write_instead(reference: ReferenceData) -> None:
    wrong = (
        CHINESE.replace("131082", "120101")
        .replace("041200", "999999")
        .replace("诉求类型: [投诉, 举报]", "诉求类型: [抱怨]")
        .replace("22:00-06:00", "22:00-22:00")
        .replace("失效日期: 无", "失效日期: 2025-01-01")
        .replace("facts.at_night", "facts.nothing")
    )
    findings = parsed(wrong, reference).findings

    assert [finding.line for finding in findings] == [9, 11, 12, 13, 15, 18]
    assert all(finding.problem_zh and finding.advice_zh for finding in findings)


def test_everything_that_a_rule_can_say_is_read(reference: ReferenceData) -> None:
    rule = only_rule(ENGLISH, reference)

    assert rule.selectors.hours == (Hours(22 * 60, 6 * 60),)
    assert [str(ref) for ref in rule.notify] == ["YJ"]
    assert rule.fallback is not None
    assert (rule.fallback.hours, rule.fallback.is_working) == (8, True)
    assert rule.fallback.targets[1] == Offer(None)
    text = RULE_TEXT.replace('{matters: ["041200"]}', "{destination: [closed]}")
    diverting = only_rule(pack_text(text), reference)
    assert diverting.selectors.destinations == {DestinationCondition.CLOSED}
    assert diverting.stage is Stage.DIVERT
    by_load = only_rule(
        pack_text(RULE_TEXT.replace('matters: ["041200"]', "if: destination.open_load > 9")),
        reference,
    )
    assert by_load.stage is Stage.DIVERT


@pytest.mark.parametrize(
    ("then", "action", "stage"),
    [
        ("{merge: {}}", "Merge()", Stage.ANYWHERE),
        ("{split: {}}", "Split()", Stage.SPLIT),
        ("{refer: {line: fire_119}}", "Refer(line=<EmergencyLine.FIRE_119: 2>)", Stage.AT_ONCE),
        ("{legal: {reason: litigation}}", None, Stage.ANYWHERE),
        ("{offer: {to: registration}}", None, Stage.HERE),
    ],
)
def test_an_action_has_its_stage(
    then: str, action: str | None, stage: Stage, reference: ReferenceData
) -> None:
    rule = only_rule(pack_text(RULE_TEXT.replace("{assign: {kind: JT}}", then)), reference)

    assert rule.stage is stage
    assert action is None or str(rule.action) == action
    assert not isinstance(rule.action, Legal) or rule.action.reason.zh == "诉讼"
    assert not isinstance(rule.action, Offer) or rule.action.fact is RegionFact.REGISTRATION


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("{assign: {kind: JT}}", "{merge: {into: x}}", "key 'into' is not known"),
        ("{assign: {kind: JT}}", "{legal: {reason: boredom}}", "'boredom' is not known"),
        ("{assign: {kind: JT}}", "{offer: {to: nowhere}}", "'nowhere' does not fit"),
        ('["041200"]', '["041200"], destination: [closed]', None),
        ('["041200"]', "[041200]", "'041200' is not a text"),
        ('["041200"]', "[]", "0 values"),
        ('["041200"]', '["041200"], hours: ["7:00-9:00"]', "'7:00-9:00' does not fit"),
        ('["041200"]', '["041200"], day_kinds: [holiday]', "'holiday' is not known"),
        ("  explanation", "  notify: [QQ]\n  explanation", "kind 'QQ' is not known"),
        (
            "  explanation",
            "  unless_accepted_within: {hours: 2}\n  explanation",
            "key then is missing",
        ),
        (
            "  explanation",
            "  unless_accepted_within: {hours: 721, then: [{offer: {to: place}}]}\n  explanation",
            "'721' is no number from 1 to 720",
        ),
        (
            "  explanation",
            "  unless_accepted_within: {hours: 1, then: [{triage: {question: x}}]}\n  explanation",
            "key 'triage' is not known",
        ),
    ],
)
def test_a_wrong_value_of_the_language_is_named(
    before: str, after: str, problem: str | None, reference: ReferenceData
) -> None:
    result = parsed(pack_text(RULE_TEXT.replace(before, after)), reference)

    texts = [finding.problem for finding in result.errors]
    assert texts == [] if problem is None else any(problem in text for text in texts), texts


@pytest.mark.parametrize(
    ("when", "then", "more", "problem"),
    [
        ("{destination: [closed]}", "{refer: {line: fire_119}}", "", "a diversion that sends"),
        ("{destination: [closed]}", "{split: {}}", "", "a diversion that sends nowhere"),
        ("{}", "{split: {}}", "notify: [YJ]", "notify beside an action that does not decide"),
        (
            "{}",
            "{legal: {reason: litigation}}",
            "unless_accepted_within: {hours: 1, then: [{offer: {to: place}}]}",
            "nobody is asked to accept",
        ),
    ],
)
def test_what_does_not_go_together_is_named(
    when: str, then: str, more: str, problem: str, reference: ReferenceData
) -> None:
    text = RULE_TEXT.replace('{matters: ["041200"]}', when).replace("{assign: {kind: JT}}", then)
    result = parsed(pack_text(f"{text}  {more}\n" if more else text), reference)

    assert result.errors[0].problem.startswith(problem)


# --- templates -----------------------------------------------------------------------------------


def test_a_use_is_the_rule_written_out(reference: ReferenceData) -> None:
    pack = used(reference).pack
    assert pack is not None
    (rule,) = pack.rules
    written = RULE_TEXT.replace("test.rule", "lf.used").replace("测试依据", "模板依据")
    written = written.replace(
        '{matters: ["041200"]}', '{matters: ["041200", "050500"], types: [complaint]}'
    )
    written = written.replace("{kind: JT}", "{kind: GA, assist: [SJ, GA]}")
    written = written.replace("测试说明", "由公安机关办理")
    plain = only_rule(pack_text(written), reference)

    assert rule.template == "cn.template.test"
    assert rule.line == 5
    assert (rule.selectors, rule.action, rule.explanation) == (
        plain.selectors,
        plain.action,
        plain.explanation,
    )
    assert (rule.legal_basis, rule.effective_from) == (plain.legal_basis, plain.effective_from)


def test_a_use_may_have_a_basis_and_an_explanation_of_its_own(reference: ReferenceData) -> None:
    pack = used(reference, f"{USE}  legal_basis: 本地依据\n  explanation: 本地说明\n").pack
    assert pack is not None

    assert (pack.rules[0].legal_basis, pack.rules[0].explanation) == ("本地依据", "本地说明")


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("cn.template.test", "cn.template.other", "template cn.template.other is not known"),
        (", who: 公安机关", "", "parameters who are missing or unknown"),
        ("kind: GA", "kind: GA, colour: red", "parameters colour are missing or unknown"),
        ("kind: GA", "kind: QQ", "kind 'QQ' is not known"),
        ("kind: GA", "kind: [GA, JT]", "not a single value"),
        ('"050500"', '"999999"', "matter '999999' is not known"),
        ("  with:", "  when: {}\n  with:", "key 'when' is not known"),
    ],
)
def test_a_wrong_use_is_named_with_its_line(
    before: str, after: str, problem: str, reference: ReferenceData
) -> None:
    errors = used(reference, USE.replace(before, after)).errors

    assert problem in errors[0].problem
    assert all(5 <= finding.line <= 11 for finding in errors)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("由$who办理", "由某单位办理", "parameter who is not used"),
        ("kind: JT, who", "kind: QQ, who", "kind 'QQ' is not known"),
        ("types: [complaint]", "types: [grumble]", "'grumble' is not known"),
        ("$matters", "$nothing", "not a list"),
        ("kind: JT, who: 某单位", "kind: JT", "parameters who are missing"),
    ],
)
def test_a_template_is_checked_by_its_example(
    before: str, after: str, problem: str, reference: ReferenceData
) -> None:
    errors = national(reference, TEMPLATE.replace(before, after)).errors

    assert any(problem in finding.problem for finding in errors), errors


def test_only_the_national_pack_has_templates(reference: ReferenceData) -> None:
    text = f"templates:\n{indent(TEMPLATE, '  ')}rules: []\n"
    result = parsed(f'pack: 131000.test\nowner: "131000"\ntitle: 测试\n{text}', reference)

    assert "a template outside the national pack" in [each.problem for each in result.errors]


def test_the_projects_packs_use_a_template(packs: PackSet) -> None:
    def of(name: str) -> Pack:
        return packs.get(name)

    used_rules = [rule.id for pack in packs.packs for rule in pack.rules if rule.template]
    assert "js.motorway-toll" in used_rules
    assert [each.id for each in of("100000.national").templates] == ["cn.template.kept-by-province"]


# --- bounds --------------------------------------------------------------------------------------

BOMBS = {
    "regular expression": "facts.zone.matches('^(a+)+$')",
    "counted repetitions": "facts.zone.matches('(a{1,64}){1,64}')",
    "nested loops": "facts.passing_regions.all(a, facts.passing_regions.all(b, "
    "facts.passing_regions.all(c, facts.passing_regions.all(d, a + b + c + d != ''))))",
    "a loop over what grows": "(facts.zone + facts.zone).size() > [1].map(x, x)[0]",
    "a loop named destination": "facts.passing_regions.exists(destination, destination != '')",
    "deep parentheses": "(" * 120 + "true" + ")" * 120,
    "many ors": " || ".join(["facts.at_night"] * 30),
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_malicious_condition_costs_little_or_is_refused(
    name: str, reference: ReferenceData
) -> None:
    text = RULE_TEXT.replace('matters: ["041200"]', f'if: "{BOMBS[name]}"')
    began = time.process_time()
    result = parsed(pack_text(text), reference)
    if result.pack is not None:
        condition = result.pack.rules[0].selectors.condition
        assert condition is not None
        for _ in range(100):
            condition.test(a_ticket(zone="a" * 40))

    assert time.process_time() - began < 1.0
