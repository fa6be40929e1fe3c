"""Attachments in the texts of a ticket: protobuf ↔ values.

The sealed content of a copy lists its files by digest; whether the bytes are here is a matter of
this node and is filled in when somebody reads.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.delivery.codec import digest_to_pb, instant_to_pb
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass
from hotline.ticket.v1 import ticket_pb2
from hotline.type.v1 import statement_pb2 as type_pb

DIGEST_BYTES = 32
FILE_BYTES_MAX = 50 * 1024 * 1024  # of the standard


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file as somebody describes it; `digest` is the SHA-256 of its plain bytes in hex."""

    digest: str
    size: int
    media_type: str
    file_name: str = ""


def file_from_pb(message: ticket_pb2.Attachment, *, field: str) -> File:
    """Read the description of a file.

    Raises:
        FieldInvalid: its digest is not a SHA-256.
    """
    if message.digest.algorithm != type_pb.DIGEST_ALGORITHM_SHA256:
        raise FieldInvalid(
            field=f"{field}.digest.algorithm", got=message.digest.algorithm, expected="SHA256"
        )
    return File(
        digest=message.digest.value.hex(),
        size=message.size,
        media_type=message.media_type,
        file_name=message.file_name,
    )


def file_to_pb(
    file: File, *, number: str = "", attached: Instant | None = None
) -> ticket_pb2.Attachment:
    """Render a description; `number` names the resource."""
    message = ticket_pb2.Attachment(
        digest=digest_to_pb(bytes.fromhex(file.digest)),
        size=file.size,
        media_type=file.media_type,
        file_name=file.file_name,
    )
    if number:
        message.name = attachment_name(number, file.digest)
    if attached is not None:
        message.attach_time.CopyFrom(instant_to_pb(attached))
    return message


def files_of(content: bytes) -> tuple[File, ...]:
    """Return the files that a serialised TicketContent lists; what no file can be is left out."""
    message = ticket_pb2.TicketContent.FromString(content)
    return tuple(
        file_from_pb(item, field="attachments")
        for item in message.attachments
        if item.digest.algorithm == type_pb.DIGEST_ALGORITHM_SHA256
        and len(item.digest.value) == DIGEST_BYTES
        and 0 < item.size <= FILE_BYTES_MAX
    )


def with_file(content: bytes, file: File, *, attached: Instant) -> bytes:
    """Return a serialised TicketContent that lists one more file."""
    message = ticket_pb2.TicketContent.FromString(content)
    message.attachments.append(file_to_pb(file, attached=attached))
    return message.SerializeToString(deterministic=True)


def declared(content: ticket_pb2.TicketContent) -> ticket_pb2.TicketContent:
    """Return the content of a submission without what only the node may say of its files.

    Raises:
        FieldInvalid: a digest is not a SHA-256, or one file is listed twice.
    """
    if not content.attachments:
        return content
    cleaned, seen = ticket_pb2.TicketContent(), set[str]()
    cleaned.CopyFrom(content)
    del cleaned.attachments[:]
    for index, item in enumerate(content.attachments):
        field = f"ticket.content.attachments[{index}]"
        file = file_from_pb(item, field=field)
        if file.digest in seen:
            raise FieldInvalid(field=f"{field}.digest", got="a file twice", expected="each once")
        seen.add(file.digest)
        cleaned.attachments.append(file_to_pb(file))
    return cleaned


def shown_content(content: bytes, *, number: str, available: Collection[str]) -> bytes:
    """Return a serialised TicketContent whose files say their name and whether they are here."""
    message = ticket_pb2.TicketContent.FromString(content)
    for item in message.attachments:
        digest = item.digest.value.hex()
        item.name = attachment_name(number, digest)
        item.available = digest in available
    return message.SerializeToString(deterministic=True)


def attachment_name(number: str, digest: str) -> str:
    """Return the resource name of a file."""
    return f"tickets/{number}/attachments/{digest}"
