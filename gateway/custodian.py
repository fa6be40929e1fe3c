"""The rooms of a node that holds tickets, wired from the bottom of the house to its top.

Part of the composition root: `app.py` builds one `Custodian` for a node with that role and knows
nothing of the rooms inside. The upward ports are wired here: statement handlers of dispatch into
delivery, timer handlers into database, and the reactions of dispatch into custody's transfers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import grpc
import structlog

from gateway.audit.service import SEAL_TIMER, AuditLog, SealHandler, start_sealing
from gateway.config import Settings
from gateway.custody import assembly
from gateway.custody.sealer import LEDGER_TIMER, LedgerSealer
from gateway.custody.service import WINDOW_TIMER
from gateway.custody.servicer import CustodyServicer
from gateway.custody.transfers import Transfers
from gateway.database.postgres import PostgresDatabase
from gateway.database.timers import TimerRunner
from gateway.delivery.inbox import Inbox
from gateway.delivery.outbox import Outbox
from gateway.delivery.pump import Pump
from gateway.delivery.servicer import PeerServicer
from gateway.delivery.store import OUTBOX_NODES
from gateway.delivery.transport import GrpcTransport
from gateway.directory.holder import RosterHolder
from gateway.dispatch.assembly import DispatchRoom, build_dispatch, build_tickets
from gateway.kernel.data import data_path
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import NodeId, SystemIds
from gateway.kernel.time import Clock
from gateway.reference.data import ReferenceData
from gateway.routing.packs import PackSet
from gateway.routing.service import RoutingService
from gateway.routing.servicer import RoutingServicer
from gateway.server.context import principal_of
from gateway.server.server import Service
from gateway.telemetry.metrics import Metrics, ReceiptOutcome
from gateway.tickets.tokens import Tokens
from gateway.trust.key_ring import KeyRing
from hotline.custody.v1 import custody_service_pb2_grpc as custody_grpc
from hotline.peer.v1 import peer_service_pb2_grpc as peer_grpc
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc

log = structlog.get_logger()
FILINGS_INTERVAL = timedelta(seconds=30)  # a case that waits for an arbiter is not urgent by itself


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


def _delivery(ground: Ground, keys: KeyRing) -> Delivery:
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


class Custodian:
    """Everything between the server and the database of a node that holds tickets."""

    def __init__(self, ground: Ground) -> None:
        """Wire the rooms; nothing runs yet."""
        self._ground = ground
        ids, audit = SystemIds(), AuditLog()
        keys = KeyRing.load(ground.settings.keys_path)
        hosted = frozenset(keys.codes())
        rules = ground.settings.rules or data_path("routing_rules")
        reference = ReferenceData.load(rules / "reference")
        packs = PackSet.load(rules / "packs", authorities=hosted, reference=reference)

        self._delivery = _delivery(ground, keys)
        tickets = build_tickets(keys=keys, ids=ids)
        self._custody = assembly.build(
            keys=keys,
            roster=ground.holder.get,
            outbox=self._delivery.outbox,
            content=tickets.blocks,
            ids=ids,
            machine_clock=ground.machine_clock,
        )
        dispatch = build_dispatch(
            room=tickets,
            database=ground.database,
            custody=self._custody,
            audit=audit,
            ids=ids,
            business_clock=ground.business_clock,
            reference=lambda: reference,
            packs=lambda: packs,
            hosted=lambda: hosted,
            joined=ground.joined,
            principal_of=principal_of,
        )
        self._delivery.inbox.register(dispatch.reactions.handlers())
        self._custody.recall.react = dispatch.reactions.react
        routing = RoutingService(
            packs=packs,
            reference=reference,
            hosted=hosted,
            joined=ground.joined,
            clock=ground.business_clock,
        )
        self._ledger = LedgerSealer(keys=keys)
        self._timers = TimerRunner(
            database=ground.database,
            clock=ground.business_clock,
            handlers={
                WINDOW_TIMER: self._custody,
                SEAL_TIMER: SealHandler(audit),
                LEDGER_TIMER: self._ledger,
            },
        )
        self._services = self._wire_services(dispatch, routing, audit, tickets.token_key)

    def _wire_services(
        self, dispatch: DispatchRoom, routing: RoutingService, audit: AuditLog, token_key: bytes
    ) -> list[Service]:
        transfers = Transfers(
            database=self._ground.database,
            custody=self._custody,
            audit=audit,
            clock=self._ground.business_clock,
            react=dispatch.reactions.react,
            window=dispatch.acting.answer_window,
        )
        custody = CustodyServicer(
            transfers=transfers, tokens=Tokens(token_key), principal_of=principal_of
        )
        peer = PeerServicer(inbox=self._delivery.inbox, principal_of=principal_of)
        return [
            Service(ticket_grpc.add_TicketServiceServicer_to_server, dispatch.servicer),
            Service(custody_grpc.add_CustodyServiceServicer_to_server, custody),
            Service(routing_grpc.add_RoutingServiceServicer_to_server, RoutingServicer(routing)),
            Service(peer_grpc.add_PeerServiceServicer_to_server, peer),
        ]

    def services(self) -> list[Service]:
        """Return what this role serves besides the roster."""
        return self._services

    async def prepare(self) -> None:
        """Schedule what comes again and again; harmless when it is scheduled already."""
        now = self._ground.business_clock.now()
        async with self._ground.database.unit() as uow:
            start_sealing(uow, now=now)
            self._ledger.start(uow, now=now)

    def tasks(self, stopping: asyncio.Event) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what runs beside the server, by name."""
        return {
            "pump": self._delivery.pump.run,
            "timers": partial(self._timers.run, stopping),
            "filings": self._file_waiting_cases,
        }

    async def measure(self) -> None:
        """Show how much waits for each peer, and since when, and how busy the database is."""
        now = self._ground.machine_clock.now()
        in_use, size = self._ground.database.connections()
        self._ground.metrics.database_pool(in_use=in_use, size=size)
        async with self._ground.database.unit() as uow:
            queues = {queue.node: queue for queue in await uow.select(OUTBOX_NODES)}
        for node in self._ground.holder.get().nodes:
            queue = queues.get(node)
            self._ground.metrics.outbox(
                node,
                depth=queue.waiting if queue else 0,
                oldest=now - queue.oldest if queue else timedelta(0),
            )

    async def close(self) -> None:
        """Close the channels to peers."""
        await self._delivery.transport.close()

    async def _file_waiting_cases(self) -> None:
        """File the cases that waited for an arbiter, once one has joined."""
        while True:
            try:
                async with self._ground.database.unit() as uow:
                    now = self._ground.business_clock.now()
                    await self._custody.post_waiting_filings(uow, now=now)
            except LubiaoError as error:
                log.warning("filings.failed", reason=error.reason)
            await asyncio.sleep(FILINGS_INTERVAL.total_seconds())
