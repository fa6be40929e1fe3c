"""Files beside tickets: what tests hand in, read and look up."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from gateway.audit.store import ENTRIES_AFTER
from gateway.dispatch.attaching import Handed, Start
from gateway.kernel.ids import TicketNumber
from gateway.tickets.attachment_codec import File, file_to_pb
from gateway.tickets.attachments import Place
from gateway.trust.chunks import CHUNK_BYTES
from gateway.trust.principal import Principal, Role
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.nodes import Federation, Node, a_call, a_message, a_person, a_platform

TIANJIN, HEBEI, LANGFANG = "120000", "130000", "131000"
CONTENT = hashlib.shake_256(b"attachment").digest(5 * CHUNK_BYTES + 11)
PURPOSE = "handling"


def a_file(content: bytes = CONTENT) -> File:
    return File(
        digest=hashlib.sha256(content).hexdigest(),
        size=len(content),
        media_type="image/jpeg",
        file_name="虚构.jpg",
    )


async def pieces(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


class Cut(Exception):
    """The connection of an upload is gone."""


async def cut_pieces(content: bytes) -> AsyncIterator[bytes]:
    async for piece in pieces(content):
        yield piece
    raise Cut


async def upload(
    node: Node,
    number: str,
    content: bytes = CONTENT,
    *,
    principal: Principal | None = None,
    file: File | None = None,
    offset: int = 0,
    sent: AsyncIterator[bytes] | None = None,
) -> Handed:
    call = a_call(principal or a_platform(HEBEI), "UploadAttachment")
    start = Start(TicketNumber(number), file or a_file(content), offset)
    return await node.dispatch.attaching.upload(call, start, sent or pieces(content[offset:]))


async def read(node: Node, principal: Principal, number: str, *, offset: int = 0) -> bytes:
    place = Place(principal.authority, TicketNumber(number), a_file().digest)
    chunks = node.dispatch.attaching.download(principal, place, offset=offset, purpose=PURPOSE)
    return b"".join([chunk async for chunk in chunks])


async def shown(node: Node, authority: str, number: str) -> ticket_pb2.TicketContent:
    found = await node.dispatch.reader.get(
        a_person(authority, Role.SUPERVISOR), TicketNumber(number), purpose=""
    )
    assert found.texts is not None
    return ticket_pb2.TicketContent.FromString(found.texts.content)


async def audits(node: Node, act: str) -> list[tuple[str, str]]:
    async with node.database.unit() as uow:
        rows = await uow.select(ENTRIES_AFTER, txid=0, position=0, limit=1_000)
    return [(row.principal, row.outcome) for row in rows if row.act == act]


async def at_the_desk(federation: Federation, external_id: str = "T-1") -> str:
    """Return the number of a ticket that 河北 keeps: its place is the province."""
    message = a_message(external_id, region="130000")
    ticket = await federation.create(a_platform(HEBEI), message)
    return ticket.name.removeprefix("tickets/")


async def announced(federation: Federation) -> str:
    """Hand in a message of 天津 for 廊坊 that lists a file, and carry it there."""
    message = a_message()
    message.content.attachments.append(file_to_pb(a_file()))
    message.content.attachments[0].available = True  # only the node may say so
    ticket = await federation.create(a_platform(TIANJIN), message)
    await federation.settle()
    return ticket.name.removeprefix("tickets/")
