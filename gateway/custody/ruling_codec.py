"""Protobuf ↔ bodies about cases and rulings."""

from __future__ import annotations

from typing import cast

from gateway.custody import bodies
from gateway.custody.body_codec import (
    act_from_pb,
    act_to_pb,
    commitments_from_pb,
    commitments_to_pb,
    set_digest,
)
from gateway.custody.model import RulingPart
from gateway.delivery.codec import (
    digest_to_pb,
    epoch_to_pb,
    instant_from_pb,
    instant_to_pb,
    signed_from_pb,
    signed_to_pb,
)
from gateway.kernel.codes import RulingKind
from gateway.kernel.ids import AuthorityCode, Epoch
from hotline.custody.v1 import custody_pb2 as pb


def encode_filing(body: bodies.CaseFiling) -> pb.CaseFiling:
    """Render a filing."""
    message = pb.CaseFiling(
        ground=body.ground,
        case=body.case,
        last_record=digest_to_pb(body.last_record),
        cause=body.cause,
        proposed_target=body.proposed_target,
        path=body.path,
        attached=[signed_to_pb(item) for item in body.attached],
        refused_by=body.refused_by,
    )
    if body.header:
        message.ticket.ParseFromString(body.header)
    return message


def decode_filing(message: pb.CaseFiling) -> bodies.CaseFiling:
    """Read a filing."""
    return bodies.CaseFiling(
        ground=message.ground,
        case=message.case,
        last_record=message.last_record.value,
        cause=message.cause,
        proposed_target=message.proposed_target,
        header=message.ticket.SerializeToString(deterministic=True),
        path=tuple(message.path),
        attached=tuple(signed_from_pb(item) for item in message.attached),
        refused_by=tuple(message.refused_by),
    )


def encode_assumption(body: bodies.Assumption) -> pb.Assumption:
    """Render an assumption."""
    return pb.Assumption(case=body.case, expire_time=instant_to_pb(body.expire))


def decode_assumption(message: pb.Assumption) -> bodies.Assumption:
    """Read an assumption."""
    return bodies.Assumption(case=message.case, expire=instant_from_pb(message.expire_time))


def encode_ruling(body: bodies.Ruling) -> pb.Ruling:
    """Render a ruling."""
    message = pb.Ruling(
        number=body.number,
        target=body.target,
        kind=cast("pb.Ruling.Kind.ValueType", int(body.kind)),
        offers_allowed=body.offers_allowed,
        mandates=body.mandates,
        legal_basis=body.legal_basis,
        effective_time=instant_to_pb(body.effective),
        case=body.case,
        ticket_uid=body.ticket_uid,
        form=body.form,
        merge_into=body.merge_into,
    )
    for part in body.parts:
        message.parts.add(party=part.party, matter=part.matter)
    set_digest(message.previous_ruling, body.previous)
    set_digest(message.last_record, body.last_record)
    return message


def decode_ruling(message: pb.Ruling) -> bodies.Ruling:
    """Read a ruling."""
    return bodies.Ruling(
        number=message.number,
        previous=message.previous_ruling.value,
        target=AuthorityCode(message.target),
        kind=RulingKind(message.kind),
        offers_allowed=message.offers_allowed,
        mandates=tuple(message.mandates),
        legal_basis=message.legal_basis,
        effective=instant_from_pb(message.effective_time),
        last_record=message.last_record.value,
        case=message.case,
        ticket_uid=message.ticket_uid,
        form=message.form,
        parts=tuple(RulingPart(part.party, part.matter) for part in message.parts),
        merge_into=message.merge_into,
    )


def encode_ack(body: bodies.RulingAck) -> pb.RulingAck:
    """Render an answer to a ruling."""
    return pb.RulingAck(
        number=body.number,
        role=cast("pb.RulingAck.Role.ValueType", body.role.value),
        ruling_digest=digest_to_pb(body.ruling_digest),
        successor=body.successor,
        attached=[signed_to_pb(item) for item in body.attached],
    )


def decode_ack(message: pb.RulingAck) -> bodies.RulingAck:
    """Read an answer to a ruling."""
    return bodies.RulingAck(
        number=message.number,
        role=bodies.Role(message.role),
        ruling_digest=message.ruling_digest.value,
        successor=message.successor,
        attached=tuple(signed_from_pb(item) for item in message.attached),
    )


def encode_stand_down(body: bodies.StandDown) -> pb.StandDown:
    """Render the report of an overruled custodian."""
    message = pb.StandDown(
        part=body.part,
        final=body.final,
        last_epoch=epoch_to_pb(body.last_epoch),
        acts=[act_to_pb(act) for act in body.acts],
        commitments=commitments_to_pb(body.commitments),
        attached=[signed_to_pb(item) for item in body.attached],
        citizen_act_applied=body.citizen_act_applied,
    )
    if body.header:
        message.ticket.ParseFromString(body.header)
    return message


def decode_stand_down(message: pb.StandDown) -> bodies.StandDown:
    """Read the report of an overruled custodian."""
    return bodies.StandDown(
        part=message.part,
        final=message.final,
        last_epoch=Epoch(message.last_epoch.era, message.last_epoch.count),
        acts=tuple(act_from_pb(act) for act in message.acts),
        commitments=commitments_from_pb(message.commitments),
        header=message.ticket.SerializeToString(deterministic=True),
        attached=tuple(signed_from_pb(item) for item in message.attached),
        citizen_act_applied=message.citizen_act_applied,
    )
