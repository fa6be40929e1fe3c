"""What opens the promises of custody's statements: block and salt, kept where they were said.

A statement holds a commitment and no content; the salt travels sealed and is gone with the
envelope. So that a dispute about what was handed over can be settled, who says a statement that
moves custody keeps the block and its salt, sealed with the data key of the ticket's copy. Purge
destroys that key, and the commitment says nothing any more (I10). Who calls is never kept here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.custody import store
from gateway.custody.bodies import Commitment
from gateway.custody.model import ChainKey, Opened
from gateway.custody.steps import Say
from gateway.database.uow import UnitOfWork
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.trust.commitments import SALT_BYTES

KEPT_BLOCKS = frozenset({"case_block"})
KEPT_KINDS = frozenset({"Genesis", "Offer", "StandDown"})  # of rows; progress moves no custody


class ContentKeys(Protocol):
    """Seals with the data key of a ticket's copy; the tickets room implements it."""

    async def seal_text(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        at: str,
        text: bytes,
    ) -> bytes | None:
        """Return `text` sealed for the place `at`; None if there is no copy, or it was purged."""
        ...

    async def open_text(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        at: str,
        sealed: bytes,
    ) -> bytes | None:
        """Return what was sealed for the place `at`; None once the copy was purged."""
        ...


class Openings:
    """Keeps what opens commitments, and gives it to who may read texts."""

    def __init__(self, *, keys: ContentKeys) -> None:
        """Seal with `keys`."""
        self._keys = keys

    async def keep(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        says: Sequence[Say],
        said: Mapping[str, bytes],
        promises: Sequence[tuple[Commitment, bytes, bytes]],
    ) -> None:
        """Keep what statements of a step promised: commitments, each with salt and block."""
        for say in says:
            promised = getattr(say.body, "commitments", ())
            for commitment, salt, block in promises:
                is_kept = say.kind in KEPT_KINDS and commitment.kind in KEPT_BLOCKS
                if not is_kept or commitment not in promised or say.kind not in said:
                    continue
                statement = said[say.kind]
                sealed = await self._keys.seal_text(
                    uow,
                    key.authority,
                    key.ticket,
                    at=_place(statement, commitment.kind),
                    text=salt + block,
                )
                if sealed is not None:
                    row = store.OpeningRow(
                        key.authority, key.ticket, statement, commitment.kind, sealed
                    )
                    uow.put(store.OPENINGS, row)

    async def opened(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> tuple[Opened, ...]:
        """Return everything that is kept of a ticket and can still be opened."""
        found = []
        for row in await uow.select(store.OPENINGS_OF_TICKET, authority=authority, ticket=ticket):
            plain = await self._keys.open_text(
                uow,
                authority,
                ticket,
                at=_place(row.statement_digest, row.kind),
                sealed=row.sealed,
            )
            if plain is not None:
                salt, block = plain[:SALT_BYTES], plain[SALT_BYTES:]
                found.append(Opened(row.statement_digest, row.kind, salt, block))
        return tuple(found)


def _place(statement: bytes, kind: str) -> str:
    return f"opening/{statement.hex()}/{kind}"
