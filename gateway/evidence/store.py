"""Tables and queries of evidence: what an export reads, and time stamps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.custody.store import (
    CUSTODY_ROWS,
    LEDGER_ENTRIES,
    STATEMENTS,
    LedgerEntryRow,
    StatementRow,
)
from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.delivery.receipt_store import RECEIPTS, ReceiptRow
from gateway.kernel.time import Instant

_SQL = load_queries(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True, slots=True)
class StampRow:
    """A time stamp over an entry of an authority's ledger."""

    authority: str
    sequence: int
    response: bytes
    stamped: Instant
    recorded: Instant


@dataclass(frozen=True, slots=True)
class TicketRow:
    """A ticket that has rows in a period."""

    ticket: str


@dataclass(frozen=True, slots=True)
class LeafRow:
    """A row in the order in which an entry covers it."""

    row_digest: bytes
    ticket: str
    scope: str
    number: int
    sequence: int
    txid: int


STAMPS = Table("ledger_stamps", StampRow, key=("authority", "sequence"))


# --- twins of the queries ---------------------------------------------------------------------


def _statements(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[StatementRow]:
    found = (
        row
        for row in rows(STATEMENTS)
        if row.authority == given["authority"] and row.ticket == given["ticket"]
    )
    ordered = sorted(
        found, key=lambda row: (row.recorded, row.scope, row.number, row.epoch, row.digest)
    )
    return ordered[: given["limit"]]


def _tickets(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[TicketRow]:
    found = {
        row.ticket
        for row in rows(CUSTODY_ROWS)
        if row.authority == given["authority"]
        and given["since"] <= row.recorded < given["until"]
        and row.ticket > given["after"]
    }
    return [TicketRow(ticket) for ticket in sorted(found)[: given["limit"]]]


def _entry_over(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[LedgerEntryRow]:
    found = (
        row
        for row in rows(LEDGER_ENTRIES)
        if row.authority == given["authority"] and row.up_to_txid >= given["txid"]
    )
    return sorted(found, key=lambda row: row.sequence)[:1]


def _entry_before(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[LedgerEntryRow]:
    found = (
        row
        for row in rows(LEDGER_ENTRIES)
        if row.authority == given["authority"] and row.sequence < given["sequence"]
    )
    return sorted(found, key=lambda row: -row.sequence)[:1]


def _entries(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[LedgerEntryRow]:
    found = (
        row
        for row in rows(LEDGER_ENTRIES)
        if row.authority == given["authority"] and given["first"] <= row.sequence <= given["last"]
    )
    return sorted(found, key=lambda row: row.sequence)[: given["limit"]]


def _leaves(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[LeafRow]:
    found = [
        LeafRow(row.row_digest, row.ticket, row.scope, row.number, row.sequence, row.txid)
        for row in rows(CUSTODY_ROWS)
        if row.authority == given["authority"] and given["after"] < row.txid <= given["last"]
    ]
    found.sort(key=lambda row: (row.txid, row.ticket, row.scope, row.number, row.sequence))
    return found[: given["limit"]]


def _receipts(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[ReceiptRow]:
    found = (
        row
        for row in rows(RECEIPTS)
        if row.source == given["source"] and row.ticket == given["ticket"]
    )
    return sorted(found, key=lambda row: (row.target, row.statement_digest))


def _stamps(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[StampRow]:
    found = (
        row
        for row in rows(STAMPS)
        if row.authority == given["authority"] and row.sequence >= given["first"]
    )
    return sorted(found, key=lambda row: row.sequence)[: given["limit"]]


def _last_stamp(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[StampRow]:
    found = (row for row in rows(STAMPS) if row.authority == given["authority"])
    return sorted(found, key=lambda row: -row.sequence)[:1]


STATEMENTS_OF_TICKET = Query(
    "statements_of_ticket", StatementRow, _SQL["statements_of_ticket"], _statements
)
TICKETS_BETWEEN = Query("tickets_between", TicketRow, _SQL["tickets_between"], _tickets)
ENTRY_OVER = Query("entry_over", LedgerEntryRow, _SQL["entry_over"], _entry_over)
ENTRY_BEFORE = Query("entry_before", LedgerEntryRow, _SQL["entry_before"], _entry_before)
ENTRIES_BETWEEN = Query("entries_between", LedgerEntryRow, _SQL["entries_between"], _entries)
LEAVES_BETWEEN = Query("leaves_between", LeafRow, _SQL["leaves_between"], _leaves)
RECEIPTS_OF_TICKET = Query("receipts_of_ticket", ReceiptRow, _SQL["receipts_of_ticket"], _receipts)
STAMPS_FROM = Query("stamps_from", StampRow, _SQL["stamps_from"], _stamps)
LAST_STAMP = Query("last_stamp", StampRow, _SQL["last_stamp"], _last_stamp)
