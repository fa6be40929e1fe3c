"""Statements of others: checks 5 and 7–10, then the tables (docs/custody.md#checks).

Delivery has done checks 1–4, who may speak for whom, and the exact repeats (6). Here a statement is
held against its chain: (5) it belongs to the scope and to this authority; (7) the same identity
with another digest is fork evidence; (8) what is attached verifies and is applied first; (9) an
offer, a revoke or an update rests on a proven term of its signer; (10) the tables of `machine.py`
decide. A failed check raises, changes nothing, and becomes a refused receipt with evidence. What
came before that on which it rests raises ResourceNotFound and comes again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from gateway.custody import bodies, chains, codec, evidence, guards, machine, proofs, store
from gateway.custody.blocks import IDENTITY, BlockOpener, stored_form
from gateway.custody.coupling import Coupling
from gateway.custody.model import (
    CaseOpened,
    Chain,
    ChainKey,
    ContentArrived,
    CustodyEvent,
    Holding,
    IdentityArrived,
    Invitation,
    OfferAnswered,
    OfferMade,
    Verdict,
)
from gateway.custody.progress import Progress
from gateway.custody.rows import answered_of, invitation_of, made_of
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered, SignedBytes, Statement
from gateway.kernel.errors import ChainForked, ResourceNotFound, StatementMalformed
from gateway.kernel.ids import GENESIS, AuthorityCode, Epoch
from gateway.kernel.time import Instant
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
        roster: Callable[[], Roster],
    ) -> None:
        """Make the receiver."""
        self._writer = writer
        self._coupling = coupling
        self._progress = progress
        self._opener = opener
        self._roster = roster
        self._takers: dict[type, Callable[..., Awaitable[Events]]] = {
            bodies.Genesis: self._genesis,
            bodies.Offer: self._offer,
            bodies.Answer: self._answer,
            bodies.Revoke: self._revoke,
            bodies.Release: self._release,
            bodies.CaseFiling: self._filing,
            bodies.ChainClosed: self._closed,
            bodies.TicketUpdate: self._update,
            bodies.UpdateAnswer: self._progress.answered,
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
        is_to_arbiter = isinstance(body, bodies.CaseFiling) and key.authority == key.scope
        members = (statement.issuer,) if is_to_arbiter else (statement.issuer, key.authority)
        for code in members:  # (5)
            if not chains.is_in_scope(code, key.scope):
                raise StatementMalformed(
                    check=5, got=f"{code} in scope {key.scope}", expected="a member"
                )
        await evidence.check_identity(uow, key, statement, delivered.digest)  # (7)
        return await self._takers[type(body)](uow, key, delivered, body, now)

    # --- one method a kind --------------------------------------------------------------------

    async def _genesis(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.Genesis,
        now: Instant,
    ) -> Events:
        """Take a city's report of a ticket of its own, also when its offer came first."""
        statement = delivered.statement
        source = statement.issuer
        is_report = (
            key.is_home
            and body.origin == source
            and statement.epoch == GENESIS
            and bool(body.header)
            and chains.may_begin(source, key)
            and codec.header_uid(body.header) == body.ticket_uid
        )
        if not is_report:
            raise StatementMalformed(
                check=10, got="a Genesis that is no report", expected="a city's report at home"
            )
        case_block, identity = (
            self._opener.open(
                delivered.block(kind),
                key=key,
                epoch=statement.epoch,
                source=source,
                kind=kind,
                commitments=body.commitments,
            )
            for kind in ("case_block", IDENTITY)
        )
        chain = await chains.find_chain(uow, key) or _unknown(key, source)
        if chain.genesis_digest not in (b"", delivered.digest):
            raise ChainForked(signer=source, kind="Genesis", epoch=GENESIS)
        known = replace(chain, origin=source, genesis_digest=delivered.digest).with_party(source)
        await self._writer.write(uow, machine.Step(chain=known), now=now, received=delivered)
        keeps = await self._coupling.contact_arrived(
            uow, key.authority, key.ticket, identity=identity or None, now=now
        )
        arrived = ContentArrived(key, source, body.header, case_block, followed=True)
        return (arrived, IdentityArrived(key, identity)) if identity and keeps else (arrived,)

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
        proofs.check_offer(proof, issuer=statement.issuer, epoch=statement.epoch, body=body)  # (9)
        held = await chains.load(uow, key.authority, key.ticket)
        chain = _with_genesis(held.find(key), key, proof)
        if held.is_closed_from(key):
            chain = replace(chain, closed=True)
        block = delivered.block("case_block")
        self._opener.open(  # refuse an offer whose content is not what it promises
            block,
            key=key,
            epoch=statement.epoch,
            source=statement.issuer,
            kind="case_block",
            commitments=body.commitments,
        )
        offered = machine.ReceivedOffer(
            source=statement.issuer,
            epoch=statement.epoch,
            digest=delivered.digest,
            body=body,
            answered=await self._answered(uow, key, statement.epoch),
            invitation=await self._invitation(uow, key),
        )
        step = machine.receive_offer(chain, offered, now=now)
        await self._writer.write(
            uow,
            step,
            now=now,
            received=delivered,
            case_block=stored_form(block) if block else b"",
        )
        return (*events, *step.events)

    async def _learn(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        attached: tuple[SignedBytes, ...],
        now: Instant,
    ) -> tuple[proofs.Proof, Events]:
        """Verify what is attached, and apply answers to own pending offers as if received alone."""
        proof = proofs.prove(attached, key, roster=self._roster)
        await evidence.learn(uow, key, proof, now)
        events: list[CustodyEvent] = []
        chain = await chains.find_chain(uow, key)
        if chain is None or chain.pending_epoch is None:
            return proof, ()
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
        after = await self._writer.write(uow, step, now=now, received=delivered)
        events: Events = step.events
        if body.verdict is Verdict.ACCEPTED and step.records and after.holding is Holding.RELEASED:
            await self._coupling.released(uow, after, step, now=now)
        elif guards.must_file(after):
            _, opened = await self._coupling.file_case(
                uow, after, cause="refusals", target=body.proposed_owner, now=now
            )
            events = (*events, opened)
        return events

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
        proofs.check_offer(proof, issuer=statement.issuer, epoch=statement.epoch, body=given)  # (9)
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
        if (
            chain is None
            or answered is None
            or answered.verdict is not Verdict.ACCEPTED
            or answered.answer_digest != body.acceptance_digest
            or answered.source != statement.issuer
        ):
            raise StatementMalformed(
                check=10, got="a Release of another hand-over", expected="the accepted one"
            )
        identity = self._opener.open(
            delivered.block(IDENTITY),
            key=key,
            epoch=statement.epoch,
            source=statement.issuer,
            kind=IDENTITY,
            commitments=body.commitments,
        )
        await self._writer.write(uow, machine.Step(chain=chain), now=now, received=delivered)
        keeps = await self._coupling.contact_arrived(
            uow, key.authority, key.ticket, identity=identity or None, now=now
        )
        return (IdentityArrived(key, identity),) if identity and keeps else ()

    async def _filing(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.CaseFiling,
        now: Instant,
    ) -> Events:
        """Keep a filing at the arbiter of the scope; a person rules in a later chapter."""
        source = delivered.statement.issuer
        if key.authority != self._roster().arbiter_of(key.scope):
            raise StatementMalformed(
                check=10, got=f"a filing at {key.authority}", expected=f"arbiter of {key.scope}"
            )
        chain = await chains.find_chain(uow, key)
        if chain is None and not key.is_outer:
            # A province follows every inner chain, so it will know this one, if there is one.
            raise ResourceNotFound(kind="chain", name=f"{key.ticket} {key.scope}-{key.number}")
        known = chain or _unknown(key, source)
        await self._writer.write(uow, machine.Step(chain=known), now=now, received=delivered)
        target = AuthorityCode(body.proposed_target or source)
        return (CaseOpened(key, body.case, body.cause, target),)

    async def _closed(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        _body: bodies.ChainClosed,
        now: Instant,
    ) -> Events:
        if delivered.statement.issuer != key.scope:
            raise StatementMalformed(
                check=10, got=f"ChainClosed of {delivered.statement.issuer}", expected=key.scope
            )
        # Who knows a chain closed cares in no chain up to it and takes nothing there (rule 5).
        held = await chains.load(uow, key.authority, key.ticket)
        unknown = () if held.find(key) else (_unknown(key, key.scope),)
        for chain in (*held.chains, *unknown):
            is_earlier = chain.key.scope == key.scope and chain.key.number <= key.number
            if is_earlier and not chain.closed:
                step = machine.receive_closed(chain, await self._invitation(uow, chain.key))
                is_this = delivered if chain.key == key else None
                await self._writer.write(uow, step, now=now, received=is_this)
        return ()

    # --- parts --------------------------------------------------------------------------------

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
        chain = _unknown(key, proof.holder).with_party(*proof.path)
    if chain.genesis_digest:
        return chain
    return replace(chain, origin=proof.origin, genesis_digest=proof.genesis_digest)


def _unknown(key: ChainKey, custodian: AuthorityCode) -> Chain:
    """Return the row of a chain in which this authority has no part yet."""
    return Chain(
        key=key,
        origin=custodian,
        genesis_digest=b"",
        holding=Holding.ABSENT,
        term_epoch=None,
        floor=None,
        custodian=custodian,
    )
