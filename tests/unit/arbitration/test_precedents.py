"""Precedents: when two cases are the same quarrel, and who has the ticket in each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.arbitration import machine
from gateway.arbitration.model import Case, CaseKey, RulingDue, TicketFacts
from gateway.arbitration.precedents import (
    VALIDITY,
    Precedent,
    PrecedentState,
    Relation,
    Role,
    differences,
    key_of,
    role_of,
    target_of,
)
from gateway.kernel.codes import TicketType
from gateway.kernel.ids import AuthorityCode
from tests.unit.arbitration.builders import BAODING, LANGFANG, NOW, SHIJIAZHUANG, a_filing

CITIES = (SHIJIAZHUANG, BAODING, LANGFANG)


def is_within(region: str, code: str) -> bool:
    return region.startswith(code.rstrip("0"))


def a_dispute(region: str = "130602", *, custodian: AuthorityCode = SHIJIAZHUANG) -> Case:
    filing = a_filing(
        filer=custodian,
        path=(custodian,),
        proposed_target=BAODING,
        facts=TicketFacts(matter="041200", region=region, type=TicketType.COMPLAINT),
    )
    return machine.file(filing, now=NOW, due=RulingDue(NOW))


def key(case: Case, custodian: AuthorityCode = SHIJIAZHUANG) -> object:
    return key_of(case, custodian=custodian, is_within=is_within)


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
    found = key_of(a_dispute(region), custodian=SHIJIAZHUANG, is_within=is_within)
    assert (found.relation, found.levels) == (relation, "city,city")


def test_the_same_quarrel_of_other_cities_has_the_same_key() -> None:
    here = key(a_dispute("130602"))
    there = a_dispute("130602", custodian=LANGFANG)
    assert key(there, LANGFANG) == here


def test_what_two_cases_differ_in_is_named() -> None:
    one = key_of(a_dispute("130602"), custodian=SHIJIAZHUANG, is_within=is_within)
    other = key_of(a_dispute("131082"), custodian=SHIJIAZHUANG, is_within=is_within)
    assert differences(one, replace(one)) == ()
    assert differences(one, other) == ("relation",)
    assert differences(one, replace(other, type=TicketType.REPORT)) == ("type", "relation")


def test_a_role_names_somebody_else_in_another_case() -> None:
    first = a_dispute("130602")
    role = role_of(first, BAODING, custodian=SHIJIAZHUANG, is_within=is_within)
    assert role is Role.PLACE
    second = a_dispute("130602", custodian=LANGFANG)
    assert target_of(second, role, custodian=LANGFANG, is_within=is_within) == BAODING


def test_a_target_outside_the_case_has_no_role() -> None:
    case = a_dispute("131082")
    stranger = AuthorityCode("130200")
    assert role_of(case, stranger, custodian=SHIJIAZHUANG, is_within=is_within) is None


@given(
    region=st.sampled_from(["130102", "130602", "131082", ""]),
    custodian=st.sampled_from(CITIES),
    target=st.sampled_from(CITIES),
)
def test_the_role_of_a_target_finds_that_target_again(
    region: str, custodian: AuthorityCode, target: AuthorityCode
) -> None:
    case = a_dispute(region, custodian=custodian)
    role = role_of(case, target, custodian=custodian, is_within=is_within)
    if role is not None:
        assert target_of(case, role, custodian=custodian, is_within=is_within) == target


def test_a_precedent_decides_while_it_is_active_and_not_expired() -> None:
    made = Precedent(
        case=CaseKey(AuthorityCode("130000"), "c"),
        ruling=1,
        key=key_of(a_dispute(), custodian=SHIJIAZHUANG, is_within=is_within),
        role=Role.PLACE,
        legal_basis="属地管理原则（测试）",
        state=PrecedentState.ACTIVE,
        since=NOW,
        expires=NOW + VALIDITY,
    )
    assert made.decides(NOW)
    assert not made.decides(NOW - timedelta(seconds=1))
    assert not made.decides(NOW + VALIDITY)
    assert not replace(made, state=PrecedentState.REVOKED).decides(NOW)
