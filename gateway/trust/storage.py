"""Encryption at rest: PERSONAL columns under a key per ticket, that key under the node's key.

    field   = 0x01 ‖ nonce 12 ‖ AES-256-GCM(data key, nonce, plaintext, aad = label ‖ context)
    wrapped = 0x01 ‖ storage key version, 4 bytes big-endian ‖ nonce 12
              ‖ AES-256-GCM(storage key, nonce, data key, aad = label ‖ version ‖ context)

`context` names the place (ticket, table and column), so a value copied to another row or column
does not decrypt. Destroying the wrapped data key destroys every field of the ticket (I10).
Rotation of the storage key wraps data keys again and touches no field. Nonces are random:
a data key protects far fewer than 2^32 fields, a storage key far fewer than 2^32 tickets.
A value that does not decrypt is damage on our own disk, hence INVARIANT_VIOLATED.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.kernel.errors import FieldInvalid, InvariantViolated, KeyUnknown
from gateway.kernel.values import dataclass
from gateway.trust.keys import SECRET_BYTES, Purpose, SecretKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.kernel.ids import Ids

FORMAT = b"\x01"
NONCE_BYTES = 12
TAG_BYTES = 16
VERSION_BYTES = 4
_FIELD_LABEL = b"lubiao/storage/field/1\0"
_WRAP_LABEL = b"lubiao/storage/wrap/1\0"
_WRAPPED_BYTES = len(FORMAT) + VERSION_BYTES + NONCE_BYTES + SECRET_BYTES + TAG_BYTES


@dataclass(frozen=True, slots=True)
class DataKey:
    """The key of one ticket's personal fields; in clear only in memory."""

    secret: bytes = field(repr=False)


def new_data_key(ids: Ids) -> DataKey:
    """Return a fresh data key for one ticket."""
    return DataKey(ids.entropy(SECRET_BYTES))


def wrap(data_key: DataKey, storage_key: SecretKey, *, context: str, ids: Ids) -> bytes:
    """Encrypt a data key under the node's storage key; `context` names the ticket."""
    _check_purpose(storage_key)
    version = storage_key.version.to_bytes(VERSION_BYTES, "big")
    nonce = ids.entropy(NONCE_BYTES)
    aad = _WRAP_LABEL + version + context.encode()
    sealed = AESGCM(storage_key.secret).encrypt(nonce, data_key.secret, aad)
    return FORMAT + version + nonce + sealed


def wrapped_version(wrapped: bytes) -> int:
    """Return the version of the storage key that wrapped this data key."""
    if len(wrapped) != _WRAPPED_BYTES or wrapped[:1] != FORMAT:
        raise InvariantViolated(invariant="wrapped data key", got=f"{len(wrapped)} bytes")
    return int.from_bytes(wrapped[1 : 1 + VERSION_BYTES], "big")


def unwrap(wrapped: bytes, storage_keys: Mapping[int, SecretKey], *, context: str) -> DataKey:
    """Decrypt a data key with the storage key version that it names.

    Raises:
        KeyUnknown: this node has no storage key of that version.
        InvariantViolated: the stored bytes or their place are not those that were written.
    """
    version = wrapped_version(wrapped)
    storage_key = storage_keys.get(version)
    if storage_key is None:
        raise KeyUnknown(
            key_id=f"storage/{version}",
            signer="this node",
            kind=Purpose.STORAGE.value,
            hint="restore the key file from the recovery share; do not delete the rows",
        )
    _check_purpose(storage_key)
    head = 1 + VERSION_BYTES
    nonce, sealed = wrapped[head : head + NONCE_BYTES], wrapped[head + NONCE_BYTES :]
    aad = _WRAP_LABEL + wrapped[1:head] + context.encode()
    try:
        return DataKey(AESGCM(storage_key.secret).decrypt(nonce, sealed, aad))
    except InvalidTag as error:
        raise InvariantViolated(
            invariant="wrapped data key", got="does not decrypt at this place"
        ) from error


def encrypt_field(data_key: DataKey, plaintext: bytes, *, context: str, ids: Ids) -> bytes:
    """Encrypt one personal value; `context` names its place, e.g. `tickets/{n}#caller_name`."""
    nonce = ids.entropy(NONCE_BYTES)
    aad = _FIELD_LABEL + context.encode()
    return FORMAT + nonce + AESGCM(data_key.secret).encrypt(nonce, plaintext, aad)


def decrypt_field(data_key: DataKey, stored: bytes, *, context: str) -> bytes:
    """Decrypt one personal value at its place.

    Raises:
        InvariantViolated: the stored bytes, their key or their place do not fit together.
    """
    if stored[:1] != FORMAT or len(stored) < 1 + NONCE_BYTES + TAG_BYTES:
        raise InvariantViolated(invariant="encrypted field", got=f"{len(stored)} bytes")
    nonce, sealed = stored[1 : 1 + NONCE_BYTES], stored[1 + NONCE_BYTES :]
    try:
        return AESGCM(data_key.secret).decrypt(nonce, sealed, _FIELD_LABEL + context.encode())
    except InvalidTag as error:
        raise InvariantViolated(
            invariant="encrypted field", got="does not decrypt at this place"
        ) from error


def _check_purpose(key: SecretKey) -> None:
    if key.purpose is not Purpose.STORAGE:
        raise FieldInvalid(
            field="key.purpose", got=key.purpose.value, expected=Purpose.STORAGE.value
        )
