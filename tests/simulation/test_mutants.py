"""A checker that cannot fail is no checker: each planted fault must be caught.

Each runs from a seed near which it is caught, with a quarter of an honest run's steps; within
`SEEDS_MAX` seeds one of the properties that it names must fail. Others may fail before: a dropped
rule spoils more than one thing.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.checkers import PROPERTIES, Violation
from tests.simulation.mutants import MUTANTS, STORY_MUTANTS, Mutant
from tests.simulation.play import Play

SEEDS_MAX = 30
MUTANTS_MIN = 45


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_dropped_rule_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.apply(monkeypatch)
    seen = []
    for seed in range(mutant.seed, mutant.seed + SEEDS_MAX):
        seen.append(_violated(seed, mutant.steps))
        if seen[-1] in mutant.caught_by:
            return
    pytest.fail(f"{mutant.name} survived {SEEDS_MAX} seeds, or was noticed only as {set(seen)}")


def _violated(seed: int, steps: int) -> str:
    try:
        asyncio.run(Play(seed).run(steps))
    except Violation as violation:
        return violation.name
    return ""


def test_each_property_catches_a_mutant_that_no_other_one_is_said_to_catch() -> None:
    alone = {name for mutant in MUTANTS if len(mutant.caught_by) == 1 for name in mutant.caught_by}
    assert not PROPERTIES - alone


def test_there_are_enough_mutants_and_each_has_a_name() -> None:
    names = [mutant.name for mutant in (*MUTANTS, *STORY_MUTANTS)]
    assert len(MUTANTS) >= MUTANTS_MIN
    assert len(set(names)) == len(names)
