"""Sequence numbers from source to target: given at the first sending, committed before it.

A resend carries the same numbers. They detect gaps and order nothing. They stand in a table of
their own; the envelope in the outbox stays as it was posted, or it would be written once more.
"""

from __future__ import annotations

from gateway.database.uow import UnitOfWork
from gateway.delivery import codec
from gateway.delivery.store import NUMBERS, OUTBOX, SEQUENCES, NumberRow, OutboxRow, SequenceRow
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers envelopes on behalf of one life of a node."""

    incarnation: int

    async def give(self, uow: UnitOfWork, batch: list[OutboxRow]) -> list[OutboxRow]:
        """Return the rows with their sequences, their envelopes as they travel.

        One read a pair of authorities and one write a batch.
        """
        pairs = sorted({(row.source, row.target) for row in batch if not row.sequence})
        if pairs:
            await uow.lock(*(f"sequence/{source}/{target}" for source, target in pairs))
        newest: dict[tuple[str, str], int] = {}
        for pair in pairs:
            known = await uow.get(SEQUENCES, *pair)
            newest[pair] = known.sequence if known else 0
        numbered: list[OutboxRow] = []
        for row in batch:
            sequence = row.sequence
            if not sequence:
                sequence = newest[row.source, row.target] = newest[row.source, row.target] + 1
                uow.insert(NUMBERS, NumberRow(row.position, sequence))
            numbered.append(replace(row, sequence=sequence, envelope=self._wire(row, sequence)))
        for (source, target), sequence in newest.items():
            uow.put(SEQUENCES, SequenceRow(source, target, sequence))
        return numbered

    def put_back(self, uow: UnitOfWork, row: OutboxRow, not_before: Instant) -> None:
        """Let a row wait, as it was posted."""
        posted = row.envelope.removesuffix(self._suffix(row.sequence))
        uow.put(OUTBOX, replace(row, envelope=posted, not_before=not_before))

    def _suffix(self, sequence: int) -> bytes:
        return codec.numbered_envelope(b"", incarnation=self.incarnation, sequence=sequence)

    def _wire(self, row: OutboxRow, sequence: int) -> bytes:
        suffix = self._suffix(sequence)
        return row.envelope if row.envelope.endswith(suffix) else row.envelope + suffix
