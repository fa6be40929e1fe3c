"""Days, counts and budgets, by properties."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.aggregates import machine
from gateway.aggregates.model import Cell, ReportPolicy
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.time import day_of

DAYS = st.dates(min_value=date(2020, 1, 1), max_value=date(2199, 12, 31))
DOMAIN = ("010000", "020000", "990000")


@given(DAYS)
def test_a_day_and_its_number_are_the_same(day: date) -> None:
    number = machine.day_number(day)
    assert machine.date_of(number) == day
    assert machine.date_of(machine.next_day(number)) == day + timedelta(days=1)
    assert machine.quarter_of(number) == (day.month + 2) // 3


@given(DAYS)
def test_a_day_has_the_instants_of_shanghai_and_no_other(day: date) -> None:
    begin, end = machine.bounds(machine.day_number(day))
    moment = timedelta(microseconds=1)
    assert day_of(begin) == day == day_of(end - moment)
    assert day_of(begin - moment) != day != day_of(end)
    assert not machine.is_closed(machine.day_number(day), end)
    assert machine.is_closed(machine.day_number(day), end + machine.CLOSE_DELAY)


@pytest.mark.parametrize("number", [0, 20260230, 20261301, 20260100])
def test_a_number_that_is_no_day_is_refused(number: int) -> None:
    with pytest.raises(FieldInvalid):
        machine.date_of(number)


@given(st.dictionaries(st.text(max_size=2), st.integers(0, 1000)))
def test_no_ticket_is_lost_or_counted_twice(by_prefix: dict[str, int]) -> None:
    counts = machine.exact_counts(by_prefix, domain=DOMAIN)
    assert len(counts) == len(DOMAIN)
    assert sum(counts) == sum(by_prefix.values())


def test_an_unknown_matter_counts_among_the_others() -> None:
    assert machine.exact_counts({"01": 2, "88": 3, "": 1}, domain=DOMAIN) == (2, 0, 4)
    assert machine.exact_counts({"88": 3}, domain=("010000", "020000")) == (0, 3)


@given(st.lists(st.integers(-100, 100), min_size=3, max_size=3), st.integers(1, 50))
def test_what_leaves_is_at_least_the_threshold_or_nothing(noisy: list[int], threshold: int) -> None:
    cells = machine.cells_of(DOMAIN, noisy, threshold=threshold)
    assert [cell.matter for cell in cells] == list(DOMAIN)
    for cell, value in zip(cells, noisy, strict=True):
        assert cell == Cell(cell.matter, value if value >= threshold else None)


@given(
    st.lists(st.integers(0, 3), max_size=40),
    st.integers(0, 10_000_000),
    st.integers(0, 10_000_000),
    st.integers(1_000, 3_000_000),
)
def test_no_sequence_of_reports_overspends(
    quarters: list[int], year_micro: int, quarter_micro: int, epsilon_micro: int
) -> None:
    policy = ReportPolicy(
        epsilon_micro=epsilon_micro, year_micro=year_micro, quarter_micro=quarter_micro
    )
    spent: dict[int, int] = {}
    for quarter in quarters:
        day = 20260101 + quarter * 300
        balances = machine.balances_of(day, policy, spent)
        refused = machine.refusal(day, policy, balances)
        if refused is None:
            spent[quarter + 1] = spent.get(quarter + 1, 0) + epsilon_micro
        else:
            assert refused.needed_micro > refused.left_micro
        assert sum(spent.values()) <= year_micro
        assert max(spent.values(), default=0) <= quarter_micro
