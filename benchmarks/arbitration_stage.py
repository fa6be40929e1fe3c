"""The nodes of `lubiao bench arbitration`: real rooms in one process, on the in-memory engine.

Two municipalities, a province with three of its cities, and the nation's arbiter node, under one
roster and one business clock that jumps from event to event. Routing, dispatch, returns, custody,
delivery and arbitration are the product's own, with keys and signatures; only the network is a
loop that carries what waits in each outbox, and the database is the in-memory engine, told to
report what every unit commits. Durable timers run when the clock reaches them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

from benchmarks.arbitration_nodes import Site, StageNode, a_custodian, an_arbiter
from benchmarks.arbitration_store import Key, WatchedDatabase
from gateway.audit.service import AuditLog
from gateway.database.timers import TIMERS
from gateway.delivery.codec import numbered_envelope
from gateway.delivery.store import OUTBOX, OUTBOX_DUE
from gateway.kernel.data import data_path
from gateway.kernel.ids import NATION, AuthorityCode, NodeId, SystemIds
from gateway.kernel.time import Instant, ManualClock
from gateway.reference.data import ReferenceData
from gateway.routing.conditions import cel_conditions
from gateway.routing.packs import PackSet
from gateway.trust.key_ring import KeyRing
from gateway.trust.principal import Principal, PrincipalKind, Role
from gateway.trust.roster import (
    ARBITER_KINDS,
    CAPABILITIES,
    CUSTODIAN_KINDS,
    AuthorityEntry,
    KeyEntry,
    NodeEntry,
    NodeRole,
    Roster,
)
from hotline.peer.v1 import peer_service_pb2

IDS = SystemIds()
YEAR = timedelta(days=365)
ROUNDS_MAX = 30  # of carrying envelopes: a dispute of provinces takes about eight
ARBITER = "national-arbiter"
HOSTS: Mapping[str, Sequence[str]] = {
    "tianjin": ("120000",),
    "shanghai": ("310000",),
    "hebei": ("130000", "130100", "130600", "131000"),
}
Committed = Callable[[str, Key, "Any | None"], None]
"""Told the table, the key and the row (None: removed) of everything committed at any node."""


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

    def telling(self, node: str, committed: Committed) -> Callable[[str, Key, Any | None], None]:
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
        for peer in self.nodes.values():
            async with node.database.unit() as uow:
                rows = await uow.select(
                    OUTBOX_DUE, node=peer.name, now=self.clock.now() + YEAR, limit=100
                )
            for row in rows:
                raw = numbered_envelope(row.envelope, incarnation=1, sequence=row.position)
                envelope = peer_service_pb2.Envelope.FromString(raw)
                receipt = await peer.inbox.take(envelope, peer=NodeId(node.name))
                body = peer_service_pb2.SignedReceipt.FromString(receipt).receipt
                outcome = peer_service_pb2.Receipt.FromString(body).WhichOneof("outcome")
                if outcome != "received":
                    raise RuntimeError(f"{row.kind} of {row.source}: {outcome}")
                async with node.database.unit() as uow:
                    uow.delete(OUTBOX, row.position)
                self._full.add(node.name)


def a_stage(*, start: Instant, committed: Committed) -> Stage:
    """Return the nodes at `start`; their keys hold for a year from then and a little longer."""
    middle = start + YEAR / 2
    hosts = {**HOSTS, ARBITER: (NATION,)}
    rings = {node: KeyRing.in_memory(codes) for node, codes in hosts.items()}
    roster = Roster.of(
        tuple(
            _entry(code, node, rings[node], middle)
            for node, codes in hosts.items()
            for code in codes
        ),
        tuple(
            NodeEntry(
                id=NodeId(node),
                endpoint=f"{node}.invalid:7443",
                roles=frozenset({NodeRole.ARBITER if node == ARBITER else NodeRole.CUSTODIAN}),
                capabilities=CAPABILITIES,
            )
            for node in hosts
        ),
        version=1,
        issued=start,
    )
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


def _entry(code: str, node: str, ring: KeyRing, middle: Instant) -> AuthorityEntry:
    kinds = CUSTODIAN_KINDS if code != NATION else frozenset()
    if code.endswith("0000"):  # a province rules in its own scope, the nation among provinces
        kinds |= ARBITER_KINDS

    def lines(key: Any) -> tuple[KeyEntry, ...]:
        made = KeyEntry.of(
            key.public, valid_from=middle - YEAR, valid_to=middle + YEAR, statement_kinds=kinds
        )
        return (made,)

    return AuthorityEntry(
        code=AuthorityCode(code),
        name=f"测试机构{code}",
        hosted_on=NodeId(node),
        statement_keys=lines(ring.signing_key(code)),
        sealing_keys=lines(ring.sealing_key(code)),
        mandate_from=middle - YEAR if code.endswith("0000") else None,
    )
