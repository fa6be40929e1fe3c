"""Files beside tickets: handed in, resumed, refused, read and fetched, the same on both engines."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest

from gateway.database.table import Query
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.blobs import LEASE, BlobFetcher, BlobServer, Part, Wanted
from gateway.dispatch.attaching import Attaching, Handed
from gateway.dispatch.codec import content_from_bytes
from gateway.kernel.errors import (
    EtagMismatch,
    FieldInvalid,
    LubiaoError,
    PeerNotAllowed,
    PeerUnreachable,
    PurposeMissing,
    QuotaExceeded,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, NodeId, TicketNumber
from gateway.tickets import attachments
from gateway.tickets.attachment_codec import File, file_to_pb
from gateway.tickets.attachments import (
    ATTACHMENTS,
    CHUNKS,
    FILES_PER_TICKET_MAX,
    MISMATCHES_MAX,
    WAITING_FILES,
    AttachmentRow,
    Attachments,
    Place,
)
from gateway.trust.chunks import CHUNK_BYTES
from gateway.trust.principal import Role
from hotline.ticket.v1 import ticket_pb2
from tests.contract.tickets.files import (
    CONTENT,
    HEBEI,
    LANGFANG,
    TIANJIN,
    Cut,
    a_file,
    announced,
    at_the_desk,
    audits,
    cut_pieces,
    pieces,
    read,
    shown,
    upload,
)
from tests.fixtures.nodes import (
    HOSTED,
    IDS,
    SPLIT,
    Federation,
    Node,
    a_federation,
    a_message,
    a_person,
    a_platform,
)


@pytest.fixture
def federation(database: Database) -> Federation:
    return a_federation(HOSTED, databases={"hebei": database})


async def test_a_file_is_listed_and_readable_once_its_digest_was_true(
    federation: Federation,
) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    handed = await upload(node, number)
    assert handed == Handed(a_file(), len(CONTENT), is_available=True)
    (listed,) = (await shown(node, HEBEI, number)).attachments
    assert listed.available
    assert listed.name == f"tickets/{number}/attachments/{a_file().digest}"
    assert listed.file_name == a_file().file_name
    assert await read(node, a_platform(HEBEI), number) == CONTENT
    tail = await read(node, a_platform(HEBEI), number, offset=CHUNK_BYTES + 5)
    assert tail == CONTENT[CHUNK_BYTES + 5 :]
    again = await upload(node, number)
    assert again == handed
    assert len((await shown(node, HEBEI, number)).attachments) == 1


async def test_no_plain_bytes_lie_on_disk(federation: Federation) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    await upload(node, number, b"plain " * 30)
    async with node.database.unit() as uow:
        row = await uow.get(CHUNKS, HEBEI, number, a_file(b"plain " * 30).digest, 0)
    assert row is not None
    assert b"plain" not in row.sealed


async def test_a_cut_upload_goes_on_where_it_stopped(federation: Federation) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    with pytest.raises(Cut):
        await upload(node, number, sent=cut_pieces(CONTENT[: 5 * CHUNK_BYTES]))
    asked = await upload(node, number, sent=pieces(b""))
    assert asked.stored_size == 4 * CHUNK_BYTES
    assert not asked.is_available
    with pytest.raises(ResourceNotFound):
        await read(node, a_platform(HEBEI), number)
    with pytest.raises(FieldInvalid):
        await upload(node, number, offset=asked.stored_size + 1)
    handed = await upload(node, number, offset=asked.stored_size - 7)
    assert handed.is_available
    assert await read(node, a_platform(HEBEI), number) == CONTENT


@pytest.mark.parametrize(
    "lie",
    [
        replace(a_file(), digest=hashlib.sha256(b"another").hexdigest()),
        replace(a_file(), size=len(CONTENT) - 1),
    ],
    ids=["digest", "size"],
)
async def test_nothing_is_kept_of_a_file_that_lies_and_it_is_recorded(
    federation: Federation, lie: File
) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    with pytest.raises(FieldInvalid):
        await upload(node, number, file=lie)
    async with node.database.unit() as uow:
        assert await uow.get(ATTACHMENTS, HEBEI, number, lie.digest) is None
        assert await uow.get(CHUNKS, HEBEI, number, lie.digest, 0) is None
    assert not (await shown(node, HEBEI, number)).attachments
    assert await audits(node, "attachment.upload") == [
        (a_platform(HEBEI).name, FieldInvalid.reason)
    ]


async def test_of_two_writers_one_is_told_to_read_again(federation: Federation) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    await upload(node, number, sent=pieces(CONTENT[:CHUNK_BYTES]))
    place = Place(AuthorityCode(HEBEI), TicketNumber(number), a_file().digest)
    with pytest.raises(EtagMismatch):
        await node.dispatch.attachments.append(
            place, offset=0, chunks=[bytes(CHUNK_BYTES)], now=federation.clock.now(), kept=LEASE
        )


async def test_a_ticket_has_twenty_files_at_most(federation: Federation) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    for index in range(FILES_PER_TICKET_MAX):
        await upload(node, number, b"file %d" % index)
    with pytest.raises(QuotaExceeded):
        await upload(node, number, b"one too many")


async def test_a_platform_has_a_bound_of_bytes_a_day(federation: Federation) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    node.dispatch.attachments._day_bytes_max = 10
    await upload(node, number, b"12345678")
    with pytest.raises(QuotaExceeded):
        await upload(node, number, b"another")
    federation.clock.advance(timedelta(days=1))
    await upload(node, number, b"another")


async def test_an_upload_that_nobody_continues_is_removed(federation: Federation) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    await upload(node, number, sent=pieces(CONTENT[: 2 * CHUNK_BYTES]))
    assert await node.dispatch.attachments.sweep() == 0
    federation.clock.advance(timedelta(days=1))
    assert await node.dispatch.attachments.sweep() == 1
    async with node.database.unit() as uow:
        assert await uow.get(CHUNKS, HEBEI, number, a_file().digest, 0) is None


async def test_all_uploads_that_nobody_continues_are_removed_at_once(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachments, "SWEPT_MAX", 2)
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    for index in range(5):
        await upload(node, number, b"synthetic %d" % index, sent=pieces(b""))
    federation.clock.advance(timedelta(days=1))
    assert await node.dispatch.attachments.sweep() == 5
    assert await node.dispatch.attachments.sweep() == 0


async def test_who_does_not_see_the_ticket_neither_hands_in_nor_reads(
    federation: Federation,
) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    stranger = a_platform(HEBEI, "130000-p9")
    with pytest.raises(ResourceNotFound):
        await upload(node, number, principal=stranger)
    await upload(node, number)
    with pytest.raises(ResourceNotFound):
        await read(node, stranger, number)


async def test_a_reading_needs_a_purpose_and_is_recorded(federation: Federation) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    await upload(node, number)
    place = Place(AuthorityCode(HEBEI), TicketNumber(number), a_file().digest)
    reader = a_person(HEBEI, Role.HANDLER)
    with pytest.raises(PurposeMissing):
        await anext(node.dispatch.attaching.download(reader, place, offset=0, purpose=" "))
    assert await read(node, reader, number) == CONTENT
    assert await audits(node, "attachment.read") == [(reader.name, "DONE")]


async def test_a_ticket_that_is_held_elsewhere_takes_no_file_that_it_does_not_list(
    federation: Federation,
) -> None:
    ticket = await federation.create(a_platform(TIANJIN), a_message())
    await federation.settle()
    number = ticket.name.removeprefix("tickets/")
    with pytest.raises(TransitionNotAllowed) as refused:
        await upload(federation.node_of(TIANJIN), number, principal=a_platform(TIANJIN))
    assert "SupplementTicket" in refused.value.text()


# --- between authorities ------------------------------------------------------------------------


@dataclass
class Wire:
    """Calls FetchBlob of the other nodes in this process; may be cut, or changed by an enemy."""

    federation: Federation
    caller: NodeId
    parts_max: int = 1_000
    lies: bytes = b""
    calls: list[Wanted] = field(default_factory=list)

    async def fetch(self, node: NodeId, wanted: Wanted) -> AsyncGenerator[Part, None]:
        self.calls.append(wanted)
        source: Attaching | Liar = self.federation.nodes[node].dispatch.attaching
        if self.lies:
            source = Liar(self.lies)
        server = BlobServer(
            source=source,
            roster=lambda: self.federation.roster,
            clock=self.federation.clock,
            ids=IDS,
        )
        count = 0
        try:
            async for part in server.serve(replace(wanted, size=0), peer=self.caller):
                if count == self.parts_max:
                    raise PeerUnreachable(peer=node, got="cut")
                count += 1
                yield part
        except LubiaoError as error:
            raise PeerUnreachable(peer=node, got=error.reason) from error


@dataclass
class Liar:
    """Serves other bytes under the digest."""

    content: bytes

    async def size(self, wanted: Wanted) -> int:
        return len(self.content)

    async def read(self, wanted: Wanted, *, size: int) -> AsyncGenerator[bytes, None]:
        for start in range(wanted.offset, size, CHUNK_BYTES):
            yield self.content[start : start + CHUNK_BYTES]


def a_fetcher(
    federation: Federation, authority: str, wire: Wire, **options: timedelta
) -> BlobFetcher:
    node = federation.node_of(authority)
    return BlobFetcher(
        node=node.name,
        shelf=node.dispatch.attachments,
        source=node.dispatch.attaching,
        transport=wire,
        roster=lambda: federation.roster,
        keys=node.keys,
        clock=federation.clock,
        **options,
    )


def a_wire(federation: Federation, authority: str, **options: object) -> Wire:
    return Wire(federation, federation.node_of(authority).name, **options)  # type: ignore[arg-type] # options of Wire


async def fetch_until_quiet(federation: Federation, fetchers: Sequence[BlobFetcher]) -> None:
    for _ in range(10):
        for fetcher in fetchers:
            await fetcher.fetch_some()
        federation.clock.advance(timedelta(minutes=1))


@pytest.mark.parametrize("hosts", [HOSTED, SPLIT], ids=["hosted", "split"])
async def test_the_bytes_follow_the_ticket_to_whoever_accepted_it(
    hosts: Mapping[str, Sequence[str]],
) -> None:
    federation = a_federation(hosts)
    number = await announced(federation)
    at_origin, at_unit = federation.node_of(TIANJIN), federation.node_of(LANGFANG)
    assert not (await shown(at_origin, TIANJIN, number)).attachments[0].available
    authorities = {node.name: node for node in federation.nodes.values()}
    codes = {hosts[name][0] for name in authorities}
    fetchers = [a_fetcher(federation, code, a_wire(federation, code)) for code in codes]
    await fetch_until_quiet(federation, fetchers)
    assert not (await shown(at_unit, LANGFANG, number)).attachments[0].available

    handed = await upload(at_origin, number, principal=a_platform(TIANJIN))
    assert handed.is_available, "a file that the message announced may follow"
    await fetch_until_quiet(federation, fetchers)
    (listed,) = (await shown(at_unit, LANGFANG, number)).attachments
    assert listed.available
    assert await read(at_unit, a_platform(LANGFANG), number) == CONTENT


async def fetching(federation: Federation) -> str:
    number = await announced(federation)
    await upload(federation.node_of(TIANJIN), number, principal=a_platform(TIANJIN))
    return number


async def test_a_cut_fetch_goes_on_where_it_stopped(federation: Federation) -> None:
    await fetching(federation)
    wire = a_wire(federation, HEBEI, parts_max=1 + 4)
    fetcher = a_fetcher(federation, HEBEI, wire)
    await fetch_until_quiet(federation, [fetcher])
    at_hebei = [call.offset for call in wire.calls if call.target == HEBEI]
    assert at_hebei == [0, 4 * CHUNK_BYTES]


async def test_a_node_that_sends_other_bytes_is_recorded_and_given_up_for_a_person(
    federation: Federation,
) -> None:
    number = await fetching(federation)
    wire = a_wire(federation, HEBEI, lies=bytes(len(CONTENT)))
    await fetch_until_quiet(federation, [a_fetcher(federation, HEBEI, wire)])
    node = federation.node_of(HEBEI)
    async with node.database.unit() as uow:
        row = await uow.get(ATTACHMENTS, HEBEI, number, a_file().digest)
        assert row is not None
        assert (row.state, row.stored_size) == ("REFUSED", 0)
        assert await uow.get(CHUNKS, HEBEI, number, a_file().digest, 0) is None
    lies = [who for who, outcome in await audits(node, "attachment.fetch") if outcome != "DONE"]
    assert lies == [f"authorities/{TIANJIN}"] * MISMATCHES_MAX
    with pytest.raises(ResourceNotFound):
        await read(node, a_person(HEBEI, Role.SUPERVISOR), number)


async def test_only_who_holds_or_held_the_ticket_gets_its_files(federation: Federation) -> None:
    number = await fetching(federation)
    source = federation.node_of(TIANJIN).dispatch.attaching
    wanted = Wanted(
        ticket=TicketNumber(number),
        digest=a_file().digest,
        size=0,
        offset=0,
        source=AuthorityCode(TIANJIN),
        target=AuthorityCode(HEBEI),
    )
    assert await source.size(wanted) == len(CONTENT)
    for stranger in ("130600", "310000"):
        with pytest.raises(PeerNotAllowed):
            await source.size(replace(wanted, target=AuthorityCode(stranger)))


async def test_a_node_gets_files_only_for_authorities_that_it_hosts(
    federation: Federation,
) -> None:
    number = await fetching(federation)
    server = BlobServer(
        source=federation.node_of(TIANJIN).dispatch.attaching,
        roster=lambda: federation.roster,
        clock=federation.clock,
        ids=IDS,
    )
    wanted = Wanted(
        ticket=TicketNumber(number),
        digest=a_file().digest,
        size=0,
        offset=0,
        source=AuthorityCode(TIANJIN),
        target=AuthorityCode(HEBEI),
    )
    with pytest.raises(PeerNotAllowed):
        await anext(server.serve(wanted, peer=NodeId("tianjin")))
    hebei = NodeId("hebei")
    with pytest.raises(FieldInvalid):
        await anext(server.serve(replace(wanted, offset=7), peer=hebei))


async def test_a_fetch_that_died_is_taken_up_after_its_lease(federation: Federation) -> None:
    await fetching(federation)
    shelf: Attachments = federation.node_of(HEBEI).dispatch.attachments
    now = federation.clock.now()
    first = await shelf.claim(now=now, lease=LEASE, limit=4)
    assert first
    assert await shelf.claim(now=now, lease=LEASE, limit=4) == []
    assert await shelf.claim(now=now + LEASE, lease=LEASE, limit=4) == first


async def test_a_wanted_file_whose_upload_was_given_up_is_fetched_after_all(
    federation: Federation,
) -> None:
    number, node = await fetching(federation), federation.node_of(LANGFANG)
    await upload(node, number, principal=a_person(LANGFANG, Role.HANDLER), sent=pieces(b""))
    fetchers = [a_fetcher(federation, HEBEI, a_wire(federation, HEBEI))]
    await fetch_until_quiet(federation, fetchers)
    assert not (await shown(node, LANGFANG, number)).attachments[0].available
    federation.clock.advance(timedelta(days=1))
    assert await node.dispatch.attachments.sweep() == 1
    await fetch_until_quiet(federation, fetchers)
    assert (await shown(node, LANGFANG, number)).attachments[0].available


async def test_a_list_with_one_file_twice_is_refused(federation: Federation) -> None:
    message = a_message()
    message.content.attachments.extend([file_to_pb(a_file()), file_to_pb(a_file())])
    with pytest.raises(FieldInvalid):
        await federation.create(a_platform(TIANJIN), message)


def test_content_of_a_sheet_holds_no_file_names() -> None:
    content = ticket_pb2.TicketContent(title="t", attachments=[file_to_pb(a_file())])
    assert a_file().file_name not in repr(content_from_bytes(content.SerializeToString()))


# --- between two lines --------------------------------------------------------------------------


class Interrupted:
    """A database where something else commits right after the first answer to `query`."""

    def __init__(
        self, inner: Database, query: Query[Any], meanwhile: Callable[[], Awaitable[object]]
    ) -> None:
        self._inner = inner
        self._query = query
        self._meanwhile: Callable[[], Awaitable[object]] | None = meanwhile

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[UnitOfWork]:
        async with self._inner.unit() as uow:
            select = uow.select

            async def interrupted(query: Query[Any], **given: Any) -> list[Any]:
                rows = await select(query, **given)
                meanwhile, self._meanwhile = self._meanwhile, None
                if query is self._query and meanwhile is not None:
                    await meanwhile()
                return rows

            yield cast("UnitOfWork", _Selecting(uow, interrupted))


class _Selecting:
    def __init__(self, uow: UnitOfWork, select: Callable[..., Awaitable[list[Any]]]) -> None:
        self._uow = uow
        self.select = select

    def __getattr__(self, name: str) -> Any:
        return getattr(self._uow, name)


def interrupt(node: Node, meanwhile: Callable[[], Awaitable[object]]) -> Attachments:
    """Return the node's files, where `meanwhile` happens after the next look at what waits."""
    shelf: Attachments = node.dispatch.attachments
    return Attachments(
        database=Interrupted(node.database, WAITING_FILES, meanwhile),
        tickets=shelf._tickets,
        audit=shelf._audit,
        clock=shelf._clock,
    )


async def test_an_upload_that_goes_on_while_old_ones_are_removed_keeps_its_bytes(
    federation: Federation,
) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    await upload(node, number, sent=pieces(CONTENT[: 2 * CHUNK_BYTES]))
    federation.clock.advance(timedelta(days=1))

    async def go_on() -> None:
        await upload(node, number, offset=2 * CHUNK_BYTES)

    await interrupt(node, go_on).sweep()
    assert await read(node, a_platform(HEBEI), number) == CONTENT


async def test_a_claim_does_not_bring_back_what_a_mismatch_removed(
    federation: Federation,
) -> None:
    number, node = await fetching(federation), federation.node_of(HEBEI)
    shelf: Attachments = node.dispatch.attachments
    place = Place(AuthorityCode(HEBEI), TicketNumber(number), a_file().digest)
    now = federation.clock.now()
    claimed = await shelf.claim(now=now, lease=LEASE, limit=4)
    [first] = [each for each in claimed if each.target == HEBEI]
    chunks = [bytes(CHUNK_BYTES)] * 4
    await shelf.append(place, offset=0, chunks=chunks, now=now - LEASE, kept=LEASE)

    async def find_the_lie() -> None:
        await shelf.postpone(first, now=now - timedelta(minutes=1), is_mismatch=True)

    later = interrupt(node, find_the_lie)
    await later.claim(now=now + LEASE, lease=LEASE, limit=4)
    async with node.database.unit() as uow:
        row = await uow.get(ATTACHMENTS, *vars_of(place))
    assert row is not None
    assert row.stored_size == 0
    assert row.mismatches == 1


def vars_of(place: Place) -> tuple[str, str, str]:
    return place.authority, place.ticket, place.digest


async def test_a_lie_about_a_file_that_is_also_fetched_does_not_end_the_fetch(
    federation: Federation,
) -> None:
    number, node = await fetching(federation), federation.node_of(LANGFANG)
    with pytest.raises(FieldInvalid):
        await upload(
            node,
            number,
            principal=a_person(LANGFANG, Role.HANDLER),
            sent=pieces(bytes(len(CONTENT))),
        )
    fetchers = [a_fetcher(federation, HEBEI, a_wire(federation, HEBEI))]
    await fetch_until_quiet(federation, fetchers)
    assert (await shown(node, LANGFANG, number)).attachments[0].available


async def test_a_file_that_comes_to_be_listed_while_somebody_hands_it_in_is_fetched_if_they_stop(
    federation: Federation,
) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    shelf: Attachments = node.dispatch.attachments
    await upload(node, number, sent=pieces(CONTENT[:CHUNK_BYTES]))
    listing = ticket_pb2.TicketContent(attachments=[file_to_pb(a_file())]).SerializeToString()
    place = Place(AuthorityCode(HEBEI), TicketNumber(number), a_file().digest)
    async with node.database.unit() as uow:
        source, now = AuthorityCode(TIANJIN), federation.clock.now()
        await shelf.want(uow, place.authority, place.ticket, listing, source=source, now=now)
    federation.clock.advance(timedelta(days=1))
    assert await shelf.sweep() == 1
    [wanted] = await shelf.claim(now=federation.clock.now(), lease=LEASE, limit=4)
    assert (wanted.source, wanted.digest) == (TIANJIN, a_file().digest)


async def test_bytes_that_were_exchanged_after_the_check_do_not_come_to_be_read(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, number = federation.node_of(HEBEI), await at_the_desk(federation)
    shelf: Attachments = node.dispatch.attachments
    place = Place(AuthorityCode(HEBEI), TicketNumber(number), a_file().digest)
    is_true = shelf.is_true

    async def checked(row: AttachmentRow) -> bool:
        found = await is_true(row)
        federation.clock.advance(timedelta(milliseconds=1))
        now = federation.clock.now()
        async with node.database.unit() as uow:
            shelf.forget(uow, row)
        async with node.database.unit() as uow:
            await shelf.begin(uow, place, a_file(), uploader="130000-p1", now=now)
        other = bytes(len(CONTENT))
        for start in range(0, len(other), CHUNK_BYTES):
            chunk = other[start : start + CHUNK_BYTES]
            await shelf.append(place, offset=start, chunks=[chunk], now=now, kept=LEASE)
        return found

    monkeypatch.setattr(shelf, "is_true", checked)
    with pytest.raises(EtagMismatch):
        await upload(node, number)
    with pytest.raises(ResourceNotFound):
        await read(node, a_platform(HEBEI), number)


async def test_a_peer_that_says_nothing_more_holds_nobody_up(federation: Federation) -> None:
    number = await fetching(federation)
    node = federation.node_of(HEBEI)

    @dataclass
    class Silent(Wire):
        async def fetch(self, node: NodeId, wanted: Wanted) -> AsyncGenerator[Part, None]:
            async with aclosing(super().fetch(node, wanted)) as parts:
                async for part in parts:
                    yield part
                    if len(self.calls) == 1 and isinstance(part, bytes):
                        await asyncio.Event().wait()

    wire = Silent(federation, node.name)
    fetcher = a_fetcher(federation, HEBEI, wire, turn=timedelta(milliseconds=50))
    async with asyncio.timeout(5):
        await fetcher.fetch_some()
    await fetch_until_quiet(federation, [fetcher])
    at_hebei = [call.offset for call in wire.calls if call.target == HEBEI]
    assert at_hebei == [0, CHUNK_BYTES], "what arrived is kept"
    assert (await shown(node, HEBEI, number)).attachments[0].available
