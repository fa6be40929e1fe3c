"""Requests (商请) to vertically managed bodies, which only their own line can bind. Pure.

A request moves nothing: the unit that is bound keeps the lead and the duty of care, and the clocks
run. The body is asked first; when its time is over the next one of its line is (`climb`), and the
last one's silence ends the request. An acceptance, also of a superior, is one for the body. The
body reads along (阅知) meanwhile, so that it can judge. A request is void when the bound
assignment ends otherwise: `lapsed` is asked after every step.
"""

from __future__ import annotations

from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    DispatchMode,
    ReturnReason,
    UnitRequestState,
)
from gateway.kernel.errors import (
    FieldInvalid,
    QuotaExceeded,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.tickets.changes import Fact, done, event_of
from gateway.tickets.model import (
    ASSIGNMENTS_MAX,
    REQUESTS_MAX,
    Act,
    Assignment,
    Change,
    Ticket,
    TicketEvent,
    UnitPlace,
    UnitRequest,
)
from gateway.tickets.states import ASSIGNMENT, REQUEST, Step

VOID = "request.void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Whom to ask until when; the case, ruling or return that led to it."""

    place: UnitPlace
    due: Instant
    case: str = ""
    ruling: int = 0
    return_number: int = 0


def ask(ticket: Ticket, act: Act, wish: Wish) -> Change:
    """Ask a body; the lead stays where it is, and the body reads along.

    Raises:
        TransitionNotAllowed: a request is open, nobody here is bound, or the body leads already.
        QuotaExceeded: the ticket holds no more requests.
    """
    lead, unit = ticket.lead, wish.place.unit
    if ticket.followed or lead is None or not lead.is_open:
        raise _refused(ticket, "followed" if ticket.followed else ticket.state.name, "none")
    if lead.unit == unit:
        raise _refused(ticket, f"led by {unit} already", "none: it accepted")
    if ticket.open_request is not None:
        waiting = ticket.open_request
        raise _refused(ticket, f"waiting for {waiting.asked}", f"answer request {waiting.number}")
    if len(ticket.unit_requests) >= REQUESTS_MAX:
        got = len(ticket.unit_requests) + 1
        raise QuotaExceeded(quota=f"requests of {ticket.name}", got=got, expected=REQUESTS_MAX)
    made = UnitRequest(
        number=len(ticket.unit_requests) + 1,
        unit=unit,
        asked=unit,
        state=UnitRequestState.ASKED,
        bound=lead.number,
        bound_unit=lead.unit,
        ask_time=act.now,
        due_time=wish.due,
        filer=act.actor,
        case=wish.case,
        ruling=wish.ruling,
        return_number=wish.return_number,
    )
    changed = replace(ticket, unit_requests=(*ticket.unit_requests, made))
    changed = read_along(changed, act, wish.place)
    facts = (("bound", made.bound_unit), ("due", made.due_time.isoformat()))
    return done(changed, act, _event(changed, act, "request.asked", made, *facts))


def find(ticket: Ticket, number: int) -> UnitRequest:
    """Return the request with a number.

    Raises:
        ResourceNotFound: there is none.
    """
    for item in ticket.unit_requests:
        if item.number == number:
            return item
    raise ResourceNotFound(kind="request", name=f"{ticket.name} request {number}")


def climb(ticket: Ticket, act: Act, *, number: int, to: str, due: Instant) -> Change:
    """Ask the next one of the body's line, because the one before said nothing in time."""
    found, state = _step(ticket, number, Step.CLIMB)
    climbed = replace(found, state=state, asked=to, due_time=due)
    facts = (("from", found.asked), ("to", to), ("due", due.isoformat()))
    return _changed(ticket, act, "request.climbed", climbed, *facts)


def accept(ticket: Ticket, act: Act, *, number: int, clause: str) -> Change:
    """Note that the body takes the ticket; `machine.hand_on` moves the lead in the same change.

    Raises:
        TransitionNotAllowed: it was answered, or is void.
    """
    found, state = _step(ticket, number, Step.ACCEPT)
    taken = replace(found, state=state, answer_time=act.now, clause=clause)
    return _changed(unread(ticket, found.unit, helps=False), act, "request.accepted", taken)


def decline(ticket: Ticket, act: Act, *, number: int, reason: ReturnReason, clause: str) -> Change:
    """Note that the body does not take it; the bound unit goes on.

    Raises:
        FieldInvalid: no reason is given.
        TransitionNotAllowed: it was answered, or is void.
    """
    if reason is ReturnReason.UNSPECIFIED:
        raise FieldInvalid(field="reason", got="nothing", expected="why it is not the body's")
    found, state = _step(ticket, number, Step.DECLINE)
    declined = replace(found, state=state, answer_time=act.now, reason=reason, clause=clause)
    told = ("reason", reason.name)
    return _changed(unread(ticket, found.unit), act, "request.declined", declined, told)


def run_out(ticket: Ticket, act: Act, *, number: int) -> Change:
    """Note that nobody of the body's line answered; the bound unit goes on."""
    found, state = _step(ticket, number, Step.RUN_OUT)
    over = replace(found, state=state, answer_time=act.now)
    return _changed(unread(ticket, found.unit), act, "request.unanswered", over)


def lapsed(ticket: Ticket, act: Act) -> tuple[Ticket, tuple[TicketEvent, ...]]:
    """Return the ticket without a request whose bound assignment is over, and what to record."""
    waiting = ticket.open_request
    if waiting is None:
        return ticket, ()
    held = (item for item in ticket.assignments if item.number == waiting.bound)
    if not ticket.followed and not ticket.is_final and any(item.is_open for item in held):
        return ticket, ()
    return voided(ticket, act)


def voided(ticket: Ticket, act: Act) -> tuple[Ticket, tuple[TicketEvent, ...]]:
    """Return the ticket without a request: its object is gone, or a ruling says otherwise."""
    waiting = ticket.open_request
    if waiting is None:
        return ticket, ()
    gone = replace(waiting, state=REQUEST[(waiting.state, Step.LAPSE)], answer_time=act.now)
    changed = _with(unread(ticket, waiting.unit), gone)
    return changed, (_event(changed, act, VOID, gone),)


def read_along(ticket: Ticket, act: Act, place: UnitPlace) -> Ticket:
    """Return the ticket that a unit sees (阅知); without room for it, nothing changes."""
    number = len(ticket.assignments) + 1
    is_known = any(item.unit == place.unit and item.is_standing for item in ticket.assignments)
    if is_known or number >= ASSIGNMENTS_MAX:
        return ticket
    made = Assignment(
        number=number,
        unit=place.unit,
        unit_name=place.name,
        platform=place.platform,
        role=AssignmentRole.READ,
        state=AssignmentState.ASSIGNED,
        mode=DispatchMode.MANUAL,
        assign_time=act.now,
    )
    return replace(ticket, assignments=(*ticket.assignments, made))


def unread(ticket: Ticket, unit: str, *, helps: bool = True) -> Ticket:
    """Return the ticket that a unit reads along no more, nor `helps` with: it leads then."""
    for item in ticket.assignments:
        is_over = item.role is AssignmentRole.READ or not (helps or item.is_lead)
        state = ASSIGNMENT.get((item.state, Step.END))
        if item.unit == unit and is_over and item.is_open and state is not None:
            ticket = ticket.with_assignment(replace(item, state=state))
    return ticket


# --- parts ------------------------------------------------------------------------------------


def _step(ticket: Ticket, number: int, step: Step) -> tuple[UnitRequest, UnitRequestState]:
    found = find(ticket, number)
    state = REQUEST.get((found.state, step))
    if ticket.followed or state is None:
        raise TransitionNotAllowed(
            name=f"{ticket.name} request {number}",
            state="followed" if ticket.followed else found.state.name,
            event=step.value,
            allowed="none: only an open request is answered, by whom it asks",
        )
    return found, state


def _refused(ticket: Ticket, state: str, allowed: str) -> TransitionNotAllowed:
    return TransitionNotAllowed(name=ticket.name, state=state, event="request", allowed=allowed)


def _changed(ticket: Ticket, act: Act, kind: str, item: UnitRequest, *facts: Fact) -> Change:
    changed = _with(ticket, item)
    return done(changed, act, _event(changed, act, kind, item, *facts))


def _with(ticket: Ticket, changed: UnitRequest) -> Ticket:
    items = tuple(
        changed if item.number == changed.number else item for item in ticket.unit_requests
    )
    return replace(ticket, unit_requests=items)


def _event(ticket: Ticket, act: Act, kind: str, item: UnitRequest, *facts: Fact) -> TicketEvent:
    known = (("request", str(item.number)), ("unit", item.unit))
    return event_of(ticket, act, kind, *known, *facts)
