"""What custody needs from others: a ticket's content as blocks, the rooms above, other nodes."""

from __future__ import annotations

from typing import Protocol

from gateway.custody.model import CustodyEvent
from gateway.database.uow import UnitOfWork
from gateway.kernel.ids import AuthorityCode, NodeId, TicketNumber
from gateway.kernel.time import Instant
from hotline.peer.v1 import peer_service_pb2 as peer_pb


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


class React(Protocol):
    """Tells the rooms above what happened."""

    async def __call__(
        self, uow: UnitOfWork, events: tuple[CustodyEvent, ...], *, now: Instant
    ) -> None:
        """React to events in their order."""
        ...


class ReturnTransport(Protocol):
    """Asks a node for what it holds of us."""

    async def return_statements(
        self, node: NodeId, request: peer_pb.ReturnStatementsRequest
    ) -> peer_pb.ReturnStatementsResponse:
        """Call ReturnStatements.

        Raises:
            PeerUnreachable: nobody answered.
        """
        ...
