"""The answer of a mutating request: the ticket without texts, because answers are kept for days."""

from __future__ import annotations

from gateway.custody.service import CustodyService
from gateway.database.uow import UnitOfWork
from gateway.kernel.time import Instant
from gateway.tickets import codec
from gateway.tickets.model import Ticket
from gateway.tickets.service import Tickets


class Render:
    """Serialises tickets as this unit of work leaves them."""

    def __init__(self, *, tickets: Tickets, custody: CustodyService) -> None:
        """Ask `custody` where each ticket stands, and `tickets` for its children."""
        self._tickets = tickets
        self._custody = custody

    async def __call__(self, uow: UnitOfWork, ticket: Ticket, *, now: Instant) -> bytes:
        """Return the serialised ticket without texts."""
        view = await self._custody.view(uow, ticket.authority, ticket.number)
        children = await self._tickets.children(uow, ticket.authority, ticket.number)
        message = codec.ticket_to_pb(ticket, now=now, custody=view, children=children)
        return message.SerializeToString()
