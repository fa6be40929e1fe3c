"""What a peer may ask of signed history: entries of a ledger, statements of a restored node.

The serving side of `heads.py` and `recovery.py`; the port `PeerBooks` of delivery. Both answers are
bounded pages. A peer that shows an entry of ours that is not on our disk, signed by our own key,
proves that this node was restored from an older backup without knowing it (`forgotten`).
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gateway.custody import heads
from gateway.custody import recovery_store as store
from gateway.custody.incarnation import Recovery
from gateway.custody.openings import KEPT_KINDS, Openings
from gateway.custody.store import LAST_ENTRY, LEDGER_ENTRIES, StatementRow
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery import incarnations
from gateway.delivery.codec import (
    block_to_pb,
    digest_to_pb,
    instant_from_pb,
    statement_from_bytes,
)
from gateway.delivery.model import SealedBlock
from gateway.kernel.errors import LubiaoError, PeerNotAllowed, ResourceNotFound
from gateway.kernel.ids import NATION, AuthorityCode, Epoch, NodeId, TicketNumber
from gateway.kernel.time import Clock
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster
from gateway.trust.sealing import SealingContext, seal_block
from hotline.peer.v1 import peer_service_pb2 as peer_pb

STATEMENTS_PER_PAGE = 100
PAGE_BYTES_MAX = 3_000_000  # below the 4 MiB of a gRPC message
SCANNED_PER_PAGE = 1_000

_log = structlog.get_logger()


class Books:
    """Answers peers about the ledgers and statements of this node."""

    def __init__(
        self,
        *,
        database: Database,
        roster: Callable[[], Roster],
        keys: KeyRing,
        recovery: Recovery,
        clock: Clock,
        openings: Openings | None = None,
    ) -> None:
        """Make it for the authorities whose keys are in `keys`; without `openings` no content."""
        self._clock = clock
        self.openings = openings
        self._database = database
        self._roster = roster
        self._keys = keys
        self._recovery = recovery
        # Called when a peer proves that this node forgot what it sealed.
        self.forgotten: Callable[[AuthorityCode], None] = lambda _authority: None

    async def exchange_heads(
        self, request: peer_pb.ExchangeHeadsRequest
    ) -> peer_pb.ExchangeHeadsResponse:
        """Return the entries of a hosted authority's ledger from the known one on.

        Raises:
            ResourceNotFound: the authority does not live here.
            NodeRecovering: this node does not know its own ledger yet.
        """
        authority = AuthorityCode(request.authority)
        if authority not in self._keys.codes():
            raise ResourceNotFound(kind="authority", name=f"authorities/{authority}")
        # Whoever saw the ledger of the backup would forget the newer head that we must learn from
        # it, and our next entries would have numbers that were used before.
        self._recovery.refuse_if_recovering(authority)
        known = heads.entry_from_pb(request.known) if request.HasField("known") else None
        async with self._database.unit() as uow:
            last = await uow.select(LAST_ENTRY, authority=authority)
            start = known.sequence if known else (last[0].sequence if last else 1)
            rows = await uow.select(
                store.ENTRIES_FROM,
                authority=authority,
                sequence=start,
                limit=heads.ENTRIES_PER_PAGE,
            )
            here = None
            if known is not None:
                here = await uow.get(LEDGER_ENTRIES, authority, known.sequence)
        if known is not None and (here is None or here.entry_digest != known.digest):
            self._was_forgotten(authority, known, newest=last[0].sequence if last else 0)
        shown = rows or last
        response = peer_pb.ExchangeHeadsResponse(
            entries=[heads.entry_to_pb(heads.entry_of(row)) for row in shown],
            incarnation=self._recovery.incarnation,
        )
        response.more = bool(rows) and rows[-1].sequence < last[0].sequence
        return response

    def _was_forgotten(self, authority: AuthorityCode, known: heads.Entry, *, newest: int) -> None:
        """Judge an entry that a peer knows of us and we do not: only our own key is proof.

        A revoked one is none: whoever stole it could stop this node as often as he likes.
        """
        key = self._roster().key_entry(authority, known.key_id)
        if key is None or key.revoked_at is not None:
            return
        try:
            heads.verify_entry(known, authority=authority, roster=self._roster())
        except LubiaoError:
            return
        if known.sequence < newest and self._recovery.was_restored:
            return  # sealed by an earlier life, which is known to be over
        _log.critical("heads.we_forgot", authority=authority, sequence=known.sequence)
        self.forgotten(authority)

    async def return_statements(
        self, request: peer_pb.ReturnStatementsRequest, *, peer: NodeId
    ) -> peer_pb.ReturnStatementsResponse:
        """Return a page of what is held of an authority of the calling node.

        Raises:
            PeerNotAllowed: the authority does not live on the calling node.
            IncarnationStale: a greater incarnation of the calling node is known.
        """
        authority = AuthorityCode(request.authority)
        at = self._roster().node_for(authority, "Ruling")  # the nation's: its arbiter, not its hub
        if at is None or at.id != peer:
            raise PeerNotAllowed(
                principal=f"node/{peer}",
                got=f"statements of {authority}",
                expected="an authority that the roster places on that node",
            )
        async with self._database.unit() as uow:
            await incarnations.note(uow, peer, request.incarnation)
        return await self._page(authority, request)

    async def _add_block(
        self,
        uow: UnitOfWork,
        response: peer_pb.ReturnStatementsResponse,
        row: StatementRow,
        authority: AuthorityCode,
    ) -> int:
        """Add the content that was sent beside a statement, sealed anew; return its size."""
        if self.openings is None or not _content_of(row, authority):
            return 0
        kept = await self.openings.opened(
            uow, AuthorityCode(row.authority), TicketNumber(row.ticket)
        )
        for opened in kept:
            if opened.statement != row.digest:
                continue
            context = SealingContext(
                ticket=row.ticket,
                scope=row.scope,
                chain=row.number,
                epoch=Epoch.from_key(row.epoch),
                source=row.issuer,
                target=authority,
                kind=opened.kind,
            )
            recipient = self._roster().current_sealing_key(authority, now=self._clock.now())
            sealed = seal_block(
                block=opened.block, salt=opened.salt, recipient=recipient, context=context
            )
            block = SealedBlock(opened.kind, sealed.ciphertext, sealed.suite, sealed.key_id)
            response.blocks.add(statement_digest=digest_to_pb(row.digest), block=block_to_pb(block))
            return len(sealed.ciphertext)
        return 0

    async def _page(
        self, authority: AuthorityCode, request: peer_pb.ReturnStatementsRequest
    ) -> peer_pb.ReturnStatementsResponse:
        """Fill one page; the cursor is the holder's place and the digest after which to go on."""
        response = peer_pb.ReturnStatementsResponse(incarnation=self._recovery.incarnation)
        size = 0
        holders = sorted(self._keys.codes())
        after_holder, after = request.cursor[:6].decode("ascii", "replace"), request.cursor[6:]
        async with self._database.unit() as uow:
            head = await uow.get(store.PEER_HEADS, authority)
            if head is not None:
                response.head.ParseFromString(head.entry)
            for holder in (code for code in holders if code >= after_holder):
                rows = await uow.select(
                    store.STATEMENTS_SINCE,
                    authority=holder,
                    since=instant_from_pb(request.since_time),
                    after=after if holder == after_holder else b"",
                    limit=SCANNED_PER_PAGE,
                )
                for row in rows:
                    if not _concerns(row, authority):
                        continue
                    size += len(row.statement)
                    if len(response.statements) == STATEMENTS_PER_PAGE or size > PAGE_BYTES_MAX:
                        return response
                    _add(response, row)
                    size += await self._add_block(uow, response, row, authority)
                    response.next_cursor = holder.encode("ascii") + row.digest
                if len(rows) == SCANNED_PER_PAGE:
                    response.next_cursor = holder.encode("ascii") + rows[-1].digest
                    return response
        response.next_cursor = b""
        return response


def _content_of(row: StatementRow, authority: AuthorityCode) -> bool:
    """Tell whether an authority was sent the content beside a statement; an arbiter never is."""
    if row.issuer != row.authority or row.kind not in KEPT_KINDS or authority == NATION:
        return False
    return statement_from_bytes(row.statement).audience[:1] == (authority,)


def _concerns(row: StatementRow, authority: AuthorityCode) -> bool:
    """Tell whether a statement is by an authority, or was made here for it."""
    if row.issuer == authority:
        return True
    return row.issuer == row.authority and (
        authority in statement_from_bytes(row.statement).audience
    )


def _add(response: peer_pb.ReturnStatementsResponse, row: StatementRow) -> None:
    added = response.statements.add(statement=row.statement)
    added.signature.key_id = row.key_id
    added.signature.direct = row.signature
