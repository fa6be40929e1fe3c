"""Returns (退单): a unit's wish to give its assignment back. Pure.

Until the desk grants it the unit stays responsible and the clock runs (I9): a return moves nothing.
A unit returns an assignment once, within its window, and names a clause and whose it is instead; a
ticket is returned twice at most, then the desk decides with everybody concerned (会商). Granting
ends the assignment; who has it then is `machine.hand_on`'s, in the same change. A return lapses
when its assignment ends otherwise, whatever ends it: `lapsed` is asked after every step.
"""

from __future__ import annotations

from gateway.kernel.codes import ReturnReason, ReturnState, Urgency
from gateway.kernel.errors import (
    FieldInvalid,
    QuotaExceeded,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.reference.calendar import Calendar
from gateway.reference.service_levels import Limit, LimitUnit
from gateway.tickets.changes import Fact, done, event_of
from gateway.tickets.model import RETURNS_MAX, Act, Assignment, Change, Return, Ticket, TicketEvent
from gateway.tickets.states import RETURN, Step

RETURNS_PER_UNIT_MAX = 1
RETURNS_PER_TICKET_MAX = 2  # the third is no return any more but a dispute
REASONS_OF_TRANSFERS = frozenset({ReturnReason.LOOP, ReturnReason.HOPS})
"""What is wrong with a hand-over between authorities, never with an assignment inside one."""
WINDOW_URGENT = Limit(2, LimitUnit.NATURAL_HOURS)
WINDOW = Limit(4, LimitUnit.WORKING_HOURS)
REVIEW_URGENT = Limit(4, LimitUnit.NATURAL_HOURS)
REVIEW = Limit(1, LimitUnit.WORKING_DAYS)
_URGENT = frozenset({Urgency.EMERGENCY, Urgency.URGENT})
_KEEPS = "none: the unit goes on; tell the desk (研判席), which decides who handles it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """What a unit says when it gives an assignment back."""

    assignment: int
    reason: ReturnReason
    clause: str
    proposed_owner: str
    window_end: Instant
    review_due: Instant


def window_end(ticket: Ticket, assignment: Assignment, calendar: Calendar) -> Instant:
    """Return until when an assignment may be returned."""
    limit = WINDOW_URGENT if ticket.urgency in _URGENT else WINDOW
    return limit.end(assignment.assign_time, calendar).instant


def review_due(ticket: Ticket, now: Instant, calendar: Calendar) -> Instant:
    """Return until when the desk must decide about a return that is filed now."""
    limit = REVIEW_URGENT if ticket.urgency in _URGENT else REVIEW
    return limit.end(now, calendar).instant


def file(ticket: Ticket, act: Act, filing: Filing) -> Change:
    """Record a return; the unit stays responsible.

    Raises:
        FieldInvalid: the reason is one of hand-overs, or the owner is the unit itself.
        TransitionNotAllowed: the assignment is not open, the window is over, or it was tried
            before; the error says what to do instead.
        QuotaExceeded: the ticket holds no more returns.
    """
    if filing.reason in REASONS_OF_TRANSFERS:
        raise FieldInvalid(
            field="reason", got=filing.reason.name, expected="a reason of a unit, not of a transfer"
        )
    assignment = _returnable(ticket, filing.assignment)
    if filing.proposed_owner == assignment.unit:
        raise FieldInvalid(
            field="proposed_owner", got=filing.proposed_owner, expected="not the unit itself"
        )
    _check_tries(ticket, assignment)
    if act.now > filing.window_end:
        raise _refused(
            ticket, f"returnable until {filing.window_end.isoformat()}, which is over", _KEEPS
        )
    if len(ticket.returns) >= RETURNS_MAX:
        raise QuotaExceeded(
            quota=f"returns of {ticket.name}", got=len(ticket.returns) + 1, expected=RETURNS_MAX
        )
    made = Return(
        number=len(ticket.returns) + 1,
        assignment=assignment.number,
        unit=assignment.unit,
        state=ReturnState.FILED,
        reason=filing.reason,
        clause=filing.clause,
        proposed_owner=filing.proposed_owner,
        file_time=act.now,
        review_due_time=filing.review_due,
        filer=act.actor,
    )
    changed = replace(ticket, returns=(*ticket.returns, made))
    facts = (("reason", made.reason.name), ("proposed_owner", made.proposed_owner))
    return done(changed, act, _event(changed, act, "return.filed", made, *facts))


def find(ticket: Ticket, number: int) -> Return:
    """Return the return with a number.

    Raises:
        ResourceNotFound: there is none.
    """
    for item in ticket.returns:
        if item.number == number:
            return item
    raise ResourceNotFound(kind="return", name=f"{ticket.name} return {number}")


def review(ticket: Ticket, act: Act, *, number: int, is_granted: bool, basis: str) -> Change:
    """Decide about a return; one that is refused leaves the assignment with its unit (强制派单).

    Raises:
        TransitionNotAllowed: it is decided or lapsed, or the ticket is held elsewhere.
    """
    found = find(ticket, number)
    step = Step.GRANT if is_granted else Step.REFUSE
    state = RETURN.get((found.state, step))
    if ticket.followed or state is None:
        shown = "followed" if ticket.followed else found.state.name
        raise TransitionNotAllowed(
            name=f"{ticket.name} return {number}",
            state=shown,
            event=step.value,
            allowed="none: only a filed return is reviewed, by the custodian",
        )
    decided = replace(found, state=state, review_time=act.now, review_basis=basis)
    changed = _with(ticket, decided)
    kind = "return.granted" if is_granted else "return.refused"
    return done(changed, act, _event(changed, act, kind, decided))


def overdue(ticket: Ticket, act: Act, *, number: int) -> Change:
    """Tell that the desk has not decided in time; nothing else changes, and never twice."""
    found = next((item for item in ticket.returns if item.number == number), None)
    if ticket.followed or found is None or found.state is not ReturnState.FILED:
        return Change(ticket)
    return done(ticket, act, _event(ticket, act, "return.overdue", found))


def lapsed(ticket: Ticket, act: Act) -> tuple[Ticket, tuple[TicketEvent, ...]]:
    """Return the ticket without a return whose assignment is over, and what to record."""
    waiting = ticket.open_return
    if waiting is None:
        return ticket, ()
    held = (item for item in ticket.assignments if item.number == waiting.assignment)
    if not ticket.followed and not ticket.is_final and any(item.is_open for item in held):
        return ticket, ()
    gone = replace(
        waiting, state=RETURN[(waiting.state, Step.LAPSE)], review_time=act.now, review_basis=""
    )
    changed = _with(ticket, gone)
    return changed, (_event(changed, act, "return.lapsed", gone),)


def _returnable(ticket: Ticket, number: int) -> Assignment:
    found = next((item for item in ticket.assignments if item.number == number), None)
    if ticket.followed or ticket.is_final:
        raise _refused(ticket, "followed" if ticket.followed else ticket.state.name, "none")
    if found is None or not found.is_open:
        raise _refused(ticket, f"{ticket.state.name}, assignment {number} is not open", "none")
    if found.is_desk:
        raise _refused(ticket, f"{ticket.state.name} at the desk", "assign, or offer it")
    return found


def _check_tries(ticket: Ticket, assignment: Assignment) -> None:
    """Return if neither the unit nor the ticket has had its returns; lapsed ones do not count."""
    if ticket.open_return is not None:
        waiting = ticket.open_return.number
        raise _refused(ticket, f"waiting for the review of return {waiting}", "review that one")
    tried = [item for item in ticket.returns if item.state is not ReturnState.LAPSED]
    if sum(item.unit == assignment.unit for item in tried) >= RETURNS_PER_UNIT_MAX:
        raise _refused(ticket, f"returned by {assignment.unit} already", _KEEPS)
    if len(tried) >= RETURNS_PER_TICKET_MAX:
        raise _refused(ticket, f"returned {len(tried)} times already", _KEEPS)


def _refused(ticket: Ticket, state: str, allowed: str) -> TransitionNotAllowed:
    return TransitionNotAllowed(name=ticket.name, state=state, event="return", allowed=allowed)


def _with(ticket: Ticket, changed: Return) -> Ticket:
    items = tuple(changed if item.number == changed.number else item for item in ticket.returns)
    return replace(ticket, returns=items)


def _event(ticket: Ticket, act: Act, kind: str, item: Return, *facts: Fact) -> TicketEvent:
    known = (("return", str(item.number)), ("unit", item.unit))
    return event_of(ticket, act, kind, *known, *facts)
