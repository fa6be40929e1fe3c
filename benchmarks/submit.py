"""`lubiao bench submit`: handing tickets in at one node, all the way to the assignment on disk.

Baselines of the same run: a grpc.aio mutual-TLS echo of the same messages with the same callers,
and asyncpg writing the same rows on the same server.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import load, stage
from benchmarks.peer_rows import write_same_rows
from benchmarks.profile import OTHER, PARTS
from benchmarks.rows import Row, median_row
from hotline.ticket.v1 import ticket_service_pb2 as pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc

AUTHORITY, NODE = "120000", "tianjin"
PLACE = "120101"  # of the authority itself: the ticket stays
WARM_UP = 200


async def measure(*, runs: int, tickets: int) -> list[Row]:
    """Return the rows of this benchmark."""
    node_rates, echo_rates, peer_rates = [], [], []
    costs: list[stage.Cost] = []
    rows_per_ticket = 0.0
    with stage.running() as running:
        channel = running.platform_channel(AUTHORITY, NODE)
        stub = ticket_grpc.TicketServiceStub(channel)
        numbers: list[str] = []

        async def submit(request: pb.CreateTicketRequest) -> None:
            answer = await stub.CreateTicket(request, timeout=load.CALL_SECONDS)
            numbers.append(answer.ticket.name.removeprefix("tickets/"))

        await load.drive(_requests(WARM_UP), submit)
        running.reset_profiles()
        for _ in range(runs):
            numbers.clear()
            before = running.cost(NODE)
            node_rates.append(await load.drive(_requests(tickets), submit))
            costs.append(running.cost(NODE).since(before))
            data = running.federation.layout.database(NODE)
            rate, rows_per_ticket = await write_same_rows(data, numbers)
            peer_rates.append(rate)
            async with running.echo(AUTHORITY, NODE) as echo:
                await load.drive(_requests(WARM_UP), echo)
                echo_rates.append(await load.drive(_requests(tickets), echo))
        await channel.close()
        samples = running.stop()[NODE]
    return [
        median_row("submit.rate", node_rates, "tickets/s"),
        median_row("submit.echo_rate", echo_rates, "calls/s", note="grpc.aio, mutual TLS"),
        median_row("submit.asyncpg_rate", peer_rates, "tickets/s", note="asyncpg, the same rows"),
        median_row(
            "submit.of_echo",
            [a / b for a, b in zip(node_rates, echo_rates, strict=True)],
            "ratio",
            baseline="grpc.aio mutual-TLS echo",
        ),
        median_row(
            "submit.of_asyncpg",
            [a / b for a, b in zip(node_rates, peer_rates, strict=True)],
            "ratio",
            baseline="asyncpg writing the same rows",
        ),
        Row(name="submit.rows_per_ticket", value=round(rows_per_ticket, 1), unit="rows"),
        *cost_sheet("submit", costs, samples, tickets),
    ]


def cost_sheet(
    name: str, costs: list[stage.Cost], samples: Mapping[str, int], tickets: int
) -> list[Row]:
    """Return CPU-µs a ticket by part: the node's by its samples, PostgreSQL's as a whole."""
    node = [cost.node / tickets * 1e6 for cost in costs]
    total = sum(samples.values()) or 1
    middle = sorted(node)[len(node) // 2]
    rows = [median_row(f"{name}.cpu.node", node, "µs/ticket")]
    names = {part for _, part in PARTS} | {OTHER}  # a part without a sample is shown as nothing
    shares = sorted(((name, samples.get(name, 0)) for name in names), key=lambda item: -item[1])
    for part, count in shares:
        value = round(middle * count / total, 1)
        note = "gRPC core, event loop, interpreter" if part == OTHER else ""
        unit = "µs/ticket"
        rows.append(Row(name=f"{name}.cpu.{part}", value=value, unit=unit, note=note))
    postgres = [cost.postgres / tickets * 1e6 for cost in costs]
    rows += [
        median_row(f"{name}.cpu.postgresql", postgres, "µs/ticket"),
        median_row(f"{name}.memory.node", [cost.node_mib for cost in costs], "MiB PSS"),
        median_row(f"{name}.memory.postgresql", [cost.postgres_mib for cost in costs], "MiB PSS"),
    ]
    return rows


def _requests(count: int) -> list[pb.CreateTicketRequest]:
    return [load.a_request(index, region=PLACE) for index in range(count)]
