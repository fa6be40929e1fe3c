"""Audit paths of a Merkle tree (RFC 9162 §2.1.3, SHA-256): making one, and following one.

`root_of` follows a path by the RFC's own algorithm and shares nothing with the code that made the
root, so that each would show a mistake of the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from gateway.custody.ledger import merkle_root

_LEAF, _NODE = b"\x00", b"\x01"


def audit_path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the audit path of the leaf at `index`, from the leaf up."""
    if len(leaves) == 1:
        return ()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return (*audit_path(left, index), merkle_root(right))
    return (*audit_path(right, index - split), merkle_root(left))


def root_of(leaf: bytes, *, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a path leads to from a leaf; None if it does not fit the tree's size."""
    if not 0 <= index < size:
        return None
    node, last = index, size - 1
    found = _hash(_LEAF, leaf)
    for step in path:
        if last == 0:
            return None
        if node & 1 or node == last:
            found = _hash(_NODE, step, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = _hash(_NODE, found, step)
        node, last = node >> 1, last >> 1
    return found if last == 0 else None


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
