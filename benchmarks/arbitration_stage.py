"""The nodes of `lubiao bench arbitration`: real rooms in one process, on the in-memory engine.

Two municipalities, a province with three of its cities, and the nation's arbiter node, under one
roster and one business clock that jumps from event to event. Routing, dispatch, returns, custody,
delivery and arbitration are the product's own, with keys and signatures; only the network is a
loop that carries what waits in each outbox, and the database is the in-memory engine, told to
report what every unit commits. Durable timers run when the clock reaches them.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from benchmarks.arbitration_nodes import Site, StageNode, a_custodian, an_arbiter
from benchmarks.in_process import YEAR, carry, made_up_roster
from benchmarks.watched import Committed, Key, WatchedDatabase
from gateway.audit.service import AuditLog
from gateway.database.timers import TIMERS
from gateway.delivery.store import OUTBOX
from gateway.kernel.data import data_path
from gateway.kernel.ids import NATION, AuthorityCode, SystemIds
from gateway.kernel.time import Instant, ManualClock
from gateway.reference.data import ReferenceData
from gateway.routing.conditions import cel_conditions
from gateway.routing.packs import PackSet
from gateway.trust.key_ring import KeyRing
from gateway.trust.principal import Principal, PrincipalKind, Role
from gateway.trust.roster import (
    Roster,
)

IDS = SystemIds()
ROUNDS_MAX = 30  # of carrying envelopes: a dispute of provinces takes about eight
ARBITER = "national-arbiter"
HOSTS: Mapping[str, Sequence[str]] = {
    "tianjin": ("120000",),
    "shanghai": ("310000",),
    "hebei": ("130000", "130100", "130600", "131000"),
}


@cache
def reference() -> ReferenceData:
    """Return the project's own reference data, loaded once."""
    return ReferenceData.load(data_path("routing_rules") / "reference")


@cache
def shipped_packs() -> PackSet:
    """Return the project's own packs, loaded once."""
    return PackSet.load(
        data_path("routing_rules") / "packs",
        authorities=frozenset(code for codes in HOSTS.values() for code in codes),
        reference=reference(),
        conditions=cel_conditions(),
    )


@dataclass(slots=True)
class Stage:
    """The nodes and their clock."""

    clock: ManualClock
    roster: Roster
    nodes: dict[str, StageNode] = field(default_factory=dict)
    waiting: list[tuple[Instant, str]] = field(default_factory=list)  # of timers, a heap
    _full: set[str] = field(default_factory=set)  # nodes whose outbox may hold something

    def node_of(self, authority: str) -> StageNode:
        """Return the node that hosts an authority."""
        entry = self.roster.node_of(AuthorityCode(authority))
        if entry is None:
            raise LookupError(authority)
        return self.nodes[entry.id]

    def telling(self, node: str, committed: Committed) -> Committed:
        """Return what the database of a node tells of everything that it commits."""

        def told(table: str, key: Key, row: Any | None) -> None:
            self.noted(node, table, row)
            committed(table, key, row)

        return told

    def noted(self, node: str, table: str, row: Any | None) -> None:
        """Take note of timers and envelopes among what a node commits."""
        if row is None:
            return
        if table == TIMERS.name:
            heapq.heappush(self.waiting, (row.due, node))
        elif table == OUTBOX.name:
            self._full.add(node)

    @property
    def next_timer(self) -> Instant | None:
        """Return when the next durable timer may be due."""
        return self.waiting[0][0] if self.waiting else None

    async def found(self) -> None:
        """Put the project's own packs in force at every node."""
        for node in self.nodes.values():
            if node.own is not None:
                owners = {NATION, *node.keys.codes()}
                packs = [pack for pack in shipped_packs().packs if pack.owner in owners]
                await node.own.publishing.found(packs, owners=owners)

    async def run_timers(self) -> None:
        """Handle every timer that is due now, then carry what it sent."""
        now = self.clock.now()
        while self.waiting and self.waiting[0][0] <= now:
            due = set()
            while self.waiting and self.waiting[0][0] <= now:
                due.add(heapq.heappop(self.waiting)[1])
            for name in sorted(due):
                while await self.nodes[name].timers.run_due():
                    pass
            await self.settle()

    async def settle(self) -> None:
        """Carry envelopes until no outbox holds any."""
        for _ in range(ROUNDS_MAX):
            if not self._full:
                return
            full, self._full = self._full, set()
            for name in sorted(full):
                await self._carry(self.nodes[name])
        raise RuntimeError("envelopes do not come to rest")

    async def _carry(self, node: StageNode) -> None:
        peers = self.nodes.values()
        if await carry(node, peers, now=self.clock.now()):
            self._full.add(node.name)


def a_stage(*, start: Instant, committed: Committed) -> Stage:
    """Return the nodes at `start`; their keys hold for a year from then and a little longer."""
    middle = start + YEAR / 2
    hosts = {**HOSTS, ARBITER: (NATION,)}
    rings = {node: KeyRing.in_memory(codes) for node, codes in hosts.items()}
    roster = made_up_roster(hosts, rings, middle=middle, issued=start, arbiters={ARBITER})
    stage = Stage(ManualClock(start), roster)
    for name in hosts:
        site = Site(
            name=name,
            keys=rings[name],
            database=WatchedDatabase(committed=stage.telling(name, committed)),
            clock=stage.clock,
            roster=lambda: roster,
            reference=reference,
            ids=IDS,
            audit=AuditLog(),
        )
        stage.nodes[name] = an_arbiter(site) if name == ARBITER else a_custodian(site)
    return stage


def a_person(authority: str, name: str, *roles: Role) -> Principal:
    """Return a made-up member of an authority's staff."""
    return Principal(AuthorityCode(authority), PrincipalKind.STAFF, name, frozenset(roles))


def a_platform(authority: str) -> Principal:
    """Return the platform of an authority."""
    return Principal(AuthorityCode(authority), PrincipalKind.PLATFORM, f"{authority}-p1")
