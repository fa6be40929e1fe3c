"""When a ruling is due: pure, by the working calendar (practice: model.py)."""

from __future__ import annotations

from gateway.arbitration.model import ORDER_HOURS, RULING_DAYS, URGENT, RulingDue, TicketFacts
from gateway.kernel.time import Instant
from gateway.reference.calendar import Calendar, Due


def first_due(facts: TicketFacts, *, filed: Instant, calendar: Calendar) -> RulingDue:
    """Return until when a new case needs its first ruling: an urgent one an order within hours."""
    if facts.urgency in URGENT:
        return _due(calendar.add_natural_hours(filed, ORDER_HOURS))
    return ruling_due(filed=filed, calendar=calendar)


def ruling_due(*, filed: Instant, calendar: Calendar) -> RulingDue:
    """Return until when a case needs its ruling proper."""
    return _due(calendar.add_working_days(filed, RULING_DAYS))


def _due(due: Due) -> RulingDue:
    return RulingDue(due.instant, due.provisional)
