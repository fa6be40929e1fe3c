"""What packs of several authorities do together, against following every ticket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gateway.checking.borders import Way, follow
from gateway.checking.check import check_all
from gateway.checking.model import Check, Finding, Witness
from gateway.checking.space import Land
from gateway.reference.data import ReferenceData
from gateway.reference.regions import Level
from gateway.reference.units import UnitRef
from gateway.routing.evaluate import decide
from gateway.routing.model import DESK, Action, Assign, Pack, Rule, RuleAction, Selectors
from gateway.routing.packs import PackSet
from tests.unit.checking.worlds import (
    ACTIONS,
    NORTH,
    NORTH_CITY,
    NOW,
    SOUTH,
    TODAY,
    a_small_pack,
    offer,
    rules,
    tickets,
)

OWNERS = (NORTH, NORTH_CITY, SOUTH)
JOINED = frozenset(OWNERS)
MOVES: tuple[RuleAction, ...] = (
    offer(NORTH),
    offer(SOUTH),
    offer(NORTH_CITY),
    Assign(UnitRef(kind="JT"), level=Level.PROVINCE),
)


def packs_of(*found: Pack) -> PackSet:
    """Return packs with one of every authority."""
    owners = {pack.owner for pack in found}
    return PackSet([*found, *(a_small_pack([], owner=o) for o in OWNERS if o not in owners)])


def way_of(witness: Witness, packs: PackSet, land: Land) -> Way:
    return follow(witness, packs=packs, land=land, joined=JOINED, hosted=frozenset())


def keepers_of(witness: Witness, packs: PackSet, world: ReferenceData) -> dict[str, str]:
    """Return who would each keep a ticket, and by which rule."""
    found = {}
    for authority in OWNERS:
        decision = decide(
            witness.facts,
            authority=authority,
            hosted=frozenset({authority}),
            joined=JOINED,
            packs=packs,
            reference=world,
            now=witness.now,
        )
        if decision.action is Action.ASSIGN:
            found[authority] = decision.rule
    return found


@dataclass(frozen=True, slots=True)
class Together:
    """What following every ticket finds."""

    circles: frozenset[tuple[str, ...]]
    ends: frozenset[str]
    keepers: frozenset[frozenset[str]]


def followed(packs: PackSet, world: ReferenceData) -> Together:
    land = Land(world)
    movers = {rule.id for pack in packs.packs for rule in pack.rules if rule.action in MOVES}
    labels = {pack.label for pack in packs.packs}
    circles, ends, keepers = set(), set(), set()
    for start in OWNERS:
        for ticket in tickets(start, days=(TODAY,), minutes=(570,)):
            way = way_of(ticket, packs, land)
            if way.is_circle:
                circles.add(way.circle)
            elif way.decisions[-1].rule == DESK and any(
                decision.pack in labels for decision in way.decisions[:-1]
            ):
                ends.add(way.stops[-1])
            if start == NORTH:
                found = keepers_of(ticket, packs, world)
                if len(found) > 1 and movers & set(found.values()):
                    keepers.add(frozenset(found))
    return Together(frozenset(circles), frozenset(ends), frozenset(keepers))


def said(findings: tuple[Finding, ...], packs: PackSet, world: ReferenceData) -> Together:
    land = Land(world)
    circles, ends, keepers = set(), set(), set()
    for finding in findings:
        if finding.witness is None:
            continue
        way = way_of(finding.witness, packs, land)
        match finding.code:
            case Check.PING_PONG:
                assert way.is_circle
                circles.add(way.circle)
            case Check.BOTH_DISCLAIM:
                assert way.decisions[-1].rule == DESK
                assert len(way.stops) > 1
                ends.add(way.stops[-1])
            case Check.BOTH_CLAIM:
                found = keepers_of(finding.witness, packs, world)
                assert len(found) > 1
                keepers.add(frozenset(found))
            case _:
                pass
    return Together(frozenset(circles), frozenset(ends), frozenset(keepers))


def _packs_of_owner(owner: str) -> st.SearchStrategy[Pack]:
    actions = (*MOVES, *MOVES, *ACTIONS[:4])
    some = st.lists(rules(owner=owner, actions=actions, is_timeless=True), max_size=3)
    return some.map(lambda found: a_small_pack(found, owner=owner))


PACKS = st.tuples(*map(_packs_of_owner, OWNERS)).map(lambda found: packs_of(*found))


@settings(
    max_examples=20, phases=(Phase.explicit, Phase.generate), report_multiple_bugs=False
)  # each follows thousands of tickets
@given(packs=PACKS)
def test_following_every_ticket_finds_the_same(world: ReferenceData, packs: PackSet) -> None:
    findings = check_all(packs, reference=world, now=NOW).items

    assert not [finding for finding in findings if finding.code is Check.UNDECIDED]
    assert said(findings, packs, world) == followed(packs, world)


def a_mover(action: RuleAction, **selectors: tuple[str, ...]) -> Rule:
    return Rule(
        id="small.rule",
        owner="测试",
        legal_basis="测试",
        effective_from=TODAY,
        effective_to=None,
        selectors=Selectors(**selectors),  # type: ignore[arg-type] # by name
        action=action,
        explanation="测试",
    )


def found(packs: PackSet, world: ReferenceData, code: Check) -> Iterator[Finding]:
    yield from check_all(packs, reference=world, now=NOW).of(code)


def test_two_that_give_a_ticket_to_each_other_are_found(world: ReferenceData) -> None:
    packs = packs_of(a_small_pack([a_mover(offer(SOUTH), matters=("050000",))], owner=NORTH))
    (finding,) = found(packs, world, Check.PING_PONG)

    assert "130000 → 320000 → 130000" in finding.zh
    assert finding.witness is not None
    assert way_of(finding.witness, packs, Land(world)).circle == (NORTH, SOUTH)


def test_a_circle_of_three_is_found(world: ReferenceData) -> None:
    """The city sends it abroad, which means home; home sends it south; south back to the place."""
    city = a_small_pack([a_mover(offer(SOUTH), matters=("050000",))], owner=NORTH_CITY)
    north = a_small_pack([], owner=NORTH)
    (finding,) = found(packs_of(city, north), world, Check.PING_PONG)
    assert finding.witness is not None
    assert len(way_of(finding.witness, packs_of(city, north), Land(world)).circle) == 2


def test_a_province_that_keeps_what_its_city_keeps_is_found(world: ReferenceData) -> None:
    keeping = a_mover(Assign(UnitRef(kind="JT"), level=Level.PROVINCE), matters=("040101",))
    packs = packs_of(a_small_pack([keeping], owner=NORTH))
    (finding,) = found(packs, world, Check.BOTH_CLAIM)

    assert "130000、131000" in finding.zh


def test_a_rule_that_hands_over_what_nobody_takes_is_found(world: ReferenceData) -> None:
    packs = packs_of(
        a_small_pack([a_mover(offer(NORTH_CITY), matters=("040000",))], owner=NORTH),
    )
    assert not list(found(packs, world, Check.BOTH_DISCLAIM))
    assert list(found(packs, world, Check.PING_PONG))


def test_a_city_hears_only_of_what_it_takes_part_in(world: ReferenceData) -> None:
    south = a_small_pack([a_mover(offer(NORTH), matters=("050000",))], owner=SOUTH)
    findings = [
        each
        for each in check_all(packs_of(south), reference=world, now=NOW).items
        if each.code is Check.PING_PONG
    ]
    assert [each.pack for each in findings] == [south.pack]


@pytest.mark.parametrize("owner", OWNERS)
def test_packs_without_movers_have_nothing_between_them(world: ReferenceData, owner: str) -> None:
    packs = packs_of(a_small_pack([a_mover(ACTIONS[0])], owner=owner))
    codes = {each.code for each in check_all(packs, reference=world, now=NOW).items}
    assert not codes & {Check.PING_PONG, Check.BOTH_CLAIM, Check.BOTH_DISCLAIM}
