"""What a city platform shows (code AS), computed from the machines, which know nothing of it.

A ticket at the desk waits for dispatch (待派) although the desk is responsible. A followed
ticket was handed to another authority (转出) until it is settled there.
"""

from __future__ import annotations

from gateway.kernel.codes import AssignmentState, PlatformState, TicketState
from gateway.tickets.model import Ticket

_FIXED = {
    TicketState.RECEIVED: PlatformState.TO_DISPATCH,
    TicketState.RESOLVED: PlatformState.TO_CALL_BACK,
    TicketState.REOPENED: PlatformState.REDONE,
    TicketState.CLOSED: PlatformState.CLOSED,
    TicketState.MERGED: PlatformState.MERGED,
    TicketState.REFERRED: PlatformState.TRANSFERRED_OUT,
    TicketState.WITHDRAWN: PlatformState.ENDED,
}


def platform_state(ticket: Ticket) -> PlatformState:
    """Return the state that a platform shows for this copy."""
    if ticket.case and not ticket.is_final:
        return PlatformState.DISPUTED
    if ticket.followed and ticket.state not in {TicketState.RESOLVED, TicketState.CLOSED}:
        return PlatformState.TRANSFERRED_OUT
    fixed = _FIXED.get(ticket.state)
    if fixed is not None:
        return fixed
    lead = ticket.lead
    if lead is None or lead.is_desk:
        return PlatformState.TO_DISPATCH
    if lead.state is AssignmentState.CONTACTED:
        return PlatformState.CONTACTED
    if ticket.state is TicketState.HANDLING:
        return PlatformState.HANDLING
    return PlatformState.TO_SIGN
