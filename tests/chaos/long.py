"""The long run of chaos: `python -m tests.chaos.long --transfers 1000000 --seed 20261121`.

Load goes on from all sides while the torment goes on too, a minute of every two; the other minute
lets the queues run empty, so that the run tests healing again and again. It ends when enough
hand-overs were accepted, reconciles everything, and prints one JSON object: the result for docs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import reconcile
from tests.chaos.federation import Chaos, running
from tests.chaos.torment import Torment

TRANSFERS = 1_000_000
TICKETS_A_WAVE = 300
ROUNDS_A_WAVE = 12
SETTLE_SECONDS_MAX = 600.0
CONVERGED_SECONDS_MAX = 30.0
WAYS = (("120000", "131000", 3), ("320000", "131000", 2), ("120000", "320000", 1))


async def run(*, transfers: int, seed: int, folder: Path) -> dict[str, object]:
    """Run until `transfers` hand-overs were accepted and return what happened.

    Raises:
        AssertionError: something was lost, doubled, or did not converge.
    """
    began = time.monotonic()
    async with running(folder) as chaos:
        torment = Torment(chaos, random.Random(seed))
        converged: list[float] = []
        done = waves = 0
        while done < transfers:
            waves += 1
            done = await _wave(chaos, torment, converged)
            sys.stderr.write(
                f"{done} hand-overs, wave {waves}, {converged[-1]:.1f} s to converge\n"
            )
        await chaos.check()
        return {
            "seed": seed,
            "transfers": done,
            "tickets": len(chaos.acknowledged),
            "held_once": reconcile.held_once(await chaos.state(), chaos.acknowledged),
            "faults": dict(sorted(torment.counts.items())),
            "waves": waves,
            "converge_seconds_median": round(sorted(converged)[len(converged) // 2], 1),
            "converge_seconds_max": round(max(converged), 1),
            "within_30_s": sum(taken <= CONVERGED_SECONDS_MAX for taken in converged),
            "seconds": round(time.monotonic() - began),
        }


async def _wave(chaos: Chaos, torment: Torment, converged: list[float]) -> int:
    share = TICKETS_A_WAVE // sum(weight for _, _, weight in WAYS)
    load = asyncio.gather(
        *(chaos.submit(source, target, count=share * weight) for source, target, weight in WAYS)
    )
    await torment.rounds(ROUNDS_A_WAVE)
    await torment.end()
    await load
    converged.append(await chaos.settled_within(SETTLE_SECONDS_MAX))
    state = await chaos.state()
    found = reconcile.faults(state, chaos.acknowledged)
    assert not found, found[:10]
    return sum(row["verdict"] == "ACCEPTED" for row in state.made)


def main() -> int:
    """Run and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfers", type=int, default=TRANSFERS)
    parser.add_argument("--seed", type=int, default=20261121)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lubiao-chaos-") as name:
        result = asyncio.run(
            run(transfers=given.transfers, seed=given.seed, folder=Path(name) / "federation")
        )
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
