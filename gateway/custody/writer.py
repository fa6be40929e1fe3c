"""Writing a step: sign what it says, extend the ledger, stage all rows, post to the audience.

Everything happens in the caller's unit of work, so state, ledger, statements and outbox commit
together or not at all. The order is that of the ledger: first the row of the received statement,
then a row for each statement said. A statement names the ledger head before it.

Updates of a ticket's progress, their answers, and letters move no custody; they are signed and
posted but are no rows of the ledger (docs/custody.md#ledger).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from gateway.custody import codec, ledger, store
from gateway.custody.enclosing import Content, Encloser
from gateway.custody.incarnation import Recovery
from gateway.custody.machine import Say, Step
from gateway.custody.model import PROTOCOL_VERSION, Chain, ChainKey, OfferAnswered, OfferMade
from gateway.custody.openings import Openings
from gateway.custody.repeats import WITH_CONTENT, is_taken, without_repeats
from gateway.custody.rows import answered_row, chain_row, invitation_row, made_row
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import remember_said, statement_from_bytes, statement_to_bytes
from gateway.delivery.model import Delivered, SignedBytes, Statement
from gateway.delivery.outbox import Outbox
from gateway.kernel.errors import InvariantViolated, KeyUnknown
from gateway.kernel.ids import AuthorityCode, Epoch, Ids, NodeId
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import replace
from gateway.trust.commitments import new_salt
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster
from gateway.trust.statements import digest, record, sign

UNRECORDED_KINDS = frozenset(
    {"TicketUpdate", "UpdateAnswer", "CitizenAct", "InformationRequest", "InformationAnswer"}
    | {"Inquiry", "InquiryAnswer"}
)

# They tell the whole public state: of several in one step, only the last one is sent.
WHOLE_STATE_KINDS = frozenset({"TicketUpdate"})
EXCLUSIVE = "act."  # the kind of the row of an exclusive act begins with it


class StepWriter:
    """Turns the outcome of a pure step into rows and signed statements."""

    def __init__(
        self,
        *,
        keys: KeyRing,
        roster: Callable[[], Roster],
        outbox: Outbox,
        ids: Ids,
        machine_clock: Clock,
        recovery: Recovery | None = None,
        openings: Openings | None = None,
    ) -> None:
        """Make the writer of one node; while it is `recovery`ing nothing is written."""
        self._recovery = recovery or Recovery(NodeId("here"))
        self._openings = openings  # None: what opens commitments is not kept
        self._keys = keys
        self._roster = roster
        self._outbox = outbox
        self._ids = ids
        self._machine = machine_clock
        self._encloser = Encloser(roster, machine_clock)

    @property
    def was_restored(self) -> bool:
        """Tell whether this node ever was restored."""
        return self._recovery.was_restored

    def content(self, kind: str, block: bytes) -> Content:
        """Return a block with a fresh salt, ready to be promised and sealed."""
        return Content(kind, block, new_salt(self._ids))

    async def write(
        self,
        uow: UnitOfWork,
        step: Step,
        *,
        now: Instant,
        received: Delivered | None = None,
        contents: tuple[Content, ...] = (),
        case_block: bytes = b"",
    ) -> Chain:
        """Write a step and return the chain as it is stored.

        Args:
            uow: the open unit; the ticket is locked.
            step: the outcome of the machine.
            now: business time of the step.
            received: the statement that caused it, if one did.
            contents: blocks that travel beside what is said.
            case_block: the sealed block of a new invitation, as received.
        """
        chain = step.chain
        self._recovery.refuse_if_recovering(chain.key.authority)
        repeats: Mapping[Say, bytes] = {}
        if self._recovery.was_restored:
            step, repeats = await without_repeats(uow, chain.key, step)
        if received is not None:
            keep(uow, chain.key.authority, received.signed, received.statement, now)
            if step.records and not await self._stands(uow, received):
                chain = self._append(
                    uow,
                    chain,
                    kind=received.statement.kind,
                    epoch=received.statement.epoch,
                    subject=received.digest,
                    now=now,
                )
        chain, said = self._say_all(uow, chain, step, now=now, contents=contents)
        if contents and self._openings is not None:
            promises = [(content.commitment(), content.salt, content.block) for content in contents]
            await self._openings.keep(uow, chain.key, step.says, said, promises)
        if repeats:
            said = {**said, **await self._again(uow, chain.key, repeats, now)}
        chain = _established(chain, step, received=received, said=said)
        for made in step.made:
            uow.put(store.OFFERS_MADE, made_row(made))
        if step.ends_invitation:
            uow.delete(store.INVITATIONS, *_parts(chain.key))
        if step.invitation is not None:
            row = invitation_row(step.invitation, case_block=case_block)
            uow.put(store.INVITATIONS, row)
        if step.resend and received is not None:
            await self.resend(uow, chain.key, step.resend, to=received.statement.issuer, now=now)
        self.save(uow, chain)
        return chain

    def note(self, uow: UnitOfWork, key: ChainKey, received: Delivered, now: Instant) -> None:
        """Keep a statement that changes nothing."""
        self._recovery.refuse_if_recovering(key.authority)
        keep(uow, key.authority, received.signed, received.statement, now)

    def save(self, uow: UnitOfWork, chain: Chain) -> None:
        """Stage the chain's row."""
        if chain.is_caring and chain.desk is None:
            raise InvariantViolated(
                invariant="I2: who cares names a desk", got=f"{chain.key.ticket} {chain.holding}"
            )
        uow.put(store.CHAINS, chain_row(chain))

    def act(
        self, uow: UnitOfWork, chain: Chain, *, kind: str, subject: bytes, now: Instant
    ) -> Chain:
        """Append the row of a local act and stage the chain; `kind` is `act.…` or `care.…`."""
        self._recovery.refuse_if_recovering(chain.key.authority)
        epoch = chain.term_epoch or Epoch(0, 0)
        acted = self._append(uow, chain, kind=kind, epoch=epoch, subject=subject, now=now)
        if kind.startswith(EXCLUSIVE):
            uow.put(store.OWN_ACTS, _own_act(acted, kind.removeprefix(EXCLUSIVE), epoch, subject))
        self.save(uow, acted)
        return acted

    async def resend(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        statement_digest: bytes,
        *,
        to: AuthorityCode,
        now: Instant,
    ) -> None:
        """Post a stored statement again, byte for byte."""
        row = await uow.get(store.STATEMENTS, key.authority, statement_digest)
        if row is None:
            raise InvariantViolated(
                invariant="an answer once given is never forgotten", got=statement_digest.hex()
            )
        self._outbox.post(
            uow,
            source=key.authority,
            target=to,
            ticket=key.ticket,
            kind=row.kind,
            signed=SignedBytes(row.statement, row.key_id, row.signature),
            blocks=(),
            now=now,
        )

    async def signed(
        self, uow: UnitOfWork, authority: AuthorityCode, statement_digest: bytes
    ) -> SignedBytes:
        """Return the exact bytes of a statement that is kept here."""
        row = await uow.get(store.STATEMENTS, authority, statement_digest)
        if row is None:
            raise InvariantViolated(
                invariant="what a chain rests on is kept", got=statement_digest.hex()
            )
        return SignedBytes(row.statement, row.key_id, row.signature)

    def joined(self, codes: tuple[AuthorityCode, ...]) -> tuple[AuthorityCode, ...]:
        """Return those of the authorities to whom something can be sent now."""
        roster = self._roster()
        return tuple(code for code in codes if roster.is_joined(code))

    def can_reach(self, target: AuthorityCode) -> bool:
        """Tell whether content can be sealed and sent to an authority now."""
        roster = self._roster()
        try:
            roster.current_sealing_key(target, now=self._machine.now())
        except KeyUnknown:
            return False
        return roster.is_joined(target)

    def has_arbiter(self, scope: AuthorityCode) -> bool:
        """Tell whether the arbiter of a scope has joined, so that it can be told something."""
        return self._roster().arbiter_of(scope) is not None

    def has_mandate(self, arbiter: AuthorityCode) -> bool:
        """Tell whether the roster lets an authority rule in its scope now."""
        entry = self._roster().authority(arbiter)
        return entry is not None and entry.has_mandate_at(self._machine.now())

    def restate(
        self,
        uow: UnitOfWork,
        chain: Chain,
        *,
        kind: str,
        epoch: Epoch,
        subject: bytes,
        now: Instant,
    ) -> Chain:
        """Append the row of an own statement that peers returned after a restore."""
        return self._append(uow, chain, kind=kind, epoch=epoch, subject=subject, now=now)

    async def _stands(self, uow: UnitOfWork, received: Delivered) -> bool:
        """Tell whether an own order that is obeyed was restated after a restore: it has its row."""
        is_own = received.statement.issuer == received.target
        return self._recovery.was_restored and is_own and await is_taken(uow, received)

    async def _again(
        self, uow: UnitOfWork, key: ChainKey, repeats: Mapping[Say, bytes], now: Instant
    ) -> Mapping[str, bytes]:
        """Let what was said before a restore stand, and send what needs no content once more."""
        for say, known in repeats.items():
            _put_completed(uow, say, known)
            targets = say.audience if say.post_to is None else say.post_to
            kept = await self.signed(uow, key.authority, known)
            audience = statement_from_bytes(kept.statement).audience  # of other words: another one
            for target in () if say.kind in WITH_CONTENT else targets:
                if target in audience:
                    await self.resend(uow, key, known, to=target, now=now)
        return {say.kind: known for say, known in repeats.items()}

    # --- saying -------------------------------------------------------------------------------

    def _say_all(
        self,
        uow: UnitOfWork,
        chain: Chain,
        step: Step,
        *,
        now: Instant,
        contents: tuple[Content, ...],
    ) -> tuple[Chain, Mapping[str, bytes]]:
        said: dict[str, bytes] = {}
        for say in step.says:
            signed, statement = self._sign(chain, say, now=now)
            said[say.kind] = digest(signed.statement)
            keep(uow, chain.key.authority, signed, statement, now)
            if say.records and say.kind not in UNRECORDED_KINDS:
                chain = self._append(
                    uow,
                    chain,
                    kind=say.kind,
                    epoch=say.epoch,
                    subject=said[say.kind],
                    now=now,
                )
            _put_completed(uow, say, said[say.kind])
            for target in say.audience if say.post_to is None else say.post_to:
                beside = contents if say.content_for in (None, target) else ()
                post = partial(
                    self._post,
                    uow,
                    chain.key,
                    say,
                    signed=signed,
                    to=target,
                    beside=beside,
                    now=now,
                )
                if say.kind in WHOLE_STATE_KINDS:
                    uow.before_commit(post, once=(say.kind, chain.key, say.epoch, target))
                else:
                    post()
        return chain, said

    def _post(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        say: Say,
        *,
        signed: SignedBytes,
        to: AuthorityCode,
        beside: tuple[Content, ...],
        now: Instant,
    ) -> None:
        is_here = bool(beside) and self._outbox.is_here(to, say.kind)
        self._outbox.post(
            uow,
            source=key.authority,
            target=to,
            ticket=key.ticket,
            kind=say.kind,
            signed=signed,
            blocks=self._encloser.enclose(key, say.epoch, to, beside, is_here=is_here),
            now=now,
        )

    def _sign(self, chain: Chain, say: Say, *, now: Instant) -> tuple[SignedBytes, Statement]:
        key = chain.key
        statement = Statement(
            statement_id=self._ids.uuid7(now),
            kind=say.kind,
            issuer=key.authority,
            audience=say.audience,
            ticket=key.ticket,
            scope=key.scope,
            chain=key.number,
            epoch=say.epoch,
            previous_digest=chain.chain_head,
            issued=now,
            protocol_version=PROTOCOL_VERSION,
            body=codec.body_to_bytes(say.body),
        )
        raw = statement_to_bytes(statement)
        # A neighbour on this node, and the proofs of a while, ask for it: it needs no reading back.
        codec.remember_said(say.kind, statement.body, say.body)
        remember_said(raw, statement)
        signing = self._keys.signing_key(key.authority)
        return SignedBytes(raw, signing.key_id, sign(signing, raw)), statement

    # --- rows ---------------------------------------------------------------------------------

    def _append(
        self,
        uow: UnitOfWork,
        chain: Chain,
        *,
        kind: str,
        epoch: Epoch,
        subject: bytes,
        now: Instant,
    ) -> Chain:
        content = ledger.RowContent(
            sequence=chain.rows + 1,
            previous=chain.chain_head,
            kind=kind,
            epoch=epoch,
            subject=subject,
            state=ledger.state_digest(chain),
            recorded=now,
        )
        head = ledger.row_digest(content)
        row = store.CustodyRow(
            authority=chain.key.authority,
            ticket=chain.key.ticket,
            scope=chain.key.scope,
            number=chain.key.number,
            sequence=content.sequence,
            txid=0,
            previous_digest=content.previous,
            kind=kind,
            epoch=epoch.key(),
            subject_digest=subject,
            state_digest=content.state,
            row_digest=head,
            holding=chain.holding.value,
            recorded=now,
        )
        uow.insert(store.CUSTODY_ROWS, row)
        return replace(chain, chain_head=head, rows=content.sequence)


def keep(
    uow: UnitOfWork,
    authority: AuthorityCode,
    signed: SignedBytes,
    statement: Statement,
    now: Instant,
) -> None:
    """Stage the exact bytes of a statement; kept as long as the ticket."""
    row = store.StatementRow(
        authority=authority,
        digest=digest(signed.statement),
        statement=signed.statement,
        key_id=signed.key_id,
        signature=signed.signature,
        kind=statement.kind,
        issuer=statement.issuer,
        ticket=statement.ticket,
        scope=statement.scope,
        number=statement.chain,
        epoch=statement.epoch.key(),
        recorded=now,
    )
    uow.put(store.STATEMENTS, row)


def _own_act(acted: Chain, kind: str, epoch: Epoch, subject: bytes) -> store.OwnActRow:
    """Return the newest row of a chain's ledger as an act of its term."""
    key = acted.key
    return store.OwnActRow(
        authority=key.authority,
        ticket=key.ticket,
        scope=key.scope,
        number=key.number,
        epoch=epoch.key(),
        sequence=acted.rows,
        kind=kind,
        digest=subject,
    )


def _put_completed(uow: UnitOfWork, say: Say, statement_digest: bytes) -> None:
    match say.row:
        case OfferMade() as made:
            completed = replace(made, statement_digest=statement_digest)
            uow.put(store.OFFERS_MADE, made_row(completed))
        case OfferAnswered() as answered:
            given = replace(answered, answer_digest=statement_digest)
            uow.put(store.OFFERS_ANSWERED, answered_row(given))
        case None:
            pass


def _established(
    chain: Chain, step: Step, *, received: Delivered | None, said: Mapping[str, bytes]
) -> Chain:
    """Return the chain with the record of the term that this step established, if it did."""
    if "Genesis" in said:
        first = said["Genesis"]
        genesis_record = record(previous_record=None, first_digest=first, second_digest=None)
        return replace(
            chain, genesis_digest=first, record_digest=genesis_record, records=(first.hex(),)
        )
    if step.established is None:
        return chain
    prior, offer_digest = step.established
    if step.opens_era:
        taken = said["RulingAck"]
        return replace(
            chain,
            record_digest=record(
                previous_record=prior or None, first_digest=offer_digest, second_digest=taken
            ),
            records=(offer_digest.hex(), taken.hex()),
        )
    answer_digest = said.get("Answer") or (received.digest if received else b"")
    return replace(
        chain,
        record_digest=record(
            previous_record=prior, first_digest=offer_digest, second_digest=answer_digest
        ),
        records=(*chain.records, offer_digest.hex(), answer_digest.hex()),
    )


def _parts(key: ChainKey) -> tuple[str, str, str, int]:
    return key.authority, key.ticket, key.scope, key.number
