"""A case between nodes: the arbiter tells its parties, the parties speak to it; all by statements.

After every change the arbiter signs a `CaseFile` for each party on another node: the case as bytes,
the same for everybody (I4), and the words sealed to the party. A party keeps the newest revision.
What a party says travels as `Position` or `Objection`, with its words sealed to the arbiter. When
it counts as said is the arbiter's clock, so nobody's clock lengthens a window; what comes too late
or out of turn changes nothing, is an audit row, and the case file that answers shows it missing.
So does what is said in a case that a restored arbiter forgot: only who was told of it speaks in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import structlog

from gateway.arbitration import exchange_codec as codec
from gateway.arbitration.cases import Cases
from gateway.arbitration.copies import Copies
from gateway.arbitration.dossiers.kept import Kept, salt_field
from gateway.arbitration.model import Case, CaseKey, Entry, Party, is_unit
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.custody import chains
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_to_bytes
from gateway.delivery.model import Delivered, SealedBlock, SignedBytes, Statement
from gateway.delivery.outbox import Outbox
from gateway.delivery.ports import StatementHandler
from gateway.kernel.codes import CaseEntryKind
from gateway.kernel.errors import (
    CommitmentMismatch,
    DestinationNotJoined,
    FieldInvalid,
    KeyUnknown,
    PeerNotAllowed,
    QuotaExceeded,
    ResourceNotFound,
    StatementMalformed,
    TransitionNotAllowed,
)
from gateway.kernel.ids import GENESIS, AuthorityCode, Ids
from gateway.kernel.time import Clock, Instant
from gateway.trust.commitments import SALT_BYTES, check_commitment, commit, new_salt
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import KeyId
from gateway.trust.principal import Principal
from gateway.trust.roster import Roster
from gateway.trust.sealing import OpenedBlock, Sealed, SealingContext, open_block, seal_block
from gateway.trust.statements import sign

FILE, POSITION, OBJECTION = "CaseFile", "Position", "Objection"
WORDS = "case_words"
PROTOCOL_VERSION = 1
FRAME_CHECK = 7  # of docs/delivery.md: who may say this to whom
KINDS: Mapping[str, CaseEntryKind] = {
    POSITION: CaseEntryKind.POSITION,
    OBJECTION: CaseEntryKind.OBJECTION,
}
log = structlog.get_logger()


class Speak(Protocol):
    """Puts on record what a party on another node said."""

    async def __call__(self, uow: UnitOfWork, case: Case, entry: Entry, *, now: Instant) -> None:
        """Record it, or raise why it changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class _Speech:
    """One statement to one authority, with the words beside it."""

    kind: str
    body: bytes = field(repr=False)
    words: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    source: AuthorityCode
    target: AuthorityCode


class Exchange:
    """Both ends of it, for the authorities of one node."""

    def __init__(
        self,
        *,
        keys: KeyRing,
        ids: Ids,
        roster: Callable[[], Roster],
        outbox: Outbox,
        cases: Cases,
        copies: Copies,
        audit: AuditLog,
        machine_clock: Clock,
        business_clock: Clock,
    ) -> None:
        """Sign and open with `keys`; the room sets `speak`."""
        self._keys = keys
        self._ids = ids
        self._roster = roster
        self._outbox = outbox
        self._cases = cases
        self._copies = copies
        self._audit = audit
        self._machine = machine_clock
        self._business = business_clock
        self.speak: Speak | None = None
        self.kept: Kept | None = None  # keeps what parties sign

    def handlers(self) -> dict[str, StatementHandler]:
        """Return what takes the statements of this room, for `Inbox.register`."""
        return {FILE: self._take_file, POSITION: self._take_entry, OBJECTION: self._take_entry}

    # --- the arbiter tells --------------------------------------------------------------------

    def tell(self, uow: UnitOfWork, case: Case) -> None:
        """Tell the parties on other nodes of a case as it is at the end of this unit."""
        name = ("case", case.key)
        uow.before_commit(partial(self._tell, uow, case.key), once=name)

    def _tell_again(self, uow: UnitOfWork, case: Case, party: Party) -> None:
        """Tell one party of a case that it did not change: nobody else has news."""
        name = ("case", case.key, party)
        uow.before_commit(partial(self._tell, uow, case.key, only=party), once=name)

    async def _tell(self, uow: UnitOfWork, key: CaseKey, *, only: Party = "") -> None:
        case = await self._cases.find(uow, key)
        if case is None or key.scope not in self._keys.codes():
            return
        words = codec.words_to_bytes(await self._cases.with_reasons(uow, case))
        content = codec.file_to_bytes(case)
        for party in case.audience:
            is_here = is_unit(party) or party in self._keys.codes() or party == key.scope
            if is_here or (only and party != only):  # who is here reads the case itself
                continue
            salt = new_salt(self._ids)
            body = codec.case_file_to_bytes(content, commitment=commit(words, salt))
            speech = _Speech(FILE, body, words, salt, key.scope, AuthorityCode(party))
            try:
                self._post(uow, case, speech)
            except (DestinationNotJoined, KeyUnknown) as error:
                log.warning("case.party_not_told", case=key.case, reason=error.reason)

    # --- a party speaks -----------------------------------------------------------------------

    def say(self, uow: UnitOfWork, case: Case, entry: Entry) -> None:
        """Send what a party of this node says to the arbiter of a case on another node.

        Raises:
            DestinationNotJoined: the arbiter is not in the roster.
            KeyUnknown: it lists no key that words could be sealed to.
        """
        kind = next(name for name, code in KINDS.items() if code is entry.kind)
        words, salt = codec.entry_words_to_bytes(entry), new_salt(self._ids)
        body = codec.party_entry_to_bytes(case, entry, commitment=commit(words, salt))
        party = AuthorityCode(entry.party)
        signed = self._post(uow, case, _Speech(kind, body, words, salt, party, case.key.scope))
        if self.kept is not None:
            self.kept.keep(uow, party, case.key, kind=kind, party=party, signed=signed)

    # --- handlers -----------------------------------------------------------------------------

    async def _take_file(
        self,
        uow: UnitOfWork,
        delivered: Delivered,
        now: Instant,  # noqa: ARG002 a copy has the arbiter's clock
    ) -> None:
        """Keep a case as its arbiter told it; an older revision changes nothing."""
        statement = delivered.statement
        content, commitment = codec.case_file_of(statement.body)
        case = codec.case_of_file(content)
        said = (statement.issuer, statement.scope, statement.ticket, statement.chain)
        is_told = said == (case.key.scope, case.key.scope, case.ticket, case.chain)
        # Else any peer could put a case of its own before the true one, and be sent the words.
        is_its_arbiter = chains.is_in_scope(delivered.target, case.key.scope)
        if not is_told or not is_its_arbiter or delivered.target not in case.audience:
            raise StatementMalformed(
                check=FRAME_CHECK,
                got=f"a case of {case.key.scope} from {statement.issuer}",
                expected=f"its own arbiter, and {delivered.target} a party",
            )
        words = self._opened(delivered, commitment).block
        codec.check_words(words)
        await self._copies.keep(uow, delivered.target, case, signed=delivered.signed, words=words)

    async def _take_entry(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        """Put on record what a party on another node says, or note why it changes nothing."""
        statement = delivered.statement
        said, commitment = codec.party_entry_of(statement.body, KINDS[statement.kind])
        key = CaseKey(delivered.target, said.case)
        case = await self._cases.find(uow, key)
        _check_about(statement, key, case)
        _check_author(said.author, statement.issuer)
        if case is None:
            await self._forgotten(uow, delivered, key, author=said.author, now=now)
            return
        opened = self._opened(delivered, commitment)
        words = codec.check_words(opened.block).words[0].text
        entry = codec.said_entry(said, statement.issuer, words, now=now)
        outcome = "DONE"
        try:
            if self.speak is not None:
                await self.speak(uow, case, entry, now=now)
            if self.kept is not None:
                self.kept.keep(
                    uow,
                    delivered.target,
                    case.key,
                    kind=statement.kind,
                    party=statement.issuer,
                    signed=delivered.signed,
                    salt=await self._cases.seal(
                        uow, case.key, salt_field(delivered.digest), opened.salt
                    ),
                )
        except (FieldInvalid, QuotaExceeded, TransitionNotAllowed) as error:
            outcome = error.reason  # on record, without effect; the case file shows it missing
            self._tell_again(uow, case, statement.issuer)
        self._record(uow, statement, key, author=said.author, outcome=outcome, now=now)

    async def _forgotten(
        self,
        uow: UnitOfWork,
        delivered: Delivered,
        key: CaseKey,
        *,
        author: str,
        now: Instant,
    ) -> None:
        """End words in a case that is not here; their party is told the newest one of the chain.

        Whoever has a copy had it from this arbiter: it was restored, and all that its peers
        returned is applied before it serves. The filing is lost, or joined another case since.
        """
        said = delivered.statement
        for case in (
            await self._cases.all_on(uow, scope=key.scope, ticket=said.ticket, chain=said.chain)
        )[-1:]:
            self._tell_again(uow, case, said.issuer)
        outcome = ResourceNotFound.reason
        self._record(uow, said, key, author=author, outcome=outcome, now=now)

    def _record(
        self,
        uow: UnitOfWork,
        statement: Statement,
        key: CaseKey,
        *,
        author: str,
        outcome: str,
        now: Instant,
    ) -> None:
        self._audit.append(
            uow,
            AuditEntry(
                time=now,
                principal=author,
                role="party",
                act=f"case.{KINDS[statement.kind].name.lower()}",
                subject=key.name,
                basis=f"statement of {statement.issuer}",
                outcome=outcome,
            ),
        )

    # --- parts --------------------------------------------------------------------------------

    def _post(self, uow: UnitOfWork, case: Case, speech: _Speech) -> SignedBytes:
        source, target = speech.source, speech.target
        recipient = self._roster().current_sealing_key(
            target, now=self._machine.now(), kind=speech.kind
        )
        context = _context(case, source=source, target=target)
        sealed = seal_block(
            block=speech.words, salt=speech.salt, recipient=recipient, context=context
        )
        signed = self._signed(case, speech)
        self._outbox.post(
            uow,
            source=source,
            target=target,
            ticket=case.ticket,
            kind=speech.kind,
            signed=signed,
            blocks=(SealedBlock(WORDS, sealed.ciphertext, sealed.suite, sealed.key_id),),
            now=self._business.now(),
        )
        return signed

    def _signed(self, case: Case, speech: _Speech) -> SignedBytes:
        key, now = self._keys.signing_key(speech.source), self._machine.now()
        statement = Statement(
            statement_id=self._ids.uuid7(now),
            kind=speech.kind,
            issuer=speech.source,
            audience=(speech.target,),
            ticket=case.ticket,
            scope=case.key.scope,
            chain=case.chain,
            epoch=GENESIS,
            previous_digest=b"",
            issued=now,
            protocol_version=PROTOCOL_VERSION,
            body=speech.body,
        )
        raw = statement_to_bytes(statement)
        return SignedBytes(raw, key.key_id, sign(key, raw))

    def _opened(self, delivered: Delivered, commitment: bytes) -> OpenedBlock:
        """Return the words that came beside a statement, with their salt.

        Raises:
            CommitmentMismatch, KeyUnknown: they are missing, others, or sealed to somebody else.
        """
        block, statement = delivered.block(WORDS), delivered.statement
        if block is None:
            raise CommitmentMismatch(block=WORDS)
        if block.opened is not None:
            salt, content = block.opened[:SALT_BYTES], block.opened[SALT_BYTES:]
            check_commitment(kind=WORDS, block=content, salt=salt, commitment=commitment)
            return OpenedBlock(block=content, salt=salt)
        context = SealingContext(
            ticket=statement.ticket,
            scope=statement.scope,
            chain=statement.chain,
            epoch=GENESIS,
            source=statement.issuer,
            target=delivered.target,
            kind=WORDS,
        )
        sealed = Sealed(block.ciphertext, block.suite, KeyId(block.key_id))
        keys = self._keys.sealing_keys(delivered.target)
        return open_block(sealed, keys, context, commitment=commitment)


def _check_about(statement: Statement, key: CaseKey, case: Case | None) -> None:
    """Return if words are about the ticket and chain of their case; a number is made of both.

    Raises:
        StatementMalformed: they are not.
    """
    place = f"{statement.ticket}-{key.scope}-{statement.chain}-"
    is_about = key.case.startswith(place)
    if case is not None:
        is_about = (case.ticket, case.chain) == (statement.ticket, statement.chain)
    if not is_about:
        raise StatementMalformed(
            check=FRAME_CHECK, got="words about another ticket", expected=key.name
        )


def _check_author(author: str, issuer: AuthorityCode) -> None:
    """Return if who speaks is of the authority that signed: the audit names them.

    Raises:
        StatementMalformed: it is somebody else's person, or nobody.
    """
    try:
        speaker = Principal.parse(author)
    except PeerNotAllowed:
        speaker = None
    if speaker is None or speaker.authority != issuer:
        raise StatementMalformed(
            check=FRAME_CHECK, got="words of somebody else", expected=f"a person of {issuer}"
        )


def _context(case: Case, *, source: AuthorityCode, target: AuthorityCode) -> SealingContext:
    return SealingContext(
        ticket=case.ticket,
        scope=case.key.scope,
        chain=case.chain,
        epoch=GENESIS,
        source=source,
        target=target,
        kind=WORDS,
    )
