"""What still works while something that one depends on is down: a row of docs/custody.md each.

Rows whose dependency a test of another folder takes away are named there; these need a federation.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import asyncpg
import grpc
import psutil
import pytest

from gateway.cli.demo.processes import postmaster_pid
from gateway.kernel.time import SystemClock
from tests.chaos.federation import Chaos, running

SETTLED_SECONDS_MAX = 30.0
REPORT_SECONDS_MAX = 60.0
START_MAX = timedelta(seconds=30)  # of the nodes, so that they see the day end
POLL_SECONDS = 0.1
EVENING = "2026-11-20T23:59:40+08:00"  # a report is due a minute after midnight: in eight seconds


@pytest.mark.timeout(240)
async def test_without_the_nation_tickets_cross_and_the_reports_wait(tmp_path: Path) -> None:
    async with running(tmp_path, settings={"tianjin": _clock_from(EVENING)}) as chaos:
        assert not chaos.running & {"national-hub", "national-arbiter"}
        await chaos.submit("120000", "131000", count=5)
        await chaos.submit("320000", "120000", count=5)
        await _until_waiting(chaos, "national-hub", at_least=1)
        await chaos.check_but_waiting_for("national-hub", within=SETTLED_SECONDS_MAX)

        chaos.start("national-hub")
        await chaos.until_up("national-hub")
        await _until_reported(chaos)
        await chaos.settled_within(SETTLED_SECONDS_MAX)
        await chaos.check()


@pytest.mark.timeout(240)
async def test_a_database_that_hangs_acknowledges_nothing_and_comes_back(tmp_path: Path) -> None:
    async with running(tmp_path) as chaos:
        await chaos.submit("120000", "131000", count=5)
        with _hanging_database(chaos, "jiangsu"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await chaos.submit_once("320000", "131000")
            assert refused.value.code() in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            )
            await chaos.submit("120000", "131000", count=5)  # the others go on
        await chaos.submit("320000", "131000", count=5)
        await chaos.settled_within(SETTLED_SECONDS_MAX)
        await chaos.check()


# --- parts ----------------------------------------------------------------------------------


def _clock_from(start: str) -> list[str]:
    anchor = SystemClock().now() + START_MAX  # before it the clock shows an earlier time
    return ["[clock]", f"start = {start}", f"anchor = {anchor.isoformat()}", "rate = 10.0"]


@contextmanager
def _hanging_database(chaos: Chaos, node: str) -> Iterator[None]:
    """Stop every process of a node's PostgreSQL for a while, as a dead disk does."""
    pid = postmaster_pid(chaos.federation.layout.database(node))
    assert pid is not None
    top = psutil.Process(pid)
    os.kill(top.pid, signal.SIGSTOP)  # first, so that no further process begins
    stopped = [child.pid for child in top.children(recursive=True)]
    for each in stopped:
        with suppress(ProcessLookupError):  # a worker that had just ended
            os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in (*reversed(stopped), top.pid):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)


async def _until_waiting(chaos: Chaos, target: str, *, at_least: int) -> None:
    end = time.monotonic() + REPORT_SECONDS_MAX
    while await chaos.waiting("tianjin", target) < at_least:
        assert time.monotonic() < end, f"nothing waits for {target}"
        await asyncio.sleep(POLL_SECONDS)


async def _until_reported(chaos: Chaos) -> None:
    end = time.monotonic() + REPORT_SECONDS_MAX
    connection = await asyncpg.connect(chaos.dsn("national-hub"))
    try:
        while not await connection.fetchval("SELECT count(*) FROM hub_reports"):
            assert time.monotonic() < end, "the hub has no report"
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await connection.close()
