"""Protobuf ↔ bodies of custody statements.

Each kind has one pair of functions; `body_to_bytes` and `body_from_bytes` find them by the kind.
A body that does not parse or breaks its schema fails check 4 of docs/custody.md#checks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

from google.protobuf.message import DecodeError, Message

from gateway.custody import bodies, letter_codec, ruling_codec
from gateway.custody.body_codec import (
    act_from_pb,
    act_to_pb,
    commitments_from_pb,
    commitments_to_pb,
    set_digest,
)
from gateway.custody.model import OfferReason, Verdict
from gateway.delivery.codec import (
    PARSED_MAX,
    SAID_MAX,
    digest_to_pb,
    epoch_to_pb,
    instant_from_pb,
    instant_to_pb,
    signed_from_pb,
    signed_to_pb,
)
from gateway.kernel.errors import FieldInvalid, StatementMalformed
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.validation import validate
from hotline.custody.v1 import custody_pb2 as pb
from hotline.ticket.v1 import codes_pb2 as codes_pb
from hotline.ticket.v1 import ticket_pb2 as ticket_pb

_VERDICTS = {
    Verdict.ACCEPTED: pb.Answer.VERDICT_ACCEPTED,
    Verdict.DECLINED: pb.Answer.VERDICT_DECLINED,
    Verdict.REVOKED: pb.Answer.VERDICT_REVOKED,
    Verdict.SUPERSEDED: pb.Answer.VERDICT_SUPERSEDED,
}
_said: dict[tuple[str, bytes], bodies.Body] = {}
_VERDICTS_BACK = {number: verdict for verdict, number in _VERDICTS.items()}


def body_to_bytes(body: bodies.Body) -> bytes:
    """Serialise a body for signing."""
    message = _ENCODE[type(body)](body)
    return message.SerializeToString(deterministic=True)


def remember_said(kind: str, raw: bytes, body: bodies.Body) -> None:
    """Remember what a body of this process means: it was just made of that very value."""
    if len(_said) >= SAID_MAX:
        del _said[next(iter(_said))]  # the oldest
    _said[kind, raw] = body


def body_from_bytes(kind: str, raw: bytes) -> bodies.Body:
    """Parse and validate the body of a statement of `kind`.

    Raises:
        StatementMalformed: check 4.
    """
    return _said.get((kind, raw)) or _body_from_bytes(kind, raw)


@lru_cache(maxsize=PARSED_MAX)
def _body_from_bytes(kind: str, raw: bytes) -> bodies.Body:
    message_type, decode = _DECODE[kind]
    return decode(_parse(message_type(), raw, kind))


def known_kinds() -> tuple[str, ...]:
    """Return the kinds whose bodies this version understands."""
    return tuple(_DECODE)


def check_block(kind: str, raw: bytes) -> None:
    """Return if the plaintext of a content block is one of its kind, within the standard's limits.

    Raises:
        StatementMalformed: check 4. What does not parse now would stop who needs it later.
    """
    message_type = _BLOCKS.get(kind)
    if message_type is None:
        raise StatementMalformed(check=4, got=kind, expected=", ".join(_BLOCKS))
    _parse(message_type(), raw, kind)


def header_uid(header: bytes) -> str:
    """Return the ticket's UUID out of a serialised TicketHeader."""
    return pb.TicketHeader.FromString(header).uid


# --- Genesis ----------------------------------------------------------------------------------


def _encode_genesis(body: bodies.Genesis) -> pb.Genesis:
    message = pb.Genesis(
        origin=body.origin,
        ticket_uid=body.ticket_uid,
        attached=[signed_to_pb(signed) for signed in body.attached],
        commitments=commitments_to_pb(body.commitments),
        parent=body.parent,
        split_index=body.split_index,
    )
    if body.split_epoch is not None:
        message.split_epoch.CopyFrom(epoch_to_pb(body.split_epoch))
    set_digest(message.outer_record, body.outer_record)
    set_digest(message.closed_row, body.closed_row)
    if body.header:
        message.ticket.ParseFromString(body.header)
    return message


def _decode_genesis(message: pb.Genesis) -> bodies.Genesis:
    return bodies.Genesis(
        origin=AuthorityCode(message.origin),
        ticket_uid=message.ticket_uid,
        outer_record=message.outer_record.value,
        attached=tuple(signed_from_pb(item) for item in message.attached),
        closed_row=message.closed_row.value,
        header=message.ticket.SerializeToString(deterministic=True),
        commitments=commitments_from_pb(message.commitments),
        parent=message.parent,
        split_epoch=(
            Epoch(message.split_epoch.era, message.split_epoch.count)
            if message.HasField("split_epoch")
            else None
        ),
        split_index=message.split_index,
    )


# --- Offer, Answer, Revoke, Release -----------------------------------------------------------


def _encode_offer(body: bodies.Offer) -> pb.Offer:
    message = pb.Offer(
        target=body.target,
        prior_record=digest_to_pb(body.prior_record),
        path=body.path,
        hops=body.hops,
        refusals=body.refusals,
        case=body.case,
        window_end=instant_to_pb(body.window_end),
        reason=cast("pb.OfferReason.ValueType", body.reason.value),
        rule=body.rule,
        commitments=commitments_to_pb(body.commitments),
        attached=[signed_to_pb(signed) for signed in body.attached],
        acts=[act_to_pb(act) for act in body.acts],
        citizen_act_applied=body.citizen_act_applied,
        mandated=body.mandated,
    )
    if body.assumption is not None:
        message.assumption.CopyFrom(signed_to_pb(body.assumption))
    message.ticket.ParseFromString(body.header)
    set_digest(message.trace_digest, body.trace_digest)
    return message


def _decode_offer(message: pb.Offer) -> bodies.Offer:
    return bodies.Offer(
        target=AuthorityCode(message.target),
        prior_record=message.prior_record.value,
        path=tuple(message.path),
        hops=message.hops,
        refusals=message.refusals,
        case=message.case,
        window_end=instant_from_pb(message.window_end),
        reason=OfferReason(message.reason),
        rule=message.rule,
        trace_digest=message.trace_digest.value,
        header=message.ticket.SerializeToString(deterministic=True),
        commitments=commitments_from_pb(message.commitments),
        attached=tuple(signed_from_pb(item) for item in message.attached),
        acts=tuple(act_from_pb(act) for act in message.acts),
        citizen_act_applied=message.citizen_act_applied,
        assumption=(signed_from_pb(message.assumption) if message.HasField("assumption") else None),
        mandated=message.mandated,
    )


def _encode_answer(body: bodies.Answer) -> pb.Answer:
    message = pb.Answer(
        verdict=_VERDICTS[body.verdict],
        reason=cast("codes_pb.ReturnReason.ValueType", body.reason),
        clause=body.clause,
        proposed_owner=body.proposed_owner,
        attached=[signed_to_pb(signed) for signed in body.attached],
    )
    set_digest(message.offer_digest, body.offer_digest)
    return message


def _decode_answer(message: pb.Answer) -> bodies.Answer:
    return bodies.Answer(
        verdict=_VERDICTS_BACK[message.verdict],
        offer_digest=message.offer_digest.value,
        reason=message.reason,
        clause=message.clause,
        proposed_owner=message.proposed_owner,
        attached=tuple(signed_from_pb(item) for item in message.attached),
    )


def _encode_stand_by(body: bodies.StandBy) -> pb.StandBy:
    return pb.StandBy(
        offer_digest=digest_to_pb(body.offer_digest),
        until_time=instant_to_pb(body.until),
        decider=body.decider,
    )


def _decode_stand_by(message: pb.StandBy) -> bodies.StandBy:
    return bodies.StandBy(
        offer_digest=message.offer_digest.value,
        until=instant_from_pb(message.until_time),
        decider=message.decider,
    )


def _encode_revoke(body: bodies.Revoke) -> pb.Revoke:
    message = pb.Revoke(reason=body.reason)
    set_digest(message.offer_digest, body.offer_digest)
    if body.offer is not None:
        message.offer.CopyFrom(signed_to_pb(body.offer))
    return message


def _decode_revoke(message: pb.Revoke) -> bodies.Revoke:
    return bodies.Revoke(
        offer_digest=message.offer_digest.value,
        reason=message.reason,
        offer=signed_from_pb(message.offer),
    )


def _encode_release(body: bodies.Release) -> pb.Release:
    return pb.Release(
        acceptance_digest=digest_to_pb(body.acceptance_digest),
        commitments=commitments_to_pb(body.commitments),
    )


def _decode_release(message: pb.Release) -> bodies.Release:
    return bodies.Release(
        acceptance_digest=message.acceptance_digest.value,
        commitments=commitments_from_pb(message.commitments),
    )


# --- ChainClosed ------------------------------------------------------------------------------


def _encode_closed(body: bodies.ChainClosed) -> pb.ChainClosed:
    return pb.ChainClosed(outer_record=digest_to_pb(body.outer_record))


def _decode_closed(message: pb.ChainClosed) -> bodies.ChainClosed:
    return bodies.ChainClosed(outer_record=message.outer_record.value)


# --- TicketUpdate, UpdateAnswer ---------------------------------------------------------------


def _encode_update(body: bodies.TicketUpdate) -> pb.TicketUpdate:
    return pb.TicketUpdate(
        sequence=body.sequence,
        state=cast("ticket_pb.Ticket.State.ValueType", body.state),
        custodian=body.custodian,
        acts=[act_to_pb(act) for act in body.acts],
        commitments=commitments_to_pb(body.commitments),
        attached=[signed_to_pb(signed) for signed in body.attached],
        citizen_act_applied=body.citizen_act_applied,
    )


def _decode_update(message: pb.TicketUpdate) -> bodies.TicketUpdate:
    return bodies.TicketUpdate(
        sequence=message.sequence,
        state=message.state,
        custodian=AuthorityCode(message.custodian),
        acts=tuple(act_from_pb(act) for act in message.acts),
        commitments=commitments_from_pb(message.commitments),
        attached=tuple(signed_from_pb(item) for item in message.attached),
        citizen_act_applied=message.citizen_act_applied,
    )


def _encode_update_answer(body: bodies.UpdateAnswer) -> pb.UpdateAnswer:
    return pb.UpdateAnswer(
        sequence=body.sequence,
        verdict=cast("pb.UpdateAnswer.Verdict.ValueType", body.verdict.value),
        update_digest=digest_to_pb(body.update_digest),
        attached=[signed_to_pb(item) for item in body.attached],
    )


def _decode_update_answer(message: pb.UpdateAnswer) -> bodies.UpdateAnswer:
    return bodies.UpdateAnswer(
        sequence=message.sequence,
        verdict=bodies.UpdateVerdict(message.verdict),
        update_digest=message.update_digest.value,
        attached=tuple(signed_from_pb(item) for item in message.attached),
    )


_Parsed = TypeVar("_Parsed", bound=Message)


def _parse(message: _Parsed, raw: bytes, kind: str) -> _Parsed:
    try:
        message.ParseFromString(raw)
        validate(message)
    except DecodeError as error:
        raise StatementMalformed(check=4, got="bytes", expected=f"a {kind}") from error
    except FieldInvalid as error:
        raise StatementMalformed(
            check=4,
            got=f"{kind}.{error.metadata['field']}: {error.metadata['got']}",
            expected=error.metadata["expected"],
        ) from error
    return message


_ENCODE: dict[type[Any], Callable[[Any], Message]] = {
    bodies.Genesis: _encode_genesis,
    bodies.Offer: _encode_offer,
    bodies.Answer: _encode_answer,
    bodies.Revoke: _encode_revoke,
    bodies.Release: _encode_release,
    bodies.CaseFiling: ruling_codec.encode_filing,
    bodies.Assumption: ruling_codec.encode_assumption,
    bodies.Ruling: ruling_codec.encode_ruling,
    bodies.RulingAck: ruling_codec.encode_ack,
    bodies.StandDown: ruling_codec.encode_stand_down,
    bodies.ChainClosed: _encode_closed,
    bodies.TicketUpdate: _encode_update,
    bodies.UpdateAnswer: _encode_update_answer,
    bodies.CitizenAct: letter_codec.encode_act,
    bodies.InformationRequest: letter_codec.encode_question,
    bodies.InformationAnswer: letter_codec.encode_answer,
    bodies.StandBy: _encode_stand_by,
    bodies.Inquiry: letter_codec.encode_inquiry,
    bodies.InquiryAnswer: letter_codec.encode_inquiry_answer,
}
_BLOCKS: dict[str, type[Message]] = {
    "case_block": pb.CaseBlock,
    "identity_block": pb.IdentityBlock,
    "state_block": pb.StateBlock,
    "letter_block": pb.LetterBlock,
    "inquiry_block": pb.InquiryBlock,
}
_DECODE: dict[str, tuple[type[Any], Callable[[Any], bodies.Body]]] = {
    "Genesis": (pb.Genesis, _decode_genesis),
    "Offer": (pb.Offer, _decode_offer),
    "Answer": (pb.Answer, _decode_answer),
    "Revoke": (pb.Revoke, _decode_revoke),
    "Release": (pb.Release, _decode_release),
    "CaseFiling": (pb.CaseFiling, ruling_codec.decode_filing),
    "Assumption": (pb.Assumption, ruling_codec.decode_assumption),
    "Ruling": (pb.Ruling, ruling_codec.decode_ruling),
    "RulingAck": (pb.RulingAck, ruling_codec.decode_ack),
    "StandDown": (pb.StandDown, ruling_codec.decode_stand_down),
    "ChainClosed": (pb.ChainClosed, _decode_closed),
    "TicketUpdate": (pb.TicketUpdate, _decode_update),
    "UpdateAnswer": (pb.UpdateAnswer, _decode_update_answer),
    "CitizenAct": (pb.CitizenAct, letter_codec.decode_act),
    "InformationRequest": (pb.InformationRequest, letter_codec.decode_question),
    "InformationAnswer": (pb.InformationAnswer, letter_codec.decode_answer),
    "StandBy": (pb.StandBy, _decode_stand_by),
    "Inquiry": (pb.Inquiry, letter_codec.decode_inquiry),
    "InquiryAnswer": (pb.InquiryAnswer, letter_codec.decode_inquiry_answer),
}
