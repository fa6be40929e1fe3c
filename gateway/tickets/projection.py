"""What a city platform shows (code AS), computed from the machines, which know nothing of it.

A ticket at the desk waits for dispatch (待派) although the desk is responsible. A followed
ticket was handed to another authority (转出) until it is settled there. What waits for the desk
(退单, 延期) goes before where the work stands; a refused return shows until its unit signs, a
granted extension until the unit contacts the citizen.
"""

from __future__ import annotations

from gateway.kernel.codes import (
    AssignmentState,
    ExtensionState,
    PlatformState,
    ReturnState,
    TicketState,
)
from gateway.tickets.model import Assignment, Ticket

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
    if ticket.open_return is not None:
        return PlatformState.RETURN_FILED
    if ticket.followed and ticket.state not in {TicketState.RESOLVED, TicketState.CLOSED}:
        return PlatformState.TRANSFERRED_OUT
    fixed = _FIXED.get(ticket.state)
    if fixed is not None:
        return fixed
    lead = ticket.lead
    if lead is None or lead.is_desk:
        return PlatformState.TO_DISPATCH
    if ticket.open_extension is not None:
        return PlatformState.EXTENSION_ASKED
    return _at_unit(ticket, lead)


def _at_unit(ticket: Ticket, lead: Assignment) -> PlatformState:
    """Return how far the lead unit is."""
    if lead.state is AssignmentState.CONTACTED:
        return PlatformState.CONTACTED
    if ticket.state is TicketState.HANDLING:
        granted = ExtensionState.GRANTED
        is_extended = any(item.state is granted for item in ticket.extensions)
        return PlatformState.EXTENDED if is_extended else PlatformState.HANDLING
    refused = ReturnState.REFUSED
    is_kept = any(
        item.state is refused and item.assignment == lead.number for item in ticket.returns
    )
    return PlatformState.RETURN_REFUSED if is_kept else PlatformState.TO_SIGN
