"""Ticket numbers: blocks of 1,000 per process out of one sequence, so minting is no bottleneck.

Gaps are allowed (a rolled-back intake, a process that ends); repeats are not: a block is drawn by
one process once. The eight digits hold 100,000 blocks, after which they begin again; a number also
holds its day, so it would take 100 million tickets in a day to repeat one.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.database.uow import UnitOfWork
from gateway.kernel.ids import AuthorityCode, TicketNumber, mint_ticket_number
from gateway.kernel.time import Instant, day_of
from gateway.tickets.store import TICKET_BLOCKS

BLOCK_NUMBERS = 1_000
BLOCKS_MAX = 100_000  # eight digits
BLOCKS_SKIPPED = 1_000  # a million tickets: more than a province takes in between two backups


class NumberMint:
    """Mints the ticket numbers of one process."""

    def __init__(self) -> None:
        """Begin without a block."""
        self._left: Iterator[int] = iter(())

    async def mint(
        self, uow: UnitOfWork, *, authority: AuthorityCode, now: Instant
    ) -> TicketNumber:
        """Return a number that nobody has had."""
        sequence = next(self._left, None)
        if sequence is None:
            block = (await uow.next_value(TICKET_BLOCKS)) % BLOCKS_MAX
            self._left = iter(range(block * BLOCK_NUMBERS, (block + 1) * BLOCK_NUMBERS))
            sequence = next(self._left)
        return mint_ticket_number(authority, day_of(now), sequence)


async def skip_blocks(uow: UnitOfWork) -> None:
    """Go on after any number that was given since a backup from which the database comes."""
    for _ in range(BLOCKS_SKIPPED):
        await uow.next_value(TICKET_BLOCKS)
