"""Receipts that peers gave for what this node sent: kept exactly as signed, as long as the ticket.

They prove that a statement arrived, and when, also against a receiver that would deny it. The
receipts that this node gave are in the inbox.
"""

from __future__ import annotations

from gateway.database.table import Table
from gateway.database.uow import UnitOfWork
from gateway.delivery.store import OutboxRow
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A signed receipt of a target for a statement of a source."""

    source: str
    ticket: str
    target: str
    statement_digest: bytes
    receipt: bytes
    recorded: Instant


RECEIPTS = Table("receipts", ReceiptRow, key=("source", "ticket", "target", "statement_digest"))


def keep_receipt(uow: UnitOfWork, row: OutboxRow, raw: bytes, *, now: Instant) -> None:
    """Stage the receipt of a statement about a ticket."""
    if row.ticket:
        kept = ReceiptRow(row.source, row.ticket, row.target, row.statement_digest, raw, now)
        uow.put(RECEIPTS, kept)
