"""A decision is always made, in the order of the questions, and guards are never overridden."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.codes import EmergencyLine, OfferReason, TicketType, Urgency
from gateway.kernel.ids import AuthorityCode
from gateway.reference.data import ReferenceData
from gateway.reference.matters import Management
from gateway.reference.regions import Level
from gateway.reference.units import UnitRef
from gateway.routing.evaluate import decide
from gateway.routing.model import (
    Action,
    Assign,
    Decision,
    External,
    Guard,
    Offer,
    Outcome,
    Refer,
    RoutingFacts,
    Selectors,
    Triage,
    Unless,
)
from gateway.routing.packs import PackSet
from gateway.routing.regions_named import HELP_REGIONS_MAX, ZONE
from gateway.routing.trace import TRACE_STEPS_MAX
from tests.unit.routing.builders import AUTHORITIES, FROM, NOW, a_pack, a_rule, a_ticket

HEBEI = frozenset({"130000", "130100", "130600", "131000"})
JOINED = frozenset(AUTHORITIES)


def decided(
    facts: RoutingFacts,
    packs: PackSet,
    reference: ReferenceData,
    *,
    authority: str = "131000",
    hosted: frozenset[str] = HEBEI,
    joined: frozenset[str] = JOINED,
) -> Decision:
    return decide(
        facts,
        authority=authority,
        hosted=hosted,
        joined=joined,
        packs=packs,
        reference=reference,
        now=NOW,
    )


def a_guard(guard_id: str = "test.guard", **forbids: object) -> Guard:
    plain = Guard(
        id=guard_id,
        owner="测试",
        legal_basis="测试依据",
        effective_from=FROM,
        effective_to=None,
        selectors=Selectors(),
        explanation="测试护栏",
    )
    return replace(plain, **forbids)  # type: ignore[arg-type] # the test names real fields


def outcomes(decision: Decision) -> dict[str, str]:
    return {step.rule: step.outcome.value for step in decision.trace}


# --- order ---------------------------------------------------------------------------------------


def test_first_match_wins_inside_a_pack_and_the_rest_lose(reference: ReferenceData) -> None:
    packs = PackSet([a_pack(a_rule("a.first"), a_rule("a.second"))])

    decision = decided(a_ticket(), packs, reference)

    assert decision.rule == "a.first"
    assert outcomes(decision) == {"a.first": "won", "a.second": "lost"}


def test_the_city_is_asked_before_the_province_and_the_nation(reference: ReferenceData) -> None:
    packs = PackSet(
        [
            a_pack(a_rule("cn.rule"), owner="100000"),
            a_pack(a_rule("hb.rule"), owner="130000"),
            a_pack(a_rule("lf.rule"), owner="131000"),
        ]
    )

    assert [step.rule for step in decided(a_ticket(), packs, reference).trace] == [
        "lf.rule",
        "hb.rule",
        "cn.rule",
    ]


def test_packs_of_one_owner_are_asked_in_the_order_of_their_names(
    reference: ReferenceData,
) -> None:
    second = replace(a_pack(a_rule("b.rule")), pack="131000.b")
    first = replace(a_pack(a_rule("a.rule")), pack="131000.a")

    assert decided(a_ticket(), PackSet([second, first]), reference).rule == "a.rule"


def test_packs_of_authorities_that_live_elsewhere_are_not_asked(reference: ReferenceData) -> None:
    packs = PackSet([a_pack(a_rule("hb.rule"), owner="130000")])

    decision = decided(a_ticket(), packs, reference, hosted=frozenset({"131000"}))

    assert decision.rule == "responsibility-list"


def test_an_emergency_goes_before_a_citys_own_rule(reference: ReferenceData) -> None:
    refer = a_rule(
        "cn.emergency",
        action=Refer(EmergencyLine.FIRE_119),
        selectors=Selectors(urgencies=frozenset({Urgency.EMERGENCY})),
    )
    packs = PackSet([a_pack(refer, owner="100000"), a_pack(a_rule("lf.rule"))])

    decision = decided(a_ticket(urgency=Urgency.EMERGENCY), packs, reference)

    assert (decision.action, decision.target) == (Action.REFER, "FIRE_119")
    assert outcomes(decision)["lf.rule"] == "lost"


def test_a_rule_that_finds_no_unit_leaves_the_question_open(reference: ReferenceData) -> None:
    nobody = a_rule("lf.nobody", action=Assign(UnitRef(kind="GGZY", number=9)))
    packs = PackSet([a_pack(nobody, a_rule("lf.next"))])

    decision = decided(a_ticket(), packs, reference)

    assert decision.rule == "lf.next"
    assert outcomes(decision) == {"lf.nobody": "failed", "lf.next": "won"}


def test_without_rules_the_list_decides_and_without_it_the_desk(reference: ReferenceData) -> None:
    by_list = decided(a_ticket(), PackSet([]), reference)
    by_desk = decided(a_ticket(matter="140300"), PackSet([]), reference)

    assert (by_list.rule, by_list.target) == ("responsibility-list", "units/131082-JT-1")
    assert (by_desk.action, by_desk.rule, by_desk.target) == (
        Action.TRIAGE,
        "desk",
        "units/131000-desk",
    )


def test_a_city_never_assigns_to_units_of_its_province(reference: ReferenceData) -> None:
    upward = a_rule(
        "lf.up", action=Assign(UnitRef(unit_id=reference.units.get("130000-JT-1").unit_id))
    )
    decision = decided(a_ticket(), PackSet([a_pack(upward)]), reference)

    assert outcomes(decision)["lf.up"] == "failed"
    assert decision.target == "units/131082-JT-1"


# --- the place -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "region", "action", "target", "reason"),
    [
        ("120000", "131082", Action.OFFER, "authorities/130000", OfferReason.PLACE),
        ("120000", "130000", Action.OFFER, "authorities/130000", OfferReason.PLACE),
        ("120000", "330106", Action.EXTERNAL, "authorities/330000", OfferReason.UNSPECIFIED),
        ("130000", "131082", Action.OFFER, "authorities/131000", OfferReason.PLACE),
        ("130000", "120101", Action.OFFER, "authorities/120000", OfferReason.PLACE),
        ("131000", "130102", Action.OFFER, "authorities/130100", OfferReason.PLACE),
        ("131000", "130281", Action.OFFER, "authorities/130000", OfferReason.ESCALATE),
        ("131000", "130000", Action.OFFER, "authorities/130000", OfferReason.ESCALATE),
        ("131000", "120101", Action.OFFER, "authorities/130000", OfferReason.OUTBOUND),
        ("131000", "330106", Action.OFFER, "authorities/130000", OfferReason.OUTBOUND),
        ("131000", "131082", Action.ASSIGN, "units/131082-JT-1", OfferReason.UNSPECIFIED),
        ("130000", "130281", Action.ASSIGN, "units/130000-JT-1", OfferReason.UNSPECIFIED),
    ],
)
def test_a_place_elsewhere_is_offered_to_whose_it_is(
    *,
    authority: str,
    region: str,
    action: Action,
    target: str,
    reason: OfferReason,
    packs: PackSet,
    reference: ReferenceData,
) -> None:
    hosted = frozenset({"120000"}) if authority == "120000" else HEBEI
    facts = a_ticket(region=region)
    decision = decided(facts, packs, reference, authority=authority, hosted=hosted)

    assert (decision.action, decision.target, decision.offer_reason) == (action, target, reason)


@pytest.mark.parametrize("region", ["", "120107", "999999", "100000"])
def test_an_uncertain_place_goes_to_the_desk(
    region: str, packs: PackSet, reference: ReferenceData
) -> None:
    decision = decided(a_ticket(region=region), packs, reference)

    assert (decision.action, decision.rule) == (Action.TRIAGE, "desk")


def test_a_city_without_its_province_asks_a_person(reference: ReferenceData) -> None:
    decision = decided(
        a_ticket(region="120101"),
        PackSet([]),
        reference,
        hosted=frozenset({"131000"}),
        joined=frozenset({"131000", "120000"}),
    )

    assert decision.action is Action.TRIAGE
    assert "130000" in decision.explanation


def test_hosting_or_splitting_a_city_changes_nothing(
    packs: PackSet, reference: ReferenceData
) -> None:
    facts = a_ticket()
    hosted = decided(facts, packs, reference, authority="130000")
    split = decided(facts, packs, reference, authority="130000", hosted=frozenset({"130000"}))

    assert hosted.trace_digest == split.trace_digest


# --- actions -------------------------------------------------------------------------------------


def test_a_matter_of_the_province_is_kept_there_and_handed_up_by_its_cities(
    reference: ReferenceData,
) -> None:
    keep = a_rule("hb.keep", action=Assign(UnitRef(kind="JT"), level=Level.PROVINCE))
    packs = PackSet([a_pack(keep, owner="130000")])

    at_province = decided(a_ticket(), packs, reference, authority="130000")
    at_city = decided(a_ticket(), packs, reference)

    assert at_province.target == "units/130000-JT-1"
    assert (at_city.target, at_city.offer_reason) == ("authorities/130000", OfferReason.ESCALATE)


def test_what_a_municipality_keeps_goes_to_its_own_unit_not_the_districts(
    reference: ReferenceData,
) -> None:
    keep = a_rule("tj.keep", action=Assign(UnitRef(kind="JT"), level=Level.PROVINCE))
    decision = decided(
        a_ticket(region="120101"),
        PackSet([a_pack(keep, owner="120000")]),
        reference,
        authority="120000",
        hosted=frozenset({"120000"}),
    )

    assert decision.target == "units/120000-JT-1"


def test_a_matter_of_the_province_is_not_kept_when_the_place_is_in_another(
    reference: ReferenceData,
) -> None:
    keep = a_rule("hb.keep", action=Assign(UnitRef(kind="JT"), level=Level.PROVINCE))
    packs = PackSet([a_pack(keep, owner="130000")])

    decision = decided(a_ticket(region="120101"), packs, reference, authority="130000")

    assert decision.target == "authorities/120000"
    assert outcomes(decision)["hb.keep"] == "failed"


@pytest.mark.parametrize(
    ("to", "authority", "action", "target", "reason"),
    [
        ("120000", "130000", Action.OFFER, "authorities/120000", OfferReason.RULE),
        ("310000", "130000", Action.EXTERNAL, "authorities/310000", OfferReason.UNSPECIFIED),
        ("120000", "131000", Action.OFFER, "authorities/130000", OfferReason.OUTBOUND),
        ("130600", "131000", Action.OFFER, "authorities/130600", OfferReason.RULE),
        ("130000", "131000", Action.OFFER, "authorities/130000", OfferReason.ESCALATE),
        ("130200", "131000", Action.OFFER, "authorities/130000", OfferReason.ESCALATE),
        ("130200", "130000", Action.ASSIGN, "units/130000-JT-1", OfferReason.UNSPECIFIED),
    ],
)
def test_a_rule_offers_along_the_same_ways(
    *,
    to: str,
    authority: str,
    action: Action,
    target: str,
    reason: OfferReason,
    reference: ReferenceData,
) -> None:
    region = authority
    rule = a_rule("x.offer", action=Offer(AuthorityCode(to)))
    packs = PackSet([a_pack(rule, owner=authority)])
    decision = decided(a_ticket(region=region), packs, reference, authority=authority)

    assert (decision.action, decision.target, decision.offer_reason) == (action, target, reason)


def test_a_rule_may_put_the_place_before_what_the_province_keeps(
    reference: ReferenceData,
) -> None:
    down = a_rule("hb.down", action=Offer(None), selectors=Selectors(regions=("131000",)))
    keep = a_rule("hb.keep", action=Assign(UnitRef(kind="JT"), level=Level.PROVINCE))
    packs = PackSet([a_pack(down, keep, owner="130000")])

    decision = decided(a_ticket(), packs, reference, authority="130000")

    assert (decision.target, decision.rule) == ("authorities/131000", "hb.down")
    assert decision.offer_reason is OfferReason.PLACE


def test_an_offer_to_oneself_decides_nothing(reference: ReferenceData) -> None:
    packs = PackSet([a_pack(a_rule("lf.self", action=Offer(AuthorityCode("131000"))))])

    assert outcomes(decided(a_ticket(), packs, reference))["lf.self"] == "failed"


def test_triage_carries_its_question_and_external_its_body(reference: ReferenceData) -> None:
    triage = PackSet([a_pack(a_rule("lf.ask", action=Triage("谁的路")))])
    external = PackSet([a_pack(a_rule("lf.out", action=External("某法院")))])

    asked = decided(a_ticket(), triage, reference)
    out = decided(a_ticket(), external, reference)

    assert (asked.target, "谁的路" in asked.explanation) == ("units/131000-desk", True)
    assert (out.action, out.target) == (Action.EXTERNAL, "某法院")


def test_assisting_units_are_found_from_the_place_upwards(reference: ReferenceData) -> None:
    action = Assign(
        UnitRef(kind="JT"),
        assisting=(UnitRef(kind="SJ"), UnitRef(kind="JT"), UnitRef(kind="GGZY", number=9)),
    )
    decision = decided(a_ticket(), PackSet([a_pack(a_rule(action=action))]), reference)

    assert decision.assisting == ("units/131082-SJ-1",)
    assert "无可派的协办单位 GGZY-9" in {step.reason for step in decision.trace}


# --- guards --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reported", ["131082-JT-1", "units/131082-JT-1", "units/131000-JT-1"])
def test_a_reported_unit_and_its_subordinates_never_get_the_ticket(
    reported: str, reference: ReferenceData
) -> None:
    guards = (a_guard(forbids_reported=True),)
    packs = PackSet([a_pack(a_rule("cn.rule"), owner="100000", guards=guards)])

    decision = decided(a_ticket(reported_units=(reported,)), packs, reference)

    is_county_reported = "131082" in reported
    assert decision.target == ("units/131000-JT-1" if is_county_reported else "units/131000-desk")
    assert decision.objections == ("test.guard",)


def test_a_sibling_of_a_reported_unit_is_another_body(reference: ReferenceData) -> None:
    guards = (a_guard(forbids_reported=True),)
    power = a_rule("lf.power", action=Assign(UnitRef(kind="GY", number=2)))
    packs = PackSet([a_pack(owner="100000", guards=guards), a_pack(power)])

    decision = decided(a_ticket(reported_units=("131082-GY-1",)), packs, reference)

    assert decision.target == "units/131082-GY-2"


def test_a_mandate_does_not_lift_a_guard_that_does_not_say_so(reference: ReferenceData) -> None:
    guards = (a_guard(forbidden_managements=frozenset({Management.VERTICAL})),)
    bound = a_rule("lf.bound", action=Assign(UnitRef(kind="XF"), mandate="测试文件"))
    packs = PackSet([a_pack(owner="100000", guards=guards), a_pack(bound)])

    decision = decided(a_ticket(), packs, reference)

    assert outcomes(decision)["lf.bound"] == "guarded"


def test_a_guarded_rule_leaves_the_question_to_the_next(reference: ReferenceData) -> None:
    guards = (a_guard(forbidden_kinds=frozenset({"JT"})),)
    second = a_rule("lf.second", action=Assign(UnitRef(kind="SJ")))
    packs = PackSet([a_pack(owner="100000", guards=guards), a_pack(a_rule("lf.first"), second)])

    decision = decided(a_ticket(), packs, reference)

    assert decision.rule == "lf.second"
    assert outcomes(decision)["lf.first"] == "guarded"
    assert decision.objections == ("test.guard",)


def test_a_mandate_lifts_a_guard_that_says_so_and_is_shown(reference: ReferenceData) -> None:
    guards = (
        a_guard(
            forbidden_managements=frozenset({Management.VERTICAL}),
            unless=frozenset({Unless.MANDATE}),
        ),
    )
    bound = a_rule("lf.bound", action=Assign(UnitRef(kind="XF"), mandate="测试文件"))
    packs = PackSet([a_pack(owner="100000", guards=guards), a_pack(bound)])

    decision = decided(a_ticket(), packs, reference)

    assert decision.target == "units/131082-XF-1"
    assert "授权依据：测试文件" in decision.explanation


def test_a_guard_filters_assisting_units_too(reference: ReferenceData) -> None:
    guards = (a_guard(forbidden_kinds=frozenset({"SJ"})),)
    action = Assign(UnitRef(kind="JT"), assisting=(UnitRef(kind="SJ"), UnitRef(kind="GA")))
    packs = PackSet([a_pack(owner="100000", guards=guards), a_pack(a_rule(action=action))])

    decision = decided(a_ticket(), packs, reference)

    assert decision.assisting == ("units/131082-GA-1",)
    assert decision.objections == ("test.guard",)


def test_a_guard_that_is_not_in_force_forbids_nothing(reference: ReferenceData) -> None:
    guards = (
        a_guard("test.over", forbidden_kinds=frozenset({"JT"}), effective_to=date(2026, 2, 1)),
        a_guard(
            "test.elsewhere",
            forbidden_kinds=frozenset({"JT"}),
            selectors=Selectors(regions=("120000",)),
        ),
    )
    packs = PackSet([a_pack(owner="100000", guards=guards)])

    assert decided(a_ticket(), packs, reference).target == "units/131082-JT-1"


# --- totality and trace --------------------------------------------------------------------------

ANY_FACTS = st.builds(
    RoutingFacts,
    region=st.sampled_from(
        ("", "000000", "100000", "120107", "120116", "131082", "130281", "330106")
    ),
    matter=st.sampled_from(
        ("", "x", "041200", "051200", "120300", "140300", "190400", "200600", "210301", "777777")
    ),
    type=st.sampled_from(TicketType) | st.just(99),
    urgency=st.sampled_from(Urgency) | st.just(99),
    reported_units=st.lists(
        st.sampled_from(("units/131082-GA-1", "131000-JT-1", "units/x", "")), max_size=3
    ).map(tuple),
    on_boundary=st.booleans(),
    zone=st.sampled_from(("", "x", "tj-eco-city")),
    insured_region=st.sampled_from(("", "131000", "120107", "310000", "x")),
    receiving_region=st.sampled_from(("", "120000", "999999")),
    registration_region=st.sampled_from(("", "310000", "130100", "100000")),
    passing_regions=st.lists(st.sampled_from(("310000", "320500", "131000", "x"))).map(tuple),
    industry=st.sampled_from(("", "fitness", "e_commerce")),
    noise_source=st.integers(0, 99),
    at_night=st.booleans(),
    parent=st.booleans(),
)


@given(
    facts=ANY_FACTS,
    authority=st.sampled_from((*AUTHORITIES, "100000", "999999")),
    hosted=st.frozensets(st.sampled_from(AUTHORITIES)),
    joined=st.frozensets(st.sampled_from(AUTHORITIES)),
)
def test_there_is_always_a_decision_and_it_is_always_the_same(
    *,
    facts: RoutingFacts,
    authority: str,
    hosted: frozenset[str],
    joined: frozenset[str],
    packs: PackSet,
    reference: ReferenceData,
) -> None:
    first = decided(facts, packs, reference, authority=authority, hosted=hosted, joined=joined)
    fresh = PackSet(packs.packs)
    again = decided(facts, fresh, reference, authority=authority, hosted=hosted, joined=joined)

    assert first == again
    assert first.target
    assert len(first.trace_digest) == 32
    won = [step.rule for step in first.trace if step.outcome is Outcome.WON]
    beside = bool(first.lead_rule) + len(first.help_rules) + won.count(ZONE)
    assert len(won) - beside == 1
    assert len(first.help_regions) <= HELP_REGIONS_MAX
    assert not (facts.parent and (first.lead_rule or first.help_regions))
    assert first.action is Action.ASSIGN or not first.help_regions
    reported = {unit.removeprefix("units/") for unit in facts.reported_units}
    assert first.target.removeprefix("units/") not in reported
    if first.action is Action.OFFER:
        assert first.target.removeprefix("authorities/") in joined | hosted
        assert first.target != f"authorities/{authority}"


def test_a_trace_is_bounded_and_keeps_its_winner(reference: ReferenceData) -> None:
    nobody = Assign(UnitRef(kind="GGZY", number=9))
    many = [a_rule(f"lf.{number}", action=nobody) for number in range(TRACE_STEPS_MAX + 50)]
    decision = decided(a_ticket(), PackSet([a_pack(*many, a_rule("lf.last"))]), reference)

    assert decision.rule == "lf.last"
    assert len(decision.trace) == TRACE_STEPS_MAX + 2
    assert decision.trace[-2].outcome is Outcome.WON
    assert "50" in decision.trace[-1].reason


def test_another_pack_version_reference_version_or_instant_is_another_digest(
    packs: PackSet, reference: ReferenceData
) -> None:
    facts = a_ticket()
    first = decided(facts, packs, reference).trace_digest
    changed = PackSet(replace(pack, version="f" * 64) for pack in packs.packs)
    newer = replace(reference, version="another")

    assert decided(facts, changed, reference).trace_digest != first
    assert decided(facts, packs, newer).trace_digest != first
    assert decided(replace(facts, on_boundary=True), packs, reference).trace_digest != first
