"""TicketService: the writing half here, the reading half from the tickets room.

Requests are held against the machine limits of the schema one by one, so a bad message in a batch
fails alone. What is decided is decided in `intake.py` and `handling.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog
from google.rpc import status_pb2

from gateway.delivery.codec import error_to_status, instant_of_field
from gateway.dispatch.attaching import Attaching
from gateway.dispatch.citizen_servicer import CitizenRoom, CitizenServicer
from gateway.dispatch.codec import result_from_pb, submission_from_pb, to_bytes
from gateway.dispatch.handling import Handling, Target
from gateway.dispatch.intake import Intake
from gateway.dispatch.returning_servicer import ReturningServicer, UnitRoom
from gateway.dispatch.streaming_servicer import StreamingRoom, StreamingServicer
from gateway.kernel.codes import ContactMethod
from gateway.kernel.errors import BatchTooLarge, FieldInvalid, InvariantViolated, LubiaoError
from gateway.kernel.time import from_microseconds
from gateway.kernel.validation import validate
from gateway.tickets.codec import rating_from_pb
from gateway.tickets.servicer import PrincipalOf, TicketReadServicer, number_of
from gateway.trust.call import Call
from gateway.trust.principal import Principal
from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2

BATCH_TICKETS_MAX = 500  # one answer must come within the deadline of a call
UNSET = from_microseconds(0)
Context = grpc.aio.ServicerContext[Any, Any]
Mutating = (
    ticket_service_pb2.CreateTicketRequest
    | ticket_service_pb2.AcknowledgeTicketRequest
    | ticket_service_pb2.AssignTicketRequest
    | ticket_service_pb2.SignForTicketRequest
    | ticket_service_pb2.RecordContactRequest
    | ticket_service_pb2.ResolveTicketRequest
    | ticket_service_pb2.RateTicketRequest
    | ticket_service_pb2.CloseTicketRequest
)
_pb = ticket_service_pb2
log = structlog.get_logger()


class TicketServicer(StreamingServicer, CitizenServicer, ReturningServicer):
    """The whole TicketService of one node."""

    def __init__(
        self,
        *,
        intake: Intake,
        handling: Handling,
        citizens: CitizenRoom,
        units: UnitRoom,
        reading: TicketReadServicer,
        principal_of: PrincipalOf,
        attaching: Attaching,
    ) -> None:
        """`principal_of` gives the authenticated caller of a call."""
        self._intake = intake
        self._handling = handling
        self.citizens = citizens
        self.units = units
        self.citizens_principal_of = principal_of
        self._reading = reading
        self._principal_of = principal_of
        self.streaming = StreamingRoom(self._created, attaching, principal_of)

    # --- intake -------------------------------------------------------------------------------

    async def CreateTicket(
        self, request: ticket_service_pb2.CreateTicketRequest, context: Context
    ) -> ticket_service_pb2.CreateTicketResponse:
        """Take one message."""
        response = _pb.CreateTicketResponse()
        # Read in place: a message that is given to another one is copied.
        response.ticket.MergeFromString(await self._create(request, self._principal_of(context)))
        return response

    async def BatchCreateTickets(
        self, request: ticket_service_pb2.BatchCreateTicketsRequest, context: Context
    ) -> ticket_service_pb2.BatchCreateTicketsResponse:
        """Take up to 500 messages; each stands or fails alone, and they share units."""
        count = len(request.requests)
        if count == 0:
            raise FieldInvalid(field="requests", got="none", expected="at least one")
        if count > BATCH_TICKETS_MAX:
            raise BatchTooLarge(got=f"{count} tickets", expected=f"{BATCH_TICKETS_MAX} tickets")
        principal = self._principal_of(context)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._create_alone(item, principal)) for item in request.requests
            ]
        response = _pb.BatchCreateTicketsResponse()
        for task in tasks:
            result, outcome = response.results.add(), task.result()
            if isinstance(outcome, bytes):
                result.ticket.MergeFromString(outcome)
            else:
                result.error.CopyFrom(outcome)
        return response

    async def _create_alone(
        self, request: ticket_service_pb2.CreateTicketRequest, principal: Principal
    ) -> bytes | status_pb2.Status:
        """Return the serialised ticket, or why the message was refused."""
        try:
            return await self._create(request, principal)
        except LubiaoError as error:
            refusal = error
        except Exception as error:  # a defect of ours must not hold up the other messages
            log.exception("batch.item_failed")
            refusal = InvariantViolated(
                invariant="a message is taken or refused", got=type(error).__name__
            )
        status: status_pb2.Status = error_to_status(refusal)
        return status

    async def _create(
        self, request: ticket_service_pb2.CreateTicketRequest, principal: Principal
    ) -> bytes:
        validate(request)
        call = _call("CreateTicket", request, principal)
        return await self._intake.create(call, submission_from_pb(request.ticket))

    async def _created(
        self, request: ticket_service_pb2.CreateTicketRequest, principal: Principal
    ) -> ticket_pb2.Ticket:
        return _ticket(await self._create(request, principal))

    # --- acts ---------------------------------------------------------------------------------

    async def AcknowledgeTicket(
        self, request: ticket_service_pb2.AcknowledgeTicketRequest, context: Context
    ) -> ticket_service_pb2.AcknowledgeTicketResponse:
        """Confirm that the platform has the ticket on disk."""
        call = self._checked("AcknowledgeTicket", request, context)
        answer = await self._handling.acknowledge(
            call,
            Target(number=number_of(request.name)),
            external_id=request.external_id,
            number=request.assignment,
        )
        return _pb.AcknowledgeTicketResponse(ticket=_ticket(answer))

    async def AssignTicket(
        self, request: ticket_service_pb2.AssignTicketRequest, context: Context
    ) -> ticket_service_pb2.AssignTicketResponse:
        """Assign a ticket at the desk to a unit."""
        call = self._checked("AssignTicket", request, context)
        target = Target(number=number_of(request.name), etag=request.etag, basis=request.basis)
        answer = await self._handling.assign(call, target, unit=request.unit)
        return _pb.AssignTicketResponse(ticket=_ticket(answer))

    async def SignForTicket(
        self, request: ticket_service_pb2.SignForTicketRequest, context: Context
    ) -> ticket_service_pb2.SignForTicketResponse:
        """Let the unit take it over."""
        call = self._checked("SignForTicket", request, context)
        target = Target(number=number_of(request.name), etag=request.etag)
        return _pb.SignForTicketResponse(ticket=_ticket(await self._handling.sign(call, target)))

    async def RecordContact(
        self, request: ticket_service_pb2.RecordContactRequest, context: Context
    ) -> ticket_service_pb2.RecordContactResponse:
        """Record that the unit contacted the citizen."""
        call = self._checked("RecordContact", request, context)
        has_time = request.HasField("contact_time")
        answer = await self._handling.contact(
            call,
            Target(number=number_of(request.name)),
            method=ContactMethod(request.method),
            at=instant_of_field(request.contact_time, field="contact_time") if has_time else None,
        )
        return _pb.RecordContactResponse(ticket=_ticket(answer))

    async def ResolveTicket(
        self, request: ticket_service_pb2.ResolveTicketRequest, context: Context
    ) -> ticket_service_pb2.ResolveTicketResponse:
        """Record the result."""
        call = self._checked("ResolveTicket", request, context)
        target = Target(number=number_of(request.name), etag=request.etag)
        answer = await self._handling.resolve(
            call, target, result=result_from_pb(request.resolution)
        )
        return _pb.ResolveTicketResponse(ticket=_ticket(answer))

    async def RateTicket(
        self, request: ticket_service_pb2.RateTicketRequest, context: Context
    ) -> ticket_service_pb2.RateTicketResponse:
        """Record what the citizen said."""
        call = self._checked("RateTicket", request, context)
        target = Target(number=number_of(request.name))
        # The time of a rating is that of the act; what the request holds there is ignored.
        rating = rating_from_pb(request.rating, rate_time=UNSET)
        answer = await self.citizens.desk.rate(call, target, rating=rating)
        return _pb.RateTicketResponse(ticket=_ticket(answer))

    async def CloseTicket(
        self, request: ticket_service_pb2.CloseTicketRequest, context: Context
    ) -> ticket_service_pb2.CloseTicketResponse:
        """Close a resolved ticket."""
        call = self._checked("CloseTicket", request, context)
        target = Target(number=number_of(request.name), basis=request.basis)
        return _pb.CloseTicketResponse(ticket=_ticket(await self._handling.close(call, target)))

    # --- reads --------------------------------------------------------------------------------

    async def GetTicket(
        self, request: ticket_service_pb2.GetTicketRequest, context: Context
    ) -> ticket_service_pb2.GetTicketResponse:
        """Return one ticket."""
        return await self._reading.get_ticket(request, context)

    async def ListTickets(
        self, request: ticket_service_pb2.ListTicketsRequest, context: Context
    ) -> ticket_service_pb2.ListTicketsResponse:
        """List tickets, newest first."""
        return await self._reading.list_tickets(request, context)

    async def WatchTickets(
        self, request: ticket_service_pb2.WatchTicketsRequest, context: Context
    ) -> AsyncIterator[ticket_service_pb2.WatchTicketsResponse]:
        """Send every change."""
        async for item in self._reading.watch_tickets(request, context):
            yield item

    async def ListTicketEvents(
        self, request: ticket_service_pb2.ListTicketEventsRequest, context: Context
    ) -> ticket_service_pb2.ListTicketEventsResponse:
        """List one ticket's events, oldest first."""
        return await self._reading.list_ticket_events(request, context)

    def _checked(self, method: str, request: Mutating, context: Context) -> Call:
        validate(request)
        return _call(method, request, self._principal_of(context))


def _call(method: str, request: Mutating, principal: Principal) -> Call:
    return Call(
        principal=principal,
        method=method,
        request_id=request.request_id,
        body=to_bytes(request),
    )


def _ticket(answer: bytes) -> ticket_pb2.Ticket:
    return ticket_pb2.Ticket.FromString(answer)
