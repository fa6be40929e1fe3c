"""The safety properties of one ticket's chains: S1–S12, C1–C3, I5, I9.

Each takes the ticket's `Records` and raises a Violation that names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

from gateway.custody import bodies, store
from gateway.custody.model import CARING, REFUSALS_FREE_MAX, Chain, ChainKey, Holding, Verdict
from gateway.custody.overtaken import ADOPTED, REVERSED
from gateway.database.timers import TIMERS
from gateway.delivery.codec import statement_from_bytes
from gateway.kernel.ids import Epoch
from hotline.custody.v1 import custody_pb2
from tests.simulation.records import Place, Records, Term, Violation, body_of
from tests.simulation.world import World

FREE = frozenset({Holding.HELD, Holding.OFFERED, Holding.REVOKING})
"""States that no ruling ends silently: below a known ruling only YIELDING cares."""
SHORT = timedelta(minutes=1)
SKEWED = timedelta(minutes=10)  # two clocks, each five minutes off
LEAVING = frozenset({Holding.OFFERED, Holding.REVOKING, Holding.YIELDING})
RECONCILED = frozenset({f"act.{ADOPTED}", f"act.{REVERSED}"})


class ChainChecks:
    """Holds tickets against the safety properties; remembers what must not change or fall."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_history = True  # what is seen at first may have been followed by more since
        self._answers: dict[tuple[object, ...], bytes] = {}
        self._before: dict[ChainKey, Chain] = {}
        self._actors: dict[tuple[Place, int], str] = {}
        self._force: set[tuple[object, ...]] = set()
        self._reconciled: set[tuple[str, bytes]] = set()
        self._times: dict[str, tuple[bytes, bytes]] = {}

    def check(self, records: Records, tables: Iterable[str]) -> None:
        """Check a ticket of which rows in these tables changed."""
        for statement in records.fresh:
            self._i9(statement)
        for place in records.renewed:
            self._s1(place, records.terms[place])
            self._s10(place, records.terms[place])
        for place, rows in records.chains.items():
            established = records.terms.get(place, [])
            self._s11(place, rows, established)
            if not any(row.closed for row in rows):
                self._s4(place, rows, established)
            self._s2(place, rows, established)
            for row in rows:
                self._one(row)
                self._i6(row, records)
        if {store.OFFERS_ANSWERED.name, store.OFFERS_MADE.name} & set(tables):
            self._s5_s6_s7(records)
        if store.ACTS.name in tables:
            self._c3(records)
        self._c1_c2(records)
        self._before |= {row.key: row for rows in records.chains.values() for row in rows}

    # --- chains -------------------------------------------------------------------------------

    def _s1(self, place: Place, terms: list[Term]) -> None:
        epochs = [term.epoch for term in terms]
        if len(set(epochs)) != len(epochs):
            raise Violation("S1", f"{place}: two custodians at one epoch: {terms}")

    def _s2(self, place: Place, rows: list[Chain], terms: list[Term]) -> None:
        held = [row for row in rows if row.holding is Holding.HELD]
        eras = [term_of(row).era for row in held]
        if len(set(eras)) < len(eras):
            raise Violation("S2", f"{place}: held by {[row.key.authority for row in held]}")
        for row in held:
            own = term_of(row)
            later = [term for term in terms if term.epoch > own and term.epoch.era == own.era]
            if later:
                raise Violation("S2", f"{place}: {row.key.authority} holds below {later}")

    def _s4(self, place: Place, rows: list[Chain], terms: list[Term]) -> None:
        if not terms:
            if any(row.is_caring for row in rows):
                raise Violation("S4", f"{place}: somebody cares without a term")
            return
        newest = terms[-1]
        owner = next((row for row in rows if row.key.authority == newest.custodian), None)
        if owner is None or owner.holding not in CARING or owner.term_epoch != newest.epoch:
            raise Violation("S4", f"{place}: {newest.custodian} does not care at {newest.epoch}")

    def _s11(self, place: Place, rows: list[Chain], terms: list[Term]) -> None:
        for row in rows:
            if row.holding is not Holding.RELEASED or row.closed or row.term_epoch is None:
                continue
            if not terms or terms[-1].epoch <= row.term_epoch:
                raise Violation("S11", f"{place}: {row.key.authority} released to nobody")

    def _one(self, row: Chain) -> None:
        before = self._before.get(row.key)
        if before == row:
            return
        self._s9(row)
        self._i5(row)
        if before is not None:
            self._s8_s12(before, row)

    def _s9(self, row: Chain) -> None:
        term, is_free = row.term_epoch, row.holding in FREE
        if term is not None and is_free and term.era < row.ruling:
            raise Violation("S9", f"{row.key}: {row.holding} at {term} below {row.ruling}")
        if term is not None and term.era > row.ruling:
            raise Violation("S9", f"{row.key}: a term above every ruling known")

    def _i5(self, row: Chain) -> None:
        """I5: the second substantive refusal opens a case with the same transaction."""
        before = self._before.get(row.key)
        is_news = (
            before is not None
            and before.term_epoch == row.term_epoch
            and before.refusals < row.refusals
        )
        is_due = row.holding is Holding.HELD and row.refusals >= REFUSALS_FREE_MAX
        if is_news and is_due and not row.case:
            raise Violation("I5", f"{row.key}: {row.refusals} refusals and no case")

    def _s8_s12(self, before: Chain, row: Chain) -> None:
        for name in ("term_epoch", "floor", "ruling"):
            old, new = getattr(before, name), getattr(row, name)
            if old is not None and (new is None or new < old):
                raise Violation("S12", f"{row.key}: {name} fell from {old} to {new}")
        shown = (row.shown_epoch or Epoch(0, 0), row.shown_sequence)
        was = (before.shown_epoch or Epoch(0, 0), before.shown_sequence)
        if shown < was:
            raise Violation("S8", f"{row.key}: shows {shown} after {was}")
        if shown != was and shown[0].era < before.ruling:
            raise Violation("S8", f"{row.key}: shows {shown} below ruling {before.ruling}")

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
            hops += 1
            if not term.consented and (term.custodian in path or hops > 2):
                raise Violation("S10", f"{place}: loop or third hop without a case: {terms}")
            path.append(term.custodian)

    # --- offers and answers -------------------------------------------------------------------

    def _s5_s6_s7(self, records: Records) -> None:
        answers: dict[tuple[object, ...], bytes] = {}
        for row in records.rows(store.OFFERS_ANSWERED):
            place = (row.ticket, row.scope, row.number)
            key = (*place, row.epoch, row.authority)
            answers[key] = row.answer_digest
            if self._answers.setdefault(key, row.answer_digest) != row.answer_digest:
                raise Violation("S5", f"{key}: an answer changed")
            if row.verdict == Verdict.ACCEPTED.value:
                continue
            epoch = Epoch.from_key(row.epoch)
            taken = [term.custodian for term in records.terms.get(place, []) if term.epoch == epoch]
            taken += [
                chain.key.authority
                for chain in records.chains.get(place, [])
                if chain.term_epoch == epoch
            ]
            if row.authority in taken:
                raise Violation("S7", f"{key}: a refused epoch is held")
        for known in self._answers:
            if known[0] == records.ticket and known not in answers:
                raise Violation("S5", f"{known}: an answer was forgotten")
        for made in records.rows(store.OFFERS_MADE):
            if made.verdict == Verdict.PENDING.value:
                continue
            key = (made.ticket, made.scope, made.number, made.epoch, made.target)
            if answers.get(key) != made.answer_digest:
                raise Violation("S6", f"{key}: the two sides disagree on the answer")

    # --- acts ---------------------------------------------------------------------------------

    def check_acts(self, records: Records, rows: Iterable[store.CustodyRow]) -> None:
        """S3: no two act exclusively at one epoch, nobody below a later term of the era."""
        for row in rows:
            if not row.kind.startswith("act."):
                continue
            place = (row.ticket, row.scope, row.number)
            epoch = Epoch.from_key(row.epoch)
            if row.kind in RECONCILED:
                answer = (row.authority, row.subject_digest)
                if answer in self._reconciled:
                    raise Violation("C3", f"{place}: an overtaken act was answered twice")
                self._reconciled.add(answer)
            if self._actors.setdefault((place, row.epoch), row.authority) != row.authority:
                raise Violation("S3", f"{place}: two acted at {epoch}")
            newest = max(term.epoch for term in records.terms[place] if term.epoch.era == epoch.era)
            if epoch < newest and not self.is_history:
                raise Violation("S3", f"{place}: {row.authority} acted below {newest}")
            if row.holding != Holding.HELD.value:
                raise Violation("S3", f"{place}: {row.authority} acted while {row.holding}")

    # --- the two levels -----------------------------------------------------------------------

    def _c1_c2(self, records: Records) -> None:
        rows = [row for found in records.chains.values() for row in found]
        at_home: dict[str, Chain] = {}
        for row in rows:
            if row.key.is_home and not row.closed and row.term_epoch is not None:
                if row.key.authority in at_home:
                    raise Violation("C2", f"{row.key}: two open inner chains")
                at_home[row.key.authority] = row
        for row in rows:
            if not row.key.is_outer or row.holding not in LEAVING:
                continue
            inner = at_home.get(row.key.authority)
            if (
                inner is None
                or inner.holding is not Holding.HELD
                or inner.pending_epoch is not None
            ):
                raise Violation("C1", f"{row.key}: offered outside but not home")

    def _c3(self, records: Records) -> None:
        """C3: force is given once, by a custodian, in the open chain and its newest era."""
        for act in records.added(store.ACTS):
            if not act.has_force:
                continue
            place = (act.ticket, act.scope, act.number)
            identity = (*place, act.authority, act.actor, act.epoch, act.act_row)
            if identity in self._force:
                raise Violation("C3", f"{identity}: recorded with force twice")
            self._force.add(identity)
            if self.is_history:
                continue
            own = [row for row in records.chains[place] if row.key.authority == act.authority]
            was = self._before.get(own[0].key) if own else None
            outer = [
                (self._before.get(row.key) or row, row)
                for rows in records.chains.values()
                for row in rows
                if row.key.is_outer and row.key.authority == act.authority
            ]
            is_free = all(
                Holding.HELD in (old.holding, new.holding) or old.term_epoch is None
                for old, new in outer
            )
            era = Epoch.from_key(act.epoch).era
            is_open = was is None or not was.closed
            if not is_free or not is_open or (was is not None and era < was.ruling):
                raise Violation("C3", f"{identity}: has force without its conditions")

    # --- timers -------------------------------------------------------------------------------

    def _i6(self, row: Chain, records: Records) -> None:
        """I6: while an offer is out, a window is open; its end asks the offer back, or files.

        Standing by moves it once, by one more of its length; a restore may find it over already.
        """
        key, epoch = row.key, row.pending_epoch
        if row.holding not in (Holding.OFFERED, Holding.REVOKING) or row.case or epoch is None:
            return
        timers = self._world.node_of(key.authority).database.tables.get(TIMERS.name, {})
        parts = (key.authority, key.ticket, key.scope, key.number, epoch.era, epoch.count)
        timer = timers.get(("custody.window", "/".join(map(str, parts))))
        if timer is None:
            raise Violation("I6", f"{key}: {row.holding} at {epoch}, and nothing ends its window")
        if row.holding is not Holding.OFFERED:
            return
        for given in records.offers.get((_place(key), epoch), {}).values():
            offer = body_of(given)
            if given.issuer != key.authority or not isinstance(offer, bodies.Offer):
                continue
            length = offer.window_end - statement_from_bytes(given.statement).issued
            latest = offer.window_end + max(length, SHORT)
            if timer.due > max(latest, self._world.clock.now() + SKEWED):
                raise Violation("I6", f"{key}: the window of {epoch} was moved to {timer.due}")

    # --- times --------------------------------------------------------------------------------

    def _i9(self, row: store.StatementRow) -> None:
        """I9: no statement moves the citizen's clock, which is told in every header."""
        body = body_of(row)
        told = isinstance(
            body, bodies.Offer | bodies.Genesis | bodies.StandDown | bodies.CaseFiling
        )
        header = getattr(body, "header", b"") if told else b""
        if not header:
            return
        read = custody_pb2.TicketHeader.FromString(header)
        times = (read.received_time.SerializeToString(), read.due_time.SerializeToString())
        if self._times.setdefault(row.ticket, times) != times:
            raise Violation("I9", f"{row.ticket}: {row.kind} of {row.issuer} moves the clock")


def _place(key: ChainKey) -> Place:
    return key.ticket, key.scope, key.number


def term_of(row: Chain) -> Epoch:
    """Return the term of a chain whose authority has one."""
    assert row.term_epoch is not None
    return row.term_epoch
