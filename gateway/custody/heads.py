"""Heads of the ledgers of others: a history that was rewritten is noticed (docs/custody.md#heads).

Once a day each node asks every other authority's node for the entries of its ledger, from the one
it knows on, and keeps the newest. An entry is signed by its authority and names the digest of the
one before, so the answer is the proof: it must begin with the known entry, and each further one
must link to the one before. Whatever does not is kept, both sides of it, and shown to people. Two
entries with one number are proof against the signer; the rest is a reason to ask.

There is no statement for this: the entry is signed already, asking again is free, and what is not
answered today is asked for until it is. Statements do not carry heads either: each names the head
of its own ticket's ledger, and an entry covers that row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum
from itertools import pairwise
from typing import Protocol

import structlog

from gateway.custody import ledger
from gateway.custody import recovery_store as store
from gateway.custody.sealer import LEDGER_PAYLOAD_TYPE
from gateway.custody.store import LedgerEntryRow
from gateway.database.uow import Database
from gateway.delivery import incarnations
from gateway.delivery.codec import digest_to_pb, instant_from_pb, instant_to_pb
from gateway.kernel.errors import KeyUnknown, LubiaoError, PeerUnreachable, StatementMalformed
from gateway.kernel.ids import AuthorityCode, NodeId
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import dataclass
from gateway.trust.roster import Roster
from gateway.trust.statements import verify
from hotline.peer.v1 import peer_service_pb2 as peer_pb

HEADS_INTERVAL = timedelta(days=1)
HEADS_POLL = timedelta(seconds=60)  # how often it is looked whether somebody's day is over
PAGES_MAX = 200  # 100,000 entries at once; the rest the next time
ENTRIES_PER_PAGE = 500

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an authority's ledger as it travels."""

    authority: AuthorityCode
    sequence: int
    previous: bytes
    root: bytes
    rows: int
    at: Instant
    key_id: str
    signature: bytes

    @property
    def digest(self) -> bytes:
        """The digest that is signed and that the next entry names."""
        return ledger.entry_digest(
            sequence=self.sequence,
            previous=self.previous,
            root=self.root,
            rows=self.rows,
            at=self.at,
        )


class FindingKind(Enum):
    """What is wrong with a head."""

    FORKED = "forked"  # two signed entries with one number: proof against the signer
    SHORTENED = "shortened"  # the ledger ends before the entry that is known
    UNLINKED = "unlinked"  # entries are missing, or one does not name the one before
    RESTORED = "restored"  # the same, but the node announced a new incarnation


@dataclass(frozen=True, slots=True)
class Finding:
    """A head that does not extend the one known before."""

    kind: FindingKind
    known: Entry
    shown: Entry | None
    detail: str


class HeadTransport(Protocol):
    """Asks a node for the heads of an authority."""

    async def exchange_heads(
        self, node: NodeId, request: peer_pb.ExchangeHeadsRequest
    ) -> peer_pb.ExchangeHeadsResponse:
        """Call ExchangeHeads.

        Raises:
            PeerUnreachable: nobody answered.
        """
        ...


def judge(known: Entry | None, shown: Sequence[Entry], *, has_new_life: bool) -> Finding | None:
    """Hold what a node shows against the entry that is known; None when it extends it."""
    if known is None:
        return None
    if not shown or shown[-1].sequence < known.sequence:
        last = shown[-1] if shown else None
        got = f"ends with {last.sequence if last else 0}, {known.sequence} is known"
        return Finding(_excused(FindingKind.SHORTENED, has_new_life), known, last, got)
    first = shown[0]
    if first.sequence == known.sequence and first.digest != known.digest:
        return Finding(FindingKind.FORKED, known, first, f"two entries {known.sequence}")
    if first.sequence != known.sequence:
        got = f"{known.sequence} is missing"
        return Finding(_excused(FindingKind.UNLINKED, has_new_life), known, first, got)
    for before, after in pairwise(shown):
        if after.sequence != before.sequence + 1 or after.previous != before.digest:
            got = f"{after.sequence} does not follow {before.sequence}"
            return Finding(_excused(FindingKind.UNLINKED, has_new_life), before, after, got)
    return None


def _excused(kind: FindingKind, has_new_life: bool) -> FindingKind:
    return FindingKind.RESTORED if has_new_life else kind


# --- the entry on the wire --------------------------------------------------------------------


def entry_of(row: LedgerEntryRow) -> Entry:
    """Return a sealed row as it travels."""
    return Entry(
        authority=AuthorityCode(row.authority),
        sequence=row.sequence,
        previous=row.previous_digest,
        root=row.root,
        rows=row.row_count,
        at=row.recorded,
        key_id=row.key_id,
        signature=row.signature,
    )


def entry_to_pb(entry: Entry) -> peer_pb.LedgerEntry:
    """Return the message of an entry."""
    return peer_pb.LedgerEntry(
        authority=entry.authority,
        sequence=entry.sequence,
        previous_digest=digest_to_pb(entry.previous),
        root=digest_to_pb(entry.root),
        row_count=entry.rows,
        entry_time=instant_to_pb(entry.at),
        key_id=entry.key_id,
        signature=entry.signature,
    )


def entry_from_pb(message: peer_pb.LedgerEntry) -> Entry:
    """Return the value of a message; `verify_entry` says whether it is genuine."""
    return Entry(
        authority=AuthorityCode(message.authority),
        sequence=message.sequence,
        previous=message.previous_digest.value,
        root=message.root.value,
        rows=message.row_count,
        at=instant_from_pb(message.entry_time),
        key_id=message.key_id,
        signature=message.signature,
    )


def verify_entry(entry: Entry, *, authority: AuthorityCode, roster: Roster) -> None:
    """Return if the authority signed this entry; its key may have been revoked since.

    Raises:
        StatementMalformed: it is another authority's.
        KeyUnknown, SignatureInvalid: its signature does not verify.
    """
    if entry.authority != authority:
        raise StatementMalformed(check=5, got=entry.authority, expected=authority)
    key = roster.statement_key(authority, entry.key_id)
    if key is None:
        raise KeyUnknown(key_id=entry.key_id, signer=authority, kind="ledger")
    verify(
        key,
        entry.digest,
        entry.signature,
        payload_type=LEDGER_PAYLOAD_TYPE,
        signer=authority,
    )


# --- asking -----------------------------------------------------------------------------------


class HeadKeeper:
    """Asks for the heads of all other authorities, day by day, and keeps what is wrong."""

    def __init__(
        self,
        *,
        node: NodeId,
        database: Database,
        transport: HeadTransport,
        roster: Callable[[], Roster],
        clock: Clock,
    ) -> None:
        """Make the keeper of one node; `clock` is machine time."""
        self._node = node
        self._database = database
        self._transport = transport
        self._roster = roster
        self._clock = clock
        # Told how many findings are kept, after each look.
        self.counted: Callable[[int], None] = lambda _findings: None

    async def run(self) -> None:
        """Ask for ever; cancel to stop."""
        while True:
            try:
                await self.ask_due()
            except LubiaoError as error:
                _log.warning("heads.failed", reason=error.reason)
            await asyncio.sleep(HEADS_POLL.total_seconds())

    async def ask_due(self) -> list[Finding]:
        """Ask for every head whose day is over, and return what is wrong with them."""
        async with self._database.unit() as uow:
            known = {row.authority: row for row in await uow.select(store.HEADS)}
        found: list[Finding] = []
        silent: set[NodeId] = set()
        due = self._clock.now() - HEADS_INTERVAL
        for code, node in self._others():
            row = known.get(code)
            if node in silent or (row is not None and row.checked > due):
                continue
            try:
                finding = await self.ask(code, node)
            except LubiaoError as error:
                _log.warning("heads.unanswered", authority=code, node=node, reason=error.reason)
                if isinstance(error, PeerUnreachable):
                    silent.add(node)
                continue
            if finding is not None:
                found.append(finding)
        async with self._database.unit() as uow:
            self.counted(len(await uow.select(store.HEAD_FINDINGS)))
        return found

    async def ask(self, authority: AuthorityCode, node: NodeId) -> Finding | None:
        """Ask a node for an authority's entries, keep the newest, return what is wrong.

        Raises:
            PeerUnreachable: it does not answer.
            RemoteProtocolError: what it shows is not signed by the authority.
        """
        async with self._database.unit() as uow:
            row = await uow.get(store.PEER_HEADS, authority)
        known = entry_from_pb(peer_pb.LedgerEntry.FromString(row.entry)) if row else None
        last, finding, life = known, None, row.incarnation if row else 0
        for _ in range(PAGES_MAX):
            request = peer_pb.ExchangeHeadsRequest(authority=authority)
            if last is not None:
                request.known.CopyFrom(entry_to_pb(last))
            answer = await self._transport.exchange_heads(node, request)
            if len(answer.entries) > ENTRIES_PER_PAGE:  # each costs a signature: before any
                raise StatementMalformed(
                    check=1, got=f"{len(answer.entries)} entries", expected=f"{ENTRIES_PER_PAGE}"
                )
            shown = [entry_from_pb(entry) for entry in answer.entries]
            for entry in shown:
                verify_entry(entry, authority=authority, roster=self._roster())
            has_new_life = bool(row) and answer.incarnation > life
            finding = judge(last, shown, has_new_life=has_new_life)
            has_more = answer.more and bool(shown) and (last is None or shown[-1] != last)
            last, incarnation = (shown[-1] if shown else last), answer.incarnation
            if finding is not None or not has_more:
                break
        await self._keep(authority, node, last, finding, incarnation=incarnation)
        return finding

    async def _keep(
        self,
        authority: AuthorityCode,
        node: NodeId,
        last: Entry | None,
        finding: Finding | None,
        *,
        incarnation: int,
    ) -> None:
        now = self._clock.now()
        async with self._database.unit() as uow:
            if incarnation:  # an earlier version does not say
                await incarnations.note(uow, node, incarnation)
            if finding is not None:
                uow.put(store.FINDINGS, _finding_row(authority, finding, now))
                _log.error(
                    "heads.do_not_extend",
                    authority=authority,
                    node=node,
                    kind=finding.kind.value,
                    detail=finding.detail,
                )
            if last is None:
                return
            # One that ends earlier stays known by the entry that it denies, unless it said why.
            keeps_old = finding is not None and finding.kind is not FindingKind.RESTORED
            entry = finding.known if finding is not None and keeps_old else last
            head = store.PeerHeadRow(
                authority=authority,
                node=node,
                incarnation=incarnation,
                sequence=entry.sequence,
                entry_digest=entry.digest,
                entry=entry_to_pb(entry).SerializeToString(deterministic=True),
                checked=now,
            )
            uow.put(store.PEER_HEADS, head)

    def _others(self) -> list[tuple[AuthorityCode, NodeId]]:
        """Return the authorities that live elsewhere; the nation's ledger is its arbiter's."""
        roster = self._roster()
        places = ((code, roster.node_for(code, "Ruling")) for code in sorted(roster.authorities))
        return [(code, at.id) for code, at in places if at is not None and at.id != self._node]


def _finding_row(authority: AuthorityCode, finding: Finding, now: Instant) -> store.HeadFindingRow:
    shown = finding.shown
    return store.HeadFindingRow(
        authority=authority,
        kind=finding.kind.value,
        sequence=finding.known.sequence,
        shown_digest=shown.digest if shown else b"",
        known=entry_to_pb(finding.known).SerializeToString(deterministic=True),
        shown=entry_to_pb(shown).SerializeToString(deterministic=True) if shown else b"",
        detail=finding.detail,
        found=now,
    )
