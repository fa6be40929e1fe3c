"""Consent: "offer it to me, I shall accept" (docs/custody.md#rulings).

An Assumption binds its signer to accept an offer that cites it. So a ticket moves during a case
without a ruling; it is never more than an ordinary offer. A province's own, to a city that holds
the ticket inside, brings it home also without a case. If no offer comes in time, the province takes
the ticket home by a HOME ruling (docs/custody.md#scopes, rule 2).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from gateway.custody import bodies, chains, codec, machine, proofs, store
from gateway.custody.model import Chain, ChainKey, CustodyEvent
from gateway.custody.writer import StepWriter
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Delivered, SignedBytes
from gateway.kernel.errors import ResourceNotFound, StatementMalformed, TransitionNotAllowed
from gateway.kernel.ids import GENESIS, AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass
from gateway.trust.roster import Roster

ASSUMPTION_TIMER = "custody.assumption"
GoHome = Callable[[UnitOfWork, AuthorityCode, TicketNumber, Instant], Awaitable[object]]
ASSUMPTION_WINDOW = timedelta(days=3)  # as long as an arbiter has to rule


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked for a ticket, about which case, and until when that binds."""

    custodian: AuthorityCode
    case: str
    expire: Instant


class Consent:
    """Says, takes and finds Assumptions; the `TimerHandler` of what a province asks of a city."""

    def __init__(self, *, writer: StepWriter, roster: Callable[[], Roster]) -> None:
        """Make it; `assembly.build` sets `go_home`, the arbiter's half."""
        self._writer = writer
        self._roster = roster
        self.go_home: GoHome = _nowhere

    async def assume(
        self, uow: UnitOfWork, *, authority: AuthorityCode, ticket: TicketNumber, now: Instant
    ) -> Asked:
        """Tell the custodian "offer it to me, I shall accept", also during a case.

        Raises:
            TransitionNotAllowed: the ticket is here, or nobody of the scope is known to hold it; a
                city asks nobody beyond its province.
        """
        held = await chains.load(uow, authority, ticket)
        chain = held.outer or held.inner
        if held.outer is not None and held.outer.is_caring:
            chain = held.open_inner  # a province asks its city for the ticket
        if chain is None:
            raise ResourceNotFound(kind="ticket", name=f"tickets/{ticket}")
        holder = chain.custodian
        if holder is not None and chain.key.is_outer:
            holder = chains.province_of(holder)
        is_here = chain.is_caring or holder in (None, authority)
        if is_here or chain.closed or not chains.is_in_scope(str(holder), chain.key.scope):
            raise TransitionNotAllowed(
                name=f"tickets/{ticket}",
                state=chain.holding.value,
                event="assume",
                allowed="for a ticket that another authority of the same scope holds",
            )
        body = bodies.Assumption(case=chain.case, expire=now + ASSUMPTION_WINDOW)
        epoch = chain.floor or GENESIS
        custodian = AuthorityCode(str(holder))
        say = machine.Say("Assumption", epoch, (custodian,), body)
        await self._writer.write(uow, machine.Step(chain=chain, says=(say,)), now=now)
        if chain.key.is_home:
            schedule(uow, kind=ASSUMPTION_TIMER, key=_timer_key(chain), due=body.expire)
        return Asked(custodian, body.case, body.expire)

    # --- the window of a province's Assumption ------------------------------------------------

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the ticket (`database.TimerHandler`)."""
        return (f"ticket/{key.split('/')[1]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Take the ticket home by a ruling: no city answered its province in time (rule 2)."""
        authority, ticket, *_ = key.split("/")
        place = (AuthorityCode(authority), TicketNumber(ticket))
        inner = (await chains.load(uow, *place)).open_inner
        if inner is not None and _timer_key(inner) == key:
            await self.go_home(uow, *place, now)

    # --- citing it ----------------------------------------------------------------------------

    async def of(
        self, uow: UnitOfWork, chain: Chain, target: AuthorityCode, now: Instant
    ) -> SignedBytes | None:
        """Return the newest Assumption of the target that still binds it."""
        rows = await uow.select(
            store.STATEMENTS_SAID,
            authority=chain.key.authority,
            ticket=chain.key.ticket,
            scope=chain.key.scope,
            number=chain.key.number,
            issuer=target,
            kind="Assumption",
        )
        for row in reversed(rows):
            body = codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body)
            if isinstance(body, bodies.Assumption) and now <= body.expire:
                return SignedBytes(row.statement, row.key_id, row.signature)
        return None

    async def is_ours(
        self, uow: UnitOfWork, key: ChainKey, body: bodies.Offer, now: Instant
    ) -> bool:
        """Tell whether an offer cites an Assumption of ours that still binds: once, and in time.

        Raises:
            StatementMalformed: it cites one that we did not make for this chain.
        """
        if body.assumption is None:
            return False
        item = proofs.open_attached(body.assumption, key, roster=self._roster)
        if not isinstance(item.body, bodies.Assumption) or item.statement.issuer != key.authority:
            raise StatementMalformed(
                check=9, got=f"{item.statement.kind} of {item.statement.issuer}", expected="ours"
            )
        kept = await uow.get(store.STATEMENTS, key.authority, item.digest)
        chain = await chains.find_chain(uow, key)
        term = chain.term_epoch if chain is not None else None
        is_used_up = term is not None and term > item.statement.epoch
        return kept is not None and now <= item.body.expire and not is_used_up

    async def taken(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        _body: bodies.Assumption,
        now: Instant,
    ) -> tuple[CustodyEvent, ...]:
        """Keep a consent; the next offer to its signer may cite it."""
        chain = await chains.find_chain(uow, key)
        if chain is None:
            raise ResourceNotFound(kind="chain", name=f"{key.ticket} {key.scope}-{key.number}")
        step = machine.Step(chain=chain)
        await self._writer.write(uow, step, now=now, received=delivered)
        return ()


def _timer_key(chain: Chain) -> str:
    """Return the key of the window: it is another one as soon as the province held in between."""
    key, term = chain.key, chain.term_epoch
    return f"{key.authority}/{key.ticket}/{key.number}/{'none' if term is None else term}"


async def _nowhere(
    uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber, now: Instant
) -> None:
    """Have no arbiter's half: nothing inside to take home."""
