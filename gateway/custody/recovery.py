"""Recovering a node that was restored from an older backup (docs/custody.md#recovery).

In this order, each part durable and safe to repeat after a crash:

1. A new incarnation begins (`incarnation.py`). From now on the node signs and takes nothing.
2. Every peer hears the new incarnation and refuses what the old life still has on its way; a quiet
   time later it is asked for all statements of our authorities, and all it made for them. What
   comes is verified by our own keys, or those of its signers, and kept (`collecting.py`).
3. A person confirms; peers that cannot be reached are named one by one (`confirm`).
4. Ticket by ticket what was returned is applied (`restorer.py`), then what others said is taken as
   if it had been on its way. What cannot be decided is an item for people. Then the node serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog

from gateway.custody import recovery_store as store
from gateway.custody.collecting import Collector
from gateway.custody.confirming import view
from gateway.custody.incarnation import Mode, Recovery, load
from gateway.custody.model import CustodyEvent
from gateway.custody.ports import React, ReturnTransport
from gateway.custody.reestablish import CONTENT_MISSING
from gateway.custody.restorer import Restorer
from gateway.custody.store import CHAINS
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.ports import StatementHandler
from gateway.kernel.errors import LubiaoError
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import replace
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster

POLL = timedelta(seconds=2)
TICKETS_PER_PASS = 100
NOT_APPLIED = "not applied"  # an item for people: it keeps the node from serving
ATTEMPTS_MAX = 5  # then a person looks at the statement
_RANK = ("Ruling", "RulingAck", "ChainClosed", "Answer", "Revoke", "Assumption", "CaseFiling")

_log = structlog.get_logger()


async def _nobody(uow: UnitOfWork, events: tuple[CustodyEvent, ...], *, now: Instant) -> None:
    """Have no rooms above."""


class RecoveryRun:
    """Carries the recovery of one node through; `recovery` is what everybody else asks."""

    def __init__(
        self,
        *,
        recovery: Recovery,
        database: Database,
        transport: ReturnTransport,
        roster: Callable[[], Roster],
        keys: KeyRing,
        restorer: Restorer,
        handlers: Mapping[str, StatementHandler],
        machine_clock: Clock,
        business_clock: Clock,
    ) -> None:
        """Make it; `handlers` take what others said, as the inbox would have it taken."""
        self.recovery = recovery
        self._database = database
        self._collector = Collector(
            recovery=recovery,
            database=database,
            transport=transport,
            roster=roster,
            keys=keys,
            machine_clock=machine_clock,
        )
        self._restorer = restorer
        self._handlers = handlers
        self._machine = machine_clock
        self._business = business_clock
        # Told what the rooms above must know of restored tickets.
        self.react: React = _nobody

    async def run(self) -> None:
        """Carry it through, then return; cancel to stop."""
        while self.recovery.is_recovering:
            try:
                await self.step()
            except LubiaoError as error:
                _log.warning("recovery.failed", reason=error.reason)
            if self.recovery.is_recovering:
                await asyncio.sleep(POLL.total_seconds())

    async def step(self) -> bool:
        """Do what can be done now; tell whether the node serves."""
        async with self._database.unit() as uow:
            await load(uow, self.recovery)
        if self.recovery.mode is Mode.RECOVERING:
            await self._collector.collect()
            await self._begin_applying()
        if self.recovery.mode is Mode.APPLYING:
            await self._apply_all()
        return not self.recovery.is_recovering

    # --- applying -----------------------------------------------------------------------------

    async def _begin_applying(self) -> None:
        async with self._database.unit() as uow:
            await uow.lock(f"node/{self.recovery.node}")
            found = await view(uow, self.recovery.node)
            if found is None or found.missing or not found.state.confirmed_by:
                return
            state = replace(found.state, mode=Mode.APPLYING.value, changed=self._machine.now())
            uow.put(store.NODE_STATE, state)
        self.recovery.mode = Mode.APPLYING

    async def _apply_all(self) -> None:
        """Apply ticket by ticket; a crash goes on where it was."""
        after = ""
        while True:
            async with self._database.unit() as uow:
                found = await uow.select(
                    store.RECOVERED_TICKETS, after=after, limit=TICKETS_PER_PASS
                )
            for row in found:
                try:
                    with self.recovery.applying():
                        await self._apply(row.ticket)
                except LubiaoError as error:  # the others do not wait for this one; serving does
                    await self._not_applied(row.ticket, error)
            if not found:
                break
            after = found[-1].ticket
        async with self._database.unit() as uow:
            if await uow.select(store.RECOVERED_TICKETS, after="", limit=1):
                return  # something waits for another statement; the next step tries again
            state = await uow.get(store.NODE_STATE, self.recovery.node)
            if state is not None:
                serving = replace(state, mode=Mode.SERVING.value, changed=self._machine.now())
                uow.put(store.NODE_STATE, serving)
        self.recovery.mode = Mode.SERVING
        _log.info("recovery.over", node=self.recovery.node, incarnation=self.recovery.incarnation)

    async def _not_applied(self, ticket: str, error: LubiaoError) -> None:
        """Show a person what keeps the node from serving; it is tried again and again."""
        _log.error("recovery.not_applied", reason=error.reason)
        async with self._database.unit() as uow:
            rows = await uow.select(store.RECOVERED_OF_TICKET, ticket=ticket)
            for authority in {row.authority for row in rows}:
                item = store.RecoveryItemRow(
                    authority=authority,
                    ticket=ticket,
                    scope="",
                    number=0,
                    what=NOT_APPLIED,
                    detail=error.reason,
                    found=self._business.now(),
                )
                uow.put(store.ITEMS, item)

    async def _apply(self, ticket: str) -> None:
        """Apply what our authorities said about a ticket, then what others said to them."""
        async with self._database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            rows = await uow.select(store.RECOVERED_OF_TICKET, ticket=ticket)
            fresh = [row for row in rows if not row.attempts]
            now = self._business.now()
            if fresh:
                items, events = await self._restorer.apply(uow, fresh, now=now)
                for row in fresh:
                    uow.delete(store.ITEMS, row.authority, ticket, "", 0, NOT_APPLIED)
                for item in items:
                    uow.put(store.ITEMS, item)
                await self.react(uow, events, now=now)
            for row in fresh:
                if self._restorer.heard(row) is None:
                    uow.delete(store.RECOVERED, row.authority, row.digest)
                else:
                    uow.put(store.RECOVERED, replace(row, attempts=1))
        heard = [
            replace(row, attempts=max(row.attempts, 1))
            for row in rows
            if self._restorer.heard(row) is not None
        ]
        for row in sorted(heard, key=self._place):
            await self._replay(row)
        await self._drop_answered(ticket)

    async def _drop_answered(self, ticket: str) -> None:
        """Remove what a later statement answered: the text came with a StandDown."""
        async with self._database.unit() as uow:
            for item in await uow.select(store.RECOVERY_ITEMS):
                place = (item.authority, item.ticket, item.scope, item.number)
                if item.ticket != ticket or item.what != CONTENT_MISSING:
                    continue
                chain = await uow.get(CHAINS, *place)
                if chain is None or not chain.content_due:
                    uow.delete(store.ITEMS, *place, item.what)

    def _place(self, row: store.RecoveredRow) -> tuple[object, ...]:
        delivered = self._restorer.heard(row)
        assert delivered is not None
        statement = delivered.statement
        rank = _RANK.index(row.kind) if row.kind in _RANK else len(_RANK)
        return statement.scope, statement.chain, statement.epoch, rank, row.digest

    async def _replay(self, row: store.RecoveredRow) -> None:
        delivered = self._restorer.heard(row)
        handler = self._handlers.get(row.kind)
        now = self._business.now()
        try:
            async with self._database.unit() as uow:
                await uow.lock(f"ticket/{row.ticket}")
                if delivered is not None and handler is not None:
                    await handler(uow, delivered, now)
                uow.delete(store.RECOVERED, row.authority, row.digest)
        except LubiaoError as error:
            await self._put_off(row, error, now)

    async def _put_off(self, row: store.RecoveredRow, error: LubiaoError, now: Instant) -> None:
        """Try a statement again later; after some times it is for a person."""
        _log.warning("recovery.not_taken", kind=row.kind, reason=error.reason)
        async with self._database.unit() as uow:
            if row.attempts < ATTEMPTS_MAX:
                uow.put(store.RECOVERED, replace(row, attempts=row.attempts + 1))
                return
            delivered = self._restorer.heard(row)
            statement = delivered.statement if delivered is not None else None
            item = store.RecoveryItemRow(
                authority=row.authority,
                ticket=row.ticket,
                scope=statement.scope if statement else "",
                number=statement.chain if statement else 0,
                what=f"{row.kind} not taken",
                detail=f"{row.kind} of {row.issuer}: {error.reason}",
                found=now,
            )
            uow.put(store.ITEMS, item)
            uow.delete(store.RECOVERED, row.authority, row.digest)
