"""A dispute of units on the copy of its ticket: pure, each step returns the new copy.

While it is open nothing else changes: the lead unit stays responsible, signs and contacts, and
every clock runs (I9). It is about who of this authority leads, so it ends by itself when that is
settled otherwise: the ticket leaves or is offered, is resolved or ended, its lead changes by
consent, or a case of a wider scope opens. A ruling closes it, and what it put somewhere stays.
"""

from __future__ import annotations

from gateway.kernel.codes import DispatchMode, TicketState
from gateway.kernel.values import replace
from gateway.tickets.changes import done, event_of
from gateway.tickets.model import Act, Assignment, Change, Ticket, TicketEvent

OPENED, ENDED = "case.opened", "case.ended"
BY_RULING = frozenset({DispatchMode.RULING, DispatchMode.FIRST_RECEIVER})
"""How a unit came to an assignment that it cannot give back any more."""


RULED_RULE = "ruling."
"""How the id of a rule begins that a ruling proposed (docs/arbitration.md#proposals)."""


def prefix_of(ticket: Ticket) -> str:
    """Return how the number of every dispute of this copy's units begins."""
    return f"{ticket.number}-{ticket.authority}-0-"


def is_between_units(ticket: Ticket) -> bool:
    """Tell whether the ticket waits for a ruling among units of this authority."""
    return ticket.case.startswith(prefix_of(ticket))


def opened(ticket: Ticket, act: Act, *, case: str, cause: str) -> Change:
    """Note that the ticket waits for a ruling; a case of units makes room for a wider one."""
    if ticket.case == case:
        return Change(ticket)
    changed, gone = ended(ticket, act)
    changed = replace(changed, case=case)
    told = event_of(changed, act, OPENED, ("case", case), ("cause", cause))
    return done(changed, act, *gone, told)


def ended(ticket: Ticket, act: Act) -> tuple[Ticket, tuple[TicketEvent, ...]]:
    """Return the copy without a dispute of units, which has no object any more."""
    if not is_between_units(ticket):
        return ticket, ()
    changed = replace(ticket, case="")
    return changed, (event_of(changed, act, ENDED, ("case", ticket.case)),)


def settled(ticket: Ticket, act: Act) -> tuple[Ticket, tuple[TicketEvent, ...]]:
    """Return the copy after a step: one that is resolved, ended or followed is in no dispute."""
    is_over = ticket.followed or ticket.is_final or ticket.state is TicketState.RESOLVED
    return ended(ticket, act) if is_over else (ticket, ())


def bound(ticket: Ticket, act: Act, *, mode: DispatchMode) -> Change:
    """Let the lead unit keep what it has by a ruling; it cannot give it back any more."""
    lead = ticket.lead
    if lead is None or lead.is_desk or lead.mode in BY_RULING:
        return Change(ticket)
    changed = ticket.with_assignment(replace(lead, mode=mode))
    facts = (("assignment", str(lead.number)), ("unit", lead.unit))
    return done(changed, act, event_of(changed, act, "assignment.upheld", *facts))


def return_bar(ticket: Ticket, assignment: Assignment) -> str:
    """Return why a unit may not give its assignment back now, or an empty text."""
    if ticket.case:
        return f"in case {ticket.case}"
    if assignment.mode in BY_RULING:
        return f"with {assignment.unit} by a ruling"
    if is_by_ruled_rule(ticket, assignment):
        return f"with {assignment.unit} by a rule that a ruling made"
    return ""


def is_by_ruled_rule(ticket: Ticket, assignment: Assignment) -> bool:
    """Tell whether a rule that came out of a ruling put it there: the same quarrel ends there."""
    decision = ticket.decision
    return (
        assignment.mode is DispatchMode.RULE
        and decision is not None
        and decision.rule.startswith(RULED_RULE)
        and decision.target == assignment.unit
    )
