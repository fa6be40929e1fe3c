"""The reading half of TicketService: requests in, messages out, nothing decided here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc

from gateway.kernel.ids import TicketNumber
from gateway.kernel.time import Clock
from gateway.kernel.validation import validate
from gateway.tickets import codec
from gateway.tickets.reader import Shown, TicketReader
from gateway.trust.principal import Principal
from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2

Context = grpc.aio.ServicerContext[Any, Any]
PrincipalOf = Callable[[Context], Principal]
_pb = ticket_service_pb2


class TicketReadServicer:
    """GetTicket, ListTickets, WatchTickets and ListTicketEvents."""

    def __init__(self, *, reader: TicketReader, principal_of: PrincipalOf, clock: Clock) -> None:
        """Answer through `reader`; `principal_of` gives the authenticated caller."""
        self._reader = reader
        self._principal_of = principal_of
        self._clock = clock

    async def get_ticket(
        self, request: ticket_service_pb2.GetTicketRequest, context: Context
    ) -> ticket_service_pb2.GetTicketResponse:
        """Return one ticket."""
        validate(request)
        shown = await self._reader.get(
            self._principal_of(context), number_of(request.name), purpose=request.purpose
        )
        return _pb.GetTicketResponse(ticket=self._rendered(shown))

    async def list_tickets(
        self, request: ticket_service_pb2.ListTicketsRequest, context: Context
    ) -> ticket_service_pb2.ListTicketsResponse:
        """Return a page of tickets."""
        validate(request)
        shown, token = await self._reader.page(
            self._principal_of(context),
            page_size=request.page_size,
            page_token=request.page_token,
            filter_text=request.filter,
        )
        return _pb.ListTicketsResponse(
            tickets=[self._rendered(item) for item in shown], next_page_token=token
        )

    async def list_ticket_events(
        self, request: ticket_service_pb2.ListTicketEventsRequest, context: Context
    ) -> ticket_service_pb2.ListTicketEventsResponse:
        """Return a page of one ticket's events."""
        validate(request)
        events, token = await self._reader.events(
            self._principal_of(context),
            number_of(request.parent),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return _pb.ListTicketEventsResponse(
            events=[codec.event_to_pb(item) for item in events], next_page_token=token
        )

    async def watch_tickets(
        self, request: ticket_service_pb2.WatchTicketsRequest, context: Context
    ) -> AsyncIterator[ticket_service_pb2.WatchTicketsResponse]:
        """Send every change, and heartbeats while there is none."""
        validate(request)
        watch = self._reader.watch(self._principal_of(context), resume_token=request.resume_token)
        async with aclosing(watch) as items:
            async for item in items:
                message = _pb.WatchTicketsResponse(resume_token=item.resume_token)
                if item.event is not None:
                    message.event.CopyFrom(codec.event_to_pb(item.event))
                if item.shown is not None:
                    message.ticket.CopyFrom(self._rendered(item.shown))
                yield message

    def _rendered(self, shown: Shown) -> ticket_pb2.Ticket:
        return codec.ticket_to_pb(
            shown.ticket,
            now=self._clock.now(),
            custody=shown.custody,
            texts=shown.texts,
            children=shown.children,
        )


def number_of(name: str) -> TicketNumber:
    """Return the number in `tickets/{number}`; the schema has checked its form."""
    return TicketNumber(name.removeprefix("tickets/"))
