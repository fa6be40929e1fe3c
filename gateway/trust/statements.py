"""Signatures over exact bytes: DSSE's pre-authentication encoding and Ed25519.

What is signed is `pae(payload type, payload)`, so bytes signed as a statement never verify as a
receipt or a roster. Ed25519 is deterministic: the same key and bytes give the same 64 bytes, so
a resend is identical.

What was verified or signed in this process is not verified again: the same key, type, bytes and
signature give the same answer, and a statement is seen several times (alone, attached to what
follows, by two authorities of one node). Only good signatures are remembered, by digest.

A caller verifies first and parses afterwards, and never serialises again to verify. `verify` says
only that the key made the signature. The caller must still check that the roster lists the key
for the issuer, for this kind and at the instant of receipt (`roster.Roster.verification_key`,
`may_sign`), and that the issuer inside the bytes is the one whose key was used.

The digest of a statement is SHA-256 of the exact payload bytes, without the encoding: anyone
can compute it from an exported file. Records are those of docs/custody.md#records.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.kernel.errors import FieldInvalid, SignatureInvalid
from gateway.trust.keys import PrivateKey, PublicKey, Purpose, statement_handle

STATEMENT_PAYLOAD_TYPE = "application/vnd.lubiao.statement.v1+protobuf"
RECEIPT_PAYLOAD_TYPE = "application/vnd.lubiao.receipt.v1+protobuf"
ROSTER_PAYLOAD_TYPE = "application/vnd.lubiao.roster.v1+protobuf"
DIGEST_BYTES = 32
NO_RECORD = bytes(DIGEST_BYTES)  # stands for "none" in a record, so that every part has one size
_RECORD_LABEL = b"lubiao/custody/1"
VERIFIED_MAX = 10_000  # some 2 MB: the statements of the last minutes
_verified: dict[tuple[bytes, bytes, str, bytes], None] = {}
DIGESTS_MAX = 1024  # what a unit of work says and takes; a statement is digested at every turn
DIGESTED_BYTES_MAX = 8192


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding (DSSE v1) of `payload`."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(key: PrivateKey, payload: bytes, *, payload_type: str = STATEMENT_PAYLOAD_TYPE) -> bytes:
    """Sign the exact bytes of `payload` and return the 64 bytes of the signature.

    Raises:
        FieldInvalid: `key` is not a statement key.
    """
    if not isinstance(key.handle, Ed25519PrivateKey):
        raise _wrong_purpose(key.purpose)
    signature = key.handle.sign(pae(payload_type, payload))
    _remember((key.public.raw, signature, payload_type, digest(payload)))
    return signature


def verify(
    public_key: PublicKey,
    payload: bytes,
    signature: bytes,
    *,
    payload_type: str = STATEMENT_PAYLOAD_TYPE,
    signer: str = "",
) -> None:
    """Return if `public_key` signed exactly these bytes as this type.

    Args:
        public_key: the key that the roster lists for the signer.
        payload: the bytes as they were received.
        signature: the 64 bytes beside them.
        payload_type: what the bytes claim to be; part of what is signed.
        signer: the authority for the text of the error.

    Raises:
        SignatureInvalid: the signature is of other bytes, another type or another key.
        FieldInvalid: `public_key` is not a statement key.
    """
    if public_key.purpose is not Purpose.STATEMENT:
        raise _wrong_purpose(public_key.purpose)
    known = (public_key.raw, signature, payload_type, digest(payload))
    if known in _verified:
        return
    try:
        statement_handle(public_key.raw).verify(signature, pae(payload_type, payload))
    except (InvalidSignature, ValueError) as error:
        raise SignatureInvalid(
            signer=signer or public_key.key_id,
            got=f"{len(payload)} bytes of {payload_type} under key {public_key.key_id}",
        ) from error
    _remember(known)


def _remember(known: tuple[bytes, bytes, str, bytes]) -> None:
    if len(_verified) >= VERIFIED_MAX:
        del _verified[next(iter(_verified))]  # the oldest
    _verified[known] = None


def digest(payload: bytes) -> bytes:
    """Return SHA-256 of the exact bytes: the digest of a statement, a pack, a blob."""
    if len(payload) > DIGESTED_BYTES_MAX:
        return hashlib.sha256(payload).digest()
    return _known_digest(payload)


@lru_cache(maxsize=DIGESTS_MAX)
def _known_digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()


def record(
    *, previous_record: bytes | None, first_digest: bytes, second_digest: bytes | None
) -> bytes:
    """Return the record of a term: SHA-256("lubiao/custody/1" ‖ previous ‖ first ‖ second).

    Args:
        previous_record: record of the term before; None for a Genesis.
        first_digest: digest of the Genesis, the Offer or the Ruling.
        second_digest: digest of the Answer or of TAKEN; None for a Genesis.

    None stands for 32 zero bytes, so every input has exactly one encoding.
    """
    parts = (previous_record or NO_RECORD, first_digest, second_digest or NO_RECORD)
    for part in parts:
        if len(part) != DIGEST_BYTES:
            raise FieldInvalid(
                field="record", got=f"{len(part)} bytes", expected=f"{DIGEST_BYTES} bytes"
            )
    return hashlib.sha256(_RECORD_LABEL + b"".join(parts)).digest()


def _wrong_purpose(purpose: Purpose) -> FieldInvalid:
    return FieldInvalid(field="key.purpose", got=purpose.value, expected=Purpose.STATEMENT.value)
