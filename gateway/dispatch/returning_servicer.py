"""The part of TicketService for what units ask of the desk: returns and extensions."""

from __future__ import annotations

from typing import Any

import grpc

from gateway.delivery.codec import instant_of_field
from gateway.dispatch.codec import to_bytes
from gateway.dispatch.extending import Extending, Request
from gateway.dispatch.handling import Target
from gateway.dispatch.returning import Plea, Returning
from gateway.kernel.codes import ExtensionReason, ReturnReason
from gateway.kernel.validation import validate
from gateway.kernel.values import dataclass
from gateway.tickets.servicer import PrincipalOf, number_of
from gateway.trust.call import Call
from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2, ticket_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
Asking = (
    ticket_service_pb2.ReturnTicketRequest
    | ticket_service_pb2.ReviewReturnRequest
    | ticket_service_pb2.ExtendDeadlineRequest
    | ticket_service_pb2.ReviewExtensionRequest
)
_pb = ticket_service_pb2


@dataclass(frozen=True, slots=True)
class UnitRoom:
    """The use cases behind this part of the service."""

    returning: Returning
    extending: Extending
    principal_of: PrincipalOf


class ReturningServicer(ticket_service_pb2_grpc.TicketServiceServicer):
    """ReturnTicket to ReviewExtension; a base of the whole TicketService."""

    units: UnitRoom

    async def ReturnTicket(
        self, request: ticket_service_pb2.ReturnTicketRequest, context: Context
    ) -> ticket_service_pb2.ReturnTicketResponse:
        """File a return."""
        call = self._unit_call("ReturnTicket", request, context)
        target = Target(number=number_of(request.name), etag=request.etag)
        plea = Plea(
            reason=ReturnReason(request.reason),
            clause=request.clause,
            proposed_owner=request.proposed_owner,
        )
        answer = await self.units.returning.file(call, target, plea=plea)
        return _pb.ReturnTicketResponse(ticket=ticket_pb2.Ticket.FromString(answer))

    async def ReviewReturn(
        self, request: ticket_service_pb2.ReviewReturnRequest, context: Context
    ) -> ticket_service_pb2.ReviewReturnResponse:
        """Grant or refuse a return."""
        call = self._unit_call("ReviewReturn", request, context)
        target = Target(number=number_of(request.name), etag=request.etag)
        answer = await self.units.returning.review(
            call,
            target,
            number=request.return_number,
            is_granted=request.granted,
            basis=request.basis,
        )
        return _pb.ReviewReturnResponse(ticket=ticket_pb2.Ticket.FromString(answer))

    async def ExtendDeadline(
        self, request: ticket_service_pb2.ExtendDeadlineRequest, context: Context
    ) -> ticket_service_pb2.ExtendDeadlineResponse:
        """Ask for more time."""
        call = self._unit_call("ExtendDeadline", request, context)
        target = Target(number=number_of(request.name), etag=request.etag)
        wish = Request(
            reason=ExtensionReason(request.reason),
            new_due=instant_of_field(request.new_due_time, field="new_due_time"),
            basis=request.basis,
        )
        answer = await self.units.extending.ask(call, target, request=wish)
        return _pb.ExtendDeadlineResponse(ticket=ticket_pb2.Ticket.FromString(answer))

    async def ReviewExtension(
        self, request: ticket_service_pb2.ReviewExtensionRequest, context: Context
    ) -> ticket_service_pb2.ReviewExtensionResponse:
        """Grant or refuse more time."""
        call = self._unit_call("ReviewExtension", request, context)
        target = Target(number=number_of(request.name), etag=request.etag)
        answer = await self.units.extending.review(
            call,
            target,
            number=request.extension_number,
            is_granted=request.granted,
            is_citizen_told=request.citizen_told,
            basis=request.basis,
        )
        return _pb.ReviewExtensionResponse(ticket=ticket_pb2.Ticket.FromString(answer))

    def _unit_call(self, method: str, request: Asking, context: Context) -> Call:
        validate(request)
        return Call(
            principal=self.units.principal_of(context),
            method=method,
            request_id=request.request_id,
            body=to_bytes(request),
        )
