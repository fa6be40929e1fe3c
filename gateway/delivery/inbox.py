"""The inbox: verify, then parse, then hand to the one handler of the kind, in one transaction.

Checks on every envelope, in this order; the first failure changes nothing:
(1) size; (2) the source is in the roster and lives on the node of the TLS certificate;
(3) the signature is over the exact bytes, by a key of the source that is valid now;
(4) it parses and keeps the bounds of its schema; (5) it is addressed to an authority that lives
here, its issuer is the source, and its key may sign this kind; (6) a repeat gets the stored
receipt, byte for byte. Checks 7–10 belong to the handler (docs/custody.md#checks).

A receipt is given only after the commit of that very transaction. `received` and, from check 4 on,
`refused` are stored and replayed verbatim. Only what the signer did is refused for ever: what may
be our older roster, a statement that overtook another one, or a defect of ours is `deferred`, which
is not stored. Each envelope is answered alone, so one bad envelope never holds up a batch. A
receipt says nothing about responsibility.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import structlog
from google.protobuf.message import DecodeError, Message

from gateway.database.uow import Database, UnitOfWork
from gateway.delivery import codec
from gateway.delivery.model import (
    ENVELOPE_BYTES_MAX,
    PROTOCOL_VERSION_MAX,
    Delivered,
    SealedBlock,
    SignedBytes,
    Statement,
)
from gateway.delivery.ports import StatementHandler
from gateway.delivery.store import EVIDENCE, INBOX, EvidenceRow, InboxRow
from gateway.kernel import crashpoints
from gateway.kernel.errors import (
    FieldInvalid,
    InvariantViolated,
    KeyRevoked,
    KeyUnknown,
    LocalProtocolError,
    LubiaoError,
    PeerNotAllowed,
    RemoteProtocolError,
    StatementMalformed,
    VersionTooNew,
)
from gateway.kernel.ids import AuthorityCode, NodeId
from gateway.kernel.time import Clock, Instant
from gateway.kernel.validation import validate
from gateway.telemetry.traces import ticket_span
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, digest, sign, verify
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.type.v1 import statement_pb2 as type_pb

_log = structlog.get_logger()


NO_RECEIPT = b""  # an empty SignedReceipt: nobody here can sign one; the sender tries again


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an envelope belongs, as far as it was understood; its signature verified."""

    target: AuthorityCode
    source: AuthorityCode
    digest: bytes
    sequence: int
    kind: str = ""
    ticket: str = ""

    @property
    def lock(self) -> str:
        """The lock under which the envelope is answered; reports of one issuer take turns."""
        if self.ticket:
            return f"ticket/{self.ticket}"
        return f"issuer/{self.source}" if self.kind else f"statement/{self.digest.hex()}"


class Inbox:
    """Receives envelopes for the authorities that live on this node."""

    def __init__(
        self,
        *,
        node: NodeId,
        database: Database,
        roster: Callable[[], Roster],
        keys: KeyRing,
        business_clock: Clock,
        machine_clock: Clock,
    ) -> None:
        """Make the inbox of one node; handlers are registered before it serves."""
        self._node = node
        self._database = database
        self._roster = roster
        self._keys = keys
        self._business = business_clock
        self._machine = machine_clock
        self._handlers: dict[str, StatementHandler] = {}
        self.heard_from: Callable[[NodeId], None] = lambda _node: None
        # Told `received`, `repeated`, `refused`, `deferred`, or `failed` for a defect of ours.
        self.counted: Callable[[str], None] = lambda _outcome: None

    def register(self, handlers: Mapping[str, StatementHandler]) -> None:
        """Add the handlers of statement kinds; one handler a kind."""
        for kind, handler in handlers.items():
            if kind in self._handlers:
                raise ValueError(f"two handlers for {kind}")
            self._handlers[kind] = handler

    async def take(self, envelope: peer_pb.Envelope, *, peer: NodeId) -> bytes:
        """Take one envelope from a peer and return the serialised `SignedReceipt`.

        It is empty when the target does not live here: then nobody here can sign a receipt, and
        one of the two rosters is old.
        """
        self.heard_from(peer)
        target = AuthorityCode(envelope.target)
        is_here = self._roster().is_hosted_by(target, self._node)
        if not is_here or target not in self._keys.codes():
            _log.warning("envelope.not_for_here", peer=peer, target=target)
            self.counted("deferred")
            return NO_RECEIPT
        statement_digest = digest(envelope.statement.statement)
        try:
            signed = self._authenticate(envelope, peer=peer)
        except (KeyUnknown, PeerNotAllowed) as error:
            # The peer's roster may be newer than ours: this is no refusal for ever.
            return self._unstored(target, statement_digest, error, deferred=True)
        except LubiaoError as error:
            _log.warning("envelope.refused", reason=error.reason, peer=peer, target=target)
            return self._unstored(target, statement_digest, error, deferred=False)
        place = _Place(
            target=target,
            source=AuthorityCode(envelope.source),
            digest=statement_digest,
            sequence=envelope.sequence,
        )
        return await self._take_signed(place, signed, envelope)

    async def take_local(
        self,
        uow: UnitOfWork,
        *,
        source: AuthorityCode,
        target: AuthorityCode,
        signed: SignedBytes,
        blocks: Iterable[SealedBlock],
        now: Instant,
        cause: str = "",
    ) -> None:
        """Handle a statement between two authorities of this node inside the sender's unit.

        `cause` is the trace context of the step that said it.

        Raises:
            InvariantViolated: one of our own authorities broke the protocol. The whole step fails:
                it must not be blamed on the peer whose statement may have caused it.
        """
        try:
            self._verify_signature(source, signed)
            delivered = Delivered(
                target=target,
                statement=self._parse(signed, source=source, target=target),
                signed=signed,
                digest=digest(signed.statement),
                blocks=tuple(blocks),
            )
            statement = delivered.statement
            with ticket_span(
                statement.ticket,
                "statement.take",
                parent=cause,
                kind=statement.kind,
                issuer=source,
                target=target,
                scope=statement.scope,
                epoch=str(statement.epoch),
            ):
                await self._handler(statement.kind)(uow, delivered, now)
        except RemoteProtocolError as error:
            raise InvariantViolated(
                invariant="a hosted authority keeps the protocol", got=error.text()
            ) from error

    # --- the checks, numbered as in the module's docstring ------------------------------------

    def _authenticate(self, envelope: peer_pb.Envelope, *, peer: NodeId) -> SignedBytes:
        """Return the signed bytes of an envelope after checks 1–3."""
        size = envelope.ByteSize()  # (1)
        if size > ENVELOPE_BYTES_MAX:
            raise StatementMalformed(
                check=1, got=f"{size} bytes", expected=f"at most {ENVELOPE_BYTES_MAX} bytes"
            )
        source = AuthorityCode(envelope.source)
        if not self._roster().is_hosted_by(source, peer):  # (2)
            raise PeerNotAllowed(
                principal=f"node/{peer}",
                got=f"an envelope of {source}",
                expected="an authority that the roster places on that node",
            )
        signed = codec.signed_from_pb(envelope.statement)
        self._verify_signature(source, signed)  # (3)
        return signed

    def _verify_signature(self, source: AuthorityCode, signed: SignedBytes) -> None:
        roster, now = self._roster(), self._machine.now()
        try:
            key = roster.verification_key(source, signed.key_id, now=now)
        except KeyRevoked as error:
            entry = roster.key_entry(source, signed.key_id)
            if entry is not None and now < entry.valid_from:
                # By our clock a new key is not valid yet; by the signer's it is. It will be.
                raise KeyUnknown(
                    key_id=signed.key_id, signer=source, kind="statements yet"
                ) from error
            raise
        verify(key, signed.statement, signed.signature, signer=source)

    def _open(self, place: _Place, signed: SignedBytes, envelope: peer_pb.Envelope) -> Delivered:
        """Return what was delivered after checks 4 and 5."""
        _check_schema(envelope)
        return Delivered(
            target=place.target,
            statement=self._parse(signed, source=place.source, target=place.target),
            signed=signed,
            digest=place.digest,
            blocks=tuple(codec.block_from_pb(block) for block in envelope.blocks),
        )

    def _parse(
        self, signed: SignedBytes, *, source: AuthorityCode, target: AuthorityCode
    ) -> Statement:
        message = type_pb.Statement()
        try:
            message.ParseFromString(signed.statement)
        except DecodeError as error:
            raise StatementMalformed(check=4, got="bytes", expected="a Statement") from error
        _check_schema(message)
        statement = codec.statement_from_pb(message)
        if statement.issuer != source or target not in statement.audience:
            raise StatementMalformed(
                check=5,
                got=f"{statement.issuer} to {','.join(statement.audience)}",
                expected=f"{source} to {target}",
            )
        self._roster().check_may_sign(source, signed.key_id, statement.kind)
        if statement.protocol_version > PROTOCOL_VERSION_MAX:
            raise VersionTooNew(
                kind=statement.kind,
                got=statement.protocol_version,
                expected=PROTOCOL_VERSION_MAX,
            )
        return statement

    def _handler(self, kind: str) -> StatementHandler:
        handler = self._handlers.get(kind)
        if handler is None:
            raise VersionTooNew(kind=kind, got="unknown", expected="a kind of this version")
        return handler

    # --- one transaction ----------------------------------------------------------------------

    async def _take_signed(
        self, place: _Place, signed: SignedBytes, envelope: peer_pb.Envelope
    ) -> bytes:
        try:
            delivered = self._open(place, signed, envelope)  # (4), (5)
            statement = delivered.statement
            place = replace(place, kind=statement.kind, ticket=statement.ticket)
            with ticket_span(
                statement.ticket,
                "statement.take",
                parent=envelope.traceparent,
                kind=statement.kind,
                issuer=statement.issuer,
                target=place.target,
                scope=statement.scope,
                epoch=str(statement.epoch),
            ):
                receipt = await self._apply(place, delivered)
        except LubiaoError as error:
            if not _is_for_ever(error):
                _log.error("envelope.deferred", reason=error.reason, kind=place.kind)
                return self._unstored(place.target, place.digest, error, deferred=True)
            receipt = await self._refuse(place, envelope, error)
        except Exception as error:  # a defect of ours must not hold up the other envelopes
            _log.exception("envelope.failed", kind=place.kind, ticket=place.ticket)
            failed = InvariantViolated(invariant="a statement is handled", got=type(error).__name__)
            return self._unstored(place.target, place.digest, failed, deferred=True)
        crashpoints.reach("receipt.before")
        return receipt

    async def _apply(self, place: _Place, delivered: Delivered) -> bytes:
        now = self._business.now()
        async with self._database.unit() as uow:
            await uow.lock(place.lock)
            stored = await uow.get(INBOX, place.target, place.digest)  # (6)
            if stored is not None:
                self.counted("repeated")
                return stored.receipt
            await self._handler(place.kind)(uow, delivered, now)
            receipt = self._receipt(place.target, place.digest, None, deferred=False)
            uow.put(INBOX, _inbox_row(place, receipt, outcome="received", now=now))
        self.counted("received")
        return receipt

    async def _refuse(self, place: _Place, envelope: peer_pb.Envelope, error: LubiaoError) -> bytes:
        now = self._business.now()
        _log.warning(
            "statement.refused",
            reason=error.reason,
            kind=place.kind,
            issuer=place.source,
            ticket=place.ticket,
        )
        receipt = self._receipt(place.target, place.digest, error, deferred=False)
        async with self._database.unit() as uow:
            await uow.lock(place.lock)
            stored = await uow.get(INBOX, place.target, place.digest)
            if stored is not None:
                return stored.receipt
            uow.put(INBOX, _inbox_row(place, receipt, outcome="refused", now=now))
            evidence = EvidenceRow(
                statement_digest=place.digest,
                target=place.target,
                source=place.source,
                ticket=place.ticket,
                kind=place.kind,
                reason=error.reason,
                detail=error.text(),
                envelope=_without_blocks(envelope),
                recorded=now,
            )
            uow.put(EVIDENCE, evidence)
        self.counted("refused")
        return receipt

    def _unstored(
        self, target: AuthorityCode, statement_digest: bytes, error: LubiaoError, *, deferred: bool
    ) -> bytes:
        is_ours = isinstance(error, LocalProtocolError)
        self.counted("failed" if is_ours else "deferred" if deferred else "refused")
        return self._receipt(target, statement_digest, error, deferred=deferred)

    def _receipt(
        self,
        target: AuthorityCode,
        statement_digest: bytes,
        error: LubiaoError | None,
        *,
        deferred: bool,
    ) -> bytes:
        raw = codec.receipt_to_bytes(
            issuer=target,
            statement_digest=statement_digest,
            now=self._machine.now(),
            error=error,
            deferred=deferred,
        )
        key = self._keys.signing_key(target)
        signature = sign(key, raw, payload_type=RECEIPT_PAYLOAD_TYPE)
        return codec.signed_receipt_to_bytes(raw, key_id=key.key_id, signature=signature)


def _is_for_ever(error: LubiaoError) -> bool:
    """Tell whether the same envelope can never succeed, because of what its signer did."""
    if isinstance(error, KeyUnknown | VersionTooNew):
        return False
    return isinstance(error, RemoteProtocolError | FieldInvalid)


def _check_schema(message: Message) -> None:
    """Return if a message keeps the bounds of its schema (check 4)."""
    try:
        validate(message)
    except FieldInvalid as error:
        raise StatementMalformed(
            check=4,
            got=f"{error.metadata['field']}: {error.metadata['got']}",
            expected=error.metadata["expected"],
        ) from error


def _without_blocks(envelope: peer_pb.Envelope) -> bytes:
    """Return the signed part: sealed content proves nothing, and must stay destroyable (I10)."""
    signed = peer_pb.Envelope()
    signed.CopyFrom(envelope)
    signed.ClearField("blocks")
    return signed.SerializeToString()


def _inbox_row(place: _Place, receipt: bytes, *, outcome: str, now: Instant) -> InboxRow:
    return InboxRow(
        target=place.target,
        statement_digest=place.digest,
        source=place.source,
        kind=place.kind,
        ticket=place.ticket,
        sequence=place.sequence,
        outcome=outcome,
        receipt=receipt,
        recorded=now,
    )
