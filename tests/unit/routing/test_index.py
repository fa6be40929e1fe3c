"""The index gives what the slow definition gives, at a cost that does not grow with the rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.codes import Channel, RiskTag, SubjectKind, TicketType, Urgency
from gateway.reference.data import ReferenceData
from gateway.routing.index import RuleIndex
from gateway.routing.model import RoutingFacts, Rule, Selectors, is_effective
from gateway.routing.selecting import selects, unmet
from tests.unit.routing.builders import FROM, a_rule, a_ticket
from tests.unit.routing.strategies import DAYS, FACTS, rules


@given(pack=st.lists(rules(), max_size=30), tickets=st.lists(FACTS, max_size=5), on=DAYS)
def test_the_index_agrees_with_reading_every_rule(
    reference: ReferenceData, pack: list[Rule], tickets: list[RoutingFacts], on: date
) -> None:
    index = RuleIndex(pack)
    for facts in tickets:
        path = reference.regions.path(facts.region) if facts.region else ()
        found = [
            rule
            for rule in index.candidates(facts, region_path=path, on=on)
            if not unmet(rule.selectors, facts)
        ]
        slow = [
            rule
            for rule in pack
            if is_effective(rule, on) and selects(rule.selectors, facts, reference.regions)
        ]
        assert [id(rule) for rule in found] == [id(rule) for rule in slow]


def test_a_ticket_touches_only_the_rules_of_its_own_ancestors(
    reference: ReferenceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions = [code for code in reference.regions.codes() if reference.regions.current(code)]
    everywhere = [a_rule(f"r.{code}", selectors=Selectors(regions=(code,))) for code in regions]
    looked_at = 0

    def counting(rule: Rule, on: date) -> bool:
        nonlocal looked_at
        looked_at += 1
        return is_effective(rule, on)

    monkeypatch.setattr("gateway.routing.index.is_effective", counting)
    index = RuleIndex(everywhere)
    facts = a_ticket(region="131082")
    path = reference.regions.path("131082")

    found = index.candidates(facts, region_path=path, on=FROM)
    again = index.candidates(facts, region_path=path, on=FROM + timedelta(days=1))

    assert {rule.id for rule in found} == {"r.131082", "r.131000", "r.130000", "r.100000"}
    assert found == again
    assert len(everywhere) > 3000
    assert looked_at == 4


def test_the_order_of_the_pack_is_kept() -> None:
    index = RuleIndex(
        [
            a_rule("any.place"),
            a_rule("one.matter", selectors=Selectors(matters=("041200",))),
            a_rule("both.nested", selectors=Selectors(matters=("040000", "041200"))),
        ]
    )

    found = index.candidates(a_ticket(), region_path=(), on=FROM)

    assert [rule.id for rule in found] == ["any.place", "one.matter", "both.nested"]


@pytest.mark.parametrize(
    ("selectors", "changed"),
    [
        (Selectors(types=frozenset({TicketType.COMPLAINT})), {"type": TicketType.HELP}),
        (Selectors(channels=frozenset({Channel.PHONE})), {"channel": Channel.APP}),
        (Selectors(urgencies=frozenset({Urgency.NORMAL})), {"urgency": Urgency.URGENT}),
        (Selectors(reported_unit=False), {"reported_units": ("units/131082-GA-1",)}),
        (Selectors(secrecy_required=False), {"secrecy_required": True}),
        (Selectors(on_boundary=False), {"on_boundary": True}),
    ],
)
def test_one_fact_more_is_another_answer_of_the_same_index(
    selectors: Selectors, changed: dict[str, object]
) -> None:
    index = RuleIndex([a_rule(selectors=selectors)])
    facts = a_ticket()
    other = replace(facts, **changed)  # type: ignore[arg-type] # the test names real facts

    assert index.candidates(facts, region_path=(), on=FROM) != ()
    assert index.candidates(other, region_path=(), on=FROM) == ()
    assert index.candidates(facts, region_path=(), on=FROM) != ()


def test_one_index_answers_for_each_day() -> None:
    index = RuleIndex([a_rule(effective_to=FROM + timedelta(days=10))])
    found = [
        len(index.candidates(a_ticket(), region_path=(), on=FROM + timedelta(days=day)))
        for day in (-1, 0, 9, 10, 0)
    ]

    assert found == [0, 1, 1, 0, 1]


@pytest.mark.parametrize(
    ("selectors", "missing"),
    [
        (Selectors(subject_kinds=frozenset({SubjectKind.LEGAL_PERSON})), "诉求主体"),
        (Selectors(risk_tags=frozenset({RiskTag.MINOR})), "风险标签"),
        (Selectors(zones=frozenset({"zone-1"})), "功能区"),
        (Selectors(reported_kinds=frozenset({"GA"})), "被反映单位类别"),
        (Selectors(reported_unit=True), "被反映承办单位"),
        (Selectors(secrecy_required=True), "要求保密"),
        (Selectors(on_boundary=True), "交界或权属不清"),
    ],
)
def test_a_condition_that_does_not_hold_is_named_and_its_value_is_not(
    selectors: Selectors, missing: str
) -> None:
    holding = replace(
        a_ticket(zone="zone-1", on_boundary=True, reported_units=("131082-GA-1",)),
        subject_kind=SubjectKind.LEGAL_PERSON,
        risk_tags=(RiskTag.GROUP, RiskTag.MINOR),
        secrecy_required=True,
    )

    assert unmet(selectors, a_ticket()) == (missing,)
    assert unmet(selectors, holding) == ()


@pytest.mark.parametrize(("day", "holds"), [(-1, False), (0, True), (9, True), (10, False)])
def test_dates_are_half_open(day: int, *, holds: bool) -> None:
    index = RuleIndex([a_rule(effective_to=FROM + timedelta(days=10))])
    found = index.candidates(a_ticket(), region_path=(), on=FROM + timedelta(days=day))

    assert bool(found) is holds
