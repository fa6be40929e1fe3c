"""Writing case dossiers: one case as one signed file.

The arbiter signs the case for the file, with a fresh commitment to the words, also for a party on
its own node; a party elsewhere gives the newest CaseFile that the arbiter sent it. The custody of
the ticket comes from the evidence room, sealed as that room seals it. Words go along only where the
arbiter lives, for a panel member, supervisor or dispatcher of own staff with a purpose; else the
file has the commitment to them. Every export is an audit row.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from gateway.arbitration import exchange_codec as codec
from gateway.arbitration.cases import Cases
from gateway.arbitration.copies import COPIES, Copies
from gateway.arbitration.dossiers import codec as dossier_codec
from gateway.arbitration.dossiers.kept import Kept, salt_field
from gateway.arbitration.dossiers.model import (
    CASE_PAYLOAD_TYPE,
    DOSSIER_BYTES_MAX,
    DOSSIER_PAYLOAD_TYPE,
    EntrySalt,
    OpenedWords,
    OwnCase,
)
from gateway.arbitration.model import Case, CaseKey
from gateway.audit.acts import reading_of
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.model import SignedBytes
from gateway.evidence.export import Exporter, Wanted
from gateway.kernel.errors import (
    BatchTooLarge,
    FieldInvalid,
    InvariantViolated,
    PurposeMissing,
    ResourceNotFound,
    RoleMissing,
)
from gateway.kernel.ids import AuthorityCode, Ids, TicketNumber
from gateway.kernel.time import Clock, Instant
from gateway.trust.commitments import commit, new_salt
from gateway.trust.key_ring import KeyRing
from gateway.trust.principal import Principal, PrincipalKind, Role
from gateway.trust.statements import sign

CHUNK_BYTES = 256 * 1024
WORDS_ROLES = frozenset({Role.PANEL_MEMBER, Role.SUPERVISOR, Role.DISPATCHER})


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a dossier is made of, besides custody."""

    case: Case
    told: SignedBytes | OwnCase
    entries: tuple[SignedBytes, ...]
    words: OpenedWords | None


class DossierExporter:
    """Writes dossiers of the cases that the authorities of one node see."""

    def __init__(
        self,
        *,
        database: Database,
        cases: Cases,
        copies: Copies,
        kept: Kept,
        keys: KeyRing,
        ids: Ids,
        audit: AuditLog,
        clock: Clock,
        signed_roster: Callable[[], bytes] = lambda: b"",
        evidence: Exporter | None = None,
    ) -> None:
        """Make it; `clock` is business time, `evidence` exports the custody of the ticket."""
        self._database = database
        self._cases = cases
        self._copies = copies
        self._kept = kept
        self._keys = keys
        self._ids = ids
        self._audit = audit
        self._clock = clock
        self._signed_roster = signed_roster
        self._evidence = evidence

    async def export(
        self, principal: Principal, case_id: str, *, with_words: bool = False, purpose: str = ""
    ) -> AsyncIterator[bytes]:
        """Yield the file in chunks.

        Raises:
            ResourceNotFound: the principal's authority is neither its arbiter nor a party.
            PurposeMissing, RoleMissing: words without a purpose, or for somebody who judges none.
            FieldInvalid: words at a party; the arbiter has what opens the commitment.
        """
        now = self._clock.now()
        if with_words:
            _check_words(principal, case_id, purpose)
        authority = principal.authority
        async with self._database.unit() as uow:
            parts = await self._parts(uow, authority, case_id, with_words=with_words)
            self._audit.append(uow, _reading(principal, parts.case, purpose, now, with_words))
        custody = await self._custody(principal, parts.case.ticket)
        roster = self._signed_roster()
        head = dossier_codec.head_bytes(
            authority=authority,
            exported=now,
            case_id=parts.case.key.case,
            rosters=(roster,) if roster else (),
            told=parts.told,
            entries=parts.entries,
            custody=custody,
            words=parts.words,
        )
        digest, key = hashlib.sha256(head).digest(), self._keys.signing_key(authority)
        signature = sign(key, digest, payload_type=DOSSIER_PAYLOAD_TYPE)
        raw = head + dossier_codec.seal_bytes(digest, key_id=key.key_id, signature=signature)
        if len(raw) > DOSSIER_BYTES_MAX:
            raise BatchTooLarge(got=len(raw), expected=DOSSIER_BYTES_MAX)
        for begin in range(0, len(raw), CHUNK_BYTES):
            yield raw[begin : begin + CHUNK_BYTES]

    async def _parts(
        self, uow: UnitOfWork, authority: AuthorityCode, case_id: str, *, with_words: bool
    ) -> _Parts:
        copy = await self._copies.find(uow, authority, case_id)
        if copy is not None:
            if with_words:
                raise FieldInvalid(
                    field="with_words",
                    got=f"a party, {authority}",
                    expected=f"the arbiter {copy.key.scope}, or `lubiao case show`",
                )
            key = copy.key
            row = await uow.get(COPIES, authority, key.scope, key.case)
            if row is None:
                raise InvariantViolated(invariant="a copy has its row", got=key.name)
            told = SignedBytes(row.statement, row.key_id, row.signature)
            return _Parts(copy, told, await self._kept.of_case(uow, authority, key), None)
        case = await self._cases.visible(uow, authority, case_id)
        opened = await self._cases.with_reasons(uow, case)
        words, salt = codec.words_to_bytes(opened), new_salt(self._ids)
        file = codec.case_file_to_bytes(codec.file_to_bytes(case), commitment=commit(words, salt))
        signing = self._keys.signing_key(case.key.scope)
        signature = sign(signing, file, payload_type=CASE_PAYLOAD_TYPE)
        entries = await self._kept.of_case(uow, case.key.scope, case.key)
        salts = await self._salts(uow, case.key) if with_words else ()
        shown = OpenedWords(salt, words, salts) if with_words else None
        return _Parts(case, OwnCase(file, signing.key_id, signature), entries, shown)

    async def _salts(self, uow: UnitOfWork, key: CaseKey) -> tuple[EntrySalt, ...]:
        """Return what shows that the words of each party are those that it signed."""
        return tuple(
            [
                EntrySalt(named, await self._cases.open(uow, key, salt_field(named), sealed))
                for named, sealed in await self._kept.salts_of_case(uow, key.scope, key)
            ]
        )

    async def _custody(self, principal: Principal, ticket: TicketNumber) -> bytes:
        if self._evidence is None:
            return b""
        wanted = Wanted(ticket=ticket)
        try:
            return b"".join([part async for part in self._evidence.export(principal, wanted)])
        except ResourceNotFound:  # no ledger of it here: a case of units on a ticket just begun
            return b""


def _check_words(principal: Principal, case_id: str, purpose: str) -> None:
    if not purpose:
        raise PurposeMissing(name=f"cases/{case_id}", field="purpose")
    is_judge = principal.kind is PrincipalKind.STAFF and principal.has_role(*WORDS_ROLES)
    if not is_judge or principal.is_outsourced:
        raise RoleMissing(
            principal=principal.name,
            method="ExportCase(with_words)",
            got=", ".join(sorted(role.value for role in principal.roles)) or principal.kind.value,
            expected=", ".join(sorted(role.value for role in WORDS_ROLES)),
        )


def _reading(
    principal: Principal, case: Case, purpose: str, now: Instant, with_words: bool
) -> AuditEntry:
    return reading_of(
        principal,
        "case.export_words" if with_words else "case.export",
        case.name,
        now=now,
        purpose=purpose,
        is_of_words=with_words,
    )
