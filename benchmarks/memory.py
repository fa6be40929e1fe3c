"""`lubiao bench memory`: what a node weighs while its peer is away and everything waits.

A real node (天津) whose peer (河北) is down, with ever more statements in its outbox; it tries to
deliver them and takes tickets in meanwhile. Compared are the process with a long and with a short
queue, and node plus PostgreSQL with a RabbitMQ broker that holds as many messages of the same size.
"""

from __future__ import annotations

import asyncio

import asyncpg

from benchmarks import load, rabbitmq, stage
from benchmarks.queue import fill
from benchmarks.rows import Row, median_row
from benchmarks.submit import AUTHORITY, NODE, PLACE
from gateway.database.embedded import EmbeddedPostgres
from hotline.ticket.v1 import ticket_service_pb2 as pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc

PEER_NODE = "hebei"
SHORT, BROKER = 1_000, 100_000
SUBMITTED = 100  # at each size, so that the node has work
SETTLE_SECONDS = 10.0  # several attempts to reach the peer
NODE_MAX, BROKER_MAX = 1.05, 0.5


async def measure(*, runs: int, tickets: int) -> list[Row]:
    """Return the rows of this benchmark; `tickets` is the length of the long queue."""
    of_short, of_broker, node_mib, broker_mib = [], [], [], []
    for _ in range(runs):
        short, middle, long = await _weights((SHORT, BROKER, tickets))
        node_mib.append(long.node_mib)
        of_short.append(long.node_mib / short.node_mib)
        if not rabbitmq.missing():
            broker = await rabbitmq.memory_with_backlog(BROKER)
            broker_mib.append(broker)
            of_broker.append((middle.node_mib + middle.postgres_mib) / broker)
    return [
        median_row("memory.node", node_mib, "MiB", note=f"{tickets:,} waiting"),
        median_row(
            "memory.of_short", of_short, "ratio", baseline=f"{SHORT:,} waiting", goal_max=NODE_MAX
        ),
        median_row("memory.rabbitmq", broker_mib, "MiB", note=rabbitmq.missing()),
        median_row(
            "memory.of_rabbitmq",
            of_broker,
            "ratio",
            baseline=f"RabbitMQ, classic queue, {BROKER:,} waiting",
            goal_max=BROKER_MAX,
            note=rabbitmq.missing() or "node and PostgreSQL",
        ),
    ]


async def _weights(lengths: tuple[int, ...]) -> list[stage.Cost]:
    """Return what node and PostgreSQL weigh with each length of the queue."""
    found: list[stage.Cost] = []
    with stage.running() as running:
        peer = running.processes.pop(PEER_NODE)
        peer.terminate()
        peer.wait(stage.STOP_SECONDS_MAX)
        server = EmbeddedPostgres(running.federation.layout.database(NODE))
        connection = await asyncpg.connect(server.dsn())
        channel = running.platform_channel(AUTHORITY, NODE)
        stub = ticket_grpc.TicketServiceStub(channel)

        async def submit(request: pb.CreateTicketRequest) -> None:
            await stub.CreateTicket(request, timeout=load.CALL_SECONDS)

        waiting = 0
        for length in lengths:
            await fill(connection, length - waiting)
            waiting = length
            requests = [load.a_request(index, region=PLACE) for index in range(SUBMITTED)]
            await load.drive(requests, submit)
            await asyncio.sleep(SETTLE_SECONDS)
            found.append(running.cost(NODE))
        await channel.close()
        await connection.close()
    return found
