"""What each form of a ruling needs and forbids: the whole table, form by form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.arbitration import machine
from gateway.arbitration.forms import FORMS, PARTS_MAX, check_form
from gateway.arbitration.model import Case, CaseRuling, Order, Part
from gateway.kernel.codes import CaseLevel, CaseRulingForm, CaseState, RulingKind
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import AuthorityCode, mint_ticket_number
from tests.unit.arbitration.builders import (
    BAODING,
    HEBEI,
    LANGFANG,
    NOW,
    SHIJIAZHUANG,
    TIANJIN,
    a_case,
    a_ruling,
    an_order,
)

Form, Kind, Level = CaseRulingForm, RulingKind, CaseLevel
EARLIER = mint_ticket_number(SHIJIAZHUANG, NOW.date().replace(month=2), 7)
LATER = mint_ticket_number(SHIJIAZHUANG, NOW.date().replace(month=4), 7)
SHARED = (Form.LEAD_ASSIST, Form.JOINT, Form.SPLIT)
UNITS = tuple(f"units/130100-T{letter}-1" for letter in "ABCDEFGHIJ")


def given(form: CaseRulingForm, **changes: Any) -> Order:
    """Return an order that has what its form needs, and nothing else."""
    needs: dict[str, Any] = {"form": form}
    if form in (Form.LEAD_ASSIST, Form.JOINT):
        needs["parts"] = (Part(BAODING),)
    elif form is Form.SPLIT:
        needs["parts"] = (Part(BAODING, "020401"),)
    elif form is Form.MERGE:
        needs["merge_into"] = EARLIER
    elif form is Form.REFER_OUT:
        needs["target"] = TIANJIN
    elif form in (Form.LEGAL, Form.BEYOND_DUTY):
        needs |= {"kind": Kind.UPHOLD, "target": SHIJIAZHUANG}
    return replace(an_order(), **(needs | changes))


def refused(order: Order, case: Case | None = None) -> FieldInvalid:
    with pytest.raises(FieldInvalid) as caught:
        check_form(case or a_case(), order)
    return caught.value


def test_the_table_names_every_form() -> None:
    assert set(FORMS) == set(Form)


@pytest.mark.parametrize("form", Form)
def test_an_order_with_what_its_form_needs_may_be_given(form: CaseRulingForm) -> None:
    order = given(form)
    machine.require(a_case(), order, custodian=SHIJIAZHUANG)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("kind", [Kind.UPHOLD, Kind.REASSIGN, Kind.INTERIM, Kind.DEFAULT])
def test_a_form_goes_with_its_kinds_only(form: CaseRulingForm, kind: RulingKind) -> None:
    order = given(form, kind=kind)
    if kind in FORMS[form].kinds:
        check_form(a_case(), order)
    else:
        assert refused(order).metadata["field"] == "form"


@pytest.mark.parametrize("form", [Form.LEGAL, Form.BEYOND_DUTY])
def test_nobody_is_turned_away_by_moving_the_ticket_first(form: CaseRulingForm) -> None:
    moved = given(form, kind=Kind.REASSIGN, target=LANGFANG)
    assert refused(moved).metadata["field"] == "form"


def test_a_ticket_that_stays_is_not_referred_out() -> None:
    assert refused(given(Form.REFER_OUT, kind=Kind.UPHOLD)).metadata["field"] == "form"


@pytest.mark.parametrize("form", [*SHARED, Form.MERGE, Form.LEGAL, Form.BEYOND_DUTY])
@pytest.mark.parametrize("kind", [Kind.INTERIM, Kind.DEFAULT, Kind.HOME])
def test_an_order_for_the_time_being_and_one_by_default_have_no_form(
    form: CaseRulingForm, kind: RulingKind
) -> None:
    assert refused(given(form, kind=kind)).metadata["field"] == "form"


@pytest.mark.parametrize("form", Form)
def test_every_part_and_earlier_ticket_is_used_or_refused(form: CaseRulingForm) -> None:
    need = FORMS[form]
    with_part = given(form, parts=(Part(BAODING, "020401" if need.has_matters else ""),))
    with_earlier = given(form, merge_into=EARLIER)
    for order, is_used in ((with_part, need.has_parts), (with_earlier, need.has_earlier)):
        if is_used:
            check_form(a_case(), order)
        else:
            assert refused(order).metadata["field"] in ("parts", "merge_into")


@pytest.mark.parametrize("form", SHARED)
def test_a_shared_ruling_has_one_to_eight_parts(form: CaseRulingForm) -> None:
    assert refused(given(form, parts=())).metadata["field"] == "parts"
    many = tuple(
        Part(f"13{number:02}00", f"0204{number:02}" if form is Form.SPLIT else "")
        for number in range(20, 20 + PARTS_MAX + 1)
    )
    check_form(a_case(), given(form, parts=many[:PARTS_MAX]))
    assert refused(given(form, parts=many)).metadata["field"] == "parts"


@pytest.mark.parametrize("form", SHARED)
def test_nobody_has_two_parts_and_the_target_none(form: CaseRulingForm) -> None:
    first, second = ("020401", "020402") if form is Form.SPLIT else ("", "")
    twice = (Part(BAODING, first), Part(BAODING, second))
    assert "once" in refused(given(form, parts=twice)).metadata["expected"]
    leads = given(form, parts=(Part(LANGFANG, first),))
    assert leads.target == LANGFANG
    assert "leads" in refused(leads).metadata["expected"]


@pytest.mark.parametrize("form", SHARED)
def test_parts_are_of_the_level_of_the_case(form: CaseRulingForm) -> None:
    matter = "020401" if form is Form.SPLIT else ""
    of_units = given(form, target=UNITS[0], parts=(Part(UNITS[1], matter),))
    check_form(a_case(level=Level.UNITS), of_units)
    assert refused(of_units, a_case(level=Level.AUTHORITIES)).metadata["field"] == "parts"
    of_cities = given(form)
    assert refused(of_cities, a_case(level=Level.UNITS)).metadata["field"] == "parts"


def test_each_part_of_a_split_has_a_matter_of_its_own_beside_the_tickets() -> None:
    case = a_case()
    for parts in (
        (Part(BAODING),),
        (Part(BAODING, "020401"), Part(SHIJIAZHUANG, "020401")),
        (Part(BAODING, case.facts.matter),),
    ):
        assert refused(given(Form.SPLIT, parts=parts), case).metadata["field"] == "parts"
    assert refused(given(Form.JOINT, parts=(Part(BAODING, "020401"),))).metadata["field"] == "parts"


@pytest.mark.parametrize("number", ["", "13010020260201000000013", LATER])
def test_a_ticket_is_merged_into_an_older_one(number: str) -> None:
    assert refused(given(Form.MERGE, merge_into=number)).metadata["field"] == "merge_into"


def test_a_ticket_is_not_merged_into_itself() -> None:
    case = a_case(ticket=EARLIER)
    assert refused(given(Form.MERGE, merge_into=EARLIER), case).metadata["field"] == "merge_into"


@pytest.mark.parametrize("level", [Level.UNITS, Level.PROVINCES])
def test_only_a_province_refers_out_of_its_scope(level: CaseLevel) -> None:
    assert refused(given(Form.REFER_OUT), a_case(level=level)).metadata["field"] == "form"


def test_until_somebody_outside_accepts_the_province_is_responsible() -> None:
    ruling: CaseRuling = a_ruling(order=given(Form.REFER_OUT), form=Form.REFER_OUT)
    ruled = machine.rule(a_case(), ruling, after=CaseState.RULED, due=None)
    taken = machine.take(ruled, number=1, now=NOW)
    assert (taken.state, taken.responsible) == (CaseState.CLOSED, HEBEI)
    assert TIANJIN not in taken.audience  # the case is none of another scope's business


def test_others_than_the_target_of_a_ruling_are_told_the_case() -> None:
    ruling = a_ruling(form=Form.JOINT, parts=(Part(AuthorityCode("130200")),))
    ruled = machine.rule(a_case(), ruling, after=CaseState.RULED, due=None)
    assert {"130200", LANGFANG} <= set(ruled.audience)
