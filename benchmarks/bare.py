"""A node that neither validates nor seals, to show what both cost. It exists only here.

No setting of the product does this: the functions are replaced in a process that the benchmark
starts for its own federation, before any room has taken them over by import. What is written and
sent keeps its form, and the peer must be as bare: a sealed block is then its own plaintext.
Signatures, commitments, rules, audit and fsync stay as they are.
"""

from __future__ import annotations

import sys

from gateway.kernel import validation
from gateway.trust import sealing
from gateway.trust.keys import PrivateKey, PublicKey

FIRST = "gateway.app"  # what is imported afterwards gets the replaced functions


def _seal(
    plaintext: bytes, recipient: PublicKey, _context: sealing.SealingContext
) -> sealing.Sealed:
    return sealing.Sealed(plaintext, recipient.suite.value, recipient.key_id)


def _open_sealed(
    sealed: sealing.Sealed, _key: PrivateKey, _context: sealing.SealingContext
) -> bytes:
    return sealed.ciphertext


def _validate(_message: object) -> None:
    return


def strip() -> None:
    """Leave validation and sealing out of this process."""
    if FIRST in sys.modules:
        raise RuntimeError(f"{FIRST} is imported already and would go on validating and sealing")
    vars(sealing).update(seal=_seal, open_sealed=_open_sealed)
    vars(validation).update(validate=_validate)
