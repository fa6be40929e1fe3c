"""The ledger of an authority: signed entries over what committed since the entry before.

A chain computed inside every commit would make all commits of an authority wait for each other.
So an entry is made a moment later over all rows that no running transaction can still precede: a
Merkle root, the digest of the entry before, and a signature of the authority. Until then a row is
bound by its own ticket's ledger (docs/custody.md#ledger). The ledger is the authority's, not the
node's, so that a city can move out with its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from gateway.custody import ledger, store
from gateway.custody.incarnation import Recovery
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.kernel.errors import InvariantViolated
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.trust.key_ring import KeyRing
from gateway.trust.statements import sign

LEDGER_TIMER = "custody.ledger"
LEDGER_PAYLOAD_TYPE = "application/vnd.lubiao.ledger-entry.v1"
SEAL_INTERVAL = timedelta(seconds=10)
ROWS_PER_ENTRY_MAX = 10_000  # one entry is computed well within a statement's time
GENESIS_DIGEST = bytes(32)
# Less than what a restored node asks for before its newest entry (`incarnation.SINCE_MARGIN`): an
# entry that claims to be later than it is must hide nothing from it.
CLOCK_BACK_MAX = timedelta(minutes=30)


class LedgerSealer:
    """Makes the entries; a `database.TimerHandler` that schedules itself again."""

    def __init__(self, *, keys: KeyRing, recovery: Recovery | None = None) -> None:
        """Make the sealer for the authorities whose keys are in `keys`."""
        self._keys = keys
        self._recovery = recovery
        # Told authority and sequence after the commit of every entry.
        self.sealed: Callable[[str, int], None] = lambda _authority, _sequence: None
        # Tells the number of the newest entry that earlier lives of this node made.
        self.used: Callable[[str], int] = lambda _authority: 0

    def start(self, uow: UnitOfWork, *, now: Instant) -> None:
        """Schedule the timer of every authority."""
        for authority in self._keys.codes():
            schedule(uow, kind=LEDGER_TIMER, key=authority, due=now)

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock that keeps the entries of one authority in one order."""
        return (f"ledger/{key}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Make one entry and come back later."""
        await self.seal(uow, AuthorityCode(key), now=now)
        schedule(uow, kind=LEDGER_TIMER, key=key, due=now + SEAL_INTERVAL)

    async def seal(
        self, uow: UnitOfWork, authority: AuthorityCode, *, now: Instant
    ) -> store.LedgerEntryRow | None:
        """Make an entry over the rows since the last one; None when there are none.

        None too while the node recovers: its peers may know entries that it forgot.
        """
        if self._recovery is not None and self._recovery.is_recovering:
            return None
        [*last] = await uow.select(store.LAST_ENTRY, authority=authority)
        since = last[0].up_to_txid if last else 0
        rows = await uow.select(
            store.ROWS_AFTER, authority=authority, txid=since, limit=ROWS_PER_ENTRY_MAX
        )
        if not rows:
            return None
        if len(rows) == ROWS_PER_ENTRY_MAX and rows[0].txid != rows[-1].txid:
            # The last transaction may be cut: leave it whole for the next entry.
            rows = [row for row in rows if row.txid != rows[-1].txid]
        elif len(rows) == ROWS_PER_ENTRY_MAX:
            raise InvariantViolated(
                invariant="a transaction fits one ledger entry", got=f"{len(rows)} rows"
            )
        previous = last[0].entry_digest if last else GENESIS_DIGEST
        # Never a number that was used before a restore: two entries with it are a fork.
        sequence = max(last[0].sequence if last else 0, self.used(authority)) + 1
        at = now
        if last and now < last[0].recorded <= now + CLOCK_BACK_MAX:
            at = last[0].recorded  # a clock that was set right leaves the ledger in order
        root = ledger.merkle_root([row.row_digest for row in rows])
        digest = ledger.entry_digest(
            sequence=sequence, previous=previous, root=root, rows=len(rows), at=at
        )
        key = self._keys.signing_key(authority)
        entry = store.LedgerEntryRow(
            authority=authority,
            sequence=sequence,
            previous_digest=previous,
            root=root,
            row_count=len(rows),
            up_to_txid=rows[-1].txid,
            entry_digest=digest,
            key_id=key.key_id,
            signature=sign(key, digest, payload_type=LEDGER_PAYLOAD_TYPE),
            recorded=at,
        )
        uow.insert(store.LEDGER_ENTRIES, entry)
        uow.after_commit(lambda: self.sealed(authority, sequence))
        return entry
