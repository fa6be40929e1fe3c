"""The feed of changes of cases at rest, and how far its beginning has been forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.custody.store import STATEMENTS, StatementRow
from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.kernel.time import Instant

_SQL = load_queries(Path(__file__).with_name("queries.sql"))
Given = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """A change of a case, for the staff of one authority."""

    position: int = 0
    txid: int = 0
    authority: str
    scope: str
    case_id: str
    revision: int
    noted: Instant


@dataclass(frozen=True, slots=True)
class ForgottenRow:
    """The last change of an authority that is kept no longer; a watch cannot begin before it."""

    authority: str
    txid: int
    position: int


CASE_CHANGES = Table(
    "case_changes", ChangeRow, key=("position",), generated="position", transaction="txid"
)
FORGOTTEN = Table("case_changes_forgotten", ForgottenRow, key=("authority",))


# --- twins of the queries ---------------------------------------------------------------------


def _after(rows: RowsOf, given: Given) -> Iterable[ChangeRow]:
    place = (given["txid"], given["position"])
    found = [
        row
        for row in _of(rows, given)
        if row.txid < given["horizon"] and (row.txid, row.position) > place
    ]
    return found[: given["limit"]]


def _old(rows: RowsOf, given: Given) -> Iterable[ChangeRow]:
    return [row for row in _of(rows, given) if row.noted < given["cutoff"]][: given["limit"]]


def _beyond(rows: RowsOf, given: Given) -> Iterable[ChangeRow]:
    found = _of(rows, given)
    return list(reversed(found))[given["kept"] :][: given["limit"]]


def _of(rows: RowsOf, given: Given) -> list[ChangeRow]:
    found = [row for row in rows(CASE_CHANGES) if row.authority == given["authority"]]
    return sorted(found, key=lambda row: (row.txid, row.position))


def _way(rows: RowsOf, given: Given) -> Iterable[StatementRow]:
    place = (given["authority"], given["ticket"])
    found = [row for row in rows(STATEMENTS) if (row.authority, row.ticket) == place]
    return sorted(found, key=lambda row: (row.recorded, row.digest))[: given["limit"]]


CHANGES_AFTER = Query("case_changes_after", ChangeRow, _SQL["case_changes_after"], _after)
CHANGES_OLD = Query("case_changes_old", ChangeRow, _SQL["case_changes_old"], _old)
CHANGES_BEYOND = Query("case_changes_beyond", ChangeRow, _SQL["case_changes_beyond"], _beyond)
STATEMENTS_OF_WAY = Query("statements_of_way", StatementRow, _SQL["statements_of_way"], _way)
