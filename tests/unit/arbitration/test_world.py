"""Small worlds of `lubiao bench arbitration`: what must never happen does not, in any mix.

The worlds are those of the benchmark (`benchmarks/arbitration_world.py`): the real rooms of four
nodes in memory, a year on a clock that jumps, people who answer in time, late, never or wrongly.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import arbitration
from benchmarks.arbitration_found import BY_CLOCK, Found, live
from benchmarks.arbitration_people import GOAL, MIXES, Mix
from benchmarks.arbitration_quarrels import AUTHORITIES, PROVINCES, UNITS, Habit
from gateway.kernel.codes import CaseLevel

pytestmark = pytest.mark.timeout(600)  # some seconds of work; much more on a machine that is busy
NOBODY = next(mix for mix in MIXES if not mix.in_time)
ALL = next(mix for mix in MIXES if mix.in_time == 100)
LEVELS = ((UNITS, 0.5), (AUTHORITIES, 0.3), (PROVINCES, 0.2))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep the logs of simulated people to themselves."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


async def a_year(seed: int, mix: Mix, *, tickets: int = 20) -> Found:
    """Live through a year in which nearly everything is disputed; rules stay as they are."""
    return await live(seed, tickets=tickets, mix=mix, disputed=0.9, shares=LEVELS, with_rules=False)


def check(found: Found) -> None:
    """Look at all that holds whatever people do."""
    assert found.cases
    assert {row.name: row.note for row in arbitration.nevers(found) if row.value} == {}
    assert all(item.days <= 3 for item in found.ruled)
    assert all(hours <= 2 for hours in found.orders)


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), mix=st.sampled_from(MIXES))
async def test_whatever_people_do_every_dispute_is_ruled_in_three_days(seed: int, mix: Mix) -> None:
    check(await a_year(seed, mix))


async def test_disputes_of_all_levels_come_before_their_one_ruling_body() -> None:
    found = await a_year(1, GOAL, tickets=30)
    check(found)
    assert {item.level for item in found.ruled} == {
        CaseLevel.UNITS,
        CaseLevel.AUTHORITIES,
        CaseLevel.PROVINCES,
    }


async def test_when_nobody_answers_the_clock_rules_everything() -> None:
    found = await a_year(2, NOBODY)
    check(found)
    assert {item.by for item in found.ruled} == {BY_CLOCK}
    assert {item.days for item in found.ruled} == {3}


async def test_when_everybody_answers_in_time_the_clock_rules_nothing() -> None:
    found = await a_year(3, ALL)
    check(found)
    assert BY_CLOCK not in {item.by for item in found.ruled}
    assert arbitration.times(found)[0].met  # p50


async def test_an_accepted_rule_ends_a_quarrel() -> None:
    quarrel = next(each for each in UNITS if each.habit is Habit.RULE)
    found = await live(1, tickets=12, mix=ALL, disputed=1, shares=(((quarrel,), 1),))
    check(found)
    assert found.rules_accepted == 1
    assert found.calls_under_rule
    assert not found.repeats
