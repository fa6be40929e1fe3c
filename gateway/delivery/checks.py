"""Checks 1–5 of an envelope: what can be said without the database (docs/delivery.md#inbox).

(1) size; (2) the source is in the roster and lives on the node of the TLS certificate; (3) the
signature is over the exact bytes, by a key of the source that is valid now; (4) it parses and keeps
the bounds of its schema; (5) its issuer is the source, it is addressed to the target, and its key
may sign this kind. The order is fixed, and nothing is parsed before its signature is verified.
"""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError, Message

from gateway.delivery import codec
from gateway.delivery.model import (
    ENVELOPE_BYTES_MAX,
    PROTOCOL_VERSION_MAX,
    SignedBytes,
    Statement,
)
from gateway.kernel.errors import (
    FieldInvalid,
    KeyRevoked,
    KeyUnknown,
    PeerNotAllowed,
    StatementMalformed,
    VersionTooNew,
)
from gateway.kernel.ids import AuthorityCode, NodeId
from gateway.kernel.time import Clock
from gateway.kernel.validation import validate
from gateway.trust.roster import Roster
from gateway.trust.statements import verify
from hotline.peer.v1 import peer_service_pb2 as peer_pb


class Checks:
    """Holds envelopes and statements against the roster and the schema."""

    def __init__(self, *, roster: Callable[[], Roster], machine_clock: Clock) -> None:
        """Make the checks of one node; keys are judged by machine time."""
        self._roster = roster
        self._machine = machine_clock

    def authenticate(self, envelope: peer_pb.Envelope, *, peer: NodeId) -> SignedBytes:
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
        self.verify(source, signed)  # (3)
        return signed

    def verify(self, source: AuthorityCode, signed: SignedBytes) -> None:
        """Return if a key of the source that is valid now signed these bytes (check 3)."""
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

    def statement(
        self, signed: SignedBytes, *, source: AuthorityCode, target: AuthorityCode
    ) -> Statement:
        """Return the statement after checks 4 and 5."""
        try:
            statement = codec.checked_statement(signed.statement)
        except DecodeError as error:
            raise StatementMalformed(check=4, got="bytes", expected="a Statement") from error
        except FieldInvalid as error:
            raise _of_schema(error) from error
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


def check_schema(message: Message) -> None:
    """Return if a message keeps the bounds of its schema (check 4)."""
    try:
        validate(message)
    except FieldInvalid as error:
        raise _of_schema(error) from error


def _of_schema(error: FieldInvalid) -> StatementMalformed:
    return StatementMalformed(
        check=4,
        got=f"{error.metadata['field']}: {error.metadata['got']}",
        expected=error.metadata["expected"],
    )
