"""Protobuf ↔ a ticket's life: returns, extensions, questions, citizen's acts, children."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.delivery.codec import instant_from_pb, instant_to_pb
from gateway.kernel.codes import CitizenActKind
from gateway.kernel.time import Instant
from gateway.tickets.life_rows import known_code
from gateway.tickets.model import (
    Child,
    CitizenAct,
    Extension,
    Question,
    Return,
    Ticket,
    UnitRequest,
    letter_key,
)
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import codes_pb2, ticket_pb2

_pb = ticket_pb2


def add_life(message: ticket_pb2.Ticket, ticket: Ticket, *, children: Sequence[Child] = ()) -> None:
    """Render what happened to a ticket beside its handling, without texts."""
    if ticket.parent is not None:
        message.parent = f"tickets/{ticket.parent}"
        message.purpose = codes_pb2.TicketPurpose.ValueType(ticket.purpose)
    if ticket.returns:
        message.returns.extend(return_to_pb(item) for item in ticket.returns)
    if ticket.extensions:
        message.extensions.extend(extension_to_pb(item) for item in ticket.extensions)
    if ticket.questions:
        message.information_requests.extend(question_to_pb(item) for item in ticket.questions)
    if ticket.citizen_acts:
        message.citizen_acts.extend(act_to_pb(item) for item in ticket.citizen_acts)
    if ticket.unit_requests:
        message.unit_requests.extend(request_to_pb(item) for item in ticket.unit_requests)
    if children:
        message.children.extend(child_to_pb(item) for item in children)


def add_letters(message: ticket_pb2.Ticket, letters: Mapping[str, str]) -> None:
    """Add the opened texts to what `add_life` rendered."""
    for question in message.information_requests:
        question.question = letters.get(letter_key("question", question.number, question.asker), "")
        question.answer = letters.get(letter_key("answer", question.number, question.asker), "")
    for act in message.citizen_acts:
        act.text = letters.get(letter_key("act", act.number), "")


def return_to_pb(item: Return) -> ticket_pb2.Return:
    """Render a return."""
    message = _pb.Return(
        number=item.number,
        assignment=item.assignment,
        unit=item.unit,
        state=_pb.Return.State.ValueType(item.state),
        reason=codes_pb2.ReturnReason.ValueType(item.reason),
        clause=item.clause,
        proposed_owner=item.proposed_owner,
        file_time=instant_to_pb(item.file_time),
        review_due_time=instant_to_pb(item.review_due_time),
        review_basis=item.review_basis,
        counter_proposal=item.counter_proposal,
        question=item.question,
        answer=item.answer,
    )
    _set(message.review_time, item.review_time)
    _set(message.stand_by_time, item.stand_by_time)
    _set(message.answer_time, item.answer_time)
    return message


def request_to_pb(item: UnitRequest) -> ticket_pb2.UnitRequest:
    """Render a request to a vertically managed body."""
    message = _pb.UnitRequest(
        number=item.number,
        unit=item.unit,
        asked=item.asked,
        state=_pb.UnitRequest.State.ValueType(item.state),
        bound_unit=item.bound_unit,
        case=item.case,
        ruling=item.ruling,
        return_number=item.return_number,
        ask_time=instant_to_pb(item.ask_time),
        due_time=instant_to_pb(item.due_time),
        reason=codes_pb2.ReturnReason.ValueType(item.reason),
        clause=item.clause,
    )
    _set(message.answer_time, item.answer_time)
    return message


def extension_to_pb(item: Extension) -> ticket_pb2.Extension:
    """Render a wish for more time."""
    message = _pb.Extension(
        number=item.number,
        unit=item.unit,
        state=_pb.Extension.State.ValueType(item.state),
        reason=codes_pb2.ExtensionReason.ValueType(item.reason),
        new_due_time=instant_to_pb(item.new_due_time),
        ask_time=instant_to_pb(item.ask_time),
        citizen_told=item.citizen_told,
    )
    _set(message.review_time, item.review_time)
    return message


def question_to_pb(item: Question) -> ticket_pb2.InformationRequest:
    """Render a question to the citizen without its texts."""
    message = _pb.InformationRequest(
        number=item.number, asker=item.asker, ask_time=instant_to_pb(item.ask_time)
    )
    _set(message.answer_time, item.answer_time)
    return message


def act_to_pb(item: CitizenAct) -> ticket_pb2.CitizenAct:
    """Render a citizen's act without its text."""
    return _pb.CitizenAct(
        number=item.number,
        kind=codes_pb2.CitizenActKind.ValueType(item.kind),
        act_time=instant_to_pb(item.act_time),
        applied=item.applied,
        refusal=item.refusal,
    )


def refused_acts_from_block(block: bytes) -> tuple[CitizenAct, ...]:
    """Read which of the citizen's acts a custodian told that it could not carry out."""
    message = custody_pb2.StateBlock.FromString(block)
    return tuple(
        CitizenAct(
            number=item.number,
            kind=known_code(CitizenActKind, item.kind),
            act_time=instant_from_pb(item.act_time),
            refusal=item.refusal or "TRANSITION_NOT_ALLOWED",
        )
        for item in message.refused_acts
    )


def child_to_pb(item: Child) -> ticket_pb2.ChildTicket:
    """Render a child ticket as its parent shows it."""
    return _pb.ChildTicket(
        name=f"tickets/{item.number}",
        purpose=codes_pb2.TicketPurpose.ValueType(item.purpose),
        state=_pb.Ticket.State.ValueType(item.state),
        custodian=item.custodian,
    )


def _set(target: Timestamp, moment: Instant | None) -> None:
    if moment is not None:
        target.CopyFrom(instant_to_pb(moment))
