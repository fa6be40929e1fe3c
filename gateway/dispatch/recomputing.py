"""Due times that were counted with a year nobody had published, counted again when it is known.

One timer walks over the held copies that are still provisional, a page at a time, once a day and at
every start of the node, because reference data changes with either. For each copy whose clocks come
out otherwise now it sets a timer of its own, so that every ticket is changed under its own lock, in
a unit of its own. Only the custodian counts; followers learn the due time with the news.
"""

from __future__ import annotations

from datetime import timedelta

from gateway.custody.service import CustodyService
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.router import Router
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.tickets import extensions
from gateway.tickets.clocks import clocks_again
from gateway.tickets.model import Clocks, Ticket
from gateway.tickets.service import Tickets
from gateway.tickets.store import PROVISIONAL

RECOMPUTE_TIMER = "dispatch.recompute"
WALK = (
    "walk"  # key of the walk's beginning; then `walk/{authority}/{ticket}` after which it goes on
)
PAGE = 200
PERIOD = timedelta(days=1)


class Recompute:
    """Counts provisional due times again; a `TimerHandler` for `RECOMPUTE_TIMER`."""

    def __init__(
        self, *, tickets: Tickets, custody: CustodyService, acting: Acting, router: Router
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._custody = custody
        self._acting = acting
        self._router = router

    def start(self, uow: UnitOfWork, *, now: Instant) -> None:
        """Begin a walk now; harmless when one is under way."""
        schedule(uow, kind=RECOMPUTE_TIMER, key=WALK, due=now)

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the ticket in `{authority}/{ticket}`; a walk locks nothing."""
        return () if _is_walk(key) else (f"ticket/{key.partition('/')[2]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Take the next page of a walk, or count one ticket again."""
        if _is_walk(key):
            await self._walk(uow, key, now)
            return
        authority, _, number = key.partition("/")
        code = AuthorityCode(authority)
        ticket = await self._tickets.find(uow, code, TicketNumber(number))
        if ticket is None:
            return
        act = self._acting.act_of(code, f"calendar {self._router.reference.version}", now)
        change = extensions.recomputed(ticket, act, clocks=await self._clocks(uow, ticket))
        if change.events:
            self._tickets.save(uow, change)
            await self._custody.publish(uow, authority=code, ticket=ticket.number, now=now)

    async def _walk(self, uow: UnitOfWork, key: str, now: Instant) -> None:
        _, authority, number = (*key.split("/"), "", "")[:3]
        keys = await uow.select(PROVISIONAL, authority=authority, number=number, limit=PAGE)
        for each in keys:
            code, ticket_number = AuthorityCode(each.authority), TicketNumber(each.number)
            ticket = await self._tickets.get(uow, code, ticket_number)
            act = self._acting.act_of(code, "calendar", now)
            clocks = await self._clocks(uow, ticket)
            if extensions.recomputed(ticket, act, clocks=clocks).events:
                own = f"{each.authority}/{each.number}"
                schedule(uow, kind=RECOMPUTE_TIMER, key=own, due=now)
        if len(keys) == PAGE:
            after = f"{WALK}/{keys[-1].authority}/{keys[-1].number}"
            schedule(uow, kind=RECOMPUTE_TIMER, key=after, due=now)
        if key == WALK:
            schedule(uow, kind=RECOMPUTE_TIMER, key=WALK, due=now + PERIOD)

    async def _clocks(self, uow: UnitOfWork, ticket: Ticket) -> Clocks:
        cross = self._acting.was_timed_abroad(ticket)
        clocks = clocks_again(ticket, self._router.reference, cross_region=cross)
        if ticket.parent is None:
            return clocks
        parent = await self._tickets.find(uow, ticket.authority, ticket.parent)
        if parent is None:
            return replace(clocks, due=min(clocks.due, ticket.due_time))
        # Never later than its parent, and not counted to the end before its parent is.
        is_provisional = clocks.provisional or parent.due_provisional
        return replace(clocks, due=min(clocks.due, parent.due_time), provisional=is_provisional)


def _is_walk(key: str) -> bool:
    return key == WALK or key.startswith(f"{WALK}/")
