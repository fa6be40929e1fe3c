"""The audit tables and their queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.audit.model import AuditEntry, Place, PlacedEntry
from gateway.database.table import HORIZON, Query, RowsOf, Table, load_queries
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass

_SQL = load_queries(Path(__file__).parent / "queries.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """A stored entry."""

    position: int = 0
    txid: int = 0
    time: Instant
    principal: str
    role: str
    act: str
    subject: str
    basis: str
    purpose: str | None
    outcome: str

    @property
    def place(self) -> Place:
        """Where the entry stands."""
        return Place(self.txid, self.position)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRow:
    """A stored seal over the entries after the first place up to the last one."""

    number: int
    time: Instant
    first_txid: int
    first_position: int
    last_txid: int
    last_position: int
    entries: int
    previous_digest: bytes
    digest: bytes


ENTRIES = Table(
    "audit_entries", AuditRow, key=("position",), generated="position", transaction="txid"
)
SEALS = Table("audit_seals", SealRow, key=("number",))


def to_row(entry: AuditEntry) -> AuditRow:
    """Return the row of an entry that has no place yet."""
    return AuditRow(
        time=entry.time,
        principal=entry.principal,
        role=entry.role,
        act=entry.act,
        subject=entry.subject,
        basis=entry.basis,
        purpose=entry.purpose,
        outcome=entry.outcome,
    )


def to_entry(row: AuditRow) -> PlacedEntry:
    """Return the entry of a row."""
    entry = AuditEntry(
        time=row.time,
        principal=row.principal,
        role=row.role,
        act=row.act,
        subject=row.subject,
        basis=row.basis,
        purpose=row.purpose,
        outcome=row.outcome,
    )
    return PlacedEntry(place=row.place, entry=entry)


def _after(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[AuditRow]:
    cursor = Place(given["txid"], given["position"])
    found = [row for row in rows(ENTRIES) if row.txid < given[HORIZON] and row.place > cursor]
    return sorted(found, key=lambda row: row.place)[: given["limit"]]


def _range(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[AuditRow]:
    first = Place(given["first_txid"], given["first_position"])
    last = Place(given["last_txid"], given["last_position"])
    found = [row for row in rows(ENTRIES) if first < row.place <= last]
    return sorted(found, key=lambda row: row.place)[: given["limit"]]


def _seals_after(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[SealRow]:
    found = [row for row in rows(SEALS) if row.number > given["number"]]
    return sorted(found, key=lambda row: row.number)[: given["limit"]]


def _last_seal(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[SealRow]:  # noqa: ARG001 a twin
    return sorted(rows(SEALS), key=lambda row: row.number)[-1:]


ENTRIES_AFTER = Query("audit_after", AuditRow, _SQL["audit_after"], _after)
ENTRIES_RANGE = Query("audit_range", AuditRow, _SQL["audit_range"], _range)
SEALS_AFTER = Query("audit_seals_after", SealRow, _SQL["audit_seals_after"], _seals_after)
LAST_SEAL = Query("audit_last_seal", SealRow, _SQL["audit_last_seal"], _last_seal)
