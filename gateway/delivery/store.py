"""Tables and queries of delivery."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace

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
    """How much waits for one node, counted up to a bound, and since when."""

    node: str
    waiting: int
    oldest: Instant


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node for which something waits."""

    node: str


@dataclass(frozen=True, slots=True)
class NumberRow:
    """The sequence number given to a row of the outbox at its first sending."""

    position: int
    sequence: int


@dataclass(frozen=True, slots=True)
class ControlRow:
    """What a person ordered for a peer; `changed` is where a drain ends."""

    node: str
    mode: str
    reason: str
    actor: str
    changed: Instant


@dataclass(frozen=True, slots=True)
class ContactRow:
    """When a peer was last reached, and when anything was last heard of it."""

    node: str
    reached: Instant | None
    heard: Instant | None


@dataclass(frozen=True, slots=True)
class KeptRow:
    """How much evidence against one source is kept."""

    source: str
    items: int
    bytes: int


OUTBOX = Table("outbox", OutboxRow, key=("position",), generated="position")
NUMBERS = Table("outbox_numbers", NumberRow, key=("position",))
SEQUENCES = Table("outbox_sequences", SequenceRow, key=("source", "target"))
INBOX = Table("inbox", InboxRow, key=("target", "statement_digest"))
REFUSALS = Table("refusals_received", RefusalRow, key=("target", "statement_digest"))
EVIDENCE = Table("evidence", EvidenceRow, key=("target", "statement_digest"))
CONTROLS = Table("peer_controls", ControlRow, key=("node",))
CONTACTS = Table("peer_contacts", ContactRow, key=("node",))


def _numbered(rows: RowsOf, found: list[OutboxRow], limit: int) -> Iterable[OutboxRow]:
    """Return the first rows in the order of sending, with the numbers they were given."""
    first = sorted(found, key=lambda row: (row.not_before, row.position))[:limit]
    if not first:
        return first
    numbers = {row.position: row.sequence for row in rows(NUMBERS)}
    return [replace(row, sequence=numbers.get(row.position, row.sequence)) for row in first]


def _due(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[OutboxRow]:
    node, now = given["node"], given["now"]
    due = [row for row in rows(OUTBOX) if row.node == node and row.not_before <= now]
    return _numbered(rows, due, given["limit"])


def _next(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[OutboxRow]:
    node, now, until = given["node"], given["now"], given["until"]
    after = (given["after_time"], given["after_position"])
    due = [
        row
        for row in rows(OUTBOX)
        if row.node == node
        and row.not_before <= now
        and row.created <= until
        and (row.not_before, row.position) > after
    ]
    found: list[OutboxRow] = []
    size = 0
    for row in _numbered(rows, due, given["limit"]):
        if size < given["bytes"]:
            found.append(row)
        size += len(row.envelope)
    return found


def _nodes(rows: RowsOf, _given: Mapping[str, Any]) -> Iterable[NodeRow]:
    return [NodeRow(node) for node in sorted({row.node for row in rows(OUTBOX)})]


def _queues(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[QueueRow]:
    queues: dict[str, list[OutboxRow]] = {}
    for row in rows(OUTBOX):
        queues.setdefault(row.node, []).append(row)
    return [
        QueueRow(node, min(len(queue), given["bound"]), min(queue, key=_position).created)
        for node, queue in sorted(queues.items())
    ]


def _oldest(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[OutboxRow]:
    found = sorted((row for row in rows(OUTBOX) if row.node == given["node"]), key=_position)
    return [replace(row, envelope=b"") for row in found[: given["limit"]]]


def _kept(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[KeptRow]:
    found = [
        row
        for row in rows(EVIDENCE)
        if row.source == given["source"] and row.recorded >= given["since"]
    ][: given["limit"]]
    size = sum(len(row.envelope) for row in found)
    return [KeptRow(given["source"], len(found), size)] if found else []


def _position(row: OutboxRow) -> int:
    return row.position


def _by_node(table: Table[Any]) -> Callable[[RowsOf, Mapping[str, Any]], Iterable[Any]]:
    return lambda rows, _given: sorted(rows(table), key=lambda row: row.node)


OUTBOX_DUE = Query("outbox_due", OutboxRow, _SQL["outbox_due"], _due)
OUTBOX_NEXT = Query("outbox_next", OutboxRow, _SQL["outbox_next"], _next)
OUTBOX_NODES = Query("outbox_nodes", NodeRow, _SQL["outbox_nodes"], _nodes)
OUTBOX_QUEUES = Query("outbox_queues", QueueRow, _SQL["outbox_queues"], _queues)
OUTBOX_OLDEST = Query("outbox_oldest", OutboxRow, _SQL["outbox_oldest"], _oldest)
ALL_CONTROLS = Query("peer_controls", ControlRow, _SQL["peer_controls"], _by_node(CONTROLS))
ALL_CONTACTS = Query("peer_contacts", ContactRow, _SQL["peer_contacts"], _by_node(CONTACTS))
EVIDENCE_SINCE = Query("evidence_since", KeptRow, _SQL["evidence_since"], _kept)
