"""The simulation from the command line: `python -m tests.simulation.run --seeds 500 | --seed 17`.

Seeds run on all cores, each in one process. A seed that fails is printed with the property, a
shrunk schedule and the log of its run. At the end comes how often every fault struck, which cells
of the protocol's tables were taken, and how fast it went. The exit code is 1 if a property did not
hold, or if a run of the size of CI or more never met some fault or cell.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import structlog

from tests.simulation import coverage
from tests.simulation.case_coverage import STAGES, stage_cells
from tests.simulation.checkers import Violation
from tests.simulation.faults import ALWAYS
from tests.simulation.play import STEPS, Play
from tests.simulation.shrink import shrink

SEEDS_CI = 64  # so many seeds meet every fault, every cell, and the rare stages of a dispute
PROGRESS = 100  # seeds between two lines on standard error
CHUNK = 4  # seeds that a process takes at once
SHRUNK_MAX = 1  # failing seeds that are shrunk; the others are only named


@dataclass(slots=True)
class Result:
    """What became of one seed, or of several."""

    seeds: int = 0
    seconds: float = 0.0  # of processor time
    steps: Counter[str] = field(default_factory=Counter)
    steps_least: int | None = None
    faults: Counter[str] = field(default_factory=Counter)
    cells: Counter[str] = field(default_factory=Counter)
    violations: dict[int, str] = field(default_factory=dict)

    def add(self, other: Result) -> None:
        """Add the result of other seeds."""
        self.seeds += other.seeds
        self.seconds += other.seconds
        self.steps += other.steps
        self.faults += other.faults
        self.cells += other.cells
        self.violations |= other.violations
        both = [each for each in (self.steps_least, other.steps_least) if each is not None]
        self.steps_least = min(both, default=None)

    def never(self) -> list[str]:
        """Return the faults and cells that were never met."""
        kinds = [kind for kind in ALWAYS if not self.faults[kind]]
        stages = [cell for cell in stage_cells(ALWAYS) if not self.cells[cell]]
        return kinds + coverage.missing(self.cells) + stages


def play(seed: int, *, steps: int = STEPS) -> Counter[str]:
    """Play one seed and return how often each fault fired.

    Raises:
        Violation: a property does not hold.
    """
    return Counter(asyncio.run(Play(seed).run(steps)))


def result_of(seed: int, *, steps: int = STEPS) -> Result:
    """Play one seed and return all that is to be counted, a violation included."""
    start = time.process_time()
    run = Play(seed)
    violations: dict[int, str] = {}
    try:
        asyncio.run(run.run(steps))
    except Violation as violation:
        violations[seed] = str(violation)
    except Exception as error:  # a defect of the product, or of the simulation
        violations[seed] = f"ERROR: {type(error).__name__}: {error}"
    return Result(
        seeds=1,
        seconds=time.process_time() - start,
        steps=run.world.steps,
        steps_least=run.world.taken,
        faults=run.world.faults,
        cells=run.world.coverage.taken,
        violations=violations,
    )


def quiet() -> None:
    """Let the product log nothing: in a simulation everything goes wrong all the time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.freeze()  # what is imported stays: the collector need not look at it again


def main() -> int:
    """Run the seeds that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay one seed")
    parser.add_argument("--steps", type=int, default=STEPS, help="protocol steps before healing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--log", action="store_true", help="with --seed: print the whole log")
    parser.add_argument("--no-shrink", action="store_true", help="only name what fails")
    given = parser.parse_args()
    quiet()
    if given.seed is not None:
        return _replay(given)
    seeds = range(given.first, given.first + given.seeds)
    start = time.monotonic()
    total = play_all(seeds, steps=given.steps, jobs=given.jobs)
    shrunk_max = 0 if given.no_shrink else SHRUNK_MAX
    for seed in sorted(total.violations)[:shrunk_max]:
        _shrink(seed, steps=given.steps)
    return _report(total, seconds=time.monotonic() - start, jobs=given.jobs)


def play_all(seeds: Iterable[int], *, jobs: int, steps: int = STEPS) -> Result:
    """Play seeds on several processes and name those that fail as they do."""
    total = Result()
    # Spawned, not forked: a test runner has threads.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=quiet) as pool:
        for each in pool.map(_one, ((seed, steps) for seed in seeds), chunksize=CHUNK):
            total.add(each)
            if total.seeds % PROGRESS == 0:
                sys.stderr.write(f"{total.seeds} seeds, {len(total.violations)} failed\n")
            for seed, text in each.violations.items():
                _say(f"seed {seed}: {text.splitlines()[0]}")
    return total


def _one(given: tuple[int, int]) -> Result:
    seed, steps = given
    return result_of(seed, steps=steps)


def _replay(given: argparse.Namespace) -> int:
    run = Play(given.seed)
    try:
        asyncio.run(run.run(given.steps))
    except Violation as violation:
        _say(f"seed {given.seed}: {violation}")
        if not given.no_shrink:
            _shrink(given.seed, steps=given.steps)
        return 1
    if given.log:
        _say("\n".join(run.world.log))
    _say(f"seed {given.seed}: {run.world.taken} protocol steps, every property holds")
    return 0


def _shrink(seed: int, *, steps: int) -> None:
    shrunk = shrink(seed, steps=steps)
    if shrunk is None:
        _say(f"seed {seed}: holds when played again; report this: a run must repeat")
    else:
        _say(f"seed {seed}, {shrunk.text()}\nreplay: make sim SEED={seed}")


def _report(total: Result, *, seconds: float, jobs: int) -> int:
    steps = sum(total.steps.values())
    _say("faults that struck")
    for kind in sorted({*ALWAYS, *total.faults}):
        _say(f"  {total.faults[kind]:9,}  {kind}")
    _say("cells of the tables that were taken")
    for cell in coverage.cells():
        why = (
            f" (cannot be taken: {coverage.UNREACHABLE[cell]})"
            if cell in coverage.UNREACHABLE
            else ""
        )
        _say(f"  {total.cells[cell]:9,}  {cell}{why}")
    _say("faults at a node of a case, or between two, by the stage that it was in")
    _say("  " + " ".join(f"{stage.name:>10}" for stage in STAGES))
    for kind in ALWAYS:
        counts = [total.cells[cell] for cell in stage_cells([kind])]
        _say("  " + " ".join(f"{count:10,}" for count in counts) + f"  {kind}")
    _say("protocol steps")
    for kind, count in sorted(total.steps.items()):
        _say(f"  {count:9,}  {kind}")
    never = total.never() if total.seeds >= SEEDS_CI else []
    for name in never:
        _say(f"NEVER met: {name}")
    _say(
        f"{total.seeds} seeds, {len(total.violations)} failed; {steps:,} protocol steps,"
        f" at least {total.steps_least or 0:,} in each;"
        f" {steps / max(total.seconds, 1e-9):,.0f} steps/s on a core"
        f" ({total.seconds:,.1f} s of processor time, {seconds:,.1f} s on {jobs} processes)"
    )
    return 1 if total.violations or never else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
