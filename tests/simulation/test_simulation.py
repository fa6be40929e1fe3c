"""The protocol holds under loss, repetition, reordering, delay, partition, crash and restart.

Method: seeds in four slices, so that they run on all cores (`make sim` plays more); every safety
property after every step, every liveness property after healing. Each planted fault must be caught
within a stated number of seeds: a checker that cannot fail is no checker.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.checkers import Violation
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.run import play

SEEDS = 200
SLICES = 4
MUTANT_SEEDS_MAX = 60
FAULTS = {
    "crash after_commit",
    "crash before_commit",
    "cut",
    "held",
    "late",
    "lost",
    "repeated",
    "restart",
    "rotated",
    "ruled",
    "shuffled",
    "unanswered",
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("part", range(SLICES))
def test_no_property_is_violated_in_any_seed(part: int) -> None:
    faults: Counter[str] = Counter()
    for seed in range(part, SEEDS, SLICES):
        faults += play(seed)
    assert set(faults) >= FAULTS, "every kind of fault must have fired"


@pytest.mark.parametrize("seed", [257, 303, 383])
def test_a_seed_that_once_failed_stays_clean(seed: int) -> None:
    """257, 303: a Release overtook the text. 383: the checker took a way home for a hop."""
    assert play(seed)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_dropped_rule_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.apply(monkeypatch)
    for seed in range(mutant.seed, mutant.seed + MUTANT_SEEDS_MAX):
        violation = _violation_of(seed)
        if violation is not None:
            assert violation.name in mutant.caught_by, violation
            return
    pytest.fail(f"{mutant.name} survived {MUTANT_SEEDS_MAX} seeds")


def _violation_of(seed: int) -> Violation | None:
    try:
        play(seed)
    except Violation as violation:
        return violation
    return None
