"""A small federation in one process: the real custody and delivery services on in-memory stores.

Only the edges are replaced: storage by the in-memory twin, the network by `network.py`, clocks and
identifiers by seeded ones, and the content of tickets by `SimulatedCopies`. Everything an authority
decides (whom to offer to, accept or not, when to recall) is drawn by `play.py` from one seed.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from gateway.custody import assembly
from gateway.custody.arbiter import FENCE_TIMER, Arbiter
from gateway.custody.consent import ASSUMPTION_TIMER
from gateway.custody.desk import ArbiterDesk
from gateway.custody.model import (
    BecameCustodian,
    CaseFiled,
    CaseVoid,
    ContentArrived,
    CustodyEvent,
    IdentityArrived,
    ProgressArrived,
)
from gateway.custody.service import WINDOW_TIMER, CustodyService
from gateway.database.memory import MemoryDatabase
from gateway.database.table import Table
from gateway.database.timers import TimerRunner
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import instant_to_pb
from gateway.delivery.inbox import Inbox
from gateway.delivery.model import Delivered
from gateway.delivery.outbox import Outbox
from gateway.delivery.pump import Pump
from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.ids import (
    NATION,
    AuthorityCode,
    NodeId,
    TicketNumber,
    mint_ticket_number,
    uuid7,
)
from gateway.kernel.time import Instant, ManualClock, day_of
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import PublicKey, Purpose, generate
from gateway.trust.roster import (
    ARBITER_KINDS,
    CUSTODIAN_KINDS,
    AuthorityEntry,
    KeyEntry,
    NodeEntry,
    NodeRole,
    Roster,
)
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import ticket_pb2
from tests.simulation.network import Crashed, Network

START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
FAR = timedelta(days=20)  # inside the validity of the simulated roster

CITIZEN = custody_pb2.IdentityBlock(
    citizen=ticket_pb2.Citizen(display_name="合成市民")
).SerializeToString(deterministic=True)

NODES: dict[str, tuple[str, ...]] = {
    "tianjin": ("120000",),
    "hebei": ("130000", "130100", "130600"),
    "langfang": ("131000",),
    "shanghai": ("310000",),
    "arbiter": (NATION,),
}
"""Two levels: 河北 hosts two of its cities, 廊坊 runs its own node; the nation only rules."""


class Defect(BaseException):  # nothing in the product may catch it
    """The product found an error of its own."""


class SeededIds:
    """Identifiers and entropy from a seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def uuid7(self, now: Instant) -> str:
        return uuid7(now, self._rng.randbytes(10))

    def entropy(self, size: int) -> bytes:
        return self._rng.randbytes(size)


@dataclass(frozen=True, slots=True)
class Copy:
    """What the simulation keeps of a ticket at one authority."""

    authority: str
    ticket: str
    uid: str
    origin: str
    state: int
    version: int
    identity: bytes


COPIES = Table("simulated_copies", Copy, key=("authority", "ticket"))


class SimulatedCopies:
    """The ContentSource of the simulation, transactional like everything else."""

    async def header(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes:
        copy = await uow.get(COPIES, authority, ticket)
        if copy is None:
            raise ResourceNotFound(kind="ticket", name=f"tickets/{ticket}")
        header = custody_pb2.TicketHeader(
            uid=copy.uid,
            origin=copy.origin,
            matter="041501",
            received_time=instant_to_pb(START),
            due_time=instant_to_pb(START + FAR),
        )
        return header.SerializeToString(deterministic=True)

    async def case_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes:
        content = ticket_pb2.TicketContent(
            title=f"case of {ticket}",
            content="a synthetic case",
            place=ticket_pb2.Place(region="131002"),
        )
        return custody_pb2.CaseBlock(content=content).SerializeToString(deterministic=True)

    async def identity_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes | None:
        copy = await uow.get(COPIES, authority, ticket)
        return copy.identity or None if copy else None

    async def state_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> tuple[int, bytes]:
        copy = await uow.get(COPIES, authority, ticket)
        assert copy is not None
        decision = ticket_pb2.RouteDecision(rule=str(copy.version))
        block = custody_pb2.StateBlock(decision=decision)
        return copy.state, block.SerializeToString(deterministic=True)

    async def citizen_act_applied(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> int:
        return 0  # the simulation's citizens do nothing more

    async def forget_identity(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> None:
        copy = await uow.get(COPIES, authority, ticket)
        if copy is not None:
            uow.put(COPIES, replace(copy, identity=b""))


@dataclass(slots=True)
class SkewedClock:
    """The clock of one node: no rule compares clocks of two nodes, so `skew` must not matter."""

    base: ManualClock
    skew: timedelta = timedelta(0)

    def now(self) -> Instant:
        return self.base.now() + self.skew


class Node:
    """One gateway: its storage survives a crash, everything else is made anew."""

    def __init__(self, world: World, name: str, hosts: tuple[str, ...]) -> None:
        self.world = world
        self.id = NodeId(name)
        self.hosts = tuple(AuthorityCode(code) for code in hosts)
        self.keys = world.keys_of(hosts)
        self.old_roster: Roster | None = None
        self.clock = SkewedClock(world.clock)
        self.database = MemoryDatabase(crash=self._at_point)
        self.crash_at: tuple[str, int] | None = None
        self.inbox: Inbox
        self.pump: Pump
        self.custody: CustodyService
        self.desk: ArbiterDesk
        self.timers: TimerRunner

    def known_roster(self) -> Roster:
        """Return the roster as this node knows it, which may be an old one."""
        return self.old_roster or self.world.roster

    def _at_point(self, point: str) -> None:
        if self.crash_at is None:
            return
        name, left = self.crash_at
        if name == point:
            self.crash_at = (name, left - 1) if left > 1 else None
            if left <= 1:
                self.world.faults[f"crash {point}"] += 1
                raise Crashed(self.id)

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
        )
        if self.is_arbiter_only:
            self.desk = assembly.build_arbiter(
                keys=self.keys,
                roster=self.known_roster,
                outbox=outbox,
                ids=world.ids,
                machine_clock=self.clock,
            )
            self.inbox.register(dict.fromkeys(self.desk.kinds, self._take))
            self.timers = TimerRunner(
                database=self.database,
                clock=self.clock,
                handlers={FENCE_TIMER: self.desk.arbiter},
            )
            return
        self.custody = assembly.build(
            keys=self.keys,
            roster=self.known_roster,
            outbox=outbox,
            content=SimulatedCopies(),
            ids=world.ids,
            machine_clock=self.clock,
        )
        self.inbox.register(dict.fromkeys(self.custody.kinds, self._take))
        self.timers = TimerRunner(
            database=self.database,
            clock=self.clock,
            handlers={
                WINDOW_TIMER: self.custody.recall,
                FENCE_TIMER: self.custody.arbiter,
                ASSUMPTION_TIMER: self.custody.consent,
            },
        )

    @property
    def is_arbiter_only(self) -> bool:
        """Tell whether this is the nation's arbiter node, which has no tickets."""
        return self.hosts == (NATION,)

    @property
    def arbiter(self) -> Arbiter:
        """Return the arbiter's half of this node."""
        return self.desk.arbiter if self.is_arbiter_only else self.custody.arbiter

    async def _take(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        room = self.desk if self.is_arbiter_only else self.custody
        for event in await room.receive(uow, delivered, now):
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
        elif isinstance(event, CaseFiled):
            self.world.filed.append(event)
        elif isinstance(event, CaseVoid):
            self.world.void.add(event.case)
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

    async def create(self, authority: AuthorityCode) -> TicketNumber:
        """Hand in a ticket at a hosted authority and return its number once committed."""
        world, now = self.world, self.clock.now()
        ticket = mint_ticket_number(authority, day_of(now), world.next_number())
        async with self.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            copy = Copy(
                authority=authority,
                ticket=ticket,
                uid=world.ids.uuid7(now),
                origin=authority,
                state=1,
                version=0,
                identity=CITIZEN,
            )
            uow.put(COPIES, copy)
            await self.custody.begin(uow, authority=authority, ticket=ticket, uid=copy.uid, now=now)
        return ticket

    async def change(self, authority: AuthorityCode, ticket: TicketNumber) -> None:
        """Do an exclusive act: a new version of the public state, told to the followers."""
        now = self.clock.now()
        async with self.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            version = self.world.next_number()
            await self.custody.exclusive_act(
                uow,
                authority=authority,
                ticket=ticket,
                kind="ticket.changed",
                digest=version.to_bytes(32, "big"),
                now=now,
            )
            copy = await uow.get(COPIES, authority, ticket)
            if copy is None:  # a ruling gave it; its text is on its way
                raise ResourceNotFound(kind="ticket", name=f"tickets/{ticket}")
            uow.put(COPIES, replace(copy, state=3, version=version))
            await self.custody.publish(uow, authority=authority, ticket=ticket, now=now)


class World:
    """The federation of one run."""

    def __init__(self, seed: int, *, nodes: dict[str, tuple[str, ...]] | None = None) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.ids = SeededIds(random.Random(seed + 1))
        self.clock = ManualClock(START)
        self.faults: dict[str, int] = _Counter()
        self.outcomes: dict[str, int] = _Counter()
        self.log: list[str] = []
        self.filed: list[CaseFiled] = []
        self.void: set[str] = set()
        self.became: Counter[object] = Counter()
        self._numbers = 0
        self.network = Network(self)
        self.nodes = {
            NodeId(name): Node(self, name, hosts) for name, hosts in (nodes or NODES).items()
        }
        self.roster = self._roster()
        for node in self.nodes.values():
            node.start()
        self.tickets: list[TicketNumber] = []

    def keys_of(self, hosts: tuple[str, ...]) -> KeyRing:
        """Return the keys of authorities: the same wherever they are hosted."""
        rings = [
            KeyRing.in_memory((code,), SeededIds(random.Random(f"{self.seed}/{code}")))
            for code in hosts
        ]
        authorities = {code: keys for ring in rings for code, keys in ring.authorities.items()}
        return KeyRing(storage=rings[0].storage, authorities=authorities)

    def next_number(self) -> int:
        """Return the next number of the run, for ticket numbers and versions."""
        self._numbers += 1
        return self._numbers

    def count(self, outcome: str) -> None:
        """Note what became of an envelope; a defect of ours stops the run."""
        self.outcomes[outcome] += 1
        if outcome == "failed":
            raise Defect("a statement could not be handled; see the log of the inbox")

    def node_of(self, authority: str) -> Node:
        """Return the node that hosts an authority."""
        return next(node for node in self.nodes.values() if authority in node.hosts)

    @property
    def authorities(self) -> tuple[AuthorityCode, ...]:
        """All authorities of the federation that may hold tickets."""
        hosted = (code for node in self.nodes.values() for code in node.hosts)
        return tuple(code for code in hosted if code != NATION)

    def rotate(self, authority: AuthorityCode) -> None:
        """Give an authority a new statement key; the other nodes go on with the old roster."""
        owner = self.node_of(authority)
        keys = owner.keys.authorities[authority]
        version = max(keys.statement) + 1
        ids = SeededIds(random.Random(f"{self.seed}/{authority}/{version}"))
        fresh = {**keys.statement, version: generate(Purpose.STATEMENT, ids)}
        changed = {**owner.keys.authorities, authority: replace(keys, statement=fresh)}
        owner.keys = replace(owner.keys, authorities=changed)
        for node in self.nodes.values():
            node.old_roster = None if node is owner else node.known_roster()
        self.roster = self._roster()
        owner.start()
        self.faults["rotated"] += 1

    def _roster(self) -> Roster:
        def listed(public: PublicKey, code: str = "") -> KeyEntry:
            kinds = CUSTODIAN_KINDS | ARBITER_KINDS if code.endswith("0000") else frozenset()
            return KeyEntry.of(
                public,
                valid_from=START - timedelta(days=1),
                valid_to=START + FAR,
                statement_kinds=kinds,
            )

        authorities = [
            AuthorityEntry(
                code=code,
                name=f"模拟热线{code}",
                hosted_on=node.id,
                statement_keys=tuple(
                    listed(key.public, code)
                    for key in node.keys.authorities[code].statement.values()
                ),
                sealing_keys=(listed(node.keys.sealing_key(code).public),),
                mandate_from=START - timedelta(days=1) if code.endswith("0000") else None,
            )
            for node in self.nodes.values()
            for code in node.hosts
        ]
        nodes = [
            NodeEntry(
                id=node.id,
                endpoint=f"{node.id}.invalid:1",
                roles=frozenset({NodeRole.ARBITER if NATION in node.hosts else NodeRole.CUSTODIAN}),
            )
            for node in self.nodes.values()
        ]
        return Roster.of(
            tuple(authorities),
            tuple(nodes),
            version=1,
            issued=START - timedelta(hours=1),
            demo=True,
        )


class _Counter(dict[str, int]):
    def __missing__(self, key: str) -> int:
        return 0
