"""Builders of the rooms aggregates and hub: a province that reports, tickets, statements."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.aggregates.closing import CLOSE_TIMER, CloseHandler
from gateway.aggregates.drawing import Noise
from gateway.aggregates.model import Actor, Pushed, Refused, ReportPolicy
from gateway.aggregates.service import Reports
from gateway.audit.service import AuditLog
from gateway.database.memory import MemoryDatabase
from gateway.database.timers import TimerRunner
from gateway.database.uow import Database
from gateway.delivery.codec import statement_to_bytes
from gateway.delivery.inbox import Inbox
from gateway.delivery.model import SignedBytes, Statement
from gateway.delivery.outbox import Outbox
from gateway.kernel.errors import PeerUnreachable
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode, NodeId, SystemIds, TicketNumber
from gateway.kernel.time import Clock, ManualClock
from gateway.tickets.rows import ticket_row
from gateway.tickets.store import TICKETS
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import PublicKey
from gateway.trust.roster import (
    HUB_KINDS,
    AuthorityEntry,
    KeyEntry,
    NodeEntry,
    NodeRole,
    Roster,
)
from gateway.trust.statements import sign
from tests.fixtures.nodes import reference
from tests.unit.tickets.builders import a_ticket

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)  # 10:00 in Shanghai
TODAY, YESTERDAY = 20260302, 20260301
DAY = timedelta(days=1)
TIANJIN, HEBEI, LANGFANG = (AuthorityCode(code) for code in ("120000", "130000", "131000"))
AT_TIANJIN, AT_HEBEI, AT_HUB = NodeId("tianjin"), NodeId("hebei"), NodeId("hub")
HOSTS = {TIANJIN: AT_TIANJIN, HEBEI: AT_HEBEI, LANGFANG: AT_HEBEI, NATION: AT_HUB}
KEYS = KeyRing.in_memory(HOSTS)
STAFF = Actor("lubiao://130000/staff/s1", "supervisor")
IDS = SystemIds()


def a_roster(*, has_hub: bool = True) -> Roster:
    """Return a roster of two provinces, a city, and the nation's hub."""

    def entry(public: PublicKey, kinds: frozenset[str] = frozenset()) -> KeyEntry:
        validity = {"valid_from": NOW - 400 * DAY, "valid_to": NOW + 400 * DAY}
        return KeyEntry.of(public, statement_kinds=kinds, **validity)

    hosts = {code: node for code, node in HOSTS.items() if has_hub or code != NATION}
    authorities = tuple(
        AuthorityEntry(
            code=code,
            name=f"测试机构{code}",
            hosted_on=node,
            statement_keys=(
                entry(KEYS.signing_key(code).public, HUB_KINDS if code == NATION else frozenset()),
            ),
            sealing_keys=(entry(KEYS.sealing_key(code).public),),
        )
        for code, node in hosts.items()
    )
    nodes = tuple(
        NodeEntry(
            id=node,
            endpoint=f"{node}.invalid:1",
            roles=frozenset({NodeRole.HUB if node == AT_HUB else NodeRole.CUSTODIAN}),
        )
        for node in sorted(set(hosts.values()))
    )
    return Roster.of(authorities, nodes, version=1, issued=NOW)


def an_inbox(node: NodeId, database: Database, clock: Clock, roster: Roster) -> Inbox:
    """Return the inbox of a node."""
    return Inbox(
        node=node,
        database=database,
        roster=lambda: roster,
        keys=KEYS,
        business_clock=clock,
        machine_clock=clock,
    )


@dataclass
class FakeNoise:
    """Adds the next of `values` to every count, 0 by default; fails as often as told."""

    values: list[int] = field(default_factory=list)
    failures: int = 0
    draws: list[tuple[int, ...]] = field(default_factory=list)

    async def draw(self, counts: Sequence[int], *, epsilon_micro: int) -> tuple[int, ...]:
        assert epsilon_micro > 0
        for _ in range(3):
            await asyncio.sleep(0)  # others run meanwhile, as with a process
        if self.failures:
            self.failures -= 1
            raise PeerUnreachable(peer="noise process", got="it ended with -6")
        shift = self.values.pop(0) if self.values else 0
        self.draws.append(tuple(counts))
        return tuple(count + shift for count in counts)


@dataclass
class Province:
    """河北's node, which hosts 廊坊 too, with its reports and its timer."""

    database: Database = field(default_factory=MemoryDatabase)
    noise: Noise = field(default_factory=FakeNoise)
    policy: ReportPolicy = field(default_factory=ReportPolicy)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    roster: Roster = field(default_factory=a_roster)
    keys: KeyRing = field(
        default_factory=lambda: KeyRing(
            storage=KEYS.storage,
            authorities={code: KEYS.authorities[code] for code in (HEBEI, LANGFANG)},
        )
    )

    def __post_init__(self) -> None:
        """Wire it."""
        self.audit = AuditLog()
        self.outbox = Outbox(
            node=AT_HEBEI,
            roster=lambda: self.roster,
            inbox=an_inbox(AT_HEBEI, self.database, self.clock, self.roster),
            machine_clock=self.clock,
        )
        self.reports = Reports(
            database=self.database,
            keys=self.keys,
            outbox=self.outbox,
            reference=reference,
            noise=self.noise,
            policy=self.policy,
            audit=self.audit,
            ids=IDS,
            clock=self.clock,
        )
        self.handler = CloseHandler(self.reports)
        self.timers = TimerRunner(
            database=self.database, clock=self.clock, handlers={CLOSE_TIMER: self.handler}
        )

    async def start(self) -> None:
        """Schedule the timers, as a node does when it starts."""
        async with self.database.unit() as uow:
            await self.handler.start(uow, now=self.clock.now())

    async def receive(self, *sequences: int, **changes: Any) -> None:
        """Store a copy of a ticket for each sequence number."""
        given = {"authority": HEBEI, "origin": HEBEI, "create_time": NOW - DAY} | changes
        async with self.database.unit() as uow:
            for sequence in sequences:
                ticket = a_ticket(sequence, external_id=f"H-{sequence}", **given)
                uow.insert(TICKETS, ticket_row(ticket))

    async def push(self, day: int = YESTERDAY) -> Pushed | Refused:
        """Push the report of a day by staff."""
        async with self.database.unit() as uow:
            return await self.reports.push(
                uow, province=HEBEI, day=day, actor=STAFF, now=self.clock.now()
            )

    async def pushed(self, day: int = YESTERDAY) -> Pushed:
        """Push the report of a day that the budget pays."""
        found = await self.push(day)
        assert isinstance(found, Pushed)
        return found


def a_statement(body: bytes, *, issuer: AuthorityCode = HEBEI, **changes: Any) -> SignedBytes:
    """Return a signed `Report` statement with any body, changed at will."""
    given: dict[str, Any] = {
        "statement_id": IDS.uuid7(NOW),
        "kind": "Report",
        "issuer": issuer,
        "audience": (NATION,),
        "ticket": TicketNumber(""),
        "scope": NATION,
        "chain": 1,
        "epoch": GENESIS,
        "previous_digest": b"",
        "issued": NOW,
        "protocol_version": 1,
        "body": body,
    }
    return signed(statement_to_bytes(Statement(**(given | changes))), issuer)


def signed(raw: bytes, issuer: AuthorityCode = HEBEI) -> SignedBytes:
    """Sign any bytes as a statement."""
    key = KEYS.signing_key(issuer)
    return SignedBytes(raw, key.key_id, sign(key, raw))
