"""The checkers: properties of the custody protocol, judged from the rows of all nodes.

They are outside the product and read only what the nodes have stored. `S…` and `C…` hold after
every step; `L…` when all faults are healed and nothing is left to do. The names are those of
docs/custody.md#properties.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

from gateway.custody import codec, store
from gateway.custody.bodies import Answer, Body, Offer, Role, RulingAck
from gateway.custody.guards import is_homeward
from gateway.custody.model import CARING, Chain, ChainKey, Holding, Verdict
from gateway.custody.rows import chain_of, made_of
from gateway.database.table import Table
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.store import EVIDENCE, OUTBOX, REFUSALS, EvidenceRow, RefusalRow
from gateway.kernel.ids import GENESIS, AuthorityCode, Epoch, TicketNumber
from tests.simulation.world import COPIES, World

Row = TypeVar("Row")
Place = tuple[str, str, int]
"""One chain: ticket, scope, number."""


FREE = frozenset({Holding.HELD, Holding.OFFERED, Holding.REVOKING})
"""States that no ruling ends silently: below a known ruling only YIELDING cares."""


class Violation(AssertionError):
    """A property does not hold."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


@dataclass(slots=True)
class Term:
    """An established term with the offer that led to it."""

    epoch: Epoch
    custodian: str
    homeward: bool = False
    ruled: bool = False
    consented: bool = False


@dataclass(slots=True)
class Seen:
    """What was seen before: what must never change or fall."""

    answers: dict[tuple[str, ...], bytes] = field(default_factory=dict)
    high: dict[tuple[ChainKey, str], object] = field(default_factory=dict)
    acts: dict[tuple[str, ...], bool] = field(default_factory=dict)


class Checkers:
    """Holds a world against the properties."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = Seen()

    # --- reading ------------------------------------------------------------------------------

    def _rows(self, table: Table[Row]) -> Iterator[Row]:
        for node in self._world.nodes.values():
            yield from node.database.rows(table)

    def chains(self) -> dict[Place, list[Chain]]:
        """Return the rows of every chain, by chain."""
        found: dict[Place, list[Chain]] = {}
        for row in self._rows(store.CHAINS):
            chain = chain_of(row)
            key = chain.key
            found.setdefault((key.ticket, key.scope, key.number), []).append(chain)
        return found

    def terms(self) -> dict[Place, list[Term]]:
        """Return the established terms of every chain, from the statements alone."""
        found: dict[Place, list[Term]] = {}
        offers = self._statements("Offer")
        for (place, _epoch), rows in self._statements("Genesis").items():
            found[place] = [Term(GENESIS, issuer) for issuer in {row.issuer for row in rows}]
        for (place, epoch), rows in self._statements("Answer").items():
            for row in {row.digest: row for row in rows}.values():
                body = _body(row.kind, row.statement)
                if isinstance(body, Answer) and body.verdict is Verdict.ACCEPTED:
                    made = offers.get((place, epoch), [])
                    homeward = any(_homeward(offer) for offer in made)
                    consented = any(_consented(offer) for offer in made)
                    term = Term(epoch, row.issuer, homeward, consented=consented)
                    found.setdefault(place, []).append(term)
        for (place, epoch), rows in self._statements("RulingAck").items():
            for row in {row.digest: row for row in rows}.values():
                body = _body(row.kind, row.statement)
                if isinstance(body, RulingAck) and body.role is Role.TAKEN:
                    found.setdefault(place, []).append(Term(epoch, row.issuer, ruled=True))
        for terms in found.values():
            terms.sort(key=lambda term: term.epoch)
        return found

    def _statements(self, kind: str) -> dict[tuple[Place, Epoch], list[store.StatementRow]]:
        found: dict[tuple[Place, Epoch], list[store.StatementRow]] = {}
        for row in self._rows(store.STATEMENTS):
            if row.kind == kind:
                place = (row.ticket, row.scope, row.number)
                found.setdefault((place, Epoch.from_key(row.epoch)), []).append(row)
        return found

    # --- after every step ---------------------------------------------------------------------

    def check(self) -> None:
        """Raise a Violation if a safety property does not hold now."""
        chains, terms = self.chains(), self.terms()
        for place, rows in chains.items():
            established = terms.get(place, [])
            self._s1(place, established)
            self._s2(place, rows, established)
            self._s4(place, rows, established)
            self._s10(place, established)
            self._s11(place, rows, established)
            self._s12(rows)
            self._s9(rows)
        self._s3(terms)
        self._s5_s6_s7(terms)
        self._s13()
        self._nobody_is_accused()
        self._coupling(chains)

    def _s1(self, place: Place, terms: list[Term]) -> None:
        epochs = [term.epoch for term in terms]
        if len(set(epochs)) != len(epochs):
            raise Violation("S1", f"{place}: two custodians at one epoch: {terms}")

    def _s2(self, place: Place, rows: list[Chain], terms: list[Term]) -> None:
        held = [row for row in rows if row.holding is Holding.HELD]
        eras = [_term(row).era for row in held]
        if len(set(eras)) < len(eras):
            raise Violation("S2", f"{place}: held by {[row.key.authority for row in held]}")
        for row in held:
            era = _term(row).era
            later = [term for term in terms if term.epoch > _term(row) and term.epoch.era == era]
            if later:
                raise Violation("S2", f"{place}: {row.key.authority} holds below {later}")

    def _s3(self, terms: dict[Place, list[Term]]) -> None:
        actors: dict[tuple[Place, int], set[str]] = {}
        for row in self._rows(store.CUSTODY_ROWS):
            if not row.kind.startswith("act."):
                continue
            place = (row.ticket, row.scope, row.number)
            identity = (row.authority, *map(str, place), str(row.sequence))
            actors.setdefault((place, row.epoch), set()).add(row.authority)
            if identity not in self._seen.acts:
                self._seen.acts[identity] = True
                era = Epoch.from_key(row.epoch).era
                newest = max(term.epoch for term in terms[place] if term.epoch.era == era)
                if Epoch.from_key(row.epoch) < newest:
                    raise Violation("S3", f"{place}: {row.authority} acted below {newest}")
        for (place, epoch), who in actors.items():
            if len(who) > 1:
                raise Violation("S3", f"{place}: {who} acted at {Epoch.from_key(epoch)}")

    def _s4(self, place: Place, rows: list[Chain], terms: list[Term]) -> None:
        if any(row.closed for row in rows):
            return
        newest = terms[-1]
        owner = [row for row in rows if row.key.authority == newest.custodian]
        if not owner or owner[0].holding not in CARING or owner[0].term_epoch != newest.epoch:
            raise Violation("S4", f"{place}: {newest.custodian} does not care at {newest.epoch}")

    def _s5_s6_s7(self, terms: dict[Place, list[Term]]) -> None:
        answers: dict[tuple[str, ...], store.OfferAnsweredRow] = {}
        for row in self._rows(store.OFFERS_ANSWERED):
            key = (row.ticket, row.scope, str(row.number), str(row.epoch), row.authority)
            answers[key] = row
            if self._seen.answers.setdefault(key, row.answer_digest) != row.answer_digest:
                raise Violation("S5", f"{key}: an answer changed")
            place = (row.ticket, row.scope, row.number)
            refused = row.verdict != Verdict.ACCEPTED.value
            taken = [term for term in terms.get(place, []) if term.epoch.key() == row.epoch]
            if refused and any(term.custodian == row.authority for term in taken):
                raise Violation("S7", f"{key}: a refused epoch is held")
        for known in self._seen.answers:
            if known not in answers:
                raise Violation("S5", f"{known}: an answer was forgotten")
        for made in self._rows(store.OFFERS_MADE):
            if made.verdict == Verdict.PENDING.value:
                continue
            key = (made.ticket, made.scope, str(made.number), str(made.epoch), made.target)
            given = answers.get(key)
            if given is None or given.answer_digest != made.answer_digest:
                raise Violation("S6", f"{key}: the two sides disagree on the answer")

    def _s9(self, rows: list[Chain]) -> None:
        for row in rows:
            term, is_free = row.term_epoch, row.holding in FREE
            if term is not None and is_free and term.era < row.ruling:
                raise Violation("S9", f"{row.key}: {row.holding} at {term} below {row.ruling}")
            if term is not None and term.era > row.ruling:
                raise Violation("S9", f"{row.key}: a term above every ruling known")

    def _s10(self, place: Place, terms: list[Term]) -> None:
        hops, path = 0, [terms[0].custodian] if terms else []
        for before, term in pairwise(terms):
            if term.ruled:
                hops, path = 0, [term.custodian]
                continue
            if term.epoch.era != before.epoch.era:
                continue  # late terms of an older era were counted in it
            if term.homeward:  # also by the province's Assumption: no hop, and it needs no case
                path = [code for code in path if code != before.custodian]
                continue
            if term.consented:
                path.append(term.custodian)
                hops += 1
                continue
            hops += 1
            if term.custodian in path or hops > 2:
                raise Violation("S10", f"{place}: loop or third hop without a case: {terms}")
            path.append(term.custodian)

    def _s11(self, place: Place, rows: list[Chain], terms: list[Term]) -> None:
        for row in rows:
            if row.holding is not Holding.RELEASED or row.closed or row.term_epoch is None:
                continue
            if not any(term.epoch > row.term_epoch for term in terms):
                raise Violation("S11", f"{place}: {row.key.authority} released to nobody")

    def _s12(self, rows: list[Chain]) -> None:
        for row in rows:
            for name in ("term_epoch", "floor", "ruling", "shown_epoch"):
                value = getattr(row, name)
                before = self._seen.high.get((row.key, name))
                if before is not None and (value is None or value < before):
                    label = "S8" if name == "shown_epoch" else "S12"
                    raise Violation(label, f"{row.key}: {name} fell from {before} to {value}")
                self._seen.high[row.key, name] = value

    def _s13(self) -> None:
        for (place, epoch), rows in self._statements("Offer").items():
            for issuer in {row.issuer for row in rows}:
                if len({row.digest for row in rows if row.issuer == issuer}) > 1:
                    raise Violation("S13", f"{place}: {issuer} signed two offers at {epoch}")

    def _nobody_is_accused(self) -> None:
        """S13: all nodes are honest here, so nothing is refused and nobody has evidence."""
        refused = [
            f"{row.target} refused {row.kind} of {row.source}: {getattr(row, 'detail', row.reason)}"
            for rows in (self._rows(EVIDENCE), self._rows(REFUSALS))
            for row in list[EvidenceRow | RefusalRow](rows)
        ]
        if refused:
            raise Violation("S13", refused[0])

    def _coupling(self, chains: dict[Place, list[Chain]]) -> None:
        rows = [row for found in chains.values() for row in found]
        self._c1(chains, rows)
        self._c2(rows)
        self._c3()

    def _c1(self, chains: dict[Place, list[Chain]], rows: list[Chain]) -> None:
        leaving = {Holding.OFFERED, Holding.REVOKING, Holding.YIELDING}
        for row in rows:
            away = row.key.is_outer and row.holding in leaving
            if away and not self._is_home(chains, row.key.ticket, row.key.authority):
                raise Violation("C1", f"{row.key}: offered outside but not home")

    def _c2(self, rows: list[Chain]) -> None:
        open_inner: set[tuple[str, str]] = set()
        for row in rows:
            if row.key.is_home and not row.closed and row.term_epoch is not None:
                pair = (row.key.ticket, row.key.authority)
                if pair in open_inner:
                    raise Violation("C2", f"{row.key}: two open inner chains")
                open_inner.add(pair)

    def _c3(self) -> None:
        force: set[tuple[str, ...]] = set()
        for act in self._rows(store.ACTS):
            identity = (act.ticket, act.scope, str(act.number), act.actor, str(act.act_row))
            if act.has_force and identity in force:
                raise Violation("C3", f"{identity}: recorded with force twice")
            if act.has_force:
                force.add(identity)

    def _is_home(self, chains: dict[Place, list[Chain]], ticket: str, province: str) -> bool:
        return any(
            row.holding is Holding.HELD and row.pending_epoch is None
            for (number, scope, _), rows in chains.items()
            for row in rows
            if number == ticket
            and scope == province
            and row.key.authority == province
            and not row.closed
        )

    # --- when all is healed and quiet ---------------------------------------------------------

    def check_settled(self) -> None:
        """Raise a Violation if something is left undone or the two sides disagree."""
        waiting = list(self._rows(OUTBOX))
        if waiting:
            raise Violation("L0", f"{len(waiting)} statements are not receipted")
        chains, terms = self.chains(), self.terms()
        for place, rows in chains.items():
            caring = [row for row in rows if row.is_caring]
            if any(row.closed for row in rows):
                if caring:
                    raise Violation("L1", f"{place}: closed, yet somebody cares")
                continue
            newest = terms[place][-1]
            if len(caring) != 1 or caring[0].holding is not Holding.HELD:
                raise Violation("L1", f"{place}: {[(r.key.authority, r.holding) for r in rows]}")
            if caring[0].term_epoch != newest.epoch:
                raise Violation("L1", f"{place}: held at {caring[0].term_epoch}, not {newest}")
            if any(row.pending_epoch is not None for row in rows):
                raise Violation("L2", f"{place}: an offer is still pending")
            if any(row.content_due for row in caring):
                raise Violation("L3", f"{place}: {caring[0].key.authority} has no text")
        self._rulings_are_taken(chains)
        self._ledgers_agree(chains)
        self._followers_see()
        self._only_who_needs_it_knows_who_calls(chains)

    def _only_who_needs_it_knows_who_calls(self, chains: dict[Place, list[Chain]]) -> None:
        """Who calls is known where the ticket came in and where it is cared for, nowhere else."""
        rows = [row for found in chains.values() for row in found]
        for copy in self._rows(COPIES):
            own = [
                row
                for row in rows
                if (row.key.authority, row.key.ticket) == (copy.authority, copy.ticket)
            ]
            has_held = any(row.term_epoch is not None for row in own)
            is_caring = any(row.is_caring for row in own)
            came_in = copy.authority in (copy.origin, copy.ticket[:2] + "0000")
            if copy.identity and has_held and not (is_caring or came_in):
                raise Violation("I7", f"{copy.ticket}: {copy.authority} still knows who calls")

    def _rulings_are_taken(self, chains: dict[Place, list[Chain]]) -> None:
        """L3: the arbiter has TAKEN for its newest ruling on every open chain."""
        newest: dict[Place, store.RulingRow] = {}
        for row in self._rows(store.RULINGS):
            place = (row.ticket, row.scope, row.chain)
            if place not in newest or newest[place].number < row.number:
                newest[place] = row
        for place, row in newest.items():
            is_closed = any(chain.closed for chain in chains[place])
            if not row.taken_digest and not is_closed:
                raise Violation("L3", f"{place}: ruling {row.number} for {row.target} is not taken")

    def _ledgers_agree(self, chains: dict[Place, list[Chain]]) -> None:
        """I4: both sides of a hand-over have the same records, in the same order."""
        for place, rows in chains.items():
            taking_part = [row for row in rows if row.term_epoch is not None]
            newest = max(taking_part, key=_term)
            same_era = [row for row in taking_part if _term(row).era == _term(newest).era]
            for row in same_era:
                if row.records != newest.records[: len(row.records)]:
                    raise Violation("L4", f"{place}: records of {row.key.authority} differ")
        own = {row.key: row for rows in chains.values() for row in rows}
        for made in map(made_of, self._rows(store.OFFERS_MADE)):
            row = own[made.key]
            term = _term(row)
            is_last = made.epoch.era == term.era and made.epoch > term
            is_accepted = made.verdict is Verdict.ACCEPTED
            if is_accepted and is_last and made.answer_digest.hex() not in row.records:
                raise Violation("L4", f"{row.key}: the hand-over at {made.epoch} is no record")

    def _followers_see(self) -> None:
        """The origin shows what the custodian last said."""
        copies = {(row.authority, row.ticket): row for row in self._rows(COPIES)}
        for ticket in self._world.tickets:
            holder = self._final_custodian(ticket)
            origin = copies[
                next(row.origin for row in copies.values() if row.ticket == ticket), ticket
            ]
            if origin.version != copies[holder, ticket].version:
                raise Violation("L3", f"{ticket}: {origin.authority} does not see {holder}'s state")
            if not copies[holder, ticket].identity:
                raise Violation("L3", f"{ticket}: {holder} does not know who calls")

    def _final_custodian(self, ticket: str) -> str:
        held = [
            row
            for (number, _, _), rows in self.chains().items()
            for row in rows
            if number == ticket and row.holding is Holding.HELD and not row.key.is_outer
        ]
        return held[0].key.authority


@lru_cache(maxsize=20_000)
def _body(kind: str, statement: bytes) -> Body:
    """Read what a statement says; the same ones are judged after every step."""
    return codec.body_from_bytes(kind, statement_from_bytes(statement).body)


def _homeward(row: store.StatementRow) -> bool:
    body = _body(row.kind, row.statement)
    assert isinstance(body, Offer)
    key = ChainKey(body.target, TicketNumber(row.ticket), AuthorityCode(row.scope), row.number)
    return is_homeward(key, body)


def _consented(row: store.StatementRow) -> bool:
    body = _body(row.kind, row.statement)
    assert isinstance(body, Offer)
    return body.mandated or (body.assumption is not None and bool(body.case))


def _term(row: Chain) -> Epoch:
    assert row.term_epoch is not None
    return row.term_epoch
