"""What is kept of a rule's offers and fallbacks: to whom, until when, and who is asked next."""

from __future__ import annotations

from gateway.custody.model import OfferReason
from gateway.database.table import Json, Table
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass
from gateway.reference.calendar import Calendar
from gateway.reference.service_levels import Limit, LimitUnit
from gateway.routing.model import Decision, FallbackPlan
from gateway.tickets.model import Ticket

FALLBACK_TIMER = "dispatch.fallback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """What an offer of custody says besides the ticket; without a window the profile's holds."""

    target: AuthorityCode
    reason: OfferReason
    rule: str
    trace_digest: bytes
    window_end: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackRow:
    """The plan of the newest decision about a ticket."""

    authority: str
    ticket: str
    trace_digest: bytes
    rule: str
    hours: int
    is_working: bool
    targets: Json


FALLBACKS = Table("fallbacks", FallbackRow, key=("authority", "ticket"))


def window_of(plan: FallbackPlan | FallbackRow, now: Instant, calendar: Calendar) -> Instant:
    """Return until when who is asked now may accept."""
    unit = LimitUnit.WORKING_HOURS if plan.is_working else LimitUnit.NATURAL_HOURS
    return Limit(plan.hours, unit).end(now, calendar).instant


def keep_plan(
    uow: UnitOfWork, ticket: Ticket, decision: Decision, *, now: Instant, calendar: Calendar
) -> None:
    """Keep the plan of a decision that was carried out, if it has one, and its timer."""
    plan = decision.fallback
    if plan is None:
        return
    row = FallbackRow(
        authority=ticket.authority,
        ticket=ticket.number,
        trace_digest=decision.trace_digest,
        rule=decision.rule,
        hours=plan.hours,
        is_working=plan.is_working,
        targets=list(plan.targets),
    )
    keep(uow, row, now=now, calendar=calendar)


def keep(uow: UnitOfWork, row: FallbackRow, *, now: Instant, calendar: Calendar) -> None:
    """Keep a plan, and look again when who is asked now may accept no more."""
    uow.put(FALLBACKS, row)
    key = f"{row.authority}/{row.ticket}"
    schedule(uow, kind=FALLBACK_TIMER, key=key, due=window_of(row, now, calendar))
