"""Parts that bodies of several kinds share: digests, commitments, acts."""

from __future__ import annotations

from typing import Any

from gateway.custody import bodies
from gateway.delivery.codec import digest_to_pb, epoch_to_pb
from gateway.kernel.ids import Epoch
from hotline.custody.v1 import custody_pb2 as pb
from hotline.type.v1 import statement_pb2 as type_pb


def set_digest(field: type_pb.Digest, value: bytes) -> None:
    """Set a digest field unless the value is empty."""
    if value:
        field.CopyFrom(digest_to_pb(value))


def commitments_to_pb(values: tuple[bodies.Commitment, ...]) -> list[type_pb.Commitment]:
    """Render commitments."""
    return [type_pb.Commitment(kind=item.kind, digest=digest_to_pb(item.digest)) for item in values]


def commitments_from_pb(items: Any) -> tuple[bodies.Commitment, ...]:
    """Read commitments."""
    return tuple(bodies.Commitment(item.kind, item.digest.value) for item in items)


def act_to_pb(act: bodies.Act) -> pb.ActOfTerm:
    """Render an act."""
    return pb.ActOfTerm(
        row=act.row, epoch=epoch_to_pb(act.epoch), kind=act.kind, digest=digest_to_pb(act.digest)
    )


def act_from_pb(message: pb.ActOfTerm) -> bodies.Act:
    """Read an act."""
    return bodies.Act(
        row=message.row,
        epoch=Epoch(message.epoch.era, message.epoch.count),
        kind=message.kind,
        digest=message.digest.value,
    )
