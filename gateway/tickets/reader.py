"""The reads of TicketService: get, list, events and the watch.

Rows are filtered by the principal's scope in the query, never after it. A list or watch carries
no text; `get` opens texts, and who calls only for a stated purpose, with an audit row in the same
unit.
A watch reads the stream of events by its cursor, woken by this process or by polling, and never
skips a change: the cursor is (transaction, position) below the horizon of running transactions.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict
from datetime import timedelta

from gateway.audit.acts import reading_of
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.codes import AssignmentRole
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Clock, from_microseconds, to_microseconds
from gateway.kernel.values import dataclass, replace
from gateway.privacy.visibility import Exposure, may_see_citizen
from gateway.tickets.attachments import with_availability
from gateway.tickets.filters import TicketFilter, parse_filter
from gateway.tickets.model import Assignment, Child, Ticket, TicketEvent
from gateway.tickets.ports import CustodyFacts, CustodyViews
from gateway.tickets.rows import event_of
from gateway.tickets.service import ChangeSignal, Scope, Texts, Tickets
from gateway.tickets.store import EVENTS_AFTER, EVENTS_OF, NEWEST, EventRow
from gateway.tickets.tokens import Tokens
from gateway.trust.principal import Principal

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500
WATCH_ROWS_MAX = 100  # one read of a watch; a client that is far behind gets many
POLL_INTERVAL = timedelta(seconds=1)  # other processes of the node change tickets too
HEARTBEAT_INTERVAL = timedelta(seconds=15)  # well below the minute after which clients reconnect


@dataclass(frozen=True, slots=True)
class Shown:
    """A ticket as a principal sees it; `texts` only where they were asked for."""

    ticket: Ticket
    custody: CustodyFacts | None
    texts: Texts | None = None
    children: tuple[Child, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """An event with its position."""

    position: int
    ticket: TicketNumber
    authority: AuthorityCode
    event: TicketEvent


@dataclass(frozen=True, slots=True)
class Watched:
    """One item of a watch: a change, or a heartbeat without one."""

    event: PlacedEvent | None
    shown: Shown | None
    resume_token: str


class TicketReader:
    """Answers the reads of one node."""

    def __init__(
        self,
        *,
        database: Database,
        tickets: Tickets,
        custody: CustodyViews,
        audit: AuditLog,
        tokens: Tokens,
        clock: Clock,
        signal: ChangeSignal,
    ) -> None:
        """Make the reader; `clock` is business time."""
        self._database = database
        self._tickets = tickets
        self._custody = custody
        self._audit = audit
        self._tokens = tokens
        self._clock = clock
        self._signal = signal

    async def get(self, principal: Principal, number: TicketNumber, *, purpose: str) -> Shown:
        """Return one ticket with its texts; who calls only with a purpose and a right to it."""
        async with self._database.unit() as uow:
            ticket = await self._tickets.get_visible(uow, Scope.of(principal), number)
            texts = await self._tickets.texts(uow, ticket.authority, number)
            content = await with_availability(uow, ticket.authority, number, texts.content)
            texts = replace(texts, content=content)
            shows = bool(purpose) and may_see_citizen(principal, exposure_of(ticket))
            if texts.citizen is not None and shows:
                self._audit.append(uow, self._reading(principal, ticket, purpose))
            elif texts.citizen is not None:
                texts = replace(texts, citizen=None)
            shown = await self._shown(uow, ticket.authority, number)
            return replace(shown, texts=texts)

    async def page(
        self, principal: Principal, *, page_size: int, page_token: str, filter_text: str
    ) -> tuple[list[Shown], str]:
        """Return a page, newest first, and the token of the next one."""
        scope, wanted = Scope.of(principal), parse_filter(filter_text)
        size = min(page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        binding = ("list", scope.authority, scope.platform or "", filter_text)
        async with self._database.unit() as uow:
            keys = await uow.select(
                NEWEST,
                authority=scope.authority,
                platform=scope.platform,
                now=self._clock.now(),
                limit=size + 1,
                **self._before(binding, page_token),
                **_parameters(wanted),
            )
            shown = [
                await self._shown(uow, scope.authority, TicketNumber(key.number))
                for key in keys[:size]
            ]
        if len(keys) <= size:
            return shown, ""
        last = shown[-1].ticket
        return shown, self._tokens.issue(
            binding, to_microseconds(last.create_time), str(last.number)
        )

    async def events(
        self, principal: Principal, number: TicketNumber, *, page_size: int, page_token: str
    ) -> tuple[list[PlacedEvent], str]:
        """Return a page of one ticket's events, oldest first."""
        scope = Scope.of(principal)
        size = min(page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        binding = ("events", scope.authority, scope.platform or "", number)
        after = 0
        if page_token:
            after = int(self._tokens.open(binding, page_token, field="page_token")[0])
        async with self._database.unit() as uow:
            await self._tickets.get_visible(uow, scope, number)
            rows = await uow.select(
                EVENTS_OF,
                authority=scope.authority,
                ticket=number,
                position=after,
                limit=size + 1,
            )
        events = [_placed(row) for row in rows[:size]]
        token = self._tokens.issue(binding, events[-1].position) if len(rows) > size else ""
        return events, token

    async def watch(
        self, principal: Principal, *, resume_token: str
    ) -> AsyncGenerator[Watched, None]:
        """Yield every change of the principal's tickets after the token, for ever."""
        scope = Scope.of(principal)
        binding = ("watch", scope.authority, scope.platform or "")
        txid, position = -1, -1
        if resume_token:
            opened = self._tokens.open(binding, resume_token, field="resume_token")
            txid, position = int(opened[0]), int(opened[1])
        token, quiet = resume_token, timedelta(0)
        while True:
            async with self._database.unit() as uow:
                rows = await uow.select(
                    EVENTS_AFTER,
                    authority=scope.authority,
                    platform=scope.platform,
                    txid=txid,
                    position=position,
                    limit=WATCH_ROWS_MAX,
                )
                # One step leaves several events, and all of them show the ticket as it is now.
                seen = {
                    number: await self._shown(uow, scope.authority, TicketNumber(number))
                    for number in dict.fromkeys(row.ticket for row in rows)
                }
                items = [(row, seen[row.ticket]) for row in rows]
            for row, shown in items:
                txid, position = row.txid, row.position
                token = self._tokens.issue(binding, txid, position)
                yield Watched(_placed(row), shown, token)
            if items:
                quiet = timedelta(0)
                continue
            if quiet >= HEARTBEAT_INTERVAL:
                quiet = timedelta(0)
                yield Watched(None, None, token)
            await self._signal.wait(POLL_INTERVAL.total_seconds())
            quiet += POLL_INTERVAL

    # --- parts --------------------------------------------------------------------------------

    async def _shown(
        self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber
    ) -> Shown:
        ticket = await self._tickets.get(uow, authority, number)
        children = await self._tickets.children(uow, authority, number)
        custody = await self._custody(uow, authority, number)
        return Shown(ticket, custody, children=children)

    def _before(self, binding: tuple[str, ...], page_token: str) -> dict[str, object]:
        if not page_token:
            return {"before_time": None, "before_number": None}
        opened = self._tokens.open(binding, page_token, field="page_token")
        return {"before_time": from_microseconds(int(opened[0])), "before_number": str(opened[1])}

    def _reading(self, principal: Principal, ticket: Ticket, purpose: str) -> AuditEntry:
        now = self._clock.now()
        return reading_of(principal, "ticket.read_citizen", ticket.name, now=now, purpose=purpose)


def exposure_of(ticket: Ticket) -> Exposure:
    """Return what decides who may see who calls."""
    return Exposure(
        authority=ticket.authority,
        is_followed=ticket.followed,
        secrecy_required=ticket.secrecy_required,
        submitted_by=ticket.platform,
        handled_by={
            item.platform
            for item in ticket.assignments
            if item.is_standing and _handles(item, is_secret=ticket.secrecy_required)
        },
    )


def _handles(item: Assignment, *, is_secret: bool) -> bool:
    """Tell whether a unit needs to know who calls: who reads along never, a helper not a secret."""
    if is_secret:
        return item.is_lead
    return item.role is not AssignmentRole.READ


def _parameters(wanted: TicketFilter) -> dict[str, object]:
    return asdict(wanted)


def _placed(row: EventRow) -> PlacedEvent:
    return PlacedEvent(
        row.position, TicketNumber(row.ticket), AuthorityCode(row.authority), event_of(row)
    )
