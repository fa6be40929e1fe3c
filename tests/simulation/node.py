"""One simulated node: the real services over a storage that survives what happens to the process.

A crash throws away everything but the storage and builds the services anew, as a restart does.
`crash_at` names the point at which the process dies next; `trouble` what its disk does next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from benchmarks.watched import WatchedDatabase
from gateway.arbitration.assembly import ArbitrationRoom
from gateway.custody import assembly
from gateway.custody.arbiter import Arbiter
from gateway.custody.consent import ASSUMPTION_TIMER
from gateway.custody.desk import ArbiterDesk
from gateway.custody.incarnation import Recovery
from gateway.custody.model import (
    BecameCustodian,
    CaseFiled,
    CaseVoid,
    ContentArrived,
    CustodyEvent,
    IdentityArrived,
    ProgressArrived,
    RulingTaken,
    Split,
)
from gateway.custody.sealer import LedgerSealer
from gateway.custody.service import WINDOW_TIMER, CustodyService
from gateway.custody.telling import FENCE_TIMER
from gateway.database.memory import AFTER_COMMIT, BEFORE_COMMIT
from gateway.database.timers import TimerHandler, TimerRunner
from gateway.database.uow import PEER, ROLLED_BACK, UNKNOWN, UnitOfWork
from gateway.delivery.inbox import Inbox
from gateway.delivery.model import Delivered
from gateway.delivery.outbox import Outbox
from gateway.delivery.ports import StatementHandler
from gateway.delivery.pump import Pump
from gateway.kernel.errors import PeerUnreachable, ResourceNotFound
from gateway.kernel.ids import (
    NATION,
    AuthorityCode,
    NodeId,
    TicketNumber,
    mint_ticket_number,
)
from gateway.kernel.time import Instant, day_of
from gateway.tickets.children import uid_of
from gateway.trust.roster import Roster
from hotline.custody.v1 import custody_pb2
from tests.simulation.backups import OPENINGS
from tests.simulation.copies import CITIZEN, COPIES, Copy, SimulatedCopies
from tests.simulation.network import Crashed
from tests.simulation.rooms import build_room
from tests.simulation.seeded import SkewedClock

if TYPE_CHECKING:
    from tests.simulation.world import World

SLOW = "slow"
TROUBLES = (SLOW, ROLLED_BACK, "unknown, done", "unknown, not done")
SLOW_COMMIT = timedelta(seconds=20)  # longer than any time-out between two nodes

# What a node of an earlier version does not know: the rest of the protocol works without it.
LATER_KINDS = frozenset({"Assumption", "StandBy", "InformationRequest", "InformationAnswer"})
LATER_KINDS |= {"Inquiry", "InquiryAnswer"}
LATER_KINDS |= {"CaseFile", "Position", "Objection"}


@dataclass(frozen=True, slots=True)
class _Counted:
    """A timer handler that counts what fires."""

    world: World
    handler: TimerHandler

    def locks(self, key: str) -> tuple[str, ...]:
        return self.handler.locks(key)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        await self.handler.handle(uow, key=key, now=now)
        uow.after_commit(lambda: self.world.step("timer"))
        self.world.note(f"timer {key}")


class Node:
    """One gateway: its storage survives a crash, everything else is made anew."""

    def __init__(self, world: World, name: str, hosts: tuple[str, ...]) -> None:
        self.world = world
        self.id = NodeId(name)
        self.hosts = tuple(AuthorityCode(code) for code in hosts)
        self.keys = world.keys_of(hosts)
        self.old_roster: Roster | None = None
        self.is_earlier_version = False
        self.recovery = Recovery(self.id)  # what the database says of this node's life
        self.clock = SkewedClock(world.clock)
        self.database = WatchedDatabase(
            at_point=self._at_point,
            began=self._began,
            committed=self._committed,
        )
        self.crash_at: tuple[str, int] | None = None
        self.trouble: tuple[str, int] | None = None
        self.inbox: Inbox
        self.pump: Pump
        self.custody: CustodyService
        self.desk: ArbiterDesk
        self.room: ArbitrationRoom
        self.timers: TimerRunner
        self.sealer: LedgerSealer

    def known_roster(self) -> Roster:
        """Return the roster as this node knows it, which may be an old one."""
        return self.old_roster or self.world.roster

    # --- what breaks --------------------------------------------------------------------------

    def reach(self, point: str) -> None:
        """Die here, if this is where the process shall die."""
        if self.crash_at is None or self.crash_at[0] != point:
            return
        name, left = self.crash_at
        self.crash_at = (name, left - 1) if left > 1 else None
        if left <= 1:
            self.world.fault(f"crash {point}", self.id)
            raise Crashed(self.id)

    def _at_point(self, point: str) -> None:
        if point == BEFORE_COMMIT:
            self.world.commit += 1
            self._trouble_before()
        self.reach(point)
        if point == AFTER_COMMIT:
            self.world.committed()
            self._trouble_after()

    def _trouble_before(self) -> None:
        if self.trouble is None:
            return
        kind, left = self.trouble
        if left > 1:
            self.trouble = (kind, left - 1)
        elif kind == "unknown, done":
            self.trouble = (kind, 0)  # after this very commit
        else:
            self.trouble = None
            self.world.fault(f"disk {kind}", self.id)
            if kind == SLOW:
                self.world.clock.advance(SLOW_COMMIT)
                return
            outcome = ROLLED_BACK if kind == ROLLED_BACK else UNKNOWN
            raise PeerUnreachable(peer=PEER, got="simulated", outcome=outcome)

    def _trouble_after(self) -> None:
        if self.trouble == ("unknown, done", 0):
            self.trouble = None
            self.world.fault("disk unknown, done", self.id)
            raise PeerUnreachable(peer=PEER, got="simulated", outcome=UNKNOWN)

    def _began(self) -> None:
        self.world.coverage.drop()

    def _committed(self, table: str, key: tuple[object, ...], row: object | None) -> None:
        self.world.changed(self, table, key, row)

    # --- the process --------------------------------------------------------------------------

    def start(self) -> None:
        """Begin again with whatever the storage holds, as after a restart."""
        self.database.abandon()
        self.build()

    def build(self) -> None:
        """Build the services over the storage."""
        world = self.world
        self.inbox = Inbox(
            node=self.id,
            database=self.database,
            roster=self.known_roster,
            keys=self.keys,
            business_clock=self.clock,
            machine_clock=self.clock,
        )
        self.inbox.counted = world.count
        outbox = Outbox(
            node=self.id,
            roster=self.known_roster,
            inbox=self.inbox,
            machine_clock=self.clock,
        )
        self.pump = Pump(
            database=self.database,
            transport=world.network.from_node(self.id),
            roster=self.known_roster,
            clock=self.clock,
            incarnation=self.recovery.incarnation,
        )
        self.pump.counted = lambda _node, _outcome: world.step("receipt")
        self.sealer = LedgerSealer(keys=self.keys, recovery=self.recovery)
        handlers: dict[str, TimerHandler]
        if self.is_arbiter_only:
            self.desk = assembly.build_arbiter(
                keys=self.keys,
                roster=self.known_roster,
                outbox=outbox,
                ids=world.ids,
                machine_clock=self.clock,
                recovery=self.recovery,
            )
            kinds = self.desk.kinds
            handlers = {FENCE_TIMER: self.desk.arbiter}
        else:
            self.custody = assembly.build(
                keys=self.keys,
                roster=self.known_roster,
                outbox=outbox,
                content=SimulatedCopies(),
                openings=OPENINGS,
                ids=world.ids,
                machine_clock=self.clock,
                recovery=self.recovery,
            )
            kinds = self.custody.kinds
            self.inbox.accused = self.custody.forks.learned
            self.custody.forks.react = self.react_all
            handlers = {
                WINDOW_TIMER: self.custody.recall,
                FENCE_TIMER: self.custody.arbiter,
                ASSUMPTION_TIMER: self.custody.consent,
            }
        unknown = LATER_KINDS if self.is_earlier_version else frozenset()
        takers: dict[str, StatementHandler] = dict.fromkeys(kinds, self._take)
        if world.has_panels:
            self.room = build_room(self, outbox)
            handlers |= self.room.timers
            takers |= {kind: self._counting(taker) for kind, taker in self.room.handlers.items()}
        self.inbox.register({kind: takers[kind] for kind in takers if kind not in unknown})
        self.timers = TimerRunner(
            database=self.database,
            clock=self.clock,
            handlers={kind: _Counted(world, handler) for kind, handler in handlers.items()},
        )

    @property
    def is_arbiter_only(self) -> bool:
        """Tell whether this is the nation's arbiter node, which has no tickets."""
        return self.hosts == (NATION,)

    @property
    def arbiter(self) -> Arbiter:
        """Return the arbiter's half of this node."""
        return self.desk.arbiter if self.is_arbiter_only else self.custody.arbiter

    def handlers(self) -> dict[str, StatementHandler]:
        """Return who takes which kind of statement."""
        room = self.desk if self.is_arbiter_only else self.custody
        return dict.fromkeys(room.kinds, self._take)

    async def _take(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        room = self.desk if self.is_arbiter_only else self.custody
        said = delivered.statement
        for event in await room.receive(uow, delivered, now):
            await self.react(uow, event, now)
        uow.after_commit(lambda: self.world.step("statement"))
        self.world.note(
            f"{self.id}/{delivered.target} takes {said.kind} {said.epoch} of {said.issuer}"
            f" on {said.ticket[-6:]} {said.scope}-{said.chain}"
        )

    def _counting(self, taker: StatementHandler) -> StatementHandler:
        async def take(uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
            await taker(uow, delivered, now)
            uow.after_commit(lambda: self.world.step("statement"))
            said = delivered.statement
            text = f"{self.id}/{delivered.target} takes {said.kind} of {said.issuer}"
            self.world.note(f"{text} on {said.ticket[-6:]} {said.scope}-{said.chain}")

        return take

    async def react_all(
        self, uow: UnitOfWork, events: tuple[CustodyEvent, ...], *, now: Instant
    ) -> None:
        """React to what came of a step."""
        for event in events:
            await self.react(uow, event, now)

    async def react(self, uow: UnitOfWork, event: CustodyEvent, now: Instant) -> None:
        """Keep the copies as dispatch does; decisions are left to the play."""
        if isinstance(event, ContentArrived):
            header = custody_pb2.TicketHeader.FromString(event.header)
            known = await uow.get(COPIES, event.key.authority, event.key.ticket)
            if known is None:
                copy = Copy(
                    authority=event.key.authority,
                    ticket=event.key.ticket,
                    uid=header.uid,
                    origin=header.origin,
                    state=2,
                    version=0,
                    identity=b"",
                )
                uow.put(COPIES, copy)
        elif isinstance(event, IdentityArrived):
            await self._change(uow, event.key.authority, event.key.ticket, event.identity_block)
        elif isinstance(event, CaseFiled | CaseVoid | RulingTaken):
            if self.world.has_panels:
                await self.room.arbitration.react(uow, (event,), now=now)
            else:
                self.world.heard.append(event)
        elif isinstance(event, BecameCustodian):
            key = event.key
            self.world.became[key, event.epoch] += 1
            assert await uow.get(COPIES, key.authority, key.ticket), "who decides has a copy"
            if event.epoch.count == 0:  # by a ruling; who accepts publishes by itself
                await self.custody.publish(uow, authority=key.authority, ticket=key.ticket, now=now)
        elif isinstance(event, ProgressArrived):
            shown = await uow.get(COPIES, event.key.authority, event.key.ticket)
            if shown is not None:
                told = custody_pb2.StateBlock.FromString(event.state_block)
                version = int(told.decision.rule)
                uow.put(COPIES, replace(shown, state=event.state, version=version))
                await self.custody.publish(
                    uow, authority=event.key.authority, ticket=event.key.ticket, now=now
                )

    async def _change(self, uow: UnitOfWork, authority: str, ticket: str, identity: bytes) -> None:
        copy = await uow.get(COPIES, authority, ticket)
        if copy is not None:
            uow.put(COPIES, replace(copy, identity=identity))

    # --- what its authorities do --------------------------------------------------------------

    async def create(self, authority: AuthorityCode) -> TicketNumber:
        """Hand in a ticket at a hosted authority and return its number once committed."""
        world, now = self.world, self.clock.now()
        ticket = mint_ticket_number(authority, day_of(now), world.next_number())
        async with self.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await self._begin(uow, authority, ticket, uid=world.ids.uuid7(now), now=now)
        return ticket

    async def _begin(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        uid: str,
        now: Instant,
        split: Split | None = None,
    ) -> None:
        copy = Copy(
            authority=authority,
            ticket=ticket,
            uid=uid,
            origin=authority,
            state=1,
            version=0,
            identity=CITIZEN,
        )
        uow.put(COPIES, copy)
        await self.custody.begin(
            uow, authority=authority, ticket=ticket, uid=uid, now=now, split=split
        )

    async def change(self, authority: AuthorityCode, ticket: TicketNumber) -> None:
        """Do an exclusive act: a new version of the public state, told to the followers."""

        async def act(uow: UnitOfWork, now: Instant) -> None:
            version = self.world.next_number()
            await self._act(uow, authority, ticket, kind="ticket.changed", subject=version, now=now)
            await self._show(uow, authority, ticket, state=3, version=version, now=now)

        await self._locked(ticket, act)

    async def reconcile(
        self, authority: AuthorityCode, ticket: TicketNumber, *, adopts: bool
    ) -> bool:
        """Answer an overtaken act; tell whether one was waiting."""
        async with self.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            waiting = await self.custody.overtaken.waiting(uow, authority, ticket)
            if waiting:
                act, now = waiting[0], self.clock.now()
                await self.custody.overtaken.answer(uow, act, adopts=adopts, now=now)
        return bool(waiting)

    async def care(self, authority: AuthorityCode, ticket: TicketNumber) -> None:
        """Do an act of care, which every caring state allows."""

        async def act(uow: UnitOfWork, now: Instant) -> None:
            await self.custody.care_act(
                uow,
                authority=authority,
                ticket=ticket,
                kind="ticket.noted",
                digest=self.world.next_number().to_bytes(32, "big"),
                now=now,
            )

        await self._locked(ticket, act)

    async def split(
        self, authority: AuthorityCode, ticket: TicketNumber, *, index: int
    ) -> TicketNumber:
        """Split a child off: an exclusive act with which the child begins here."""
        born: list[TicketNumber] = []

        async def act(uow: UnitOfWork, now: Instant) -> None:
            await self._act(uow, authority, ticket, kind="ticket.split", subject=index, now=now)
            key, epoch = await self.custody.acting_term(uow, authority, ticket)
            child = mint_ticket_number(authority, day_of(now), self.world.next_number())
            await uow.lock(f"ticket/{child}")
            uid = uid_of(
                parent=ticket, scope=key.scope, chain=key.number, epoch=str(epoch), index=index
            )
            split = Split(parent=ticket, epoch=epoch, index=index)
            await self._begin(uow, authority, child, uid=uid, now=now, split=split)
            born.append(child)

        await self._locked(ticket, act)
        return born[0]

    async def merge(
        self, authority: AuthorityCode, ticket: TicketNumber, into: TicketNumber
    ) -> None:
        """Merge a ticket into another: both held here with nothing pending, one transaction."""

        async def act(uow: UnitOfWork, now: Instant) -> None:
            await uow.lock(f"ticket/{into}")
            number = self.world.next_number()
            await self._act(uow, authority, into, kind="ticket.merged-in", subject=number, now=now)
            await self._act(uow, authority, ticket, kind="ticket.merged", subject=number, now=now)
            await self._show(uow, authority, ticket, state=9, version=number, now=now)

        await self._locked(ticket, act)

    async def _locked(
        self, ticket: TicketNumber, act: Callable[[UnitOfWork, Instant], Awaitable[None]]
    ) -> None:
        async with self.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await act(uow, self.clock.now())

    async def _act(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        kind: str,
        subject: int,
        now: Instant,
    ) -> None:
        await self.custody.exclusive_act(
            uow,
            authority=authority,
            ticket=ticket,
            kind=kind,
            digest=subject.to_bytes(32, "big"),
            now=now,
        )

    async def _show(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        state: int,
        version: int,
        now: Instant,
    ) -> None:
        copy = await uow.get(COPIES, authority, ticket)
        if copy is None:  # a ruling gave it; its text is on its way
            raise ResourceNotFound(kind="ticket", name=f"tickets/{ticket}")
        uow.put(COPIES, replace(copy, state=state, version=version))
        await self.custody.publish(uow, authority=authority, ticket=ticket, now=now)

    async def seal(self, authority: AuthorityCode) -> bool:
        """Make a ledger entry of an authority; tell whether there was anything to seal."""
        async with self.database.unit() as uow:
            await uow.lock(f"ledger/{authority}")
            entry = await self.sealer.seal(uow, authority, now=self.clock.now())
        return entry is not None
