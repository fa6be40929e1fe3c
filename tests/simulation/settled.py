"""What must hold when all faults are healed and nothing is left to do: L0–L4, I6, I7, I10."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TypeVar

from gateway.custody import store
from gateway.custody.model import Chain, Holding, Verdict
from gateway.custody.rows import made_of
from gateway.database.table import Table
from gateway.database.timers import TIMERS
from gateway.delivery.store import EVIDENCE, OUTBOX
from gateway.kernel.errors import LubiaoError
from gateway.trust.statements import verify
from tests.simulation.properties import term_of
from tests.simulation.records import Place, Records, Violation
from tests.simulation.world import CITIZEN, COPIES, World

Row = TypeVar("Row")
LATE = timedelta(hours=3)  # the last window that settling waits for ends after two
TEXTS = (CITIZEN, b"a synthetic case")
"""What only blocks may hold: who calls, and what the citizen says."""


class Settled:
    """Holds a settled world against the properties."""

    def __init__(self, world: World, records: dict[str, Records]) -> None:
        self._world = world
        self._records = records

    def check(self) -> None:
        """Raise a Violation if something is left undone or the two sides disagree."""
        waiting = list(self._rows(OUTBOX))
        if waiting:
            raise Violation("L0", f"{len(waiting)} statements are not receipted")
        self._nothing_waits()
        for records in self._records.values():
            for place, rows in records.chains.items():
                self._one_cares(place, rows, records)
            self._ledgers_agree(records)
            self._rulings_are_taken(records)
            self._only_who_needs_it_knows_who_calls(records)
        self._followers_see()
        self._statements_need_no_content()

    def _rows(self, table: Table[Row]) -> Iterator[Row]:
        for node in self._world.nodes.values():
            yield from node.database.rows(table)

    # --- I6, L1, L2, L3 -----------------------------------------------------------------------

    def _nothing_waits(self) -> None:
        """I6: no wake-up is lost, no invitation, release or filing waits without a person."""
        for node in self._world.nodes.values():
            for timer in node.database.rows(TIMERS):
                is_late = timer.due + LATE <= node.clock.now()
                if is_late and timer.kind.startswith("custody."):
                    raise Violation("I6", f"{node.id}: {timer.kind} of {timer.key} never fired")
        for invitation in self._rows(store.INVITATIONS):
            raise Violation("I6", f"{invitation.authority} has an invitation that nobody sees")
        for records in self._records.values():
            for rows in records.chains.values():
                for row in rows:
                    self._nothing_is_due(row)

    def _nothing_is_due(self, row: Chain) -> None:
        if row.filing_due:
            raise Violation("I6", f"{row.key}: a filing still waits though there is an arbiter")
        is_set = row.holding is Holding.OFFERED or row.holding is Holding.REVOKING
        if is_set:
            raise Violation("L2", f"{row.key}: an offer is still pending")

    def _one_cares(self, place: Place, rows: list[Chain], records: Records) -> None:
        caring = [row for row in rows if row.is_caring]
        if any(row.closed for row in rows):
            if caring:
                raise Violation("L1", f"{place}: closed, yet somebody cares")
            return
        terms = records.terms.get(place)
        if not terms:
            return  # told of, and begun by nobody yet
        newest = terms[-1]
        if len(caring) != 1 or caring[0].holding is not Holding.HELD:
            raise Violation("L1", f"{place}: {[(r.key.authority, r.holding) for r in rows]}")
        if caring[0].term_epoch != newest.epoch:
            raise Violation("L1", f"{place}: held at {caring[0].term_epoch}, not {newest}")
        if any(row.pending_epoch is not None for row in rows):
            raise Violation("L2", f"{place}: an offer is still pending")
        is_lost = self._world.is_text_lost(caring[0].key.authority, place[0])
        if any(row.content_due for row in caring) and not is_lost:
            raise Violation("L3", f"{place}: {caring[0].key.authority} has no text")

    def _rulings_are_taken(self, records: Records) -> None:
        """L3: the arbiter has TAKEN for its newest ruling on every open chain."""
        newest: dict[Place, store.RulingRow] = {}
        for row in records.rows(store.RULINGS):
            place = (row.ticket, row.scope, row.chain)
            if place not in newest or newest[place].number < row.number:
                newest[place] = row
        for place, row in newest.items():
            is_closed = any(chain.closed for chain in records.chains[place])
            if not row.taken_digest and not is_closed:
                raise Violation("L3", f"{place}: ruling {row.number} for {row.target} is not taken")

    # --- L4: I4 on both sides -----------------------------------------------------------------

    def _ledgers_agree(self, records: Records) -> None:
        """Both sides of a hand-over have the same records, in the same order."""
        for place, rows in records.chains.items():
            taking_part = [row for row in rows if row.term_epoch is not None]
            if not taking_part:
                continue
            newest = max(taking_part, key=term_of)
            same_era = [row for row in taking_part if term_of(row).era == term_of(newest).era]
            for row in same_era:
                if row.records != newest.records[: len(row.records)]:
                    raise Violation("L4", f"{place}: records of {row.key.authority} differ")
                is_same = row.record_digest == newest.record_digest
                if row.records == newest.records and not is_same:
                    raise Violation("L4", f"{place}: record of {row.key.authority} differs")
        own = {row.key: row for rows in records.chains.values() for row in rows}
        for made in map(made_of, records.rows(store.OFFERS_MADE)):
            row = own[made.key]
            term = term_of(row)
            is_last = made.epoch.era == term.era and made.epoch > term
            is_accepted = made.verdict is Verdict.ACCEPTED
            if is_accepted and is_last and made.answer_digest.hex() not in row.records:
                raise Violation("L4", f"{row.key}: the hand-over at {made.epoch} is no record")

    # --- I7, L3: who sees what ----------------------------------------------------------------

    def _only_who_needs_it_knows_who_calls(self, records: Records) -> None:
        """Who calls is known where the ticket came in and where it is cared for, nowhere else."""
        rows = [row for found in records.chains.values() for row in found]
        for copy in records.rows(COPIES):
            own = [row for row in rows if row.key.authority == copy.authority]
            has_held = any(row.term_epoch is not None for row in own)
            is_caring = any(row.is_caring for row in own)
            came_in = copy.authority in (copy.origin, copy.ticket[:2] + "0000")
            if copy.identity and has_held and not (is_caring or came_in):
                raise Violation("I7", f"{copy.ticket}: {copy.authority} still knows who calls")

    def _followers_see(self) -> None:
        """The origin shows what the custodian last said, and the custodian knows who calls."""
        copies = {(row.authority, row.ticket): row for row in self._rows(COPIES)}
        for ticket in self._world.tickets:
            holder = self._final_custodian(ticket)
            if self._world.is_text_lost(holder, ticket):
                continue
            first = next(row.origin for row in copies.values() if row.ticket == ticket)
            if self._world.is_text_lost(first, ticket):
                continue
            origin = copies[first, ticket]
            if origin.version != copies[holder, ticket].version:
                raise Violation("L3", f"{ticket}: {origin.authority} does not see {holder}'s state")
            if not copies[holder, ticket].identity and ticket not in self._world.lost_callers:
                raise Violation("L3", f"{ticket}: {holder} does not know who calls")

    def _final_custodian(self, ticket: str) -> str:
        held = [
            row
            for rows in self._records[ticket].chains.values()
            for row in rows
            if row.holding is Holding.HELD and not row.key.is_outer
        ]
        return held[0].key.authority

    # --- I10 ----------------------------------------------------------------------------------

    def _statements_need_no_content(self) -> None:
        """I10: what is kept verifies from its own bytes, and holds nothing to be purged."""
        known: set[bytes] = set()
        for row in self._rows(store.STATEMENTS):
            if row.digest in known:
                continue
            known.add(row.digest)
            self._without_text(row.statement, f"{row.kind} of {row.issuer}")
            public = self._world.roster.statement_key(row.issuer, row.key_id)
            if public is None:
                raise Violation("I10", f"{row.kind} of {row.issuer}: nobody can verify it")
            try:
                verify(public, row.statement, row.signature, signer=row.issuer)
            except LubiaoError as error:
                raise Violation("I10", f"{row.kind} of {row.issuer}: {error}") from error
        for evidence in self._rows(EVIDENCE):
            self._without_text(evidence.envelope, f"evidence of {evidence.source}")

    def _without_text(self, raw: bytes, what: str) -> None:
        if any(text in raw for text in TEXTS):
            raise Violation("I10", f"{what} holds text that a purge could not reach")
