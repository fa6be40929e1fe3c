"""The inbox: verify, then parse, then hand to the one handler of the kind, in one transaction.

Checks on every envelope, in this order; the first failure changes nothing:
(1) size; (2) the source is in the roster and lives on the node of the TLS certificate;
(3) the signature is over the exact bytes, by a key of the source that is valid now;
(4) it parses and keeps the bounds of its schema; (5) it is addressed to an authority that lives
here, its issuer is the source, and its key may sign this kind; (6) a repeat gets the stored
receipt, byte for byte. Checks 7–10 belong to the handler (docs/custody.md#checks).

A receipt is given only after the commit of that very transaction. `received` and, from check 4
on, `refused` are stored and replayed verbatim; `deferred` is not stored. A receipt says nothing
about responsibility.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog
from google.protobuf.message import DecodeError

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
    GrpcCode,
    InvariantViolated,
    KeyRevoked,
    KeyUnknown,
    LubiaoError,
    PeerNotAllowed,
    PeerUnreachable,
    SignatureInvalid,
    StatementMalformed,
    VersionTooNew,
)
from gateway.kernel.ids import AuthorityCode, NodeId
from gateway.kernel.time import Clock, Instant
from gateway.kernel.validation import validate
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, digest, sign, verify
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.type.v1 import statement_pb2 as type_pb

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Opened:
    """An envelope that passed checks 1–5."""

    delivered: Delivered
    sequence: int


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
        self.counted: Callable[[str], None] = lambda _outcome: None

    def register(self, handlers: Mapping[str, StatementHandler]) -> None:
        """Add the handlers of statement kinds; one handler a kind."""
        for kind, handler in handlers.items():
            if kind in self._handlers:
                raise ValueError(f"two handlers for {kind}")
            self._handlers[kind] = handler

    async def take(self, envelope: peer_pb.Envelope, *, peer: NodeId) -> bytes:
        """Take one envelope from a peer and return the serialised `SignedReceipt`.

        Raises:
            PeerNotAllowed: the target does not live here, so nobody here can sign a receipt.
        """
        self.heard_from(peer)
        target = AuthorityCode(envelope.target)
        if not self._roster().is_hosted_by(target, self._node):
            raise PeerNotAllowed(
                principal=f"node/{peer}",
                got=f"an envelope for {target}",
                expected=f"an authority that lives on {self._node}",
                hint="fetch the newest roster",
            )
        statement_digest = digest(envelope.statement.statement)
        try:
            opened = self._open(envelope, peer=peer)
        except (KeyUnknown, VersionTooNew) as error:
            # The peer's roster may be newer than ours: this is no refusal for ever.
            return self._unstored(target, statement_digest, error, deferred=True)
        except LubiaoError as error:
            _log.warning("envelope.refused", reason=error.reason, peer=peer, target=target)
            return self._unstored(target, statement_digest, error, deferred=False)
        return await self._take_opened(opened, envelope)

    async def take_local(
        self,
        uow: UnitOfWork,
        *,
        source: AuthorityCode,
        target: AuthorityCode,
        signed: SignedBytes,
        blocks: Iterable[SealedBlock],
        now: Instant,
    ) -> None:
        """Handle a statement between two authorities of this node inside the sender's unit."""
        self._verify_signature(source, signed)
        delivered = Delivered(
            target=target,
            statement=self._parse(signed, source=source, target=target),
            signed=signed,
            digest=digest(signed.statement),
            blocks=tuple(blocks),
        )
        await self._handler(delivered.statement.kind)(uow, delivered, now)

    # --- the checks, numbered as in the module's docstring ------------------------------------

    def _open(self, envelope: peer_pb.Envelope, *, peer: NodeId) -> _Opened:
        source, target = AuthorityCode(envelope.source), AuthorityCode(envelope.target)
        size = envelope.ByteSize()  # (1)
        if size > ENVELOPE_BYTES_MAX:
            raise StatementMalformed(
                check=1, got=f"{size} bytes", expected=f"at most {ENVELOPE_BYTES_MAX} bytes"
            )
        if not self._roster().is_hosted_by(source, peer):  # (2)
            raise PeerNotAllowed(
                principal=f"node/{peer}",
                got=f"an envelope of {source}",
                expected="an authority that the roster places on that node",
            )
        signed = codec.signed_from_pb(envelope.statement)
        self._verify_signature(source, signed)  # (3)
        statement = self._parse(signed, source=source, target=target)  # (4), (5)
        return _Opened(
            delivered=Delivered(
                target=target,
                statement=statement,
                signed=signed,
                digest=digest(signed.statement),
                blocks=tuple(codec.block_from_pb(block) for block in envelope.blocks),
            ),
            sequence=envelope.sequence,
        )

    def _verify_signature(self, source: AuthorityCode, signed: SignedBytes) -> None:
        key = self._roster().verification_key(source, signed.key_id, now=self._machine.now())
        verify(key, signed.statement, signed.signature, signer=source)

    def _parse(
        self, signed: SignedBytes, *, source: AuthorityCode, target: AuthorityCode
    ) -> Statement:
        message = type_pb.Statement()
        try:
            message.ParseFromString(signed.statement)
            validate(message)
        except DecodeError as error:
            raise StatementMalformed(check=4, got="bytes", expected="a Statement") from error
        except FieldInvalid as error:
            raise StatementMalformed(
                check=4,
                got=f"{error.metadata['field']}: {error.metadata['got']}",
                expected=error.metadata["expected"],
            ) from error
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

    async def _take_opened(self, opened: _Opened, envelope: peer_pb.Envelope) -> bytes:
        delivered = opened.delivered
        try:
            receipt = await self._apply(opened)
        except LubiaoError as error:
            if _is_transient(error):
                _log.error("envelope.deferred", reason=error.reason, kind=delivered.statement.kind)
                return self._unstored(delivered.target, delivered.digest, error, deferred=True)
            receipt = await self._refuse(opened, envelope, error)
        crashpoints.reach("receipt.before")
        return receipt

    async def _apply(self, opened: _Opened) -> bytes:
        delivered, now = opened.delivered, self._business.now()
        async with self._database.unit() as uow:
            await uow.lock(f"ticket/{delivered.statement.ticket}")
            stored = await uow.get(INBOX, delivered.target, delivered.digest)  # (6)
            if stored is not None:
                self.counted("repeated")
                return stored.receipt
            await self._handler(delivered.statement.kind)(uow, delivered, now)
            receipt = self._receipt(delivered.target, delivered.digest, None, deferred=False)
            uow.put(INBOX, _inbox_row(opened, receipt, outcome="received", now=now))
        self.counted("received")
        return receipt

    async def _refuse(
        self, opened: _Opened, envelope: peer_pb.Envelope, error: LubiaoError
    ) -> bytes:
        delivered, now = opened.delivered, self._business.now()
        _log.warning(
            "statement.refused",
            reason=error.reason,
            kind=delivered.statement.kind,
            issuer=delivered.statement.issuer,
            ticket=delivered.statement.ticket,
        )
        receipt = self._receipt(delivered.target, delivered.digest, error, deferred=False)
        async with self._database.unit() as uow:
            await uow.lock(f"ticket/{delivered.statement.ticket}")
            stored = await uow.get(INBOX, delivered.target, delivered.digest)
            if stored is not None:
                return stored.receipt
            uow.put(INBOX, _inbox_row(opened, receipt, outcome="refused", now=now))
            evidence = EvidenceRow(
                statement_digest=delivered.digest,
                target=delivered.target,
                source=delivered.statement.issuer,
                ticket=delivered.statement.ticket,
                kind=delivered.statement.kind,
                reason=error.reason,
                detail=error.text(),
                envelope=envelope.SerializeToString(),
                recorded=now,
            )
            uow.put(EVIDENCE, evidence)
        self.counted("refused")
        return receipt

    def _unstored(
        self, target: AuthorityCode, statement_digest: bytes, error: LubiaoError, *, deferred: bool
    ) -> bytes:
        self.counted("deferred" if deferred else "refused")
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


def _is_transient(error: LubiaoError) -> bool:
    """Tell whether the same envelope may succeed later; a defect of ours is never a refusal."""
    if isinstance(error, SignatureInvalid | KeyRevoked):
        return False
    return isinstance(error, InvariantViolated | PeerUnreachable | VersionTooNew | KeyUnknown) or (
        error.code is GrpcCode.UNAVAILABLE
    )


def _inbox_row(opened: _Opened, receipt: bytes, *, outcome: str, now: Instant) -> InboxRow:
    statement = opened.delivered.statement
    return InboxRow(
        target=opened.delivered.target,
        statement_digest=opened.delivered.digest,
        source=statement.issuer,
        kind=statement.kind,
        ticket=statement.ticket,
        sequence=opened.sequence,
        outcome=outcome,
        receipt=receipt,
        recorded=now,
    )
