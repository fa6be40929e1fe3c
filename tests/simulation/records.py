"""What the checkers read of one ticket: its rows at all nodes, and what follows from them.

Outside the product: statements are read again from the bytes that nodes keep, terms follow from
statements alone (docs/custody.md#records), and nothing that a node believes counts as a term. Rows
of a table that is only ever added to are read once; small tables are read anew.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import TypeVar

from gateway.custody import codec, store
from gateway.custody.bodies import Answer, Body, Offer, Role, RulingAck
from gateway.custody.evidence import IDENTITY_KINDS, PASSING_ROLES
from gateway.custody.guards import is_consented, is_homeward
from gateway.custody.model import Chain, ChainKey, Verdict
from gateway.custody.rows import chain_of
from gateway.database.table import Table
from gateway.delivery.codec import statement_from_bytes
from gateway.kernel.ids import GENESIS, AuthorityCode, Epoch, TicketNumber
from tests.simulation.world import World

Row = TypeVar("Row")
Place = tuple[str, str, int]
"""One chain: ticket, scope, number."""


class Violation(AssertionError):
    """A property does not hold."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


@dataclass(frozen=True, slots=True, order=True)
class Term:
    """An established term with how it came about."""

    epoch: Epoch
    custodian: str
    digest: bytes = b""
    homeward: bool = False
    ruled: bool = False
    consented: bool = False


@dataclass(slots=True)
class Records:
    """One ticket, as its statements and rows tell it."""

    ticket: str
    world: World
    chains: dict[Place, list[Chain]] = field(default_factory=dict)
    terms: dict[Place, list[Term]] = field(default_factory=dict)
    offers: dict[tuple[Place, Epoch], dict[bytes, store.StatementRow]] = field(default_factory=dict)
    identities: dict[tuple[object, ...], bytes] = field(default_factory=dict)
    fresh: list[store.StatementRow] = field(default_factory=list)
    renewed: set[Place] = field(default_factory=set)  # where a term was established just now
    _known: set[bytes] = field(default_factory=set)
    _read: dict[tuple[str, str], int] = field(default_factory=dict)

    # --- rows ---------------------------------------------------------------------------------

    def rows(self, table: Table[Row]) -> Iterator[Row]:
        """Return the rows of the ticket at all nodes."""
        for node in self.world.nodes.values():
            yield from node.database.of_ticket(table, self.ticket).values()

    def added(self, table: Table[Row]) -> Iterator[Row]:
        """Return the rows that were added since the last call; a row once there never goes.

        Raises:
            Violation: I1, a row is gone.
        """
        for node in self.world.nodes.values():
            rows = node.database.of_ticket(table, self.ticket)
            place, count = (node.id, table.name), len(rows)
            before = self._read.get(place, 0)
            if count < before:
                raise Violation("I1", f"{self.ticket}: {node.id} lost rows of {table.name}")
            if count > before:
                self._read[place] = count
                yield from islice(rows.values(), before, None)

    # --- what follows -------------------------------------------------------------------------

    def refresh(self, tables: Iterable[str]) -> None:
        """Read what changed."""
        self.renewed.clear()
        self.fresh.clear()
        if store.CHAINS.name in tables:
            self.chains = {}
            for chain in map(chain_of, self.rows(store.CHAINS)):
                key = chain.key
                self.chains.setdefault((key.ticket, key.scope, key.number), []).append(chain)
        if store.STATEMENTS.name in tables:
            self.fresh += [
                row for row in self.added(store.STATEMENTS) if row.digest not in self._known
            ]
            unique = {row.digest: row for row in self.fresh}
            self._known |= unique.keys()
            self.fresh = sorted(unique.values(), key=lambda row: row.kind != "Offer")
            for row in self.fresh:
                self._learn(row)

    def _learn(self, row: store.StatementRow) -> None:
        place = (row.ticket, row.scope, row.number)
        epoch = Epoch.from_key(row.epoch)
        body = body_of(row)
        self._check_identity(row, body)
        if isinstance(body, Offer):
            self.offers.setdefault((place, epoch), {})[row.digest] = row
            issuers = [known.issuer for known in self.offers[place, epoch].values()]
            if issuers.count(row.issuer) > 1:
                raise Violation("S13", f"{place}: {row.issuer} signed two offers at {epoch}")
            return
        term: Term | None = None
        if row.kind == "Genesis":
            term = Term(GENESIS, row.issuer)
        elif isinstance(body, Answer) and body.verdict is Verdict.ACCEPTED:
            made = self.offers.get((place, epoch), {}).values()
            bodies = [
                (given, offer) for offer in made if isinstance(given := body_of(offer), Offer)
            ]
            term = Term(
                epoch,
                row.issuer,
                row.digest,
                homeward=any(is_homeward(_key(offer, given), given) for given, offer in bodies),
                consented=any(given.mandated or is_consented(given) for given, _ in bodies),
            )
        elif isinstance(body, RulingAck) and body.role is Role.TAKEN:
            term = Term(epoch, row.issuer, row.digest, ruled=True)
        if term is not None and term not in self.terms.setdefault(place, []):
            insort(self.terms[place], term)
            self.renewed.add(place)

    def _check_identity(self, row: store.StatementRow, body: Body) -> None:
        """I8: what an authority decides at an epoch it says in one set of bytes, for ever."""
        if row.kind not in IDENTITY_KINDS:
            return
        if isinstance(body, RulingAck) and body.role in PASSING_ROLES:
            return
        identity = (row.scope, row.number, row.issuer, row.kind, row.epoch)
        if self.identities.setdefault(identity, row.digest) != row.digest:
            raise Violation("I8", f"{self.ticket}: {identity} was said in two ways")


@lru_cache(maxsize=50_000)
def _parsed(kind: str, statement: bytes) -> Body:
    return codec.body_from_bytes(kind, statement_from_bytes(statement).body)


def body_of(row: store.StatementRow) -> Body:
    """Return what a kept statement says; the same bytes are read once."""
    return _parsed(row.kind, row.statement)


def _key(row: store.StatementRow, body: Offer) -> ChainKey:
    return ChainKey(body.target, TicketNumber(row.ticket), AuthorityCode(row.scope), row.number)
