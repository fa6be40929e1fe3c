"""Recall: asking for an offer back, by a person or when its window is over.

A Revoke is a question; the target's answer of that epoch, whatever it is, decides. A clock may ask
once; when a second window passes in silence a case is filed (docs/custody.md#silence). Nothing here
moves the ticket.
"""

from __future__ import annotations

from typing import Protocol

from gateway.custody import bodies, chains, machine, store
from gateway.custody.filings import Filings
from gateway.custody.model import Chain, ChainKey, CustodyEvent, Holding, OfferMade, Verdict
from gateway.custody.rows import made_of
from gateway.custody.stand_by import SILENCE_MIN
from gateway.custody.writer import StepWriter
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import SignedBytes
from gateway.kernel.errors import InvariantViolated, ResourceNotFound, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import replace

WINDOW_TIMER = "custody.window"


class React(Protocol):
    """Takes what happened without a caller who could: the room above that routes tickets."""

    async def __call__(
        self, uow: UnitOfWork, events: tuple[CustodyEvent, ...], *, now: Instant
    ) -> None:
        """React to events in their order."""
        ...


class Recall:
    """Takes offers back; the `database.TimerHandler` of their windows."""

    def __init__(self, *, writer: StepWriter, filings: Filings) -> None:
        """Make it; the composition root sets `react`, which is told what a timer did."""
        self._writer = writer
        self._filings = filings
        self.react: React = nobody_routes

    async def revoke(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        now: Instant,
        epoch: Epoch | None = None,
        key: ChainKey | None = None,
        reason: str = "recalled",
    ) -> None:
        """Ask for the pending offer back; the other side's answer decides.

        Asked again, the same bytes go out again: another Revoke of that epoch would be a fork.

        Raises:
            TransitionNotAllowed: nothing is pending, or another offer is.
        """
        held = await chains.load(uow, authority, ticket)
        for chain in held.chains:
            if chain.pending_epoch is None or epoch not in (None, chain.pending_epoch):
                continue
            if key not in (None, chain.key):
                continue
            made = await self._made(uow, chain, chain.pending_epoch)
            if chain.holding is Holding.REVOKING:
                await self._revoke_again(uow, chain, made, now=now)
                return
            step = machine.revoke(chain, made, reason=reason)
            offer = await self._kept(uow, authority, made.statement_digest)
            signed = SignedBytes(offer.statement, offer.key_id, offer.signature)
            await self._writer.write(uow, _with_offer(step, signed), now=now)
            second = max(made.window_end - offer.recorded, SILENCE_MIN)
            schedule(uow, kind=WINDOW_TIMER, key=timer_key(chain.key, made.epoch), due=now + second)
            return
        raise TransitionNotAllowed(
            name=f"tickets/{ticket}",
            state="without a pending offer",
            event="revoke",
            allowed="list transfers with `lubiao custody show`",
        )

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the locks that the timer of an offer needs (`database.TimerHandler`)."""
        return (f"ticket/{key.split('/')[1]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """End a window: what a clock may do (docs/custody.md#silence).

        A silent peer is asked for the offer back; one that is silent for a second window makes a
        case. Neither moves the ticket.
        """
        authority, ticket, scope, number, era, count = key.split("/")
        epoch = Epoch(int(era), int(count))
        place = ChainKey(
            AuthorityCode(authority), TicketNumber(ticket), AuthorityCode(scope), int(number)
        )
        chain = await chains.find_chain(uow, place)
        if chain is None or chain.pending_epoch != epoch:
            return
        if chain.holding is Holding.OFFERED:
            await self.revoke(
                uow,
                authority=place.authority,
                ticket=place.ticket,
                now=now,
                epoch=epoch,
                key=place,
                reason="window over",
            )
        elif chain.holding is Holding.REVOKING and not chain.case:
            made = await self._made(uow, chain, epoch)
            _, opened = await self._filings.file_case(
                uow, chain, cause="silence", target=made.target, now=now
            )
            await self.react(uow, (opened,), now=now)

    # --- parts --------------------------------------------------------------------------------

    async def _made(self, uow: UnitOfWork, chain: Chain, epoch: Epoch) -> OfferMade:
        key = chain.key
        row = await uow.get(
            store.OFFERS_MADE, key.authority, key.ticket, key.scope, key.number, epoch.key()
        )
        if row is None or row.verdict != Verdict.PENDING.value:
            raise ResourceNotFound(kind="transfer", name=f"tickets/{key.ticket}")
        return made_of(row)

    async def _revoke_again(
        self, uow: UnitOfWork, chain: Chain, made: OfferMade, *, now: Instant
    ) -> None:
        key = chain.key
        said = await chains.said(uow, key, issuer=key.authority, kind="Revoke", epoch=made.epoch)
        await self._writer.resend(uow, key, said[0].digest, to=made.target, now=now)

    async def _kept(
        self, uow: UnitOfWork, authority: AuthorityCode, statement_digest: bytes
    ) -> store.StatementRow:
        row = await uow.get(store.STATEMENTS, authority, statement_digest)
        if row is None:
            raise InvariantViolated(
                invariant="what was said is kept", got=f"{statement_digest.hex()} is lost"
            )
        return row


def timer_key(key: ChainKey, epoch: Epoch) -> str:
    """Return the key of the timer of an offer."""
    parts = (key.authority, key.ticket, key.scope, key.number, epoch.era, epoch.count)
    return "/".join(str(part) for part in parts)


async def nobody_routes(uow: UnitOfWork, events: tuple[CustodyEvent, ...], *, now: Instant) -> None:
    """Be told and do nothing: nobody routes tickets on this node."""


def _with_offer(step: machine.Step, offer: SignedBytes) -> machine.Step:
    """Return the step whose Revoke carries the offer that it asks back."""
    says = tuple(
        replace(say, body=replace(say.body, offer=offer))
        if isinstance(say.body, bodies.Revoke)
        else say
        for say in step.says
    )
    return replace(step, says=says)
