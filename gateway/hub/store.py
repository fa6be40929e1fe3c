"""The hub's table and queries: the exact statements, from which everything else is derived."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.database.table import HORIZON, Query, RowsOf, Table, load_queries
from gateway.kernel.time import Instant

_SQL = load_queries(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HubReportRow:
    """A report that was taken; `position` and `txid` place it in the stream."""

    position: int = 0
    txid: int = 0
    province: str
    day: int
    sequence: int
    digest: bytes
    statement: bytes
    key_id: str
    signature: bytes
    received: Instant


@dataclass(frozen=True, slots=True)
class CountRow:
    """How many reports there are."""

    reports: int


HUB_REPORTS = Table(
    "hub_reports",
    HubReportRow,
    key=("province", "sequence"),
    unique=(("province", "day"),),
    generated="position",
    transaction="txid",
)


def _after(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[HubReportRow]:
    cursor = (given["txid"], given["position"])
    found = [
        row
        for row in rows(HUB_REPORTS)
        if row.txid < given[HORIZON] and (row.txid, row.position) > cursor
    ]
    return sorted(found, key=lambda row: (row.txid, row.position))[: given["limit"]]


def _newest(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[HubReportRow]:
    found = [row for row in rows(HUB_REPORTS) if row.province == given["province"]]
    return sorted(found, key=lambda row: -row.sequence)[:1]


def _of_day(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[HubReportRow]:
    place = (given["province"], given["day"])
    return [row for row in rows(HUB_REPORTS) if (row.province, row.day) == place]


def _up_to(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[CountRow]:
    cursor = (given["txid"], given["position"])
    return [CountRow(sum((row.txid, row.position) <= cursor for row in rows(HUB_REPORTS)))]


AFTER = Query("hub_reports_after", HubReportRow, _SQL["hub_reports_after"], _after)
NEWEST = Query("hub_newest_of_province", HubReportRow, _SQL["hub_newest_of_province"], _newest)
OF_DAY = Query("hub_report_of_day", HubReportRow, _SQL["hub_report_of_day"], _of_day)
UP_TO = Query("hub_reports_up_to", CountRow, _SQL["hub_reports_up_to"], _up_to)
