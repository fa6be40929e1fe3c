"""How a pure step ends: the new copy with its revision raised, and the events to record."""

from __future__ import annotations

from gateway.kernel.values import replace
from gateway.tickets.model import Act, Change, Ticket, TicketEvent

Fact = tuple[str, str]


def event_of(ticket: Ticket, act: Act, kind: str, *facts: Fact) -> TicketEvent:
    """Return an event that shows the state of `ticket`."""
    return TicketEvent(kind, act, ticket.state, facts)


def done(ticket: Ticket, act: Act, *events: TicketEvent) -> Change:
    """Return the change of a step."""
    return Change(replace(ticket, revision=ticket.revision + 1, update_time=act.now), events)


def then(first: Change, second: Change) -> Change:
    """Return two steps as one change; the second began where the first ended."""
    return Change(second.ticket, (*first.events, *second.events))
