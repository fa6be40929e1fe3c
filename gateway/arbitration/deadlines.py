"""When a stage ends and when a ruling is due: pure, by the working calendar (practice: model.py).

The stages follow each other by themselves, and each limit counts from the end of the one before:
2 working hours until the panel takes the case up, 4 for its review, a working day for the
conference. That leaves a working day for the ruling within the three from the filing, whatever the
panel does or leaves undone. An urgent case counts natural hours.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.arbitration.model import (
    OBJECTION_DAYS,
    ORDER_HOURS,
    RULING_DAYS,
    URGENT,
    RulingDue,
    TicketFacts,
)
from gateway.kernel.codes import CaseState
from gateway.kernel.time import Instant
from gateway.reference.calendar import Calendar, Due
from gateway.reference.service_levels import Limit, LimitUnit

STAGES: Mapping[CaseState, Limit] = {
    CaseState.FILED: Limit(2, LimitUnit.WORKING_HOURS),
    CaseState.REVIEW: Limit(4, LimitUnit.WORKING_HOURS),
    CaseState.CONFERENCE: Limit(1, LimitUnit.WORKING_DAYS),
    CaseState.OBJECTED: Limit(OBJECTION_DAYS, LimitUnit.WORKING_DAYS),
}
URGENT_STAGES: Mapping[CaseState, Limit] = {
    CaseState.FILED: Limit(1, LimitUnit.NATURAL_HOURS),
    CaseState.REVIEW: Limit(2, LimitUnit.NATURAL_HOURS),
    CaseState.CONFERENCE: Limit(8, LimitUnit.NATURAL_HOURS),
    CaseState.OBJECTED: Limit(24, LimitUnit.NATURAL_HOURS),
}
AGAIN_DAYS = 1  # working days for another ruling, after a body that was asked declined
OBJECTION = Limit(OBJECTION_DAYS, LimitUnit.WORKING_DAYS)


def stage_due(
    state: CaseState, facts: TicketFacts, *, entered: Instant, calendar: Calendar
) -> RulingDue | None:
    """Return until when a stage lasts that began at `entered`; None: it has no end of its own."""
    limit = (URGENT_STAGES if facts.urgency in URGENT else STAGES).get(state)
    return _due(limit.end(entered, calendar)) if limit is not None else None


def objection_end(*, issued: Instant, calendar: Calendar) -> Instant:
    """Return until when a party may object to a ruling."""
    return OBJECTION.end(issued, calendar).instant


def first_due(facts: TicketFacts, *, filed: Instant, calendar: Calendar) -> RulingDue:
    """Return until when a new case needs its first ruling: an urgent one an order within hours."""
    if facts.urgency in URGENT:
        return _due(calendar.add_natural_hours(filed, ORDER_HOURS))
    return ruling_due(filed=filed, calendar=calendar)


def ruling_due(*, filed: Instant, calendar: Calendar) -> RulingDue:
    """Return until when a case needs its ruling proper."""
    return _due(calendar.add_working_days(filed, RULING_DAYS))


def again_due(*, declined: Instant, calendar: Calendar) -> RulingDue:
    """Return until when a case needs another ruling, whose body declined: it is heard already."""
    return _due(calendar.add_working_days(declined, AGAIN_DAYS))


def _due(due: Due) -> RulingDue:
    return RulingDue(due.instant, due.provisional)
