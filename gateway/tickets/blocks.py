"""A copy of a ticket as the blocks that travel: what custody asks here (`ContentSource`)."""

from __future__ import annotations

from gateway.database.uow import UnitOfWork
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.tickets import citizen, codec
from gateway.tickets.service import Tickets
from hotline.custody.v1 import custody_pb2


class TicketBlocks:
    """Reads one authority's copy as blocks; implements `custody.ContentSource`."""

    def __init__(self, tickets: Tickets) -> None:
        """Read copies through `tickets`."""
        self._tickets = tickets

    async def header(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes:
        """Return the serialised TicketHeader."""
        return codec.header_to_bytes(await self._tickets.get(uow, authority, ticket))

    async def case_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes:
        """Return the serialised CaseBlock."""
        texts = await self._tickets.texts(uow, authority, ticket)
        message = custody_pb2.CaseBlock()
        message.content.ParseFromString(texts.content)
        return message.SerializeToString(deterministic=True)

    async def identity_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes | None:
        """Return the serialised IdentityBlock, or None if nobody is known here."""
        texts = await self._tickets.texts(uow, authority, ticket)
        if texts.citizen is None:
            return None
        message = custody_pb2.IdentityBlock()
        message.citizen.ParseFromString(texts.citizen)
        return message.SerializeToString(deterministic=True)

    async def state_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> tuple[int, bytes]:
        """Return the number of the ticket's state and the serialised StateBlock."""
        found = await self._tickets.get(uow, authority, ticket)
        texts = await self._tickets.texts(uow, authority, ticket)
        return int(found.state), codec.state_block_to_bytes(found, texts)

    async def citizen_act_applied(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> int:
        """Return up to which number the citizen's acts are carried out or refused."""
        return citizen.act_number_done(await self._tickets.get(uow, authority, ticket))

    async def forget_identity(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> None:
        """Delete who calls from this authority's copy."""
        found = await self._tickets.get(uow, authority, ticket)
        await self._tickets.write_text(uow, found, "citizen", None)

    async def seal_text(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        at: str,
        text: bytes,
    ) -> bytes | None:
        """Return `text` sealed with the copy's key for the place `at`; None without a copy."""
        key = await self._tickets.find_key(uow, authority, ticket)
        return None if key is None else key.seal(at, text)

    async def open_text(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        at: str,
        sealed: bytes,
    ) -> bytes | None:
        """Return what was sealed for the place `at`; None once the copy's key is destroyed."""
        key = await self._tickets.find_key(uow, authority, ticket)
        return None if key is None else key.open(at, sealed)
