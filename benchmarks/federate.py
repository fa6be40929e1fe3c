"""`lubiao bench federate`: tickets handed in at 天津 that must reach a city of 河北.

Each crosses two nodes and is handed over twice (天津 → 河北 → 廊坊), with every statement signed,
sealed, delivered, receipted and recorded on both sides. Measured is from the first submission until
the last one is held by 廊坊, handed in by the hundred and as streams of single tickets.

The same is then measured at nodes that neither validate nor seal (`bare.py`), only to show what
that costs; no setting of the product does it.

The peers of the same run are two RabbitMQ brokers with a shovel, which carry as many messages of a
kilobyte each and neither check, seal, sign nor record anything, and a grpc.aio mutual-TLS echo.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from benchmarks import load, rabbitmq, stage
from benchmarks.handing import Platforms
from benchmarks.rows import Row, median_row
from benchmarks.submit import cost_sheet
from gateway.database.embedded import EmbeddedPostgres
from hotline.ticket.v1 import ticket_service_pb2 as pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc

SOURCE, SOURCE_NODE = "120000", "tianjin"
TARGET, TARGET_NODE = "131000", "hebei"
PLACE = "131082"
WARM_UP = 50
SETTLE_SECONDS_MAX = 300.0
POLL_SECONDS = 0.05
PEER_MESSAGES = 10_000
GOALS = {"batch": 1.5, "stream": 1.0}  # of RabbitMQ's quorum queues and shovel
GOAL_BARE = 2.5  # of the same, with validation and sealing off
NOTES = {"batch": "100 a call, two hand-overs, two nodes", "stream": "single tickets on streams"}

HandIn = Callable[[Sequence[pb.CreateTicketRequest]], Awaitable[float]]


async def measure(*, runs: int, tickets: int) -> list[Row]:
    """Return the rows of this benchmark."""
    rates: dict[str, list[float]] = {way: [] for way in GOALS}
    echo_rates: list[float] = []
    costs: dict[str, list[stage.Cost]] = {SOURCE_NODE: [], TARGET_NODE: []}
    with stage.running() as running:
        channels = [running.platform_channel(SOURCE, SOURCE_NODE, platform=p) for p in ("p1", "p2")]
        platforms = Platforms([ticket_grpc.TicketServiceStub(channel) for channel in channels])
        ways = {"batch": platforms.in_batches, "stream": platforms.as_streams}
        data = running.federation.layout.database(TARGET_NODE)
        target = await asyncpg.connect(EmbeddedPostgres(data).dsn())
        await _held(target, WARM_UP, platforms.in_batches)
        running.reset_profiles()
        for _ in range(runs):
            for way, hand_in in ways.items():
                before = {node: running.cost(node) for node in costs}
                rates[way].append(await _held(target, tickets, hand_in))
                for node, found in costs.items():
                    found.append(running.cost(node).since(before[node]))
            async with running.echo(SOURCE, SOURCE_NODE) as echo:
                await load.drive(_requests(WARM_UP), echo)
                echo_rates.append(await load.drive(_requests(tickets), echo))
        await target.close()
        for channel in channels:
            await channel.close()
        samples = running.stop()
    bare = await _bare(runs=runs, tickets=tickets)
    carried = await _peer(runs)
    rows = [
        median_row(f"federate.{way}.rate", rates[way], "tickets/s", note=NOTES[way])
        for way in GOALS
    ]
    rows.append(median_row("federate.echo_rate", echo_rates, "calls/s", note="mutual TLS"))
    rows.append(
        median_row("federate.bare_batch.rate", bare, "tickets/s", note="VALIDATION AND SEALING OFF")
    )
    rows.append(_peer_row(carried))
    rows.append(_ratio("bare_batch", "of_rabbitmq", bare, carried, goal=GOAL_BARE))
    for way, goal in GOALS.items():
        rows.append(_ratio(way, "of_rabbitmq", rates[way], carried, goal=goal))
        rows.append(_ratio(way, "of_echo", rates[way], echo_rates, goal=None))
    for node, found in costs.items():
        rows += cost_sheet(f"federate.{node}", found, samples[node], tickets)
    return rows


async def _bare(*, runs: int, tickets: int) -> list[float]:
    """Return tickets a second, by the hundred, at nodes that neither validate nor seal."""
    with stage.running(is_bare=True) as running:
        channels = [running.platform_channel(SOURCE, SOURCE_NODE, platform=p) for p in ("p1", "p2")]
        platforms = Platforms([ticket_grpc.TicketServiceStub(channel) for channel in channels])
        data = running.federation.layout.database(TARGET_NODE)
        target = await asyncpg.connect(EmbeddedPostgres(data).dsn())
        await _held(target, WARM_UP, platforms.in_batches)
        rates = [await _held(target, tickets, platforms.in_batches) for _ in range(runs)]
        await target.close()
        for channel in channels:
            await channel.close()
    return rates


async def _held(target: asyncpg.Connection, tickets: int, hand_in: HandIn) -> float:
    """Hand tickets in; return how many a second until 廊坊 holds all of them."""
    held = await target.fetchval(_HELD, TARGET)
    began = time.monotonic()
    await hand_in(_requests(tickets))
    await _until_held(target, held + tickets)
    return tickets / (time.monotonic() - began)


async def _peer(runs: int) -> list[float]:
    """Return what RabbitMQ carries a second between two brokers; nothing where it is missing."""
    if rabbitmq.missing():
        return []
    async with rabbitmq.brokers("quorum") as (source, target):
        return [
            await rabbitmq.carried_per_second(source, target, PEER_MESSAGES) for _ in range(runs)
        ]


def _peer_row(carried: Sequence[float]) -> Row:
    note = "quorum queues, shovel on-confirm, 1 KiB" if carried else rabbitmq.missing()
    return median_row("federate.rabbitmq.rate", carried, "messages/s", note=note)


def _ratio(
    way: str, name: str, mine: Sequence[float], peer: Sequence[float], *, goal: float | None
) -> Row:
    values = [a / b for a, b in zip(mine, peer, strict=True)] if peer else []
    baseline = "RabbitMQ quorum and shovel" if goal is not None else "grpc.aio mutual-TLS echo"
    note = "" if peer else rabbitmq.missing()
    return median_row(
        f"federate.{way}.{name}", values, "ratio", baseline=baseline, note=note, goal_min=goal
    )


_HELD = "SELECT count(*) FROM ticket_copies WHERE authority = $1 AND NOT followed"


async def _until_held(target: asyncpg.Connection, count: int) -> None:
    """Wait until 廊坊 holds `count` tickets."""
    end = time.monotonic() + SETTLE_SECONDS_MAX
    while (held := await target.fetchval(_HELD, TARGET)) < count:
        if time.monotonic() > end:
            raise RuntimeError(f"{TARGET} holds {held} of {count} tickets")
        await asyncio.sleep(POLL_SECONDS)


def _requests(count: int) -> list[pb.CreateTicketRequest]:
    return [load.a_request(index, region=PLACE) for index in range(count)]
