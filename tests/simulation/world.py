"""A small federation in one process: the real custody and delivery services on in-memory stores.

Only the edges are replaced: storage by the in-memory twin, the network by `network.py`, clocks and
identifiers by seeded ones, and the content of tickets by `SimulatedCopies`. Everything an authority
decides (whom to offer to, accept or not, when to recall) is drawn by `play.py` from one seed.

**Steps.** A *protocol step* is one event of the protocol: what an authority wanted (done or refused
by the tables), a statement that was handled, repeated, refused or deferred, a receipt that its
sender took, a timer that fired, a fault that struck. `step` and `fault` count them by kind; checks
and commits of bookkeeping are no steps.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from gateway.arbitration import copies as case_copies
from gateway.arbitration import store
from gateway.arbitration.precedents import store as precedent_store
from gateway.audit.store import ENTRIES as AUDIT
from gateway.custody import store as custody
from gateway.custody.model import CaseFiled, CaseVoid, CustodyEvent
from gateway.database.idempotency import REQUESTS
from gateway.database.timers import TIMERS
from gateway.kernel.ids import NATION, AuthorityCode, NodeId, TicketNumber
from gateway.kernel.time import ManualClock
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
from tests.simulation import memo, newer
from tests.simulation.case_coverage import struck
from tests.simulation.copies import CITIZEN, COPIES, FAR, START, Copy
from tests.simulation.coverage import Coverage
from tests.simulation.network import Network
from tests.simulation.node import Node
from tests.simulation.seeded import SeededIds

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["CITIZEN", "COPIES", "NODES", "Copy", "Defect", "Node", "World"]

NODES: dict[str, tuple[str, ...]] = {
    "tianjin": ("120000",),
    "hebei": ("130000", "130100", "130600"),
    "langfang": ("131000",),
    "shanghai": ("310000",),
    "jiangsu": ("320000", "320100", "320500"),
    "arbiter": (NATION,),
}
"""Two levels: 河北 and 江苏 host cities, 廊坊 runs its own node; the nation only rules."""

CASE_TABLES = frozenset(
    table.name
    for table in (
        store.CASES,
        store.RULINGS,
        store.ENTRIES,
        case_copies.COPIES,
        precedent_store.PRECEDENTS,
        precedent_store.CASE_KEYS,
    )
)
CUSTODY_TABLES = frozenset(
    table.name
    for table in (
        custody.CHAINS,
        custody.RULINGS,
        custody.RULING_ANSWERS,
        custody.OFFERS_MADE,
        custody.OFFERS_ANSWERED,
        custody.INVITATIONS,
        TIMERS,
    )
)
"""Where custody keeps what holds, and when it goes on."""
UNRELATED = frozenset({REQUESTS.name, AUDIT.name})
"""Tables of which no property says anything."""


class Defect(BaseException):  # nothing in the product may catch it
    """The product found an error of its own."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row of arbitration that a commit changed; None: it was removed."""

    node: Node
    commit: int
    table: str
    key: tuple[object, ...]
    row: object | None


class World:
    """The federation of one run."""

    has_panels = True  # arbiters have a panel; without one, who plays rules by hand

    def __init__(self, seed: int, *, nodes: dict[str, tuple[str, ...]] | None = None) -> None:
        memo.install()
        newer.install()
        self.seed = seed
        self.rng = random.Random(seed)
        self.ids = SeededIds(random.Random(seed + 1))
        self.clock = ManualClock(START)
        self.faults: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.taken = 0  # protocol steps so far
        self.log: list[str] = []
        self.heard: list[CustodyEvent] = []  # what arbiters without a panel were told
        self.became: Counter[object] = Counter()
        self.newer: set[NodeId] = set()  # nodes whose software is of a later version
        self.revoked: set[AuthorityCode] = set()
        self.forged: set[bytes] = set()  # digests of statements that no honest node made
        self.lost_texts: set[str] = set()  # tickets whose text a restored node had, and lost
        self.lost_callers: set[str] = set()  # likewise, who calls
        self.touched: dict[str, set[str]] = {}
        self.commit = 0  # number of the commit that changes rows now
        self.case_changes: list[Change] = []
        self.excused_copies: dict[tuple[str, str, str], int] = {}  # up to which revision
        self.custody_commits: set[int] = set()  # that changed something of custody
        self.on_commit: Callable[[], None] = lambda: None
        self.coverage = Coverage.begin()
        newer.authors.clear()
        self._numbers = 0
        self.network = Network(self)
        self.nodes = {
            NodeId(name): Node(self, name, hosts) for name, hosts in (nodes or NODES).items()
        }
        self._homes = {code: node for node in self.nodes.values() for code in node.hosts}
        self.roster = self._roster()
        for node in self.nodes.values():
            node.start()
        self.tickets: list[TicketNumber] = []

    # --- counting and the log -----------------------------------------------------------------

    def step(self, kind: str) -> None:
        """Count one event of the protocol."""
        self.steps[kind] += 1
        self.taken += 1

    def fault(self, kind: str, *nodes: NodeId) -> None:
        """Count a fault that struck at a node, or between two; it is an event of the run, too."""
        self.faults[kind] += 1
        self.coverage.taken.update(struck(self, kind, nodes))
        self.step("fault")
        self.note(f"fault: {kind}")

    def note(self, text: str) -> None:
        """Write one line of the log."""
        self.log.append(f"{self.taken:5} {self.clock.now():%d %H:%M:%S} {text}")

    def count(self, outcome: str) -> None:
        """Note what became of an envelope; a defect of ours stops the run."""
        self.outcomes[outcome] += 1
        if outcome == "failed":
            raise Defect("a statement could not be handled; see the log of the inbox")
        if outcome != "received":  # that one was counted when it was handled
            self.step(f"statement {outcome}")

    # --- what changed -------------------------------------------------------------------------

    def changed(self, node: Node, table: str, key: tuple[object, ...], row: object | None) -> None:
        """Note that a committed unit changes a row: the feed of the checkers.

        `touched` names the tables of each ticket that changed since the checkers last looked.
        """
        if table in CASE_TABLES:
            self.case_changes.append(Change(node, self.commit, table, key, row))
            return
        kind = str(key[0])
        if table in UNRELATED or (table == TIMERS.name and not kind.startswith("custody.")):
            return
        if table in CUSTODY_TABLES:
            self.custody_commits.add(self.commit)
        ticket = getattr(row, "ticket", None) if row is not None else None
        if ticket is None:
            ticket = next((part for part in key if isinstance(part, str) and len(part) > 20), None)
        if ticket:
            self.touched.setdefault(ticket, set()).add(table)

    def committed(self) -> None:
        """Be told after every commit."""
        self.coverage.commit()
        self.on_commit()

    # --- the federation -----------------------------------------------------------------------

    def keys_of(self, hosts: tuple[str, ...]) -> KeyRing:
        """Return the keys of authorities: the same wherever they are hosted."""
        rings = [
            KeyRing.in_memory((code,), SeededIds(random.Random(f"{self.seed}/{code}")))
            for code in hosts
        ]
        authorities = {
            code: replace(
                keys, statement={n: memo.remembering(key) for n, key in keys.statement.items()}
            )
            for ring in rings
            for code, keys in ring.authorities.items()
        }
        return KeyRing(storage=rings[0].storage, authorities=authorities)

    def next_number(self) -> int:
        """Return the next number of the run, for ticket numbers and versions."""
        self._numbers += 1
        return self._numbers

    def number_from(self, base: int) -> None:
        """Go on counting from `base`, so that a dropped decision moves no later number."""
        self._numbers = max(self._numbers, base)

    def node_of(self, authority: str) -> Node:
        """Return the node that hosts an authority."""
        code = AuthorityCode(authority)
        if code not in self._homes:  # a node that joined later
            self._homes |= {code: node for node in self.nodes.values() for code in node.hosts}
        return self._homes[code]

    @property
    def filed(self) -> list[CaseFiled]:
        """Every filing that an arbiter without a panel was told."""
        return [event for event in self.heard if isinstance(event, CaseFiled)]

    @property
    def void(self) -> set[str]:
        """Every case that such an arbiter was told to be without an object."""
        return {event.case for event in self.heard if isinstance(event, CaseVoid)}

    def excuse_copies(self, node: Node) -> None:
        """Note which copies of cases a restore of a node may have made older than they were."""
        for arbiter in self.nodes.values():
            for row in arbiter.database.rows(store.CASES):
                for party in (*row.parties, *node.hosts):
                    if arbiter is node or party in node.hosts:
                        self.excused_copies[party, row.scope, row.case_id] = row.revision

    def is_text_lost(self, authority: str, ticket: str) -> bool:
        """Tell whether an authority has no text because a restored node lost it."""
        copies = self.node_of(authority).database.tables.get(COPIES.name, {})
        return ticket in self.lost_texts and (authority, ticket) not in copies

    @property
    def authorities(self) -> tuple[AuthorityCode, ...]:
        """All authorities of the federation that may hold tickets."""
        return tuple(code for code in self._homes if code != NATION)

    def rotate(self, authority: AuthorityCode, purpose: Purpose = Purpose.STATEMENT) -> None:
        """Give an authority a new key; the other nodes go on with the old roster."""
        owner = self.node_of(authority)
        keys = owner.keys.authorities[authority]
        held = keys.statement if purpose is Purpose.STATEMENT else keys.sealing
        version = max(held) + 1
        ids = SeededIds(random.Random(f"{self.seed}/{authority}/{purpose.value}/{version}"))
        fresh = generate(purpose, ids)
        if purpose is Purpose.STATEMENT:
            statement = {**keys.statement, version: memo.remembering(fresh)}
            keys = replace(keys, statement=statement)
        else:
            keys = replace(keys, sealing={**keys.sealing, version: fresh})
        owner.keys = replace(owner.keys, authorities={**owner.keys.authorities, authority: keys})
        self._publish(owner)
        owner.start()
        kind = "rotated" if purpose is Purpose.STATEMENT else "rotated sealing"
        self.fault(kind, owner.id)

    def strike_off(self, authority: AuthorityCode, believers: list[Node]) -> None:
        """Let some nodes have a roster without the keys of an authority, until they refresh."""
        self.revoked.add(authority)
        stricter = self._roster()
        self.revoked.clear()
        for node in believers:
            if authority not in node.hosts:
                node.old_roster = stricter
        self.fault("revoked peer", self.node_of(authority).id)

    def upgrade(self, node: Node, *, is_earlier_version: bool) -> None:
        """Start a node again with the software of this version, or of the one before."""
        node.is_earlier_version = is_earlier_version
        node.start()

    def _publish(self, owner: Node) -> None:
        for node in self.nodes.values():
            node.old_roster = None if node is owner else node.known_roster()
        self.roster = self._roster()

    def _roster(self) -> Roster:
        def listed(public: PublicKey, since: datetime, code: str = "") -> KeyEntry:
            kinds = CUSTODIAN_KINDS | ARBITER_KINDS if code.endswith("0000") else frozenset()
            return KeyEntry.of(
                public, valid_from=since, valid_to=START + FAR, statement_kinds=kinds
            )

        before = START - timedelta(days=1)
        authorities = [
            AuthorityEntry(
                code=code,
                name=f"模拟热线{code}",
                hosted_on=node.id,
                statement_keys=()
                if code in self.revoked
                else tuple(
                    listed(key.public, before, code)
                    for key in node.keys.authorities[code].statement.values()
                ),
                sealing_keys=tuple(  # the newest one is used; the older ones still open
                    listed(key.public, before + timedelta(seconds=version))
                    for version, key in node.keys.authorities[code].sealing.items()
                ),
                mandate_from=before if code.endswith("0000") else None,
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
