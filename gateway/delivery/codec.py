"""Protobuf ↔ values of delivery. Bytes that were signed are kept as they are, always."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from gateway.delivery.blobs import BlobSeal, Part, Wanted
from gateway.delivery.model import (
    BACKOFF_FIRST,
    DEFER_MAX,
    Outcome,
    Receipt,
    SealedBlock,
    SignedBytes,
    Statement,
)
from gateway.kernel.errors import FieldInvalid, LubiaoError, StatementMalformed
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant, from_microseconds, to_microseconds
from gateway.kernel.validation import validate
from gateway.trust.keys import KeyId
from gateway.trust.sealing import Sealed
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.type.v1 import statement_pb2 as type_pb

if TYPE_CHECKING:
    from collections.abc import Iterable

ERROR_DOMAIN = "lubiao"
ERROR_LOCALE = "zh-CN"
UNREADABLE_REASON = "UNREADABLE"  # stands for what a peer wrote in the place of a reason
_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
INSTANT_MIN = -2_208_988_800  # 1900-01-01T00:00:00Z
INSTANT_END = 32_503_680_000  # 3000-01-01T00:00:00Z
NANOS = 1_000_000_000
PARSED_MAX = 2048  # a statement is seen alone, attached to what follows, and read back: soon


def digest_to_pb(value: bytes) -> type_pb.Digest:
    """Return a SHA-256 digest message."""
    return type_pb.Digest(algorithm=type_pb.DIGEST_ALGORITHM_SHA256, value=value)


def instant_to_pb(moment: Instant) -> Timestamp:
    """Return a timestamp message."""
    seconds, micros = divmod(to_microseconds(moment), 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def instant_from_pb(stamp: Timestamp) -> Instant:
    """Return the instant of a timestamp message, cut to microseconds.

    Raises:
        StatementMalformed: check 4, it lies outside of the years of which tickets speak.
    """
    if not INSTANT_MIN <= stamp.seconds < INSTANT_END or not 0 <= stamp.nanos < NANOS:
        # The empty date of some platforms is in the year 1, which PostgreSQL reads as -infinity.
        raise StatementMalformed(
            check=4,
            got=f"{stamp.seconds} seconds and {stamp.nanos} nanoseconds",
            expected="a time in the years 1900 to 2999",
        )
    return from_microseconds(stamp.seconds * 1_000_000 + stamp.nanos // 1000)


def instant_of_field(stamp: Timestamp, *, field: str) -> Instant:
    """Return the instant in a field of a request.

    Raises:
        FieldInvalid: it lies outside of the years of which tickets speak.
    """
    try:
        return instant_from_pb(stamp)
    except StatementMalformed as error:
        got, expected = error.metadata["got"], error.metadata["expected"]
        raise FieldInvalid(field=field, got=got, expected=expected) from error


def epoch_to_pb(epoch: Epoch) -> type_pb.Epoch:
    """Return an epoch message."""
    return type_pb.Epoch(era=epoch.era, count=epoch.count)


def statement_to_bytes(statement: Statement) -> bytes:
    """Serialise a statement once, before it is signed."""
    message = type_pb.Statement(
        statement_id=statement.statement_id,
        kind=statement.kind,
        issuer=statement.issuer,
        audience=statement.audience,
        ticket=statement.ticket,
        scope=statement.scope,
        chain=statement.chain,
        epoch=epoch_to_pb(statement.epoch),
        issued_time=instant_to_pb(statement.issued),
        protocol_version=statement.protocol_version,
        body=statement.body,
    )
    if statement.previous_digest:
        message.previous_digest.CopyFrom(digest_to_pb(statement.previous_digest))
    return message.SerializeToString(deterministic=True)


def statement_from_pb(message: type_pb.Statement) -> Statement:
    """Return the value of a parsed and validated statement."""
    return Statement(
        statement_id=message.statement_id,
        kind=message.kind,
        issuer=AuthorityCode(message.issuer),
        audience=tuple(AuthorityCode(code) for code in message.audience),
        ticket=TicketNumber(message.ticket),
        scope=AuthorityCode(message.scope),
        chain=message.chain,
        epoch=Epoch(message.epoch.era, message.epoch.count),
        previous_digest=message.previous_digest.value,
        issued=instant_from_pb(message.issued_time),
        protocol_version=message.protocol_version,
        body=message.body,
    )


SAID_MAX = 1024  # what one unit says, and is asked for again while its tickets are on their way
_said: dict[bytes, Statement] = {}


def remember_said(raw: bytes, statement: Statement) -> None:
    """Remember what a statement of this process means: it was just made of that very value."""
    if len(_said) >= SAID_MAX:
        del _said[next(iter(_said))]  # the oldest
    _said[raw] = statement


def statement_from_bytes(raw: bytes) -> Statement:
    """Return the value of a statement's bytes that this node verified before."""
    return _said.get(raw) or _statement_from_bytes(raw)


def checked_statement(raw: bytes) -> Statement:
    """Return the value of a statement's bytes that parse and keep the bounds of their schema.

    Raises:
        DecodeError: they do not parse.
        FieldInvalid: they break a bound.
        StatementMalformed: check 4, its time lies outside of the years of which tickets speak.
    """
    return _said.get(raw) or _checked_statement(raw)


@lru_cache(maxsize=PARSED_MAX)
def _statement_from_bytes(raw: bytes) -> Statement:
    return statement_from_pb(type_pb.Statement.FromString(raw))


@lru_cache(maxsize=PARSED_MAX)
def _checked_statement(raw: bytes) -> Statement:
    message = type_pb.Statement()
    message.ParseFromString(raw)
    validate(message)
    return statement_from_pb(message)


def signed_to_pb(signed: SignedBytes) -> type_pb.SignedStatement:
    """Return signed bytes as a message."""
    return type_pb.SignedStatement(
        statement=signed.statement,
        signature=type_pb.Signature(key_id=signed.key_id, direct=signed.signature),
    )


def signed_from_pb(message: type_pb.SignedStatement) -> SignedBytes:
    """Return signed bytes of a message; a batch signature is not understood yet.

    Raises:
        StatementMalformed: check 3, the signature is not a direct one.
    """
    if message.signature.WhichOneof("proof") != "direct":
        raise StatementMalformed(check=3, got="no direct signature", expected="a direct signature")
    return SignedBytes(
        statement=message.statement,
        key_id=message.signature.key_id,
        signature=message.signature.direct,
    )


def block_to_pb(block: SealedBlock) -> type_pb.Block:
    """Return a sealed block as a message."""
    return type_pb.Block(
        kind=block.kind, ciphertext=block.ciphertext, suite=block.suite, key_id=block.key_id
    )


def block_from_pb(message: type_pb.Block) -> SealedBlock:
    """Return a sealed block of a message."""
    return SealedBlock(
        kind=message.kind,
        ciphertext=message.ciphertext,
        suite=message.suite,
        key_id=message.key_id,
    )


def envelope_to_bytes(
    *,
    source: str,
    target: str,
    signed: SignedBytes,
    blocks: Iterable[SealedBlock],
    traceparent: str = "",
) -> bytes:
    """Serialise an envelope without its sequence, which is given at the first sending."""
    message = peer_pb.Envelope(
        source=source,
        target=target,
        statement=signed_to_pb(signed),
        blocks=[block_to_pb(block) for block in blocks],
        traceparent=traceparent,
    )
    return message.SerializeToString(deterministic=True)


def numbered_envelope(envelope: bytes, *, incarnation: int, sequence: int) -> bytes:
    """Return the envelope with its incarnation and sequence.

    Protobuf concatenates: appending the two fields sets them without parsing the rest.
    """
    numbers = peer_pb.Envelope(incarnation=incarnation, sequence=sequence)
    return envelope + numbers.SerializeToString()


def error_to_status(error: LubiaoError) -> status_pb2.Status:
    """Return the `google.rpc.Status` of an error: of one item of a batch, or in a receipt."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata
        ),
        error_details_pb2.LocalizedMessage(locale=ERROR_LOCALE, message=error.chinese_text()),
    ]
    if isinstance(error, FieldInvalid) and error.violations:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=expected)
            for field, expected in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    status = status_pb2.Status(code=error.code.value, message=error.text())
    for detail in details:
        status.details.add().Pack(detail)
    return status


def reason_of_status(status: status_pb2.Status) -> str:
    """Return the reason of a status, or an empty text."""
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            # A peer wrote it, and it is stored and logged: a code or nothing.
            return info.reason if _REASON.fullmatch(info.reason) else UNREADABLE_REASON
    return ""


def receipt_to_bytes(
    *,
    issuer: str,
    statement_digest: bytes,
    now: Instant,
    error: LubiaoError | None = None,
    deferred: bool = False,
) -> bytes:
    """Serialise a receipt: received without an error, else refused or deferred."""
    message = peer_pb.Receipt(
        issuer=issuer,
        statement_digest=digest_to_pb(statement_digest),
        receipt_time=instant_to_pb(now),
    )
    if error is None:
        message.received.SetInParent()
    elif deferred:
        delay = error.retry_delay or BACKOFF_FIRST
        message.deferred.error.CopyFrom(error_to_status(error))
        message.deferred.retry_delay.CopyFrom(duration_to_pb(delay))
    else:
        message.refused.error.CopyFrom(error_to_status(error))
    return message.SerializeToString(deterministic=True)


def receipt_from_bytes(raw: bytes) -> tuple[str, Receipt]:
    """Return issuer and value of a receipt whose signature was verified.

    Raises:
        StatementMalformed: it does not parse or holds no answer.
    """
    message = peer_pb.Receipt()
    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise StatementMalformed(check=4, got="bytes", expected="a Receipt") from error
    name = message.WhichOneof("outcome")
    if name is None:
        raise StatementMalformed(check=4, got="no outcome", expected="received|refused|deferred")
    digest = message.statement_digest.value
    if name == "refused":
        reason = reason_of_status(message.refused.error)
        return message.issuer, Receipt(Outcome.REFUSED, digest, reason)
    if name == "deferred":
        wish = message.deferred.retry_delay
        seconds = min(max(wish.seconds, 0), DEFER_MAX.seconds)  # a peer's wish may be absurd
        delay = timedelta(seconds=seconds, microseconds=wish.nanos // 1000) or BACKOFF_FIRST
        reason = reason_of_status(message.deferred.error)
        return message.issuer, Receipt(Outcome.DEFERRED, digest, reason, delay)
    return message.issuer, Receipt(Outcome.RECEIVED, digest)


def blob_request_to_pb(wanted: Wanted) -> peer_pb.FetchBlobRequest:
    """Return the request for a file."""
    return peer_pb.FetchBlobRequest(
        ticket=wanted.ticket,
        digest=digest_to_pb(bytes.fromhex(wanted.digest)),
        source=wanted.source,
        target=wanted.target,
        offset=wanted.offset,
    )


def blob_request_from_pb(message: peer_pb.FetchBlobRequest) -> Wanted:
    """Return which file is asked for; its size is the source's to say.

    Raises:
        FieldInvalid: files are named by another algorithm.
    """
    if message.digest.algorithm != type_pb.DIGEST_ALGORITHM_SHA256:
        raise FieldInvalid(
            field="digest.algorithm", got=message.digest.algorithm, expected="SHA256"
        )
    return Wanted(
        ticket=TicketNumber(message.ticket),
        digest=message.digest.value.hex(),
        size=0,
        offset=message.offset,
        source=AuthorityCode(message.source),
        target=AuthorityCode(message.target),
    )


def blob_part_to_pb(part: Part) -> peer_pb.FetchBlobResponse:
    """Return a part of a sealed file as it travels."""
    if isinstance(part, bytes):
        return peer_pb.FetchBlobResponse(chunk=part)
    sealed = part.sealed_key
    return peer_pb.FetchBlobResponse(
        seal=peer_pb.BlobSeal(
            size=part.size,
            suite=sealed.suite,
            key_id=sealed.key_id,
            sealed_key=sealed.ciphertext,
        )
    )


def blob_part_from_pb(message: peer_pb.FetchBlobResponse) -> Part:
    """Return a part of a sealed file."""
    if not message.HasField("seal"):
        return message.chunk
    found = message.seal
    return BlobSeal(
        size=found.size,
        sealed_key=Sealed(
            ciphertext=found.sealed_key, suite=found.suite, key_id=KeyId(found.key_id)
        ),
    )


def duration_to_pb(delay: timedelta) -> Duration:
    """Return a duration message."""
    duration = Duration()
    duration.FromTimedelta(delay)
    return duration


def signed_receipt_to_bytes(receipt: bytes, *, key_id: str, signature: bytes) -> bytes:
    """Serialise a receipt with its signature; stored and replayed as it is."""
    return peer_pb.SignedReceipt(
        receipt=receipt, signature=type_pb.Signature(key_id=key_id, direct=signature)
    ).SerializeToString(deterministic=True)
