"""The filter of ListCases."""

from __future__ import annotations

import pytest

from gateway.arbitration.filters import CaseFilter, parse_filter
from gateway.kernel.codes import CaseState
from gateway.kernel.errors import FilterInvalid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", CaseFilter()),
        ('state = "FILED"', CaseFilter(state=CaseState.FILED)),
        ("state=STATE_RULED", CaseFilter(state=CaseState.RULED)),
        ("overdue = true AND state = CLOSED", CaseFilter(CaseState.CLOSED, overdue=True)),
        ("overdue = false", CaseFilter(overdue=False)),
    ],
)
def test_what_a_filter_says(text: str, expected: CaseFilter) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    "text",
    ["ticket = 1", "state = DONE", "overdue = maybe", "state = FILED AND state = RULED", "state"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(FilterInvalid):
        parse_filter(text)
