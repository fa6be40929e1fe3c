"""The moment of a decision: day, minute and kind of day in Asia/Shanghai, from the calendar."""

from __future__ import annotations

from gateway.kernel.time import SHANGHAI, Instant
from gateway.routing.facts import DayKind, Moment
from gateway.routing.model import Reference


def moment_of(now: Instant, reference: Reference) -> Moment:
    """Return the moment of an instant; its kind of day is None in a year that nobody published."""
    local = now.astimezone(SHANGHAI)
    day, calendar = local.date(), reference.calendar
    kind: DayKind | None = None
    if calendar.is_known(day):
        kind = DayKind.WORKING if calendar.is_working_day(day) else DayKind.REST
    return Moment(day, local.hour * 60 + local.minute, kind)
