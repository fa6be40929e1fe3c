"""What the closed forms say is what the distribution is."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.aggregates.model import (
    MICRO,
    Balance,
    ReportPolicy,
    error_bar,
    suppression,
    tail,
    variance,
)

EPSILONS = st.integers(min_value=50_000, max_value=4_000_000)
FAR = 2_000  # the mass beyond is below e^-100 for every ε here


def mass(epsilon_micro: int, x: int) -> float:
    alpha = math.exp(-epsilon_micro / MICRO)
    return (1 - alpha) / (1 + alpha) * alpha ** abs(x)


@given(EPSILONS, st.integers(-50, 50))
def test_the_tail_is_the_sum_of_the_masses(epsilon_micro: int, least: int) -> None:
    summed = sum(mass(epsilon_micro, x) for x in range(least, FAR))
    assert tail(epsilon_micro, least) == pytest.approx(summed, abs=1e-9)


@given(EPSILONS)
def test_the_variance_is_that_of_the_masses(epsilon_micro: int) -> None:
    summed = sum(mass(epsilon_micro, x) * x * x for x in range(-FAR, FAR))
    assert variance(epsilon_micro) == pytest.approx(summed, rel=1e-6)


@given(EPSILONS, st.integers(0, 60))
def test_two_neighbours_are_suppressed_with_nearly_the_same_chance(
    epsilon_micro: int, exact: int
) -> None:
    """The very guarantee, for the event that a cell is withheld."""
    bound = math.exp(epsilon_micro / MICRO) * (1 + 1e-9)
    here = suppression(exact, epsilon_micro=epsilon_micro, threshold=10)
    there = suppression(exact + 1, epsilon_micro=epsilon_micro, threshold=10)
    assert here <= bound * there
    assert there <= bound * here
    assert 1 - there <= bound * (1 - here) + 1e-12


def test_the_defaults_have_the_figures_of_the_chapter() -> None:
    policy = ReportPolicy()
    given = {"epsilon_micro": policy.epsilon_micro, "threshold": policy.threshold}
    assert 1 - suppression(0, **given) == pytest.approx(0.0042, abs=5e-5)
    assert 1 - suppression(1, **given) == pytest.approx(0.0069, abs=5e-5)
    assert suppression(20, **given) == pytest.approx(0.0025, abs=5e-5)
    assert error_bar(variance(policy.epsilon_micro)) == 6
    assert error_bar(30 * variance(policy.epsilon_micro)) == 31


def test_a_year_pays_every_day_once_and_no_day_twice() -> None:
    policy = ReportPolicy()
    assert policy.year_micro == 366 * policy.epsilon_micro
    assert policy.quarter_micro == 92 * policy.epsilon_micro


@pytest.mark.parametrize(
    "changes",
    [{"epsilon_micro": 0}, {"epsilon_micro": 10_000_001}, {"threshold": 0}, {"year_micro": -1}],
)
def test_a_policy_that_no_report_could_follow_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be|negative"):
        ReportPolicy(**changes)


def test_nothing_left_is_never_less_than_nothing() -> None:
    assert Balance("2026", 5, 7).left_micro == 0


def test_the_table_of_the_chapter_has_the_figures_of_the_model() -> None:
    text = (Path(__file__).parents[3] / "docs/aggregates.md").read_text(encoding="utf-8")
    for epsilon in (0.25, 0.5, 1):
        micro = int(epsilon * MICRO)
        shown = [
            f"{100 * (1 - suppression(exact, epsilon_micro=micro, threshold=10)):.2f} %"
            for exact in (0, 1, 5, 10, 20)
        ]
        bars = [f"±{error_bar(days * variance(micro))}" for days in (1, 30)]
        cells = (f"{1 / epsilon:g}", *shown, *bars, f"{math.tanh(epsilon / 2):.3f}")
        assert f"| {' | '.join(cells)} |" in text
