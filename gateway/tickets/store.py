"""Tables and queries of tickets, with their twins; `rows.py` turns rows into values.

Queries that list return keys only; rows are then read by key, so filters stay apart from columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.database.table import HORIZON, Group, Json, Query, RowsOf, Table, load_queries
from gateway.kernel.codes import TicketState
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass
from gateway.tickets.model import FINAL, STANDING

_SQL = load_queries(Path(__file__).with_name("queries.sql"))
TICKET_BLOCKS = "ticket_blocks"  # sequence of blocks of ticket numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRow:
    """A `Ticket` without its assignments, flat."""

    authority: str
    number: str
    uid: str
    revision: int
    create_time: Instant
    update_time: Instant
    followed: bool
    origin: str
    platform: str | None
    external_id: str | None
    state: int
    channel: int
    type: int
    matter: str
    urgency: int
    subject_kind: int
    risk_tags: Json
    region: str
    anonymous: bool
    secrecy_required: bool
    received_time: Instant
    dispatch_due_time: Instant
    due_time: Instant
    due_provisional: bool
    first_dispatch_time: Instant | None
    case_id: str
    custodian: str
    decision: Json | None
    progress: Json
    external_referral: Json | None
    emergency_referral: Json | None
    outcome: Json | None
    rating: Json | None
    findings: Json
    parent: str
    purpose: int
    depth: int
    returns: Json
    extensions: Json
    questions: Json
    citizen_acts: Json
    unit_requests: Json = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRow:
    """The sealed texts of one copy, and the wrapped key that opens them."""

    authority: str
    number: str
    wrapped_key: bytes
    fingerprint: bytes
    content: bytes
    citizen: bytes | None = None
    resolution: bytes | None = None
    referral: bytes | None = None
    letters: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentRow:
    """An `Assignment`, flat."""

    authority: str
    ticket: str
    number: int
    unit: str
    unit_name: str
    platform: str
    role: int
    state: int
    mode: int
    assign_time: Instant
    sign_due_time: Instant | None
    contact_due_time: Instant | None
    platform_external_id: str
    receive_time: Instant | None
    sign_time: Instant | None
    contact_time: Instant | None
    done_time: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A stored event; `position` and `txid` place it in the stream."""

    position: int = 0
    txid: int = 0
    authority: str
    ticket: str
    kind: str
    actor: str
    role: str
    basis: str
    event_time: Instant
    state: int
    facts: Json


@dataclass(frozen=True, slots=True)
class TicketKey:
    """The key of a copy."""

    authority: str
    number: str


TICKETS = Table(
    "ticket_copies",
    TicketRow,
    key=("authority", "number"),
    unique=(("authority", "platform", "external_id"),),
)
CONTENTS = Table("ticket_contents", ContentRow, key=("authority", "number"))
ASSIGNMENTS = Table("assignments", AssignmentRow, key=("authority", "ticket", "number"))
EVENTS = Table(
    "ticket_events", EventRow, key=("position",), generated="position", transaction="txid"
)


# --- twins ------------------------------------------------------------------------------------

Given = Mapping[str, Any]
_CALM = FINAL | {TicketState.RESOLVED}


def _sees(rows: RowsOf, row: TicketRow, platform: str | None) -> bool:
    return platform in (None, row.platform) or _has_unit(rows, row, platform=platform)


def _has_unit(
    rows: RowsOf, row: TicketRow, *, platform: str | None = None, unit: str | None = None
) -> bool:
    return any(
        (item.authority, item.ticket) == (row.authority, row.number)
        and item.state in STANDING
        and platform in (None, item.platform)
        and unit in (None, item.unit)
        for item in rows(ASSIGNMENTS)
    )


def _visible(rows: RowsOf, given: Given) -> Iterable[TicketKey]:
    return [
        TicketKey(row.authority, row.number)
        for row in rows(TICKETS)
        if (row.authority, row.number) == (given["authority"], given["number"])
        and _sees(rows, row, given["platform"])
    ]


def _is_overdue(row: TicketRow, now: Instant) -> bool:
    waits = row.first_dispatch_time is None and now > row.dispatch_due_time
    return row.state not in _CALM and (now > row.due_time or waits)


_SAME = ("state", "matter", "urgency", "followed", "external_id")


def _matches(rows: RowsOf, row: TicketRow, given: Given) -> bool:
    before = (given["before_time"], given["before_number"])
    return (
        row.authority == given["authority"]
        and (before[0] is None or (row.create_time, row.number) < before)
        and all(given[name] in (None, getattr(row, name)) for name in _SAME)
        and given["in_case"] in (None, bool(row.case_id))
        and given["overdue"] in (None, _is_overdue(row, given["now"]))
        and (given["unit"] is None or _has_unit(rows, row, unit=given["unit"]))
        and _sees(rows, row, given["platform"])
    )


def _newest(rows: RowsOf, given: Given) -> Iterable[TicketKey]:
    found = [row for row in rows(TICKETS) if _matches(rows, row, given)]
    found.sort(key=lambda row: (row.create_time, row.number), reverse=True)
    return [TicketKey(row.authority, row.number) for row in found[: given["limit"]]]


def _events_of(rows: RowsOf, given: Given) -> Iterable[EventRow]:
    found = [
        row
        for row in rows(EVENTS)
        if (row.authority, row.ticket) == (given["authority"], given["ticket"])
        and row.position > given["position"]
    ]
    return sorted(found, key=lambda row: row.position)[: given["limit"]]


def _events_after(rows: RowsOf, given: Given) -> Iterable[EventRow]:
    platform, cursor = given["platform"], (given["txid"], given["position"])
    found = [
        row
        for row in rows(EVENTS)
        if row.authority == given["authority"]
        and row.txid < given[HORIZON]
        and (row.txid, row.position) > cursor
    ]
    if platform is not None:
        own = {
            row.number
            for row in rows(TICKETS)
            if (row.authority, row.platform) == (given["authority"], platform)
        } | {
            row.ticket
            for row in rows(ASSIGNMENTS)
            if (row.authority, row.platform) == (given["authority"], platform)
        }
        found = [row for row in found if row.ticket in own]
    return sorted(found, key=lambda row: (row.txid, row.position))[: given["limit"]]


def _provisional(rows: RowsOf, given: Given) -> Iterable[TicketKey]:
    after = (given["authority"], given["number"])
    found = [
        TicketKey(row.authority, row.number)
        for row in rows(TICKETS)
        if row.due_provisional
        and not row.followed
        and row.state not in _CALM
        and (row.authority, row.number) > after
    ]
    return sorted(found, key=lambda key: (key.authority, key.number))[: given["limit"]]


def _query(name: str, row: type[Any], twin: Callable[[RowsOf, Given], Iterable[Any]]) -> Query[Any]:
    return Query(name, row, _SQL[name], twin)


BY_EXTERNAL_ID = Group(TICKETS, ("authority", "platform", "external_id"))
CHILDREN_OF = Group(TICKETS, ("authority", "parent"))
ASSIGNMENTS_OF = Group(ASSIGNMENTS, ("authority", "ticket"))
VISIBLE: Query[TicketKey] = _query("ticket_is_visible", TicketKey, _visible)
NEWEST: Query[TicketKey] = _query("tickets_newest", TicketKey, _newest)
EVENTS_OF: Query[EventRow] = _query("events_of_ticket", EventRow, _events_of)
EVENTS_AFTER: Query[EventRow] = _query("events_after", EventRow, _events_after)
PROVISIONAL: Query[TicketKey] = _query("tickets_provisional", TicketKey, _provisional)
