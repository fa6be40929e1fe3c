"""Whose place leads, and who is asked for help."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.kernel.codes import EmergencyLine, OfferReason
from gateway.reference.data import ReferenceData
from gateway.reference.units import UnitRef
from gateway.reference.zones import Zone, Zones
from gateway.routing.evaluate import decide
from gateway.routing.model import (
    Action,
    Assign,
    Decision,
    Guard,
    Help,
    Lead,
    Offer,
    Outcome,
    Refer,
    RegionFact,
    RoutingFacts,
    Rule,
    Selectors,
    Triage,
)
from gateway.routing.packs import PackSet
from gateway.routing.regions_named import HELP_REGIONS_MAX
from tests.unit.routing.builders import FROM, NOW, a_condition, a_pack, a_rule, a_ticket

PROVINCES = frozenset({"120000", "130000", "310000", "320000"})
INSURED = a_rule("cn.insured", action=Lead(RegionFact.INSURED))
SELLER = a_rule("cn.seller", action=Lead(RegionFact.SELLER))
REGISTERED = a_rule("cn.registered", action=Help(RegionFact.REGISTRATION))
PASSING = a_rule("cn.passing", action=Help(RegionFact.PASSING))
PARK = Zone("test-park", "测试园区", "131003")


def decided(
    facts: RoutingFacts,
    reference: ReferenceData,
    *rules: Rule,
    authority: str = "131000",
    hosted: frozenset[str] = frozenset({"130000", "131000"}),
) -> Decision:
    return decide(
        facts,
        authority=authority,
        hosted=hosted,
        joined=PROVINCES,
        packs=PackSet([a_pack(*rules, owner="100000")]),
        reference=reference,
        now=NOW,
    )


def reasons(decision: Decision) -> dict[str, tuple[Outcome, str]]:
    return {step.rule: (step.outcome, step.reason) for step in decision.trace}


# --- whose place leads ---------------------------------------------------------------------------


def test_without_a_rule_the_place_leads(reference: ReferenceData) -> None:
    decision = decided(a_ticket(region="131082"), reference)

    assert (decision.leading_region, decision.lead_rule) == ("131082", "")
    assert decision.help_regions == ()


def test_the_leading_region_decides_whose_place_it_is(reference: ReferenceData) -> None:
    facts = replace(a_ticket(region="310101"), insured_region="131000")
    at_shanghai = decided(
        facts, reference, INSURED, authority="310000", hosted=frozenset({"310000"})
    )
    at_hebei = decided(facts, reference, INSURED, authority="130000")

    assert (at_shanghai.action, at_shanghai.target) == (Action.OFFER, "authorities/130000")
    assert at_shanghai.offer_reason is OfferReason.PLACE
    assert (at_shanghai.rule, at_shanghai.lead_rule) == ("cn.insured", "cn.insured")
    assert at_shanghai.leading_region == "131000"
    assert at_shanghai.legal_basis == INSURED.legal_basis
    assert (at_hebei.action, at_hebei.target) == (Action.OFFER, "authorities/131000")


def test_units_are_found_in_the_leading_region(reference: ReferenceData) -> None:
    facts = replace(a_ticket(region="310101"), insured_region="131082")

    by_rule = decided(facts, reference, INSURED, a_rule("cn.unit"))
    by_list = decided(facts, reference, INSURED)

    assert by_rule.target == "units/131082-JT-1"
    assert (by_list.action, by_list.rule) == (Action.ASSIGN, "responsibility-list")
    assert by_list.target.startswith("units/131")


def test_other_rules_select_by_the_leading_region(reference: ReferenceData) -> None:
    here = a_rule("cn.here", selectors=Selectors(regions=("131082",)))
    there = a_rule("cn.there", selectors=Selectors(regions=("310000",)))
    facts = replace(a_ticket(region="310101"), insured_region="131082")

    decision = decided(facts, reference, there, here, INSURED)

    assert decision.rule == "cn.here"
    assert set(reasons(decision)) == {"cn.insured", "cn.here"}


def test_guards_watch_over_the_leading_region(reference: ReferenceData) -> None:
    guard = Guard(
        id="hb.guard",
        owner="测试",
        legal_basis="测试依据",
        effective_from=FROM,
        effective_to=None,
        selectors=Selectors(regions=("131000",)),
        explanation="测试护栏",
        forbidden_kinds=frozenset({"JT"}),
    )
    packs = PackSet([a_pack(INSURED, a_rule("cn.unit"), owner="100000", guards=(guard,))])
    decision = decide(
        replace(a_ticket(region="310101"), insured_region="131082"),
        authority="131000",
        hosted=frozenset({"130000", "131000"}),
        joined=PROVINCES,
        packs=packs,
        reference=reference,
        now=NOW,
    )

    assert decision.objections == ("hb.guard",)


def test_a_condition_still_sees_the_place(reference: ReferenceData) -> None:
    stated = Selectors(condition=a_condition("facts.region == '310101'"))
    facts = replace(a_ticket(region="310101"), insured_region="131082")

    assert decided(facts, reference, INSURED, a_rule("cn.x", selectors=stated)).rule == "cn.x"


def test_without_the_fact_the_rule_says_nothing(reference: ReferenceData) -> None:
    decision = decided(a_ticket(), reference, INSURED)

    assert decision.leading_region == "131082"
    assert reasons(decision)["cn.insured"] == (Outcome.FAILED, "参保地未填写")


def test_the_first_that_can_be_carried_out_wins(reference: ReferenceData) -> None:
    facts = replace(a_ticket(), seller_region="131003", receiving_region="310000")
    receiving = a_rule("cn.receiving", action=Lead(RegionFact.RECEIVING))

    decision = decided(facts, reference, INSURED, SELLER, receiving)

    assert (decision.leading_region, decision.lead_rule) == ("131003", "cn.seller")
    assert reasons(decision)["cn.seller"] == (Outcome.WON, "主办属地为商家所在地 131003")
    assert reasons(decision)["cn.receiving"] == (Outcome.LOST, "在规则 cn.seller 之后")


def test_an_uncertain_place_does_not_matter_when_another_region_leads(
    reference: ReferenceData,
) -> None:
    facts = replace(a_ticket(region=""), insured_region="131082")

    assert decided(facts, reference).action is Action.TRIAGE
    assert decided(facts, reference, INSURED).action is Action.ASSIGN


@pytest.mark.parametrize(
    ("code", "leading"),
    [
        ("120107", "120116"),  # retired, one successor
        ("330104", "131082"),  # several successors: nothing certain
        ("999999", "131082"),
        ("100000", "131082"),  # the nation is no place
        ("nonsense", "131082"),
    ],
)
def test_an_old_code_is_resolved_and_an_uncertain_one_ignored(
    code: str, leading: str, reference: ReferenceData
) -> None:
    decision = decided(replace(a_ticket(), insured_region=code), reference, INSURED)

    assert decision.leading_region == leading
    if leading == "131082":
        reason = (Outcome.FAILED, "参保地不是现行区划或不能确定")
        assert reasons(decision)["cn.insured"] == reason


def test_a_condition_of_a_lead_counts(reference: ReferenceData) -> None:
    selectors = Selectors(condition=a_condition("facts.industry == 'e_commerce'"))
    rule = a_rule("cn.shop", action=Lead(RegionFact.SELLER), selectors=selectors)
    facts = replace(a_ticket(), seller_region="131003")

    other = decided(facts, reference, rule)
    shop = decided(replace(facts, industry="e_commerce"), reference, rule)

    assert (other.lead_rule, shop.lead_rule) == ("", "cn.shop")
    assert reasons(other)["cn.shop"] == (Outcome.FAILED, "条件不符：条件式")
    assert reasons(shop)["cn.shop"][1] == "主办属地为商家所在地 131003（条件式成立）"


def test_an_emergency_is_an_emergency_wherever_somebody_is_insured(
    reference: ReferenceData,
) -> None:
    refer = a_rule("cn.fire", action=Refer(EmergencyLine.FIRE_119))
    facts = replace(a_ticket(), insured_region="310000")

    assert decided(facts, reference, INSURED, refer).action is Action.REFER


def test_sending_to_the_place_means_the_leading_region(reference: ReferenceData) -> None:
    facts = replace(a_ticket(), insured_region="310000")
    sent = decided(facts, reference, INSURED, a_rule("cn.place", action=Offer(None)))

    assert (sent.rule, sent.target) == (
        "cn.place",
        "authorities/130000",
    )  # out through the province


def test_a_child_ticket_stays_where_help_was_asked(reference: ReferenceData) -> None:
    facts = replace(a_ticket(), insured_region="310000", parent=True)
    decision = decided(facts, reference, INSURED)

    assert (decision.leading_region, decision.lead_rule) == ("131082", "")


# --- zones ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "leading"), [("131000", "131003"), ("", "131003"), ("131082", "131082")]
)
def test_a_zone_leads_to_its_host(region: str, leading: str, reference: ReferenceData) -> None:
    with_zone = replace(reference, zones=Zones([PARK]))
    facts = replace(a_ticket(region=region), zone="test-park")

    decision = decided(facts, with_zone, a_rule("cn.unit"))

    assert decision.leading_region == leading
    assert decision.target == f"units/{leading}-JT-1"
    told = reasons(decision).get("zone")
    assert told == (None if leading == region else (Outcome.WON, "功能区 test-park 由 131003 管辖"))


# --- help ----------------------------------------------------------------------------------------


def test_whoever_assigns_asks_for_help(reference: ReferenceData) -> None:
    facts = replace(a_ticket(), registration_region="310000")
    assigned = decided(facts, reference, REGISTERED)
    offered = decided(facts, reference, REGISTERED, authority="130000")

    assert assigned.action is Action.ASSIGN
    assert assigned.help_regions == ("310000",)
    assert assigned.help_rules == ("cn.registered",)
    assert reasons(assigned)["cn.registered"] == (Outcome.WON, "请求登记注册地 310000 协助")
    assert (offered.action, offered.help_regions) == (Action.OFFER, ())
    assert reasons(offered)["cn.registered"][0] is Outcome.LOST


def test_all_rules_of_help_count_and_each_region_once(reference: ReferenceData) -> None:
    facts = replace(
        a_ticket(), registration_region="310000", passing_regions=("320000", "310000", "120101")
    )
    decision = decided(facts, reference, PASSING, REGISTERED)

    assert decision.help_regions == ("320000", "310000", "120101")
    assert decision.help_rules == ("cn.passing", "cn.registered")


def test_no_help_is_asked_inside_the_own_province(reference: ReferenceData) -> None:
    facts = replace(a_ticket(), passing_regions=("130100", "131003", "310000"))
    inside = replace(a_ticket(), registration_region="130100")

    assert decided(facts, reference, PASSING).help_regions == ("310000",)
    decision = decided(inside, reference, REGISTERED)
    assert decision.help_regions == decision.help_rules == ()
    assert reasons(decision)["cn.registered"] == (
        Outcome.FAILED,
        "登记注册地在本省，由本省办理",
    )


def test_help_is_bounded(reference: ReferenceData) -> None:
    codes = ("310000", "320000", "110000", "140000", "150000", "210000", "220000", "230000")
    facts = replace(a_ticket(), passing_regions=codes, registration_region="330000")
    decision = decided(facts, reference, PASSING, REGISTERED)

    assert decision.help_regions == codes
    assert len(codes) == HELP_REGIONS_MAX


def test_a_child_ticket_asks_for_no_help(reference: ReferenceData) -> None:
    facts = replace(a_ticket(), registration_region="310000", parent=True)
    decision = decided(facts, reference, REGISTERED)

    assert decision.action is Action.ASSIGN
    assert decision.help_regions == ()
    assert reasons(decision)["cn.registered"][0] is Outcome.FAILED


def test_the_desk_asks_for_no_help(reference: ReferenceData) -> None:
    facts = replace(a_ticket(), registration_region="310000")
    decision = decided(facts, reference, REGISTERED, a_rule("cn.ask", action=Triage("谁的")))

    assert (decision.action, decision.help_regions) == (Action.TRIAGE, ())


def test_an_old_code_is_resolved_before_help_is_asked(reference: ReferenceData) -> None:
    facts = replace(a_ticket(), registration_region="310108")  # 闸北, today 静安

    assert decided(facts, reference, REGISTERED).help_regions == ("310106",)


@pytest.mark.parametrize(
    "changed",
    [{"registration_region": "320000"}, {"insured_region": "131003"}, {"at_night": True}],
)
def test_another_fact_is_another_digest(
    changed: dict[str, object], reference: ReferenceData
) -> None:
    facts = replace(a_ticket(), registration_region="310000", insured_region="131082")
    rules = (INSURED, REGISTERED, a_rule("cn.unit", action=Assign(UnitRef(kind="GA"))))

    one = decided(facts, reference, *rules)
    other = decided(replace(facts, **changed), reference, *rules)  # type: ignore[arg-type] # real fields

    assert one.trace_digest != other.trace_digest
    assert one == decided(facts, reference, *rules)
