"""The part of TicketService for what units ask of the desk: returns, requests and extensions."""

from __future__ import annotations

import re
import uuid
from typing import Any

import grpc

from gateway.delivery.codec import instant_of_field
from gateway.dispatch.codec import to_bytes
from gateway.dispatch.extending import Extending, Request
from gateway.dispatch.handling import Target
from gateway.dispatch.requests import Answer as RequestAnswer
from gateway.dispatch.requests import Requests
from gateway.dispatch.returning import Plea, ReturnAlarm, Returning
from gateway.dispatch.returning_answers import (
    Answer,
    Counter,
    Question,
    ReturnAnswers,
    StandBy,
)
from gateway.kernel.codes import ExtensionReason, ReturnReason
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import TicketNumber
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
    | ticket_service_pb2.AnswerReturnRequest
    | ticket_service_pb2.RespondToReturnRequest
    | ticket_service_pb2.ClaimTicketRequest
    | ticket_service_pb2.RequestUnitRequest
    | ticket_service_pb2.AnswerUnitRequestRequest
)
_pb = ticket_service_pb2
_NAME = re.compile(r"tickets/([1-9][0-9]{21}[0-9X])")


@dataclass(frozen=True, slots=True)
class UnitRoom:
    """The use cases behind this part of the service."""

    returning: Returning
    extending: Extending
    answers: ReturnAnswers
    requests: Requests
    alarm: ReturnAlarm
    principal_of: PrincipalOf


class ReturningServicer(ticket_service_pb2_grpc.TicketServiceServicer):
    """ReturnTicket to ReviewExtension; a base of the whole TicketService."""

    units: UnitRoom

    async def ReturnTicket(
        self, request: ticket_service_pb2.ReturnTicketRequest, context: Context
    ) -> ticket_service_pb2.ReturnTicketResponse:
        """File a return; what it lacks is recorded like any other invalid return."""
        try:
            call = self._unit_call("ReturnTicket", request, context)
        except FieldInvalid as error:
            name = _NAME.fullmatch(request.name)
            if name is not None and is_request_id(request.request_id):
                await self.units.returning.refused(
                    self._call_of("ReturnTicket", request, context), TicketNumber(name[1]), error
                )
            raise
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

    async def AnswerReturn(
        self, request: ticket_service_pb2.AnswerReturnRequest, context: Context
    ) -> ticket_service_pb2.AnswerReturnResponse:
        """Stand by, propose another unit, or ask."""
        call = self._unit_call("AnswerReturn", request, context)
        answer = await self.units.answers.answer(
            call,
            Target(number=number_of(request.name), etag=request.etag),
            number=request.return_number,
            answer=_answer_of(request),
            basis=request.basis,
        )
        return _pb.AnswerReturnResponse(ticket=ticket_pb2.Ticket.FromString(answer))

    async def RespondToReturn(
        self, request: ticket_service_pb2.RespondToReturnRequest, context: Context
    ) -> ticket_service_pb2.RespondToReturnResponse:
        """Agree to the desk's proposal, or answer its question."""
        call = self._unit_call("RespondToReturn", request, context)
        target = Target(number=number_of(request.name), etag=request.etag)
        number = request.return_number
        if request.WhichOneof("response") == "agreed_by":
            answer = await self.units.answers.agree(
                call, target, number=number, unit=request.agreed_by
            )
        else:
            answer = await self.units.answers.inform(
                call, target, number=number, text=request.information
            )
        return _pb.RespondToReturnResponse(ticket=ticket_pb2.Ticket.FromString(answer))

    async def ClaimTicket(
        self, request: ticket_service_pb2.ClaimTicketRequest, context: Context
    ) -> ticket_service_pb2.ClaimTicketResponse:
        """Take a ticket that is the unit's own."""
        call = self._unit_call("ClaimTicket", request, context)
        target = Target(number=number_of(request.name), etag=request.etag)
        answer = await self.units.answers.claim(
            call, target, unit=request.unit, clause=request.clause
        )
        return _pb.ClaimTicketResponse(ticket=ticket_pb2.Ticket.FromString(answer))

    async def RequestUnit(
        self, request: ticket_service_pb2.RequestUnitRequest, context: Context
    ) -> ticket_service_pb2.RequestUnitResponse:
        """Ask a vertically managed body."""
        call = self._unit_call("RequestUnit", request, context)
        target = Target(number=number_of(request.name), etag=request.etag, basis=request.basis)
        answer = await self.units.requests.ask_by_person(call, target, unit=request.unit)
        return _pb.RequestUnitResponse(ticket=ticket_pb2.Ticket.FromString(answer))

    async def AnswerUnitRequest(
        self, request: ticket_service_pb2.AnswerUnitRequestRequest, context: Context
    ) -> ticket_service_pb2.AnswerUnitRequestResponse:
        """Accept or decline for such a body."""
        call = self._unit_call("AnswerUnitRequest", request, context)
        answer = await self.units.requests.answer(
            call,
            Target(number=number_of(request.name), etag=request.etag, basis=request.clause),
            number=request.unit_request_number,
            answer=RequestAnswer(
                is_accepted=request.accepted,
                clause=request.clause,
                reason=ReturnReason(request.reason),
            ),
        )
        return _pb.AnswerUnitRequestResponse(unit_request=ticket_pb2.UnitRequest.FromString(answer))

    def _unit_call(self, method: str, request: Asking, context: Context) -> Call:
        validate(request)
        return self._call_of(method, request, context)

    def _call_of(self, method: str, request: Asking, context: Context) -> Call:
        return Call(
            principal=self.units.principal_of(context),
            method=method,
            request_id=request.request_id,
            body=to_bytes(request),
        )


def is_request_id(text: str) -> bool:
    """Tell whether a text is a request id, under which something can be recorded."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _answer_of(request: ticket_service_pb2.AnswerReturnRequest) -> Answer:
    match request.WhichOneof("answer"):
        case "counter_proposal":
            return Counter(request.counter_proposal)
        case "question":
            return Question(request.question)
        case _:
            stand_by = request.stand_by
            if not stand_by.HasField("until_time"):
                return StandBy()
            return StandBy(instant_of_field(stand_by.until_time, field="until_time"))
