"""What the rooms of a node stand on, whatever its roles; part of the composition root.

`app.py` lays the ground once: settings, database, roster, clocks, credentials. `custodian.py` and
`nation.py` build the rooms of their roles on it; each is a `Part` that the node serves and runs.
Both need the room of delivery, which is wired here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import grpc

from gateway.audit.service import AuditLog
from gateway.database.postgres import PostgresDatabase
from gateway.delivery.guard import Guard
from gateway.delivery.inbox import Inbox
from gateway.delivery.model import Breaker, Item, Mode
from gateway.delivery.outbox import Outbox
from gateway.delivery.pump import Pump
from gateway.delivery.quotas import PeerQuotas
from gateway.delivery.transport import GrpcTransport
from gateway.directory.holder import RosterHolder
from gateway.evidence.stamp_client import StampClient
from gateway.evidence.stamps import Stamper
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import NodeId, SystemIds
from gateway.kernel.time import Clock
from gateway.life import History, Life
from gateway.operation.assembly import OperationRoom, build_operation
from gateway.operation.machine import Alarm
from gateway.operation.view import Seen
from gateway.privacy.vault import ContentVault
from gateway.server.context import principal_of
from gateway.server.server import Service
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics, PeerState, ReceiptOutcome
from gateway.tickets.tokens import Tokens
from gateway.trust import timestamps
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster
from gateway.workers import Crew
from hotline.operation.v1alpha1 import operation_service_pb2_grpc as operation_grpc

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

    def trouble(self) -> str:
        """Return why this process takes no work now; empty when it does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the rooms stand on."""

    settings: Settings
    database: PostgresDatabase
    dsn: str = field(repr=False)
    holder: RosterHolder
    machine_clock: Clock
    business_clock: Clock
    credentials: Callable[[], grpc.ChannelCredentials]
    metrics: Metrics
    crew: Crew
    life: Life
    _joined: list[tuple[Roster, frozenset[str]]] = field(
        default_factory=list, init=False, repr=False
    )

    @property
    def node(self) -> NodeId:
        """The node's id."""
        return NodeId(self.settings.node_id)

    def joined(self) -> frozenset[str]:
        """Return the authorities that can take an offer now."""
        roster = self.holder.get()
        if not self._joined or self._joined[0][0] is not roster:  # each ticket asks
            codes = frozenset(code for code in roster.authorities if roster.is_joined(code))
            self._joined[:] = [(roster, codes)]
        return self._joined[0][1]


@dataclass(frozen=True, slots=True)
class Delivery:
    """The room of delivery, wired."""

    inbox: Inbox
    outbox: Outbox
    pump: Pump
    transport: GrpcTransport
    quotas: PeerQuotas
    operation: OperationRoom
    history: History

    def service(self) -> Service:
        """Return the service of those who operate the node."""
        add = operation_grpc.add_OperationServiceServicer_to_server
        return Service(add, self.operation.servicer)


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
    quota = ground.settings.delivery.quota()
    quotas = PeerQuotas(clock=ground.machine_clock, quota=quota)
    inbox.guard = Guard(clock=ground.machine_clock, quota=quota)
    transport = GrpcTransport(roster=roster, credentials=ground.credentials)
    pump = Pump(
        database=ground.database,
        transport=transport,
        roster=roster,
        clock=ground.machine_clock,
        claims=ground.crew.claims,
        incarnation=ground.life.recovery.incarnation,
    )
    ground.crew.connect(pump)
    inbox.heard_from = ground.crew.heard_from
    pump.counted = lambda node, outcome: ground.metrics.receipt(node, ReceiptOutcome[outcome.name])
    outbox = Outbox(
        node=ground.node,
        roster=roster,
        inbox=inbox,
        machine_clock=ground.machine_clock,
        wake=ground.crew.wake,
    )
    token_key = ContentVault(keys=keys, ids=SystemIds()).token_key()
    operation = build_operation(
        node=ground.node,
        authority=ground.settings.authority,
        database=ground.database,
        roster=roster,
        pump=pump,
        quotas=quotas,
        guard=inbox.guard,
        policy=ground.settings.delivery.alarms(),
        audit=AuditLog(),
        tokens=Tokens(token_key),
        token_key=token_key,
        machine_clock=ground.machine_clock,
        business_clock=ground.business_clock,
        principal_of=principal_of,
        measured=lambda seen: measure_peers(ground, seen),
    )
    history = History(
        life=ground.life,
        database=ground.database,
        transport=transport,
        roster=roster,
        keys=keys,
        machine_clock=ground.machine_clock,
        business_clock=ground.business_clock,
        metrics=ground.metrics,
        crew=ground.crew,
    )
    return Delivery(inbox, outbox, pump, transport, quotas, operation, history)


async def measure_database(ground: Ground) -> None:
    """Show how busy the database is."""
    in_use, size = ground.database.connections()
    ground.metrics.database_pool(in_use=in_use, size=size)


_LEVELS = {Alarm.NONE: 0, Alarm.WARNING: 1, Alarm.OVERDUE: 2}
_BREAKERS = {Breaker.CLOSED: 0, Breaker.HALF_OPEN: 1, Breaker.OPEN: 2}


def measure_peers(ground: Ground, seen: Seen) -> None:
    """Show how each peer is doing, and what waits for a person."""
    now = ground.machine_clock.now()
    for node, view in seen.peers.items():
        ground.metrics.outbox(node, depth=view.waiting, oldest=view.oldest_age)
        ground.metrics.peer(
            node,
            PeerState(
                breaker=_BREAKERS[view.breaker],
                alarm=_LEVELS[view.alarm],
                is_paused=view.mode is not Mode.OPEN,
                failures=view.failures,
                over_quota=view.over_quota,
                silence=now - view.heard if view.heard else None,
                round_trip=view.round_trip,
            ),
        )
    for kind in Item:
        ground.metrics.undelivered(kind.value, items=seen.items.get(kind.value, 0))


def stamping(ground: Ground, keys: KeyRing) -> tuple[tuple[bytes, ...], Stamper | None]:
    """Return the roots that this node trusts for time stamps, and who asks for them.

    Raises:
        FieldInvalid: a service is named, but its library is missing, or its roots.
    """
    wish = ground.settings.timestamps
    if not wish.url:
        return (), None
    if not timestamps.is_available():
        raise FieldInvalid(
            field="timestamps.url",
            got=wish.url,
            expected="a node with the library for time stamps",
            hint='install it: pip install "lubiao[timestamps]"',
        )
    roots = timestamps.load_roots(ground.settings.timestamp_roots_path)
    stamper = Stamper(
        database=ground.database,
        authorities=keys.codes(),
        transport=StampClient(wish.url).send,
        roots=roots,
        clock=ground.business_clock,
        machine_clock=ground.machine_clock,
    )
    stamper.measured = ground.metrics.stamps_pending
    return roots, stamper


def stamping_tasks(
    ground: Ground, stamper: Stamper | None, stopping: asyncio.Event
) -> dict[str, Task]:
    """Return what asks for time stamps, in one process of the node only."""
    if stamper is None:
        return {}
    return {"stamps": ground.crew.once("stamps", partial(stamper.run, stopping))}
