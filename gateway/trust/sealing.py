"""Sealing: content is encrypted to the receiving authority, and to the place it was meant for.

HPKE (RFC 9180) base mode, one shot: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. The
ciphertext is `enc ‖ ct`; the RFC's aad is empty and its `info` is the context below, which is mixed
into the key schedule: a block moved to another ticket, scope, chain, epoch, sender, receiver or
kind does not open. Every field is preceded by its length, so two contexts never share bytes.

    info = "lubiao/sealing/1" ‖ for each of ticket, scope, chain, epoch ("1.2"), source, target,
           kind: 4-byte big-endian length of the UTF-8 text ‖ the text

A sealed block is `salt ‖ block` (see `commitments`): `open_block` opens, splits and compares with
the signed commitment. Sealing says nothing about who sealed: that is the signature's work. It can
be repeated for another receiver or after a key rotation without a new signature. Each call
makes one encapsulation whose entropy comes from the operating system, so two sealings of one block
differ.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from gateway.kernel.errors import CommitmentMismatch, FieldInvalid, KeyUnknown
from gateway.kernel.values import dataclass
from gateway.trust.commitments import SALT_BYTES, check_commitment, commit
from gateway.trust.keys import KeyId, PrivateKey, PublicKey, Purpose, sealing_handle
from gateway.trust.keys import Suite as KeySuite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.kernel.ids import Epoch

_LABEL = b"lubiao/sealing/1"
_HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
OVERHEAD_BYTES = 48  # 32 of the encapsulated key and 16 of the tag


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingContext:
    """Where a block belongs; both sides compute it from the signed statement."""

    ticket: str
    scope: str
    chain: int
    epoch: Epoch
    source: str
    target: str
    kind: str

    def canonical(self) -> bytes:
        """Return the bytes that bind a sealed block to its place."""
        parts = (
            self.ticket,
            self.scope,
            str(self.chain),
            str(self.epoch),
            self.source,
            self.target,
            self.kind,
        )
        encoded = [part.encode() for part in parts]
        return _LABEL + b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A ciphertext with the suite and key it needs: the fields of the wire's `Block`."""

    ciphertext: bytes = field(repr=False)
    suite: str
    key_id: KeyId


@dataclass(frozen=True, slots=True)
class OpenedBlock:
    """Content that matched its commitment, with the salt that a later re-sealing needs."""

    block: bytes = field(repr=False)
    salt: bytes = field(repr=False)


def seal(plaintext: bytes, recipient: PublicKey, context: SealingContext) -> Sealed:
    """Seal bytes to the current sealing key of the receiving authority.

    Raises:
        FieldInvalid: `recipient` is not a sealing key, or a point nobody can agree a key with.
    """
    if recipient.purpose is not Purpose.SEALING:
        raise _wrong_purpose(recipient.purpose)
    try:
        ciphertext = _HPKE.encrypt(plaintext, sealing_handle(recipient.raw), context.canonical())
    except ValueError as error:
        raise FieldInvalid(
            field="key.public_key", got=recipient.key_id, expected="a valid X25519 point"
        ) from error
    return Sealed(ciphertext=ciphertext, suite=recipient.suite.value, key_id=recipient.key_id)


def open_sealed(sealed: Sealed, key: PrivateKey, context: SealingContext) -> bytes:
    """Open what was sealed to `key` for exactly this context.

    Raises:
        KeyUnknown: the bytes were sealed to another key, or with a suite this node lacks.
        CommitmentMismatch: the bytes or the context are not those that were sealed.
    """
    if not isinstance(key.handle, X25519PrivateKey):
        raise _wrong_purpose(key.purpose)
    if sealed.key_id != key.key_id or sealed.suite != KeySuite.HPKE_X25519.value:
        raise _unknown(sealed, context)
    try:
        return _HPKE.decrypt(sealed.ciphertext, key.handle, context.canonical())
    except (InvalidTag, ValueError) as error:
        raise CommitmentMismatch(block=context.kind) from error


def seal_block(
    *, block: bytes, salt: bytes, recipient: PublicKey, context: SealingContext
) -> Sealed:
    """Seal `salt ‖ block`, whose commitment `commit(block, salt)` was or will be signed."""
    commit(block, salt)  # refuses a salt of another size before it is sealed for ever
    return seal(salt + block, recipient, context)


def open_block(
    sealed: Sealed,
    keys: Mapping[KeyId, PrivateKey],
    context: SealingContext,
    *,
    commitment: bytes,
) -> OpenedBlock:
    """Open a block with the key it names and compare it with the signed commitment.

    Args:
        sealed: what travelled beside the statement.
        keys: the sealing keys of the receiving authority, current and earlier.
        context: computed from the verified statement, never from the block.
        commitment: the digest in the verified statement.

    Raises:
        KeyUnknown: none of `keys` is the one it was sealed to.
        CommitmentMismatch: the bytes, the context or the commitment do not fit.
    """
    key = keys.get(sealed.key_id)
    if key is None:
        raise _unknown(sealed, context)
    plaintext = open_sealed(sealed, key, context)
    salt, block = plaintext[:SALT_BYTES], plaintext[SALT_BYTES:]
    check_commitment(kind=context.kind, block=block, salt=salt, commitment=commitment)
    return OpenedBlock(block=block, salt=salt)


def _unknown(sealed: Sealed, context: SealingContext) -> KeyUnknown:
    return KeyUnknown(
        key_id=sealed.key_id,
        signer=context.target,
        kind=f"sealing with {sealed.suite}",
        hint="seal to the current sealing key of the newest roster",
    )


def _wrong_purpose(purpose: Purpose) -> FieldInvalid:
    return FieldInvalid(field="key.purpose", got=purpose.value, expected=Purpose.SEALING.value)
