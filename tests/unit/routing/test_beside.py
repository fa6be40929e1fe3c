"""What goes with a decision: who is told, who is next, what is split off, who may not know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.kernel.codes import InadmissibleReason
from gateway.kernel.ids import UnitId
from gateway.reference.data import ReferenceData
from gateway.reference.matters import Management
from gateway.reference.units import UnitRef
from gateway.routing.evaluate import decide, find_guard
from gateway.routing.failures import KEPT_MAX, Failures
from gateway.routing.model import (
    Action,
    Assign,
    Decision,
    Fallback,
    FallbackPlan,
    Guard,
    Help,
    Legal,
    Merge,
    Offer,
    RegionFact,
    RoutingFacts,
    Rule,
    RuleFailure,
    Selectors,
    Split,
    Told,
    Unless,
)
from gateway.routing.packs import PackSet
from tests.unit.routing.builders import FROM, NOW, a_condition, a_pack, a_rule, a_ticket

HEBEI = frozenset({"130000", "131000"})
OWNERS = ("131000", "130000", "100000")
NUMBER = "tickets/12000020261120000000001X"


def a_guard(**limits: object) -> Guard:
    plain = Guard(
        id="cn.guard.test",
        owner="测试",
        legal_basis="测试依据",
        effective_from=FROM,
        effective_to=None,
        selectors=Selectors(),
        explanation="测试护栏",
    )
    return replace(plain, **limits)  # type: ignore[arg-type] # the test names real fields


def packed(*rules: Rule, guards: tuple[Guard, ...] = ()) -> PackSet:
    return PackSet([a_pack(*rules), a_pack(owner="100000", guards=guards)])


def decided(
    facts: RoutingFacts, reference: ReferenceData, *rules: Rule, guards: tuple[Guard, ...] = ()
) -> Decision:
    return decide(
        facts,
        authority="131000",
        hosted=HEBEI,
        joined=frozenset({"120000"}),
        packs=packed(*rules, guards=guards),
        reference=reference,
        now=NOW,
    )


def with_more(
    rule: Rule, *, notify: tuple[str, ...] = (), fallback: Fallback | None = None
) -> Rule:
    return replace(rule, notify=tuple(UnitRef(kind=kind) for kind in notify), fallback=fallback)


# --- told ----------------------------------------------------------------------------------------


def test_who_is_told_holds_nothing_and_does_not_act_anyway(reference: ReferenceData) -> None:
    rule = a_rule(action=Assign(UnitRef(kind="JT"), assisting=(UnitRef(kind="SJ"),)))
    decision = decided(
        a_ticket(), reference, with_more(rule, notify=("YJ", "JT", "SJ", "HG", "YJ"))
    )

    assert decision.notify == ("units/131082-YJ-1",)
    assert "无可知会的单位 HG" in [step.reason for step in decision.trace]


def test_only_the_rule_that_decides_tells(reference: ReferenceData) -> None:
    loser = with_more(a_rule("lf.loser"), notify=("YJ",))

    assert decided(a_ticket(), reference, a_rule("lf.winner"), loser).notify == ()


def test_a_reported_unit_is_not_even_told_but_one_that_may_not_act_is(
    reference: ReferenceData,
) -> None:
    guards = (a_guard(forbids_reported=True, forbidden_kinds=frozenset({"GA"})),)
    facts = a_ticket(reported_units=("units/131082-YJ-1",))
    decision = decided(facts, reference, with_more(a_rule(), notify=("YJ", "GA")), guards=guards)

    assert decision.notify == ("units/131082-GA-1",)
    assert decision.objections == ("cn.guard.test",)


# --- next ----------------------------------------------------------------------------------------


def test_the_next_ones_are_those_that_guards_and_data_allow(reference: ReferenceData) -> None:
    targets = (
        Assign(UnitRef(kind="JT")),  # the one that has it
        Assign(UnitRef(kind="GA")),  # guarded
        Assign(UnitRef(kind="GGZY", number=9)),  # nobody
        Assign(UnitRef(unit_id=UnitId("131000-JT-1"))),
        Offer(None),  # here
    )
    rule = with_more(a_rule(), fallback=Fallback(24, is_working=False, targets=targets))
    guards = (a_guard(forbidden_kinds=frozenset({"GA"})),)
    decision = decided(a_ticket(), reference, rule, guards=guards)

    assert decision.fallback == FallbackPlan(24, False, ("units/131000-JT-1",))


def test_an_offer_names_who_is_next_too(reference: ReferenceData) -> None:
    plan = Fallback(8, is_working=True, targets=(Assign(UnitRef(unit_id=UnitId("131000-JT-1"))),))
    rule = with_more(a_rule(action=Offer(None, RegionFact.INSURED)), fallback=plan)
    facts = replace(a_ticket(), insured_region="120101")
    decision = decided(facts, reference, rule)

    assert (decision.action, decision.target) == (Action.OFFER, "authorities/130000")
    assert decision.fallback == FallbackPlan(8, True, ("units/131000-JT-1",))


# --- actions -------------------------------------------------------------------------------------


def test_a_ticket_without_a_duplicate_is_not_merged_and_nothing_is_said(
    reference: ReferenceData,
) -> None:
    rules = (a_rule("cn.merge", action=Merge()), a_rule("lf.rule"))
    plain = decided(a_ticket(), reference, *rules)
    second = decided(replace(a_ticket(), duplicate_of=NUMBER), reference, *rules)
    child = decided(replace(a_ticket(), duplicate_of=NUMBER, parent=True), reference, *rules)

    assert [step.rule for step in plain.trace] == ["lf.rule"]
    assert (second.action, second.target, second.rule) == (Action.MERGE, NUMBER, "cn.merge")
    assert child.rule == "lf.rule"


def test_what_is_not_accepted_says_why(reference: ReferenceData) -> None:
    rule = a_rule(action=Legal(InadmissibleReason.ADMINISTRATIVE_REVIEW))
    decision = decided(a_ticket(region="120101"), reference, rule)

    assert (decision.action, decision.target) == (Action.LEGAL, "ADMINISTRATIVE_REVIEW")
    assert "行政复议" in decision.explanation


@pytest.mark.parametrize(
    ("fact", "parent", "target"),
    [
        ("120101", False, "authorities/130000"),
        ("130102", False, "authorities/130000"),
        ("131003", False, "units/131082-JT-1"),
        ("", False, "units/131082-JT-1"),
        ("999999", False, "units/131082-JT-1"),
        ("120101", True, "units/131082-JT-1"),
    ],
)
def test_an_offer_by_a_fact_goes_to_the_authority_of_its_region(
    fact: str, parent: bool, target: str, reference: ReferenceData
) -> None:
    offer = a_rule("lf.offer", action=Offer(None, RegionFact.REGISTRATION))
    facts = replace(a_ticket(), registration_region=fact, parent=parent)

    assert decided(facts, reference, offer, a_rule("lf.next")).target == target


def test_further_matters_are_split_off_once(reference: ReferenceData) -> None:
    rules = (a_rule(), a_rule("lf.split", action=Split()), a_rule("lf.again", action=Split()))
    facts = replace(a_ticket(), other_matters=("020401", "041200", "020401", "140300"))
    decision = decided(facts, reference, *rules)

    assert decision.split_matters == ("020401", "140300")
    assert decision.split_rules == ("lf.split",)
    assert decided(replace(facts, parent=True), reference, *rules).split_matters == ()
    elsewhere = decided(replace(facts, region="120101"), reference, *rules)
    assert elsewhere.split_matters == ()
    assert decided(a_ticket(), reference, *rules).trace[-1].rule == "test.rule"


# --- guards --------------------------------------------------------------------------------------


def test_a_guard_withholds_who_calls_from_those_it_names(reference: ReferenceData) -> None:
    rule = a_rule(action=Assign(UnitRef(kind="JT"), assisting=(UnitRef(kind="SJ"),)))
    help_ = a_rule("lf.help", action=Help(RegionFact.REGISTRATION))
    rules = (with_more(rule, notify=("YJ",)), help_)
    facts = replace(a_ticket(), registration_region="310000")
    secret = Selectors(secrecy_required=True)
    guard = a_guard(withholds_identity=frozenset(Told), selectors=secret)

    open_case = decided(facts, reference, *rules, guards=(guard,))
    hidden = decided(replace(facts, secrecy_required=True), reference, *rules, guards=(guard,))

    assert open_case.identity_withheld == ()
    assert hidden.identity_withheld == ("units/131082-SJ-1", "regions/310000", "units/131082-YJ-1")
    assert (hidden.target, hidden.assisting) == (open_case.target, open_case.assisting)
    assert "cn.guard.test" in [step.rule for step in hidden.trace]


def test_a_body_that_may_only_be_asked_is_named_to_the_desk(reference: ReferenceData) -> None:
    vertical = a_guard(
        forbidden_managements=frozenset({Management.VERTICAL}),
        unless=frozenset({Unless.REQUEST}),
    )
    rule = a_rule(action=Assign(UnitRef(kind="XF")))
    decision = decided(a_ticket(matter="140300"), reference, rule, guards=(vertical,))

    assert decision.action is Action.TRIAGE
    assert decision.requestable == ("units/131082-XF-1", "units/131000-XF-1")
    assert "可商请 131082-XF-1" in decision.explanation


@pytest.mark.parametrize(("is_request", "is_forbidden"), [(True, False), (False, True)])
def test_only_a_persons_request_lifts_such_a_guard(
    is_request: bool, is_forbidden: bool, reference: ReferenceData
) -> None:
    vertical = a_guard(
        forbidden_managements=frozenset({Management.VERTICAL}),
        unless=frozenset({Unless.REQUEST}),
    )
    found = find_guard(
        a_ticket(),
        reference.units.get("131082-XF-1"),
        owners=OWNERS,
        packs=packed(guards=(vertical,)),
        reference=reference,
        now=NOW,
        is_request=is_request,
    )

    assert (found is not None) is is_forbidden


# --- failures ------------------------------------------------------------------------------------


def test_a_condition_that_fails_lets_the_ticket_go_on_and_is_reported(
    reference: ReferenceData,
) -> None:
    failing = a_rule(
        "lf.failing",
        selectors=Selectors(condition=a_condition("1 / facts.risk_tags.size() == 1")),
    )
    decision = decided(a_ticket(), reference, failing, a_rule("lf.next"))

    assert decision.rule == "lf.next"
    (failure,) = decision.failures
    assert (failure.pack, failure.rule, failure.owner) == (
        "131000.test",
        "lf.failing",
        "测试规则管理",
    )
    assert failure.error == "除数为零"
    assert "除数为零" in decision.trace[0].reason


class Meter:
    def __init__(self) -> None:
        self.count = 0

    def rule_failed(self) -> None:
        self.count += 1


def a_failure(number: int = 1) -> RuleFailure:
    return RuleFailure(
        pack="131000.test", version="0", rule=f"lf.r{number}", owner="测试", error="除数为零"
    )


def test_failures_are_kept_once_with_a_count_until_they_are_taken() -> None:
    meter = Meter()
    failures = Failures(meter)
    failures.report([a_failure(), a_failure(2)])
    failures.report([a_failure()])

    assert failures.take() == ((a_failure(), 2), (a_failure(2), 1))
    assert failures.take() == ()
    assert meter.count == 3


def test_failures_have_a_bound_and_are_counted_beyond_it() -> None:
    meter = Meter()
    failures = Failures(meter)
    failures.report(a_failure(number) for number in range(KEPT_MAX + 5))

    assert len(failures.take()) == KEPT_MAX
    assert meter.count == KEPT_MAX + 5
