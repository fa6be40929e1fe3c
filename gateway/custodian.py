"""The rooms of a node that holds tickets, wired from the bottom of the house to its top.

Part of the composition root: `app.py` builds one `Custodian` for a node with that role and knows
nothing of the rooms inside. The upward ports are wired here: statement handlers of dispatch into
delivery, timer handlers into database, and the reactions of dispatch into custody's transfers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import grpc
import structlog
from hotline.custody.v1 import custody_service_pb2_grpc as custody_grpc
from hotline.peer.v1 import peer_service_pb2_grpc as peer_grpc
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc

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
from gateway.dispatch.assembly import build_dispatch, build_tickets
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
from gateway.telemetry.metrics import Metrics
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster

log = structlog.get_logger()
FILINGS_INTERVAL = timedelta(seconds=30)  # a case that waits for an arbiter is not urgent by itself


class Custodian:
    """Everything between the server and the database of a node that holds tickets."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: PostgresDatabase,
        holder: RosterHolder,
        machine_clock: Clock,
        business_clock: Clock,
        credentials: grpc.ChannelCredentials,
        metrics: Metrics,
    ) -> None:
        """Wire the rooms; nothing runs yet."""
        self._database = database
        self._machine, self._business = machine_clock, business_clock
        self._holder = holder
        self._metrics = metrics
        node, ids = NodeId(settings.node_id), SystemIds()
        keys = KeyRing.load(settings.keys_path)
        hosted = frozenset(keys.codes())
        rules = settings.rules or data_path("routing_rules")
        reference = ReferenceData.load(rules / "reference")
        packs = PackSet.load(rules / "packs", authorities=hosted, reference=reference)
        audit = AuditLog()

        self._inbox = Inbox(
            node=node,
            database=database,
            roster=holder.get,
            keys=keys,
            business_clock=business_clock,
            machine_clock=machine_clock,
        )
        self._transport = GrpcTransport(roster=holder.get, credentials=credentials)
        self._pump = Pump(
            database=database, transport=self._transport, roster=holder.get, clock=machine_clock
        )
        self._inbox.heard_from = self._pump.heard_from
        outbox = Outbox(
            node=node,
            roster=holder.get,
            inbox=self._inbox,
            machine_clock=machine_clock,
            wake=self._pump.wake,
        )
        tickets = build_tickets(keys=keys, ids=ids)
        self._custody = assembly.build(
            keys=keys,
            roster=holder.get,
            outbox=outbox,
            content=tickets.blocks,
            ids=ids,
            machine_clock=machine_clock,
        )
        dispatch = build_dispatch(
            room=tickets,
            database=database,
            custody=self._custody,
            audit=audit,
            ids=ids,
            business_clock=business_clock,
            reference=lambda: reference,
            packs=lambda: packs,
            hosted=lambda: hosted,
            joined=lambda: joined_in(holder.get()),
            principal_of=principal_of,
        )
        self._inbox.register(dispatch.reactions.handlers())
        self._ledger = LedgerSealer(keys=keys)
        self._timers = TimerRunner(
            database=database,
            clock=business_clock,
            handlers={
                WINDOW_TIMER: self._custody,
                SEAL_TIMER: SealHandler(audit),
                LEDGER_TIMER: self._ledger,
            },
        )
        transfers = Transfers(
            database=database,
            custody=self._custody,
            audit=audit,
            clock=business_clock,
            react=dispatch.reactions.react,
            window=dispatch.acting.answer_window,
        )
        routing = RoutingService(
            packs=packs,
            reference=reference,
            hosted=hosted,
            joined=lambda: joined_in(holder.get()),
            clock=business_clock,
        )
        self._services = [
            Service(ticket_grpc.add_TicketServiceServicer_to_server, dispatch.servicer),
            Service(
                custody_grpc.add_CustodyServiceServicer_to_server,
                CustodyServicer(transfers=transfers, principal_of=principal_of),
            ),
            Service(
                routing_grpc.add_RoutingServiceServicer_to_server, RoutingServicer(routing)
            ),
            Service(
                peer_grpc.add_PeerServiceServicer_to_server,
                PeerServicer(inbox=self._inbox, principal_of=principal_of),
            ),
        ]

    def services(self) -> list[Service]:
        """Return what this role serves besides the roster."""
        return self._services

    async def prepare(self) -> None:
        """Schedule what comes again and again; harmless when it is scheduled already."""
        now = self._business.now()
        async with self._database.unit() as uow:
            start_sealing(uow, now=now)
            self._ledger.start(uow, now=now)

    def tasks(self, stopping: asyncio.Event) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what runs beside the server, by name."""
        return {
            "pump": self._pump.run,
            "timers": partial(self._timers.run, stopping),
            "filings": self._file_waiting_cases,
        }

    async def measure(self) -> None:
        """Show how much waits for each peer, and since when."""
        now = self._machine.now()
        async with self._database.unit() as uow:
            queues = {queue.node: queue for queue in await uow.select(OUTBOX_NODES)}
        for node in self._holder.get().nodes:
            queue = queues.get(node)
            self._metrics.outbox(
                node,
                depth=queue.waiting if queue else 0,
                oldest=now - queue.oldest if queue else timedelta(0),
            )

    async def close(self) -> None:
        """Close the channels to peers."""
        await self._transport.close()

    async def _file_waiting_cases(self) -> None:
        """File the cases that waited for an arbiter, once one has joined."""
        while True:
            try:
                async with self._database.unit() as uow:
                    await self._custody.post_waiting_filings(uow, now=self._business.now())
            except LubiaoError as error:
                log.warning("filings.failed", reason=error.reason)
            await asyncio.sleep(FILINGS_INTERVAL.total_seconds())


def joined_in(roster: Roster) -> frozenset[str]:
    """Return the authorities of a roster that can take an offer."""
    return frozenset(code for code in roster.authorities if roster.is_joined(code))
