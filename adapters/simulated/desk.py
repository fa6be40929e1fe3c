"""What a person at the triage desk does next about a ticket. Pure.

The people of the demonstration record answers that came by letter, review returns, grant more
time, offer a ticket to the authority that a granted return named, and assign what needs a look. A
return to another authority they grant; one to another unit of their own only about the matters of
which their choices say so (`grants`). Of some matters they ask for a ruling for a body that only
its own line can bind (`ruling_for`), once another unit is bound. They leave alone what waits for a
ruling and what nobody told them how to judge: that stays at the desk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hotline.ticket.v1 import codes_pb2, ticket_pb2

AUTHORITIES = "authorities/"
DESK = "-desk"  # how the id of a triage desk ends
PLACES_LENGTH = (6, 4, 2)  # digits of a county, its city, its province
_OPEN = frozenset(
    {
        ticket_pb2.Ticket.STATE_RECEIVED,
        ticket_pb2.Ticket.STATE_DISPATCHED,
        ticket_pb2.Ticket.STATE_HANDLING,
        ticket_pb2.Ticket.STATE_REOPENED,
    }
)
_AT_DESK = frozenset({ticket_pb2.Assignment.STATE_ASSIGNED, ticket_pb2.Assignment.STATE_SIGNED})


@dataclass(frozen=True, slots=True)
class RecordAnswer:
    """Record what a body outside the federation answered."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close a ticket whose answer was recorded."""


@dataclass(frozen=True, slots=True)
class Review:
    """Decide about a return."""

    number: int
    is_granted: bool


@dataclass(frozen=True, slots=True)
class Extend:
    """Grant a wish for more time."""

    number: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """Offer the ticket to the authority that a granted return named."""

    target: str
    number: int


@dataclass(frozen=True, slots=True)
class Assign:
    """Assign to the first of these units that exists."""

    units: tuple[str, ...]
    basis: str


@dataclass(frozen=True, slots=True)
class Dispute:
    """Ask for a ruling on whether a body takes the ticket that nobody here can assign to it."""

    unit: str
    basis: str


Act = RecordAnswer | Close | Review | Extend | Transfer | Assign | Dispute


def next_act(
    ticket: ticket_pb2.Ticket, choices: Sequence[Mapping[str, str]], *, tried: frozenset[int]
) -> Act | None:
    """Return what the desk does next about a ticket; None when nothing is its business now.

    Args:
        ticket: the authority's copy.
        choices: kind of body and basis by matter, for tickets that need a look.
        tried: returns after which the ticket was offered on already.
    """
    if ticket.followed:
        return None
    if ticket.HasField("external_referral"):
        if ticket.state in _OPEN:
            return RecordAnswer()
        return Close() if ticket.state == ticket_pb2.Ticket.STATE_RESOLVED else None
    is_held = ticket.custody.holding == ticket_pb2.Custody.HOLDING_HELD
    if ticket.custody.case or not is_held or ticket.state not in _OPEN:
        return None
    return (
        _of_wishes(ticket, choices)
        or _of_bodies(ticket, choices)
        or _of_desk(ticket, choices, tried=tried)
    )


def _of_wishes(ticket: ticket_pb2.Ticket, choices: Sequence[Mapping[str, str]]) -> Act | None:
    grants = any(each.get("grants") for each in choices if each["matter"] == ticket.matter)
    for item in ticket.returns:
        if item.state == ticket_pb2.Return.STATE_FILED:
            is_other = item.proposed_owner != f"{AUTHORITIES}{ticket.authority}"
            is_away = item.proposed_owner.startswith(AUTHORITIES)
            return Review(item.number, is_other and (is_away or grants))
    for wish in ticket.extensions:
        if wish.state == ticket_pb2.Extension.STATE_ASKED:
            return Extend(wish.number)
    return None


def _of_bodies(ticket: ticket_pb2.Ticket, choices: Sequence[Mapping[str, str]]) -> Act | None:
    """Ask for a ruling once, when a unit is bound meanwhile."""
    lead = codes_pb2.ASSIGNMENT_ROLE_LEAD
    is_bound = any(
        item.role == lead and not item.unit.endswith(DESK) for item in ticket.assignments
    )
    if ticket.unit_requests or not is_bound:
        return None
    wanted = (each for each in choices if each["matter"] == ticket.matter and "ruling_for" in each)
    return next((Dispute(each["ruling_for"], each["basis"]) for each in wanted), None)


def _of_desk(
    ticket: ticket_pb2.Ticket, choices: Sequence[Mapping[str, str]], *, tried: frozenset[int]
) -> Act | None:
    if not any(item.unit.endswith(DESK) and item.state in _AT_DESK for item in ticket.assignments):
        return None
    if ticket.custody.epoch.era == 0:  # what was ruled is not offered on
        for item in reversed(ticket.returns):
            is_away = item.proposed_owner.startswith(AUTHORITIES)
            is_granted = item.state == ticket_pb2.Return.STATE_GRANTED
            if is_away and is_granted and item.number not in tried:
                return Transfer(item.proposed_owner.removeprefix(AUTHORITIES), item.number)
    for choice in choices:
        if choice["matter"] == ticket.matter and "kind" in choice:
            return Assign(_units(ticket, choice["kind"]), choice["basis"])
    return None


def _units(ticket: ticket_pb2.Ticket, kind: str) -> tuple[str, ...]:
    """Return the units of a kind from the place upwards, then at the authority's own seat."""
    region = ticket.resolved_region
    places = [region[:length].ljust(6, "0") for length in PLACES_LENGTH] if region else []
    return tuple(f"units/{place}-{kind}-1" for place in dict.fromkeys([*places, ticket.authority]))


def answer_by_letter() -> ticket_pb2.Resolution:
    """Return the answer of the other side, as the person records it."""
    return ticket_pb2.Resolution(
        solved=codes_pb2.SOLVED_EXPLAINED,
        result="对方书面答复：已受理并向诉求人说明。（演示数据）",
    )
