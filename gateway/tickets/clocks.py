"""The two clocks of a ticket (I9), from the service-level profile of its origin.

The dispatch clock starts at receipt. The handling clock starts at the first dispatch or when the
dispatch limit ends, whichever is first; `due_time` is fixed at the first dispatch, from the
cross-region profile when the ticket then leaves its province, and travels with every offer. Until
then a ticket shows the due time it would have if it waited to the end of the dispatch limit.
"""

from __future__ import annotations

from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant, day_of
from gateway.reference.data import ReferenceData
from gateway.reference.service_levels import ServiceLevel, due, recompute
from gateway.tickets.extensions import granted_until
from gateway.tickets.model import Clocks, Ticket


def profile_of(
    ticket: Ticket, reference: ReferenceData, *, region: AuthorityCode, cross_region: bool
) -> ServiceLevel:
    """Return the limits of `ticket` at `region`."""
    return reference.service_levels.profile_for(
        region=region,
        ticket_type=ticket.type,
        urgency=ticket.urgency,
        matter=ticket.matter,
        on=day_of(ticket.received_time),
        cross_region=cross_region,
    )


def clocks_at_receipt(ticket: Ticket, reference: ReferenceData) -> Clocks:
    """Return the clocks of a ticket that nobody has dispatched yet."""
    profile = profile_of(ticket, reference, region=ticket.origin, cross_region=False)
    end = profile.dispatch.end(ticket.received_time, reference.calendar).instant
    return _clocks(profile, ticket, reference, dispatched=end)


def clocks_at_dispatch(
    ticket: Ticket, reference: ReferenceData, *, now: Instant, cross_region: bool
) -> Clocks:
    """Return the clocks that the first dispatch at `now` fixes; later ones change nothing."""
    profile = profile_of(ticket, reference, region=ticket.origin, cross_region=cross_region)
    return _clocks(profile, ticket, reference, dispatched=now)


def clocks_again(ticket: Ticket, reference: ReferenceData, *, cross_region: bool) -> Clocks:
    """Return the clocks with the calendar as it is known now; a granted extension is kept.

    Who took the ticket over cannot tell what was granted before from what was counted, so there the
    due time only moves to a later instant.
    """
    profile = profile_of(ticket, reference, region=ticket.origin, cross_region=cross_region)
    is_taken_over = ticket.authority != ticket.origin
    times = recompute(
        profile,
        ticket.received_time,
        reference.calendar,
        dispatched=ticket.first_dispatch_time,
        extended_to=ticket.due_time if is_taken_over else granted_until(ticket),
    )
    return Clocks(times.dispatch_due, times.resolve_due, times.provisional)


def _clocks(
    profile: ServiceLevel, ticket: Ticket, reference: ReferenceData, *, dispatched: Instant
) -> Clocks:
    times = due(profile, ticket.received_time, reference.calendar, dispatched=dispatched)
    return Clocks(times.dispatch_due, times.resolve_due, times.provisional)
