"""Versions compared by meaning: what moves is found, with a ticket that really moves."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import cache
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.checking.space import Land
from gateway.checking.within import COMPETING, QUESTIONS
from gateway.kernel.time import Instant
from gateway.reference.data import ReferenceData
from gateway.reference.units import UnitRef
from gateway.rehearsal.difference import Change, Difference, differ, unchanged
from gateway.routing.model import (
    Assign,
    Guard,
    Pack,
    RoutingFacts,
    Rule,
    RuleAction,
    Selectors,
    Stage,
    Triage,
    is_effective,
)
from gateway.routing.moment import moment_of
from gateway.routing.selecting import selects
from tests.unit.rehearsal.builders import NOW
from tests.unit.routing.builders import RULES, a_condition, a_pack, a_rule
from tests.unit.routing.strategies import FACTS, rules

JT, YB = Assign(UnitRef(kind="JT")), Assign(UnitRef(kind="YB"))


def compared(
    old: list[Rule], new: list[Rule], reference: ReferenceData, owner: str = "131000"
) -> Difference:
    return differ(
        a_pack(*old, owner=owner), a_pack(*new, owner=owner), reference=reference, now=NOW
    )


def ids(difference: Difference) -> list[tuple[str, str, Change]]:
    return [(name_of(move.before), name_of(move.after), move.change) for move in difference.moves]


def test_the_same_rules_in_other_lines_mean_the_same(reference: ReferenceData) -> None:
    rule = a_rule("a.one", action=JT)
    assert compared([rule], [replace(rule, line=9)], reference).is_same


def test_another_outcome_moves_tickets_and_shows_one(reference: ReferenceData) -> None:
    old = a_rule("a.one", selectors=Selectors(matters=("041200",)), action=JT)
    found = compared([old], [replace(old, action=YB)], reference)
    assert ids(found) == [("a.one", "a.one", Change.MOVED)]
    (move,) = found.moves
    assert move.witness is not None
    assert move.witness.facts.matter == "041200"
    assert move.decided_before is not None
    assert move.decided_after is not None
    assert move.decided_before.target != move.decided_after.target


def test_a_new_rule_behind_a_wider_one_moves_nothing(reference: ReferenceData) -> None:
    wide = a_rule("a.wide", selectors=Selectors(matters=("040000",)), action=JT)
    narrow = a_rule("a.narrow", selectors=Selectors(matters=("041200",)), action=YB)
    assert compared([wide], [wide, narrow], reference).is_same
    assert ids(compared([wide], [narrow, wide], reference)) == [
        ("a.wide", "a.narrow", Change.MOVED)
    ]


def test_a_new_order_moves_only_what_both_select(reference: ReferenceData) -> None:
    one = a_rule("a.one", selectors=Selectors(matters=("041200",)), action=JT)
    two = a_rule("a.two", selectors=Selectors(matters=("040000",)), action=YB)
    apart = a_rule("a.apart", selectors=Selectors(matters=("050502",)), action=YB)
    assert ids(compared([one, two, apart], [apart, two, one], reference)) == [
        ("a.one", "a.two", Change.MOVED)
    ]


def test_a_rule_that_is_gone_leaves_its_tickets_to_what_comes_after(
    reference: ReferenceData,
) -> None:
    rule = a_rule("a.one", selectors=Selectors(matters=("041200",)), action=Triage("谁"))
    found = compared([rule], [], reference)
    assert ids(found) == [("a.one", "", Change.MOVED)]


def test_another_basis_is_told_apart(reference: ReferenceData) -> None:
    rule = a_rule("a.one", action=JT)
    found = compared([rule], [replace(rule, legal_basis="新依据")], reference)
    assert ids(found) == [("a.one", "a.one", Change.REASONED)]


def test_shorter_dates_move_the_days_that_are_lost(reference: ReferenceData) -> None:
    rule = a_rule("a.one", action=JT)
    found = compared([rule], [replace(rule, effective_to=date(2027, 1, 1))], reference)
    assert ids(found) == [("a.one", "", Change.MOVED)]
    assert found.moves[0].witness is not None
    assert found.moves[0].witness.now.year == 2027


def test_what_rests_on_a_condition_is_shown_or_unknown(reference: ReferenceData) -> None:
    rule = a_rule("a.one", action=JT)
    condition = a_condition("facts.insured_region.startsWith('13')")
    narrowed = replace(rule, selectors=Selectors(condition=condition))
    (move,) = compared([rule], [narrowed], reference).moves
    assert move.witness is not None
    assert not condition.test(move.witness.facts).holds


def test_guards_are_compared(reference: ReferenceData) -> None:
    guard = Guard(
        id="a.guard",
        owner="测试",
        legal_basis="依据",
        effective_from=date(2026, 1, 1),
        effective_to=None,
        selectors=Selectors(),
        explanation="说明",
        forbids_reported=True,
    )
    old, new = a_pack(owner="130000", guards=(guard,)), a_pack(owner="130000")
    (change,) = differ(old, new, reference=reference, now=NOW).guards
    assert (change.before, change.after) == (guard, None)
    assert differ(old, old, reference=reference, now=NOW).is_same


@given(st.permutations(range(8)))
def test_what_is_unchanged_is_a_longest_common_order(order: list[int]) -> None:
    old = [a_rule(f"a.r{number}") for number in range(8)]
    first, second = unchanged(old, [old[number] for number in order])
    assert len(first) == len(second)
    kept = [order[position] for position in sorted(second)]
    assert kept == sorted(kept) == sorted(first)


def winner(
    pack: Pack,
    stages: tuple[Stage, ...],
    facts: RoutingFacts,
    reference: ReferenceData,
    *,
    now: Instant = NOW,
) -> str:
    moment = moment_of(now, reference)
    for stage in stages:
        for rule in pack.rules:
            if (
                rule.stage is stage
                and is_effective(rule, moment.day)
                and selects(rule.selectors, facts, reference.regions, moment)
            ):
                return rule.id
    return ""


@cache
def ground() -> tuple[ReferenceData, Land]:
    """The data and its regions, walked once: no fixture, whose text would fill a report."""
    data = ReferenceData.load(RULES / "reference")
    return data, Land(data)


ACTIONS = st.sampled_from((JT, YB, Triage("谁")))
OWNER = "130000"


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(
    drawn=st.lists(st.tuples(rules(), ACTIONS), max_size=4),
    shuffled=st.randoms(use_true_random=False),
    is_other=st.booleans(),
    is_shorter=st.booleans(),
    facts=FACTS,
)
def test_every_ticket_that_moves_is_found_and_every_shown_one_moves(
    *,
    drawn: list[tuple[Rule, RuleAction]],
    shuffled: Random,
    is_other: bool,
    is_shorter: bool,
    facts: RoutingFacts,
) -> None:
    (reference, land), from_day = ground(), date(2026, 1, 1)
    old = [
        replace(rule, id=f"a.r{number}", action=action, effective_from=from_day, effective_to=None)
        for number, (rule, action) in enumerate(drawn)
    ]
    new = old[:]
    shuffled.shuffle(new)
    if new and is_other:
        new[0] = replace(new[0], action=YB)
    if new and is_shorter:
        new.pop()
    before, after = a_pack(*old, owner=OWNER), a_pack(*new, owner=OWNER)
    found = differ(before, after, reference=reference, now=NOW, land=land)
    assert not found.is_cut
    told = {(one, other) for one, other, _ in ids(found)}
    for move in found.moves:
        if move.witness is not None and is_inside(move.witness.facts.region, reference):
            shown, now = move.witness.facts, move.witness.now
            pairs = {
                (
                    winner(before, stages, shown, reference, now=now),
                    winner(after, stages, shown, reference, now=now),
                )
                for stages in QUESTIONS[:COMPETING]
            }
            assert (name_of(move.before), name_of(move.after)) in pairs
    if is_inside(facts.region, reference):
        first = {rule.id: rule.action for rule in old}
        second = {rule.id: rule.action for rule in new}
        for stages in QUESTIONS[:COMPETING]:
            one = winner(before, stages, facts, reference)
            other = winner(after, stages, facts, reference)
            if first.get(one) != second.get(other):
                assert (one, other) in told


def name_of(rule: Rule | None) -> str:
    return rule.id if rule else ""


def is_inside(region: str, reference: ReferenceData) -> bool:
    return bool(region) and reference.regions.is_within(region, OWNER)


@pytest.mark.parametrize("owner", ["100000"])
def test_a_national_pack_is_shown_by_a_province(reference: ReferenceData, owner: str) -> None:
    rule = a_rule("a.one", selectors=Selectors(regions=("131082",)), action=JT)
    found = compared([rule], [replace(rule, action=YB)], reference, owner)
    assert found.moves[0].witness is not None
    assert found.moves[0].witness.authority == "130000"
