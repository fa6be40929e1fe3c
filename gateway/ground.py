"""What the rooms of a node stand on, whatever its roles; part of the composition root.

`app.py` lays the ground once: settings, database, roster, clocks, credentials. `custodian.py` and
`nation.py` build the rooms of their roles on it; each is a `Part` that the node serves and runs.
Both need the room of delivery, which is wired here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import grpc

from gateway.database.postgres import PostgresDatabase
from gateway.delivery.inbox import Inbox
from gateway.delivery.outbox import Outbox
from gateway.delivery.pump import Pump
from gateway.delivery.store import OUTBOX_NODES
from gateway.delivery.transport import GrpcTransport
from gateway.directory.holder import RosterHolder
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Clock
from gateway.server.server import Service
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics, ReceiptOutcome
from gateway.trust.key_ring import KeyRing

Task = Callable[[], Awaitable[None]]


class Part(Protocol):
    """The rooms of one role or more, wired."""

    def services(self) -> Sequence[Service]:
        """Return what it serves besides the roster."""
        ...

    async def prepare(self) -> None:
        """Schedule what comes again and again; harmless when it is scheduled already."""
        ...

    def tasks(self, stopping: asyncio.Event) -> Mapping[str, Task]:
        """Return what runs beside the server, by name."""
        ...

    async def close(self) -> None:
        """Close what it opened."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the rooms stand on."""

    settings: Settings
    database: PostgresDatabase
    holder: RosterHolder
    machine_clock: Clock
    business_clock: Clock
    credentials: grpc.ChannelCredentials
    metrics: Metrics

    @property
    def node(self) -> NodeId:
        """The node's id."""
        return NodeId(self.settings.node_id)

    def joined(self) -> frozenset[str]:
        """Return the authorities that can take an offer now."""
        roster = self.holder.get()
        return frozenset(code for code in roster.authorities if roster.is_joined(code))


@dataclass(frozen=True, slots=True)
class Delivery:
    """The room of delivery, wired."""

    inbox: Inbox
    outbox: Outbox
    pump: Pump
    transport: GrpcTransport


def build_delivery(ground: Ground, keys: KeyRing) -> Delivery:
    """Return the room of delivery of one node; handlers are registered by its parts."""
    roster = ground.holder.get
    inbox = Inbox(
        node=ground.node,
        database=ground.database,
        roster=roster,
        keys=keys,
        business_clock=ground.business_clock,
        machine_clock=ground.machine_clock,
    )
    transport = GrpcTransport(roster=roster, credentials=ground.credentials)
    pump = Pump(
        database=ground.database, transport=transport, roster=roster, clock=ground.machine_clock
    )
    inbox.heard_from = pump.heard_from
    pump.counted = lambda node, outcome: ground.metrics.receipt(node, ReceiptOutcome[outcome.name])
    outbox = Outbox(
        node=ground.node,
        roster=roster,
        inbox=inbox,
        machine_clock=ground.machine_clock,
        wake=pump.wake,
    )
    return Delivery(inbox, outbox, pump, transport)


async def measure_queues(ground: Ground) -> None:
    """Show how much waits for each peer, and since when, and how busy the database is."""
    now = ground.machine_clock.now()
    in_use, size = ground.database.connections()
    ground.metrics.database_pool(in_use=in_use, size=size)
    async with ground.database.unit() as uow:
        queues = {queue.node: queue for queue in await uow.select(OUTBOX_NODES)}
    for node in ground.holder.get().nodes:
        queue = queues.get(node)
        ground.metrics.outbox(
            node,
            depth=queue.waiting if queue else 0,
            oldest=now - queue.oldest if queue else timedelta(0),
        )
