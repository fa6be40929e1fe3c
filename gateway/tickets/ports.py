"""What the tickets room needs of rooms above it: where custody of a ticket stands."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from gateway.database.uow import UnitOfWork
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber


class CustodyFacts(Protocol):
    """Where custody of a ticket stands, as one authority knows it."""

    @property
    def custodian(self) -> AuthorityCode:
        """Who holds the ticket in the end."""
        ...

    @property
    def holding(self) -> Enum:
        """What this authority has to do with it; the names are those of `Custody.Holding`."""
        ...

    @property
    def scope(self) -> AuthorityCode:
        """The scope of the chain."""
        ...

    @property
    def epoch(self) -> Epoch:
        """The greatest epoch known there."""
        ...

    @property
    def case(self) -> str:
        """The open case, or an empty text."""
        ...

    @property
    def path(self) -> Sequence[str]:
        """Who held it, in order."""
        ...


class CustodyViews(Protocol):
    """Tells where custody stands; the custody room implements it."""

    async def __call__(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber, /
    ) -> CustodyFacts | None:
        """Return where custody stands, or None when this authority takes no part in it."""
        ...
