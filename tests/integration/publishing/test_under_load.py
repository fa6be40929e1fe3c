"""A thousand changes of the rules while two processes decide: no ticket by a mixture of versions.

Two rooms with pools, rules and listeners of their own stand for two processes of one node; they
share a PostgreSQL and nothing else. What each decision says it used is held against the timeline.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import asyncpg
import pytest

from gateway.database.listening import Listener
from gateway.database.postgres import PostgresDatabase
from gateway.kernel.errors import RulesChanged, RulesUnknown
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Instant, ManualClock
from gateway.publishing.model import in_force
from gateway.publishing.store import (
    ACTIVATIONS_SINCE,
    GENERATION_SQL,
    RULES_CHANNEL,
    activation_of,
)
from tests.fixtures.nodes import HOSTED, NOW, _node, a_federation
from tests.postgres import TestServer
from tests.unit.publishing.builders import FIRST, PACK, SECOND, Office, an_office

CHANGES = 1_000
DECIDERS = 1  # of each process
PAUSE = 0.03  # between two tickets of a decider; the changes need the processor too
SOON_SECONDS = 10.0
TICK = timedelta(microseconds=1)


@dataclass(slots=True)
class TickingClock(ManualClock):
    """Moves on with every look, so that no two events have one instant."""

    def now(self) -> Instant:
        self.present += TICK
        return self.present


async def until(condition: Callable[[], bool], *, seconds: float = SOON_SECONDS) -> None:
    """Return when `condition()` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 # what is waited for is another connection's
            await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(dsn: str, office: Office) -> AsyncIterator[None]:
    """Listen for an office as its process does."""
    force = office.room.force
    listener = Listener(
        dsn,
        channel=RULES_CHANNEL,
        state=GENERATION_SQL,
        begun=force.hearing,
        heard=force.heard,
        ended=force.deaf,
    )
    running = asyncio.create_task(listener.run())
    try:
        await until(lambda: not force.trouble)
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def two_processes(dsn: str) -> AsyncIterator[tuple[Office, Office]]:
    """Give the offices of two processes of one node over one database."""
    async with AsyncExitStack() as stack:
        pools = []
        for _ in range(4):  # the rules of each process read with connections of their own
            pool = await PostgresDatabase.connect(dsn, connections_max=8)
            stack.push_async_callback(pool.close)
            pools.append(pool)
        first = a_federation(HOSTED, now=NOW, databases={"hebei": pools[0]})
        place = first.nodes["hebei"]
        first.clock = place.clock = TickingClock(NOW)
        made = _node(NodeId("hebei"), place.keys, first.roster, first.clock, pools[0])
        other = _node(NodeId("hebei"), place.keys, first.roster, first.clock, pools[1])
        found = []
        for node, pool in ((made, pools[2]), (other, pools[3])):
            federation = replace(first, nodes={**first.nodes, "hebei": node})
            office = an_office(federation, "hebei", listens=True)
            office.room.force.database = pool
            await office.found()
            await stack.enter_async_context(listening(dsn, office))
            found.append(office)
        yield found[0], found[1]


async def decide_on_and_on(office: Office, name: str, stop: asyncio.Event) -> int:
    """Hand in tickets until told to stop; return how many were taken."""
    taken = 0
    while not stop.is_set():
        with suppress(RulesUnknown, RulesChanged):  # the caller tries again
            await office.submit(f"{name}-{taken}")
            taken += 1
        await asyncio.sleep(PAUSE)
    return taken


async def decisions(dsn: str) -> list[tuple[Instant, dict[str, str]]]:
    """Return when each decision was made and by which versions, as it says itself."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT d.decide_time, s.packs FROM route_decisions d "
            "JOIN route_settings s ON s.digest = d.setting"
        )
    finally:
        await connection.close()
    return [(row[0], dict(label.split("@") for label in json.loads(row[1]))) for row in rows]


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_thousand_changes_under_load_mix_no_versions(postgres_server: TestServer) -> None:
    async with postgres_server.fresh_dsn() as dsn, two_processes(dsn) as (one, two):
        await one.published(await one.ready(FIRST))
        await one.published(await one.ready(SECOND))
        stop = asyncio.Event()
        deciders = [
            asyncio.create_task(decide_on_and_on(office, f"{number}-{each}", stop))
            for number, office in enumerate((one, two))
            for each in range(DECIDERS)
        ]
        for number in range(CHANGES):
            await (one, two)[number % 2].rolled_back()  # to the other of the two versions
        stop.set()
        taken = sum(await asyncio.gather(*deciders))
        async with one.database.unit() as uow:
            lines = await uow.select(ACTIVATIONS_SINCE, since=NOW)
        timeline = [activation_of(line) for line in lines]
        made = await decisions(dsn)
    assert len(timeline) > CHANGES
    assert len(made) >= taken > CHANGES / 20, "changes left no room for decisions"
    assert len({versions[PACK] for _, versions in made}) > 1
    for decided, versions in made:
        right = in_force(timeline, decided)
        assert versions == {pack: right[pack] for pack in versions}, decided


@pytest.mark.integration
async def test_a_process_hears_what_another_one_published(postgres_server: TestServer) -> None:
    async with postgres_server.fresh_dsn() as dsn, two_processes(dsn) as (one, two):
        ready = await one.ready(FIRST)
        began = time.monotonic()
        version = await one.published(ready)
        took = time.monotonic() - began  # how slow this machine is now

        def is_known() -> bool:
            try:
                return two.room.force().get(PACK).version == version.version
            except RulesUnknown:
                return False

        await until(is_known, seconds=1.0 + 10 * took)


@pytest.mark.integration
async def test_who_lost_the_listener_decides_nothing_until_it_has_caught_up(
    postgres_server: TestServer,
) -> None:
    async with postgres_server.fresh_dsn() as dsn, two_processes(dsn) as (one, two):
        two.room.force.deaf()
        version = await one.published(await one.ready(FIRST))
        with pytest.raises(RulesUnknown):
            two.room.force()
        assert "listener" in two.room.force.trouble
        waiting = asyncio.create_task(two.submit("waits"))
        await asyncio.sleep(0)
        two.room.force.hearing(one.room.force.generation)
        ticket = await waiting
        assert ticket.decision.pack == f"{PACK}@{version.version[:12]}"
