"""`lubiao bench backlog`: does a long queue make a ticket dearer?

One round takes 100 statements in (one commit), reads 100 due ones, sends them to a peer that
receipts at once, and removes them (docs/delivery.md). Its cost is measured with 1,000 rows waiting
and with a million, once more while another connection holds a snapshot open, which keeps PostgreSQL
from forgetting deleted rows: the well-known killer of queues in tables. Then the queue is drained.
The two sizes are databases of one server, measured in turn.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from benchmarks.queue import BATCH, PEER, SOURCE, TARGET, ReceiptingPeer, a_roster, a_row, fill
from benchmarks.rows import Row, median_row
from gateway.database.embedded import EmbeddedPostgres
from gateway.database.migrations import Phase, migrate
from gateway.database.postgres import PostgresDatabase
from gateway.delivery.pump import Pump
from gateway.delivery.store import OUTBOX
from gateway.kernel.time import SystemClock
from gateway.trust.key_ring import KeyRing

SHORT, LONG = 1_000, 1_000_000
DRAINED_SHORT = 10_000
DRAINED_MAX = 20_000  # of the long queue: enough for a rate
ROUNDS = 60
WARM_UP = 5
COST_MAX, DRAIN_MIN = 1.15, 0.9


@dataclass(frozen=True, slots=True)
class _Queue:
    """A database with a queue, and the pump that works on it."""

    dsn: str
    database: PostgresDatabase
    pump: Pump

    async def round(self) -> float:
        """Take 100 in and send 100; return the seconds."""
        rows = [a_row() for _ in range(BATCH)]
        began = time.monotonic()
        async with self.database.unit() as uow:
            for row in rows:
                uow.insert(OUTBOX, row)
        if not await self.pump.send_once(PEER):
            raise RuntimeError("nothing was sent")
        return time.monotonic() - began

    async def cost(self) -> float:
        """Return the median seconds of a round."""
        for _ in range(WARM_UP):
            await self.round()
        return statistics.median([await self.round() for _ in range(ROUNDS)])

    async def drained_per_second(self, rows: int) -> float:
        """Return rows a second while `rows` leave the queue and none comes."""
        began = time.monotonic()
        for _ in range(rows // BATCH):
            if not await self.pump.send_once(PEER):
                raise RuntimeError("the queue is shorter than it should be")
        return rows / (time.monotonic() - began)


async def measure(*, runs: int, tickets: int) -> list[Row]:
    """Return the rows of this benchmark; `tickets` is the length of the long queue."""
    keys = KeyRing.in_memory((SOURCE, TARGET))
    costs: list[float] = []
    held_costs: list[float] = []
    drains: list[float] = []
    seconds: list[float] = []
    with TemporaryDirectory(prefix="lubiao-bench-") as name:
        server = EmbeddedPostgres(Path(name) / "postgres")
        await server.start()
        try:
            async with _queue(server, "long", tickets, keys) as long:
                for run in range(runs):
                    async with _queue(server, f"short{run}", SHORT, keys) as short:
                        base = await short.cost()
                        far = await long.cost()
                        async with _snapshot(long.dsn), _snapshot(short.dsn):
                            held_base, held = await short.cost(), await long.cost()
                        seconds.append(far / BATCH * 1e6)
                        costs.append(far / base)
                        held_costs.append(held / held_base)
                    async with _queue(server, f"drained{run}", DRAINED_SHORT, keys) as short:
                        rate = await short.drained_per_second(DRAINED_SHORT)
                        drains.append(await long.drained_per_second(DRAINED_MAX) / rate)
        finally:
            await server.stop()
    length = f"{tickets:,} waiting"
    return [
        median_row("backlog.round", seconds, "µs a statement", note=f"in, out, removed; {length}"),
        median_row(
            "backlog.cost", costs, "ratio", baseline=f"{SHORT:,} waiting", goal_max=COST_MAX
        ),
        median_row(
            "backlog.cost_with_open_snapshot",
            held_costs,
            "ratio",
            baseline=f"{SHORT:,} waiting, snapshot open",
            goal_max=COST_MAX,
        ),
        median_row(
            "backlog.drain",
            drains,
            "ratio",
            baseline=f"{DRAINED_SHORT:,} waiting",
            goal_min=DRAIN_MIN,
        ),
    ]


@asynccontextmanager
async def _queue(
    server: EmbeddedPostgres, name: str, rows: int, keys: KeyRing
) -> AsyncIterator[_Queue]:
    await server.create_database(name)
    dsn = server.dsn(name)
    for phase in Phase:
        await migrate(dsn, phase)
    connection = await asyncpg.connect(dsn)
    try:
        await fill(connection, rows)
    finally:
        await connection.close()
    database = await PostgresDatabase.connect(dsn)
    roster = a_roster(keys)
    pump = Pump(
        database=database,
        transport=ReceiptingPeer(keys),
        roster=lambda: roster,
        clock=SystemClock(),
    )
    try:
        yield _Queue(dsn, database, pump)
    finally:
        await database.close()
        await server.drop_database(name)


@asynccontextmanager
async def _snapshot(dsn: str) -> AsyncIterator[None]:
    """Hold a snapshot open, as a long report or a backup does."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.fetchval(f"SELECT count(*) FROM {OUTBOX.name}")  # noqa: S608 (ours)
            yield
    finally:
        await connection.close()
