"""`lubiao bench federate`: tickets handed in at 天津 that must reach a city of 河北.

Each crosses two nodes and is handed over twice (天津 → 河北 → 廊坊), with every statement signed,
sealed, delivered, receipted and recorded on both sides. Measured is from the first submission until
the last one is held by 廊坊.
"""

from __future__ import annotations

import asyncio
import time

import asyncpg

from benchmarks import load, stage
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


async def measure(*, runs: int, tickets: int) -> list[Row]:
    """Return the rows of this benchmark."""
    rates, echo_rates = [], []
    costs: dict[str, list[stage.Cost]] = {SOURCE_NODE: [], TARGET_NODE: []}
    with stage.running() as running:
        channel = running.platform_channel(SOURCE, SOURCE_NODE)
        stub = ticket_grpc.TicketServiceStub(channel)

        async def submit(request: pb.CreateTicketRequest) -> None:
            await stub.CreateTicket(request, timeout=load.CALL_SECONDS)

        data = running.federation.layout.database(TARGET_NODE)
        target = await asyncpg.connect(EmbeddedPostgres(data).dsn())
        done = 0
        await load.drive(_requests(WARM_UP), submit)
        done += WARM_UP
        await _until_held(target, done)
        running.reset_profiles()
        for _ in range(runs):
            before = {node: running.cost(node) for node in costs}
            began = time.monotonic()
            await load.drive(_requests(tickets), submit)
            done += tickets
            await _until_held(target, done)
            rates.append(tickets / (time.monotonic() - began))
            for node, found in costs.items():
                found.append(running.cost(node).since(before[node]))
            async with running.echo(SOURCE, SOURCE_NODE) as echo:
                await load.drive(_requests(WARM_UP), echo)
                echo_rates.append(await load.drive(_requests(tickets), echo))
        await target.close()
        await channel.close()
        samples = running.stop()
    rows = [
        median_row("federate.rate", rates, "tickets/s", note="two hand-overs, two nodes"),
        median_row("federate.echo_rate", echo_rates, "calls/s", note="grpc.aio, mutual TLS"),
        median_row(
            "federate.of_echo",
            [a / b for a, b in zip(rates, echo_rates, strict=True)],
            "ratio",
            baseline="grpc.aio mutual-TLS echo",
        ),
    ]
    for node, found in costs.items():
        rows += cost_sheet(f"federate.{node}", found, samples[node], tickets)
    return rows


async def _until_held(target: asyncpg.Connection, count: int) -> None:
    """Wait until 廊坊 holds `count` tickets."""
    end = time.monotonic() + SETTLE_SECONDS_MAX
    query = "SELECT count(*) FROM ticket_copies WHERE authority = $1 AND NOT followed"
    while await target.fetchval(query, TARGET) < count:
        if time.monotonic() > end:
            held = await target.fetchval(query, TARGET)
            raise RuntimeError(f"{TARGET} holds {held} of {count} tickets")
        await asyncio.sleep(POLL_SECONDS)


def _requests(count: int) -> list[pb.CreateTicketRequest]:
    return [load.a_request(index, region=PLACE) for index in range(count)]
