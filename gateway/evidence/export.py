"""Writing evidence files: everything one authority has of a ticket's or a period's custody.

**Theory of operation.** The file is a stream: header, roster, tickets one after the other, then the
entries of the authority's ledger that cover their rows, time stamps, and a seal over every byte
before it. Each ticket is read in a unit of its own, so it is consistent in itself, and the memory
needed is that of one ticket however long the period. Before the first one the ledger is sealed up
to the present: only what commits meanwhile may be under no entry yet.

It never holds content, unless a person asks for it with a role that reads texts and a purpose; who
calls is in no file. Every export leaves an audit row (docs/evidence.md#export).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from gateway.audit.acts import reading_of
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.custody import store
from gateway.custody.model import Opened
from gateway.custody.openings import Openings
from gateway.custody.sealer import LedgerSealer
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.model import SignedBytes
from gateway.delivery.store import INBOX
from gateway.evidence import dossier_codec
from gateway.evidence import store as evidence_store
from gateway.evidence.covering import Covering, entry_of, spans_of
from gateway.evidence.dossier import (
    ENTRIES_MAX,
    EVIDENCE_BYTES_MAX,
    STAMPS_MAX,
    TICKET_BYTES_MAX,
    TICKETS_MAX,
    Entry,
    Kept,
    Row,
    Stamp,
    TicketEvidence,
)
from gateway.evidence.sealed import EVIDENCE_PAYLOAD_TYPE
from gateway.kernel.errors import (
    BatchTooLarge,
    FieldInvalid,
    PurposeMissing,
    ResourceNotFound,
    RoleMissing,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import SHANGHAI, Clock, Instant
from gateway.trust.key_ring import KeyRing
from gateway.trust.principal import Principal, PrincipalKind, Role
from gateway.trust.statements import sign

ROWS_PER_PAGE = 500
STATEMENTS_MAX = 20_000
TICKETS_PER_PAGE = 200
DAYS_MAX = 366
CHUNK_BYTES = 256 * 1024
ENTRIES_PER_PAGE = 500
CONTENT_ROLES = frozenset({Role.DISPATCHER, Role.SUPERVISOR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to export: one ticket, or the tickets with rows in a period of days."""

    ticket: TicketNumber | None = None
    first: date | None = None
    last: date | None = None
    with_content: bool = False
    purpose: str = ""

    @property
    def subject(self) -> str:
        """The resource or period, as the file and the audit log name it."""
        return f"tickets/{self.ticket}" if self.ticket else f"days/{self.first}..{self.last}"

    def period(self) -> tuple[Instant, Instant]:
        """Return beginning and end of the period.

        Raises:
            FieldInvalid: it is none, or too long.
        """
        if self.first is None or self.last is None or self.last < self.first:
            raise FieldInvalid(field="days", got=self.subject, expected="a first and a last day")
        if (self.last - self.first).days >= DAYS_MAX:
            raise FieldInvalid(field="days", got=self.subject, expected=f"at most {DAYS_MAX} days")
        since = datetime.combine(self.first, time(), SHANGHAI)
        return since, datetime.combine(self.last, time(), SHANGHAI) + timedelta(days=1)


class Exporter:
    """Writes evidence files of the authorities that live on this node."""

    def __init__(
        self,
        *,
        database: Database,
        keys: KeyRing,
        signed_roster: Callable[[], bytes],
        sealer: LedgerSealer,
        audit: AuditLog,
        clock: Clock,
        openings: Openings | None = None,
        stamp_roots: tuple[bytes, ...] = (),
    ) -> None:
        """Make the exporter.

        Args:
            database: where custody is.
            keys: the keys of the hosted authorities; they seal the files.
            signed_roster: returns the signed roster in use; empty: none yet.
            sealer: makes the entries of the ledgers.
            audit: where each export is noted.
            clock: business time, as the ledgers have it.
            openings: opens the content that was promised; None: there is none here.
            stamp_roots: certificates that this node trusts for time stamps, DER.
        """
        self._database = database
        self._keys = keys
        self._signed_roster = signed_roster
        self._sealer = sealer
        self._audit = audit
        self._clock = clock
        self._openings = openings
        self._stamp_roots = stamp_roots

    async def export(self, principal: Principal, wanted: Wanted) -> AsyncIterator[bytes]:
        """Yield the file in chunks.

        Raises:
            ResourceNotFound: there is no such ticket here, or none in the period.
            PurposeMissing: content without a purpose.
            BatchTooLarge: the period holds more than a file may.
        """
        _check_wanted(principal, wanted)
        if wanted.ticket is None:
            wanted.period()
        authority = principal.authority
        now = self._clock.now()
        async with self._database.unit() as uow:
            self._audit.append(uow, _reading(principal, wanted, now))
        async with self._database.unit() as uow:
            await uow.lock(*self._sealer.locks(authority))
            await self._sealer.seal(uow, authority, now=now)
        writing = _Writing(self._keys, authority)
        async for part in self._parts(authority, wanted, now):
            for chunk in writing.add(part):
                yield chunk
        for chunk in writing.finish():
            yield chunk

    async def _parts(
        self, authority: AuthorityCode, wanted: Wanted, now: Instant
    ) -> AsyncIterator[bytes]:
        yield dossier_codec.header_bytes(authority=authority, exported=now, subject=wanted.subject)
        signed_roster = self._signed_roster()
        if signed_roster:
            yield dossier_codec.roster_bytes(signed_roster)
        covering = Covering()
        found = 0
        async for ticket in self._tickets(authority, wanted):
            found += 1
            if found > TICKETS_MAX:
                raise BatchTooLarge(got=found, expected=TICKETS_MAX, hint=_NARROWER)
            async with self._database.unit() as uow:
                evidence = await self._ticket(uow, authority, ticket, covering, wanted)
            part = dossier_codec.ticket_bytes(evidence)
            if len(part) > TICKET_BYTES_MAX:
                raise BatchTooLarge(got=len(part), expected=TICKET_BYTES_MAX)
            yield part
        if not found:
            raise ResourceNotFound(kind="custody", name=wanted.subject)
        async for part in self._ledger(authority, covering):
            yield part

    async def _tickets(
        self, authority: AuthorityCode, wanted: Wanted
    ) -> AsyncIterator[TicketNumber]:
        if wanted.ticket is not None:
            async with self._database.unit() as uow:
                rows = await uow.select(
                    store.ROWS_OF_TICKET,
                    authority=authority,
                    ticket=wanted.ticket,
                    scope="",
                    number=0,
                    sequence=0,
                    limit=1,
                )
            if rows:
                yield wanted.ticket
            return
        since, until = wanted.period()
        after = ""
        while True:
            async with self._database.unit() as uow:
                page = await uow.select(
                    evidence_store.TICKETS_BETWEEN,
                    authority=authority,
                    since=since,
                    until=until,
                    after=after,
                    limit=TICKETS_PER_PAGE,
                )
            for row in page:
                yield TicketNumber(row.ticket)
            if len(page) < TICKETS_PER_PAGE:
                return
            after = page[-1].ticket

    # --- one ticket ---------------------------------------------------------------------------

    async def _ticket(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        covering: Covering,
        wanted: Wanted,
    ) -> TicketEvidence:
        kept = await uow.select(
            evidence_store.STATEMENTS_OF_TICKET,
            authority=authority,
            ticket=ticket,
            limit=STATEMENTS_MAX,
        )
        receipts = await self._receipts(uow, authority, ticket)
        statements = []
        for row in kept:
            given = list(receipts.get(row.digest, ()))
            own = await uow.get(INBOX, authority, row.digest)
            if own is not None:
                given.append(own.receipt)
            signed = SignedBytes(row.statement, row.key_id, row.signature)
            statements.append(Kept(signed, tuple(given)))
        contents: tuple[Opened, ...] = ()
        if wanted.with_content and self._openings is not None:
            contents = await self._openings.opened(uow, authority, ticket)
        return TicketEvidence(
            ticket=ticket,
            rows=tuple(await self._rows(uow, authority, ticket, covering)),
            kept=tuple(statements),
            contents=contents,
        )

    async def _receipts(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> dict[bytes, list[bytes]]:
        found: dict[bytes, list[bytes]] = {}
        rows = await uow.select(evidence_store.RECEIPTS_OF_TICKET, source=authority, ticket=ticket)
        for row in rows:
            found.setdefault(row.statement_digest, []).append(row.receipt)
        return found

    async def _rows(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        covering: Covering,
    ) -> list[Row]:
        rows: list[Row] = []
        place: tuple[str, int, int] = ("", 0, 0)
        while True:
            page = await uow.select(
                store.ROWS_OF_TICKET,
                authority=authority,
                ticket=ticket,
                scope=place[0],
                number=place[1],
                sequence=place[2],
                limit=ROWS_PER_PAGE,
            )
            rows += [await covering.cover(uow, row) for row in page]
            if len(page) < ROWS_PER_PAGE:
                return rows
            place = (page[-1].scope, page[-1].number, page[-1].sequence)

    # --- the authority's ledger ---------------------------------------------------------------

    async def _ledger(self, authority: AuthorityCode, covering: Covering) -> AsyncIterator[bytes]:
        async with self._database.unit() as uow:
            [*newest] = await uow.select(store.LAST_ENTRY, authority=authority)
            if not newest:
                return
            needed = sorted({*covering.needed, newest[0].sequence})
            stamps = await uow.select(
                evidence_store.STAMPS_FROM,
                authority=authority,
                first=needed[0],
                limit=STAMPS_MAX,
            )
        spans, useful = spans_of(needed, [row.sequence for row in stamps])
        if sum(last - first + 1 for first, last in spans) > ENTRIES_MAX:
            raise BatchTooLarge(got=len(needed), expected=ENTRIES_MAX, hint=_NARROWER)
        for first, last in spans:
            async for entry in self._entries(authority, first, last):
                yield dossier_codec.entry_bytes(entry)
        for row in stamps:
            if row.sequence in useful:
                stamp = Stamp(row.sequence, row.response, self._stamp_roots)
                yield dossier_codec.stamp_bytes(stamp)

    async def _entries(
        self, authority: AuthorityCode, first: int, last: int
    ) -> AsyncIterator[Entry]:
        while first <= last:
            async with self._database.unit() as uow:
                page = await uow.select(
                    evidence_store.ENTRIES_BETWEEN,
                    authority=authority,
                    first=first,
                    last=last,
                    limit=ENTRIES_PER_PAGE,
                )
            for row in page:
                yield entry_of(row)
            if not page:
                return
            first = page[-1].sequence + 1


_NARROWER = "export a shorter period"


class _Writing:
    """Cuts a file into chunks, counts it and seals it."""

    def __init__(self, keys: KeyRing, authority: AuthorityCode) -> None:
        self._keys = keys
        self._authority = authority
        self._digest = hashlib.sha256()
        self._waiting = bytearray()
        self._size = 0

    def add(self, part: bytes) -> list[bytes]:
        """Take a part of the file and return the chunks that are full."""
        self._size += len(part)
        if self._size > EVIDENCE_BYTES_MAX:
            raise BatchTooLarge(got=self._size, expected=EVIDENCE_BYTES_MAX, hint=_NARROWER)
        self._digest.update(part)
        self._waiting += part
        chunks = []
        while len(self._waiting) >= CHUNK_BYTES:
            chunks.append(bytes(self._waiting[:CHUNK_BYTES]))
            del self._waiting[:CHUNK_BYTES]
        return chunks

    def finish(self) -> list[bytes]:
        """Return the rest of the file with its seal."""
        digest = self._digest.digest()
        key = self._keys.signing_key(self._authority)
        signature = sign(key, digest, payload_type=EVIDENCE_PAYLOAD_TYPE)
        seal = dossier_codec.seal_bytes(digest, key_id=key.key_id, signature=signature)
        return [bytes(self._waiting) + seal]


def _check_wanted(principal: Principal, wanted: Wanted) -> None:
    if not wanted.with_content:
        return
    if not wanted.purpose:
        raise PurposeMissing(name=wanted.subject, field="purpose")
    if wanted.ticket is None:
        raise FieldInvalid(
            field="with_content", got="a period", expected="one ticket: content is read one by one"
        )
    may_read_content(principal)


def _reading(principal: Principal, wanted: Wanted, now: Instant) -> AuditEntry:
    return reading_of(
        principal,
        "custody.export_content" if wanted.with_content else "custody.export",
        wanted.subject,
        now=now,
        purpose=wanted.purpose,
        is_of_words=wanted.with_content,
    )


def may_read_content(principal: Principal) -> None:
    """Return if a principal may read texts: staff that judges, never an auditor.

    Raises:
        RoleMissing: it may not.
    """
    is_judge = principal.kind is PrincipalKind.STAFF and principal.has_role(*CONTENT_ROLES)
    if not is_judge or principal.is_outsourced:
        raise RoleMissing(
            principal=principal.name,
            method="ExportCustody(with_content)",
            got=", ".join(sorted(role.value for role in principal.roles)) or principal.kind.value,
            expected=", ".join(sorted(role.value for role in CONTENT_ROLES)),
        )
