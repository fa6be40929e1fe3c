"""Precedents as messages."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.arbitration.precedents.model import Comparable, Precedent
from gateway.delivery.codec import instant_to_pb
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import precedent_pb2
from hotline.ticket.v1 import codes_pb2


def precedent_to_pb(made: Precedent) -> precedent_pb2.Precedent:
    """Return the message of a precedent."""
    return precedent_pb2.Precedent(
        name=made.name,
        ruling=made.ruling,
        matter=made.key.matter,
        type=codes_pb2.TicketType.ValueType(made.key.type),
        relation=made.key.relation.value,
        levels=made.key.levels,
        role=made.seat.word,
        legal_basis=made.legal_basis,
        validity=made.state.value,
        effective_time=instant_to_pb(made.since),
        expire_time=instant_to_pb(made.expires),
        applied=made.applied,
        facts=made.key.facts,
        form=made.form.name.lower() if made.form else "",
        parts=[
            precedent_pb2.PrecedentPart(role=part.seat.word, matter=part.matter)
            for part in made.parts
        ],
    )


def comparable_to_pb(found: Iterable[Comparable]) -> list[precedent_pb2.ComparablePrecedent]:
    """Return the messages of precedents beside a case."""
    return [
        precedent_pb2.ComparablePrecedent(
            precedent=precedent_to_pb(item.precedent), differs=item.differs
        )
        for item in found
    ]


def revoked_to_bytes(made: Precedent) -> bytes:
    """Return the answer of a revocation."""
    return pb.RevokePrecedentResponse(precedent=precedent_to_pb(made)).SerializeToString()
