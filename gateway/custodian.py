"""The rooms of a node that holds tickets, wired from the bottom of the house to its top.

Part of the composition root: `app.py` builds one `Custodian` for a node with that role and knows
nothing of the rooms inside. The upward ports are wired here: statement handlers of dispatch into
delivery, timer handlers into database, and the reactions of dispatch into custody's transfers.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog

from gateway.aggregates.closing import CLOSE_TIMER, CloseHandler
from gateway.aggregates.drawing import NoiseProcess
from gateway.aggregates.service import Reports
from gateway.aggregates.servicer import AggregateServicer
from gateway.arbitration.assembly import ArbitrationRoom, build_arbitration
from gateway.arbitration.learning.backing import Backing
from gateway.arbitration.sight.assembly import Sources
from gateway.arbitration.unit_level import UnitLevel
from gateway.audit.service import SEAL_TIMER, AuditLog, SealHandler, start_sealing
from gateway.custody import assembly
from gateway.custody.consent import ASSUMPTION_TIMER
from gateway.custody.openings import Openings
from gateway.custody.sealer import LEDGER_TIMER
from gateway.custody.service import WINDOW_TIMER
from gateway.custody.telling import FENCE_TIMER
from gateway.custody.transfers import Transfers
from gateway.database.listening import Listener
from gateway.database.once import Once
from gateway.database.postgres import PostgresDatabase
from gateway.database.timers import TimerRunner
from gateway.delivery.blobs import BlobFetcher, BlobServer
from gateway.delivery.servicer import PeerServicer
from gateway.dispatch.assembly import TicketRoom, build_dispatch, build_tickets
from gateway.dispatch.numbers import skip_blocks
from gateway.evidence.export import Exporter
from gateway.evidence.servicer import EvidenceServicer
from gateway.ground import Ground, Task, build_delivery, stamping, stamping_tasks
from gateway.kernel.data import data_path
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import NATION, SystemIds
from gateway.publishing.assembly import PublishingRoom, Ways, build_publishing
from gateway.publishing.servicer import Rooms, RulesServicer
from gateway.publishing.store import GENERATION_SQL, RULES_CHANNEL
from gateway.reference.data import ReferenceData
from gateway.rehearsal.history import History
from gateway.rehearsal.service import Rehearsal
from gateway.routing.conditions import cel_conditions
from gateway.routing.packs import PackSet
from gateway.routing.service import RoutingService
from gateway.server.context import principal_of
from gateway.server.server import Service
from gateway.tickets.tokens import Tokens
from gateway.trust.key_ring import KeyRing
from hotline.aggregate.v1alpha1 import aggregate_service_pb2_grpc as aggregate_grpc
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as arbitration_grpc
from hotline.custody.v1 import custody_service_pb2_grpc as custody_grpc
from hotline.peer.v1 import peer_service_pb2_grpc as peer_grpc
from hotline.routing.v1 import destination_service_pb2_grpc as destination_grpc
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc

log = structlog.get_logger()
RULES_CONNECTIONS_MAX = 2  # to catch up, and to look at an instant of the past
FILINGS_INTERVAL = timedelta(seconds=30)  # a case that waits for an arbiter is not urgent by itself


class Custodian:
    """Everything between the server and the database of a node that holds tickets."""

    def __init__(self, ground: Ground) -> None:
        """Wire the rooms; nothing runs yet."""
        self._ground = ground
        self._ids, self._audit = SystemIds(), AuditLog()
        self._keys = KeyRing.load(ground.settings.keys_path)
        self._hosted = frozenset(self._keys.codes())
        self._rules = ground.settings.rules or data_path("routing_rules")
        self._reference = ReferenceData.load(self._rules / "reference")
        self._packs = PackSet.load(
            self._rules / "packs",
            authorities=self._hosted,
            reference=self._reference,
            conditions=cel_conditions(),
        )
        self._delivery = build_delivery(ground, self._keys)
        tickets = build_tickets(keys=self._keys, ids=self._ids)
        self._openings = Openings(keys=tickets.blocks)
        self._stamp_roots, self._stamper = stamping(ground, self._keys)
        self._custody = assembly.build(
            keys=self._keys,
            roster=ground.holder.get,
            outbox=self._delivery.outbox,
            content=tickets.blocks,
            openings=self._openings,
            ids=self._ids,
            machine_clock=ground.machine_clock,
            recovery=ground.life.recovery,
        )
        once = Once(database=ground.database, clock=ground.business_clock, key=tickets.token_key)
        self._publishing = self._build_publishing(tickets, once)
        self._rules_database: PostgresDatabase | None = None
        self._listening: asyncio.Task[None] | None = None
        self._dispatch = build_dispatch(
            room=tickets,
            database=ground.database,
            custody=self._custody,
            audit=self._audit,
            ids=self._ids,
            business_clock=ground.business_clock,
            reference=lambda: self._reference,
            packs=self._publishing.force,
            hosted=lambda: self._hosted,
            joined=ground.joined,
            principal_of=principal_of,
            rules=self._publishing.force,
        )
        self._wire_publishing()
        reactions = self._dispatch.reactions
        self._delivery.inbox.register(reactions.handlers(), prepare=reactions.read_ahead)
        self._custody.recall.react = self._dispatch.reactions.react
        self._custody.forks.react = self._dispatch.reactions.react
        self._delivery.inbox.accused = self._custody.forks.learned
        self._blobs = self._wire_blobs()
        self._rehearsal = self._wire_rehearsal()
        arbitration = self._wire_arbitration(tickets)
        self._learning = arbitration.learning
        reports = self._wire_reports()
        self._ledger = self._delivery.history.ledger
        self._wire_history()
        self._closing = CloseHandler(reports)
        self._timers = self._wire_timers(arbitration)
        tokens = Tokens(tickets.token_key)
        self._services = [
            *self._wire_tickets(tokens, once),
            *self._wire_others(arbitration, reports, tokens),
        ]

    # --- rooms, from the bottom of the house --------------------------------------------------

    def _wire_history(self) -> None:
        """Let this node recover from a backup, and return what it keeps to others."""
        reactions = self._dispatch.reactions
        self._delivery.history.restores(
            self._custody.restorer,
            reactions.handlers(),
            react=reactions.react,
            openings=self._openings,
        )

    def _build_publishing(self, tickets: TicketRoom, once: Once) -> PublishingRoom:
        """Build what is in force; `prepare` founds it with the folder's packs."""
        ground = self._ground
        ways = Ways(
            node=ground.node,
            outbox=self._delivery.outbox,
            roster=ground.holder.get,
            keys=self._keys,
            ids=self._ids,
            audit=self._audit,
            once=once,
            business_clock=ground.business_clock,
            machine_clock=ground.machine_clock,
        )
        return build_publishing(
            ways,
            database=ground.database,
            tickets=tickets.tickets,
            reference=lambda: self._reference,
            conditions=cel_conditions(),
            folder=self._rules / "reference",
            listens=True,
        )

    def _wire_publishing(self) -> None:
        """Let it hear peers, know failed conditions, and show what waits for rule staff."""
        room, metrics = self._publishing, self._ground.metrics
        self._delivery.inbox.register(room.handlers)
        self._dispatch.failures.meter = metrics
        room.failures.take = self._dispatch.failures.take
        room.failures.measured = lambda waiting, overdue: metrics.misroutes(
            waiting=waiting, overdue=overdue
        )
        room.misroutes.told = lambda reason, resolution: metrics.misroute(
            reason.name.lower(), resolution.name.lower() if resolution is not None else ""
        )

    def _listener(self) -> Listener:
        """Return what tells the rules in force that they changed."""
        force = self._publishing.force
        return Listener(
            self._ground.dsn,
            channel=RULES_CHANNEL,
            state=GENERATION_SQL,
            begun=force.hearing,
            heard=force.heard,
            ended=force.deaf,
        )

    def _wire_blobs(self) -> BlobFetcher:
        fetcher = BlobFetcher(
            node=self._ground.node,
            shelf=self._dispatch.attachments,
            source=self._dispatch.attaching,
            transport=self._delivery.transport,
            roster=self._ground.holder.get,
            keys=self._keys,
            clock=self._ground.machine_clock,
        )
        self._dispatch.attachments.wanted = fetcher.wake
        return fetcher

    def _wire_arbitration(self, tickets: TicketRoom) -> ArbitrationRoom:
        """Let every authority of this node rule about its units, provinces in their scopes too."""
        room = build_arbitration(
            database=self._ground.database,
            ruler=self._custody.arbiter,
            keys=self._keys,
            ids=self._ids,
            roster=self._ground.holder.get,
            calendar=lambda: self._reference.calendar,
            is_within=self._reference.regions.is_within,
            audit=self._audit,
            business_clock=self._ground.business_clock,
            principal_of=principal_of,
            outbox=self._delivery.outbox,
            machine_clock=self._ground.machine_clock,
            incarnation=self._ground.life.recovery.incarnation,
            unit_level=UnitLevel(
                tickets=tickets.tickets,
                custody=self._custody,
                dispatch=self._dispatch,
                units=lambda: self._reference.units,
            ),
            backing=self._backing(tickets),
            sources=Sources(
                evidence=self._exporter(),
                signed_roster=lambda: self._ground.holder.signed,
                threshold=self._ground.settings.reports.policy().threshold,
            ),
        )
        self._delivery.inbox.register(room.handlers)
        self._dispatch.reactions.arbitration = room.arbitration.react
        return room

    def _exporter(self) -> Exporter:
        """Return what exports who held a ticket when."""
        return Exporter(
            database=self._ground.database,
            keys=self._keys,
            signed_roster=lambda: self._ground.holder.signed,
            sealer=self._delivery.history.ledger,
            audit=self._audit,
            clock=self._ground.business_clock,
            openings=self._openings,
            stamp_roots=self._stamp_roots,
        )

    def _backing(self, tickets: TicketRoom) -> Backing:
        """Return what rulings of this node rest on and lead to: tickets, rules, history."""
        return Backing(
            tickets=tickets.tickets,
            reference=lambda: self._reference,
            hosted=lambda: self._hosted,
            joined=self._ground.joined,
            rules=self._publishing.force,
            peers=self._publishing.summaries.packs,
            drafts=self._publishing.drafts,
            check=self._publishing.checker,
            rehearsal=self._rehearsal,
            history=History(self._ground.database),
        )

    def _wire_reports(self) -> Reports:
        """Let the provinces of this node report to the hub."""
        return Reports(
            database=self._ground.database,
            keys=self._keys,
            outbox=self._delivery.outbox,
            reference=lambda: self._reference,
            noise=NoiseProcess(),
            policy=self._ground.settings.reports.policy(),
            audit=self._audit,
            ids=self._ids,
            clock=self._ground.business_clock,
        )

    def _wire_timers(self, arbitration: ArbitrationRoom) -> TimerRunner:
        return TimerRunner(
            database=self._ground.database,
            clock=self._ground.business_clock,
            handlers={
                WINDOW_TIMER: self._custody,
                SEAL_TIMER: SealHandler(self._audit),
                LEDGER_TIMER: self._ledger,
                FENCE_TIMER: self._custody.arbiter,
                ASSUMPTION_TIMER: self._custody.consent,
                CLOSE_TIMER: self._closing,
                **self._publishing.timers,
                **arbitration.timers,
                **self._dispatch.timers,
            },
        )

    def _wire_rehearsal(self) -> Rehearsal:
        """Let rule staff try packs on what this node decided."""
        return Rehearsal(
            history=History(self._ground.database),
            packs=self._publishing.force,
            reference=lambda: self._reference,
            hosted=lambda: self._hosted,
            joined=self._ground.joined,
            conditions=cel_conditions(),
            clock=self._ground.business_clock,
            find_source=self._publishing.source_of,
        )

    def _wire_tickets(self, tokens: Tokens, once: Once) -> list[Service]:
        transfers = Transfers(
            database=self._ground.database,
            custody=self._custody,
            audit=self._audit,
            clock=self._ground.business_clock,
            react=self._dispatch.reactions.react,
            window=self._dispatch.acting.answer_window,
        )
        custody = EvidenceServicer(
            transfers=transfers,
            once=once,
            tokens=tokens,
            principal_of=principal_of,
            exporter=self._exporter(),
        )
        routing = RoutingService(
            packs=self._publishing.force,
            reference=self._reference,
            hosted=self._hosted,
            joined=self._ground.joined,
            clock=self._ground.business_clock,
            failures=self._dispatch.failures,
            states=self._dispatch.board.destinations.states,
        )
        rules = RulesServicer(
            Rooms(
                routing=routing,
                rehearsal=self._rehearsal,
                drafts=self._publishing.drafts,
                publisher=self._publishing.publisher,
                misroutes=self._publishing.misroutes,
                force=self._publishing.force,
            ),
            database=self._ground.database,
            tokens=tokens,
            clock=self._ground.business_clock,
            principal_of=principal_of,
        )
        blobs = BlobServer(
            source=self._dispatch.attaching,
            roster=self._ground.holder.get,
            clock=self._ground.machine_clock,
            ids=self._ids,
        )
        peer = PeerServicer(
            inbox=self._delivery.inbox,
            principal_of=principal_of,
            blobs=blobs,
            books=self._delivery.history.books,
            quotas=self._delivery.quotas,
        )
        return [
            Service(ticket_grpc.add_TicketServiceServicer_to_server, self._dispatch.servicer),
            Service(custody_grpc.add_CustodyServiceServicer_to_server, custody),
            Service(routing_grpc.add_RoutingServiceServicer_to_server, rules),
            Service(peer_grpc.add_PeerServiceServicer_to_server, peer),
            self._delivery.service(),
        ]

    def _wire_others(
        self, arbitration: ArbitrationRoom, reports: Reports, tokens: Tokens
    ) -> list[Service]:
        """Return the services beside those of tickets."""
        aggregates = AggregateServicer(reports=reports, tokens=tokens, principal_of=principal_of)
        return [
            Service(
                destination_grpc.add_DestinationServiceServicer_to_server,
                self._dispatch.board.servicer,
            ),
            Service(
                arbitration_grpc.add_ArbitrationServiceServicer_to_server, arbitration.servicer
            ),
            Service(aggregate_grpc.add_AggregateServiceServicer_to_server, aggregates),
        ]

    def services(self) -> list[Service]:
        """Return what this role serves besides the roster."""
        return self._services

    async def prepare(self) -> None:
        """Schedule what comes again and again; harmless when it is scheduled already."""
        now = self._ground.business_clock.now()
        # Decisions that wait for the rules may hold every connection of the node's own pool.
        self._rules_database = await PostgresDatabase.connect(
            self._ground.dsn, connections_max=RULES_CONNECTIONS_MAX
        )
        self._publishing.force.database = self._rules_database
        await self._publishing.found(self._packs.packs, owners={NATION, *self._hosted})
        self._listening = asyncio.create_task(self._listener().run(), name="rules listener")
        await self._publishing.force.ready()
        async with self._ground.database.unit() as uow:
            start_sealing(uow, now=now)
            self._ledger.start(uow, now=now)
            await self._closing.start(uow, now=now)
            self._dispatch.recompute.start(uow, now=now)
            if self._ground.life.recovery.is_recovering:
                await skip_blocks(uow)  # numbers given since the backup must not come again

    def tasks(self, stopping: asyncio.Event) -> dict[str, Task]:
        """Return what runs beside the server, by name."""
        return {
            "pump": self._delivery.pump.run,
            "monitor": self._delivery.operation.monitor.run,
            "blobs": self._blobs.run,
            "destinations": partial(self._dispatch.board.destinations.run, stopping),
            "timers": partial(self._timers.run, stopping),
            "filings": self._ground.crew.once("filings", self._file_waiting_cases),
            "proposals": self._ground.crew.once("proposals", self._learning.run),
            "rules listener": self._until_deaf,
            **self._publishing.tasks(),
            **{
                name: self._ground.crew.once(name, task)
                for name, task in self._publishing.once().items()
            },
            **self._delivery.history.tasks(stopping),
            **stamping_tasks(self._ground, self._stamper, stopping),
        }

    async def close(self) -> None:
        """Close the channels to peers."""
        await self._delivery.transport.close()
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        if self._publishing.workshop is not None:
            self._publishing.workshop.close()
        if self._rules_database is not None:
            await self._rules_database.close()

    async def _until_deaf(self) -> None:
        """Wait for the listener, which began before anything was served and never ends."""
        if self._listening is not None:
            await asyncio.shield(self._listening)

    def trouble(self) -> str:
        """Return why this process takes no tickets now; empty when it does."""
        found = self._publishing.force.trouble
        return f"rules: {found}" if found else ""

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
