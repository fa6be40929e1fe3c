"""Tables and queries of heads and recovery (`heads.py`, `incarnation.py`, `recovery.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.custody.store import LEDGER_ENTRIES, STATEMENTS, LedgerEntryRow, StatementRow
from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass

_SQL = load_queries(Path(__file__).with_name("recovery_queries.sql"))


@dataclass(frozen=True, slots=True)
class NodeStateRow:
    """This node's life: its incarnation and what it may do."""

    node: str
    incarnation: int
    mode: str
    since: Instant
    changed: Instant
    confirmed_by: str


@dataclass(frozen=True, slots=True)
class PeerHeadRow:
    """The newest entry known of an authority's ledger."""

    authority: str
    node: str
    incarnation: int
    sequence: int
    entry_digest: bytes
    entry: bytes
    checked: Instant


@dataclass(frozen=True, slots=True)
class HeadFindingRow:
    """A head that does not extend the one known before: both, for ever."""

    authority: str
    kind: str
    sequence: int
    shown_digest: bytes
    known: bytes
    shown: bytes
    detail: str
    found: Instant


@dataclass(frozen=True, slots=True)
class RecoveryPeerRow:
    """Whether a peer has returned what it holds of this node."""

    node: str
    announced: Instant | None
    complete: bool
    statements: int
    waived_by: str


@dataclass(frozen=True, slots=True)
class RecoveredRow:
    """A verified statement that a peer returned and that is not applied yet."""

    authority: str
    digest: bytes
    statement: bytes
    key_id: str
    signature: bytes
    kind: str
    issuer: str
    ticket: str
    source: str
    attempts: int
    block: bytes


@dataclass(frozen=True, slots=True)
class RecoveryItemRow:
    """What recovery could not decide: for a person."""

    authority: str
    ticket: str
    scope: str
    number: int
    what: str
    detail: str
    found: Instant


@dataclass(frozen=True, slots=True)
class TicketRow:
    """A ticket about which statements were returned."""

    ticket: str


NODE_STATE = Table("node_state", NodeStateRow, key=("node",))
PEER_HEADS = Table("peer_heads", PeerHeadRow, key=("authority",))
FINDINGS = Table(
    "head_findings", HeadFindingRow, key=("authority", "kind", "sequence", "shown_digest")
)
PEERS = Table("recovery_peers", RecoveryPeerRow, key=("node",))
RECOVERED = Table("recovered", RecoveredRow, key=("authority", "digest"))
ITEMS = Table(
    "recovery_items", RecoveryItemRow, key=("authority", "ticket", "scope", "number", "what")
)


# --- twins of the queries ---------------------------------------------------------------------


def _heads(rows: RowsOf, _given: Mapping[str, Any]) -> Iterable[PeerHeadRow]:
    return sorted(rows(PEER_HEADS), key=lambda row: row.authority)


def _findings(rows: RowsOf, _given: Mapping[str, Any]) -> Iterable[HeadFindingRow]:
    return sorted(
        rows(FINDINGS),
        key=lambda row: (row.found, row.authority, row.kind, row.sequence, row.shown_digest),
    )


def _entries(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[LedgerEntryRow]:
    found = (
        row
        for row in rows(LEDGER_ENTRIES)
        if row.authority == given["authority"] and row.sequence >= given["sequence"]
    )
    return sorted(found, key=lambda row: row.sequence)[: given["limit"]]


def _peers(rows: RowsOf, _given: Mapping[str, Any]) -> Iterable[RecoveryPeerRow]:
    return sorted(rows(PEERS), key=lambda row: row.node)


def _items(rows: RowsOf, _given: Mapping[str, Any]) -> Iterable[RecoveryItemRow]:
    return sorted(
        rows(ITEMS),
        key=lambda row: (row.found, row.authority, row.ticket, row.scope, row.number, row.what),
    )


def _since(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[StatementRow]:
    found = (
        row
        for row in rows(STATEMENTS)
        if row.authority == given["authority"]
        and row.recorded >= given["since"]
        and row.digest > given["after"]
    )
    return sorted(found, key=lambda row: row.digest)[: given["limit"]]


def _tickets(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[TicketRow]:
    found = {row.ticket for row in rows(RECOVERED) if row.ticket > given["after"]}
    return [TicketRow(ticket) for ticket in sorted(found)[: given["limit"]]]


def _of_ticket(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[RecoveredRow]:
    found = (row for row in rows(RECOVERED) if row.ticket == given["ticket"])
    return sorted(found, key=lambda row: (row.authority, row.digest))


HEADS = Query("peer_heads", PeerHeadRow, _SQL["peer_heads"], _heads)
HEAD_FINDINGS = Query("head_findings", HeadFindingRow, _SQL["head_findings"], _findings)
ENTRIES_FROM = Query("entries_from", LedgerEntryRow, _SQL["entries_from"], _entries)
RECOVERY_PEERS = Query("recovery_peers", RecoveryPeerRow, _SQL["recovery_peers"], _peers)
RECOVERY_ITEMS = Query("recovery_items", RecoveryItemRow, _SQL["recovery_items"], _items)
STATEMENTS_SINCE = Query("statements_since", StatementRow, _SQL["statements_since"], _since)
RECOVERED_TICKETS = Query("recovered_tickets", TicketRow, _SQL["recovered_tickets"], _tickets)
RECOVERED_OF_TICKET = Query(
    "recovered_of_ticket", RecoveredRow, _SQL["recovered_of_ticket"], _of_ticket
)
