"""Asking the peers of a restored node for what they hold of it (docs/custody.md#recovery).

A peer hears the new incarnation with the first call, and is read page by page a quiet time later.
What is genuine and not in the backup is kept (`recovered`); nothing is applied here. Each answer
says the peer's own incarnation: that the peer was restored as well may have been forgotten here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from gateway.custody import heads
from gateway.custody import recovery_store as store
from gateway.custody.incarnation import Recovery
from gateway.custody.ports import ReturnTransport
from gateway.custody.returned import spread, verified
from gateway.custody.store import LAST_ENTRY, LEDGER_ENTRIES, STATEMENTS, LedgerEntryRow
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery import incarnations
from gateway.delivery.codec import instant_to_pb, signed_from_pb
from gateway.delivery.model import SignedBytes, Statement
from gateway.kernel.errors import KeyUnknown, LubiaoError, StatementMalformed
from gateway.kernel.ids import AuthorityCode, NodeId
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import replace
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import NodeRole, Roster
from gateway.trust.statements import digest
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.type.v1 import statement_pb2 as type_pb

QUIET = timedelta(seconds=20)  # longer than a delivery may take: nothing of the old life is left
PAGES_PER_TURN = 50  # then the next peer is asked
PAGES_MAX = 100_000  # of one peer: ten million statements
ENTRIES_AHEAD_MAX = 10_000_000  # three years of entries; a stolen key could use up all numbers
UNKNOWN_SHOWN = 5

_log = structlog.get_logger()


@dataclass(slots=True)
class _Reading:
    """How far a peer was read; after a restart it is read from the beginning."""

    left: list[str]  # our authorities that were not asked for to the end
    cursor: bytes = b""
    pages: int = 0
    statements: int = 0
    unknown: set[str] = field(default_factory=set)


class Collector:
    """Asks every peer, in turns, until each has returned everything or was waived by a person."""

    def __init__(
        self,
        *,
        recovery: Recovery,
        database: Database,
        transport: ReturnTransport,
        roster: Callable[[], Roster],
        keys: KeyRing,
        machine_clock: Clock,
    ) -> None:
        """Make it for the authorities whose keys are in `keys`."""
        self.recovery = recovery
        self._database = database
        self._transport = transport
        self._roster = roster
        self._keys = keys
        self._machine = machine_clock
        self._reading: dict[NodeId, _Reading] = {}

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
        """Keep what is genuine of a page and not in the backup; return how much that was.

        Raises:
            IncarnationStale: an earlier life of the peer answers.
        """
        kept = 0
        blocks = {item.statement_digest.value: item.block for item in page.blocks}
        async with self._database.unit() as uow:
            if page.incarnation:  # an earlier version does not say
                await incarnations.note(uow, node, page.incarnation)
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
                    found = statements[digest(signed.statement)]
                    # What a neighbour on this node said may come back attached to ours alone.
                    owners = {authority, *({found.issuer} & set(self._keys.codes()))}
                    for owner in sorted(owners):
                        kept += await self._keep_one(
                            uow, owner, node, signed, statement=found, blocks=blocks
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


def _nobody_else(node: NodeId, now: Instant) -> store.RecoveryPeerRow:
    """Return the row of a node without peers: its own, complete."""
    return store.RecoveryPeerRow(
        node=node, announced=now, complete=True, statements=0, waived_by=""
    )
