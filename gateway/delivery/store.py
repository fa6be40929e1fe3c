"""Tables and queries of delivery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.kernel.time import Instant

_SQL = load_queries(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An envelope that waits for the receipt of its target; removed by it."""

    position: int
    node: str
    source: str
    target: str
    ticket: str
    kind: str
    statement_digest: bytes
    envelope: bytes
    sequence: int
    created: Instant
    not_before: Instant


@dataclass(frozen=True, slots=True)
class SequenceRow:
    """The newest sequence given from a source to a target."""

    source: str
    target: str
    sequence: int


@dataclass(frozen=True, slots=True)
class InboxRow:
    """The stored answer to one statement, replayed verbatim for every repeat."""

    target: str
    statement_digest: bytes
    source: str
    kind: str
    ticket: str
    sequence: int
    outcome: str
    receipt: bytes
    recorded: Instant


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """A statement of ours that a peer refused for ever: for a person to look at."""

    statement_digest: bytes
    target: str
    source: str
    ticket: str
    kind: str
    reason: str
    envelope: bytes
    receipt: bytes
    recorded: Instant


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """What a peer sent that breaks the protocol, with its signature: proof against the signer."""

    statement_digest: bytes
    target: str
    source: str
    ticket: str
    kind: str
    reason: str
    detail: str
    envelope: bytes
    recorded: Instant


@dataclass(frozen=True, slots=True)
class QueueRow:
    """How much waits for one node, and since when."""

    node: str
    waiting: int
    oldest: Instant


OUTBOX = Table("outbox", OutboxRow, key=("position",), generated="position")
SEQUENCES = Table("outbox_sequences", SequenceRow, key=("source", "target"))
INBOX = Table("inbox", InboxRow, key=("target", "statement_digest"))
REFUSALS = Table("refusals_received", RefusalRow, key=("target", "statement_digest"))
EVIDENCE = Table("evidence", EvidenceRow, key=("target", "statement_digest"))


def _due(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[OutboxRow]:
    due = (
        row for row in rows(OUTBOX) if row.node == given["node"] and row.not_before <= given["now"]
    )
    return sorted(due, key=lambda row: row.position)[: given["limit"]]


def _nodes(rows: RowsOf, _given: Mapping[str, Any]) -> Iterable[QueueRow]:
    queues: dict[str, list[Instant]] = {}
    for row in rows(OUTBOX):
        queues.setdefault(row.node, []).append(row.created)
    return [QueueRow(node, len(ages), min(ages)) for node, ages in sorted(queues.items())]


OUTBOX_DUE = Query("outbox_due", OutboxRow, _SQL["outbox_due"], _due)
OUTBOX_NODES = Query("outbox_nodes", QueueRow, _SQL["outbox_nodes"], _nodes)
