"""Merging (并单): a ticket that says what an earlier one said is handled with that one.

The reception names the earlier ticket, a rule decides, and only what is certain is merged: the
earlier ticket is held here, is not settled and is older, so of two that name each other only one
can go. Everything else is put before a person, with the reason.
"""

from __future__ import annotations

from gateway.custody.model import Holding
from gateway.custody.service import CustodyService
from gateway.database.uow import UnitOfWork
from gateway.dispatch.splitting import Splitting
from gateway.kernel.codes import TicketState
from gateway.kernel.ids import TicketNumber
from gateway.tickets import machine
from gateway.tickets.model import Act, Ticket
from gateway.tickets.service import Tickets
from gateway.tickets.states import TICKET, Step


class Merging:
    """Merges tickets that one authority holds."""

    def __init__(self, *, tickets: Tickets, custody: CustodyService, splitting: Splitting) -> None:
        """Merge with these."""
        self._tickets = tickets
        self._custody = custody
        self._splitting = splitting

    async def merge(self, uow: UnitOfWork, ticket: Ticket, act: Act, target: str) -> Ticket | str:
        """Merge a ticket into `tickets/{number}`; return the copy, or in Chinese why not."""
        number = TicketNumber(target.removeprefix("tickets/"))
        # Like a child its parent: the younger one is locked first, and never the other way round.
        # So which one is younger is looked at before, and everything again with the lock.
        seen = await self._find(uow, ticket, number)
        if isinstance(seen, str):
            return seen
        await uow.lock(f"ticket/{number}")
        earlier = await self._find(uow, ticket, number)
        if isinstance(earlier, str):
            return earlier
        await self._custody.exclusive_act(
            uow,
            authority=ticket.authority,
            ticket=ticket.number,
            kind="ticket.merged",
            digest=await self._tickets.fingerprint(uow, ticket, str(number).encode()),
            now=act.now,
        )
        saved = self._tickets.save(uow, machine.merge(ticket, act, into=earlier.name))
        self._tickets.save(
            uow, machine.note(earlier, act, "ticket.joined", ("ticket", ticket.name))
        )
        await self._splitting.settled(uow, saved, act.now)
        return saved

    async def _find(self, uow: UnitOfWork, ticket: Ticket, number: TicketNumber) -> Ticket | str:
        """Return the earlier ticket, or why a ticket cannot be merged into it."""
        earlier = await self._tickets.find(uow, ticket.authority, number)
        if earlier is None:
            return f"并单对象 {number} 不在本机构"
        obstacle = await self._obstacle(uow, ticket, earlier)
        return f"并单对象 {number} {obstacle}" if obstacle else earlier

    async def _obstacle(self, uow: UnitOfWork, ticket: Ticket, earlier: Ticket) -> str:
        """Return what forbids to merge a ticket into an earlier one, or an empty text."""
        view = await self._custody.view(uow, earlier.authority, earlier.number)
        if earlier.followed or view is None or view.holding is not Holding.HELD:
            return "已移交或正在移交其他机构"
        if earlier.is_final or earlier.state is TicketState.RESOLVED:
            return "已办结"
        if (earlier.create_time, earlier.number) >= (ticket.create_time, ticket.number):
            return "不早于本工单"
        if ticket.parent is not None or earlier.parent is not None:
            return "或本工单是子单"
        if (ticket.state, Step.MERGE) not in TICKET:
            return "可并入，但本工单已在办理"
        if await self._splitting.has_open(uow, ticket):
            return "可并入，但本工单有未结子单"
        return ""
