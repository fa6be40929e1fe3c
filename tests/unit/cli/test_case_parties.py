"""Parties are written as people call them; what is neither a code nor a unit is not sent."""

from __future__ import annotations

import pytest

from gateway.cli.case_parties import party_given
from gateway.kernel.errors import FieldInvalid


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("", ""),
        ("130100", "130100"),
        ("130100-GA-1", "units/130100-GA-1"),
        ("units/130100-GA-1", "units/130100-GA-1"),
        ("120000-YJ_YAO-1", "units/120000-YJ_YAO-1"),
        ("130100-desk", "units/130100-desk"),
    ],
)
def test_a_party_has_one_name(given: str, name: str) -> None:
    assert party_given(given, option="--to") == name


@pytest.mark.parametrize(
    "given", ["公安局", "1301", "130100-ga-1", "units/130100", "authorities/130100", " 130100"]
)
def test_anything_else_is_refused_with_examples(given: str) -> None:
    with pytest.raises(FieldInvalid, match="130100-GA-1"):
        party_given(given, option="--to")
