"""Past decisions: two tables, and the reads that never hold more than a page of them.

`route_decisions` has one line for each decision of an authority of this node: the facts as they
were, the outcome and the digest of its trace. What many decisions have in common (who had joined,
which packs, which reference data) lies once in `route_settings`, named by its digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.database.table import Json, Query, RowsOf, Table, load_queries
from gateway.kernel.codes import TicketState
from gateway.kernel.time import Instant
from gateway.tickets.model import FINAL
from gateway.tickets.store import TICKETS, TicketRow

_SQL = load_queries(Path(__file__).with_name("queries.sql"))
_CALM = FINAL | {TicketState.RESOLVED}


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """What decisions had in common besides their facts."""

    digest: str
    hosted: Json
    joined: Json
    packs: Json
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """One past decision; `facts` are the bytes of `hotline.routing.v1.RoutingFacts`."""

    position: int = 0
    authority: str
    ticket: str
    decide_time: Instant
    setting: str
    facts: bytes
    states: Json
    action: int
    target: str
    rule: str
    pack: str
    trace_digest: bytes


@dataclass(frozen=True, slots=True)
class CountRow:
    """How many there are, up to the limit of the query."""

    number: int


SETTINGS = Table("route_settings", SettingRow, key=("digest",))
DECISIONS = Table("route_decisions", DecisionRow, key=("position",), generated="position")


# --- twins ------------------------------------------------------------------------------------

Given = Mapping[str, Any]


def _between(rows: RowsOf, given: Given) -> Iterable[DecisionRow]:
    after = (given["after_time"], given["after_position"])
    found = [
        row
        for row in rows(DECISIONS)
        if row.authority == given["authority"]
        and row.decide_time < given["before"]
        and (row.decide_time, row.position) > after
    ]
    return sorted(found, key=lambda row: (row.decide_time, row.position))[: given["limit"]]


def _counted(rows: RowsOf, given: Given) -> Iterable[CountRow]:
    number = sum(
        row.authority == given["authority"] and given["start"] <= row.decide_time < given["before"]
        for row in rows(DECISIONS)
    )
    return [CountRow(min(number, given["limit"]))]


def _flying(rows: RowsOf, authority: str) -> list[TicketRow]:
    return [
        row
        for row in rows(TICKETS)
        if row.authority == authority and not row.followed and row.state not in _CALM
    ]


def _in_flight(rows: RowsOf, given: Given) -> Iterable[DecisionRow]:
    newest: dict[str, DecisionRow] = {}
    for row in sorted(rows(DECISIONS), key=lambda row: row.position):
        if row.authority == given["authority"]:
            newest[row.ticket] = row
    numbers = sorted(row.number for row in _flying(rows, given["authority"]))
    found = [newest[number] for number in numbers if number > given["ticket"] and number in newest]
    return found[: given["limit"]]


def _flights_counted(rows: RowsOf, given: Given) -> Iterable[CountRow]:
    return [CountRow(min(len(_flying(rows, given["authority"])), given["limit"]))]


def _of_ticket(rows: RowsOf, given: Given) -> Iterable[DecisionRow]:
    found = [
        row
        for row in rows(DECISIONS)
        if (row.authority, row.ticket) == (given["authority"], given["ticket"])
    ]
    return sorted(found, key=lambda row: row.position, reverse=True)[: given["limit"]]


def _query(name: str, row: type[Any], twin: Callable[[RowsOf, Given], Iterable[Any]]) -> Query[Any]:
    return Query(name, row, _SQL[name], twin)


BETWEEN: Query[DecisionRow] = _query("decisions_between", DecisionRow, _between)
COUNTED: Query[CountRow] = _query("decisions_counted", CountRow, _counted)
IN_FLIGHT: Query[DecisionRow] = _query("decisions_in_flight", DecisionRow, _in_flight)
FLIGHTS_COUNTED: Query[CountRow] = _query("flights_counted", CountRow, _flights_counted)
OF_TICKET: Query[DecisionRow] = _query("decisions_of_ticket", DecisionRow, _of_ticket)
