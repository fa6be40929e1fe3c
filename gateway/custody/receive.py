"""Statements of others: checks 5 and 7–10, then the tables (docs/custody.md#checks).

Delivery has done checks 1–4, who may speak for whom, and the exact repeats (6). Here a statement is
held against its chain: (5) it belongs to the scope and to this authority; (7) the same identity
with another digest is fork evidence; (8) what is attached verifies and is applied first, rulings
before all; (9) an offer, a revoke or an update rests on a proven term of its signer; (10) the
tables of `machine.py` and `rulings.py` decide. A failed check raises, changes nothing, and becomes
a refused receipt with evidence. What came before that on which it rests raises ResourceNotFound and
comes again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.custody import bodies, chains, codec, evidence, guards, machine, proofs, store
from gateway.custody.arbiter import Arbiter
from gateway.custody.blocks import IDENTITY, BlockOpener, stored_form
from gateway.custody.closing import Closing
from gateway.custody.consent import Consent
from gateway.custody.coupling import Coupling
from gateway.custody.deciding import Deciding
from gateway.custody.filings import Filings
from gateway.custody.inquiring import Inquiring
from gateway.custody.letters import Letters
from gateway.custody.model import (
    Chain,
    ChainKey,
    CustodyEvent,
    Holding,
    IdentityArrived,
    Invitation,
    OfferAnswered,
    OfferMade,
    Verdict,
)
from gateway.custody.progress import Progress
from gateway.custody.reports import Reports
from gateway.custody.rows import answered_of, invitation_of, made_of
from gateway.custody.ruled import Ruled
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Delivered, SignedBytes, Statement
from gateway.kernel.codes import RulingKind
from gateway.kernel.errors import ChainForked, ResourceNotFound, StatementMalformed
from gateway.kernel.ids import Epoch
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.trust.roster import Roster

Events = tuple[CustodyEvent, ...]


class Receiver:
    """Takes verified statements for the authorities of one node."""

    def __init__(
        self,
        *,
        writer: StepWriter,
        coupling: Coupling,
        progress: Progress,
        opener: BlockOpener,
        letters: Letters,
        filings: Filings,
        ruled: Ruled,
        arbiter: Arbiter,
        reports: Reports,
        consent: Consent,
        closing: Closing,
        deciding: Deciding,
        inquiring: Inquiring,
        roster: Callable[[], Roster],
    ) -> None:
        """Make the receiver."""
        self._filings = filings
        self._ruled = ruled
        self._arbiter = arbiter
        self._consent = consent
        self.deciding = deciding
        self.inquiring = inquiring
        self._writer = writer
        self._coupling = coupling
        self._progress = progress
        self._opener = opener
        self._roster = roster
        self._takers: dict[type, Callable[..., Awaitable[Events]]] = {
            bodies.Genesis: reports.taken,
            bodies.Offer: self._offer,
            bodies.Answer: self._answer,
            bodies.Revoke: self._revoke,
            bodies.Release: self._release,
            bodies.CaseFiling: self._arbiter.filed,
            bodies.Ruling: self._ruling,
            bodies.RulingAck: self._ruling_ack,
            bodies.StandDown: self._ruled.stood_down,
            bodies.Assumption: consent.taken,
            bodies.ChainClosed: closing.taken,
            bodies.TicketUpdate: self._update,
            bodies.UpdateAnswer: self._update_answer,
            bodies.CitizenAct: letters.taken,
            bodies.InformationRequest: letters.taken,
            bodies.InformationAnswer: letters.taken,
            bodies.StandBy: deciding.taken,
            bodies.Inquiry: inquiring.taken,
            bodies.InquiryAnswer: inquiring.taken,
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        """The statement kinds that this version takes."""
        return codec.known_kinds()

    async def receive(
        self, uow: UnitOfWork, delivered: Delivered, now: Instant
    ) -> tuple[CustodyEvent, ...]:
        """Take one statement; the ticket is locked and the signature verified.

        Raises:
            RemoteProtocolError: a check failed; nothing changed.
            ResourceNotFound: it came before what it rests on; it will come again.
        """
        statement = delivered.statement
        key = ChainKey(delivered.target, statement.ticket, statement.scope, statement.chain)
        body = codec.body_from_bytes(statement.kind, statement.body)
        evidence.check_members(key, statement)  # (5)
        await evidence.check_identity(uow, key, statement, delivered.digest)  # (7)
        return await self._takers[type(body)](uow, key, delivered, body, now)

    # --- one method a kind --------------------------------------------------------------------

    async def _offer(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.Offer,
        now: Instant,
    ) -> Events:
        statement = delivered.statement
        if body.target != key.authority:
            raise StatementMalformed(check=5, got=body.target, expected=key.authority)
        proof, events = await self._learn(uow, key, delivered, body.attached, now)  # (8)
        proofs.check_offer(  # (9)
            proof, key, issuer=statement.issuer, epoch=statement.epoch, body=body
        )
        is_assumed = await self._consent.is_ours(uow, key, body, now)
        held = await chains.load(uow, key.authority, key.ticket)
        chain = _with_genesis(held.find(key), key, proof)
        closing = await chains.closing_of(uow, held, key)
        if held.is_closed_from(key):
            chain = replace(chain, closed=True)
        block = delivered.block("case_block")
        is_decidable = not delivered.has_lost("case_block")
        if is_decidable:
            # Refuse an offer whose content is not what it promises.
            self._opener.open_offered(block, key=key, statement=statement, body=body)
        offered = machine.ReceivedOffer(
            source=statement.issuer,
            epoch=statement.epoch,
            digest=delivered.digest,
            body=body,
            answered=await self._answered(uow, key, statement.epoch),
            invitation=await self._invitation(uow, key),
            consented=(is_assumed and bool(body.case)) or body.mandated,
            newest=(*await self._ruled.attached(uow, chain), *closing),
        )
        step = machine.receive_offer(chain, offered, now=now)
        if step.invitation is not None and not is_decidable:
            # Its text is lost with the disk: nobody could decide it, and its sender may have been
            # overruled and asks nothing back any more. It gets it back as if it had asked.
            step = machine.receive_revoke(
                chain,
                source=statement.issuer,
                epoch=statement.epoch,
                offer_digest=delivered.digest,
                answered=None,
                invitation=None,
            )
        await self._writer.write(
            uow,
            step,
            now=now,
            received=delivered,
            case_block=stored_form(block) if block else b"",
        )
        if step.invitation is not None and (is_assumed or body.mandated):
            row = await uow.get(store.INVITATIONS, key.authority, key.ticket, key.scope, key.number)
            if row is not None:
                return (*events, *await self._coupling.accept(uow, row, now=now))
        return (*events, *step.events)

    async def _learn(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        attached: tuple[SignedBytes, ...],
        now: Instant,
    ) -> tuple[proofs.Proof, Events]:
        """Verify what is attached, and apply it first as if received alone.

        Rulings and TAKENs come before answers to own pending offers: an answer below a ruling that
        is known releases nobody.
        """
        proof = proofs.prove(attached, key, roster=self._roster)
        await evidence.learn(uow, key, proof.attached, now, proof=proof)
        events = list(await self._ruled.learn(uow, key, proof.attached, now))
        chain = await chains.find_chain(uow, key)
        if chain is None or chain.pending_epoch is None:
            return proof, tuple(events)
        for item in proof.answers():
            body = item.body
            is_mine = item.statement.epoch == chain.pending_epoch
            if is_mine and isinstance(body, bodies.Answer):
                alone = Delivered(
                    target=delivered.target,
                    statement=item.statement,
                    signed=item.signed,
                    digest=item.digest,
                    blocks=(),
                )
                events.extend(await self._answer(uow, key, alone, body, now))
        return proof, tuple(events)

    async def _answer(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.Answer,
        now: Instant,
    ) -> Events:
        statement = delivered.statement
        first = await self._ruled.learn_signed(uow, key, body.attached, now)  # (8)
        chain = await chains.find_chain(uow, key)
        if chain is None:
            raise ChainForked(signer=statement.issuer, kind="Answer", epoch=statement.epoch)
        made = await self._made(uow, key, statement.epoch)
        step = machine.receive_answer(
            chain,
            made,
            source=statement.issuer,
            epoch=statement.epoch,
            digest=delivered.digest,
            body=body,
        )
        if body.verdict is Verdict.ACCEPTED and made is not None and chain.case:
            step = replace(step, chain=await self._without_settled_case(uow, step.chain, made))
        after = await self._writer.write(uow, step, now=now, received=delivered)
        events: Events = (*first, *step.events)
        if body.verdict is Verdict.ACCEPTED and step.records and statement.epoch.era < after.ruling:
            await self._ruled.forward(uow, after, statement.issuer, now)
        if body.verdict is Verdict.ACCEPTED and step.records and after.holding is Holding.RELEASED:
            events = (*events, *await self._coupling.released(uow, after, step, now=now))
        elif guards.must_file(after):
            _, opened = await self._filings.file_case(
                uow, after, cause="refusals", target=body.proposed_owner, now=now
            )
            events = (*events, opened)
        return events

    async def _without_settled_case(self, uow: UnitOfWork, chain: Chain, made: OfferMade) -> Chain:
        """Return the chain without the case that its accepted offer cited: consent ended it."""
        signed = await self._writer.signed(uow, chain.key.authority, made.statement_digest)
        offer = codec.body_from_bytes("Offer", statement_from_bytes(signed.statement).body)
        is_settled = isinstance(offer, bodies.Offer) and guards.is_consented(offer)
        return replace(chain, case="", filing_due=False) if is_settled else chain

    async def _revoke(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.Revoke,
        now: Instant,
    ) -> Events:
        statement = delivered.statement
        given = self._offer_asked_back(key, statement, body)
        proof, events = await self._learn(uow, key, delivered, given.attached, now)  # (8)
        proofs.check_offer(  # (9)
            proof, key, issuer=statement.issuer, epoch=statement.epoch, body=given
        )
        chain = _with_genesis(await chains.find_chain(uow, key), key, proof)
        step = machine.receive_revoke(
            chain,
            source=statement.issuer,
            epoch=statement.epoch,
            offer_digest=body.offer_digest,
            answered=await self._answered(uow, key, statement.epoch),
            invitation=await self._invitation(uow, key),
        )
        await self._writer.write(uow, step, now=now, received=delivered)
        return events

    def _offer_asked_back(
        self, key: ChainKey, statement: Statement, body: bodies.Revoke
    ) -> bodies.Offer:
        """Return the offer that a Revoke carries: the signer made it, to this authority."""
        if body.offer is None:
            raise StatementMalformed(check=9, got="no offer", expected="the offer it asks back")
        offer = proofs.open_attached(body.offer, key, roster=self._roster)
        given = offer.body
        sound = (
            isinstance(given, bodies.Offer)
            and offer.statement.issuer == statement.issuer
            and offer.statement.epoch == statement.epoch
            and offer.digest == body.offer_digest
            and given.target == key.authority
        )
        if not isinstance(given, bodies.Offer) or not sound:
            raise StatementMalformed(check=9, got="another offer", expected="the one asked back")
        return given

    async def _update(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.TicketUpdate,
        now: Instant,
    ) -> Events:
        proof, events = await self._learn(uow, key, delivered, body.attached, now)  # (8)
        told = await self._progress.update(uow, key, delivered, body, proof=proof, now=now)
        return (*events, *told)

    async def _release(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.Release,
        now: Instant,
    ) -> Events:
        statement = delivered.statement
        chain = await chains.find_chain(uow, key)
        answered = await self._answered(uow, key, statement.epoch)
        is_answered = (
            answered is not None
            and answered.verdict is Verdict.ACCEPTED
            and answered.answer_digest == body.acceptance_digest
            and answered.source == statement.issuer
        )
        is_ruled = not is_answered and await self._is_own_taken(uow, key, body.acceptance_digest)
        if chain is None or not (is_answered or is_ruled):
            raise StatementMalformed(
                check=10, got="a Release of another hand-over", expected="the accepted one"
            )
        if is_ruled and statement.issuer not in (*chain.parties, chains.begun_by(key)):
            # Its StandDown proves that it held the ticket; the two may overtake each other.
            raise ResourceNotFound(kind="StandDown", name=f"{key.ticket} of {statement.issuer}")
        is_early = is_ruled and chain.is_caring and chain.content_due
        if is_early and not self._opener.lives_here(statement.issuer):
            # Nobody could keep who calls before there is a copy; it comes again after the text.
            # Who was overruled meanwhile gets no text any more: it passes on what it must not keep.
            raise ResourceNotFound(kind="content", name=f"tickets/{key.ticket}")
        identity = self._opener.open(
            delivered.block(IDENTITY),
            key=key,
            epoch=statement.epoch,
            source=statement.issuer,
            kind=IDENTITY,
            commitments=body.commitments,
        )
        await self._writer.write(uow, machine.Step(chain=chain), now=now, received=delivered)
        if is_early:
            return ()  # of a neighbour on this node: whoever sends the text says it again
        if is_ruled and chain.contact and statement.issuer != chains.begun_by(key):
            return ()  # who was overruled says nothing over what is known of the caller
        keeps = await self._coupling.contact_arrived(
            uow, key.authority, key.ticket, identity=identity or None, now=now
        )
        return (IdentityArrived(key, identity),) if identity and keeps else ()

    async def _ruling(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.Ruling,
        now: Instant,
    ) -> Events:
        item = self._ruled.as_attached(delivered, body)
        await self._check_mandate(uow, key, item, body)
        return await self._ruled.apply(uow, key, item, now, received=delivered)

    async def _check_mandate(
        self, uow: UnitOfWork, key: ChainKey, item: proofs.Attached, body: bodies.Ruling
    ) -> None:
        """Judge the arbiter's mandate when its ruling first comes from itself, and never later.

        What comes attached was received by others before. A roster that is older than the mandate
        must not refuse the ruling for ever: it comes again.
        """
        arbiter = item.statement.issuer
        is_bare = body.kind is RulingKind.HOME and not body.case  # it decides nothing
        if is_bare or self._writer.has_mandate(arbiter):
            return
        if await uow.get(store.STATEMENTS, key.authority, item.digest) is None:
            raise ResourceNotFound(kind="mandate", name=f"authorities/{arbiter}")

    async def _ruling_ack(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.RulingAck,
        now: Instant,
    ) -> Events:
        """Take an answer to a ruling: what it carries counts here, what it says at the arbiter."""
        events = await self._ruled.learn_signed(uow, key, body.attached, now)  # (8)
        chain = await chains.find_chain(uow, key)
        if chain is None:
            return events  # it carries no ruling, so it says nothing to one that knows none
        is_own = delivered.statement.issuer == key.authority
        is_repeat = await self._has_acknowledged(uow, key, delivered, body)
        step = machine.Step(chain=chain, records=not (is_own or is_repeat))
        await self._writer.write(uow, step, now=now, received=delivered)
        if body.role is bodies.Role.TAKEN:
            item = self._ruled.as_attached(delivered, body)
            events = (*events, *await self._ruled.taken(uow, key, item, now))
        if key.authority != key.scope:
            return events
        told = await self._arbiter.acknowledged(uow, key, delivered, body, now)
        return (*events, *told)

    async def _has_acknowledged(
        self, uow: UnitOfWork, key: ChainKey, delivered: Delivered, body: bodies.RulingAck
    ) -> bool:
        """Tell whether this very answer came before: between two hosted here no inbox tells."""
        if key.authority == key.scope:
            place = (key.scope, key.ticket, key.number, body.number)
            given = await uow.get(store.RULING_ANSWERS, *place, delivered.statement.issuer)
            return given is not None and given.answer_digest == delivered.digest
        if body.role is bodies.Role.TAKEN:
            return False  # it may be kept because it came attached; alone it comes once
        return await uow.get(store.STATEMENTS, key.authority, delivered.digest) is not None

    async def _update_answer(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.UpdateAnswer,
        now: Instant,
    ) -> Events:
        events = await self._ruled.learn_signed(uow, key, body.attached, now)  # (8)
        return (*events, *await self._progress.answered(uow, key, delivered, body, now))

    # --- parts --------------------------------------------------------------------------------

    async def _is_own_taken(self, uow: UnitOfWork, key: ChainKey, digest: bytes) -> bool:
        """Tell whether a digest is that of our TAKEN of a ruling on this chain."""
        row = await uow.get(store.STATEMENTS, key.authority, digest)
        return (
            row is not None
            and row.issuer == key.authority
            and (row.ticket, row.scope, row.number) == (key.ticket, key.scope, key.number)
            and evidence.is_taken(row)
        )

    async def _answered(self, uow: UnitOfWork, key: ChainKey, epoch: Epoch) -> OfferAnswered | None:
        row = await uow.get(
            store.OFFERS_ANSWERED, key.authority, key.ticket, key.scope, key.number, epoch.key()
        )
        return answered_of(row) if row else None

    async def _made(self, uow: UnitOfWork, key: ChainKey, epoch: Epoch) -> OfferMade | None:
        row = await uow.get(
            store.OFFERS_MADE, key.authority, key.ticket, key.scope, key.number, epoch.key()
        )
        return made_of(row) if row else None

    async def _invitation(self, uow: UnitOfWork, key: ChainKey) -> Invitation | None:
        row = await uow.get(store.INVITATIONS, key.authority, key.ticket, key.scope, key.number)
        return invitation_of(row) if row else None


def _with_genesis(chain: Chain | None, key: ChainKey, proof: proofs.Proof) -> Chain:
    """Return the chain with the Genesis that is proven, absent if it was not known here."""
    if chain is None:
        chain = chains.unknown_chain(key, proof.holder).with_party(*proof.path)
    if chain.genesis_digest:
        return chain
    return replace(chain, origin=proof.origin, genesis_digest=proof.genesis_digest)
