"""A pump with a transport that answers at will, and how a test waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.database.memory import MemoryDatabase
from gateway.database.uow import Database
from gateway.delivery.model import SealedBlock
from gateway.delivery.pump import Pump
from gateway.delivery.store import OUTBOX, OutboxRow
from gateway.kernel.ids import TicketNumber
from gateway.trust.statements import digest
from tests.unit.delivery.builders import HEBEI, KIND, TIANJIN, TICKET, Office, Peers, Post


class Room:
    """河北's node with a pump that sends to 天津 through a post that answers at will."""

    def __init__(self, database: Database | None = None) -> None:
        """Wire it."""
        self.peers = Peers()
        self.office = Office(self.peers, database or MemoryDatabase())
        self.post = Post(self.peers)
        self.pump = Pump(
            database=self.office.database,
            transport=self.post,
            roster=lambda: self.peers.roster,
            clock=self.office.clock,
        )
        self.office.outbox.wake = self.pump.wake
        self.office.inbox.heard_from = self.pump.heard_from

    async def posted(
        self,
        count: int = 1,
        *,
        blocks: tuple[SealedBlock, ...] = (),
        ticket: TicketNumber = TICKET,
        kind: str = KIND,
    ) -> list[bytes]:
        """Post statements of 河北 to 天津 and return their digests."""
        digests = []
        async with self.office.database.unit() as uow:
            for _ in range(count):
                signed = self.peers.signed(
                    issuer=HEBEI, audience=(TIANJIN,), signer=HEBEI, ticket=ticket, kind=kind
                )
                self.office.post(uow, signed, blocks=blocks, ticket=ticket, kind=kind)
                digests.append(digest(signed.statement))
        return digests

    @property
    def waiting(self) -> list[OutboxRow]:
        """What has no receipt yet."""
        assert isinstance(self.office.database, MemoryDatabase)
        return self.office.database.rows(OUTBOX)

    def answers(self, *receipts: bytes) -> None:
        """Answer the envelopes of the next batches with these receipts in turn."""
        left = iter(receipts)
        self.post.answer = lambda _envelope: next(left)

    def receipt(self, statement_digest: bytes) -> bytes:
        """Return 天津's `received`."""
        return self.peers.receipt(statement_digest, issuer=TIANJIN)


class running:  # noqa: N801 - reads as a word in `async with`
    """Run a pump beside a test."""

    def __init__(self, pump: Pump) -> None:
        self._task = asyncio.ensure_future(pump.run())

    async def __aenter__(self) -> None:
        await asyncio.sleep(0)

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until a condition holds; two seconds are far less than a back-off."""
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110 - what the pump did is only seen in the store
            await asyncio.sleep(0)
