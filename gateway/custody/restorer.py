"""Applying what peers returned to one ticket, after a person has confirmed.

First what our own authorities said (`reestablish.py`), chain by chain, in one unit: statements,
answers, offers and rulings are rows again, and what others may wait for is said once more. Then,
still in it, the two levels are brought together (docs/custody.md#scopes). Then what others said to
us is handed to the ordinary handlers, one by one, as if it had been on its way all the time. Text
comes back only while its sender has it: without it a report stands as a report, and an Offer is
given back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import structlog

from gateway.custody import chains, codec, docket, proofs, store
from gateway.custody import recovery_store as kept
from gateway.custody.arbiter import Arbiter
from gateway.custody.blocks import BlockOpener
from gateway.custody.bodies import (
    Answer,
    CaseFiling,
    Genesis,
    Offer,
    Revoke,
    Ruling,
)
from gateway.custody.coupling import Coupling, desk_of
from gateway.custody.guards import is_consented
from gateway.custody.knowledge import Knowledge
from gateway.custody.model import (
    BY_CONSENT,
    BecameCustodian,
    Chain,
    ChainKey,
    ContentArrived,
    CustodyEvent,
    Holding,
    OfferMade,
    Verdict,
)
from gateway.custody.ports import ContentSource
from gateway.custody.recall import WINDOW_TIMER
from gateway.custody.recall import timer_key as window_key
from gateway.custody.reestablish import Fact, Known, Reestablished, doubts, reestablish
from gateway.custody.returned import Returned, block_of, fact_of, letters_said, parsed, spread
from gateway.custody.rows import answered_row, made_of, made_row
from gateway.custody.steps import Say, Step
from gateway.custody.telling import FENCE_TIMER, timer_key
from gateway.custody.writer import UNRECORDED_KINDS, StepWriter, keep
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Delivered, SignedBytes
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.trust.roster import Roster
from gateway.trust.statements import digest

# What others said that is taken again, with its content or without; the rest waits for its repeat.
REPLAYED = (
    "Ruling",
    "RulingAck",
    "ChainClosed",
    "Answer",
    "Revoke",
    "Assumption",
    "CaseFiling",
    "UpdateAnswer",
    "StandDown",
    "Offer",
    "Genesis",
)
# Own words that another's later statement may wait for, and that say enough without a text.
SAID_AGAIN = frozenset({"Genesis", "Answer", "RulingAck", "StandDown", "ChainClosed"})

RECORDS_OF_HAND_OVER = 2  # the last two records of a term that was handed over: Offer and Answer

_log = structlog.get_logger()


class Restorer:
    """Brings the chains of a ticket to what its own newest statements imply."""

    def __init__(
        self,
        *,
        writer: StepWriter,
        arbiter: Arbiter,
        roster: Callable[[], Roster],
        levels: Coupling | None = None,
        text: ContentSource | None = None,
        opener: BlockOpener | None = None,
    ) -> None:
        """Make it; an arbiter without tickets has neither levels nor text."""
        self._opener = opener
        self._writer = writer
        self._arbiter = arbiter
        self._roster = roster
        self._coupling = levels
        self._known = Knowledge(writer=writer, roster=roster, text=text)

    async def apply(
        self, uow: UnitOfWork, rows: list[kept.RecoveredRow], *, now: Instant
    ) -> tuple[list[kept.RecoveryItemRow], tuple[CustodyEvent, ...]]:
        """Re-establish what our authorities said about one ticket; the ticket is locked.

        Return what is for people, and what the rooms above must know.
        """
        items: list[kept.RecoveryItemRow] = []
        events: list[CustodyEvent] = []
        number = TicketNumber(rows[0].ticket)
        every = [
            parsed(AuthorityCode(authority), [row for row in rows if row.authority == authority])
            for authority in sorted({row.authority for row in rows})
        ]
        for ticket in every:
            for key in ticket.chain_keys():
                for_people, happened = await self._chain(uow, ticket, key, now)
                items += for_people
                events += happened
            await self._followed(uow, ticket, now)
            events += letters_said(ticket)
            has_text = {e.key.authority for e in events if isinstance(e, ContentArrived)}
            if ticket.authority in has_text:
                for chain in (await chains.load(uow, ticket.authority, number)).chains:
                    self._writer.save(uow, replace(chain, content_due=False))
        for ticket in every:
            await self._known_at_home(uow, ticket, now)
        for ticket in every:  # a neighbour that a province takes the ticket from must know its own
            await self._levels(uow, ticket, number, now)
            await self._consents(uow, ticket.authority, number, now)
            await self._end_older(uow, ticket.authority, number, now)
        return items, tuple(events)

    async def _known_at_home(self, uow: UnitOfWork, ticket: Returned, now: Instant) -> None:
        """Let a province of this node know a city's ticket of which nobody told the province.

        Peers return what was said to them: of a ticket that the city offered elsewhere, nothing
        that names its province.
        """
        for found, fact in ticket.facts.items():
            key = ticket.keys[found]
            is_own = isinstance(fact.body, Genesis) and fact.issuer == key.authority
            if key.is_outer or key.is_home or not is_own or self._opener is None:
                continue
            home = replace(key, authority=key.scope)
            chain = await chains.find_chain(uow, home) or chains.unknown_chain(home, fact.issuer)
            if chain.genesis_digest or not self._opener.lives_here(home.authority):
                continue
            keep(uow, home.authority, fact.signed, statement_from_bytes(fact.signed.statement), now)
            known = replace(chain, origin=fact.issuer, genesis_digest=found)
            self._writer.save(uow, known.with_party(fact.issuer))

    async def _followed(self, uow: UnitOfWork, ticket: Returned, now: Instant) -> None:
        """Know each chain at home that a city began: if both live here, both lost its report.

        Else nothing said in that chain could be taken, neither news nor a filing.
        """
        for found, fact in ticket.facts.items():
            key = ticket.keys[found]
            is_report = key.is_home and isinstance(fact.body, Genesis)
            if not is_report or not chains.may_begin(fact.issuer, key):
                continue
            chain = await chains.find_chain(uow, key) or chains.unknown_chain(key, fact.issuer)
            if fact.issuer == key.authority or chain.genesis_digest:
                continue
            keep(uow, key.authority, fact.signed, statement_from_bytes(fact.signed.statement), now)
            known = replace(chain, origin=fact.issuer, genesis_digest=found)
            self._writer.save(uow, known.with_party(fact.issuer))

    def heard(self, row: kept.RecoveredRow) -> Delivered | None:
        """Return what another said to us, to be handled anew; None when it cannot be."""
        signed = SignedBytes(row.statement, row.key_id, row.signature)
        statement = statement_from_bytes(row.statement)
        authority = AuthorityCode(row.authority)
        is_own_order = row.issuer == row.authority and row.kind == "Ruling"
        is_for_us = authority in statement.audience and authority != NATION
        if row.issuer == row.authority and not (is_own_order and is_for_us):
            return None
        if authority not in statement.audience or row.kind not in REPLAYED:
            return None
        blocks = (block_of(row.block),) if row.block else ()
        return Delivered(
            target=authority,
            statement=statement,
            signed=signed,
            digest=row.digest,
            blocks=blocks,
            is_returned=True,
        )

    async def _end_older(
        self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber, now: Instant
    ) -> None:
        """Ask back what a later offer of the same term implies to have come back.

        Its answer is lost with the old life when both sides lived here; then the invitation is open
        again, and must not be accepted. Whoever answered gives that answer again.
        """
        rows = await uow.rows(store.OFFERS_MADE_OF_TICKET, authority, number)
        made = [made_of(row) for row in rows]
        for found in (await chains.load(uow, authority, number)).chains:
            chain, term = found, found.term_epoch
            own = [offer for offer in made if offer.key == chain.key]
            newest = max((offer.epoch for offer in own), default=None)
            for old in own:
                if old.verdict is not Verdict.PENDING or term is None or newest is None:
                    continue
                is_older = term < old.epoch < newest and term.era == old.epoch.era == newest.era
                if is_older and old.epoch != chain.pending_epoch:
                    chain = await self._ask_back(uow, chain, old, now)

    async def _ask_back(self, uow: UnitOfWork, chain: Chain, old: OfferMade, now: Instant) -> Chain:
        offer = await self._writer.signed(uow, chain.key.authority, old.statement_digest)
        body = Revoke(offer_digest=old.statement_digest, reason="restored", offer=offer)
        say = Say("Revoke", old.epoch, (old.target,), body)
        return await self._writer.write(uow, Step(chain=chain, says=(say,)), now=now)

    async def _consents(
        self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber, now: Instant
    ) -> None:
        """Tell the arbiter that a ticket is held by consent, where that word is lost.

        Else the case that the consent ended is ruled: its arbiter lived here, or never heard it.
        """
        if self._coupling is None:
            return
        for chain in (await chains.load(uow, authority, number)).chains:
            key, term = chain.key, chain.term_epoch
            if not chain.is_caring or term is None or len(chain.records) < RECORDS_OF_HAND_OVER:
                continue
            signed = await self._writer.signed(uow, authority, bytes.fromhex(chain.records[-2]))
            statement = statement_from_bytes(signed.statement)
            body = codec.body_from_bytes(statement.kind, statement.body)
            if not isinstance(body, Offer) or not is_consented(body):
                continue
            filed = await chains.said(uow, key, issuer=authority, kind="CaseFiling", epoch=term)
            told = [
                codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body)
                for row in filed
            ]
            is_told = any(isinstance(it, CaseFiling) and it.cause == BY_CONSENT for it in told)
            if not is_told:
                await self._coupling.end_case(uow, chain, body, now=now)

    # --- one chain ----------------------------------------------------------------------------

    async def _chain(
        self, uow: UnitOfWork, ticket: Returned, key: ChainKey, now: Instant
    ) -> tuple[list[kept.RecoveryItemRow], list[CustodyEvent]]:
        facts = list(ticket.of(key))
        said = [fact for fact in facts if fact.issuer == key.authority]
        known = await self._known.of(uow, key, facts)
        base = await chains.find_chain(uow, key) or self._first(key, said, known)
        state = reestablish(base, said, known)
        chain = state.chain
        for fact in _to_keep(known, said, ticket):
            keep(uow, key.authority, fact.signed, statement_from_bytes(fact.signed.statement), now)
        for fact in state.rows:
            if fact.kind not in UNRECORDED_KINDS:
                chain = self._writer.restate(
                    uow, chain, kind=fact.kind, epoch=fact.epoch, subject=fact.digest, now=now
                )
        self._rows(uow, key, state, now)
        if chain.is_caring and chain.desk is None:
            chain = replace(chain, desk=desk_of(key.authority))
        chain, events = self._with_content(ticket, chain, said, known)
        self._writer.save(uow, chain)
        await self._say_again(uow, key, said, now)
        items = [_item(key, what, detail, now) for what, detail in doubts(state, chain)]
        return items, events

    async def _say_again(
        self, uow: UnitOfWork, key: ChainKey, said: list[Fact], now: Instant
    ) -> None:
        """Send again what came back: only one of its receivers may have it.

        It was in the outbox, which is lost, or on a way whose envelopes are refused now. Who has it
        answers a repeat. The texts beside it cannot be sealed again, so it goes without them.
        """
        for fact in said:
            for code in self._writer.joined(fact.audience) if fact.kind in SAID_AGAIN else ():
                if self._opener is None or not self._opener.lives_here(code):
                    await self._writer.resend(uow, key, fact.digest, to=code, now=now)

    def _with_content(
        self, ticket: Returned, chain: Chain, said: list[Fact], known: Known
    ) -> tuple[Chain, list[CustodyEvent]]:
        """Take the text of the newest Offer that was accepted, if its sender returned it."""
        accepted = [
            known.offers[fact.body.offer_digest]
            for fact in said
            if isinstance(fact.body, Answer)
            and fact.body.verdict is Verdict.ACCEPTED
            and fact.body.offer_digest in known.offers
        ]
        newest = max(accepted, key=lambda offer: offer.epoch, default=None)
        block = ticket.blocks.get(newest.digest) if newest is not None else None
        if newest is None or block is None or self._opener is None or known.has_copy:
            return chain, []
        if not isinstance(newest.body, Offer):
            return chain, []
        try:
            text = self._opener.open(
                block,
                key=chain.key,
                epoch=newest.epoch,
                source=newest.issuer,
                kind=block.kind,
                commitments=newest.body.commitments,
            )
        except LubiaoError as error:  # content missing, as if none had come
            _log.warning("recovery.content_false", issuer=newest.issuer, reason=error.reason)
            return chain, []
        events: list[CustodyEvent] = [
            ContentArrived(
                chain.key,
                newest.issuer,
                newest.body.header,
                text,
                citizen_act_applied=newest.body.citizen_act_applied,
            )
        ]
        if chain.holding is Holding.HELD and chain.term_epoch == newest.epoch:
            events.append(BecameCustodian(chain.key, newest.epoch, newest.issuer))
        return replace(chain, content_due=False), events

    def _rows(self, uow: UnitOfWork, key: ChainKey, state: Reestablished, now: Instant) -> None:
        """Write the child rows: offers, answers, rulings, and the timers that they need."""
        for made in state.made.values():
            uow.put(store.OFFERS_MADE, made_row(made))
            if made.epoch == state.chain.pending_epoch:
                name = window_key(key, made.epoch)
                schedule(uow, kind=WINDOW_TIMER, key=name, due=max(made.window_end, now))
        for answered in state.answered:
            uow.put(store.OFFERS_ANSWERED, answered_row(answered))
        if state.ends_invitation:
            uow.delete(store.INVITATIONS, key.authority, key.ticket, key.scope, key.number)
        for fact in state.ruled:
            if isinstance(fact.body, Ruling):
                uow.put(store.RULINGS, _ruling_row(key, fact, fact.body))
                # Everybody is told again: to whom it was told before is not known.
                name = timer_key(key, fact.body.number, restored=True)
                schedule(uow, kind=FENCE_TIMER, key=name, due=now)

    def _first(self, key: ChainKey, said: list[Fact], known: Known) -> Chain:
        """Return the row of a chain that the backup does not know."""
        if any(isinstance(fact.body, Genesis) for fact in said):
            return chains.unknown_chain(key, key.authority)
        for fact in known.offers.values():
            if isinstance(fact.body, Offer):
                proof = proofs.prove(fact.body.attached, key, roster=self._roster)
                chain = chains.unknown_chain(key, proof.holder).with_party(*proof.path)
                return replace(chain, origin=proof.origin, genesis_digest=proof.genesis_digest)
        for _, ruling in known.rulings.values():
            first = chains.unknown_chain(key, chains.begun_by(key)).with_party()
            return replace(first, custodian=ruling.target)
        return chains.unknown_chain(key, chains.begun_by(key))

    # --- both levels --------------------------------------------------------------------------

    async def _levels(
        self, uow: UnitOfWork, ticket: Returned, number: TicketNumber, now: Instant
    ) -> None:
        """Bring the levels together, and forget who calls where the ticket has gone (rule 6)."""
        if self._coupling is None:
            return
        held = await chains.load(uow, ticket.authority, number)
        if held.outer is not None and chains.is_province(ticket.authority):
            await self._inside(uow, self._coupling, ticket, outer=held.outer, now=now)
        await self._coupling.flush_releases(uow, ticket.authority, number, now=now)

    async def _inside(
        self,
        uow: UnitOfWork,
        coupling: Coupling,
        ticket: Returned,
        *,
        outer: Chain,
        now: Instant,
    ) -> None:
        """Bring the inner chain of a province to what its outer one implies (rules 1, 4, 5)."""
        held = await chains.load(uow, outer.key.authority, outer.key.ticket)
        inner = held.open_inner
        if outer.is_caring and inner is None:
            await coupling.open_inner(
                uow,
                authority=held.authority,
                ticket=held.ticket,
                uid=await self._uid(uow, ticket, outer.key),
                outer=outer,
                now=now,
            )
        elif outer.is_caring and outer.holding is not Holding.HELD:
            await self._arbiter.home_ruling(uow, held.authority, held.ticket, now)
        elif outer.holding is Holding.RELEASED and inner is not None:
            # It let go from home. How the ticket came home may be lost with a neighbour's disk.
            if await self._arbiter.home_ruling(uow, held.authority, held.ticket, now) is not None:
                await uow.settle()  # it is obeyed here and now: nobody moves a closed chain
            await coupling.close_inner(uow, outer, now=now)

    async def _uid(self, uow: UnitOfWork, ticket: Returned, key: ChainKey) -> str:
        for fact in ticket.of(key):
            if isinstance(fact.body, Offer) and fact.body.header:
                return codec.header_uid(fact.body.header)
            if isinstance(fact.body, Ruling):
                return fact.body.ticket_uid
        return await docket.uid(uow, key)


# --- parts ------------------------------------------------------------------------------------


def _to_keep(known: Known, said: list[Fact], ticket: Returned) -> list[Fact]:
    """Return what must be on disk: what we said, and what is proven that our terms rest on."""
    wanted = {fact.digest: fact for fact in said}
    accepted = {
        fact.body.offer_digest
        for fact in said
        if isinstance(fact.body, Answer) and fact.body.verdict is Verdict.ACCEPTED
    }
    for found in accepted & known.offers.keys():
        proven = {found, *map(bytes.fromhex, known.before[found]), *ticket.facts}
        for signed in spread(known.offers[found].signed, accepts=partial(_is_among, proven)):
            part = fact_of(signed, digest(signed.statement))
            wanted.setdefault(part.digest, part)
    for signed, _ in known.rulings.values():
        part = fact_of(signed, digest(signed.statement))
        wanted.setdefault(part.digest, part)
    return list(wanted.values())


def _is_among(digests: Collection[bytes], signed: SignedBytes) -> bool:
    return digest(signed.statement) in digests


def _ruling_row(key: ChainKey, fact: Fact, body: Ruling) -> store.RulingRow:
    return store.RulingRow(
        scope=key.scope,
        ticket=key.ticket,
        chain=key.number,
        number=body.number,
        kind=int(body.kind),
        case_id=body.case,
        target=body.target,
        ticket_uid=body.ticket_uid,
        last_record=body.last_record,
        statement_digest=fact.digest,
        taken_digest=b"",
        told=(),
        fenced=False,
        issued=fact.issued,
    )


def _item(key: ChainKey, what: str, detail: str, now: Instant) -> kept.RecoveryItemRow:
    return kept.RecoveryItemRow(
        authority=key.authority,
        ticket=key.ticket,
        scope=key.scope,
        number=key.number,
        what=what,
        detail=detail,
        found=now,
    )
