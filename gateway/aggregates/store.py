"""Tables and queries of reports, with their twins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.kernel.time import Instant
from gateway.tickets.store import TICKETS

_SQL = load_queries(Path(__file__).with_name("queries.sql"))
SPENT, REFUSED = "SPENT", "REFUSED"
BEYOND = 2**62  # above every sequence and position: the beginning of a list


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRow:
    """Where a province's series stands: its next day to close, its newest report."""

    province: str
    next_day: int
    sequence: int
    head_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """A report that was drawn: its exact bytes, once for ever."""

    province: str
    day: int
    sequence: int
    statement: bytes
    key_id: str
    signature: bytes
    posted: bool
    created: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """One line of the budget; `outcome` is SPENT or REFUSED."""

    position: int = 0
    province: str
    year: int
    quarter: int
    day: int
    epsilon_micro: int
    outcome: str
    actor: str
    recorded: Instant


@dataclass(frozen=True, slots=True)
class CountRow:
    """Tickets of a day whose matter begins with two digits."""

    prefix: str
    tickets: int


@dataclass(frozen=True, slots=True)
class SpentRow:
    """What the reports of a quarter spent."""

    quarter: int
    spent: int


SERIES = Table("report_series", SeriesRow, key=("province",))
REPORTS = Table("reports", ReportRow, key=("province", "day"), unique=(("province", "sequence"),))
BUDGET = Table("report_budget", BudgetRow, key=("position",), generated="position")


def _counts(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[CountRow]:
    province = given["province"]
    found = Counter(
        row.matter[:2]
        for row in rows(TICKETS)
        if row.authority == province
        and row.origin[:2] == province[:2]
        and not row.parent
        and given["begin"] <= row.create_time < given["end"]
    )
    return [CountRow(prefix, tickets) for prefix, tickets in sorted(found.items())]


def _spent(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[SpentRow]:
    found: Counter[int] = Counter()
    for row in rows(BUDGET):
        place = (row.province, row.year, row.outcome)
        if place == (given["province"], given["year"], SPENT):
            found[row.quarter] += row.epsilon_micro
    return [SpentRow(quarter, spent) for quarter, spent in sorted(found.items())]


def _newest(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[ReportRow]:
    found = [
        row
        for row in rows(REPORTS)
        if row.province == given["province"] and row.sequence < given["before"]
    ]
    return sorted(found, key=lambda row: -row.sequence)[: given["limit"]]


def _waiting(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[ReportRow]:
    found = [row for row in rows(REPORTS) if row.province == given["province"] and not row.posted]
    return sorted(found, key=lambda row: row.sequence)[: given["limit"]]


def _budget(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[BudgetRow]:
    found = [
        row
        for row in rows(BUDGET)
        if row.province == given["province"] and row.position < given["before"]
    ]
    return sorted(found, key=lambda row: -row.position)[: given["limit"]]


COUNTS = Query("report_counts", CountRow, _SQL["report_counts"], _counts)
BUDGET_SPENT = Query("report_budget_spent", SpentRow, _SQL["report_budget_spent"], _spent)
REPORTS_NEWEST = Query("reports_newest", ReportRow, _SQL["reports_newest"], _newest)
REPORTS_WAITING = Query("reports_waiting", ReportRow, _SQL["reports_waiting"], _waiting)
BUDGET_NEWEST = Query("report_budget_newest", BudgetRow, _SQL["report_budget_newest"], _budget)
