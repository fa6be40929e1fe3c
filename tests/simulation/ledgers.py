"""The ledgers, verified as a stranger would: digests computed anew from the rows, by hand.

Nothing of `gateway.custody.ledger` is used, so a defect there does not hide itself (I4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.custody import store
from gateway.custody.model import Chain
from gateway.kernel.ids import Epoch
from gateway.kernel.time import to_microseconds
from tests.simulation.records import Records, Violation
from tests.simulation.world import World

_Ledger = tuple[str, str, str, int]


@dataclass(slots=True)
class Ledgers:
    """What was verified so far: the last row of each ledger, and who stands in it."""

    heads: dict[_Ledger, tuple[int, bytes]] = field(default_factory=dict)
    subjects: set[tuple[object, ...]] = field(default_factory=set)
    entries: dict[str, int] = field(default_factory=dict)

    def check_rows(self, rows: Sequence[store.CustodyRow]) -> None:
        """I4: each new row extends its ledger. I3: each statement stands in a ledger once."""
        for row in sorted(rows, key=lambda row: row.sequence):
            ledger = (row.authority, row.ticket, row.scope, row.number)
            sequence, head = self.heads.get(ledger, (0, b""))
            if (row.sequence, row.previous_digest) != (sequence + 1, head):
                raise Violation("I4", f"{ledger}: row {row.sequence} does not follow {sequence}")
            if row.row_digest != digest_of(row):
                raise Violation("I4", f"{ledger}: the digest of row {row.sequence} is wrong")
            self.heads[ledger] = (row.sequence, row.row_digest)
            if "." in row.kind:
                continue  # a local act: two may have the same content
            subject = (*ledger, row.kind, row.subject_digest)
            if subject in self.subjects:
                raise Violation("I3", f"{ledger}: {row.kind} took effect twice")
            self.subjects.add(subject)

    def check_heads(self, records: Records) -> None:
        """I4: what an authority believes to be its head is its last row."""
        for chains in records.chains.values():
            for chain in chains:
                if (chain.rows, chain.chain_head) != self._head(chain):
                    raise Violation("I4", f"{chain.key}: its head is not its last row")

    def _head(self, chain: Chain) -> tuple[int, bytes]:
        key = chain.key
        return self.heads.get((key.authority, key.ticket, key.scope, key.number), (0, b""))

    def check_all(self, world: World) -> None:
        """I4: every ledger from its first row on, and every entry over its rows."""
        again = Ledgers()
        for node in world.nodes.values():
            again.check_rows(node.database.rows(store.CUSTODY_ROWS))
            _check_entries(
                node.database.rows(store.LEDGER_ENTRIES), node.database.rows(store.CUSTODY_ROWS)
            )


def _check_entries(
    entries: Sequence[store.LedgerEntryRow], rows: Sequence[store.CustodyRow]
) -> None:
    last: dict[str, store.LedgerEntryRow] = {}
    for entry in sorted(entries, key=lambda entry: (entry.authority, entry.sequence)):
        before = last.get(entry.authority)
        expected = (before.sequence + 1, before.entry_digest) if before else (1, bytes(32))
        if (entry.sequence, entry.previous_digest) != expected:
            raise Violation("I4", f"{entry.authority}: entry {entry.sequence} does not follow")
        since = before.up_to_txid if before else 0
        covered = [
            row
            for row in rows
            if row.authority == entry.authority and since < row.txid <= entry.up_to_txid
        ]
        covered.sort(key=lambda row: (row.txid, row.ticket, row.scope, row.number, row.sequence))
        root = merkle_root([row.row_digest for row in covered])
        if (entry.row_count, entry.root) != (len(covered), root):
            raise Violation("I4", f"{entry.authority}: entry {entry.sequence} misses rows")
        last[entry.authority] = entry


def digest_of(row: store.CustodyRow) -> bytes:
    """Return the digest of a row, as docs/custody.md#ledger says it."""
    return _hash(
        b"lubiao/ledger-row/1",
        str(row.sequence).encode(),
        row.previous_digest,
        row.kind.encode(),
        str(Epoch.from_key(row.epoch)).encode(),
        row.subject_digest,
        row.state_digest,
        str(to_microseconds(row.recorded)).encode(),
    )


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of RFC 9162, computed level by level from the left."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [
            hashlib.sha256(b"\x01" + pair[0] + pair[1]).digest() if len(pair) > 1 else pair[0]
            for pair in pairs
        ]
    return level[0]


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
