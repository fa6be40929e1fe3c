"""Telling a ruling: to whom it goes first, who later, and the fence (docs/custody.md#rulings).

Each answer names a successor whom the arbiter did not know, who gets the ruling too; so the arbiter
walks the hand-overs that were made meanwhile. Whoever answers is told the newest ruling, and TAKEN
once it is known. If somebody told is silent past the window, every authority of the scope is told:
otherwise an unwilling holder in the middle could hide the ruling from the one it handed over to.

A ruling carries no content, so the fence is the ruling itself. It is signed once, for every
authority of the scope, and posted bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from gateway.custody import bodies, chains, docket, rulings, store
from gateway.custody.machine import Say, Step
from gateway.custody.model import Chain, ChainKey
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.trust.roster import Roster

FENCE_TIMER = "custody.fence"
FENCE_WINDOW = timedelta(hours=1)  # a node that is down for a restart answers within it
AUDIENCE_MAX = 40  # the standard's bound; no scope of the country has more authorities


class Telling:
    """Tells rulings for the arbiters of one node; the `TimerHandler` of its fences."""

    def __init__(self, *, writer: StepWriter, roster: Callable[[], Roster]) -> None:
        """Make it."""
        self._writer = writer
        self._roster = roster

    # --- fence --------------------------------------------------------------------------------

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the ticket (`database.TimerHandler`)."""
        return (f"ticket/{key.split('/')[1]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """End the window of a ruling: if somebody told is silent, everybody is told.

        Of a ruling that came back after a restore it is not known who was told: so everybody is.
        """
        scope, ticket, chain, number, *restored = key.split("/")
        place = ChainKey(
            AuthorityCode(scope), TicketNumber(ticket), AuthorityCode(scope), int(chain)
        )
        rows = await docket.rulings_of(uow, place)
        if not rows or rows[-1].number != int(number) or rows[-1].fenced:
            return
        newest = rows[-1]
        answers = await uow.select(
            store.ANSWERS_OF_CHAIN, scope=scope, ticket=ticket, chain=place.number
        )
        answered = {answer.authority for answer in answers if answer.number == newest.number}
        if not restored and set(codes(newest.told)) <= answered:
            return
        uow.put(store.RULINGS, replace(newest, fenced=True))
        for code in self.members(place.scope):
            await self.reach(uow, place, code, now)

    # --- telling ------------------------------------------------------------------------------

    async def answer(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        newest: store.RulingRow,
        to: AuthorityCode,
        now: Instant,
    ) -> None:
        """Answer who answered a ruling: the newest ruling, with its TAKEN once it is known."""
        if newest.taken_digest:
            await self.tell_taken(uow, key, newest, (to,), now)
        else:
            await self.reach(uow, key, to, now)

    async def reach(self, uow: UnitOfWork, key: ChainKey, to: AuthorityCode, now: Instant) -> None:
        """Send the newest ruling to one that was not told yet, with its TAKEN if it is known."""
        newest = (await docket.rulings_of(uow, key))[-1]
        is_member = chains.is_in_scope(to, key.scope) and self._roster().is_joined(to)
        if to in codes(newest.told) or not is_member:
            return
        uow.put(store.RULINGS, replace(newest, told=(*newest.told, to)))
        signed = await self._writer.signed(uow, key.authority, newest.statement_digest)
        if to in statement_from_bytes(signed.statement).audience:
            await self._writer.resend(uow, key, newest.statement_digest, to=to, now=now)
        else:  # it joined after the ruling was signed
            await self._pass_on(uow, key, newest, (to,), now)
        if newest.taken_digest:
            await self.tell_taken(uow, key, newest, (to,), now)

    async def tell_taken(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        newest: store.RulingRow,
        to: tuple[AuthorityCode, ...],
        now: Instant,
    ) -> None:
        """Tell the TAKEN of the newest ruling to all but its target."""
        others = tuple(code for code in self._writer.joined(to) if code != newest.target)
        await self._pass_on(uow, key, newest, others, now)

    async def _pass_on(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        newest: store.RulingRow,
        to: tuple[AuthorityCode, ...],
        now: Instant,
    ) -> None:
        """Say the newest ruling and its TAKEN, attached: what others signed goes no other way."""
        chain = await chains.find_chain(uow, key)
        if chain is None or not to:
            return
        known = (newest.statement_digest, *filter(None, (newest.taken_digest,)))
        attached = tuple([await self._writer.signed(uow, key.authority, item) for item in known])
        body = bodies.RulingAck(
            number=newest.number,
            role=bodies.Role.TOLD,
            ruling_digest=newest.statement_digest,
            attached=attached,
        )
        say = Say("RulingAck", rulings.epoch_of(newest.number), to, body, records=False)
        await self._writer.write(uow, Step(chain=chain, says=(say,)), now=now)

    # --- what is known ------------------------------------------------------------------------

    async def first_told(
        self,
        uow: UnitOfWork,
        chain: Chain,
        target: AuthorityCode,
        earlier: list[store.RulingRow],
    ) -> tuple[AuthorityCode, ...]:
        """Return whom a new ruling goes to at first: target, parties, earlier targets."""
        key = chain.key
        told: list[str] = [target, *(row.target for row in earlier), chains.begun_by(key)]
        for body, issuer in await docket.filings(uow, key):
            told += (issuer, *body.path, body.proposed_target, *body.refused_by)
            told += (statement_from_bytes(item.statement).issuer for item in body.attached)
        answers = await uow.select(
            store.ANSWERS_OF_CHAIN, scope=key.scope, ticket=key.ticket, chain=key.number
        )
        told += (answer.successor for answer in answers)
        told += (*chain.parties, *chain.path, chain.custodian or "")
        codes = dict.fromkeys(AuthorityCode(code) for code in told if code)
        inside = tuple(code for code in codes if chains.is_in_scope(code, key.scope))
        return self._writer.joined(inside)[:AUDIENCE_MAX]

    def members(
        self, scope: AuthorityCode, *, first: tuple[AuthorityCode, ...] = ()
    ) -> tuple[AuthorityCode, ...]:
        """Return the authorities of a scope, those that are told at once before the others."""
        inside = sorted(
            code for code in self._roster().authorities if chains.is_in_scope(code, scope)
        )
        return self._writer.joined(tuple(dict.fromkeys((*first, *inside))))[:AUDIENCE_MAX]


def codes(told: object) -> tuple[AuthorityCode, ...]:
    """Return authorities out of the flat column that holds them."""
    return tuple(AuthorityCode(code) for code in told) if isinstance(told, tuple | list) else ()


def timer_key(key: ChainKey, number: int, *, restored: bool = False) -> str:
    """Return the key of a ruling's fence."""
    name = f"{key.scope}/{key.ticket}/{key.number}/{number}"
    return f"{name}/restored" if restored else name
