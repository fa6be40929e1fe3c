"""The simulation from the command line: `python -m tests.simulation.run --seeds 200 | --seed 17`.

Prints one line per violation with its seed, and at the end how often every fault fired. Exit code 1
if a property did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections import Counter

import structlog

from tests.simulation.checkers import Violation
from tests.simulation.play import STEPS, Play


def play(seed: int, *, steps: int = STEPS) -> Counter[str]:
    """Play one seed and return how often each fault fired."""
    return Counter(asyncio.run(Play(seed).run(steps)))


def main() -> int:
    """Run the seeds that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="seeds 0 … n-1")
    parser.add_argument("--seed", type=int, help="replay one seed")
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    seeds = range(given.seeds) if given.seed is None else [given.seed]
    faults: Counter[str] = Counter()
    failed = 0
    for seed in seeds:
        try:
            faults += play(seed, steps=given.steps)
        except Violation as violation:
            failed += 1
            sys.stdout.write(f"seed {seed}: {violation}\n")
    sys.stdout.write(
        f"{len(seeds)} seeds, {failed} failed; faults: {dict(sorted(faults.items()))}\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
