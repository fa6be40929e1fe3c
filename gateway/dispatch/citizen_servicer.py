"""The part of TicketService for citizens' acts, questions and children."""

from __future__ import annotations

from typing import Any

import grpc

from gateway.dispatch.asking import Asking
from gateway.dispatch.citizen import CitizenDesk
from gateway.dispatch.codec import to_bytes
from gateway.dispatch.handling import Target
from gateway.dispatch.split_desk import SplitDesk
from gateway.kernel.codes import CitizenActKind, TicketPurpose
from gateway.kernel.validation import validate
from gateway.kernel.values import dataclass
from gateway.tickets.children import Wanted
from gateway.tickets.servicer import PrincipalOf, number_of
from gateway.trust.call import Call
from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2, ticket_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
_pb = ticket_service_pb2
Mutating = (
    ticket_service_pb2.SupplementTicketRequest
    | ticket_service_pb2.UrgeTicketRequest
    | ticket_service_pb2.WithdrawTicketRequest
    | ticket_service_pb2.ReopenTicketRequest
    | ticket_service_pb2.RequestInformationRequest
    | ticket_service_pb2.AnswerInformationRequest
    | ticket_service_pb2.SplitTicketRequest
)
Telling = (
    ticket_service_pb2.SupplementTicketRequest
    | ticket_service_pb2.UrgeTicketRequest
    | ticket_service_pb2.WithdrawTicketRequest
    | ticket_service_pb2.ReopenTicketRequest
)


@dataclass(frozen=True, slots=True)
class CitizenRoom:
    """The use cases behind this part of the service."""

    desk: CitizenDesk
    asking: Asking
    splitting: SplitDesk


class CitizenServicer(ticket_service_pb2_grpc.TicketServiceServicer):
    """SupplementTicket to SplitTicket; a base of the whole TicketService."""

    citizens: CitizenRoom
    citizens_principal_of: PrincipalOf

    async def SupplementTicket(
        self, request: ticket_service_pb2.SupplementTicketRequest, context: Context
    ) -> ticket_service_pb2.SupplementTicketResponse:
        """Add to the message."""
        kind = CitizenActKind.SUPPLEMENT
        ticket = await self._taken("SupplementTicket", request, context, kind)
        return _pb.SupplementTicketResponse(ticket=ticket)

    async def UrgeTicket(
        self, request: ticket_service_pb2.UrgeTicketRequest, context: Context
    ) -> ticket_service_pb2.UrgeTicketResponse:
        """Urge the custodian."""
        ticket = await self._taken("UrgeTicket", request, context, CitizenActKind.URGE)
        return _pb.UrgeTicketResponse(ticket=ticket)

    async def WithdrawTicket(
        self, request: ticket_service_pb2.WithdrawTicketRequest, context: Context
    ) -> ticket_service_pb2.WithdrawTicketResponse:
        """Take the message back."""
        ticket = await self._taken("WithdrawTicket", request, context, CitizenActKind.WITHDRAW)
        return _pb.WithdrawTicketResponse(ticket=ticket)

    async def ReopenTicket(
        self, request: ticket_service_pb2.ReopenTicketRequest, context: Context
    ) -> ticket_service_pb2.ReopenTicketResponse:
        """Have it handled again."""
        ticket = await self._taken("ReopenTicket", request, context, CitizenActKind.REOPEN)
        return _pb.ReopenTicketResponse(ticket=ticket)

    async def RequestInformation(
        self, request: ticket_service_pb2.RequestInformationRequest, context: Context
    ) -> ticket_service_pb2.RequestInformationResponse:
        """Ask the citizen through the origin."""
        call = self._citizen_call("RequestInformation", request, context)
        target = Target(number=number_of(request.name))
        answer = await self.citizens.asking.ask(call, target, question=request.question)
        return _pb.RequestInformationResponse(ticket=ticket_pb2.Ticket.FromString(answer))

    async def AnswerInformation(
        self, request: ticket_service_pb2.AnswerInformationRequest, context: Context
    ) -> ticket_service_pb2.AnswerInformationResponse:
        """Answer a question at the origin."""
        call = self._citizen_call("AnswerInformation", request, context)
        answer = await self.citizens.asking.answer(
            call,
            Target(number=number_of(request.name)),
            number=request.request_number,
            answer=request.answer,
        )
        return _pb.AnswerInformationResponse(ticket=ticket_pb2.Ticket.FromString(answer))

    async def SplitTicket(
        self, request: ticket_service_pb2.SplitTicketRequest, context: Context
    ) -> ticket_service_pb2.SplitTicketResponse:
        """Split children off."""
        call = self._citizen_call("SplitTicket", request, context)
        wanted = [
            Wanted(
                purpose=TicketPurpose(each.purpose),
                region=each.region,
                matter=each.matter,
                title=each.title,
                content=each.content,
            )
            for each in request.children
        ]
        target = Target(number=number_of(request.name), etag=request.etag)
        answer = await self.citizens.splitting.split(call, target, wanted=wanted)
        return _pb.SplitTicketResponse(ticket=ticket_pb2.Ticket.FromString(answer))

    async def _taken(
        self, method: str, request: Telling, context: Context, kind: CitizenActKind
    ) -> ticket_pb2.Ticket:
        call = self._citizen_call(method, request, context)
        target = Target(number=number_of(request.name))
        answer = await self.citizens.desk.take(call, target, kind=kind, text=request.text)
        return ticket_pb2.Ticket.FromString(answer)

    def _citizen_call(self, method: str, request: Mutating, context: Context) -> Call:
        validate(request)
        return Call(
            principal=self.citizens_principal_of(context),
            method=method,
            request_id=request.request_id,
            body=to_bytes(request),
        )
