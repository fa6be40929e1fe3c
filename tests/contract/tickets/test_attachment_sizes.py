"""Which announced size of a file counts: of uploads the newest, else that of the listing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.database.uow import Database
from gateway.kernel.errors import EtagMismatch, FieldInvalid
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.tickets.attachment_codec import File, file_to_pb
from gateway.tickets.attachments import ATTACHMENTS, CHUNKS
from gateway.trust.chunks import CHUNK_BYTES
from gateway.trust.principal import Role
from hotline.ticket.v1 import ticket_pb2
from tests.contract.tickets.files import (
    CONTENT,
    HEBEI,
    LANGFANG,
    TIANJIN,
    a_file,
    announced,
    at_the_desk,
    audits,
    pieces,
    read,
    shown,
    upload,
)
from tests.fixtures.nodes import HOSTED, Federation, Node, a_federation, a_person, a_platform


@pytest.fixture
def federation(database: Database) -> Federation:
    return a_federation(HOSTED, databases={"hebei": database})


async def test_an_unfinished_upload_gives_way_to_one_of_another_size(
    federation: Federation,
) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    wrong = replace(a_file(), size=len(CONTENT) + 4)
    begun = await upload(node, number, file=wrong)
    assert begun.stored_size == 5 * CHUNK_BYTES
    asked = await upload(node, number, sent=pieces(b""))
    assert asked.stored_size == 0, "nothing of the other upload is taken over"
    assert await audits(node, "attachment.restart") == [(a_platform(HEBEI).name, "DONE")]
    async with node.database.unit() as uow:
        assert await uow.get(CHUNKS, HEBEI, number, a_file().digest, 0) is None
    assert (await upload(node, number)).is_available
    assert await read(node, a_platform(HEBEI), number) == CONTENT
    assert len(await audits(node, "attachment.restart")) == 1


@pytest.mark.parametrize("size", [5, 200_000, 2 * len(CONTENT)])
async def test_an_upload_that_gave_way_adds_nothing_to_the_one_that_follows(
    federation: Federation, size: int
) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)

    async def overtaken() -> AsyncIterator[bytes]:
        await upload(node, number, file=replace(a_file(), size=size), sent=pieces(b""))
        async for piece in pieces(CONTENT):
            yield piece

    with pytest.raises(EtagMismatch):
        await upload(node, number, sent=overtaken())
    handed = await upload(node, number, file=replace(a_file(), size=size), sent=pieces(b""))
    assert handed.stored_size % CHUNK_BYTES == 0
    assert not (await shown(node, HEBEI, number)).attachments
    assert (await upload(node, number)).is_available


async def test_an_upload_that_gave_way_is_told_so_though_it_sends_nothing_more(
    federation: Federation,
) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)

    async def overtaken() -> AsyncIterator[bytes]:
        await upload(node, number, sent=pieces(b""))
        yield b""

    with pytest.raises(EtagMismatch):
        await upload(node, number, file=replace(a_file(), size=5), sent=overtaken())


async def test_who_lies_after_giving_way_ends_no_other_upload(federation: Federation) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)

    async def overtaken() -> AsyncIterator[bytes]:
        await upload(node, number, sent=pieces(CONTENT[:CHUNK_BYTES]))
        yield b"more than announced"

    with pytest.raises(FieldInvalid):
        await upload(node, number, file=replace(a_file(), size=5), sent=overtaken())
    assert (await upload(node, number, sent=pieces(b""))).stored_size == CHUNK_BYTES


async def test_a_listed_file_keeps_the_size_it_was_announced_with(federation: Federation) -> None:
    number = await announced(federation)
    wrong = replace(a_file(), size=5)
    for authority in (TIANJIN, LANGFANG):
        with pytest.raises(FieldInvalid) as refused:
            await upload(
                federation.node_of(authority),
                number,
                principal=a_person(authority, Role.DISPATCHER, Role.HANDLER),
                file=wrong,
            )
        assert refused.value.metadata["field"] == "start.attachment.size"
        assert refused.value.metadata["got"] == "5"
        assert refused.value.metadata["expected"] == str(len(CONTENT))


@pytest.mark.parametrize("is_begun", [False, True], ids=["wanted", "begun"])
async def test_a_wanted_file_keeps_the_size_it_is_wanted_with(
    federation: Federation, is_begun: bool
) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    if is_begun:
        await upload(node, number, sent=pieces(CONTENT[:CHUNK_BYTES]))
    await want(node, number, a_file())
    with pytest.raises(FieldInvalid) as refused:
        await upload(node, number, file=replace(a_file(), size=5))
    assert refused.value.metadata["field"] == "start.attachment.size"
    assert refused.value.metadata["got"] == "5"
    assert refused.value.metadata["expected"] == str(len(CONTENT))
    handed = await upload(node, number, sent=pieces(b""))
    assert handed.stored_size == (CHUNK_BYTES if is_begun else 0)


async def test_an_upload_of_another_size_gives_way_to_a_file_that_comes_to_be_wanted(
    federation: Federation,
) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    wrong = replace(a_file(), size=3 * CHUNK_BYTES)
    await upload(node, number, file=wrong, sent=pieces(CONTENT[: 2 * CHUNK_BYTES]))
    await want(node, number, a_file())
    async with node.database.unit() as uow:
        row = await uow.get(ATTACHMENTS, HEBEI, number, a_file().digest)
        assert await uow.get(CHUNKS, HEBEI, number, a_file().digest, 0) is None
    assert row is not None
    assert (row.state, row.size, row.stored_size) == ("WANTED", len(CONTENT), 0)
    assert (await upload(node, number)).is_available


async def want(node: Node, number: str, file: File) -> None:
    """Let a file be wanted from 天津 as its listing announces it."""
    listing = ticket_pb2.TicketContent(attachments=[file_to_pb(file)]).SerializeToString()
    async with node.database.unit() as uow:
        await node.dispatch.attachments.want(
            uow,
            AuthorityCode(HEBEI),
            TicketNumber(number),
            listing,
            source=AuthorityCode(TIANJIN),
            now=node.dispatch.attachments._clock.now(),
        )
