"""A peer that is away for days: `python -m tests.chaos.away --hours 72 --queued 100000`.

江苏 is down while 天津 goes on taking tickets for it, until so many statements wait and so many
hours have passed on the nodes' business clocks, which run fast: windows end, offers are asked back,
cases wait for an arbiter that is away too. Then 江苏 comes back. Printed is how long the first
statement, the rest and the reckoning took, and how long tickets from 天津 to 河北 took before,
meanwhile, and while the queue was drained.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from gateway.kernel.time import SystemClock
from tests.chaos import reconcile
from tests.chaos.federation import PROVINCE_NODES, Chaos, running

HOURS, QUEUED = 72.0, 100_000
RATE = 432.0  # business seconds a second: 72 hours in ten minutes
WAVE = 1_000
PROBES = 20
PROBE_SECONDS_MAX = 300.0
TOLD_SECONDS = 30.0  # between two lines about how far the draining is
DRAINED_SECONDS_MAX = 7200.0
BEGIN = datetime.fromisoformat("2026-03-02T09:00:00+08:00")


async def run(*, hours: float, queued: int, folder: Path) -> dict[str, object]:
    """Play it once and return what was measured.

    Raises:
        AssertionError: something was lost, doubled, or does not come to rest.
    """
    async with running(folder, settings=_fast_clocks()) as chaos:
        before = await _probe(chaos)
        chaos.stop("jiangsu")
        away = time.monotonic()
        meanwhile = 0.0
        while (waiting := await chaos.waiting("tianjin", "jiangsu")) < queued or (
            time.monotonic() - away
        ) * RATE < hours * 3600:
            if waiting < queued:
                await chaos.submit("120000", "320000", count=WAVE)
            meanwhile = max(meanwhile, await _probe(chaos))
            sys.stderr.write(f"{waiting} wait\n")
        passed = (time.monotonic() - away) * RATE / 3600
        chaos.start("jiangsu")
        await chaos.until_up("jiangsu")
        began = time.monotonic()
        first = await chaos.until_oldest_leaves("tianjin", "jiangsu", within=DRAINED_SECONDS_MAX)
        sys.stderr.write(f"the first was taken after {first:.2f} s\n")
        draining = await _probe(chaos)
        sys.stderr.write(f"meanwhile tickets of others took {draining:.2f} s\n")
        async with _told(chaos):
            await chaos.until_nothing_waits("tianjin", "jiangsu", within=DRAINED_SECONDS_MAX)
        drained = time.monotonic() - began
        await chaos.settled_within(DRAINED_SECONDS_MAX)
        await chaos.check()
        return {
            "hours": round(passed, 1),
            "queued": waiting,
            "tickets": len(chaos.acknowledged),
            "held_once": reconcile.held_once(await chaos.state(), chaos.acknowledged),
            "first_delivery_seconds": round(first, 2),
            "drained_seconds": round(drained, 1),
            "statements_per_second": round(waiting / drained, 1),
            "settled_seconds": round(time.monotonic() - began, 1),
            "probe_seconds": {
                "before": round(before, 2),
                "meanwhile_max": round(meanwhile, 2),
                "while_drained": round(draining, 2),
            },
        }


@asynccontextmanager
async def _told(chaos: Chaos) -> AsyncIterator[None]:
    """Tell now and then how many statements wait, so that nobody takes slow for stuck."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(TOLD_SECONDS)
            sys.stderr.write(f"{await chaos.waiting('tianjin', 'jiangsu')} wait still\n")

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()


async def _probe(chaos: Chaos) -> float:
    """Return how long it takes to hand some tickets in and deliver them to the node of 河北."""
    began = time.monotonic()
    await chaos.submit("120000", "131000", count=PROBES)
    await chaos.until_nothing_waits("tianjin", "hebei", within=PROBE_SECONDS_MAX)
    return time.monotonic() - began


def _fast_clocks() -> dict[str, list[str]]:
    anchor = SystemClock().now() + timedelta(seconds=30)
    lines = [
        "[clock]",
        f"start = {BEGIN.isoformat()}",
        f"anchor = {anchor.isoformat()}",
        f"rate = {RATE}",
    ]
    return dict.fromkeys(PROVINCE_NODES, lines)


def main() -> int:
    """Run and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=HOURS)
    parser.add_argument("--queued", type=int, default=QUEUED)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lubiao-chaos-") as name:
        result = asyncio.run(
            run(hours=given.hours, queued=given.queued, folder=Path(name) / "federation")
        )
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
