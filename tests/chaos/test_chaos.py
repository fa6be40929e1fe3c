"""Faults of the real world on real processes and real PostgreSQL; then everything must reconcile.

The bounds are those that docs/custody.md promises. Each test heals what it broke, waits until
nothing is under way, and reads the databases (`reconcile.py`). The nation's nodes are in the roster
and down, unless a test starts them: that alone must hurt nobody.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from gateway.cli.demo.federation import Federation
from gateway.kernel.time import SystemClock
from tests.chaos.federation import Chaos, running
from tests.chaos.torment import Torment

CONVERGED_SECONDS_MAX = 30.0
FIRST_DELIVERY_SECONDS_MAX = 5.0
RESTART_SECONDS_MAX = 10.0
FAIRNESS_MAX = 2.0  # times as long as before, on a machine that does other things too
SKEW = timedelta(minutes=5)
SMALL_DISK = "160m"  # of a database: a cluster with its log needs half of it
POLL_SECONDS = 0.05


@pytest.mark.timeout(240)
async def test_kills_and_one_way_partitions_lose_and_double_nothing(tmp_path: Path) -> None:
    seed = random.randrange(10**6)  # another one in every run; a failure names it
    async with running(tmp_path, settings=_skewed_clocks()) as chaos:
        load = asyncio.gather(
            chaos.submit("120000", "131000", count=40),
            chaos.submit("320000", "131000", count=20),
            chaos.submit("120000", "320000", count=20),
        )
        torment = Torment(chaos, random.Random(seed))
        await torment.rounds(4)
        await torment.end()
        await load
        await chaos.settled_within(CONVERGED_SECONDS_MAX)
        await chaos.check()
        assert len(chaos.acknowledged) == 80, f"seed {seed}"


@pytest.mark.timeout(240)
async def test_a_peer_that_was_away_gets_everything_and_slows_nobody(tmp_path: Path) -> None:
    async with running(tmp_path) as chaos:
        before = await _seconds_to_hebei(chaos)
        chaos.stop("jiangsu")
        await chaos.submit("120000", "320000", count=60)
        during = await _seconds_to_hebei(chaos)
        assert during < FAIRNESS_MAX * before + 1, "a dead peer must not slow another"
        waiting = await chaos.waiting("tianjin", "jiangsu")
        assert waiting >= 60

        chaos.start("jiangsu")
        await chaos.until_up("jiangsu")
        await chaos.until_oldest_leaves("tianjin", "jiangsu", within=FIRST_DELIVERY_SECONDS_MAX)
        await chaos.settled_within(CONVERGED_SECONDS_MAX)
        await chaos.check()


@pytest.mark.timeout(240)
async def test_a_restart_of_a_peer_costs_little(tmp_path: Path) -> None:
    async with running(tmp_path) as chaos:
        await chaos.submit("120000", "131000", count=10)
        chaos.kill("hebei")
        await chaos.submit("120000", "131000", count=10)
        (chaos.federation.layout.node("hebei") / "serving").unlink(missing_ok=True)
        chaos.revive()
        await chaos.until_up("hebei")
        began = time.monotonic()
        await chaos.until_nothing_waits("tianjin", "hebei", within=CONVERGED_SECONDS_MAX)
        assert time.monotonic() - began < RESTART_SECONDS_MAX
        await chaos.settled_within(CONVERGED_SECONDS_MAX)
        await chaos.check()


@pytest.mark.timeout(240)
async def test_a_full_disk_is_an_error_and_no_loss(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    with _small_disk(tmp_path / "small") as disk:

        def place(federation: Federation) -> None:
            federation.layout.database("jiangsu").symlink_to(disk / "database")

        async with running(tmp_path / "federation", prepare=place) as chaos:
            await chaos.submit("320000", "131000", count=5)
            load = asyncio.create_task(chaos.submit("120000", "320000", count=20))
            ballast = disk / "ballast"
            _fill(ballast)
            assert await _refusal(chaos, "320000") is grpc.StatusCode.UNAVAILABLE
            ballast.unlink()
            await load
            await chaos.submit("320000", "131000", count=5)
            await chaos.settled_within(CONVERGED_SECONDS_MAX)
            await chaos.check()


# --- parts ----------------------------------------------------------------------------------


async def _refusal(chaos: Chaos, authority: str) -> grpc.StatusCode:
    """Hand messages in until one is not acknowledged, and return why."""
    while True:
        try:
            await chaos.submit_once(authority, "131000")
        except grpc.aio.AioRpcError as error:
            return error.code()


async def _seconds_to_hebei(chaos: Chaos) -> float:
    """Return how long it takes to hand 20 tickets in and deliver them to the node of 河北."""
    began = time.monotonic()
    await chaos.submit("120000", "131000", count=20)
    await chaos.until_nothing_waits("tianjin", "hebei", within=CONVERGED_SECONDS_MAX)
    return time.monotonic() - began


def _skewed_clocks() -> dict[str, list[str]]:
    """Let one node's business clock go ahead and another's behind."""
    now = SystemClock().now()
    return {
        node: [
            "[clock]",
            f"start = {(now + skew).isoformat()}",
            f"anchor = {now.isoformat()}",
            "rate = 1.0",
        ]
        for node, skew in {"tianjin": SKEW, "hebei": -SKEW}.items()
    }


@contextmanager
def _small_disk(place: Path) -> Iterator[Path]:
    """Give a file system with little room."""
    place.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "lubiao", place], check=True
    )
    place.chmod(0o777)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def _fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(1 << 20))
        except OSError:
            pass
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            pass
