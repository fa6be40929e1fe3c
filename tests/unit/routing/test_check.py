"""A rule that can never win is found before it is published."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.codes import TicketType
from gateway.reference.data import ReferenceData
from gateway.routing.check import check_pack, find_lone_leads, find_shadowed
from gateway.routing.conditions import cel_conditions
from gateway.routing.model import (
    Help,
    Lead,
    RegionFact,
    RoutingFacts,
    Rule,
    Selectors,
    Triage,
    is_effective,
)
from gateway.routing.selecting import selects
from tests.unit.routing.builders import FROM, RULE_TEXT, a_condition, a_pack, a_rule, pack_text
from tests.unit.routing.strategies import DAYS, FACTS, rules

NARROW = Selectors(
    regions=("131082",), matters=("041200",), types=frozenset({TicketType.COMPLAINT})
)


@pytest.mark.parametrize(
    ("wide", "hides"),
    [
        (Selectors(), True),
        (Selectors(regions=("131000",), matters=("040000",)), True),
        (Selectors(types=frozenset({TicketType.COMPLAINT, TicketType.REPORT})), True),
        (Selectors(types=frozenset({TicketType.REPORT})), False),
        (Selectors(regions=("131003",)), False),
        (Selectors(matters=("041300",)), False),
        (Selectors(on_boundary=True), False),
        (Selectors(zones=frozenset({"z"})), False),
        (Selectors(condition=a_condition("facts.at_night")), False),
    ],
)
def test_a_wider_rule_before_hides_a_narrower_one(
    wide: Selectors, *, hides: bool, reference: ReferenceData
) -> None:
    pack = a_pack(a_rule("a.wide", selectors=wide), a_rule("b.narrow", selectors=NARROW))

    assert bool(find_shadowed(pack, reference.regions)) is hides


def test_the_narrower_rule_first_is_right(reference: ReferenceData) -> None:
    pack = a_pack(a_rule("a.narrow", selectors=NARROW), a_rule("b.wide"))

    assert find_shadowed(pack, reference.regions) == ()


def test_a_rule_that_ends_hides_nothing_that_goes_on(reference: ReferenceData) -> None:
    pack = a_pack(a_rule("a.old", effective_to=date(2027, 1, 1)), a_rule("b.new"))

    assert find_shadowed(pack, reference.regions) == ()


def test_hiding_is_an_error_only_when_the_first_always_decides(reference: ReferenceData) -> None:
    assigns = a_pack(a_rule("a.first"), a_rule("b.second"))
    asks = a_pack(a_rule("a.first", action=Triage("谁的")), a_rule("b.second"))

    assert [found.is_error for found in find_shadowed(assigns, reference.regions)] == [False]
    assert [found.is_error for found in find_shadowed(asks, reference.regions)] == [True]


@pytest.mark.parametrize(
    ("first", "second", "hides"),
    [
        ("facts.at_night", "facts.at_night", True),
        (None, "facts.at_night", True),
        ("facts.at_night", "!facts.at_night", False),
        ("facts.at_night", None, False),
    ],
)
def test_a_condition_hides_only_what_has_the_same_one(
    first: str | None, second: str | None, *, hides: bool, reference: ReferenceData
) -> None:
    one, two = (
        Selectors(condition=a_condition(text) if text else None) for text in (first, second)
    )
    pack = a_pack(a_rule("a.first", selectors=one), a_rule("b.second", selectors=two))

    assert bool(find_shadowed(pack, reference.regions)) is hides


def test_rules_of_two_questions_hide_nothing_of_each_other(reference: ReferenceData) -> None:
    pack = a_pack(
        a_rule("a.ask", action=Triage("谁的")),
        a_rule("b.lead", action=Lead(RegionFact.INSURED)),
        a_rule("c.help", action=Help(RegionFact.SELLER)),
        a_rule("d.help", action=Help(RegionFact.SELLER)),
        owner="100000",
    )

    assert find_shadowed(pack, reference.regions) == ()


def test_a_second_lead_by_the_same_fact_is_an_error(reference: ReferenceData) -> None:
    same = a_pack(
        a_rule("a.lead", action=Lead(RegionFact.INSURED)),
        a_rule("b.lead", action=Lead(RegionFact.INSURED)),
    )
    other = a_pack(
        a_rule("a.lead", action=Lead(RegionFact.INSURED)),
        a_rule("b.lead", action=Lead(RegionFact.SELLER)),
    )

    assert [found.is_error for found in find_shadowed(same, reference.regions)] == [True]
    assert [found.is_error for found in find_shadowed(other, reference.regions)] == [False]


def test_a_lead_that_other_authorities_do_not_know_is_a_warning() -> None:
    rule = a_rule("a.lead", action=Lead(RegionFact.INSURED))

    assert [found.is_error for found in find_lone_leads(a_pack(rule))] == [False]
    assert find_lone_leads(a_pack(rule, owner="100000")) == ()


def test_a_pack_is_checked_whole(reference: ReferenceData) -> None:
    second = RULE_TEXT.replace("test.rule", "test.second")
    findings = check_pack(
        pack_text(RULE_TEXT + second),
        name="131000.test",
        reference=reference,
        conditions=cel_conditions(),
    )

    assert [(finding.line, finding.is_error) for finding in findings] == [(13, False)]


@given(pack=st.lists(rules(), max_size=12), tickets=st.lists(FACTS, max_size=20), on=DAYS)
def test_a_hidden_rule_never_selects_first(
    reference: ReferenceData, pack: list[Rule], tickets: list[RoutingFacts], on: date
) -> None:
    named = [replace(rule, id=f"r.{order}", line=order) for order, rule in enumerate(pack)]
    hidden = {found.line for found in find_shadowed(a_pack(*named), reference.regions)}
    for facts in tickets:
        selecting = [
            rule.line
            for rule in named
            if is_effective(rule, on) and selects(rule.selectors, facts, reference.regions)
        ]
        assert not selecting or selecting[0] not in hidden


def test_the_first_day_counts(reference: ReferenceData) -> None:
    later = a_rule("a.later", effective_from=date(2026, 6, 1))
    assert (
        find_shadowed(a_pack(later, a_rule("b.now", effective_from=FROM)), reference.regions) == ()
    )
