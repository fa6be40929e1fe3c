"""Opening a peer's receipt, and keeping the one that refuses.

The key may have been revoked since the first answer was stored: what counts is that the target
listed it, so the roster is asked without a time.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from gateway.delivery import codec
from gateway.delivery.model import Receipt
from gateway.delivery.store import OutboxRow, RefusalRow
from gateway.kernel.errors import StatementMalformed
from gateway.kernel.time import Instant
from gateway.trust.roster import Roster
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, verify
from hotline.peer.v1 import peer_service_pb2 as peer_pb

RECEIPT_BYTES_MAX = 16_384  # a signed status with its texts; it is kept, so it is bounded
NO_RECEIPT = b""  # nobody there can sign one: one of the two rosters is old


def open_receipt(roster: Roster, row: OutboxRow, raw: bytes) -> Receipt:
    """Return the receipt of the row's target for the row's statement.

    Raises:
        RemoteProtocolError: it is none.
    """
    if len(raw) > RECEIPT_BYTES_MAX:
        raise StatementMalformed(
            check=1, got=f"{len(raw)} bytes", expected=f"at most {RECEIPT_BYTES_MAX} bytes"
        )
    signed = peer_pb.SignedReceipt()
    try:
        signed.ParseFromString(raw)
    except DecodeError as error:
        raise StatementMalformed(check=4, got="bytes", expected="SignedReceipt") from error
    key = roster.statement_key(row.target, signed.signature.key_id)
    if key is None:
        raise StatementMalformed(check=3, got="an unknown key", expected=f"a key of {row.target}")
    verify(
        key,
        signed.receipt,
        signed.signature.direct,
        payload_type=RECEIPT_PAYLOAD_TYPE,
        signer=row.target,
    )
    issuer, receipt = codec.receipt_from_bytes(signed.receipt)
    if issuer != row.target or receipt.statement_digest != row.statement_digest:
        raise StatementMalformed(
            check=5, got="a receipt of another statement", expected="the one that was sent"
        )
    return receipt


def refusal(row: OutboxRow, receipt: Receipt, raw: bytes, *, now: Instant) -> RefusalRow:
    """Return a refusal as it is kept."""
    return RefusalRow(
        statement_digest=row.statement_digest,
        target=row.target,
        source=row.source,
        ticket=row.ticket,
        kind=row.kind,
        reason=receipt.reason,
        envelope=row.envelope,
        receipt=raw,
        recorded=now,
    )
