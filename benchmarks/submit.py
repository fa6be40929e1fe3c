"""`lubiao bench submit`: handing tickets in at one node, all the way to the assignment on disk.

Four ways: a hundred in a call, one by one with 128 callers and with one, and as streams. Baselines
of the same run: asyncpg writing the same rows on the same server (each ticket in a transaction of
its own, and a hundred in one), and a grpc.aio mutual-TLS echo of the same messages with as many
callers. Then two open loops, for the time that a caller waits: the tickets are forwarded to a city
of another node meanwhile. One offers the rate of the goal whether the node can keep up or not, one
a tenth of what 128 callers reached, which it can forward.

Validation, rules, sealing, signatures, audit and fsync are on; the pump runs.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg

from benchmarks import load, stage
from benchmarks.handing import Latency, Platforms, spread
from benchmarks.peer_rows import Written, write_same_rows
from benchmarks.profile import OTHER, PARTS
from benchmarks.rows import Row, median_row
from gateway.database.embedded import EmbeddedPostgres
from hotline.ticket.v1 import ticket_service_pb2 as pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc

AUTHORITY, NODE = "120000", "tianjin"
PLACE = "120101"  # of the authority itself: the ticket stays
ELSEWHERE = "131082"  # of a city of the other node: the ticket is handed over at once
WARM_UP = 300
CALLERS = 128
OFFERED = 1_000.0  # tickets a second: the rate of the goal
OFFERED_OF_RATE = 0.1  # of what 128 callers reach: a hand-over costs some ten times a submission
KEPT_UP = 0.95  # of the offered rate: with less the time waited says nothing about that rate
SETTLE_SECONDS_MAX = 300.0
GOAL_OF_PEER = 0.6
GOAL_TAIL = 3.0


@dataclass(slots=True)
class Way:
    """One way of handing in: what its runs reached and cost."""

    rates: list[float] = field(default_factory=list)
    costs: list[stage.Cost] = field(default_factory=list)
    client: list[float] = field(default_factory=list)  # CPU seconds of the caller
    samples: dict[str, int] = field(default_factory=lambda: defaultdict(int))


async def measure(*, runs: int, tickets: int) -> list[Row]:
    """Return the rows of this benchmark."""
    bench = _Bench(tickets)
    with stage.running() as running:
        channels = [
            running.platform_channel(AUTHORITY, NODE, platform=name) for name in ("p1", "p2")
        ]
        platforms = Platforms([ticket_grpc.TicketServiceStub(channel) for channel in channels])
        await platforms.one_by_one(_requests(WARM_UP), callers=CALLERS)
        await platforms.in_batches(_requests(WARM_UP))
        for _ in range(runs):
            await bench.run(running, platforms)
        for channel in channels:
            await channel.close()
    return bench.rows()


class _Bench:
    """Runs the four ways and their baselines, and makes the rows."""

    def __init__(self, tickets: int) -> None:
        self._tickets = tickets
        self._few = max(100, tickets // 10)  # what one caller alone hands in
        self.ways: dict[str, Way] = {name: Way() for name in ("batch", "unary", "single", "stream")}
        self.written: list[Written] = []
        self.echo: dict[int, list[float]] = {1: [], CALLERS: []}
        self.loops: dict[str, list[Latency]] = {"fixed": [], "tenth": []}

    async def run(self, running: stage.Stage, platforms: Platforms) -> None:
        """Run everything once."""
        platforms.numbers.clear()
        await self._way(running, "batch", platforms.in_batches)
        data = running.federation.layout.database(NODE)
        self.written.append(await write_same_rows(data, platforms.numbers))

        async def unary(requests: Sequence[pb.CreateTicketRequest]) -> float:
            return await platforms.one_by_one(requests, callers=CALLERS)

        async def single(requests: Sequence[pb.CreateTicketRequest]) -> float:
            return await platforms.one_by_one(requests, callers=1)

        await self._way(running, "unary", unary)
        await self._way(running, "single", single)
        await self._way(running, "stream", platforms.as_streams)
        async with running.echo(AUTHORITY, NODE) as echo:
            await load.drive(_requests(WARM_UP), echo)
            for callers, rates in self.echo.items():
                requests = _requests(self._tickets if callers > 1 else self._few)
                rates.append(await spread(requests, (echo, echo), callers=callers))
        offered = {"tenth": OFFERED_OF_RATE * self.ways["unary"].rates[-1], "fixed": OFFERED}
        for name, rate in offered.items():
            requests = _requests(self._tickets, place=ELSEWHERE)
            self.loops[name].append(await platforms.at_rate(requests, rate))
            await _forwarded(data)

    async def _way(self, running: stage.Stage, name: str, hand_in: _HandIn) -> None:
        way = self.ways[name]
        requests = _requests(self._few if name == "single" else self._tickets)
        running.reset_profiles()
        before, began = running.cost(NODE), time.process_time()
        way.rates.append(await hand_in(requests))
        way.client.append((time.process_time() - began) / len(requests))
        cost = running.cost(NODE).since(before)
        way.costs.append(cost.per(len(requests)))
        for part, count in running.samples(NODE).items():
            way.samples[part] += count

    def rows(self) -> list[Row]:
        """Return what was found."""
        rows = [
            median_row(f"submit.{name}.rate", way.rates, "tickets/s", note=_NOTES[name])
            for name, way in self.ways.items()
        ]
        single = [each.single_rate for each in self.written]
        batch = [each.batch_rate for each in self.written]
        rows += [
            median_row("submit.asyncpg.batch_rate", batch, "tickets/s", note="100 a transaction"),
            median_row("submit.asyncpg.single_rate", single, "tickets/s", note="1 a transaction"),
            *(
                median_row(f"submit.echo.rate.c{callers}", rates, "calls/s")
                for callers, rates in self.echo.items()
            ),
            self._ratio("batch", batch, "asyncpg writing the same rows, 100 a transaction"),
            self._ratio("unary", self.echo[CALLERS], "grpc.aio mutual-TLS echo, 128 callers"),
            self._ratio("single", self.echo[1], "grpc.aio mutual-TLS echo, one caller"),
            self._ratio("stream", single, "asyncpg writing the same rows, 1 a transaction"),
            *self._tails(),
            median_row("submit.rows_per_ticket", [each.rows for each in self.written], "rows"),
        ]
        for name in ("batch", "unary"):
            way = self.ways[name]
            rows += cost_sheet(f"submit.{name}", way.costs, way.samples, 1)
            client = [seconds * 1e6 for seconds in way.client]
            rows.append(median_row(f"submit.{name}.cpu.client", client, "µs/ticket"))
        return rows

    def _ratio(self, name: str, peer: Sequence[float], baseline: str) -> Row:
        values = [mine / other for mine, other in zip(self.ways[name].rates, peer, strict=True)]
        goal = GOAL_OF_PEER if name in ("batch", "unary") else None
        return median_row(
            f"submit.{name}.of_peer", values, "ratio", baseline=baseline, goal_min=goal
        )

    def _tails(self) -> Iterator[Row]:
        for name, goal in (("fixed", GOAL_TAIL), ("tenth", None)):
            loops, title = self.loops[name], f"submit.{name}"
            note = "unary, open loop, forwarding on"
            offered = [each.offered for each in loops]
            yield median_row(f"{title}.offered", offered, "tickets/s", note=note)
            yield median_row(f"{title}.reached", [each.reached for each in loops], "tickets/s")
            yield median_row(f"{title}.refused", [each.refused for each in loops], "calls")
            yield median_row(f"{title}.p50", [each.p50 for each in loops], "ms")
            yield median_row(f"{title}.p99", [each.p99 for each in loops], "ms")
            tails = [each.p99 / each.p50 for each in loops]
            row = median_row(f"{title}.p99_of_p50", tails, "ratio", goal_max=goal)
            if goal is not None and not all(_kept_up(each) for each in loops):
                row = replace(row, met=False, note="the node did not keep up with this rate")
            yield row


def _kept_up(loop: Latency) -> bool:
    return not loop.refused and loop.reached >= KEPT_UP * loop.offered


async def _forwarded(data: Path) -> None:
    """Wait until nothing is on its way to another node any more."""
    connection = await asyncpg.connect(EmbeddedPostgres(data).dsn())
    end = time.monotonic() + SETTLE_SECONDS_MAX
    try:
        while waiting := await connection.fetchval("SELECT count(*) FROM outbox"):
            if time.monotonic() > end:
                raise RuntimeError(f"{waiting} envelopes were not forwarded")
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


_HandIn = Callable[[Sequence[pb.CreateTicketRequest]], Awaitable[float]]
_NOTES = {
    "batch": "100 a call, 4 callers",
    "unary": "128 callers",
    "single": "one caller",
    "stream": "two streams",
}


def cost_sheet(
    name: str, costs: Sequence[stage.Cost], samples: Mapping[str, int], tickets: int
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


def _requests(count: int, *, place: str = PLACE) -> list[pb.CreateTicketRequest]:
    return [load.a_request(index, region=place) for index in range(count)]
