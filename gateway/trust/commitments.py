"""Commitments: a signed body names content by `H(salt ‖ block)` and never holds it (I10).

The salt travels with the block inside the sealed bytes. When both are destroyed the commitment
says nothing about the content, even to somebody who can guess all of it, and every chain and
signature over it stays valid. A salt has a fixed size, so `salt ‖ block` splits in one way only.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from gateway.kernel.errors import CommitmentMismatch, FieldInvalid

if TYPE_CHECKING:
    from gateway.kernel.ids import Ids

SALT_BYTES = 32  # as long as the digest: guessing the salt is no easier than breaking it


def new_salt(ids: Ids) -> bytes:
    """Return a fresh salt; every block needs its own, also for equal content."""
    return ids.entropy(SALT_BYTES)


def commit(block: bytes, salt: bytes) -> bytes:
    """Return SHA-256(salt ‖ block)."""
    if len(salt) != SALT_BYTES:
        raise FieldInvalid(
            field="block.salt", got=f"{len(salt)} bytes", expected=f"{SALT_BYTES} bytes"
        )
    return hashlib.sha256(salt + block).digest()


def is_committed(*, block: bytes, salt: bytes, commitment: bytes) -> bool:
    """Tell in constant time whether `commitment` is that of `salt` and `block`."""
    return len(salt) == SALT_BYTES and hmac.compare_digest(commit(block, salt), commitment)


def check_commitment(*, kind: str, block: bytes, salt: bytes, commitment: bytes) -> None:
    """Return if the content is what was signed; `kind` names the block in the error.

    Raises:
        CommitmentMismatch: another block or another salt was signed.
    """
    if not is_committed(block=block, salt=salt, commitment=commitment):
        raise CommitmentMismatch(block=kind)
