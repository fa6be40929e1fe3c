"""The ledger's arithmetic: digests of rows, states and entries, and the Merkle root of a batch.

A row's digest covers the digest of the row before, so a ledger can only be extended. Every part is
preceded by its length, so two different rows never share bytes. Nothing here reads or writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from gateway.custody.model import Chain
from gateway.kernel.ids import Epoch
from gateway.kernel.time import Instant, to_microseconds
from gateway.kernel.values import dataclass

_ROW_LABEL = b"lubiao/ledger-row/1"
_STATE_LABEL = b"lubiao/custody-state/1"
_ENTRY_LABEL = b"lubiao/ledger-entry/1"


@dataclass(frozen=True, slots=True)
class RowContent:
    """What a row of a ticket's ledger says."""

    sequence: int
    previous: bytes
    kind: str
    epoch: Epoch
    subject: bytes
    state: bytes
    recorded: Instant


def row_digest(row: RowContent) -> bytes:
    """Return the digest of a ledger row (docs/custody.md#ledger)."""
    return _hash(
        _ROW_LABEL,
        str(row.sequence).encode(),
        row.previous,
        row.kind.encode(),
        str(row.epoch).encode(),
        row.subject,
        row.state,
        str(to_microseconds(row.recorded)).encode(),
    )


def state_digest(chain: Chain) -> bytes:
    """Return the digest of the protocol state of a chain, without what rests on later signatures.

    The record of a term is left out: it covers the answer, whose bytes name the row before it.
    """
    return _hash(
        _STATE_LABEL,
        chain.holding.value.encode(),
        str(chain.term_epoch).encode(),
        str(chain.floor).encode(),
        str(chain.ruling).encode(),
        str(chain.pending_epoch).encode(),
        ",".join(chain.path).encode(),
        f"{chain.hops}/{chain.refusals}/{chain.homeward}".encode(),
        chain.case.encode(),
        (chain.desk or "").encode(),
    )


def entry_digest(*, sequence: int, previous: bytes, root: bytes, rows: int, at: Instant) -> bytes:
    """Return the digest of an entry of an authority's ledger."""
    return _hash(
        _ENTRY_LABEL,
        str(sequence).encode(),
        previous,
        root,
        str(rows).encode(),
        str(to_microseconds(at)).encode(),
    )


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash of the leaves (RFC 9162 §2.1.1, SHA-256)."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = merkle_root(leaves[:split]), merkle_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
