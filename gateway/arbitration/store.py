"""Tables and queries of arbitration. `rows.py` turns their rows into the values of `model.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.arbitration.model import OPEN
from gateway.database.table import Group, Json, Query, RowsOf, Table, load_queries
from gateway.kernel.codes import CaseState
from gateway.kernel.time import Instant

_SQL = load_queries(Path(__file__).with_name("queries.sql"))
Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A `Case`, flat, without its rulings; `wrapped_key` seals their reasons.

    `told` is the time whose end raised the alarm last.
    """

    scope: str
    case_id: str
    revision: int
    ticket: str
    chain: int
    state: int
    ground: int
    cause: str
    filers: Json
    path: Json
    proposed_targets: Json
    parties: Json
    responsible: str
    filed: Instant
    due: Instant | None
    due_provisional: bool
    closed: Instant | None
    matter: str
    region: str
    urgency: int
    type: int
    ticket_due: Instant | None
    wrapped_key: bytes
    stage_due: Instant | None
    stage_due_provisional: bool
    level: int
    involved: Json
    told: Instant | None = None


@dataclass(frozen=True, slots=True)
class RulingRow:
    """A `CaseRuling`, flat, with its reasons sealed."""

    scope: str
    case_id: str
    number: int
    kind: int
    target: str
    legal_basis: str
    offers_allowed: bool
    mandates: Json
    ruler: str
    issued: Instant
    taken: Instant | None
    reasons: bytes
    form: int
    parts: Json
    merge_into: str


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An `Entry`, flat, with its words sealed."""

    scope: str
    case_id: str
    number: int
    kind: int
    party: str
    author: str
    proposed: str
    legal_basis: str
    attendees: Json
    evidence: Json
    upheld: bool | None
    said: Instant
    words: bytes


@dataclass(frozen=True, slots=True)
class KeyRow:
    """The key of a case."""

    scope: str
    case_id: str


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """Where a case stands in a list."""

    scope: str
    case_id: str
    filed: Instant


CASES = Table("cases", CaseRow, key=("scope", "case_id"))
RULINGS = Table("case_rulings", RulingRow, key=("scope", "case_id", "number"))
ENTRIES = Table("case_entries", EntryRow, key=("scope", "case_id", "number"))
ENTRIES_OF_CASE = Group(ENTRIES, ("scope", "case_id"))


# --- twins of the queries ---------------------------------------------------------------------


def _sees(row: CaseRow, authority: str) -> bool:
    return authority == row.scope or authority in row.parties


def _visible(rows: RowsOf, given: Given) -> Iterable[KeyRow]:
    authority = given["authority"]
    found = [
        KeyRow(row.scope, row.case_id)
        for row in rows(CASES)
        if row.case_id == given["case_id"] and _sees(row, authority)
    ]
    return sorted(found, key=lambda key: (key.scope != authority, key.scope))[:1]


def _newest(rows: RowsOf, given: Given) -> Iterable[PlaceRow]:
    before = (given["before_time"], given["before_scope"], given["before_case"])
    found = [
        PlaceRow(row.scope, row.case_id, row.filed)
        for row in rows(CASES)
        if _sees(row, given["authority"])
        and (before[0] is None or (row.filed, row.scope, row.case_id) < before)
        and given["state"] in (None, row.state)
        and given["overdue"] in (None, row.due is not None and given["now"] > row.due)
        and given["level"] in (None, row.level)
        and (given["units"] is None or not set(given["units"]).isdisjoint(row.parties))
    ]
    found.sort(key=lambda row: (row.filed, row.scope, row.case_id), reverse=True)
    return found[: given["limit"]]


def _case_of_ruling(rows: RowsOf, given: Given) -> Iterable[KeyRow]:
    cases = {
        (row.scope, row.case_id)
        for row in rows(CASES)
        if (row.scope, row.ticket, row.chain) == (given["scope"], given["ticket"], given["chain"])
    }
    found = [
        KeyRow(row.scope, row.case_id)
        for row in rows(RULINGS)
        if row.number == given["number"] and (row.scope, row.case_id) in cases
    ]
    return sorted(found, key=lambda key: key.case_id)[:1]


def _open_on(rows: RowsOf, given: Given) -> Iterable[KeyRow]:
    place = (given["scope"], given["ticket"], given["chain"])
    found = [
        row
        for row in rows(CASES)
        if (row.scope, row.ticket, row.chain) == place and CaseState(row.state) in OPEN
    ]
    found.sort(key=lambda row: (row.filed, row.case_id))
    return [KeyRow(row.scope, row.case_id) for row in found[:1]]


def _on(rows: RowsOf, given: Given) -> Iterable[KeyRow]:
    place = (given["scope"], given["ticket"], given["chain"])
    found = [row for row in rows(CASES) if (row.scope, row.ticket, row.chain) == place]
    found.sort(key=lambda row: (row.filed, row.case_id))
    return [KeyRow(row.scope, row.case_id) for row in found]


def _rulings(rows: RowsOf, given: Given) -> Iterable[RulingRow]:
    key = (given["scope"], given["case_id"])
    found = [row for row in rows(RULINGS) if (row.scope, row.case_id) == key]
    return sorted(found, key=lambda row: row.number)


CASES_ON = Query("cases_on", KeyRow, _SQL["cases_on"], _on)
CASE_OPEN_ON = Query("case_open_on", KeyRow, _SQL["case_open_on"], _open_on)
CASE_VISIBLE = Query("case_visible", KeyRow, _SQL["case_visible"], _visible)
CASES_NEWEST = Query("cases_newest", PlaceRow, _SQL["cases_newest"], _newest)
CASE_OF_RULING = Query("case_of_ruling", KeyRow, _SQL["case_of_ruling"], _case_of_ruling)
RULINGS_OF_CASE = Query("rulings_of_case", RulingRow, _SQL["rulings_of_case"], _rulings)
