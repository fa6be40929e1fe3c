"""While a person decides an invitation: saying StandBy, and hearing it (docs/custody.md#stand-by).

The steps are those of `stand_by.py`. Here stands what they need of the disk: the signed offer,
which bounds the window; what was said before, for it is said once; and the timer of the window.
"""

from __future__ import annotations

from gateway.custody import bodies, chains, stand_by, store
from gateway.custody.model import ChainKey, CustodyEvent
from gateway.custody.recall import WINDOW_TIMER, timer_key
from gateway.custody.rows import invitation_of, made_of
from gateway.custody.writer import StepWriter
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Delivered
from gateway.kernel.errors import FieldInvalid, ResourceNotFound, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.time import Instant

KIND = "StandBy"


class Deciding:
    """Says and takes StandBy for the authorities of one node."""

    def __init__(self, *, writer: StepWriter) -> None:
        """Make it."""
        self._writer = writer

    async def stand_by(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        *,
        decider: str,
        until: Instant | None,
        now: Instant,
    ) -> Instant:
        """Tell who offered that a person is deciding; return until when that may take.

        Args:
            uow: the open unit; the ticket is locked.
            key: the chain of the open invitation.
            decider: the role of the person who decides.
            until: when it will be decided; None, or a later time than the bound, means the bound.
            now: business time.

        Raises:
            ResourceNotFound: no invitation is open.
            FieldInvalid: `until` is over.
            TransitionNotAllowed: it was said before, or the window is over.
        """
        row = await uow.get(store.INVITATIONS, key.authority, key.ticket, key.scope, key.number)
        chain = await chains.find_chain(uow, key)
        if row is None or chain is None:
            raise ResourceNotFound(kind="invitation", name=f"tickets/{key.ticket}")
        invitation = invitation_of(row)
        was_said = await self._said(uow, key, key.authority, invitation.epoch)
        if was_said or now > invitation.window_end:
            raise TransitionNotAllowed(
                name=f"tickets/{key.ticket}",
                state="stood by already" if was_said else "past the window of its offer",
                event="stand by",
                allowed="accept, decline",
            )
        latest = await self._latest(
            uow, key.authority, invitation.offer_digest, invitation.window_end
        )
        if until is not None and until <= now:
            raise FieldInvalid(field="until_time", got=until.isoformat(), expected="a time to come")
        step = stand_by.stand_by(
            chain, invitation, until=until or latest, decider=decider, latest=latest
        )
        await self._writer.write(uow, step, now=now, case_block=row.case_block)
        return min(until or latest, latest)

    async def taken(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.StandBy,
        now: Instant,
    ) -> tuple[CustodyEvent, ...]:
        """Hear that a person decides an offer of ours; the window of that offer may move.

        Raises:
            StatementMalformed: there is no such offer, or it was said in other words before.
        """
        statement = delivered.statement
        chain = await chains.find_chain(uow, key)
        if chain is None:
            raise ResourceNotFound(kind="chain", name=f"{key.ticket} {key.scope}-{key.number}")
        row = await uow.get(
            store.OFFERS_MADE,
            key.authority,
            key.ticket,
            key.scope,
            key.number,
            statement.epoch.key(),
        )
        made = made_of(row) if row is not None else None
        latest = now
        if made is not None:
            digest, window_end = made.statement_digest, made.window_end
            latest = await self._latest(uow, key.authority, digest, window_end)
        given = stand_by.ReceivedStandBy(
            source=statement.issuer,
            epoch=statement.epoch,
            digest=delivered.digest,
            body=body,
            before=await self._said(uow, key, statement.issuer, statement.epoch),
            latest=latest,
        )
        step = stand_by.receive_stand_by(chain, made, given, now=now)
        await self._writer.write(uow, step, now=now, received=delivered)
        for waits in step.made:
            due = stand_by.moved_end(waits)
            schedule(uow, kind=WINDOW_TIMER, key=timer_key(key, waits.epoch), due=due)
        return step.events

    async def _said(
        self, uow: UnitOfWork, key: ChainKey, issuer: AuthorityCode, epoch: Epoch
    ) -> tuple[bytes, ...]:
        """Return the digests of what an authority said about an offer before, as kept here."""
        rows = await chains.said(uow, key, issuer=issuer, kind=KIND, epoch=epoch)
        return tuple(row.digest for row in rows)

    async def _latest(
        self, uow: UnitOfWork, authority: AuthorityCode, offer: bytes, window_end: Instant
    ) -> Instant:
        """Return the bound that the signed offer sets."""
        signed = await self._writer.signed(uow, authority, offer)
        offered = statement_from_bytes(signed.statement).issued
        return stand_by.latest_end(offered=offered, window_end=window_end)
