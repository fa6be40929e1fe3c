"""Forks: what a custodian does that learns that its own term is forked (docs/custody.md#forks).

Two statements of one signer, kind and epoch prove that the signer lies; the refused statement is
kept as evidence by delivery. If one of the two is among those that establish a term of this very
authority, another may hold the ticket by the other one. Then it does no exclusive act any more,
goes on caring, and files a case: the ruling decides, and opens an era above both.
"""

from __future__ import annotations

from gateway.custody import chains, machine, store
from gateway.custody.filings import Filings
from gateway.custody.model import BY_FORK, Chain, ChainKey, CustodyEvent, Holding
from gateway.custody.recall import React, nobody_routes
from gateway.custody.ruled import GoHome
from gateway.custody.states import Local
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered
from gateway.kernel.errors import ChainForked
from gateway.kernel.ids import Epoch
from gateway.kernel.time import Instant
from gateway.kernel.values import replace


class Forks:
    """Takes proven forks for the authorities of one node; `react` is told what came of it."""

    def __init__(self, *, writer: StepWriter, filings: Filings, go_home: GoHome) -> None:
        """Make it; `go_home` is the province's own arbiter's half."""
        self._writer = writer
        self._filings = filings
        self._go_home = go_home
        self.react: React = nobody_routes

    async def learned(
        self,
        uow: UnitOfWork,
        delivered: Delivered,
        fork: ChainForked,
        now: Instant,
    ) -> None:
        """Learn that a statement, which was refused, proves a fork; the ticket is locked."""
        statement = delivered.statement
        key = ChainKey(delivered.target, statement.ticket, statement.scope, statement.chain)
        chain = await chains.find_chain(uow, key)
        if chain is None or not chain.is_caring or chain.holding is Holding.YIELDING:
            return
        if not await self._is_own_term(uow, chain, fork):
            return
        events: list[CustodyEvent] = []
        if not chain.case:
            chain, opened = await self._filings.file_case(
                uow, chain, cause=BY_FORK, target="", now=now
            )
            events.append(opened)
        self._writer.save(uow, replace(chain, holding=machine.require(chain, Local.FORKED)))
        if key.is_outer or await self._is_leaving(uow, key):
            events += await self._go_home(uow, key.authority, key.ticket, now)
        await self.react(uow, tuple(events), now=now)

    async def _is_leaving(self, uow: UnitOfWork, key: ChainKey) -> bool:
        """Tell whether a province's ticket is on its way outside: it must be home inside (rule 2).

        The province is the arbiter there and settles at once what is forked.
        """
        outer = (await chains.load(uow, key.authority, key.ticket)).outer
        is_leaving = outer is not None and outer.is_caring and outer.holding is not Holding.HELD
        return key.is_home and is_leaving

    async def _is_own_term(self, uow: UnitOfWork, chain: Chain, fork: ChainForked) -> bool:
        """Tell whether a statement that established a term of this era has a twin."""
        named = tuple(str(fork.metadata[name]) for name in ("signer", "kind", "epoch"))
        for record in chain.records:
            row = await uow.get(store.STATEMENTS, chain.key.authority, bytes.fromhex(record))
            if row is None:
                continue
            if (row.issuer, row.kind, str(Epoch.from_key(row.epoch))) == named:
                return True
        return False
