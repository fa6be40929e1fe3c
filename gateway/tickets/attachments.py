"""The bytes of files beside tickets: stored in sealed chunks, never whole in memory.

**Theory of operation.** A file is named by the SHA-256 of its plain bytes. Its row says how many
bytes are stored; its chunks of 128 KiB lie in a table of their own, each sealed under the data key
of the copy with its digest and number in the associated data, so a chunk that is moved, exchanged
or left out is found when it is read. Bytes are only ever appended, and an append names the offset
it continues at: of two writers one is told to read again. When all bytes are here they are read
back once and their digest is compared; a file whose digest lies is removed whole and nobody ever
sees it.

States: UPLOADING (somebody hands it in), WANTED (to be fetched from `source`), AVAILABLE, REFUSED
(the source sent other bytes several times: for a person). A row that waits survives a restart; an
upload that nobody continued for a day is removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.blobs import LEASE, Wanted
from gateway.kernel.errors import (
    CommitmentMismatch,
    EtagMismatch,
    FieldInvalid,
    InvariantViolated,
    QuotaExceeded,
    ResourceNotFound,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import SHANGHAI, Clock, Instant, from_microseconds
from gateway.kernel.values import dataclass, replace
from gateway.tickets.attachment_codec import File, attachment_name, files_of, shown_content
from gateway.tickets.service import Tickets
from gateway.trust.chunks import CHUNK_BYTES

_SQL = load_queries(Path(__file__).with_name("attachments.sql"))
FILES_PER_TICKET_MAX = 20  # of the standard
DAY_BYTES_MAX = 4 * 1024 * 1024 * 1024  # of one platform; 80 files of the greatest size
CHUNKS_PER_UNIT = 4  # half a MiB a transaction: few commits, and little is lost by a cut
UPLOAD_KEPT = timedelta(days=1)
MISMATCHES_MAX = 3
BACKOFF_FIRST = timedelta(seconds=1)
BACKOFF_MAX = timedelta(minutes=1)
AT_ONCE = from_microseconds(0)  # fetching is timed by the machine's clock, not by business time
SWEPT_MAX = 100  # a page
SIZE_FIELD = "start.attachment.size"
UPLOADING, WANTED, AVAILABLE, REFUSED = "UPLOADING", "WANTED", "AVAILABLE", "REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentRow:
    """One file of one copy."""

    authority: str
    ticket: str
    digest: str
    size: int
    stored_size: int
    state: str
    source: str
    attempts: int
    mismatches: int
    not_before: Instant
    update_time: Instant

    @property
    def is_whole(self) -> bool:
        """Whether all bytes are stored, checked or not."""
        return self.stored_size == self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRow:
    """128 KiB of a file, sealed."""

    authority: str
    ticket: str
    digest: str
    number: int
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRow:
    """How many bytes a platform began to hand in on one day."""

    authority: str
    uploader: str
    day: str
    bytes: int


_KEY = ("authority", "ticket", "digest")
ATTACHMENTS = Table("attachments", AttachmentRow, key=_KEY)
CHUNKS = Table("attachment_chunks", ChunkRow, key=(*_KEY, "number"))
DAYS = Table("attachment_days", DayRow, key=("authority", "uploader", "day"))


def _of_ticket(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[AttachmentRow]:
    found = (
        row
        for row in rows(ATTACHMENTS)
        if row.authority == given["authority"] and row.ticket == given["ticket"]
    )
    return sorted(found, key=lambda row: row.digest)


def _waiting(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[AttachmentRow]:
    found = (
        row
        for row in rows(ATTACHMENTS)
        if row.state == given["state"] and row.not_before <= given["now"]
    )
    return sorted(found, key=lambda row: (row.not_before, row.digest))[: given["limit"]]


FILES_OF_TICKET = Query(
    "attachments_of_ticket", AttachmentRow, _SQL["attachments_of_ticket"], _of_ticket
)
WAITING_FILES = Query("attachments_waiting", AttachmentRow, _SQL["attachments_waiting"], _waiting)


@dataclass(frozen=True, slots=True)
class Place:
    """Which file of which copy."""

    authority: AuthorityCode
    ticket: TicketNumber
    digest: str

    @property
    def name(self) -> str:
        """The resource name."""
        return attachment_name(self.ticket, self.digest)

    @property
    def lock(self) -> str:
        """What a unit that changes the file locks."""
        return f"attachment/{self.authority}/{self.ticket}/{self.digest}"

    @classmethod
    def of(cls, row: AttachmentRow) -> Place:
        """Return the place of a row."""
        return cls(AuthorityCode(row.authority), TicketNumber(row.ticket), row.digest)


class Attachments:
    """The files of the authorities of one node."""

    def __init__(
        self,
        *,
        database: Database,
        tickets: Tickets,
        audit: AuditLog,
        clock: Clock,
        day_bytes_max: int = DAY_BYTES_MAX,
    ) -> None:
        """Keep files under the content keys of `tickets`; `clock` is business time."""
        self._database = database
        self._tickets = tickets
        self._audit = audit
        self._clock = clock
        self._day_bytes_max = day_bytes_max
        self.wanted: Callable[[], None] = lambda: None  # told after a file came to be wanted

    async def find(self, uow: UnitOfWork, place: Place) -> AttachmentRow | None:
        """Return what is known of a file."""
        return await uow.get(ATTACHMENTS, place.authority, place.ticket, place.digest)

    # --- handing in ---------------------------------------------------------------------------

    async def begin(
        self, uow: UnitOfWork, place: Place, file: File, *, uploader: str, now: Instant
    ) -> AttachmentRow:
        """Return the row of an upload, a new one or that which is resumed.

        Raises:
            QuotaExceeded: the ticket has its 20 files, or the platform its bytes of the day.
            FieldInvalid: the file is known with another size.
        """
        await uow.lock(place.lock)
        known = await self.find(uow, place)
        if known is not None and known.size != file.size:
            raise FieldInvalid(field=SIZE_FIELD, got=file.size, expected=known.size)
        if known is not None and known.state in (UPLOADING, AVAILABLE):
            return known
        await self._check_room(uow, place)
        await self._charge(uow, place.authority, uploader, file.size, now)
        row = AttachmentRow(
            authority=place.authority,
            ticket=place.ticket,
            digest=place.digest,
            size=file.size,
            stored_size=known.stored_size if known else 0,
            state=UPLOADING,
            source=known.source if known else "",
            attempts=0,
            mismatches=0,
            not_before=now + UPLOAD_KEPT,
            update_time=now,
        )
        uow.put(ATTACHMENTS, row)
        return row

    async def _check_room(self, uow: UnitOfWork, place: Place) -> None:
        rows = await uow.select(FILES_OF_TICKET, authority=place.authority, ticket=place.ticket)
        texts = await self._tickets.texts(uow, place.authority, place.ticket)
        digests = {row.digest for row in rows} | {file.digest for file in files_of(texts.content)}
        if len(digests | {place.digest}) > FILES_PER_TICKET_MAX:
            raise QuotaExceeded(
                quota=f"attachments of tickets/{place.ticket}",
                got=len(digests) + 1,
                expected=FILES_PER_TICKET_MAX,
            )

    async def _charge(
        self, uow: UnitOfWork, authority: AuthorityCode, uploader: str, size: int, now: Instant
    ) -> None:
        day = now.astimezone(SHANGHAI).date().isoformat()
        await uow.lock(f"attachment-day/{authority}/{uploader}")
        known = await uow.get(DAYS, authority, uploader, day)
        used = (known.bytes if known else 0) + size
        if used > self._day_bytes_max:
            raise QuotaExceeded(
                quota=f"bytes of attachments of {uploader} on {day}",
                got=used,
                expected=self._day_bytes_max,
            )
        uow.put(DAYS, DayRow(authority=authority, uploader=uploader, day=day, bytes=used))

    # --- bytes --------------------------------------------------------------------------------

    async def append(
        self, place: Place, *, offset: int, chunks: Sequence[bytes], now: Instant, kept: timedelta
    ) -> int:
        """Store chunks that continue a file at `offset`, in one unit; return the stored size.

        All are 128 KiB but the last of the file. `kept` is how long nobody else takes over.

        Raises:
            EtagMismatch: the file does not end at `offset`, or has another size (by now).
        """
        async with self._database.unit() as uow:
            await uow.lock(place.lock)
            row = await self.find(uow, place)
            stored = row.stored_size if row is not None else -1
            if row is None or row.state not in (UPLOADING, WANTED) or stored != offset:
                raise EtagMismatch(name=place.name, got=f"offset {offset}", expected=stored)
            end = offset + sum(map(len, chunks))
            if end > row.size or (end % CHUNK_BYTES and end != row.size):
                raise EtagMismatch(name=place.name, got=f"end {end}", expected=row.size)
            key = await self._tickets.content_key(uow, place.authority, place.ticket)
            for chunk in chunks:
                number = stored // CHUNK_BYTES
                stored += len(chunk)
                if len(chunk) != CHUNK_BYTES and stored != row.size:
                    raise InvariantViolated(invariant="size of a chunk", got=len(chunk))
                sealed = key.seal(_column(place.digest, number), chunk)
                uow.put(CHUNKS, ChunkRow(**_named(place), number=number, sealed=sealed))
            changed = replace(
                row, stored_size=stored, attempts=0, not_before=now + kept, update_time=now
            )
            uow.put(ATTACHMENTS, changed)
        return stored

    async def read(self, place: Place, *, offset: int = 0, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the stored bytes from `offset` to `end`, at most 128 KiB at a time."""
        for number in range(offset // CHUNK_BYTES, -(-end // CHUNK_BYTES)):
            async with self._database.unit() as uow:
                key = await self._tickets.content_key(uow, place.authority, place.ticket)
                row = await uow.get(CHUNKS, *_named(place).values(), number)
            if row is None:
                raise InvariantViolated(invariant="a stored file has all chunks", got=number)
            chunk = key.open(_column(place.digest, number), row.sealed)
            yield chunk[offset - number * CHUNK_BYTES :] if number * CHUNK_BYTES < offset else chunk

    async def is_true(self, row: AttachmentRow) -> bool:
        """Read a whole file back and tell whether its digest is the one it is named by."""
        digest = hashlib.sha256()
        async for chunk in self.read(Place.of(row), end=row.size):
            digest.update(chunk)
        return digest.hexdigest() == row.digest

    def give_up(self, uow: UnitOfWork, row: AttachmentRow) -> None:
        """End an upload whose bytes lied; what can be fetched as well is fetched then."""
        if not row.source:
            self.forget(uow, row)
            return
        self._forget_bytes(uow, row)
        uow.put(ATTACHMENTS, replace(row, stored_size=0, state=WANTED, not_before=AT_ONCE))
        uow.after_commit(self.wanted)

    def forget(self, uow: UnitOfWork, row: AttachmentRow) -> None:
        """Remove a file with all its bytes."""
        self._forget_bytes(uow, row)
        uow.delete(ATTACHMENTS, row.authority, row.ticket, row.digest)

    def _forget_bytes(self, uow: UnitOfWork, row: AttachmentRow) -> None:
        for number in range(-(-row.stored_size // CHUNK_BYTES)):
            uow.delete(CHUNKS, row.authority, row.ticket, row.digest, number)

    def finish(self, uow: UnitOfWork, row: AttachmentRow, *, now: Instant) -> AttachmentRow:
        """Let everybody who sees the ticket read a file whose digest is true."""
        changed = replace(row, state=AVAILABLE, attempts=0, update_time=now)
        uow.put(ATTACHMENTS, changed)
        return changed

    async def opened(self, uow: UnitOfWork, place: Place) -> AttachmentRow:
        """Return a file whose bytes are here.

        Raises:
            ResourceNotFound: there is none, or its bytes are still to come.
        """
        row = await self.find(uow, place)
        if row is None or row.state != AVAILABLE:
            hint = "its bytes are still to come; try again later" if row is not None else ""
            raise ResourceNotFound(kind="attachment", name=place.name, hint=hint)
        return row

    # --- fetching -----------------------------------------------------------------------------

    async def want(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        content: bytes,
        *,
        source: AuthorityCode,
        now: Instant,
    ) -> None:
        """Let the bytes of all files that `content` lists be fetched from `source`."""
        files = files_of(content)[:FILES_PER_TICKET_MAX]
        if not files:
            return
        await uow.lock(*(Place(authority, ticket, file.digest).lock for file in files))
        for file in files:
            known = await self.find(uow, Place(authority, ticket, file.digest))
            if known is not None and known.state == AVAILABLE:
                continue
            if known is not None and known.size != file.size:
                self._forget_bytes(uow, known)  # what others announced is what counts
                known = None
            if known is not None and known.state == UPLOADING:
                uow.put(ATTACHMENTS, replace(known, source=source))  # if it is given up
                continue
            row = AttachmentRow(
                authority=authority,
                ticket=ticket,
                digest=file.digest,
                size=file.size,
                stored_size=known.stored_size if known else 0,
                state=WANTED,
                source=source,
                attempts=0,
                mismatches=0,
                not_before=AT_ONCE,
                update_time=now,
            )
            uow.put(ATTACHMENTS, row)
            uow.after_commit(self.wanted)

    async def claim(self, *, now: Instant, lease: timedelta, limit: int) -> list[Wanted]:
        """Return files to fetch now; nobody else gets them before `lease` is over."""
        async with self._database.unit() as uow:
            rows = await uow.select(WAITING_FILES, state=WANTED, now=now, limit=limit)
        claimed = [await self._claimed(Place.of(row), now, lease) for row in rows]
        return [wanted for wanted in claimed if wanted is not None]

    async def _claimed(self, place: Place, now: Instant, lease: timedelta) -> Wanted | None:
        """Return a file if it still waits: each under its own lock, which orders no others."""
        async with self._database.unit() as uow:
            await uow.lock(place.lock)
            row = await self.find(uow, place)
            if row is None or row.state != WANTED or row.not_before > now:
                return None
            uow.put(ATTACHMENTS, replace(row, not_before=now + lease))
        return _wanted(row)

    async def store(
        self, wanted: Wanted, *, offset: int, chunks: Sequence[bytes], now: Instant
    ) -> int:
        """Store what was fetched; the claim is renewed."""
        place = Place(wanted.target, wanted.ticket, wanted.digest)
        return await self.append(place, offset=offset, chunks=chunks, now=now, kept=LEASE)

    async def postpone(self, wanted: Wanted, *, now: Instant, is_mismatch: bool = False) -> None:
        """Note that an attempt failed; what arrived stays unless it was wrong."""
        async with self._database.unit() as uow:
            row = await self._wanted_row(uow, wanted)
            if row is None:
                return
            delay = min(BACKOFF_FIRST * (1 << min(row.attempts, 10)), BACKOFF_MAX)
            changed = replace(
                row, attempts=row.attempts + 1, not_before=now + delay, update_time=now
            )
            if is_mismatch:
                self._forget_bytes(uow, row)
                lies = row.mismatches + 1
                state = REFUSED if lies >= MISMATCHES_MAX else WANTED
                changed = replace(changed, stored_size=0, mismatches=lies, state=state)
                self._audit.append(uow, _lie(wanted, now=now))
            uow.put(ATTACHMENTS, changed)

    async def settle(self, wanted: Wanted, *, now: Instant) -> bool:
        """Check the digest of a file that arrived whole; tell whether it was true."""
        async with self._database.unit() as uow:
            row = await self._wanted_row(uow, wanted)
        if row is None or not row.is_whole:
            return True  # somebody else settled it
        if not await self.is_true(row):
            return False
        async with self._database.unit() as uow:
            still = await self._wanted_row(uow, wanted)
            if still is not None and still.is_whole:
                self.finish(uow, still, now=now)
        return True

    async def _wanted_row(self, uow: UnitOfWork, wanted: Wanted) -> AttachmentRow | None:
        place = Place(wanted.target, wanted.ticket, wanted.digest)
        await uow.lock(place.lock)
        row = await self.find(uow, place)
        return row if row is not None and row.state == WANTED else None

    async def sweep(self) -> int:
        """Give up uploads that nobody continued for a day; return how many."""
        now, swept = self._clock.now(), 0
        while True:
            async with self._database.unit() as uow:
                rows = await uow.select(WAITING_FILES, state=UPLOADING, now=now, limit=SWEPT_MAX)
            swept += sum([await self._swept(Place.of(row), now) for row in rows])
            if len(rows) < SWEPT_MAX:
                return swept

    async def _swept(self, place: Place, now: Instant) -> bool:
        async with self._database.unit() as uow:
            await uow.lock(place.lock)
            row = await self.find(uow, place)
            if row is None or row.state != UPLOADING or row.not_before > now:
                return False  # somebody goes on after all
            if row.source:  # somebody began to hand in what was to be fetched
                uow.put(ATTACHMENTS, replace(row, state=WANTED, not_before=AT_ONCE))
            else:
                self.forget(uow, row)
        return True


async def with_availability(
    uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber, content: bytes
) -> bytes:
    """Return a serialised TicketContent whose files say whether their bytes are here."""
    if not files_of(content):
        return content
    rows = await uow.select(FILES_OF_TICKET, authority=authority, ticket=number)
    available = {row.digest for row in rows if row.state == AVAILABLE}
    return shown_content(content, number=number, available=available)


def _lie(wanted: Wanted, *, now: Instant) -> AuditEntry:
    return AuditEntry(
        time=now,
        principal=f"authorities/{wanted.source}",
        role="peer",
        act="attachment.fetch",
        subject=attachment_name(wanted.ticket, wanted.digest),
        basis=f"authorities/{wanted.target}",
        outcome=CommitmentMismatch.reason,
    )


def _wanted(row: AttachmentRow) -> Wanted:
    return Wanted(
        ticket=TicketNumber(row.ticket),
        digest=row.digest,
        size=row.size,
        offset=row.stored_size,
        source=AuthorityCode(row.source),
        target=AuthorityCode(row.authority),
    )


def _named(place: Place) -> dict[str, str]:
    return {"authority": place.authority, "ticket": place.ticket, "digest": place.digest}


def _column(digest: str, number: int) -> str:
    """Return the name under which a chunk is sealed: moved elsewhere it does not open."""
    return f"attachment/{digest}/{number}"
