"""The rooms of the stage's nodes, wired as the composition root of a node wires them.

`gateway/custodian.py` and `gateway/nation.py` are the real ones; here a node has the in-memory
engine, no server, no metrics, and its callers come as the context of a call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.watched import WatchedDatabase
from gateway.arbitration.assembly import ArbitrationRoom, build_arbitration
from gateway.arbitration.learning.backing import Backing
from gateway.arbitration.unit_level import UnitLevel
from gateway.audit.service import AuditLog
from gateway.custody import assembly as custody_assembly
from gateway.custody.consent import ASSUMPTION_TIMER
from gateway.custody.openings import Openings
from gateway.custody.recall import WINDOW_TIMER
from gateway.custody.service import CustodyService
from gateway.custody.telling import FENCE_TIMER
from gateway.custody.transfers import Transfers
from gateway.database.once import Once
from gateway.database.timers import TimerHandler, TimerRunner
from gateway.database.uow import UnitOfWork
from gateway.delivery.inbox import Inbox
from gateway.delivery.model import Delivered
from gateway.delivery.outbox import Outbox
from gateway.dispatch.assembly import DispatchRoom, TicketRoom, build_dispatch, build_tickets
from gateway.kernel.ids import NodeId, SystemIds
from gateway.kernel.time import Instant, ManualClock
from gateway.publishing.assembly import PublishingRoom, Ways, build_publishing
from gateway.reference.data import ReferenceData
from gateway.rehearsal.history import History
from gateway.rehearsal.service import Rehearsal
from gateway.routing.conditions import cel_conditions
from gateway.trust.key_ring import KeyRing
from gateway.trust.principal import Principal
from gateway.trust.roster import Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a node stands on."""

    name: str
    keys: KeyRing
    database: WatchedDatabase
    clock: ManualClock
    roster: Callable[[], Roster]
    reference: Callable[[], ReferenceData]
    ids: SystemIds
    audit: AuditLog

    def hosted(self) -> frozenset[str]:
        """Return the authorities of this node."""
        return frozenset(self.keys.codes())

    def joined(self) -> frozenset[str]:
        """Return all authorities of the roster."""
        return frozenset(self.roster().authorities)

    def delivery(self) -> tuple[Inbox, Outbox]:
        """Return the node's two boxes."""
        node = NodeId(self.name)
        inbox = Inbox(
            node=node,
            database=self.database,
            roster=self.roster,
            keys=self.keys,
            business_clock=self.clock,
            machine_clock=self.clock,
        )
        outbox = Outbox(node=node, roster=self.roster, inbox=inbox, machine_clock=self.clock)
        return inbox, outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Tickets:
    """The rooms that only a node with tickets has."""

    room: TicketRoom
    custody: CustodyService
    dispatch: DispatchRoom
    transfers: Transfers
    publishing: PublishingRoom


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNode:
    """One node; the nation's arbiter has no tickets."""

    name: str
    database: WatchedDatabase
    keys: KeyRing
    inbox: Inbox
    arbitration: ArbitrationRoom
    timers: TimerRunner
    own: Tickets | None = None

    @property
    def served(self) -> Any:
        """Return the verbs of `hotline.arbitration.v1`; their context is the caller."""
        return self.arbitration.servicer

    @property
    def tickets(self) -> Tickets:
        """Return the rooms of a node with tickets."""
        if self.own is None:
            raise LookupError(f"{self.name} has no tickets")
        return self.own


def a_custodian(site: Site) -> StageNode:
    """Return a node with tickets."""
    inbox, outbox = site.delivery()
    own = _tickets(site, inbox, outbox)
    level = UnitLevel(
        tickets=own.room.tickets,
        custody=own.custody,
        dispatch=own.dispatch,
        units=lambda: site.reference().units,
    )
    arbitration = _arbitration(
        site, own.custody.arbiter, outbox, unit_level=level, backing=_backing(site, own)
    )
    inbox.register(arbitration.handlers)
    own.dispatch.reactions.arbitration = arbitration.arbitration.react
    handlers: dict[str, TimerHandler] = {
        WINDOW_TIMER: own.custody.recall,
        FENCE_TIMER: own.custody.arbiter,
        ASSUMPTION_TIMER: own.custody.consent,
        **own.publishing.timers,
        **arbitration.timers,
        **own.dispatch.timers,
    }
    timers = TimerRunner(database=site.database, clock=site.clock, handlers=handlers)
    return StageNode(
        name=site.name,
        database=site.database,
        keys=site.keys,
        inbox=inbox,
        arbitration=arbitration,
        timers=timers,
        own=own,
    )


def an_arbiter(site: Site) -> StageNode:
    """Return the nation's arbiter node."""
    inbox, outbox = site.delivery()
    desk = custody_assembly.build_arbiter(
        keys=site.keys, roster=site.roster, outbox=outbox, ids=site.ids, machine_clock=site.clock
    )
    arbitration = _arbitration(site, desk.arbiter, outbox)

    async def take(uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        events = await desk.receive(uow, delivered, now)
        await arbitration.arbitration.react(uow, events, now=now)

    inbox.register(dict.fromkeys(desk.kinds, take))
    inbox.register(arbitration.handlers)
    handlers: dict[str, TimerHandler] = {FENCE_TIMER: desk.arbiter, **arbitration.timers}
    timers = TimerRunner(database=site.database, clock=site.clock, handlers=handlers)
    return StageNode(
        name=site.name,
        database=site.database,
        keys=site.keys,
        inbox=inbox,
        arbitration=arbitration,
        timers=timers,
    )


def _tickets(site: Site, inbox: Inbox, outbox: Outbox) -> Tickets:
    room = build_tickets(keys=site.keys, ids=site.ids)
    custody = custody_assembly.build(
        keys=site.keys,
        roster=site.roster,
        outbox=outbox,
        content=room.blocks,
        ids=site.ids,
        machine_clock=site.clock,
        openings=Openings(keys=room.blocks),
    )
    publishing = _publishing(site, outbox, room)
    inbox.register(publishing.handlers)
    dispatch = build_dispatch(
        room=room,
        database=site.database,
        custody=custody,
        audit=site.audit,
        ids=site.ids,
        business_clock=site.clock,
        reference=site.reference,
        packs=publishing.force,
        hosted=site.hosted,
        joined=site.joined,
        principal_of=_as_given,
        rules=publishing.force,
    )
    reactions = dispatch.reactions
    inbox.register(reactions.handlers(), prepare=reactions.read_ahead)
    inbox.accused = custody.forks.learned
    custody.recall.react = custody.forks.react = reactions.react
    transfers = Transfers(
        database=site.database,
        custody=custody,
        audit=site.audit,
        clock=site.clock,
        react=reactions.react,
        window=dispatch.acting.answer_window,
    )
    return Tickets(
        room=room, custody=custody, dispatch=dispatch, transfers=transfers, publishing=publishing
    )


def _publishing(site: Site, outbox: Outbox, room: TicketRoom) -> PublishingRoom:
    once = Once(database=site.database, clock=site.clock, key=room.token_key)
    ways = Ways(
        node=NodeId(site.name),
        outbox=outbox,
        roster=site.roster,
        keys=site.keys,
        ids=site.ids,
        audit=site.audit,
        once=once,
        business_clock=site.clock,
        machine_clock=site.clock,
    )
    return build_publishing(
        ways,
        database=site.database,
        tickets=room.tickets,
        reference=site.reference,
        conditions=cel_conditions(),
    )


def _backing(site: Site, own: Tickets) -> Backing:
    history = History(site.database)
    rehearsal = Rehearsal(
        history=history,
        packs=own.publishing.force,
        reference=site.reference,
        hosted=site.hosted,
        joined=site.joined,
        conditions=cel_conditions(),
        clock=site.clock,
        find_source=own.publishing.source_of,
    )
    return Backing(
        tickets=own.room.tickets,
        reference=site.reference,
        hosted=site.hosted,
        joined=site.joined,
        rules=own.publishing.force,
        peers=own.publishing.summaries.packs,
        drafts=own.publishing.drafts,
        check=own.publishing.checker,
        rehearsal=rehearsal,
        history=history,
    )


def _arbitration(
    site: Site,
    ruler: Any,
    outbox: Outbox,
    *,
    unit_level: UnitLevel | None = None,
    backing: Backing | None = None,
) -> ArbitrationRoom:
    return build_arbitration(
        database=site.database,
        ruler=ruler,
        keys=site.keys,
        ids=site.ids,
        roster=site.roster,
        calendar=lambda: site.reference().calendar,
        is_within=site.reference().regions.is_within,
        audit=site.audit,
        business_clock=site.clock,
        principal_of=_as_given,
        outbox=outbox,
        machine_clock=site.clock,
        unit_level=unit_level,
        backing=backing,
    )


def _as_given(context: Any) -> Principal:
    principal: Principal = context
    return principal
