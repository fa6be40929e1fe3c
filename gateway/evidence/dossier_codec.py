"""Evidence files between bytes and values.

Writing goes field by field, so that a file of any size can be streamed; the seal is written last
and covers all bytes before it. Reading trusts nothing: bytes, fields and parts are counted before
they are parsed, so that whatever the file holds, the reader's memory is bounded by its size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.custody.model import Opened
from gateway.delivery.codec import (
    epoch_to_pb,
    instant_from_pb,
    instant_to_pb,
    signed_from_pb,
    signed_to_pb,
)
from gateway.evidence.dossier import (
    ENTRIES_MAX,
    EVIDENCE_BYTES_MAX,
    EVIDENCE_FORMAT,
    ROSTERS_MAX,
    STAMPS_MAX,
    TICKET_BYTES_MAX,
    TICKETS_MAX,
    ChainName,
    Entry,
    Evidence,
    Kept,
    Row,
    Seal,
    Stamp,
    TicketEvidence,
)
from gateway.kernel.errors import FieldInvalid, StatementMalformed, VersionTooNew
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.validation import validate
from gateway.trust.codec import ROSTER_BYTES_MAX
from hotline.custody.v1 import evidence_pb2 as pb
from hotline.type.v1 import statement_pb2 as type_pb

ABOUT = (
    "路标保管证据 / Lubiao evidence of custody\n"
    "本文件是一条 protobuf 消息 hotline.custody.v1.EvidenceFile（见 proto/ 与 docs/evidence.md），"
    "证明哪个机构何时保管工单。校验：lubiao custody verify FILE --roster ROSTER，"
    "无须网络与数据库。\n"
    "This file is one protobuf message, hotline.custody.v1.EvidenceFile (see proto/ and"
    " docs/evidence.md). It proves which authority held a ticket when. To check it, with neither"
    " network nor database: lubiao custody verify FILE --roster ROSTER. Statements are signed"
    " with Ed25519 over the DSSE pre-authentication encoding of their exact bytes; digests are"
    " SHA-256.\n"
)
NANOS_PER_MICROSECOND = 1000
PARTS_OF_TICKET_MAX = 50_000  # rows and statements; an era has 32 offers, a chain 16 eras
_CHECK = "evidence"
_FIELDS = pb.EvidenceFile.DESCRIPTOR.fields_by_name
_SEAL = _FIELDS["seal"].number
_HEADER_FIELDS = frozenset(
    _FIELDS[name].number for name in ("about", "format", "authority", "export_time", "subject")
)
_HEADER_BYTES_MAX = 16_384
# How many of each part, and how large one may be.
_BOUNDS: dict[int, tuple[int, int]] = {
    _FIELDS["rosters"].number: (ROSTERS_MAX, ROSTER_BYTES_MAX),
    _FIELDS["tickets"].number: (TICKETS_MAX, TICKET_BYTES_MAX),
    _FIELDS["entries"].number: (ENTRIES_MAX, 4096),
    _FIELDS["timestamps"].number: (STAMPS_MAX, 262_144),
}
Parsed = TypeVar("Parsed", bound=Message)


# --- writing ------------------------------------------------------------------------------------


def header_bytes(*, authority: AuthorityCode, exported: Instant, subject: str) -> bytes:
    """Return the beginning of a file."""
    return pb.EvidenceFile(
        about=ABOUT,
        format=EVIDENCE_FORMAT,
        authority=authority,
        export_time=instant_to_pb(exported),
        subject=subject,
    ).SerializeToString(deterministic=True)


def roster_bytes(signed_roster: bytes) -> bytes:
    """Return the part of a file that holds a signed roster."""
    return pb.EvidenceFile(rosters=[signed_roster]).SerializeToString(deterministic=True)


def ticket_bytes(ticket: TicketEvidence) -> bytes:
    """Return the part of a file that holds one ticket."""
    message = pb.TicketEvidence(
        ticket=ticket.ticket,
        rows=map(_row_to_pb, ticket.rows),
        statements=[
            pb.StatementEvidence(statement=signed_to_pb(kept.signed), receipts=kept.receipts)
            for kept in ticket.kept
        ],
        contents=[
            pb.ContentEvidence(
                statement=opened.statement, kind=opened.kind, salt=opened.salt, block=opened.block
            )
            for opened in ticket.contents
        ],
    )
    return pb.EvidenceFile(tickets=[message]).SerializeToString(deterministic=True)


def entry_bytes(entry: Entry) -> bytes:
    """Return the part of a file that holds one entry of the authority's ledger."""
    message = pb.EntryEvidence(
        sequence=entry.sequence,
        previous=entry.previous,
        root=entry.root,
        rows=entry.rows,
        record_time=instant_to_pb(entry.recorded),
        digest=entry.digest,
        signature=type_pb.Signature(key_id=entry.key_id, direct=entry.signature),
    )
    return pb.EvidenceFile(entries=[message]).SerializeToString(deterministic=True)


def stamp_bytes(stamp: Stamp) -> bytes:
    """Return the part of a file that holds one time stamp."""
    message = pb.TimestampEvidence(entry=stamp.entry, response=stamp.response, roots=stamp.roots)
    return pb.EvidenceFile(timestamps=[message]).SerializeToString(deterministic=True)


def seal_bytes(digest: bytes, *, key_id: str, signature: bytes) -> bytes:
    """Return the end of a file."""
    seal = pb.EvidenceSeal(
        digest=digest, signature=type_pb.Signature(key_id=key_id, direct=signature)
    )
    return pb.EvidenceFile(seal=seal).SerializeToString(deterministic=True)


def _row_to_pb(row: Row) -> pb.RowEvidence:
    return pb.RowEvidence(
        scope=row.chain.scope,
        chain=row.chain.number,
        sequence=row.sequence,
        kind=row.kind,
        epoch=epoch_to_pb(row.epoch),
        subject=row.subject,
        state_digest=row.state,
        record_time=instant_to_pb(row.recorded),
        digest=row.digest,
        entry=row.entry,
        index=row.index,
        path=row.path,
    )


# --- reading ------------------------------------------------------------------------------------


def read_evidence(raw: bytes) -> Evidence:
    """Return what a file claims.

    Raises:
        StatementMalformed: it is no evidence file, or larger than one may be.
        VersionTooNew: a newer version wrote it.
    """
    if len(raw) > EVIDENCE_BYTES_MAX:
        raise _malformed(f"{len(raw)} bytes", f"at most {EVIDENCE_BYTES_MAX}")
    view = memoryview(raw)
    parts: dict[int, list[memoryview]] = {number: [] for number in _BOUNDS}
    header = bytearray()
    seal, sealed = b"", 0
    for number, begin, inner, end in top_fields(view):
        if seal:
            raise _malformed("bytes after the seal", "the seal at the end")
        if number == _SEAL:
            seal, sealed = bytes(view[begin:end]), begin
        elif number in _HEADER_FIELDS:
            header += view[begin:end]
            if len(header) > _HEADER_BYTES_MAX:  # now: millions of small fields would be a lot
                raise _malformed("a long header", f"at most {_HEADER_BYTES_MAX} bytes")
        elif number in parts:
            count, size = _BOUNDS[number]
            if len(parts[number]) >= count or end - inner > size:
                raise _malformed(
                    f"part {len(parts[number]) + 1} of field {number}, {end - inner} bytes",
                    f"at most {count} parts of {size} bytes",
                )
            parts[number].append(view[inner:end])
        else:
            raise _malformed(f"field {number}", "a field of EvidenceFile")
    if not seal:
        raise _malformed("no seal", "a seal at the end: the file is not whole")
    return _evidence(bytes(header), parts, _seal(seal, hashlib.sha256(view[:sealed]).digest()))


def _evidence(header: bytes, parts: dict[int, list[memoryview]], seal: Seal) -> Evidence:
    head = _parse(pb.EvidenceFile(), header)
    if head.format != EVIDENCE_FORMAT:
        raise VersionTooNew(kind="EvidenceFile", got=head.format, expected=EVIDENCE_FORMAT)

    def each(name: str, make: Callable[[], Parsed]) -> list[Parsed]:
        return [_parse(make(), bytes(part)) for part in parts[_FIELDS[name].number]]

    tickets = tuple(_tickets(bytes(part) for part in parts[_FIELDS["tickets"].number]))
    numbers = {item.ticket for item in tickets}
    wanted = head.subject.removeprefix("tickets/")
    if (
        not numbers
        or len(numbers) < len(tickets)
        or (wanted != head.subject and {wanted} != numbers)
    ):
        raise _malformed(f"{len(tickets)} tickets", f"each ticket of {head.subject}, once")
    return Evidence(
        authority=AuthorityCode(head.authority),
        exported=_instant(head.export_time),
        subject=head.subject,
        rosters=tuple(bytes(part) for part in parts[_FIELDS["rosters"].number]),
        tickets=tickets,
        entries=tuple(map(_entry, each("entries", pb.EntryEvidence))),
        stamps=tuple(
            Stamp(item.entry, item.response, tuple(item.roots))
            for item in each("timestamps", pb.TimestampEvidence)
        ),
        seal=seal,
    )


def _tickets(parts: Iterator[bytes]) -> Iterator[TicketEvidence]:
    for raw in parts:
        counted = sum(1 for _ in islice(top_fields(memoryview(raw)), PARTS_OF_TICKET_MAX + 1))
        if counted > PARTS_OF_TICKET_MAX:  # before parsing: a small field makes a large object
            raise _malformed(f"a ticket of {counted} parts", f"at most {PARTS_OF_TICKET_MAX}")
        yield _ticket(_parse(pb.TicketEvidence(), raw))


def _ticket(message: pb.TicketEvidence) -> TicketEvidence:
    ticket = TicketNumber(message.ticket)
    return TicketEvidence(
        ticket=ticket,
        rows=tuple(_row(ticket, row) for row in message.rows),
        kept=tuple(
            Kept(signed_from_pb(item.statement), tuple(item.receipts))
            for item in message.statements
        ),
        contents=tuple(
            Opened(item.statement, item.kind, item.salt, item.block) for item in message.contents
        ),
    )


def _row(ticket: TicketNumber, row: pb.RowEvidence) -> Row:
    return Row(
        chain=ChainName(ticket, AuthorityCode(row.scope), row.chain),
        sequence=row.sequence,
        kind=row.kind,
        epoch=Epoch(row.epoch.era, row.epoch.count),
        subject=row.subject,
        state=row.state_digest,
        recorded=_instant(row.record_time),
        digest=row.digest,
        entry=row.entry,
        index=row.index,
        path=tuple(row.path),
    )


def _entry(entry: pb.EntryEvidence) -> Entry:
    return Entry(
        sequence=entry.sequence,
        previous=entry.previous,
        root=entry.root,
        rows=entry.rows,
        recorded=_instant(entry.record_time),
        digest=entry.digest,
        key_id=entry.signature.key_id,
        signature=entry.signature.direct,
    )


def _seal(raw: bytes, covered: bytes) -> Seal:
    message = pb.EvidenceFile()
    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise _malformed("a seal that does not parse", "an EvidenceSeal") from error
    seal = message.seal
    # The seal cannot cover itself: only its one canonical form counts.
    if message.SerializeToString(deterministic=True) != raw or raw != seal_bytes(
        seal.digest, key_id=seal.signature.key_id, signature=seal.signature.direct
    ):
        raise _malformed("a seal in another form", "its canonical form")
    return Seal(seal.digest, seal.signature.key_id, seal.signature.direct, covered)


def top_fields(view: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield (number, begin, begin of the value, end) of each top-level field.

    Raises:
        StatementMalformed: the bytes are no message, or cut off.
    """
    place = 0
    while place < len(view):
        begin = place
        tag, place = _varint(view, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            inner = place
            _, place = _varint(view, place)
        elif wire == 2:  # noqa: PLR2004 # length-delimited
            size, inner = _varint(view, place)
            place = inner + size
            if place > len(view):
                raise _malformed(
                    f"field {number} at byte {begin} ends after the file",
                    "the whole file: it is cut off",
                )
        else:
            raise _malformed(f"wire type {wire} at byte {begin}", "a field of EvidenceFile")
        yield number, begin, inner, place


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(view) and shift < 64:  # noqa: PLR2004 # bits of a varint
        byte = view[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 # the last byte of a varint
            return value, place
        shift += 7
    raise _malformed(f"byte {place} within a number", "the whole file: it is cut off")


def _parse(message: Parsed, raw: bytes) -> Parsed:
    try:
        message.ParseFromString(raw)
        message.DiscardUnknownFields()
        # One form only: nothing may hide in a field that nobody reads, or in a longer number.
        if message.SerializeToString(deterministic=True) != raw:
            raise _malformed("another form of the bytes", f"a {type(message).DESCRIPTOR.name}")
        validate(message)
    except DecodeError as error:
        raise _malformed("bytes that do not parse", type(message).DESCRIPTOR.name) from error
    except FieldInvalid as error:
        raise _malformed(
            f"{type(message).DESCRIPTOR.name}.{error.metadata['field']}: {error.metadata['got']}",
            error.metadata["expected"],
        ) from error
    return message


def _instant(stamp: Timestamp) -> Instant:
    if stamp.nanos % NANOS_PER_MICROSECOND:
        raise _malformed(f"{stamp.nanos} nanoseconds", "whole microseconds")
    return instant_from_pb(stamp)


def _malformed(got: str, expected: str) -> StatementMalformed:
    return StatementMalformed(check=_CHECK, got=got, expected=expected)
