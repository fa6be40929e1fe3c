"""The rooms of the nation's nodes: the hub takes reports, the arbiter files, rules and fences.

Part of the composition root. The two roles live on two nodes; whoever tries things out may put them
on one. Neither has a tickets room: a hub sees noisy counts only, an arbiter a minimised case file
(I7). Both stand on the room of delivery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from gateway.arbitration.assembly import ArbitrationRoom, build_arbitration
from gateway.arbitration.sight.assembly import Sources
from gateway.audit.service import SEAL_TIMER, AuditLog, SealHandler, start_sealing
from gateway.custody import assembly
from gateway.custody.desk import ArbiterDesk
from gateway.custody.sealer import LEDGER_TIMER
from gateway.custody.telling import FENCE_TIMER
from gateway.database.timers import TimerHandler, TimerRunner
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered
from gateway.delivery.ports import StatementHandler
from gateway.delivery.servicer import PeerServicer
from gateway.evidence.export import Exporter
from gateway.ground import Ground, Task, build_delivery, stamping, stamping_tasks
from gateway.hub.intake import ReportIntake
from gateway.hub.model import HubPolicy
from gateway.hub.service import HubMap
from gateway.hub.servicer import HubServicer
from gateway.hub.warehouse import Warehouse
from gateway.kernel.data import data_path
from gateway.kernel.ids import SystemIds
from gateway.kernel.time import Instant
from gateway.reference.data import ReferenceData
from gateway.server.context import principal_of
from gateway.server.server import Service
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import NodeRole
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as arbitration_grpc
from hotline.hub.v1alpha1 import hub_service_pb2_grpc as hub_grpc
from hotline.peer.v1 import peer_service_pb2_grpc as peer_grpc

WAREHOUSE = "warehouse"  # folder of the hub's derived data, below the node's
WORKERS = "workers"  # folder in it of what the second worker and further ones derive


class Nation:
    """Everything between the server and the database of a hub or an arbiter."""

    def __init__(self, ground: Ground) -> None:
        """Wire the rooms of the node's roles; nothing runs yet."""
        self._ground = ground
        ids, audit = SystemIds(), AuditLog()
        keys = KeyRing.load(ground.settings.keys_path)
        rules = ground.settings.rules or data_path("routing_rules")
        reference = ReferenceData.load(rules / "reference")
        self._delivery = build_delivery(ground, keys)
        self._ledger = self._delivery.history.ledger
        _, self._stamper = stamping(ground, keys)
        peer = PeerServicer(
            inbox=self._delivery.inbox,
            principal_of=principal_of,
            quotas=self._delivery.quotas,
            books=self._delivery.history.books,
        )
        self._services = [
            Service(peer_grpc.add_PeerServiceServicer_to_server, peer),
            self._delivery.service(),
        ]
        handlers: dict[str, TimerHandler] = {
            SEAL_TIMER: SealHandler(audit),
            LEDGER_TIMER: self._ledger,
        }
        self._map: HubMap | None = None
        if NodeRole.HUB in ground.settings.roles:
            self._map = self._wire_hub(reference, audit)
        if NodeRole.ARBITER in ground.settings.roles:
            desk = assembly.build_arbiter(
                keys=keys,
                roster=ground.holder.get,
                outbox=self._delivery.outbox,
                ids=ids,
                machine_clock=ground.machine_clock,
                recovery=ground.life.recovery,
            )
            room = build_arbitration(
                database=ground.database,
                ruler=desk.arbiter,
                keys=keys,
                ids=ids,
                roster=ground.holder.get,
                calendar=lambda: reference.calendar,
                is_within=reference.regions.is_within,
                audit=audit,
                business_clock=ground.business_clock,
                principal_of=principal_of,
                outbox=self._delivery.outbox,
                machine_clock=ground.machine_clock,
                incarnation=ground.life.recovery.incarnation,
                sources=self._sources(keys, audit),
            )
            self._delivery.inbox.register(room.handlers)
            handlers |= {FENCE_TIMER: desk.arbiter, **room.timers}
            self._wire_arbiter(desk, room, audit)
        self._timers = TimerRunner(
            database=ground.database, clock=ground.business_clock, handlers=handlers
        )

    def _sources(self, keys: KeyRing, audit: AuditLog) -> Sources:
        """Return what dossiers of the arbiter's cases rest on."""
        ground = self._ground
        evidence = Exporter(
            database=ground.database,
            keys=keys,
            signed_roster=lambda: ground.holder.signed,
            sealer=self._ledger,
            audit=audit,
            clock=ground.business_clock,
        )
        return Sources(evidence=evidence, signed_roster=lambda: ground.holder.signed)

    def _wire_hub(self, reference: ReferenceData, audit: AuditLog) -> HubMap:
        # DuckDB has one writer a file: each worker derives a warehouse of its own.
        folder = self._ground.settings.directory_path / WAREHOUSE
        index = self._ground.crew.index
        warehouse = Warehouse(folder / WORKERS / str(index) if index else folder)
        national_map = HubMap(database=self._ground.database, warehouse=warehouse)
        intake = ReportIntake(
            reference=lambda: reference,
            policy=HubPolicy(),
            audit=audit,
            taken=national_map.wake,
        )
        self._delivery.inbox.register(intake.handlers())
        servicer = HubServicer(national_map=national_map, reference=lambda: reference)
        self._services.append(Service(hub_grpc.add_HubServiceServicer_to_server, servicer))
        return national_map

    def _wire_arbiter(self, desk: ArbiterDesk, room: ArbitrationRoom, audit: AuditLog) -> None:
        handlers = dict.fromkeys(desk.kinds, _taking(desk, room, audit))
        self._delivery.inbox.register(handlers)
        self._delivery.history.restores(desk.restorer, handlers)
        self._services.append(
            Service(arbitration_grpc.add_ArbitrationServiceServicer_to_server, room.servicer)
        )

    def services(self) -> Sequence[Service]:
        """Return what these roles serve besides the roster."""
        return self._services

    async def prepare(self) -> None:
        """Open the warehouse, schedule what comes again and again."""
        now = self._ground.business_clock.now()
        if self._map is not None:
            await self._map.start()
        async with self._ground.database.unit() as uow:
            start_sealing(uow, now=now)
            self._ledger.start(uow, now=now)

    def trouble(self) -> str:
        """Return nothing: what these roles need is the database's own matter."""
        return ""

    def tasks(self, stopping: asyncio.Event) -> Mapping[str, Task]:
        """Return what runs beside the server, by name."""
        tasks: dict[str, Task] = {
            "pump": self._delivery.pump.run,
            "monitor": self._delivery.operation.monitor.run,
            "timers": partial(self._timers.run, stopping),
            **self._delivery.history.tasks(stopping),
            **stamping_tasks(self._ground, self._stamper, stopping),
        }
        if self._map is not None:
            tasks["map"] = partial(self._map.run, stopping)
        return tasks

    async def close(self) -> None:
        """Close the channels to peers and the warehouse."""
        await self._delivery.transport.close()
        if self._map is not None:
            await self._map.close()


def _taking(desk: ArbiterDesk, room: ArbitrationRoom, audit: AuditLog) -> StatementHandler:
    """Return the handler of an arbiter's statements: custody first, then the case."""

    async def take(uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        statement = delivered.statement
        events = await desk.receive(uow, delivered, now)
        audit.statement_taken(
            uow,
            issuer=statement.issuer,
            kind=statement.kind,
            subject=f"tickets/{statement.ticket}",
            statement_id=statement.statement_id,
            now=now,
        )
        await room.arbitration.react(uow, events, now=now)

    return take
