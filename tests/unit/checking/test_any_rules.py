"""Rules with everything that they may have, conditions too: no finding says more than is true."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.checking.check import check_all
from gateway.checking.concrete import shows
from gateway.checking.model import Check, Finding
from gateway.reference.data import ReferenceData
from gateway.routing.model import Pack, RoutingFacts, Rule, Stage, Witness
from tests.unit.checking.worlds import ACTIONS, a_small_pack, in_order
from tests.unit.routing.builders import a_condition
from tests.unit.routing.strategies import FACTS, rules

NOW = datetime(2026, 1, 1, 2, tzinfo=UTC)  # when the rules of these strategies begin
HIDDEN = {Check.SHADOWED, Check.DUPLICATE, Check.SHADOWED_BY_UNION}
TEXTS = (
    "facts.at_night",
    "!facts.at_night",
    "facts.type == TicketType.TICKET_TYPE_COMPLAINT",
    "facts.region.startsWith('1310') && facts.zone == ''",
    "facts.risk_tags.exists(t, t == RiskTag.RISK_TAG_MINOR)",
    "facts.insured_region in ['131000', '120000'] || facts.passing_regions.size() > 1",
    "1 / facts.risk_tags.size() == 1",
)
CONDITIONS = st.none() | st.sampled_from(TEXTS).map(a_condition)
RULES = st.builds(
    lambda rule, condition, action: replace(
        rule,
        selectors=replace(rule.selectors, condition=condition, destinations=frozenset()),
        action=action,
    ),
    rules(),
    CONDITIONS,
    st.sampled_from(ACTIONS),
)
PACKS = st.lists(RULES, min_size=1, max_size=6).map(
    lambda found: a_small_pack(found, owner="100000")
)


def found_in(pack: Pack, reference: ReferenceData) -> tuple[Finding, ...]:
    return check_all([pack], reference=reference, now=NOW).items


def taken_before(rule: Rule, witness: Witness, pack: Pack, reference: ReferenceData) -> list[Rule]:
    asked = in_order(pack)
    before = asked[: asked.index(rule)]
    return [each for each in before if shows(each, witness, reference)]


@given(pack=PACKS)
def test_every_witness_shows_its_finding(reference: ReferenceData, pack: Pack) -> None:
    by_id = {rule.id: rule for rule in pack.rules}
    for finding in found_in(pack, reference):
        if finding.witness is None:
            assert finding.no_witness
            continue
        rule, witness = by_id[finding.rule], finding.witness
        if finding.code is Check.CALENDAR_UNKNOWN:
            assert not shows(rule, witness, reference)
            continue
        assert shows(rule, witness, reference), finding
        before = taken_before(rule, witness, pack, reference)
        if finding.code in HIDDEN:
            assert before
        if finding.code is Check.ONLY_UNSPECIFIC:
            assert not before
        if finding.code is Check.OVERLAP:
            assert before[0].id == finding.related[0].rule
            assert before[0].action != rule.action


@given(pack=PACKS, tickets=st.lists(FACTS, max_size=20), hours=st.integers(0, 24 * 60))
def test_a_hidden_rule_is_never_the_first_and_a_dead_one_selects_nothing(
    reference: ReferenceData, pack: Pack, tickets: list[RoutingFacts], hours: int
) -> None:
    findings = found_in(pack, reference)
    hidden = {each.rule for each in findings if each.code in HIDDEN}
    dead = {each.rule for each in findings if each.code is Check.DEAD}
    for facts in tickets:
        witness = Witness(facts, "100000", NOW + timedelta(hours=hours))
        for rule in in_order(pack):
            if rule.stage is Stage.HERE and reference.regions.current(facts.region) is None:
                continue  # nobody's place: such a rule is not asked
            if facts.region == "100000" or not shows(rule, witness, reference):
                continue
            assert rule.id not in dead
            assert rule.id not in hidden
            break
