"""Parts of a ruling as a person writes them."""

from __future__ import annotations

import pytest

from gateway.cli.case_forms import Form, parts_given, said_form, summary
from gateway.kernel.codes import CaseRulingForm
from gateway.kernel.errors import FieldInvalid
from hotline.arbitration.v1 import case_pb2


@pytest.mark.parametrize(
    ("text", "party", "matter"),
    [
        ("130600", "130600", ""),
        ("130600=041200", "130600", "041200"),
        ("130100-JT-1", "units/130100-JT-1", ""),
        ("units/130100-JT-1=041200", "units/130100-JT-1", "041200"),
    ],
)
def test_a_part_is_an_authority_or_a_unit_and_of_a_split_its_matter(
    text: str, party: str, matter: str
) -> None:
    [part] = parts_given([text])
    assert (part.party, part.matter) == (party, matter)


@pytest.mark.parametrize("text", ["", "保定", "130600=", "130600=04", "units/", "030600"])
def test_what_is_no_part_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(FieldInvalid, match="130600=041200"):
        parts_given([text])


def test_every_form_of_the_standard_can_be_given() -> None:
    assert {form.code for form in Form} == set(CaseRulingForm)


def test_who_confirms_sees_what_is_ordered_besides_the_target() -> None:
    assert summary(Form.ALONE, [], "") == ""
    words = summary(Form.SPLIT, parts_given(["130600=041200"]), "")
    assert "130600=041200" in words


def test_a_ruling_without_a_form_shows_none() -> None:
    assert said_form(case_pb2.CaseRuling()) == {}
    shown = said_form(case_pb2.CaseRuling(form=case_pb2.CaseRuling.FORM_MERGE, merge_into="1"))
    assert "1" in shown.values()
