"""An answer of the platform as the RPC that it is: one table, action → method and request. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from google.protobuf.message import Message

from adapters.file_drop.rows import Answer
from hotline.ticket.v1 import codes_pb2, ticket_service_pb2

Call = tuple[str, Message]
_pb = ticket_service_pb2


def request_of(answer: Answer, *, request_id: str) -> Call:
    """Return the method of TicketService that an answer calls, and its request."""
    return _ACTS[answer.action](answer, f"tickets/{answer.number}", request_id)


def _sign(_: Answer, name: str, request_id: str) -> Call:
    return "SignForTicket", _pb.SignForTicketRequest(name=name, request_id=request_id)


def _contact(answer: Answer, name: str, request_id: str) -> Call:
    return "RecordContact", _pb.RecordContactRequest(
        name=name,
        method=codes_pb2.ContactMethod.ValueType(answer.method),
        contact_time=answer.contact_time,
        request_id=request_id,
    )


def _done(answer: Answer, name: str, request_id: str) -> Call:
    return "ResolveTicket", _pb.ResolveTicketRequest(
        name=name, resolution=answer.resolution, request_id=request_id
    )


def _rating(answer: Answer, name: str, request_id: str) -> Call:
    return "RateTicket", _pb.RateTicketRequest(
        name=name, rating=answer.rating, request_id=request_id
    )


def _close(answer: Answer, name: str, request_id: str) -> Call:
    return "CloseTicket", _pb.CloseTicketRequest(
        name=name, basis=answer.basis, request_id=request_id
    )


def _return(answer: Answer, name: str, request_id: str) -> Call:
    return "ReturnTicket", _pb.ReturnTicketRequest(
        name=name,
        reason=codes_pb2.ReturnReason.ValueType(answer.return_reason),
        clause=answer.clause,
        proposed_owner=answer.proposed_owner,
        request_id=request_id,
    )


def _ask(answer: Answer, name: str, request_id: str) -> Call:
    return "RequestInformation", _pb.RequestInformationRequest(
        name=name, question=answer.question, request_id=request_id
    )


def _answer(answer: Answer, name: str, request_id: str) -> Call:
    return "AnswerInformation", _pb.AnswerInformationRequest(
        name=name,
        request_number=answer.question_number,
        answer=answer.text,
        request_id=request_id,
    )


def _extend(answer: Answer, name: str, request_id: str) -> Call:
    return "ExtendDeadline", _pb.ExtendDeadlineRequest(
        name=name,
        reason=codes_pb2.ExtensionReason.ValueType(answer.extension_reason),
        new_due_time=answer.new_due_time,
        basis=answer.basis,
        request_id=request_id,
    )


def _supplement(answer: Answer, name: str, request_id: str) -> Call:
    return "SupplementTicket", _pb.SupplementTicketRequest(
        name=name, text=answer.text, request_id=request_id
    )


def _urge(answer: Answer, name: str, request_id: str) -> Call:
    return "UrgeTicket", _pb.UrgeTicketRequest(name=name, text=answer.text, request_id=request_id)


def _withdraw(answer: Answer, name: str, request_id: str) -> Call:
    return "WithdrawTicket", _pb.WithdrawTicketRequest(
        name=name, text=answer.text, request_id=request_id
    )


def _reopen(answer: Answer, name: str, request_id: str) -> Call:
    return "ReopenTicket", _pb.ReopenTicketRequest(
        name=name, text=answer.text, request_id=request_id
    )


_ACTS: Mapping[str, Callable[[Answer, str, str], Call]] = {
    "sign": _sign,
    "contact": _contact,
    "done": _done,
    "rating": _rating,
    "close": _close,
    "return": _return,
    "ask": _ask,
    "answer": _answer,
    "extend": _extend,
    "supplement": _supplement,
    "urge": _urge,
    "withdraw": _withdraw,
    "reopen": _reopen,
}
