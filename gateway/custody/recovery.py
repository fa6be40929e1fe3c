"""Recovering a node that was restored from an older backup (docs/custody.md#recovery).

In this order, each part durable and safe to repeat after a crash:

1. A new incarnation begins (`incarnation.py`). From now on the node signs and takes nothing.
2. Every peer hears the new incarnation and refuses what the old life still has on its way; a quiet
   time later it is asked for all statements of our authorities, and all it made for them. What
   comes is verified by our own keys, or those of its signers, and kept in `recovered`.
3. A person confirms; peers that cannot be reached are named one by one (`confirm`).
4. Ticket by ticket what was returned is applied (`restorer.py`), then what others said is taken as
   if it had been on its way. What cannot be decided is an item for people. Then the node serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import structlog

from gateway.custody import heads
from gateway.custody import recovery_store as store
from gateway.custody.confirming import view
from gateway.custody.incarnation import Mode, Recovery, load
from gateway.custody.model import CustodyEvent
from gateway.custody.ports import React, ReturnTransport
from gateway.custody.restorer import CONTENT_MISSING, Restorer
from gateway.custody.returned import spread, verified
from gateway.custody.store import (
    CHAINS,
    LAST_ENTRY,
    LEDGER_ENTRIES,
    STATEMENTS,
    LedgerEntryRow,
)
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.codec import instant_to_pb, signed_from_pb
from gateway.delivery.model import SignedBytes, Statement
from gateway.delivery.ports import StatementHandler
from gateway.kernel.errors import KeyUnknown, LubiaoError, StatementMalformed
from gateway.kernel.ids import AuthorityCode, NodeId
from gateway.kernel.time import Clock, Instant
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import NodeRole, Roster
from gateway.trust.statements import digest
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.type.v1 import statement_pb2 as type_pb

QUIET = timedelta(seconds=20)  # longer than a delivery may take: nothing of the old life is left
POLL = timedelta(seconds=2)
TICKETS_PER_PASS = 100
PAGES_PER_TURN = 50  # then the next peer is asked
PAGES_MAX = 100_000  # of one peer: ten million statements
ENTRIES_AHEAD_MAX = 10_000_000  # three years of entries; a stolen key could use up all numbers
UNKNOWN_SHOWN = 5
NOT_APPLIED = "not applied"  # an item for people: it keeps the node from serving
ATTEMPTS_MAX = 5  # then a person looks at the statement
_RANK = ("Ruling", "RulingAck", "ChainClosed", "Answer", "Revoke", "Assumption", "CaseFiling")

_log = structlog.get_logger()


async def _nobody(uow: UnitOfWork, events: tuple[CustodyEvent, ...], *, now: Instant) -> None:
    """Have no rooms above."""


@dataclass(slots=True)
class _Reading:
    """How far a peer was read; after a restart it is read from the beginning."""

    left: list[str]  # our authorities that were not asked for to the end
    cursor: bytes = b""
    pages: int = 0
    statements: int = 0
    unknown: set[str] = field(default_factory=set)


def _nobody_else(node: NodeId, now: Instant) -> store.RecoveryPeerRow:
    """Return the row of a node without peers: its own, complete."""
    return store.RecoveryPeerRow(
        node=node, announced=now, complete=True, statements=0, waived_by=""
    )


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
        self._transport = transport
        self._roster = roster
        self._keys = keys
        self._restorer = restorer
        self._handlers = handlers
        self._machine = machine_clock
        self._business = business_clock
        self._reading: dict[NodeId, _Reading] = {}
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
            await self.collect()
            await self._begin_applying()
        if self.recovery.mode is Mode.APPLYING:
            await self._apply_all()
        return not self.recovery.is_recovering

    # --- asking -------------------------------------------------------------------------------

    async def collect(self) -> None:
        """Ask every peer that has not returned everything yet."""
        async with self._database.unit() as uow:
            state = await uow.get(store.NODE_STATE, self.recovery.node)
            peers = {peer.node: peer for peer in await uow.select(store.RECOVERY_PEERS)}
            for node in self._peers():
                if node not in peers:
                    peers[node] = store.RecoveryPeerRow(
                        node=node, announced=None, complete=False, statements=0, waived_by=""
                    )
                    uow.put(store.PEERS, peers[node])
            if not peers:  # nobody to ask: only the person's word is missing
                uow.put(store.PEERS, _nobody_else(self.recovery.node, self._machine.now()))
        for peer in sorted(peers.values(), key=lambda row: row.node):
            if state is None or peer.complete or peer.waived_by:
                continue
            try:
                await self._ask(peer, since=state.since)
            except LubiaoError as error:
                _log.warning("recovery.unanswered", node=peer.node, reason=error.reason)

    async def _ask(self, peer: store.RecoveryPeerRow, *, since: Instant) -> None:
        """Announce the new incarnation; a quiet time later take all that the peer returns."""
        now, node = self._machine.now(), NodeId(peer.node)
        if peer.announced is None:
            for authority in self._keys.codes()[:1]:
                await self._page(node, AuthorityCode(authority), since=since, cursor=b"")
            await self._note(node, announced=now)
            return
        if now - peer.announced < QUIET:
            return
        reading = self._reading.setdefault(node, _Reading(list(self._keys.codes())))
        try:
            await self._read_on(node, reading, since)
        except LubiaoError:
            del self._reading[node]  # from the beginning, the next time
            raise
        if reading.left:
            return  # the next peer has its turn: one that never ends keeps nobody else waiting
        del self._reading[node]
        if reading.unknown:  # our roster is as old as the backup: the next one may list them
            keys = ", ".join(sorted(reading.unknown)[:UNKNOWN_SHOWN])
            raise KeyUnknown(key_id=keys, signer=node, kind="what it returned")
        await self._note(node, complete=True, statements=reading.statements)
        _log.info("recovery.returned", node=node, statements=reading.statements)

    async def _read_on(self, node: NodeId, reading: _Reading, since: Instant) -> None:
        """Take some more pages of what a peer returns."""
        for _ in range(PAGES_PER_TURN):
            if not reading.left:
                return
            authority, cursor = AuthorityCode(reading.left[0]), reading.cursor
            page = await self._page(node, authority, since=since, cursor=cursor)
            reading.statements += await self._keep(authority, node, page, reading.unknown)
            reading.pages += 1
            reading.cursor = page.next_cursor
            if not reading.cursor:
                reading.left.pop(0)
            elif reading.cursor <= cursor or reading.pages >= PAGES_MAX:
                raise StatementMalformed(
                    check=4,
                    got=f"page {reading.pages} leads nowhere",
                    expected="an end of what it has",
                )

    async def _note(self, node: NodeId, **changes: Any) -> None:
        """Note how far a peer is; a person may have waived it meanwhile."""
        async with self._database.unit() as uow:
            peer = await uow.get(store.PEERS, node)
            if peer is not None:
                uow.put(store.PEERS, replace(peer, **changes))

    async def _page(
        self, node: NodeId, authority: AuthorityCode, *, since: Instant, cursor: bytes
    ) -> peer_pb.ReturnStatementsResponse:
        request = peer_pb.ReturnStatementsRequest(
            authority=authority,
            incarnation=self.recovery.incarnation,
            since_time=instant_to_pb(since),
            cursor=cursor,
        )
        return await self._transport.return_statements(node, request)

    async def _keep(
        self,
        authority: AuthorityCode,
        node: NodeId,
        page: peer_pb.ReturnStatementsResponse,
        unknown: set[str],
    ) -> int:
        """Keep what is genuine of a page and not in the backup; return how much that was."""
        kept = 0
        blocks = {item.statement_digest.value: item.block for item in page.blocks}
        async with self._database.unit() as uow:
            for message in page.statements:
                statements: dict[bytes, Statement] = {}

                def accepts(
                    signed: SignedBytes, statements: dict[bytes, Statement] = statements
                ) -> bool:
                    found = self._genuine(signed, authority, node, unknown, is_first=not statements)
                    if found is not None:
                        statements[digest(signed.statement)] = found
                    return found is not None

                try:
                    first = signed_from_pb(message)
                except LubiaoError as error:
                    _log.warning("recovery.not_readable", node=node, reason=error.reason)
                    continue
                for signed in spread(first, accepts=accepts):
                    kept += await self._keep_one(
                        uow,
                        authority,
                        node,
                        signed,
                        statement=statements[digest(signed.statement)],
                        blocks=blocks,
                    )
            if page.HasField("head"):
                await self._adopt_head(uow, authority, page.head)
        return kept

    def _genuine(
        self,
        signed: SignedBytes,
        authority: AuthorityCode,
        node: NodeId,
        unknown: set[str],
        *,
        is_first: bool,
    ) -> Statement | None:
        """Return a statement that holds; what is not attached must be ours or said to us."""
        try:
            statement = verified(signed, self._roster(), self._keys)
        except LubiaoError as error:
            _log.warning("recovery.not_genuine", node=node, reason=error.reason)
            if isinstance(error, KeyUnknown):
                unknown.add(signed.key_id)
            return None
        if is_first and authority not in (statement.issuer, *statement.audience):
            _log.warning("recovery.not_ours", node=node, kind=statement.kind)
            return None
        return statement

    async def _keep_one(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        node: NodeId,
        signed: SignedBytes,
        *,
        statement: Statement,
        blocks: Mapping[bytes, type_pb.Block],
    ) -> int:
        found = digest(signed.statement)
        # Only who said it has its content: another could keep the true one away with a false one.
        is_its_own = self._roster().is_hosted_by(statement.issuer, node)
        block = blocks.get(found) if is_its_own else None
        beside = block.SerializeToString(deterministic=True) if block is not None else b""
        in_backup = await uow.get(STATEMENTS, authority, found)
        returned = await uow.get(store.RECOVERED, authority, found)
        if in_backup is not None:
            return 0
        if returned is not None:
            if beside and not returned.block:  # it came attached before, without its content
                uow.put(store.RECOVERED, replace(returned, block=beside))
            return 0
        row = store.RecoveredRow(
            authority=authority,
            digest=found,
            statement=signed.statement,
            key_id=signed.key_id,
            signature=signed.signature,
            kind=statement.kind,
            issuer=statement.issuer,
            ticket=statement.ticket,
            source=node,
            attempts=0,
            block=beside,
        )
        uow.put(store.RECOVERED, row)
        return 1

    async def _adopt_head(
        self, uow: UnitOfWork, authority: AuthorityCode, head: peer_pb.LedgerEntry
    ) -> None:
        """Go on after the newest entry that anybody knows: another with its number is a fork."""
        try:
            entry = heads.entry_from_pb(head)
            heads.verify_entry(entry, authority=authority, roster=self._roster())
        except LubiaoError as error:
            _log.warning("recovery.head_not_genuine", authority=authority, reason=error.reason)
            return
        [*last] = await uow.select(LAST_ENTRY, authority=authority)
        newest = last[0].sequence if last else 0
        if not newest < entry.sequence <= newest + ENTRIES_AHEAD_MAX:
            return
        row = LedgerEntryRow(
            authority=authority,
            sequence=entry.sequence,
            previous_digest=entry.previous,
            root=entry.root,
            row_count=entry.rows,
            up_to_txid=last[0].up_to_txid if last else 0,
            entry_digest=entry.digest,
            key_id=entry.key_id,
            signature=entry.signature,
            recorded=entry.at,
        )
        uow.put(LEDGER_ENTRIES, row)

    def _peers(self) -> list[NodeId]:
        roles = {NodeRole.CUSTODIAN, NodeRole.ARBITER}
        nodes = self._roster().nodes.values()
        return [node.id for node in nodes if node.id != self.recovery.node and node.roles & roles]

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
