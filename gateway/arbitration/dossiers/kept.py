"""What parties signed in disputes, kept as exact bytes for the dossier.

The arbiter keeps what a party on another node sent and what it put on record; a party keeps what it
sent. An authority that lives on the arbiter's own node sends nothing, so its statement is signed
with its own key when its words go on record. A unit has no key: its authority signs the case.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.arbitration import exchange_codec as codec
from gateway.arbitration.model import Case, CaseKey, Entry
from gateway.database.table import Group, Table
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_to_bytes
from gateway.delivery.model import SignedBytes, Statement
from gateway.kernel.codes import CaseEntryKind, CaseLevel
from gateway.kernel.ids import GENESIS, AuthorityCode, Ids
from gateway.kernel.time import Clock, Instant
from gateway.privacy.vault import ContentKey
from gateway.trust.commitments import commit, new_salt
from gateway.trust.key_ring import KeyRing
from gateway.trust.statements import digest, sign

KINDS = {CaseEntryKind.POSITION: "Position", CaseEntryKind.OBJECTION: "Objection"}
PROTOCOL_VERSION = 1


@dataclass(frozen=True, slots=True)
class StatementRow:
    """A party's statement, as it was signed."""

    authority: str
    scope: str
    case_id: str
    digest: bytes
    kind: str
    party: str
    statement: bytes
    key_id: str
    signature: bytes
    recorded: Instant
    salt: bytes  # sealed with the case's key; empty where it is not kept


CASE_STATEMENTS = Table(
    "case_statements", StatementRow, key=("authority", "scope", "case_id", "digest")
)
STATEMENTS_OF_CASE = Group(CASE_STATEMENTS, ("authority", "scope", "case_id"))


def salt_field(statement: bytes) -> str:
    """Return under which name the salt of a statement of this digest is sealed."""
    return f"salt/{statement.hex()}"


class Kept:
    """The statements of parties on one node."""

    def __init__(self, *, keys: KeyRing, ids: Ids, machine_clock: Clock) -> None:
        """Sign with `keys` for the authorities of this node."""
        self._keys = keys
        self._ids = ids
        self._machine = machine_clock

    def keep(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        key: CaseKey,
        *,
        kind: str,
        party: str,
        signed: SignedBytes,
        salt: bytes = b"",
    ) -> None:
        """Keep a statement; the same one again changes nothing. `salt` is sealed."""
        row = StatementRow(
            authority=authority,
            scope=key.scope,
            case_id=key.case,
            digest=digest(signed.statement),
            kind=kind,
            party=party,
            statement=signed.statement,
            key_id=signed.key_id,
            signature=signed.signature,
            recorded=self._machine.now(),
            salt=salt,
        )
        uow.put(CASE_STATEMENTS, row)

    def said_here(self, uow: UnitOfWork, case: Case, key: ContentKey) -> None:
        """Sign what was put on record last, if an authority of this node said it."""
        entry = case.entries[-1]
        is_said = entry.kind in KINDS and case.level is not CaseLevel.UNITS
        if is_said and entry.party in self._keys.codes():
            salt = new_salt(self._ids)
            signed = self._signed(case, entry, salt)
            self.keep(
                uow,
                case.key.scope,
                case.key,
                kind=KINDS[entry.kind],
                party=entry.party,
                signed=signed,
                salt=key.seal(salt_field(digest(signed.statement)), salt),
            )

    async def of_case(
        self, uow: UnitOfWork, authority: AuthorityCode, key: CaseKey
    ) -> tuple[SignedBytes, ...]:
        """Return the statements that an authority keeps of a case, oldest first."""
        found = await uow.rows(STATEMENTS_OF_CASE, authority, key.scope, key.case)
        ordered = sorted(found, key=lambda row: (row.recorded, row.digest))
        return tuple(SignedBytes(row.statement, row.key_id, row.signature) for row in ordered)

    async def salts_of_case(
        self, uow: UnitOfWork, authority: AuthorityCode, key: CaseKey
    ) -> tuple[tuple[bytes, bytes], ...]:
        """Return digest and sealed salt of each statement whose salt is kept, by digest."""
        found = await uow.rows(STATEMENTS_OF_CASE, authority, key.scope, key.case)
        return tuple(sorted((row.digest, row.salt) for row in found if row.salt))

    def _signed(self, case: Case, entry: Entry, salt: bytes) -> SignedBytes:
        party, now = AuthorityCode(entry.party), self._machine.now()
        words = codec.entry_words_to_bytes(entry)
        body = codec.party_entry_to_bytes(case, entry, commitment=commit(words, salt))
        statement = Statement(
            statement_id=self._ids.uuid7(now),
            kind=KINDS[entry.kind],
            issuer=party,
            audience=(case.key.scope,),
            ticket=case.ticket,
            scope=case.key.scope,
            chain=case.chain,
            epoch=GENESIS,
            previous_digest=b"",
            issued=now,
            protocol_version=PROTOCOL_VERSION,
            body=body,
        )
        raw, key = statement_to_bytes(statement), self._keys.signing_key(party)
        return SignedBytes(raw, key.key_id, sign(key, raw))
