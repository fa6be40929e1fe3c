"""Files beside tickets: who may hand one in, read it, or fetch it (docs/tickets.md#attachments).

Handing in: the ticket must be visible to the caller. A file that the ticket's content lists
already (it was announced with the message) may follow at any time, at the origin and at the
custodian. A file that it does not list changes the content, which travels with the next offer; so
that needs free custody, and where the ticket is held elsewhere a supplement is the way.

Bytes come in any pieces, are stored in chunks, and count only when all are here and their digest is
the one they were announced with. If it lies, all of them are removed and an audit row stays.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from gateway.audit.acts import reading_of
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.custody.chains import load
from gateway.custody.service import CustodyService
from gateway.database.once import Once
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.blobs import Wanted
from gateway.kernel.errors import (
    EtagMismatch,
    FieldInvalid,
    PeerNotAllowed,
    PurposeMissing,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.ids import TicketNumber
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import dataclass
from gateway.privacy.visibility import may_see_citizen
from gateway.tickets import machine
from gateway.tickets.attachment_codec import File, files_of, with_file
from gateway.tickets.attachments import (
    AVAILABLE,
    CHUNKS_PER_UNIT,
    SIZE_FIELD,
    UPLOAD_KEPT,
    UPLOADING,
    AttachmentRow,
    Attachments,
    Place,
)
from gateway.tickets.model import Act, Ticket
from gateway.tickets.reader import exposure_of
from gateway.tickets.service import Scope, Tickets
from gateway.trust.call import Call
from gateway.trust.chunks import CHUNK_BYTES
from gateway.trust.principal import Principal, PrincipalKind

STAFF_UPLOADER = "staff"


@dataclass(frozen=True, slots=True)
class Start:
    """What is handed in, to which ticket, from where on."""

    ticket: TicketNumber
    file: File
    offset: int


@dataclass(frozen=True, slots=True)
class Handed:
    """Where an upload stands."""

    file: File
    stored_size: int
    is_available: bool


class Attaching:
    """Takes and gives the files of the authorities of one node."""

    def __init__(
        self,
        *,
        database: Database,
        tickets: Tickets,
        attachments: Attachments,
        custody: CustodyService,
        audit: AuditLog,
        once: Once,
        clock: Clock,
    ) -> None:
        """Work with these; `clock` is business time."""
        self._database = database
        self._tickets = tickets
        self._attachments = attachments
        self._custody = custody
        self._audit = audit
        self._once = once
        self._clock = clock

    # --- handing in ---------------------------------------------------------------------------

    async def upload(self, call: Call, start: Start, pieces: AsyncIterator[bytes]) -> Handed:
        """Take the bytes of a file from `start.offset` on; all or a part of the rest.

        Raises:
            ResourceNotFound: the caller sees no such ticket.
            TransitionNotAllowed: the ticket is held elsewhere and does not list the file, or ended.
            NotCustodian: the same while an offer of it is open.
            QuotaExceeded: a bound of the ticket or the platform is reached.
            FieldInvalid: the offset lies beyond what is stored, or size or digest lie.
            EtagMismatch: somebody else hands in the same file now, or began it anew.
        """
        place = Place(call.principal.authority, start.ticket, start.file.digest)
        row = await self._begun(call, start, place)
        if row.state == AVAILABLE and await self._is_listed(place):
            return Handed(start.file, row.size, is_available=True)
        if start.offset > row.stored_size:
            raise FieldInvalid(
                field="start.offset", got=start.offset, expected=f"at most {row.stored_size}"
            )
        if row.state != AVAILABLE:
            row = await self._received(call, row, start, pieces)
            if not row.is_whole:
                return Handed(start.file, row.stored_size, is_available=False)
            if not await self._attachments.is_true(row):
                raise await self._lied(call, row, field="start.attachment.digest")
        await self._once.run(
            call, _Step(self, call.principal, start, row).run, locks=(_ticket_lock(place),)
        )
        return Handed(start.file, row.size, is_available=True)

    async def _begun(self, call: Call, start: Start, place: Place) -> AttachmentRow:
        async with self._database.unit() as uow:
            await uow.lock(_ticket_lock(place))
            await self._allowed(uow, call.principal, start)
            await self._make_way(uow, call.principal, start, place)
            return await self._attachments.begin(
                uow,
                place,
                start.file,
                uploader=_uploader(call.principal),
                now=self._clock.now(),
            )

    async def _make_way(
        self, uow: UnitOfWork, principal: Principal, start: Start, place: Place
    ) -> None:
        """Drop an unfinished upload of the file that announced another size, and record that.

        One of the two sizes is wrong, and only the bytes tell which: the newer start is believed.
        """
        await uow.lock(place.lock)
        known = await self._attachments.find(uow, place)
        if known is None or known.size == start.file.size:
            return
        if known.state != UPLOADING or known.source:
            return  # others announced its size, or it is here: `begin` refuses another
        self._attachments.forget(uow, known)
        self._audit.append(uow, self._entry(principal, place, "attachment.restart"))

    async def _is_listed(self, place: Place) -> bool:
        async with self._database.unit() as uow:
            texts = await self._tickets.texts(uow, place.authority, place.ticket)
        return any(file.digest == place.digest for file in files_of(texts.content))

    async def _allowed(
        self, uow: UnitOfWork, principal: Principal, start: Start
    ) -> tuple[Ticket, bytes, bool]:
        """Return the ticket, its content and whether that lists the file already."""
        ticket = await self._tickets.get_visible(uow, Scope.of(principal), start.ticket)
        content = (await self._tickets.texts(uow, ticket.authority, ticket.number)).content
        listed = {file.digest: file for file in files_of(content)}.get(start.file.digest)
        if listed is not None:
            if listed.size != start.file.size:
                raise FieldInvalid(field=SIZE_FIELD, got=start.file.size, expected=listed.size)
            if ticket.followed and ticket.origin != ticket.authority:
                raise _elsewhere(ticket)
            return ticket, content, True
        if ticket.followed or ticket.is_final:
            raise _elsewhere(ticket)
        await self._custody.acting_term(uow, ticket.authority, ticket.number)
        return ticket, content, False

    async def _received(
        self, call: Call, row: AttachmentRow, start: Start, pieces: AsyncIterator[bytes]
    ) -> AttachmentRow:
        """Store what comes; return the row as it is then."""
        place, stored = Place.of(row), row.stored_size
        held, before = bytearray(), stored - start.offset
        unit = CHUNKS_PER_UNIT * CHUNK_BYTES
        async for piece in pieces:
            held += piece[before:] if before < len(piece) else b""
            before = max(0, before - len(piece))
            if stored + len(held) > row.size:
                raise await self._lied(call, row, field=SIZE_FIELD)
            if len(held) >= unit:
                stored = await self._store(place, stored, bytes(held[:unit]))
                del held[:unit]
        is_end = stored + len(held) == row.size
        rest = len(held) if is_end else len(held) - len(held) % CHUNK_BYTES
        if rest:
            await self._store(place, stored, bytes(held[:rest]))
        async with self._database.unit() as uow:
            found = await self._attachments.find(uow, place)
        if found is None:
            raise ResourceNotFound(kind="attachment", name=place.name)
        if found.size != row.size:
            raise EtagMismatch(name=place.name, got=f"size {row.size}", expected=found.size)
        return found

    async def _store(self, place: Place, offset: int, block: bytes) -> int:
        chunks = [block[i : i + CHUNK_BYTES] for i in range(0, len(block), CHUNK_BYTES)]
        return await self._attachments.append(
            place, offset=offset, chunks=chunks, now=self._clock.now(), kept=UPLOAD_KEPT
        )

    async def _lied(self, call: Call, row: AttachmentRow, *, field: str) -> FieldInvalid:
        """Remove a file that is not what it was announced as, and record who handed it in."""
        place = Place.of(row)
        async with self._database.unit() as uow:
            await uow.lock(place.lock)
            found = await self._attachments.find(uow, place)
            is_same = found is not None and found.size == row.size  # nobody began it anew
            if found is not None and is_same and found.state != AVAILABLE:
                self._attachments.give_up(uow, found)
            self._audit.append(
                uow,
                self._entry(
                    call.principal, place, "attachment.upload", outcome=FieldInvalid.reason
                ),
            )
        return FieldInvalid(
            field=field,
            got="other bytes",
            expected="the file that was announced",
            hint="nothing of it was kept; compute SHA-256 and size of the file again",
        )

    async def attach(
        self,
        uow: UnitOfWork,
        principal: Principal,
        start: Start,
        checked: AttachmentRow,
        now: Instant,
    ) -> None:
        """Make a file part of the ticket; the digest of the bytes of `checked` is true.

        Raises:
            EtagMismatch: other bytes have come since, which nobody has checked.
        """
        place = Place.of(checked)
        await uow.lock(place.lock)
        ticket, content, is_listed = await self._allowed(uow, principal, start)
        row = await self._attachments.find(uow, place)
        if row is None or not row.is_whole:
            raise ResourceNotFound(kind="attachment", name=place.name)
        if row.state != AVAILABLE and row.update_time != checked.update_time:
            raise EtagMismatch(
                name=place.name, got="other bytes", expected="the bytes that were checked"
            )
        self._attachments.finish(uow, row, now=now)
        act = Act(principal.name, principal.acting_role, place.name, now)
        if not is_listed:
            await self._custody.exclusive_act(
                uow,
                authority=ticket.authority,
                ticket=ticket.number,
                kind="ticket.attached",
                digest=bytes.fromhex(place.digest),
                now=now,
            )
            listed = with_file(content, start.file, attached=now)
            await self._tickets.write_text(uow, ticket, "content", listed)
        facts = (("digest", place.digest), ("size", str(row.size)))
        self._tickets.save(uow, machine.note(ticket, act, "ticket.attached", *facts))
        self._audit.append(uow, self._entry(principal, place, "attachment.upload"))

    # --- reading ------------------------------------------------------------------------------

    async def download(
        self, principal: Principal, place: Place, *, offset: int, purpose: str
    ) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file from `offset` on; the reading is recorded with its purpose.

        Raises:
            PurposeMissing: none is stated.
            ResourceNotFound: the caller sees no such file, or its bytes are still to come.
            FieldInvalid: the offset is not within the file.
        """
        if not purpose.strip():
            raise PurposeMissing(name=place.name, field="purpose")
        async with self._database.unit() as uow:
            ticket = await self._tickets.get_visible(uow, Scope.of(principal), place.ticket)
            may_see = may_see_citizen(principal, exposure_of(ticket))
            if ticket.secrecy_required and not may_see:  # a picture may show who asked for secrecy
                raise ResourceNotFound(kind="attachment", name=place.name)
            row = await self._attachments.opened(uow, place)
            if offset >= row.size:
                raise FieldInvalid(field="offset", got=offset, expected=f"below {row.size}")
            self._audit.append(
                uow, self._entry(principal, place, "attachment.read", purpose=purpose)
            )
        async with aclosing(self._attachments.read(place, offset=offset, end=row.size)) as chunks:
            async for chunk in chunks:
                yield chunk

    # --- between authorities: implements `delivery.BlobSource` ----------------------------------

    async def size(self, wanted: Wanted) -> int:
        """Return the size of a file for an authority that may fetch it, and record that."""
        place = Place(wanted.source, wanted.ticket, wanted.digest)
        async with self._database.unit() as uow:
            if not await self._may_fetch(uow, wanted):
                raise PeerNotAllowed(
                    principal=f"authorities/{wanted.target}",
                    got="no part in the custody of the ticket",
                    expected="its custodian or origin",
                )
            row = await self._attachments.opened(uow, place)
            self._audit.append(
                uow,
                AuditEntry(
                    time=self._clock.now(),
                    principal=f"authorities/{wanted.target}",
                    role="peer",
                    act="attachment.fetch",
                    subject=place.name,
                    basis=f"authorities/{wanted.source}",
                ),
            )
        return row.size

    def read(self, wanted: Wanted, *, size: int) -> AsyncGenerator[bytes, None]:
        """Yield the chunks of a file from the wanted offset on."""
        place = Place(wanted.source, wanted.ticket, wanted.digest)
        return self._attachments.read(place, offset=wanted.offset, end=size)

    async def _may_fetch(self, uow: UnitOfWork, wanted: Wanted) -> bool:
        """Tell whether the target holds, held or received the ticket, as the source knows."""
        known = await load(uow, wanted.source, wanted.ticket)
        view = await self._custody.view(uow, wanted.source, wanted.ticket)
        path = view.path if view is not None else ()
        return wanted.target in (*path, *(chain.origin for chain in known.chains))

    # --- parts --------------------------------------------------------------------------------

    def _entry(
        self,
        principal: Principal,
        place: Place,
        act: str,
        *,
        purpose: str = "",
        outcome: str = "DONE",
    ) -> AuditEntry:
        return reading_of(
            principal,
            act,
            place.name,
            now=self._clock.now(),
            purpose=purpose,
            basis=f"tickets/{place.ticket}",
            outcome=outcome,
        )


@dataclass(frozen=True, slots=True)
class _Step:
    """The last step of an upload, as `Once` runs it."""

    attaching: Attaching
    principal: Principal
    start: Start
    checked: AttachmentRow

    async def run(self, uow: UnitOfWork, now: Instant) -> bytes:
        await self.attaching.attach(uow, self.principal, self.start, self.checked, now)
        return Place.of(self.checked).name.encode()


def _elsewhere(ticket: Ticket) -> TransitionNotAllowed:
    return TransitionNotAllowed(
        name=ticket.name,
        state="followed" if ticket.followed else ticket.state.name,
        event="attach",
        allowed="SupplementTicket at the origin",
        hint="the custodian attaches files; at the origin tell it by SupplementTicket",
    )


def _ticket_lock(place: Place) -> str:
    return f"ticket/{place.ticket}"


def _uploader(principal: Principal) -> str:
    return principal.id if principal.kind is PrincipalKind.PLATFORM else STAFF_UPLOADER
