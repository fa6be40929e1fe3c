"""Applying what peers returned to one ticket, after a person has confirmed.

First what our own authorities said (`reestablish.py`), chain by chain, in one unit: statements,
answers, offers and rulings are rows again, and the two levels are brought together
(docs/custody.md#scopes). Then what others said to us is handed to the ordinary handlers, one by
one, as if it had been on its way all the time. Text comes back only while its sender has it; what
cannot be taken without it is left to the protocol: an unanswered Offer is asked back when its
window ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial

import structlog

from gateway.custody import chains, codec, docket, proofs, store
from gateway.custody import recovery_store as kept
from gateway.custody.arbiter import Arbiter
from gateway.custody.blocks import BlockOpener
from gateway.custody.bodies import (
    Answer,
    CitizenAct,
    Genesis,
    InformationRequest,
    Offer,
    Revoke,
    Ruling,
    RulingAck,
)
from gateway.custody.coupling import Coupling, desk_of
from gateway.custody.model import (
    BecameCustodian,
    Chain,
    ChainKey,
    ContentArrived,
    CustodyEvent,
    Holding,
    LettersSaid,
    OfferMade,
    Verdict,
)
from gateway.custody.ports import ContentSource
from gateway.custody.recall import WINDOW_TIMER
from gateway.custody.recall import timer_key as window_key
from gateway.custody.reestablish import Fact, Known, Reestablished, reestablish
from gateway.custody.returned import Returned, block_of, fact_of, parsed, spread
from gateway.custody.rows import answered_row, invitation_of, made_of, made_row
from gateway.custody.steps import Say, Step
from gateway.custody.telling import FENCE_TIMER, timer_key
from gateway.custody.writer import StepWriter, keep
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Delivered, SignedBytes
from gateway.kernel.errors import LubiaoError, ResourceNotFound
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.trust.roster import Roster
from gateway.trust.statements import digest

# What others said that is applied without the content beside it; the rest waits for its repeat.
REPLAYED = (
    "Ruling",
    "RulingAck",
    "ChainClosed",
    "Answer",
    "Revoke",
    "Assumption",
    "CaseFiling",
    "UpdateAnswer",
)
CONTENT_MISSING = "content missing"  # an item for people: held without its text
WITH_CONTENT = ("Genesis", "Offer", "StandDown")  # likewise, when their content was returned

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
        self._content = text

    async def apply(
        self, uow: UnitOfWork, rows: list[kept.RecoveredRow], *, now: Instant
    ) -> tuple[list[kept.RecoveryItemRow], tuple[CustodyEvent, ...]]:
        """Re-establish what our authorities said about one ticket; the ticket is locked.

        Return what is for people, and what the rooms above must know.
        """
        items: list[kept.RecoveryItemRow] = []
        events: list[CustodyEvent] = []
        for authority in sorted({row.authority for row in rows}):
            mine = [row for row in rows if row.authority == authority]
            ticket = parsed(AuthorityCode(authority), mine)
            for key in ticket.chain_keys():
                doubts, happened = await self._chain(uow, ticket, key, now)
                items += doubts
                events += happened
            await self._followed(uow, ticket, now)
            events += _letters_said(ticket)
            number = TicketNumber(rows[0].ticket)
            if any(isinstance(e, ContentArrived) and e.key.authority == authority for e in events):
                for chain in (await chains.load(uow, ticket.authority, number)).chains:
                    self._writer.save(uow, replace(chain, content_due=False))
            await self._levels(uow, ticket, number, now)
            await self._end_older(uow, ticket.authority, number, now)
        return items, tuple(events)

    async def _followed(self, uow: UnitOfWork, ticket: Returned, now: Instant) -> None:
        """Know each chain at home that a city began: if both live here, both lost its report.

        Else nothing said in that chain could be taken, neither news nor a filing.
        """
        for found, fact in ticket.facts.items():
            key = ticket.keys[found]
            is_report = key.is_home and isinstance(fact.body, Genesis)
            if not is_report or not chains.may_begin(fact.issuer, key):
                continue
            if fact.issuer == key.authority or await chains.find_chain(uow, key) is not None:
                continue
            keep(uow, key.authority, fact.signed, statement_from_bytes(fact.signed.statement), now)
            chain = replace(chains.unknown_chain(key, fact.issuer), genesis_digest=found)
            self._writer.save(uow, chain.with_party(fact.issuer))

    def heard(self, row: kept.RecoveredRow) -> Delivered | None:
        """Return what another said to us, to be handled anew; None when it cannot be."""
        signed = SignedBytes(row.statement, row.key_id, row.signature)
        statement = statement_from_bytes(row.statement)
        authority = AuthorityCode(row.authority)
        is_own_order = row.issuer == row.authority and row.kind == "Ruling"
        is_for_us = authority in statement.audience and authority != NATION
        if row.issuer == row.authority and not (is_own_order and is_for_us):
            return None
        kinds = (*REPLAYED, *WITH_CONTENT) if row.block else REPLAYED
        if authority not in statement.audience or row.kind not in kinds:
            return None
        blocks = (block_of(row.block),) if row.block else ()
        return Delivered(
            target=authority, statement=statement, signed=signed, digest=row.digest, blocks=blocks
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
        for chain in (await chains.load(uow, authority, number)).chains:
            term = chain.term_epoch
            own = [offer for offer in made if offer.key == chain.key]
            newest = max((offer.epoch for offer in own), default=None)
            for old in own:
                if old.verdict is not Verdict.PENDING or term is None or newest is None:
                    continue
                is_older = term < old.epoch < newest and term.era == old.epoch.era == newest.era
                if is_older and old.epoch != chain.pending_epoch:
                    await self._ask_back(uow, chain, old, now)

    async def _ask_back(self, uow: UnitOfWork, chain: Chain, old: OfferMade, now: Instant) -> None:
        offer = await self._writer.signed(uow, chain.key.authority, old.statement_digest)
        body = Revoke(offer_digest=old.statement_digest, reason="restored", offer=offer)
        say = Say("Revoke", old.epoch, (old.target,), body)
        await self._writer.write(uow, Step(chain=chain, says=(say,)), now=now)

    # --- one chain ----------------------------------------------------------------------------

    async def _chain(
        self, uow: UnitOfWork, ticket: Returned, key: ChainKey, now: Instant
    ) -> tuple[list[kept.RecoveryItemRow], list[CustodyEvent]]:
        facts = list(ticket.of(key))
        said = [fact for fact in facts if fact.issuer == key.authority]
        known = await self._known(uow, key, facts)
        base = await chains.find_chain(uow, key) or self._first(key, said, known)
        state = reestablish(base, said, known)
        chain = state.chain
        for fact in _to_keep(known, said, ticket):
            keep(uow, key.authority, fact.signed, statement_from_bytes(fact.signed.statement), now)
        for fact in state.rows:
            if fact.kind not in ("TicketUpdate", "UpdateAnswer"):
                chain = self._writer.restate(
                    uow, chain, kind=fact.kind, epoch=fact.epoch, subject=fact.digest, now=now
                )
        self._rows(uow, key, state, now)
        if chain.is_caring and chain.desk is None:
            chain = replace(chain, desk=desk_of(key.authority))
        chain, events = self._with_content(ticket, chain, said, known)
        self._writer.save(uow, chain)
        doubts = [_item(key, what, detail, now) for what, detail in _doubts(state, chain)]
        return doubts, events

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

    async def _known(self, uow: UnitOfWork, key: ChainKey, facts: list[Fact]) -> Known:
        offers = {
            fact.digest: fact
            for fact in (*facts, *await self._invited(uow, key, facts))
            if isinstance(fact.body, Offer) and fact.issuer != key.authority
        }
        homeward = {found: self._homeward(key, fact) for found, fact in offers.items()}
        offers = {found: fact for found, fact in offers.items() if homeward[found] is not None}
        made = await uow.rows(store.OFFERS_MADE_OF_TICKET, key.authority, key.ticket)
        row = await uow.get(store.INVITATIONS, key.authority, key.ticket, key.scope, key.number)
        return Known(
            offers=offers,
            homeward={found: homeward[found] or 0 for found in offers},
            before={found: _records_of(fact) for found, fact in offers.items()},
            rulings=await self._named(uow, key, facts),
            made=tuple(offer for offer in map(made_of, made) if offer.key == key),
            invitation=invitation_of(row) if row else None,
            has_copy=await self._has_copy(uow, key),
            desk=desk_of(key.authority),
            followers=self._writer.joined(chains.followers_of(key)),
            accepted=frozenset(fact.epoch for fact in facts if _is_acceptance(fact, key)),
        )

    async def _named(
        self, uow: UnitOfWork, key: ChainKey, facts: list[Fact]
    ) -> dict[bytes, tuple[SignedBytes, Ruling]]:
        """Return the rulings that answers name: what was verified, here or before the backup.

        Never as it is attached: who passes a ruling on could put another signature to it.
        """
        here = {fact.digest: fact for fact in facts}
        rulings: dict[bytes, tuple[SignedBytes, Ruling]] = {}
        for named in {f.body.ruling_digest for f in facts if isinstance(f.body, RulingAck)}:
            fact = here.get(named)
            if fact is None:
                row = await uow.get(store.STATEMENTS, key.authority, named)
                if row is None:
                    continue
                fact = fact_of(SignedBytes(row.statement, row.key_id, row.signature), row.digest)
            is_arbiters = fact.issuer == self._roster().arbiter_of(key.scope)
            if is_arbiters and isinstance(fact.body, Ruling):
                rulings[named] = (fact.signed, fact.body)
        return rulings

    async def _invited(self, uow: UnitOfWork, key: ChainKey, facts: list[Fact]) -> list[Fact]:
        """Return the Offers of the backup that one of our own new answers names."""
        found = []
        for fact in facts:
            if not isinstance(fact.body, Answer):
                continue
            row = await uow.get(store.STATEMENTS, key.authority, fact.body.offer_digest)
            if row is not None and row.kind == "Offer":
                signed = SignedBytes(row.statement, row.key_id, row.signature)
                found.append(fact_of(signed, row.digest))
        return found

    def _homeward(self, key: ChainKey, offer: Fact) -> int | None:
        """Return how often the ticket came home before an Offer; None if it rests on nothing.

        Whoever signs an Offer of his own can attach what he likes to it.
        """
        attached = offer.body.attached if isinstance(offer.body, Offer) else ()
        try:
            return proofs.prove(attached, key, roster=self._roster).homeward
        except LubiaoError as error:
            _log.warning("recovery.offer_unproven", issuer=offer.issuer, reason=error.reason)
            return None

    async def _has_copy(self, uow: UnitOfWork, key: ChainKey) -> bool:
        if self._content is None:
            return False
        try:
            await self._content.header(uow, key.authority, key.ticket)
        except ResourceNotFound:
            return False
        return True

    # --- both levels --------------------------------------------------------------------------

    async def _levels(
        self, uow: UnitOfWork, ticket: Returned, number: TicketNumber, now: Instant
    ) -> None:
        """Bring the inner chain of a province to what its outer one implies (rules 1, 4, 5)."""
        held = await chains.load(uow, ticket.authority, number)
        outer, inner = held.outer, held.open_inner
        if self._coupling is None or outer is None or not chains.is_province(ticket.authority):
            return
        if outer.is_caring and inner is None:
            await self._coupling.open_inner(
                uow,
                authority=ticket.authority,
                ticket=number,
                uid=await self._uid(uow, ticket, outer.key),
                outer=outer,
                now=now,
            )
        elif outer.is_caring and outer.holding is not Holding.HELD:
            await self._arbiter.home_ruling(uow, ticket.authority, number, now)
        elif outer.holding is Holding.RELEASED and inner is not None:
            await self._coupling.close_inner(uow, outer, now=now)
        if not any(chain.pending_epoch for chain in held.chains):  # else it is told to the next one
            await self._coupling.flush_releases(uow, ticket.authority, number, now=now)

    async def _uid(self, uow: UnitOfWork, ticket: Returned, key: ChainKey) -> str:
        for fact in ticket.of(key):
            if isinstance(fact.body, Offer) and fact.body.header:
                return codec.header_uid(fact.body.header)
            if isinstance(fact.body, Ruling):
                return fact.body.ticket_uid
        return await docket.uid(uow, key)


# --- parts ------------------------------------------------------------------------------------


def _letters_said(ticket: Returned) -> Iterator[CustodyEvent]:
    """Tell which numbers of letters are used up: the other side takes each of them once."""
    for key in ticket.chain_keys():
        own = [fact for fact in ticket.of(key) if fact.issuer == ticket.authority]
        acts = [fact.body.number for fact in own if isinstance(fact.body, CitizenAct)]
        questions = [
            (fact.body.number, fact.body.ask_time)
            for fact in own
            if isinstance(fact.body, InformationRequest) and fact.body.asker == ticket.authority
        ]
        if acts or questions:
            yield LettersSaid(key, max(acts, default=0), tuple(sorted(questions)))


def _is_acceptance(fact: Fact, key: ChainKey) -> bool:
    is_accepted = isinstance(fact.body, Answer) and fact.body.verdict is Verdict.ACCEPTED
    return is_accepted and fact.issuer != key.authority and key.authority in fact.audience


def _records_of(offer: Fact) -> tuple[str, ...]:
    attached = offer.body.attached if isinstance(offer.body, Offer) else ()
    return tuple(digest(item.statement).hex() for item in proofs.unfolded(attached))


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


def _doubts(state: Reestablished, chain: Chain) -> list[tuple[str, str]]:
    found = list(state.doubts)
    if chain.content_due and chain.is_caring:
        found.append((CONTENT_MISSING, f"held at {chain.term_epoch} without its text"))
    lost = [made for made in state.made.values() if made.verdict is Verdict.PENDING]
    if chain.is_caring and chain.pending_epoch is None and _offered_last(lost, chain):
        found.append(("offer open", "an own offer of this term has no answer here"))
    return found


def _offered_last(lost: list[OfferMade], chain: Chain) -> bool:
    return any(chain.term_epoch is not None and made.epoch > chain.term_epoch for made in lost)


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
