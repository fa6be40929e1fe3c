"""Closed chains: what ends in them, and how those learn of it who were not told (rule 5).

A province that was released outside says ChainClosed to the parties of its inner chain. Who hears
of it cares no more in that chain and every earlier one, after a StandDown with the acts of its last
term; what it offered or was offered there ends. What comes in a closed chain from one that does not
know is answered with the ChainClosed attached, so that it need not be told by the province itself.
"""

from __future__ import annotations

from gateway.custody import bodies, chains, machine, store
from gateway.custody.model import ChainKey, CustodyEvent, Invitation
from gateway.custody.proofs import Attached
from gateway.custody.rows import invitation_of
from gateway.custody.ruled import Ruled
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered
from gateway.kernel.errors import StatementMalformed
from gateway.kernel.time import Instant
from gateway.kernel.values import replace

Events = tuple[CustodyEvent, ...]


class Closing:
    """Takes ChainClosed for the authorities of one node."""

    def __init__(self, *, writer: StepWriter, ruled: Ruled) -> None:
        """Make it."""
        self._writer = writer
        self._ruled = ruled

    async def taken(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.ChainClosed,
        now: Instant,
    ) -> Events:
        """Take ChainClosed from the province itself."""
        item = self._ruled.as_attached(delivered, body)
        await self.apply(uow, key, item, now, received=delivered)
        return ()

    async def apply(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        item: Attached,
        now: Instant,
        *,
        received: Delivered | None = None,
    ) -> None:
        """Close this chain and all earlier ones of its scope, whoever said so first.

        Raises:
            StatementMalformed: it is not the province's.
        """
        issuer, number = item.statement.issuer, item.statement.chain
        if issuer != key.scope:
            raise StatementMalformed(check=10, got=f"ChainClosed of {issuer}", expected=key.scope)
        if key.authority == key.scope:
            return  # it comes back to who said it
        held = await chains.load(uow, key.authority, key.ticket)
        named = replace(key, number=number)
        unknown = () if held.find(named) else (chains.unknown_chain(named, key.scope),)
        for chain in (*held.chains, *unknown):
            place = chain.key
            if place.scope != key.scope or place.number > number or chain.closed:
                continue
            caring = (
                await self._ruled.report(uow, chain, key.scope, now) if chain.is_caring else chain
            )
            invitation = await self._invitation(uow, place)
            step = machine.receive_closed(caring, invitation, closing=(item.signed,))
            is_this = received if place == named else None
            await self._writer.write(uow, step, now=now, received=is_this)
        await self._ruled.let_go(uow, key, now)

    async def _invitation(self, uow: UnitOfWork, key: ChainKey) -> Invitation | None:
        row = await uow.get(store.INVITATIONS, key.authority, key.ticket, key.scope, key.number)
        return invitation_of(row) if row is not None else None
