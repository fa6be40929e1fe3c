"""Precedents: when two cases are the same quarrel, and who has the ticket in each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.arbitration import machine
from gateway.arbitration.model import Case, CaseKey, Part, RulingDue, TicketFacts
from gateway.arbitration.precedents.model import (
    ANY,
    FACT_NAMES,
    VALIDITY,
    Places,
    Precedent,
    PrecedentState,
    Relation,
    Role,
    Seat,
    SeatPart,
    differences,
    facts_of,
    key_of,
    named_facts,
    order_by,
    ranked,
    seat_of,
    seat_of_ruling,
    seats_of_parts,
    target_of,
)
from gateway.kernel.codes import CaseLevel, CaseRulingForm, RulingKind, TicketType
from gateway.kernel.ids import AuthorityCode
from gateway.routing.model import RoutingFacts
from tests.unit.arbitration.builders import (
    BAODING,
    LANGFANG,
    NOW,
    SHIJIAZHUANG,
    a_filing,
    a_ruling,
    an_order,
)

ALONE = CaseRulingForm.UNSPECIFIED
CITIES = (SHIJIAZHUANG, BAODING, LANGFANG)


def is_within(region: str, code: str) -> bool:
    return region.startswith(code.rstrip("0"))


PLACES = Places(is_within)


def a_dispute(region: str = "130602", *, custodian: AuthorityCode = SHIJIAZHUANG) -> Case:
    filing = a_filing(
        filer=custodian,
        path=(custodian,),
        proposed_target=BAODING,
        facts=TicketFacts(matter="041200", region=region, type=TicketType.COMPLAINT),
    )
    return machine.file(filing, now=NOW, due=RulingDue(NOW))


def key(case: Case, custodian: AuthorityCode = SHIJIAZHUANG) -> object:
    return key_of(case, custodian=custodian, places=PLACES)


@pytest.mark.parametrize(
    ("region", "relation"),
    [
        ("130602", Relation.PROPOSED),
        ("130102", Relation.CUSTODIAN),
        ("131082", Relation.ELSEWHERE),
        ("", Relation.UNKNOWN),
    ],
)
def test_the_key_says_whose_area_the_place_is_in(region: str, relation: Relation) -> None:
    found = key_of(a_dispute(region), custodian=SHIJIAZHUANG, places=PLACES)
    assert (found.relation, found.levels) == (relation, "city,city")


def test_the_same_quarrel_of_other_cities_has_the_same_key() -> None:
    here = key(a_dispute("130602"))
    there = a_dispute("130602", custodian=LANGFANG)
    assert key(there, LANGFANG) == here


def test_what_two_cases_differ_in_is_named() -> None:
    one = key_of(a_dispute("130602"), custodian=SHIJIAZHUANG, places=PLACES)
    other = key_of(a_dispute("131082"), custodian=SHIJIAZHUANG, places=PLACES)
    assert differences(one, replace(one)) == ()
    assert differences(one, other) == ("relation",)
    assert differences(one, replace(other, type=TicketType.REPORT)) == ("type", "relation")


def test_a_role_names_somebody_else_in_another_case() -> None:
    first = a_dispute("130602")
    seat = seat_of(first, BAODING, custodian=SHIJIAZHUANG, places=PLACES)
    assert seat == Seat(Role.PLACE)
    second = a_dispute("130602", custodian=LANGFANG)
    assert target_of(second, seat, custodian=LANGFANG, places=PLACES) == BAODING


def test_a_target_outside_the_case_has_no_role() -> None:
    case = a_dispute("131082")
    stranger = AuthorityCode("130200")
    assert seat_of(case, stranger, custodian=SHIJIAZHUANG, places=PLACES) is None


@given(
    region=st.sampled_from(["130102", "130602", "131082", ""]),
    custodian=st.sampled_from(CITIES),
    target=st.sampled_from(CITIES),
)
def test_the_role_of_a_target_finds_that_target_again(
    region: str, custodian: AuthorityCode, target: AuthorityCode
) -> None:
    case = a_dispute(region, custodian=custodian)
    seat = seat_of(case, target, custodian=custodian, places=PLACES)
    if seat is not None:
        assert target_of(case, seat, custodian=custodian, places=PLACES) == target


def test_a_precedent_decides_while_it_is_active_and_not_expired() -> None:
    made = Precedent(
        case=CaseKey(AuthorityCode("130000"), "c"),
        ruling=1,
        key=key_of(a_dispute(), custodian=SHIJIAZHUANG, places=PLACES),
        seat=Seat(Role.PLACE),
        legal_basis="属地管理原则（测试）",
        state=PrecedentState.ACTIVE,
        since=NOW,
        expires=NOW + VALIDITY,
    )
    assert made.decides(NOW)
    assert not made.decides(NOW - timedelta(seconds=1))
    assert not made.decides(NOW + VALIDITY)
    assert not replace(made, state=PrecedentState.REVOKED).decides(NOW)


# --- facts and units ------------------------------------------------------------------------------

UNITS = ("units/310106-SJ-1", "units/310106-TY-1", "units/310106-GY-2", "units/310000-desk")
COUNTIES = ("310106", "310104")
KNOWN = st.builds(
    RoutingFacts,
    region=st.sampled_from(COUNTIES),
    matter=st.just("070101"),
    type=st.just(3),
    urgency=st.just(3),
    industry=st.sampled_from(["", "fitness"]),
    at_night=st.booleans(),
    on_boundary=st.booleans(),
    noise_source=st.sampled_from([0, 1, 99]),
    reported_units=st.sampled_from([(), ("units/310106-SJ-1",), ("no unit",)]),
)


def unit_of(authority: str, kind: str, region: str) -> str | None:
    """Return the unit of a kind in a county of a made-up city that has three kinds."""
    name = kind if "-" in kind else f"{kind}-1"
    is_there = name in {"SJ-1", "TY-1", "GY-1", "GY-2"}
    return f"units/{region}-{name}" if is_there and region in COUNTIES else None


CITY = Places(is_within, unit_of)


def a_quarrel(region: str, holder: str, proposed: str, number: int = 0) -> Case:
    """Return a dispute of two units of 上海, with the units of a county of their own."""
    here = [name.replace("310106", region) for name in (holder, proposed)]
    filing = a_filing(
        key=CaseKey(AuthorityCode("310000"), f"case-{number}"),
        filer=here[0],
        path=(here[0],),
        proposed_target=None,
        refused_by=(here[1],),
        facts=TicketFacts(matter="070101", region=region, type=TicketType.COMPLAINT),
        level=CaseLevel.UNITS,
    )
    return machine.file(filing, now=NOW, due=RulingDue(NOW))


def a_precedent_of(case: Case, target: str, facts: tuple[str, ...], number: int = 0) -> Precedent:
    holder = case.path[0]
    seat = seat_of(case, target, custodian=holder, places=CITY)
    assert seat is not None
    return Precedent(
        case=CaseKey(case.key.scope, f"known-{number}"),
        ruling=1,
        key=key_of(case, custodian=holder, places=CITY, facts=facts),
        seat=seat,
        legal_basis="职责分工（测试）",
        state=PrecedentState.ACTIVE,
        since=NOW + timedelta(minutes=number % 2),
        expires=NOW + VALIDITY,
    )


def test_between_units_the_key_has_their_kinds() -> None:
    case = a_quarrel("310106", UNITS[0], UNITS[3])
    found = key_of(case, custodian=UNITS[0], places=CITY)
    assert (found.levels, found.relation) == ("SJ,desk", Relation.CUSTODIAN)


@pytest.mark.parametrize(
    ("target", "word"),
    [(UNITS[1], "kind:TY"), (UNITS[2], "kind:GY-2"), (UNITS[3], "desk")],
)
def test_a_ruling_for_a_unit_names_its_kind(target: str, word: str) -> None:
    seat = seat_of(a_quarrel("310106", UNITS[0], UNITS[1]), target, custodian=UNITS[0], places=CITY)
    assert seat is not None
    assert (seat.word, Seat.of(seat.word)) == (word, seat)


@given(
    regions=st.tuples(st.sampled_from(COUNTIES), st.sampled_from(COUNTIES)),
    target=st.sampled_from(UNITS),
    known=KNOWN,
)
def test_the_same_key_has_the_same_outcome_in_any_county(
    regions: tuple[str, str], target: str, known: RoutingFacts
) -> None:
    facts = facts_of(known)
    one, other = (a_quarrel(region, UNITS[0], UNITS[1]) for region in regions)
    made = a_precedent_of(one, target.replace("310106", regions[0]), facts)
    holder = other.path[0]
    key = key_of(other, custodian=holder, places=CITY, facts=facts)
    assert key == made.key
    order = order_by(other, made, custodian=holder, places=CITY)
    assert order is not None
    assert order.target == target.replace("310106", regions[1])
    assert (order.kind is RulingKind.UPHOLD) == (order.target == holder)


@given(
    known=st.lists(KNOWN, min_size=1, max_size=6),
    case=KNOWN,
    names=st.lists(st.sampled_from([*FACT_NAMES, ANY]), unique=True),
    order=st.randoms(use_true_random=False),
)
def test_which_precedent_decides_does_not_depend_on_their_order(
    known: list[RoutingFacts], case: RoutingFacts, names: list[str], order: Random
) -> None:
    quarrel = a_quarrel("310106", UNITS[0], UNITS[1])
    made = [
        a_precedent_of(
            quarrel, UNITS[number % 3], named_facts(facts_of(each), names[: number + 1]), number
        )
        for number, each in enumerate(known)
    ]
    key = key_of(quarrel, custodian=UNITS[0], places=CITY, facts=facts_of(case))
    shuffled = made.copy()
    order.shuffle(shuffled)
    now = NOW + timedelta(hours=1)
    assert ranked(quarrel.key, key, made, now=now) == ranked(quarrel.key, key, shuffled, now=now)


@given(known=KNOWN, names=st.lists(st.sampled_from([*FACT_NAMES, ANY]), unique=True))
def test_a_ticket_falls_under_whatever_was_named_of_itself(
    known: RoutingFacts, names: list[str]
) -> None:
    quarrel, facts = a_quarrel("310106", UNITS[0], UNITS[1]), facts_of(known)
    key = key_of(quarrel, custodian=UNITS[0], places=CITY, facts=facts)
    assert differences(key, replace(key, facts=named_facts(facts, names))) == ()


@given(one=KNOWN, other=KNOWN)
def test_facts_that_differ_are_named(one: RoutingFacts, other: RoutingFacts) -> None:
    quarrel = a_quarrel("310106", UNITS[0], UNITS[1])
    first, second = (
        key_of(quarrel, custodian=UNITS[0], places=CITY, facts=facts_of(each))
        for each in (one, other)
    )
    named = set(differences(first, second))
    assert named == {
        name.partition("=")[0] for name in set(first.facts).symmetric_difference(second.facts)
    }


def test_facts_that_nobody_knows_are_no_facts() -> None:
    quarrel = a_quarrel("310106", UNITS[0], UNITS[1])
    unknown = key_of(quarrel, custodian=UNITS[0], places=CITY)
    known = replace(unknown, facts=("industry=fitness",))
    assert differences(unknown, unknown) == ()
    assert differences(unknown, known) == differences(known, unknown) == ("facts",)
    assert differences(unknown, replace(unknown, facts=(ANY,))) == ()


def test_a_part_without_a_seat_makes_no_precedent() -> None:
    quarrel = a_quarrel("310106", UNITS[0], UNITS[1])
    known, stranger = (
        seats_of_parts(quarrel, (Part(unit),), custodian=UNITS[0], places=CITY)
        for unit in (UNITS[1], "units/310115-XX-1")
    )
    assert known == (SeatPart(Seat(Role.KIND, "TY")),)
    assert stranger is None


def test_nobody_is_both_target_and_part() -> None:
    quarrel = a_quarrel("310106", UNITS[0], UNITS[1])
    made = replace(
        a_precedent_of(quarrel, UNITS[1], (ANY,)),
        form=CaseRulingForm.LEAD_ASSIST,
        parts=(SeatPart(Seat(Role.KIND, "TY")),),
    )
    assert order_by(quarrel, made, custodian=UNITS[0], places=CITY) is None


def test_of_two_with_the_same_facts_the_newer_decides() -> None:
    quarrel = a_quarrel("310106", UNITS[0], UNITS[1])
    older, newer = (a_precedent_of(quarrel, UNITS[0], (ANY,), number) for number in (2, 3))
    assert older.since < newer.since
    key = key_of(quarrel, custodian=UNITS[0], places=CITY)
    found = ranked(quarrel.key, key, (older, newer), now=NOW + timedelta(hours=1))
    assert [item.precedent for item in found] == [newer, older]
    assert ranked(quarrel.key, key, (newer,), now=NOW) == []  # it is not set yet
    assert ranked(newer.case, key, (newer,), now=NOW + VALIDITY / 2) == []  # its own case


def test_who_tells_the_citizen_of_another_way_is_whoever_holds_the_ticket() -> None:
    quarrel = a_quarrel("310106", UNITS[0], UNITS[1])
    legal = a_ruling(order=an_order(target=UNITS[0]), form=CaseRulingForm.LEGAL)
    for ruling, role in ((legal, Role.CUSTODIAN), (replace(legal, form=ALONE), Role.KIND)):
        seat = seat_of_ruling(quarrel, ruling, custodian=UNITS[0], places=CITY)
        assert seat is not None
        assert seat.role is role
