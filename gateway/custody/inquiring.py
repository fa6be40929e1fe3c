"""Asking who offers a ticket, and answering (docs/custody.md#inquiries).

The steps are those of `inquiries.py`. Here stands what they need of the disk, and the sealed text:
what was received is kept as it came, sealed to this authority, and opened only for who reads it.
"""

from __future__ import annotations

from gateway.custody import bodies, chains, inquiries, letter_codec, machine, store
from gateway.custody.blocks import BlockOpener, stored_form
from gateway.custody.model import (
    INQUIRIES_PER_OFFER_MAX,
    ChainKey,
    CustodyEvent,
    Invitation,
    OfferMade,
)
from gateway.custody.rows import invitation_of, made_of
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Delivered
from gateway.kernel.errors import (
    CommitmentMismatch,
    InvariantViolated,
    ResourceNotFound,
    StatementMalformed,
)
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass

BLOCK = "inquiry_block"


@dataclass(frozen=True, slots=True)
class Words:
    """The newest question about an offer and its answer, as far as they are known here."""

    question: str
    answer: str = ""


class Inquiring:
    """Asks, answers and reads for the authorities of one node."""

    def __init__(self, *, writer: StepWriter, opener: BlockOpener) -> None:
        """Make it."""
        self._writer = writer
        self._opener = opener

    async def ask(self, uow: UnitOfWork, key: ChainKey, *, question: str, now: Instant) -> None:
        """Ask who offers a ticket to us; the ticket is locked.

        Raises:
            ResourceNotFound: no invitation is open.
            TransitionNotAllowed: there were enough.
        """
        row, chain = await self._invited(uow, key), await chains.find_chain(uow, key)
        if row is None or chain is None:
            raise ResourceNotFound(kind="invitation", name=f"tickets/{key.ticket}")
        invitation = invitation_of(row)
        said = await chains.said(
            uow, key, issuer=key.authority, kind="Inquiry", epoch=invitation.epoch
        )
        content = self._writer.content(BLOCK, letter_codec.inquiry_to_bytes(question))
        step = inquiries.ask(
            chain, invitation, said=len(said), promise=content.commitment(), now=now
        )
        await self._writer.write(uow, step, now=now, contents=(content,), case_block=row.case_block)

    async def answer(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        epoch: Epoch,
        *,
        number: int,
        answer: str,
        now: Instant,
    ) -> None:
        """Answer question `number` about an offer of ours; the ticket is locked.

        Raises:
            ResourceNotFound: no such offer was made.
            TransitionNotAllowed: that is not what waits, or the offer does not any more.
        """
        made, chain = await self._made(uow, key, epoch), await chains.find_chain(uow, key)
        if made is None or chain is None:
            raise ResourceNotFound(kind="transfer", name=f"tickets/{key.ticket}")
        asked = await self._opened(uow, key, made) if made.sealed else Words("-")
        block = letter_codec.inquiry_to_bytes(asked.question, answer)
        content = self._writer.content(BLOCK, block)
        step = inquiries.answer(chain, made, number, promise=content.commitment(), now=now)
        await self._writer.write(uow, step, now=now, contents=(content,))

    async def read(self, uow: UnitOfWork, key: ChainKey, epoch: Epoch) -> Words:
        """Return the newest question about an offer, and its answer, while the offer waits.

        Raises:
            ResourceNotFound: none came here.
        """
        row, made = await self._invited(uow, key), await self._made(uow, key, epoch)
        chain = await chains.find_chain(uow, key)
        is_waiting = chain is not None and made is not None and inquiries.is_open(chain, made)
        if made is not None and made.sealed and is_waiting:
            return await self._opened(uow, key, made)
        if row is not None and row.epoch == epoch.key() and row.inquiry:
            return await self._opened(uow, key, invitation_of(row))
        raise ResourceNotFound(kind="inquiry", name=f"tickets/{key.ticket}")

    async def taken(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.Inquiry | bodies.InquiryAnswer,
        now: Instant,
    ) -> tuple[CustodyEvent, ...]:
        """Take a question about an offer of ours, or the answer to one that we asked.

        Raises:
            StatementMalformed: it is about no such offer, one too many, or a question that tells
                an answer (10).
            CommitmentMismatch: its text is not what it promises.
            ResourceNotFound: the chain is not known here.
        """
        statement = delivered.statement
        chain = await chains.find_chain(uow, key)
        if chain is None:
            raise ResourceNotFound(kind="chain", name=f"{key.ticket} {key.scope}-{key.number}")
        before = await chains.said(
            uow, key, issuer=statement.issuer, kind=statement.kind, epoch=statement.epoch
        )
        if len(before) >= INQUIRIES_PER_OFFER_MAX:
            raise StatementMalformed(
                check=10,
                got=f"{statement.kind} number {len(before) + 1} of {statement.issuer}",
                expected=f"at most {INQUIRIES_PER_OFFER_MAX} about an offer",
            )
        block = delivered.block(BLOCK)
        plain = self._opener.open(
            block,
            key=key,
            epoch=statement.epoch,
            source=statement.issuer,
            kind=BLOCK,
            commitments=body.commitments,
        )
        _, answered = letter_codec.inquiry_from_bytes(plain)
        if bool(answered) is isinstance(body, bodies.Inquiry):
            raise StatementMalformed(
                check=10,
                got=f"{statement.kind} {'with' if answered else 'without'} an answer",
                expected="a question alone, or an answer with its question",
            )
        sealed = stored_form(block) if block is not None else b""
        given = inquiries.Received(statement.issuer, statement.epoch, body, sealed)
        row = await self._invited(uow, key)
        if isinstance(body, bodies.Inquiry):
            made = await self._made(uow, key, statement.epoch)
            step: machine.Step = inquiries.receive_inquiry(chain, made, given)
        else:
            invitation = invitation_of(row) if row is not None else None
            step = inquiries.receive_answer(chain, invitation, given)
        case_block = row.case_block if row is not None else b""
        await self._writer.write(uow, step, now=now, received=delivered, case_block=case_block)
        return step.events

    # --- parts --------------------------------------------------------------------------------

    async def _invited(self, uow: UnitOfWork, key: ChainKey) -> store.InvitationRow | None:
        return await uow.get(store.INVITATIONS, key.authority, key.ticket, key.scope, key.number)

    async def _made(self, uow: UnitOfWork, key: ChainKey, epoch: Epoch) -> OfferMade | None:
        row = await uow.get(
            store.OFFERS_MADE, key.authority, key.ticket, key.scope, key.number, epoch.key()
        )
        return made_of(row) if row is not None else None

    async def _opened(self, uow: UnitOfWork, key: ChainKey, kept: OfferMade | Invitation) -> Words:
        """Open what is kept sealed; its statement holds the commitment, and is kept too."""
        is_ours = isinstance(kept, OfferMade)
        source = kept.target if isinstance(kept, OfferMade) else kept.source
        kind = "Inquiry" if is_ours else "InquiryAnswer"
        for row in await chains.said(uow, key, issuer=source, kind=kind, epoch=kept.epoch):
            body = letter_codec.inquiry_of(row.kind, statement_from_bytes(row.statement).body)
            if body.number != kept.asked:
                continue
            try:
                plain = self._opener.open_kept(
                    kept.sealed,
                    key=key,
                    epoch=kept.epoch,
                    source=AuthorityCode(source),
                    kind=BLOCK,
                    commitments=body.commitments,
                )
            except CommitmentMismatch:
                continue  # that number was said again, in other words
            return Words(*letter_codec.inquiry_from_bytes(plain))
        raise InvariantViolated(
            invariant="what is kept sealed has its statement", got=f"{kind} of {key.ticket}"
        )
