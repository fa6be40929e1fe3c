"""The bell between processes, and the pump that hears it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import asyncpg

from gateway.database.bell import Bell
from gateway.database.postgres import PostgresDatabase
from gateway.kernel.ids import NodeId
from gateway.workers import Post, Worker
from tests.postgres import TestServer

SOON_SECONDS = 5.0
QUICK_SECONDS = 0.5  # well below the poll of one second; it takes some milliseconds
PEERS = frozenset({NodeId("hebei"), NodeId("tianjin")})


async def until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds."""
    async with asyncio.timeout(SOON_SECONDS):
        while not condition():  # noqa: ASYNC110 # what is waited for is another connection's
            await asyncio.sleep(0.005)


@asynccontextmanager
async def ringing(dsn: str, heard: list[str]) -> AsyncIterator[Bell]:
    bell = Bell(dsn, heard=heard.append)
    running = asyncio.create_task(bell.run())
    await until(lambda: bell.is_ready)
    try:
        yield bell
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@dataclass
class Pump:
    woken: list[NodeId] = field(default_factory=list)
    heard: list[NodeId] = field(default_factory=list)

    def wake(self, node: NodeId) -> None:
        self.woken.append(node)

    def heard_from(self, node: NodeId) -> None:
        self.heard.append(node)


async def test_the_others_hear_a_ring_and_who_rang_does_not(postgres_server: TestServer) -> None:
    mine: list[str] = []
    theirs: list[str] = []
    async with (
        postgres_server.fresh_dsn() as dsn,
        ringing(dsn, mine) as bell,
        ringing(dsn, theirs),
    ):
        for _ in range(3):
            bell.ring("wake/hebei")
        bell.ring("heard/hebei")
        await until(lambda: len(theirs) >= 2)

    assert sorted(theirs) == ["heard/hebei", "wake/hebei"]
    assert mine == []


async def test_many_topics_at_once_are_all_heard(postgres_server: TestServer) -> None:
    theirs: list[str] = []
    topics = {f"wake/node-{number}" for number in range(400)}
    async with (
        postgres_server.fresh_dsn() as dsn,
        ringing(dsn, []) as bell,
        ringing(dsn, theirs),
    ):
        for topic in topics:
            bell.ring(topic)
        await until(lambda: set(theirs) == topics)


async def test_a_lost_connection_is_made_again(postgres_server: TestServer) -> None:
    theirs: list[str] = []
    async with (
        postgres_server.fresh_dsn() as dsn,
        ringing(dsn, []) as bell,
        ringing(dsn, theirs) as other,
    ):
        cut = await asyncpg.connect(dsn)
        await cut.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await cut.close()
        await until(lambda: not bell.is_ready and not other.is_ready)
        await until(lambda: bell.is_ready and other.is_ready)
        bell.ring("wake/hebei")
        await until(lambda: theirs == ["wake/hebei"])


async def test_work_left_by_one_worker_wakes_the_pump_of_the_one_that_holds_the_peer(
    postgres_server: TestServer,
) -> None:
    pumps = [Pump(), Pump()]
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(postgres_server.fresh_dsn())
        workers = []
        for index, pump in enumerate(pumps):
            database = await PostgresDatabase.connect(dsn, connections_max=3)
            stack.callback(database.terminate)
            post = Post(index=index, workers=2, dsn=dsn, port=0)
            worker = Worker(post, database=database, peers=lambda: PEERS)
            worker.connect(pump)
            for task in worker.tasks().values():
                running = asyncio.ensure_future(task())
                stack.push_async_callback(_end, running)
            workers.append(worker)
        held: list[list[NodeId]] = [[], []]

        async def shared() -> bool:
            for index, worker in enumerate(workers):
                held[index] = [node for node in PEERS if await worker.claims.holds(node)]
            return sorted(map(len, held)) == [1, 1]

        async with asyncio.timeout(SOON_SECONDS):
            while not await shared():  # noqa: ASYNC110 # as above
                await asyncio.sleep(0.01)
        [peer] = held[0]
        pumps[0].woken.clear()
        pumps[0].heard.clear()

        began = time.monotonic()
        workers[1].wake(peer)
        workers[1].heard_from(peer)
        await until(lambda: peer in pumps[0].woken and peer in pumps[0].heard)

        assert time.monotonic() - began < QUICK_SECONDS


async def _end(task: asyncio.Future[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
