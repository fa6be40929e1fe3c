"""Transfers as people see them: one attempt to hand custody over, read from both sides' rows.

The offerer's row knows the verdict; the target's knows its own answer or the open invitation. Every
change runs in one unit with its audit row and its idempotent answer, and hands what happened to
`react`, the port to the room that routes tickets (docs/dispatch.md).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from gateway.audit.acts import act_of, reading_of
from gateway.audit.service import AuditLog
from gateway.custody import chains, consent, store
from gateway.custody.inquiring import Words
from gateway.custody.model import (
    CaseOpened,
    ChainKey,
    CustodyEvent,
    Holding,
    OfferReason,
    OfferSent,
    Verdict,
)
from gateway.custody.rows import answered_of, invitation_of, made_of
from gateway.custody.service import CaseFiled, CustodyService
from gateway.custody.stand_by import DECIDERS, moved_end
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.errors import FieldInvalid, ResourceNotFound
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import dataclass
from gateway.trust.principal import Principal

REQUEST = "request"  # cause of a case that a person asks for

Window = Callable[[UnitOfWork, AuthorityCode, TicketNumber, Instant], Awaitable[Instant]]


class React(Protocol):
    """Takes what happened to the room that routes tickets."""

    async def __call__(
        self, uow: UnitOfWork, events: Iterable[CustodyEvent], *, now: Instant
    ) -> None:
        """React to the events, in their order, inside the same unit."""
        ...


TRANSFERS_PER_TICKET_MAX = 500  # 32 counts an era, 16 eras; a page holds them all
_NAME = re.compile(
    r"^tickets/(?P<ticket>[1-9][0-9]{21}[0-9X])/transfers/"
    r"(?P<scope>[1-9][0-9]{5})-(?P<number>[0-9]{1,2})-(?P<era>[0-9]{1,4})\.(?P<count>[0-9]{1,2})$"
)


@dataclass(frozen=True, slots=True)
class Transfer:
    """One attempt, as one authority sees it; `state` is a name of the standard's State."""

    key: ChainKey
    epoch: Epoch
    source: AuthorityCode
    target: AuthorityCode
    state: str
    window_end: Instant | None
    offer_digest: bytes
    reason: int = 0
    clause: str = ""
    proposed_owner: str = ""
    stand_by_until: Instant | None = None
    decider: str = ""
    asked: int = 0
    asked_at: Instant | None = None
    told: Instant | None = None

    @property
    def name(self) -> str:
        """The resource name."""
        key = self.key
        return f"tickets/{key.ticket}/transfers/{key.scope}-{key.number}-{self.epoch}"


class Transfers:
    """Reads and changes transfers for the staff of one authority."""

    def __init__(
        self,
        *,
        database: Database,
        custody: CustodyService,
        audit: AuditLog,
        clock: Clock,
        react: React,
        window: Window,
    ) -> None:
        """Make it; `window` gives the end of the answer window of a ticket's offer."""
        self.database = database
        self._custody = custody
        self._audit = audit
        self.clock = clock
        self._react = react
        self._window = window

    # --- reading ------------------------------------------------------------------------------

    async def of_ticket(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> list[Transfer]:
        """Return the transfers of a ticket that this authority made or was asked, oldest first."""
        held = await chains.load(uow, authority, ticket)
        revoking = {
            (chain.key, chain.pending_epoch)
            for chain in held.chains
            if chain.holding is Holding.REVOKING
        }
        made = await uow.rows(store.OFFERS_MADE_OF_TICKET, authority, ticket)
        answered = await uow.rows(store.OFFERS_ANSWERED_OF_TICKET, authority, ticket)
        waiting = await uow.rows(store.INVITATIONS_OF_TICKET, authority, ticket)
        found = [
            *(_made(row, revoking) for row in made),
            *(_answered(row) for row in answered),
            *(_invited(row) for row in waiting),
        ]
        if not held.chains and not found:
            raise ResourceNotFound(kind="ticket", name=f"tickets/{ticket}")
        return sorted(found, key=lambda item: (item.key.scope, item.key.number, item.epoch))

    async def waiting(
        self, uow: UnitOfWork, authority: AuthorityCode, *, after: str, limit: int
    ) -> list[Transfer]:
        """Return invitations that wait for a decision, by ticket number after `after`."""
        rows = await uow.select(
            store.INVITATIONS_OF_AUTHORITY,
            authority=authority,
            ticket="",
            after=after,
            limit=limit,
        )
        return [_invited(row) for row in rows]

    async def find(self, uow: UnitOfWork, authority: AuthorityCode, name: str) -> Transfer:
        """Return one transfer by its resource name.

        Raises:
            FieldInvalid: the name has another form.
            ResourceNotFound: no such transfer is visible here.
        """
        key, epoch = parse_name(authority, name)
        for transfer in await self.of_ticket(uow, authority, key.ticket):
            if transfer.key == key and transfer.epoch == epoch:
                return transfer
        raise ResourceNotFound(kind="transfer", name=name)

    async def records(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        after: tuple[str, int, int],
        limit: int,
    ) -> list[tuple[store.CustodyRow, store.StatementRow | None]]:
        """Return ledger rows of a ticket with the statements they stand for."""
        scope, number, sequence = after
        rows = await uow.select(
            store.ROWS_OF_TICKET,
            authority=authority,
            ticket=ticket,
            scope=scope,
            number=number,
            sequence=sequence,
            limit=limit,
        )
        found: list[tuple[store.CustodyRow, store.StatementRow | None]] = []
        for row in rows:
            kept = await uow.get(store.STATEMENTS, authority, row.subject_digest)
            found.append((row, kept))
        return found

    # --- changing -----------------------------------------------------------------------------

    async def create(
        self,
        uow: UnitOfWork,
        principal: Principal,
        *,
        ticket: TicketNumber,
        target: AuthorityCode,
        reason: OfferReason,
    ) -> Transfer | CaseFiled:
        """Offer custody by a person's decision; a failed guard files a case instead."""
        now, authority = self.clock.now(), principal.authority
        await self._begin(uow, authority, ticket)
        outcome = await self._custody.offer(
            uow,
            authority=authority,
            ticket=ticket,
            target=target,
            reason=reason,
            rule="",
            trace_digest=b"",
            window_end=await self._window(uow, authority, ticket, now),
            now=now,
        )
        self._record(uow, principal, "transfer.create", f"tickets/{ticket}", now)
        if isinstance(outcome, CaseFiled):
            opened = CaseOpened(outcome.key, outcome.case, outcome.cause, target)
            await self._react(uow, (opened,), now=now)
            return outcome
        sent = OfferSent(outcome.key, outcome.epoch, target, principal.name)
        await self._react(uow, (sent,), now=now)
        return await self._one(uow, authority, outcome.key, outcome.epoch)

    async def accept(self, uow: UnitOfWork, principal: Principal, name: str) -> Transfer:
        """Accept an invitation by a person's decision."""
        now = self.clock.now()
        key, epoch = parse_name(principal.authority, name)
        await self._begin(uow, key.authority, key.ticket)
        await self._require_open(uow, key, epoch, name)
        events = await self._custody.accept(
            uow, authority=key.authority, ticket=key.ticket, now=now, key=key
        )
        self._record(uow, principal, "transfer.accept", name, now)
        await self._react(uow, events, now=now)
        return await self._one(uow, key.authority, key, epoch)

    async def decline(
        self,
        uow: UnitOfWork,
        principal: Principal,
        name: str,
        *,
        reason: int,
        clause: str,
        proposed_owner: str,
    ) -> Transfer:
        """Decline an invitation by a person's decision."""
        now = self.clock.now()
        key, epoch = parse_name(principal.authority, name)
        await self._begin(uow, key.authority, key.ticket)
        await self._require_open(uow, key, epoch, name)
        events = await self._custody.decline(
            uow,
            authority=key.authority,
            ticket=key.ticket,
            reason=reason,
            clause=clause,
            proposed_owner=proposed_owner,
            now=now,
            key=key,
        )
        self._record(uow, principal, "transfer.decline", name, now)
        await self._react(uow, events, now=now)
        return await self._one(uow, key.authority, key, epoch)

    async def stand_by(
        self, uow: UnitOfWork, principal: Principal, name: str, *, until: Instant | None
    ) -> Transfer:
        """Tell who offers that a person is deciding; only the caller's role is told, no name."""
        now = self.clock.now()
        key, epoch = parse_name(principal.authority, name)
        await self._begin(uow, key.authority, key.ticket)
        await self._require_open(uow, key, epoch, name)
        judging = sorted(role.value for role in principal.roles & DECIDERS)
        decider = judging[0] if judging else principal.acting_role
        await self._custody.stand_by(uow, key, decider=decider, until=until, now=now)
        self._record(uow, principal, "transfer.stand-by", name, now)
        return await self._one(uow, key.authority, key, epoch)

    async def ask(
        self, uow: UnitOfWork, principal: Principal, name: str, *, question: str
    ) -> Transfer:
        """Ask who offers about an invitation; it still waits for its answer."""
        now = self.clock.now()
        key, epoch = parse_name(principal.authority, name)
        await self._begin(uow, key.authority, key.ticket)
        await self._require_open(uow, key, epoch, name)
        await self._custody.inquiring.ask(uow, key, question=question, now=now)
        self._record(uow, principal, "transfer.ask", name, now)
        return await self._one(uow, key.authority, key, epoch)

    async def inform(
        self, uow: UnitOfWork, principal: Principal, name: str, *, number: int, answer: str
    ) -> Transfer:
        """Answer question `number` about an own offer."""
        now = self.clock.now()
        key, epoch = parse_name(principal.authority, name)
        await self._begin(uow, key.authority, key.ticket)
        inquiring = self._custody.inquiring
        await inquiring.answer(uow, key, epoch, number=number, answer=answer, now=now)
        self._record(uow, principal, "transfer.inform", name, now)
        return await self._one(uow, key.authority, key, epoch)

    async def inquiry(
        self, uow: UnitOfWork, principal: Principal, name: str, *, purpose: str
    ) -> Words:
        """Return the newest question about an offer and its answer; the reading is audited."""
        key, epoch = parse_name(principal.authority, name)
        await self._begin(uow, key.authority, key.ticket)
        words = await self._custody.inquiring.read(uow, key, epoch)
        now = self.clock.now()
        read = reading_of(principal, "transfer.read_inquiry", name, now=now, purpose=purpose)
        self._audit.append(uow, read)
        return words

    async def revoke(self, uow: UnitOfWork, principal: Principal, name: str) -> Transfer:
        """Ask for an offer back by a person's decision."""
        now = self.clock.now()
        key, epoch = parse_name(principal.authority, name)
        await self._begin(uow, key.authority, key.ticket)
        await self._custody.revoke(
            uow, authority=key.authority, ticket=key.ticket, now=now, epoch=epoch
        )
        self._record(uow, principal, "transfer.revoke", name, now)
        return await self._one(uow, key.authority, key, epoch)

    async def assume(
        self, uow: UnitOfWork, principal: Principal, *, ticket: TicketNumber
    ) -> consent.Asked:
        """Ask the custodian for a ticket by a person's decision; it binds the own authority."""
        now, authority = self.clock.now(), principal.authority
        await self._begin(uow, authority, ticket)
        asked = await self._custody.assume(uow, authority=authority, ticket=ticket, now=now)
        self._record(uow, principal, "ticket.assume", f"tickets/{ticket}", now)
        return asked

    async def file(
        self, uow: UnitOfWork, principal: Principal, *, ticket: TicketNumber, owner: AuthorityCode
    ) -> str:
        """File a case because a person asks for a ruling; return its number.

        Raises:
            FieldInvalid: the proposed owner is the authority itself, which may assume the ticket,
                or of no scope that the ticket has been in.
            CasePending: one is open.
            TransitionNotAllowed: this authority had no part in it.
        """
        now, authority = self.clock.now(), principal.authority
        if owner == authority:
            raise FieldInvalid(
                field="proposed_owner",
                got=owner,
                expected="another authority; ask for the ticket instead (AssumeTicket)",
            )
        await self._begin(uow, authority, ticket)
        held = await chains.load(uow, authority, ticket)
        chain = held.outer or held.inner
        if chain is not None and not chains.is_in_scope(owner, chain.key.scope):
            raise FieldInvalid(
                field="proposed_owner",
                got=owner,
                expected=f"an authority of scope {chain.key.scope}; to others offer the ticket",
            )
        events = await self._custody.file_case(
            uow, authority=authority, ticket=ticket, cause=REQUEST, target=owner, now=now
        )
        self._record(uow, principal, "case.file", f"tickets/{ticket}", now)
        await self._react(uow, events, now=now)
        return next(event.case for event in events if isinstance(event, CaseOpened))

    # --- parts --------------------------------------------------------------------------------

    async def _begin(self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber) -> None:
        await uow.lock(f"ticket/{ticket}")
        await self.of_ticket(uow, authority, ticket)

    async def _require_open(self, uow: UnitOfWork, key: ChainKey, epoch: Epoch, name: str) -> None:
        row = await uow.get(store.INVITATIONS, key.authority, key.ticket, key.scope, key.number)
        if row is None or row.epoch != epoch.key():
            raise ResourceNotFound(
                kind="open invitation",
                name=name,
                hint="it was answered or taken back; get the transfer",
            )

    async def _one(
        self, uow: UnitOfWork, authority: AuthorityCode, key: ChainKey, epoch: Epoch
    ) -> Transfer:
        transfers = await self.of_ticket(uow, authority, key.ticket)
        return next(item for item in transfers if item.key == key and item.epoch == epoch)

    def _record(
        self,
        uow: UnitOfWork,
        principal: Principal,
        act: str,
        subject: str,
        now: Instant,
    ) -> None:
        self._audit.append(uow, act_of(principal, act, subject, now=now))


def parse_name(authority: AuthorityCode, name: str) -> tuple[ChainKey, Epoch]:
    """Return the chain and epoch of a transfer's resource name.

    Raises:
        FieldInvalid: it has another form.
    """
    match = _NAME.match(name)
    if match is None:
        raise FieldInvalid(
            field="name",
            got="another form",
            expected="tickets/{number}/transfers/{scope}-{chain}-{era}.{count}",
        )
    key = ChainKey(
        authority,
        TicketNumber(match["ticket"]),
        AuthorityCode(match["scope"]),
        int(match["number"]),
    )
    return key, Epoch(int(match["era"]), int(match["count"]))


def _made(row: store.OfferMadeRow, revoking: set[tuple[ChainKey, Epoch | None]]) -> Transfer:
    made = made_of(row)
    state = made.verdict.value
    if made.verdict is Verdict.PENDING:
        state = "REVOKING" if (made.key, made.epoch) in revoking else "OFFERED"
    return Transfer(
        key=made.key,
        epoch=made.epoch,
        source=made.key.authority,
        target=made.target,
        state=state,
        window_end=moved_end(made),
        offer_digest=made.statement_digest,
        reason=made.reason,
        clause=made.clause,
        proposed_owner=made.proposed_owner,
        stand_by_until=made.stand_by_until,
        decider=made.decider,
        asked=made.asked,
        asked_at=made.asked_at,
        told=made.told,
    )


def _answered(row: store.OfferAnsweredRow) -> Transfer:
    answered = answered_of(row)
    return Transfer(
        key=answered.key,
        epoch=answered.epoch,
        source=answered.source,
        target=answered.key.authority,
        state=answered.verdict.value,
        window_end=None,
        offer_digest=answered.offer_digest,
    )


def _invited(row: store.InvitationRow) -> Transfer:
    invitation = invitation_of(row)
    return Transfer(
        key=invitation.key,
        epoch=invitation.epoch,
        source=invitation.source,
        target=invitation.key.authority,
        state="OFFERED",
        window_end=moved_end(invitation),
        offer_digest=invitation.offer_digest,
        stand_by_until=invitation.stand_by_until,
        decider=invitation.decider,
        asked=invitation.asked,
        asked_at=invitation.asked_at,
        told=invitation.told,
    )
