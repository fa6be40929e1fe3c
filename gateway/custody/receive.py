"""Statements of others: checks 5 and 7–10, then the tables (docs/custody.md#checks).

Delivery has done checks 1–4, who may speak for whom, and the exact repeats (6). Here a statement is
held against its chain: (5) it belongs to the scope and to this authority; (7) the same identity with
another digest is fork evidence; (8) what is attached verifies and is applied first; (9) an offer, a
revoke or an update rests on a proven term of its signer; (10) the tables of `machine.py` decide.
A failed check raises, changes nothing, and becomes a refused receipt with evidence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from gateway.custody import bodies, chains, codec, machine, proofs, store
from gateway.custody.blocks import BlockOpener, stored_form
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
from gateway.custody.writer import StepWriter, keep
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered, Statement
from gateway.kernel.errors import ChainForked, StatementMalformed
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.time import Instant
from gateway.trust.roster import Roster

Events = tuple[CustodyEvent, ...]
# One statement per (issuer, kind, epoch) for ever; the others are identified by their own id.
IDENTITY_KINDS = frozenset({"Genesis", "Offer", "Answer", "Revoke", "Release"})


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
            bodies.TicketUpdate: self._progress.update,
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
        """
        statement = delivered.statement
        key = ChainKey(delivered.target, statement.ticket, statement.scope, statement.chain)
        body = codec.body_from_bytes(statement.kind, statement.body)
        for code in (statement.issuer, delivered.target):  # (5)
            if not chains.is_in_scope(code, statement.scope):
                raise StatementMalformed(
                    check=5, got=f"{code} in scope {statement.scope}", expected="a member"
                )
        await self._check_identity(uow, key, delivered)  # (7)
        return await self._takers[type(body)](uow, key, delivered, body, now)

    async def _check_identity(self, uow: UnitOfWork, key: ChainKey, delivered: Delivered) -> None:
        statement = delivered.statement
        if statement.kind not in IDENTITY_KINDS:
            return
        known = await uow.select(
            store.STATEMENT_IDENTITY,
            authority=key.authority,
            ticket=key.ticket,
            scope=key.scope,
            number=key.number,
            issuer=statement.issuer,
            kind=statement.kind,
            epoch=statement.epoch.key(),
        )
        if any(row.digest != delivered.digest for row in known):
            raise ChainForked(signer=statement.issuer, kind=statement.kind, epoch=statement.epoch)

    # --- one method a kind --------------------------------------------------------------------

    async def _genesis(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.Genesis,
        now: Instant,
    ) -> Events:
        """Take a city's report of a ticket of its own."""
        source = delivered.statement.issuer
        if key.authority != key.scope or body.origin != source or not body.header:
            raise StatementMalformed(
                check=10, got="a Genesis that is no report", expected="a city's report at home"
            )
        chain = await chains.find_chain(uow, key)
        if chain is not None:
            return ()
        opened = [
            self._opener.open(
                delivered.block(kind),
                key=key,
                epoch=delivered.statement.epoch,
                source=source,
                kind=kind,
                commitments=body.commitments,
            )
            for kind in ("case_block", "identity_block")
        ]
        absent = Chain(
            key=key,
            origin=source,
            genesis_digest=delivered.digest,
            holding=Holding.ABSENT,
            term_epoch=None,
            floor=None,
            custodian=source,
            contact=True,
        ).with_party(source)
        await self._writer.write(uow, machine.Step(chain=absent), now=now, received=delivered)
        arrived = ContentArrived(key, source, body.header, opened[0], followed=True)
        identity = (IdentityArrived(key, opened[1]),) if opened[1] else ()
        return (arrived, *identity)

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
        proof = proofs.prove(body.attached, key, roster=self._roster)
        events = await self._apply_attached(uow, key, delivered, proof, now)  # (8)
        proofs.check_offer(proof, issuer=statement.issuer, epoch=statement.epoch, body=body)  # (9)
        held = await chains.load(uow, key.authority, key.ticket)
        chain = held.find(key) or _absent(key, proof)
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
        await self._keep_attached(uow, key, proof, now)
        step = machine.receive_offer(chain, offered, now=now)
        await self._writer.write(
            uow,
            step,
            now=now,
            received=delivered,
            case_block=stored_form(block) if block else b"",
        )
        return (*events, *step.events)

    async def _apply_attached(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        proof: proofs.Proof,
        now: Instant,
    ) -> Events:
        """Apply attached answers to own pending offers as if they had been received alone."""
        events: list[CustodyEvent] = []
        chain = await chains.find_chain(uow, key)
        if chain is None or chain.pending_epoch is None:
            return ()
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
        return tuple(events)

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
        elif machine.must_file(after):
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
        proof = self._prove_offer(key, statement, body)  # (9)
        chain = await chains.find_chain(uow, key) or _absent(key, proof)
        step = machine.receive_revoke(
            chain,
            source=statement.issuer,
            epoch=statement.epoch,
            offer_digest=body.offer_digest,
            answered=await self._answered(uow, key, statement.epoch),
            invitation=await self._invitation(uow, key),
        )
        await self._writer.write(uow, step, now=now, received=delivered)
        return ()

    def _prove_offer(
        self, key: ChainKey, statement: Statement, body: bodies.Revoke
    ) -> proofs.Proof:
        """Check that the signer may ask this offer back: it made it, out of a proven term."""
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
        proof = proofs.prove(given.attached, key, roster=self._roster)
        proofs.check_offer(proof, issuer=statement.issuer, epoch=statement.epoch, body=given)
        return proof

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
            delivered.block("identity_block"),
            key=key,
            epoch=statement.epoch,
            source=statement.issuer,
            kind="identity_block",
            commitments=body.commitments,
        )
        await self._writer.write(uow, machine.Step(chain=chain), now=now, received=delivered)
        await self._coupling.contact_arrived(
            uow, key.authority, key.ticket, identity=identity or None, now=now
        )
        return (IdentityArrived(key, identity),) if identity else ()

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
        chain = await chains.find_chain(uow, key) or Chain(
            key=key,
            origin=source,
            genesis_digest=b"",
            holding=Holding.ABSENT,
            term_epoch=None,
            floor=None,
            custodian=source,
        )
        await self._writer.write(uow, machine.Step(chain=chain), now=now, received=delivered)
        target = AuthorityCode(body.proposed_target or source)
        return (CaseOpened(key, body.case, body.cause, target),)

    async def _closed(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.ChainClosed,
        now: Instant,
    ) -> Events:
        if delivered.statement.issuer != key.scope:
            raise StatementMalformed(
                check=10, got=f"ChainClosed of {delivered.statement.issuer}", expected=key.scope
            )
        chain = await chains.find_chain(uow, key)
        if chain is None or chain.closed:
            return ()
        step = machine.receive_closed(chain, await self._invitation(uow, key))
        await self._writer.write(uow, step, now=now, received=delivered)
        return step.events

    # --- parts --------------------------------------------------------------------------------

    async def _keep_attached(
        self, uow: UnitOfWork, key: ChainKey, proof: proofs.Proof, now: Instant
    ) -> None:
        for item in proof.attached:
            if await uow.get(store.STATEMENTS, key.authority, item.digest) is None:
                keep(uow, key.authority, item.signed, item.statement, item.digest, now)

    async def _answered(self, uow: UnitOfWork, key: ChainKey, epoch: Epoch) -> OfferAnswered | None:
        row = await uow.get(
            store.OFFERS_ANSWERED, key.authority, key.ticket, key.scope, key.number, epoch.key()
        )
        return store.answered_of(row) if row else None

    async def _made(self, uow: UnitOfWork, key: ChainKey, epoch: Epoch) -> OfferMade | None:
        row = await uow.get(
            store.OFFERS_MADE, key.authority, key.ticket, key.scope, key.number, epoch.key()
        )
        return store.made_of(row) if row else None

    async def _invitation(self, uow: UnitOfWork, key: ChainKey) -> Invitation | None:
        row = await uow.get(store.INVITATIONS, key.authority, key.ticket, key.scope, key.number)
        return store.invitation_of(row) if row else None


def _absent(key: ChainKey, proof: proofs.Proof) -> Chain:
    return Chain(
        key=key,
        origin=proof.origin,
        genesis_digest=proof.genesis_digest,
        holding=Holding.ABSENT,
        term_epoch=None,
        floor=None,
        custodian=proof.holder,
    ).with_party(*proof.path)
