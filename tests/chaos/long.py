"""The long run of chaos: `python -m tests.chaos.long --transfers 1000000 --seed 20261121`.

Waves of load, as fast as it is taken, and at the beginning of each the torment; then everything is
mended and the queues run empty. How long that takes is a matter of how many tickets wait. So a few
more rounds of torment follow while tickets trickle, no more than a node can carry on at once:
mended again, everything must converge, and that is timed. At last what changed since the wave
before is reconciled, so that a wave costs what it did. When enough hand-overs were accepted
everything is reconciled once from the beginning, and one JSON object is printed: the result for
docs.

With `--folder DIR` the federation lives there and the run keeps its state beside it, after each
wave: stopped, or killed, it goes on from there when it is started again. The totals so far are
printed after each wave, so that a run that nobody finishes has a result too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from tests.chaos.federation import Chaos, running
from tests.chaos.reckoning import Mark, Place, Reckoning
from tests.chaos.torment import Torment

TRANSFERS = 1_000_000
TICKETS_A_WAVE = 3_000
ROUNDS_A_WAVE = 12
ROUNDS_BEFORE_HEALING = 3
TRICKLE_SECONDS = 0.1  # between two tickets of one way
STALLED_SECONDS_MAX = 600.0  # without anything getting less: then it does not converge
CONVERGED_SECONDS_MAX = 30.0
WAYS = (("120000", "131000", 3), ("320000", "131000", 2), ("120000", "320000", 1))
STATE_FILE = "long.json"
ACKNOWLEDGED_FILE = "acknowledged.tsv"


@dataclass(slots=True)
class Totals:
    """What the run has done so far; written after each wave."""

    seed: int
    waves: int = 0
    transfers: int = 0
    tickets: int = 0  # acknowledged and reconciled
    seconds: float = 0.0
    interrupted: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    converged: list[float] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)

    def result(self) -> dict[str, object]:
        """Return it for people."""
        ordered = sorted(self.converged) or [0.0]
        return {
            "seed": self.seed,
            "transfers": self.transfers,
            "tickets": self.tickets,
            "faults": dict(sorted(self.faults.items())),
            "waves": self.waves,
            "interrupted": self.interrupted,
            "converge_seconds_median": round(ordered[len(ordered) // 2], 1),
            "converge_seconds_max": round(ordered[-1], 1),
            "within_30_s": sum(taken <= CONVERGED_SECONDS_MAX for taken in ordered),
            "seconds": round(self.seconds),
            "transfers_per_second": round(self.transfers / max(self.seconds, 1.0), 1),
        }

    def write(self, folder: Path) -> None:
        """Keep it; an interruption leaves the old file or the new one."""
        kept = {
            "seed": self.seed,
            "waves": self.waves,
            "transfers": self.transfers,
            "tickets": self.tickets,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "faults": dict(self.faults),
            "converged": self.converged,
            "marks": {code: mark.as_json() for code, mark in self.marks.items()},
        }
        fresh = folder / f"{STATE_FILE}.new"
        fresh.write_text(json.dumps(kept), encoding="utf-8")
        fresh.replace(folder / STATE_FILE)

    @classmethod
    def read(cls, folder: Path, *, seed: int) -> Totals:
        """Return what an earlier run kept in the folder, or the totals of a new one."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / STATE_FILE
        if not path.exists():
            return cls(seed)
        kept = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            seed=kept["seed"],
            waves=kept["waves"],
            transfers=kept["transfers"],
            tickets=kept["tickets"],
            seconds=kept["seconds"],
            interrupted=kept["interrupted"] + 1,
            faults=Counter(kept["faults"]),
            converged=kept["converged"],
            marks={code: Mark.from_json(mark) for code, mark in kept["marks"].items()},
        )


async def run(
    *, transfers: int, seed: int, folder: Path, tickets_a_wave: int = TICKETS_A_WAVE
) -> dict[str, object]:
    """Run until `transfers` hand-overs were accepted and return what happened.

    Raises:
        AssertionError: something was lost, doubled, or did not converge.
    """
    totals = Totals.read(folder, seed=seed)
    totals.write(folder)  # from now on this folder's run is known by its seed
    with (folder / ACKNOWLEDGED_FILE).open("a+", encoding="ascii") as log:
        async with running(folder / "federation") as chaos:
            chaos.acknowledged.update(_acknowledged(log))
            chaos.heard = lambda number, external: _note(log, number, external)
            reckoning = Reckoning(_places(chaos), totals.marks)
            while totals.transfers < transfers:
                began = time.monotonic()
                await _wave(chaos, totals, reckoning, tickets_a_wave)
                totals.seconds += time.monotonic() - began
                totals.write(folder)
                sys.stderr.write(f"{json.dumps(totals.result())}\n")
            held = await reckoning.whole(chaos.acknowledged)
            assert held == len(chaos.acknowledged), f"{held} of {len(chaos.acknowledged)} are held"
            return {**totals.result(), "held_once": held}


async def _wave(chaos: Chaos, totals: Totals, reckoning: Reckoning, tickets: int) -> None:
    """Load under torment, mend, let everything settle, and reconcile what changed."""
    share = tickets // sum(weight for _, _, weight in WAYS)
    torment = Torment(chaos, random.Random(f"{totals.seed}/{totals.waves}/{totals.interrupted}"))
    load = asyncio.gather(
        *(chaos.submit(source, target, count=share * weight) for source, target, weight in WAYS)
    )
    await torment.rounds(ROUNDS_A_WAVE)
    await torment.end()
    await load
    numbers = list(chaos.acknowledged)[totals.tickets :]
    await chaos.settled(numbers, stalled_seconds_max=STALLED_SECONDS_MAX)
    taken = await _healed(chaos, torment)
    totals.transfers += await reckoning.wave(chaos.acknowledged)
    totals.marks = reckoning.marks
    totals.converged.append(round(taken, 1))
    totals.faults += torment.counts
    totals.tickets = len(chaos.acknowledged)
    totals.waves += 1


async def _healed(chaos: Chaos, torment: Torment) -> float:
    """Torment while tickets trickle, mend; return after how many seconds all had converged."""
    before, over = len(chaos.acknowledged), asyncio.Event()
    trickle = asyncio.gather(*(_trickle(chaos, way[0], way[1], over) for way in WAYS))
    await torment.rounds(ROUNDS_BEFORE_HEALING)
    over.set()
    await torment.end()
    mended = time.monotonic()
    await trickle
    numbers = list(chaos.acknowledged)[before:]
    await chaos.settled(numbers, stalled_seconds_max=STALLED_SECONDS_MAX)
    return time.monotonic() - mended


async def _trickle(chaos: Chaos, source: str, target: str, over: asyncio.Event) -> None:
    while not over.is_set():
        await chaos.submit(source, target, count=1)
        await asyncio.sleep(TRICKLE_SECONDS)


def _places(chaos: Chaos) -> dict[str, Place]:
    nodes = chaos.federation.topology.nodes
    return {
        node.name: Place(chaos.dsn(node.name), tuple(node.authorities))
        for node in nodes
        if node.name in chaos.running
    }


def _note(log: TextIO, number: str, external: str) -> None:
    """Write down at once what was acknowledged: a killed run must still reckon with it."""
    log.write(f"{number}\t{external}\n")
    log.flush()


def _acknowledged(log: TextIO) -> dict[str, str]:
    log.seek(0)
    found: dict[str, str] = {}
    for line in log:
        if line.endswith("\n"):  # the last one may be half written
            number, external = line.rstrip("\n").split("\t")
            found[number] = external
    return found


def main() -> int:
    """Run and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfers", type=int, default=TRANSFERS)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--wave", type=int, default=TICKETS_A_WAVE, help="tickets in a wave")
    parser.add_argument("--folder", type=Path, help="where the run lives and goes on; else nowhere")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lubiao-chaos-") as name:
        result = asyncio.run(
            run(
                transfers=given.transfers,
                seed=given.seed,
                folder=given.folder or Path(name),
                tickets_a_wave=given.wave,
            )
        )
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
