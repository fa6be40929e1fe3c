"""Which entries of an authority's ledger cover given rows, and the way up to them.

An entry covers the rows of the transactions between the entry before and itself, in their order.
Rows of one ticket lie in few entries, and those of a period come from the same ones again and
again, so the newest trees are remembered.
"""

from __future__ import annotations

from collections import OrderedDict

from gateway.custody import store
from gateway.custody.sealer import ROWS_PER_ENTRY_MAX
from gateway.database.uow import UnitOfWork
from gateway.evidence import store as evidence_store
from gateway.evidence.dossier import ChainName, Entry, Row
from gateway.evidence.merkle import audit_path
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber

LEAVES_KEPT = 8  # trees of the newest entries; rows of one entry come together
ENTRIES_WHOLE_MAX = 2_000  # so many between the first and the last are given without a gap


class Covering:
    """Finds the entry over a row and the path to it; remembers the newest trees."""

    def __init__(self) -> None:
        """Begin with no entry needed yet."""
        self.needed: set[int] = set()
        self._entries: list[tuple[int, store.LedgerEntryRow]] = []  # (first txid, entry)
        self._trees: OrderedDict[int, tuple[dict[bytes, int], list[bytes]]] = OrderedDict()

    async def cover(self, uow: UnitOfWork, row: store.CustodyRow) -> Row:
        """Return a row with its path, or without one while no entry covers it."""
        found = await self._over(uow, row)
        index, sequence = 0, 0
        path: tuple[bytes, ...] = ()
        if found is not None:
            after, entry = found
            places, leaves = await self._tree(uow, after, entry)
            index = places[row.row_digest]
            path, sequence = audit_path(leaves, index), entry.sequence
            self.needed.add(sequence)
        return Row(
            chain=ChainName(TicketNumber(row.ticket), AuthorityCode(row.scope), row.number),
            sequence=row.sequence,
            kind=row.kind,
            epoch=Epoch.from_key(row.epoch),
            subject=row.subject_digest,
            state=row.state_digest,
            recorded=row.recorded,
            digest=row.row_digest,
            entry=sequence,
            index=index,
            path=path,
        )

    async def _over(
        self, uow: UnitOfWork, row: store.CustodyRow
    ) -> tuple[int, store.LedgerEntryRow] | None:
        for after, entry in self._entries:
            if after < row.txid <= entry.up_to_txid:
                return after, entry
        [*over] = await uow.select(
            evidence_store.ENTRY_OVER, authority=row.authority, txid=row.txid
        )
        if not over:
            return None
        # Not always one less: numbers that an earlier life used are left out.
        [*before] = await uow.select(
            evidence_store.ENTRY_BEFORE, authority=row.authority, sequence=over[0].sequence
        )
        found = (before[0].up_to_txid if before else 0, over[0])
        self._entries = [*self._entries[1 - LEAVES_KEPT :], found]
        return found

    async def _tree(
        self, uow: UnitOfWork, after: int, entry: store.LedgerEntryRow
    ) -> tuple[dict[bytes, int], list[bytes]]:
        tree = self._trees.get(entry.sequence)
        if tree is None:
            rows = await uow.select(
                evidence_store.LEAVES_BETWEEN,
                authority=entry.authority,
                after=after,
                last=entry.up_to_txid,
                limit=ROWS_PER_ENTRY_MAX,
            )
            leaves = [row.row_digest for row in rows]
            tree = {digest: index for index, digest in enumerate(leaves)}, leaves
            self._trees[entry.sequence] = tree
            while len(self._trees) > LEAVES_KEPT:
                self._trees.popitem(last=False)
        return tree


def entry_of(row: store.LedgerEntryRow) -> Entry:
    """Return an entry of the ledger as the file has it."""
    return Entry(
        sequence=row.sequence,
        previous=row.previous_digest,
        root=row.root,
        rows=row.row_count,
        recorded=row.recorded,
        digest=row.entry_digest,
        key_id=row.key_id,
        signature=row.signature,
    )


def spans_of(needed: list[int], stamps: list[int]) -> tuple[list[tuple[int, int]], set[int]]:
    """Return which entries to give, without gaps where that is little, and the useful stamps.

    From each entry that covers a row to the first stamped one there is no gap: only so does the
    stamp cover it.
    """
    useful: set[int] = set()
    spans: list[tuple[int, int]] = []
    for sequence in needed:
        stamp = next((at for at in stamps if at >= sequence), None)
        if stamp is not None:
            useful.add(stamp)
        last = sequence if stamp is None else stamp
        if spans and sequence <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last))
        else:
            spans.append((sequence, last))
    first, end = spans[0][0], spans[-1][1]
    if end - first < ENTRIES_WHOLE_MAX:
        return [(first, end)], useful
    return spans, useful
