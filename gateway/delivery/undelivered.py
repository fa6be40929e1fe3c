"""The list for people: what cannot be delivered, and what a peer did that it may not.

Nothing here is ever removed, and nothing on it stops custody: an item says that a person must look.
It ends by itself when its cause is gone (RESOLVED), or by a person who gives a reason. Kinds:

    overdue      the queue of a peer is older than the alarm; one item a peer, however long it is
    stuck        one envelope grows old although its peer answers; it stays in the outbox
    refused      the peer refused for ever; its signed receipt is in `refusals_received`
    set_aside    the envelope made every batch fail; it left the outbox and waits here
    quarantined  a statement of a peer on which our own handler failed again and again
    evidence     a signed statement that breaks the protocol; the bytes are in `evidence`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.delivery.model import Item, ItemState
from gateway.delivery.store import OUTBOX, EvidenceRow, OutboxRow
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace

_SQL = load_queries(Path(__file__).with_name("queries.sql"))
_PENDING = (ItemState.OPEN.value, ItemState.ACKNOWLEDGED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeliveredRow:
    """One item; `envelope` is kept only when it is nowhere else."""

    item: str
    kind: str
    state: str = ItemState.OPEN.value
    node: str
    source: str = ""
    target: str = ""
    ticket: str = ""
    statement_kind: str = ""
    statement_digest: bytes = b""
    reason: str
    waiting: int = 1
    since: Instant
    position: int = 0
    sequence: int = 0
    envelope: bytes = b""
    created: Instant
    changed: Instant
    actor: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class PendingRow:
    """How many items of a kind wait for a person, and of which peer."""

    kind: str
    node: str
    items: int


UNDELIVERED = Table("undelivered", UndeliveredRow, key=("item",))


def item_name(kind: Item, target: str, digest: bytes) -> str:
    """Return the name of the item about one statement for one target."""
    return f"{kind.value.replace('_', '-')}-{target}-{digest.hex()[:32]}"


def item_of_row(kind: Item, row: OutboxRow, *, reason: str, now: Instant) -> UndeliveredRow:
    """Return the item about a row of the outbox; the caller decides what becomes of the row."""
    return UndeliveredRow(
        item=item_name(kind, row.target, row.statement_digest),
        kind=kind.value,
        node=row.node,
        source=row.source,
        target=row.target,
        ticket=row.ticket,
        statement_kind=row.kind,
        statement_digest=row.statement_digest,
        reason=reason,
        since=row.created,
        position=row.position,
        sequence=row.sequence,
        envelope=row.envelope if kind is not Item.STUCK else b"",
        created=now,
        changed=now,
    )


def item_of_evidence(row: EvidenceRow, *, node: str) -> UndeliveredRow:
    """Return the item about what a peer did that it may not."""
    return UndeliveredRow(
        item=item_name(Item.EVIDENCE, row.target, row.statement_digest),
        kind=Item.EVIDENCE.value,
        node=node,
        source=row.source,
        target=row.target,
        ticket=row.ticket,
        statement_kind=row.kind,
        statement_digest=row.statement_digest,
        reason=row.reason,
        since=row.recorded,
        created=row.recorded,
        changed=row.recorded,
    )


def resolved(row: UndeliveredRow, *, now: Instant) -> UndeliveredRow:
    """Return an item whose cause is gone."""
    return replace(row, state=ItemState.RESOLVED.value, changed=now)


def _listed(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[UndeliveredRow]:
    found = [
        row
        for row in rows(UNDELIVERED)
        if (row.created, row.item) > (given["after_time"], given["after_item"])
        and (given["everything"] or row.state in _PENDING)
        and given["node"] in ("", row.node)
    ]
    return sorted(found, key=lambda row: (row.created, row.item))[: given["limit"]]


def _pending(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[PendingRow]:
    found: dict[tuple[str, str], int] = {}
    for row in rows(UNDELIVERED):
        if row.state in _PENDING:
            found[row.kind, row.node] = found.get((row.kind, row.node), 0) + 1
    return [PendingRow(*key, items) for key, items in sorted(found.items())][: given["limit"]]


def _of_kind(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[UndeliveredRow]:
    found = [
        row for row in rows(UNDELIVERED) if row.state in _PENDING and row.kind == given["kind"]
    ]
    return sorted(found, key=lambda row: row.item)[: given["limit"]]


def _delivered(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[UndeliveredRow]:
    there = {row.position for row in rows(OUTBOX)}
    found = [
        row
        for row in rows(UNDELIVERED)
        if row.kind == Item.STUCK.value and row.state in _PENDING and row.position not in there
    ]
    return sorted(found, key=lambda row: row.item)[: given["limit"]]


UNDELIVERED_LISTED = Query(
    "undelivered_listed", UndeliveredRow, _SQL["undelivered_listed"], _listed
)
UNDELIVERED_PENDING = Query(
    "undelivered_pending", PendingRow, _SQL["undelivered_pending"], _pending
)
UNDELIVERED_OF_KIND = Query(
    "undelivered_of_kind", UndeliveredRow, _SQL["undelivered_of_kind"], _of_kind
)
STUCK_NO_MORE = Query("stuck_no_more", UndeliveredRow, _SQL["stuck_no_more"], _delivered)
