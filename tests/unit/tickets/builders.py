"""Builders of this room's tests; all people, units and texts are made up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.kernel.codes import (
    AssignmentRole,
    Channel,
    DispatchMode,
    SubjectKind,
    TicketState,
    TicketType,
    Urgency,
)
from gateway.kernel.ids import AuthorityCode, mint_ticket_number
from gateway.tickets.machine import Commission
from gateway.tickets.model import Act, Clocks, Ticket, UnitPlace

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
TIANJIN = AuthorityCode("120000")
ACT = Act("lubiao://120000/staff/s1", "dispatcher", "rule demo", NOW)
CLOCKS = Clocks(NOW + timedelta(hours=24), NOW + timedelta(days=15), False)
DESK = UnitPlace("units/120000-desk", "测试研判席", "")
UNIT = UnitPlace("units/120101-JT-1", "测试交通局", "120000-p1")
OTHER = UnitPlace("units/120101-ZJ-1", "测试住建局", "120000-p1")


def a_ticket(sequence: int = 1, **changes: Any) -> Ticket:
    """Return a ticket that was just received."""
    ticket = Ticket(
        authority=TIANJIN,
        number=mint_ticket_number(TIANJIN, NOW.date(), sequence),
        uid="01890a5d-ac96-774b-bcce-b302099a8057",
        revision=1,
        create_time=NOW,
        update_time=NOW,
        followed=False,
        origin=TIANJIN,
        platform="120000-p1",
        external_id=f"T-{sequence}",
        state=TicketState.RECEIVED,
        channel=Channel.PHONE,
        type=TicketType.COMPLAINT,
        matter="041200",
        urgency=Urgency.NORMAL,
        subject_kind=SubjectKind.NATURAL_PERSON,
        risk_tags=(),
        region="120101",
        anonymous=False,
        secrecy_required=False,
        received_time=NOW,
        dispatch_due_time=CLOCKS.dispatch_due,
        due_time=CLOCKS.due,
        due_provisional=False,
        custodian="120000",
    )
    return replace(ticket, **changes)


def a_commission(place: UnitPlace = UNIT, role: AssignmentRole = AssignmentRole.LEAD) -> Commission:
    """Return an assignment to make."""
    return Commission(place=place, role=role, mode=DispatchMode.RULE)
