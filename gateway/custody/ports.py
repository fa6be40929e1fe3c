"""What custody needs from others: the content of a ticket as the blocks that travel."""

from __future__ import annotations

from typing import Protocol

from gateway.database.uow import UnitOfWork
from gateway.kernel.ids import AuthorityCode, TicketNumber


class ContentSource(Protocol):
    """Reads one authority's copy of a ticket as the blocks that travel; tickets implements it."""

    async def header(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes:
        """Return the serialised TicketHeader."""
        ...

    async def case_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes:
        """Return the serialised CaseBlock."""
        ...

    async def identity_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes | None:
        """Return the serialised IdentityBlock, or None if nobody is known here."""
        ...

    async def state_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> tuple[int, bytes]:
        """Return the number of the ticket's state and the serialised StateBlock."""
        ...

    async def citizen_act_applied(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> int:
        """Return up to which number the citizen's acts are carried out or refused."""
        ...

    async def forget_identity(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> None:
        """Delete who calls from this authority's copy."""
        ...
