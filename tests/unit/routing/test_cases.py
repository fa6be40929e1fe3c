"""The project's packs pass their golden cases, every rule has one, and traces are pinned."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.checking.check import check_cases, check_pack
from gateway.reference.data import ReferenceData
from gateway.routing.cases import CaseResult, parse_cases, run_cases
from gateway.routing.conditions import cel_conditions
from gateway.routing.model import Finding, Help, Lead, RegionFact, Selectors
from gateway.routing.packs import PackSet
from tests.fixtures.golden import Golden
from tests.unit.routing.builders import NOW, RULES, a_condition, a_pack, a_rule

CASES = {path.stem: path.read_bytes() for path in sorted((RULES / "cases").glob("*.yaml"))}
SCENARIOS = tuple(f"case {number}," for number in range(1, 26))


@pytest.fixture(scope="module")
def checked(
    packs: PackSet, reference: ReferenceData
) -> tuple[tuple[CaseResult, ...], tuple[Finding, ...]]:
    return check_cases(CASES, packs=packs, reference=reference)


Checked = tuple[tuple[CaseResult, ...], tuple[Finding, ...]]


def test_every_case_ends_as_it_says(checked: Checked) -> None:
    results, _ = checked
    failing = {
        f"{result.case.file}:{result.case.line} {result.case.name}": result.differences()
        for result in results
        if not result.ok
    }

    assert failing == {}


def test_every_rule_and_guard_has_a_case(checked: Checked) -> None:
    _, findings = checked

    assert [str(finding) for finding in findings] == []


def test_every_story_is_among_the_cases(checked: Checked) -> None:
    results, _ = checked
    names = [result.case.name for result in results if result.case.file == "scenarios"]

    assert all(any(name.startswith(scenario) for name in names) for scenario in SCENARIOS)


@pytest.mark.parametrize("name", [path.stem for path in sorted((RULES / "packs").glob("*.yaml"))])
def test_the_projects_packs_have_no_error(
    name: str, packs: PackSet, reference: ReferenceData
) -> None:
    source = (RULES / "packs" / f"{name}.yaml").read_bytes()
    findings = check_pack(
        source,
        name=name,
        reference=reference,
        conditions=cel_conditions(),
        now=NOW,
        packs=packs.packs,
    )

    assert [str(finding) for finding in findings if finding.is_error] == []


@pytest.mark.parametrize("file", sorted(CASES))
def test_the_traces_are_the_pinned_ones(file: str, checked: Checked, golden: Golden) -> None:
    results, _ = checked
    traces = {
        result.case.name: {
            "action": result.decision.action.name,
            "target": result.decision.target,
            "rule": result.decision.rule,
            "trace": [
                f"{s.outcome.value} {s.pack} {s.rule}: {s.reason}" for s in result.decision.trace
            ],
            "digest": result.decision.trace_digest.hex(),
        }
        for result in results
        if result.case.file == file and result.decision is not None
    }

    text = json.dumps(traces, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    golden.check(f"tests/golden/routing/{file}.json", text)


EVERY_FACT = (
    "facts.noise_source == NoiseSource.NOISE_SOURCE_TRAFFIC && facts.industry == 'fitness'"
    " && facts.at_night && facts.owner_unknown && !facts.parent"
    " && facts.passing_regions == ['320000']"
)


def test_a_rule_without_a_case_is_found(packs: PackSet, reference: ReferenceData) -> None:
    fewer = {name: source for name, source in CASES.items() if name != "130600.baoding"}
    _, findings = check_cases(fewer, packs=packs, reference=reference)

    rules = packs.get("130600.baoding").rules
    assert sorted(finding.problem for finding in findings) == sorted(
        f"{rule.id} has no passing case" for rule in rules
    )


def test_a_case_that_ends_otherwise_says_how(packs: PackSet, reference: ReferenceData) -> None:
    wrong = CASES["130600.baoding"].replace(b"130606-RS-1", b"130606-RS-2")
    results, findings = check_cases({"wrong": wrong}, packs=packs, reference=reference)

    assert results[0].differences() == (
        "target: expected 'units/130606-RS-2', got 'units/130606-RS-1'",
    )
    assert any("bd.wages.construction" in finding.problem for finding in findings)


def test_a_case_cannot_cover_a_rule_that_does_not_decide_it(
    packs: PackSet, reference: ReferenceData
) -> None:
    lazy = CASES["130600.baoding"].replace(b"covers: bd.", b"covers: not.bd.")
    results, _ = check_cases({"lazy": lazy}, packs=packs, reference=reference)

    assert "neither won nor forbade" in results[0].differences()[0]


def test_a_case_states_every_fact_and_expects_regions(reference: ReferenceData) -> None:
    source = b"""\
cases:
  - name: x
    covers: cn.help
    authority: "131000"
    hosted: ["131000"]
    joined: ["310000"]
    now: "2026-11-20T09:30:00+08:00"
    facts:
      region: "310101"
      matter: "041200"
      type: complaint
      urgency: normal
      insured_region: "131082"
      registration_region: "310000"
      passing_regions: ["320000"]
      noise_source: traffic
      industry: fitness
      at_night: true
      owner_unknown: true
      parent: false
    expect:
      action: assign
      target: units/131082-JT-1
      leading_region: "131082"
      lead_rule: cn.lead
      help_regions: ["310000"]
"""
    cases, findings = parse_cases(source, name="good")
    rules = (
        a_rule("cn.lead", action=Lead(RegionFact.INSURED)),
        a_rule("cn.help", action=Help(RegionFact.REGISTRATION)),
        a_rule("cn.unit", selectors=Selectors(condition=a_condition(EVERY_FACT))),
    )
    packs = PackSet([a_pack(*rules, owner="100000")])
    (right,) = run_cases(cases, packs=packs, reference=reference)
    wrong = replace(cases[0], expected={"help_regions": "", "lead_rule": "x"})
    (other,) = run_cases([wrong], packs=packs, reference=reference)

    assert findings == ()
    assert right.differences() == ()
    assert right.covered == {"cn.lead", "cn.help", "cn.unit"}
    assert other.differences() == (
        "help_regions: expected '', got '310000'",
        "lead_rule: expected 'x', got 'cn.lead'",
    )


def test_a_malformed_case_file_names_every_problem() -> None:
    source = b"""\
cases:
  - name: x
    authority: "120000"
    now: yesterday
    facts: {region: "", matter: "041200", type: grumble, urgency: normal, caller: someone}
    asks: {unit: desk}
    expect: {action: vanish}
"""
    cases, findings = parse_cases(source, name="bad")

    assert cases == ()
    assert [(finding.line, finding.problem) for finding in findings] == [
        (6, "'desk'"),
        (4, "now 'yesterday' is no instant"),
        (5, "key 'caller' is not known"),
        (5, "'grumble' is not known"),
        (7, "'vanish' is not known"),
    ]
