"""The audit log: entries commit with the act they record; seals follow a moment later.

A chain computed while appending would need one lock for the whole node, held to the end of every
unit of work: all commits would queue behind each other. So `append` only adds a row, in the unit of
the act itself, and `seal` later extends the chain over what has committed, in the order
(transaction, position), which no late committer can disturb (`gateway.database.table`). Until it is
sealed, within `SEAL_INTERVAL` normally, an entry is protected by the database alone, whose
triggers refuse changes of both tables; from then on `verify` finds any change. Against somebody who
rewrites the whole log with its seals helps only a seal's digest kept elsewhere: give the newest one
to the auditors regularly.
"""

from __future__ import annotations

import hmac
from datetime import timedelta

from gateway.audit.model import GENESIS_DIGEST, AuditEntry, Place, PlacedEntry, seal_digest
from gateway.audit.store import (
    ENTRIES,
    ENTRIES_AFTER,
    ENTRIES_RANGE,
    LAST_SEAL,
    SEALS,
    SEALS_AFTER,
    SealRow,
    to_entry,
    to_row,
)
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.kernel.errors import ChainBroken, FieldInvalid
from gateway.kernel.time import Instant

SEAL_TIMER = "audit.seal"
SEAL_LOCK = "audit/seal"
SEAL_INTERVAL = timedelta(seconds=10)
ENTRIES_PER_SEAL_MAX = 5000  # one seal must be computed well within a statement's time
SEALS_PER_PAGE = 100
BEGINNING = Place(-1, -1)


class AuditLog:
    """Appends, seals, lists and verifies audit entries."""

    def append(self, uow: UnitOfWork, entry: AuditEntry) -> None:
        """Stage an entry in the unit of the act that it records."""
        uow.insert(ENTRIES, to_row(entry))

    def statement_taken(
        self,
        uow: UnitOfWork,
        *,
        issuer: str,
        kind: str,
        subject: str,
        statement_id: str,
        now: Instant,
    ) -> None:
        """Stage the entry of a peer's statement that was taken: an act of its issuer."""
        entry = AuditEntry(
            time=now,
            principal=f"authorities/{issuer}",
            role="peer",
            act=f"statement.{kind}",
            subject=subject,
            basis=f"statements/{statement_id}",
        )
        self.append(uow, entry)

    async def list_after(
        self, uow: UnitOfWork, place: Place = BEGINNING, *, limit: int
    ) -> list[PlacedEntry]:
        """Return committed entries after `place`, in order; the last one's place goes on."""
        rows = await uow.select(
            ENTRIES_AFTER, txid=place.txid, position=place.position, limit=limit
        )
        return [to_entry(row) for row in rows]

    async def seal(self, uow: UnitOfWork, *, now: Instant) -> SealRow | None:
        """Extend the chain over entries not sealed yet; None when there are none."""
        await uow.lock(SEAL_LOCK)
        last = await self.newest_seal(uow)
        first = Place(last.last_txid, last.last_position) if last else BEGINNING
        entries = await self.list_after(uow, first, limit=ENTRIES_PER_SEAL_MAX)
        if not entries:
            return None
        number = last.number + 1 if last else 1
        previous = last.digest if last else GENESIS_DIGEST
        end = entries[-1].place
        seal = SealRow(
            number=number,
            time=now,
            first_txid=first.txid,
            first_position=first.position,
            last_txid=end.txid,
            last_position=end.position,
            entries=len(entries),
            previous_digest=previous,
            digest=seal_digest(number=number, previous=previous, entries=entries),
        )
        uow.insert(SEALS, seal)
        return seal

    async def newest_seal(self, uow: UnitOfWork) -> SealRow | None:
        """Return the newest seal, whose digest stands for the whole log up to it."""
        found = await uow.select(LAST_SEAL)
        return found[0] if found else None

    async def verify(self, uow: UnitOfWork) -> int:
        """Recompute every seal and return how many entries they cover.

        The caller must still compare a digest kept elsewhere with the seal of its number.

        Raises:
            ChainBroken: a sealed entry or a seal was changed, added or removed.
        """
        covered, number = 0, 0
        digest, place = GENESIS_DIGEST, BEGINNING
        while seals := await uow.select(SEALS_AFTER, number=number, limit=SEALS_PER_PAGE):
            for seal in seals:
                number += 1
                first = Place(seal.first_txid, seal.first_position)
                is_next = seal.number == number and first == place
                if not is_next or not hmac.compare_digest(seal.previous_digest, digest):
                    raise _broken(number, "a seal that does not follow", "the next seal")
                digest = await self._recomputed(uow, seal)
                place = Place(seal.last_txid, seal.last_position)
                covered += seal.entries
        return covered

    async def _recomputed(self, uow: UnitOfWork, seal: SealRow) -> bytes:
        rows = await uow.select(
            ENTRIES_RANGE,
            first_txid=seal.first_txid,
            first_position=seal.first_position,
            last_txid=seal.last_txid,
            last_position=seal.last_position,
            limit=ENTRIES_PER_SEAL_MAX + 1,
        )
        try:
            entries = [to_entry(row) for row in rows]
        except FieldInvalid as error:
            raise _broken(seal.number, "an entry that was never valid", "valid ones") from error
        digest = seal_digest(number=seal.number, previous=seal.previous_digest, entries=entries)
        if len(entries) != seal.entries or not hmac.compare_digest(digest, seal.digest):
            raise _broken(seal.number, f"{len(entries)} entries", f"the {seal.entries} sealed")
        return digest


class SealHandler:
    """Seals the log again and again: a `TimerHandler` for `SEAL_TIMER`."""

    def __init__(self, log: AuditLog) -> None:
        """Seal `log`."""
        self._log = log

    def locks(self, key: str) -> tuple[str, ...]:  # noqa: ARG002 there is one log
        """Return the lock of the chain's end."""
        return (SEAL_LOCK,)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Seal what has committed and schedule the next time."""
        await self._log.seal(uow, now=now)
        schedule(uow, kind=SEAL_TIMER, key=key, due=now + SEAL_INTERVAL)


def start_sealing(uow: UnitOfWork, *, now: Instant) -> None:
    """Schedule the first seal; harmless when it is scheduled already."""
    schedule(uow, kind=SEAL_TIMER, key="log", due=now)


def _broken(number: int, got: str, expected: str) -> ChainBroken:
    return ChainBroken(ticket="audit", location=f"seal {number}", got=got, expected=expected)
