"""The steps of a ticket: pure, each returns the new copy and the events to record.

A step that `states.py` does not have raises `TransitionNotAllowed` and changes nothing. A
followed copy takes no step of its own; it obeys custody (`release`, `take_over`) and shows what
the custodian told (`follow`). Exactly one standing lead assignment exists while a unit or the desk
is responsible (the inner half of I2): a new lead ends the one before. Units leave the last of the
assignments that a ticket may have to the desk, so there is always somebody.
"""

from __future__ import annotations

from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    DispatchMode,
    EmergencyLine,
    Solved,
    TicketState,
)
from gateway.kernel.errors import QuotaExceeded, TransitionNotAllowed
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.tickets import changes, disputes, extensions, requests, returns
from gateway.tickets.model import (
    ASSIGNMENTS_MAX,
    Act,
    Assignment,
    Change,
    Clocks,
    EmergencyReferral,
    ExternalReferral,
    Outcome,
    Rating,
    RouteDecision,
    Ticket,
    TicketEvent,
    UnitPlace,
)
from gateway.tickets.states import ASSIGNMENT, EXTERNAL_ANSWER, TICKET, Step, allowed_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Commission:
    """One assignment to make: to whom, in which role, by when."""

    place: UnitPlace
    role: AssignmentRole
    mode: DispatchMode
    sign_due: Instant | None = None
    contact_due: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the custodian told about a ticket that this authority follows."""

    state: TicketState
    custodian: str
    assignments: tuple[Assignment, ...]
    decision: RouteDecision | None
    outcome: Outcome | None
    rating: Rating | None
    emergency: EmergencyReferral | None
    due_time: Instant | None = None  # as granted extensions moved it; None: it did not say


def receive(ticket: Ticket, act: Act, *, kind: str = "ticket.received") -> Change:
    """Record the first event of a new copy."""
    facts = [("origin", str(ticket.origin)), ("matter", ticket.matter)]
    if ticket.findings:
        codes = ",".join(dict.fromkeys(item.code.name for item in ticket.findings))
        facts.append(("findings", codes))
    return Change(ticket, (_event(ticket, act, kind, *facts),))


def assign(
    ticket: Ticket, act: Act, *, commissions: tuple[Commission, ...], clocks: Clocks
) -> Change:
    """Dispatch to a lead unit and any number of assisting ones; the lead before ends."""
    state = _next(ticket, Step.ASSIGN)
    undisputed, gone = disputes.ended(ticket, act)
    changed, events = _commission(undisputed, act, commissions)
    changed = replace(_started(changed, act.now, clocks), state=state)
    return _done(changed, act, *gone, *events)


def hand_on(ticket: Ticket, act: Act, *, number: int, to: Commission | None) -> Change:
    """End one assignment and give its role to another unit or the desk; the others stay.

    An assisting unit may go without anybody in its place (None); a lead never.
    """
    assignment = _assignment(ticket, number, "hand on")
    if to is None and assignment.is_lead:
        raise _refused(ticket, "end the lead assignment without a new one")
    ended = replace(assignment, state=_advanced(ticket, assignment, Step.END).state)
    changed = ticket.with_assignment(ended)
    events = [_about(changed, act, "assignment.reassigned", assignment)]
    if to is not None:
        changed, made = _added(changed, act, replace(to, role=assignment.role))
        events.append(made)
    if to is not None and assignment.is_lead:
        step = Step.TRIAGE if to.place.unit.endswith("-desk") else Step.ASSIGN
        changed, gone = disputes.ended(replace(changed, state=_next(ticket, step)), act)
        events += gone
    return _done(changed, act, *events)


def engage(ticket: Ticket, act: Act, *, commission: Commission) -> Change:
    """Have one more unit assist; the lead and the others stay."""
    lead = ticket.lead
    if ticket.followed or ticket.is_final or lead is None or not lead.is_open:
        raise _refused(ticket, "have a unit assist")
    changed, made = _added(ticket, act, replace(commission, role=AssignmentRole.ASSIST))
    return _done(changed, act, made)


def triage(ticket: Ticket, act: Act, *, desk: UnitPlace, reason: str) -> Change:
    """Put before a person at the desk; this is no dispatch, so the dispatch clock goes on."""
    state = _next(ticket, Step.TRIAGE)
    lead = ticket.lead
    events: tuple[TicketEvent, ...] = ()
    changed = ticket
    if lead is None or not lead.is_desk or not lead.is_open:
        changed, gone = disputes.ended(ticket, act)
        changed, events = _commission(changed, act, (_desk(desk),))
        events = (*gone, *events)
    changed = replace(changed, state=state)
    told = _event(changed, act, "ticket.triaged", ("unit", desk.unit), ("reason", reason))
    return _done(changed, act, told, *events)


def check_offer(ticket: Ticket) -> None:
    """Return if the ticket may be offered now: before custody signs an offer or files a case.

    Raises:
        TransitionNotAllowed: it is settled, reopened or held elsewhere.
    """
    _next(ticket, Step.OFFER)


def offer(ticket: Ticket, act: Act, *, target: str, epoch: str, clocks: Clocks) -> Change:
    """Note that custody was offered; the offer counts as the first dispatch."""
    state = _next(ticket, Step.OFFER)
    changed, gone = disputes.ended(ticket, act)
    changed = replace(_started(changed, act.now, clocks), state=state)
    offered = _event(changed, act, "transfer.offered", ("target", target), ("epoch", epoch))
    return _done(changed, act, offered, *gone)


def started(ticket: Ticket, act: Act, *, clocks: Clocks) -> Change:
    """Return the ticket with its clocks fixed, before an offer that carries them is signed."""
    return Change(_started(ticket, act.now, clocks))


def refer(ticket: Ticket, act: Act, *, line: EmergencyLine, clocks: Clocks) -> Change:
    """Hand to an emergency line at once; final."""
    state = _next(ticket, Step.REFER)
    ended, events = _end_all(ticket, act)
    changed = replace(
        _started(ended, act.now, clocks),
        state=state,
        emergency_referral=EmergencyReferral(line, act.now),
    )
    return _done(
        changed, act, *events, _event(changed, act, "ticket.referred", ("line", line.name))
    )


def refer_externally(
    ticket: Ticket, act: Act, *, referral: ExternalReferral, desk: UnitPlace, clocks: Clocks
) -> Change:
    """Make out a hand-over sheet for a body outside the federation; the desk stays responsible."""
    state = _next(ticket, Step.REFER_EXTERNALLY)
    undisputed, gone = disputes.ended(ticket, act)
    changed, events = _commission(undisputed, act, (_desk(desk),))
    events = (*events, *gone)
    changed = replace(_started(changed, act.now, clocks), state=state, external_referral=referral)
    facts = (("region", referral.region), ("region_name", referral.region_name))
    return _done(changed, act, _event(changed, act, "ticket.referred_externally", *facts), *events)


def acknowledge(ticket: Ticket, act: Act, *, number: int, external_id: str) -> Change:
    """Note that the unit's platform has the assignment on disk; a repeat changes nothing."""
    assignment = _assignment(ticket, number, "acknowledge")
    if assignment.receive_time is not None:
        return Change(ticket)
    taken = replace(assignment, receive_time=act.now, platform_external_id=external_id)
    changed = ticket.with_assignment(taken)
    return _done(changed, act, _about(changed, act, "assignment.received", taken))


def sign(ticket: Ticket, act: Act, *, number: int) -> Change:
    """Let a unit take its assignment over."""
    assignment = _assignment(ticket, number, Step.SIGN.value)
    state = _next(ticket, Step.SIGN)
    signed = replace(
        _advanced(ticket, assignment, Step.SIGN),
        sign_time=act.now,
        receive_time=assignment.receive_time or act.now,
    )
    changed = replace(ticket.with_assignment(signed), state=state)
    return _done(changed, act, _about(changed, act, "assignment.signed", signed))


def contact(ticket: Ticket, act: Act, *, number: int, method: str, contact_time: Instant) -> Change:
    """Record that the unit contacted the citizen."""
    assignment = _assignment(ticket, number, Step.CONTACT.value)
    state = _next(ticket, Step.CONTACT)
    reached = _advanced(ticket, assignment, Step.CONTACT)
    reached = replace(reached, contact_time=assignment.contact_time or contact_time)
    changed = replace(ticket.with_assignment(reached), state=state)
    event = _about(changed, act, "assignment.contacted", reached, ("method", method))
    return _done(changed, act, event)


def resolve(ticket: Ticket, act: Act, *, number: int, solved: Solved) -> Change:
    """Record the result of the lead unit; assisting units are done with it."""
    assignment = _assignment(ticket, number, Step.RESOLVE.value)
    if not assignment.is_lead:
        raise _refused(ticket, f"{Step.RESOLVE.value} by an assisting unit")
    state = _next(ticket, Step.RESOLVE)
    finished = replace(_advanced(ticket, assignment, Step.RESOLVE), done_time=act.now)
    changed = ticket.with_assignment(finished)
    events = [_about(changed, act, "assignment.done", finished)]
    for other in changed.assignments:
        if other.is_open and not other.is_lead:
            target = ASSIGNMENT.get((other.state, Step.RESOLVE), AssignmentState.REASSIGNED)
            changed = changed.with_assignment(replace(other, state=target, done_time=act.now))
    changed = replace(changed, state=state, outcome=Outcome(solved, act.now))
    return _done(changed, act, *events, _event(changed, act, "ticket.resolved"))


def record_answer(ticket: Ticket, act: Act, *, solved: Solved) -> Change:
    """Record the answer of an external referral; the desk is done."""
    state = EXTERNAL_ANSWER.get(ticket.state)
    if ticket.followed or ticket.external_referral is None or state is None:
        raise _refused(ticket, "record an external answer")
    changed = replace(
        ticket,
        state=state,
        outcome=Outcome(solved, act.now),
        external_referral=replace(ticket.external_referral, answer_time=act.now),
    )
    lead = changed.lead
    if lead is not None and lead.is_open:
        finished = replace(lead, state=AssignmentState.DONE, done_time=act.now)
        changed = changed.with_assignment(finished)
    return _done(
        changed,
        act,
        _event(changed, act, "ticket.external_answered"),
        _event(changed, act, "ticket.resolved"),
    )


def rate(ticket: Ticket, act: Act, *, rating: Rating) -> Change:
    """Record what the citizen said; that closes the ticket."""
    state = _next(ticket, Step.RATE)
    rated = replace(ticket, rating=rating)
    score = ("satisfaction", rating.satisfaction.name)
    event = _event(rated, act, "ticket.rated", score)
    closed = replace(rated, state=state)
    return _done(closed, act, event, _event(closed, act, "ticket.closed"))


def close(ticket: Ticket, act: Act) -> Change:
    """Close a resolved ticket without a rating."""
    changed = replace(ticket, state=_next(ticket, Step.CLOSE))
    return _done(changed, act, _event(changed, act, "ticket.closed"))


# --- what custody decides ---------------------------------------------------------------------


def release(ticket: Ticket, act: Act, *, successor: str, epoch: str) -> Change:
    """Follow the ticket from now on; the assignments here end."""
    undisputed, gone = disputes.ended(ticket, act)
    ended, _ = _end_all(undisputed, act)
    changed = replace(ended, followed=True, custodian=successor, progress=(), case="")
    facts = (("target", successor), ("epoch", epoch))
    return _done(changed, act, _event(changed, act, "transfer.released", *facts), *gone)


def take_over(ticket: Ticket, act: Act, *, source: str, epoch: str) -> Change:
    """Hold the ticket from now on; what is not settled yet is to be dispatched again here."""
    held, ended = begun_anew(ticket, act)
    facts = (("source", source), ("epoch", epoch))
    return _done(held, act, _event(held, act, "transfer.accepted", *facts), *ended)


def begun_anew(ticket: Ticket, act: Act) -> tuple[Ticket, tuple[TicketEvent, ...]]:
    """Return the copy as a new term of its authority begins, and what to record.

    What is not settled is to be dispatched again, so who resolved it in an earlier term leads no
    more; what is settled keeps them.
    """
    held = replace(ticket, followed=False, custodian=str(ticket.authority), progress=())
    if ticket.state is TicketState.RESOLVED or ticket.is_final:
        return held, ()
    held = replace(held, state=TicketState.RECEIVED)
    events = []
    for each in ticket.assignments:
        if each.is_standing:
            held = held.with_assignment(replace(each, state=AssignmentState.REASSIGNED))
            events.append(_about(held, act, "assignment.reassigned", each))
    return held, tuple(events)


def follow(ticket: Ticket, act: Act, *, told: Told) -> Change:
    """Show what the custodian told."""
    changed = replace(
        ticket,
        state=told.state,
        custodian=told.custodian,
        progress=told.assignments,
        decision=told.decision or ticket.decision,
        outcome=told.outcome,
        rating=told.rating,
        emergency_referral=told.emergency,
        due_time=told.due_time or ticket.due_time,  # the custodian keeps the clock
        due_provisional=ticket.due_provisional and told.due_time in (None, ticket.due_time),
    )
    facts = (("custodian", told.custodian),)
    return _done(changed, act, _event(changed, act, "ticket.progressed", *facts))


def open_case(ticket: Ticket, act: Act, *, case: str, cause: str) -> Change:
    """Note that the ticket waits for a ruling."""
    return disputes.opened(ticket, act, case=case, cause=cause)


def withdraw(ticket: Ticket, act: Act) -> Change:
    """End a ticket whose message the citizen took back; final."""
    state = _next(ticket, Step.WITHDRAW)
    ended, events = _end_all(ticket, act)
    changed = replace(ended, state=state)
    return _done(changed, act, *events, _event(changed, act, "ticket.withdrawn"))


def merge(ticket: Ticket, act: Act, *, into: str) -> Change:
    """End a ticket that says what another one said before; that one is handled for both. Final."""
    state = _next(ticket, Step.MERGE)
    ended, events = _end_all(ticket, act)
    changed = replace(ended, state=state)
    return _done(changed, act, *events, _event(changed, act, "ticket.merged", ("into", into)))


def reopen(ticket: Ticket, act: Act) -> Change:
    """Have a resolved ticket handled again; its lead unit has signed for it and goes on."""
    changed = replace(ticket, state=_next(ticket, Step.REOPEN))
    lead = changed.lead
    if lead is not None:
        again = replace(_advanced(ticket, lead, Step.REOPEN), done_time=None)
        changed = changed.with_assignment(again)
    return _done(changed, act, _event(changed, act, "ticket.reopened"))


def note(ticket: Ticket, act: Act, kind: str, *facts: tuple[str, str]) -> Change:
    """Record an event that changes nothing else."""
    return _done(ticket, act, _event(ticket, act, kind, *facts))


def decided(ticket: Ticket, decision: RouteDecision) -> Ticket:
    """Return the ticket with the newest decision of this authority."""
    return replace(ticket, decision=decision)


# --- parts ------------------------------------------------------------------------------------


def _next(ticket: Ticket, step: Step) -> TicketState:
    found = TICKET.get((ticket.state, step))
    if ticket.followed or found is None:
        raise _refused(ticket, step.value)
    return found


def _refused(ticket: Ticket, event: str) -> TransitionNotAllowed:
    if ticket.followed:
        return TransitionNotAllowed(
            name=ticket.name, state="followed", event=event, allowed="none: its custodian acts"
        )
    allowed = ", ".join(allowed_steps(ticket.state)) or "none"
    return TransitionNotAllowed(
        name=ticket.name, state=ticket.state.name, event=event, allowed=allowed
    )


def _assignment(ticket: Ticket, number: int, event: str) -> Assignment:
    found = next((item for item in ticket.assignments if item.number == number), None)
    if found is None or not found.is_standing:
        raise _refused(ticket, f"{event} assignment {number}")
    return found


def _advanced(ticket: Ticket, assignment: Assignment, step: Step) -> Assignment:
    state = ASSIGNMENT.get((assignment.state, step))
    if state is None:
        held = (found.value for at, found in ASSIGNMENT if at is assignment.state)
        raise TransitionNotAllowed(
            name=f"{ticket.name} assignment {assignment.number}",
            state=assignment.state.name,
            event=step.value,
            allowed=", ".join(held) or "none",
        )
    return replace(assignment, state=state)


def _desk(desk: UnitPlace) -> Commission:
    return Commission(place=desk, role=AssignmentRole.LEAD, mode=DispatchMode.RULE)


def _commission(
    ticket: Ticket, act: Act, commissions: tuple[Commission, ...]
) -> tuple[Ticket, tuple[TicketEvent, ...]]:
    changed, events = _end_all(ticket, act)
    for each in commissions:
        changed, made = _added(changed, act, each)
        events = (*events, made)
    return changed, events


def _added(ticket: Ticket, act: Act, commission: Commission) -> tuple[Ticket, TicketEvent]:
    place = commission.place
    number = len(ticket.assignments) + 1
    held = [item.number for item in ticket.assignments if item.unit == place.unit and item.is_desk]
    if number > ASSIGNMENTS_MAX and held:
        number = held[-1]  # the desk can always have it: its last assignment begins again
    room = ASSIGNMENTS_MAX if place.unit.endswith("-desk") else ASSIGNMENTS_MAX - 1
    if number > room:
        raise QuotaExceeded(quota=f"assignments of {ticket.name}", got=number, expected=room)
    made = Assignment(
        number=number,
        unit=place.unit,
        unit_name=place.name,
        platform=place.platform,
        role=commission.role,
        state=AssignmentState.ASSIGNED,
        mode=commission.mode,
        assign_time=act.now,
        sign_due_time=commission.sign_due,
        contact_due_time=commission.contact_due,
    )
    others = tuple(item for item in ticket.assignments if item.number != number)
    ordered = sorted((*others, made), key=lambda item: item.number)
    changed = replace(ticket, assignments=tuple(ordered))
    return changed, _about(changed, act, "assignment.assigned", made)


def _end_all(ticket: Ticket, act: Act) -> tuple[Ticket, tuple[TicketEvent, ...]]:
    changed, events = ticket, []
    for each in ticket.assignments:
        state = ASSIGNMENT.get((each.state, Step.END))
        if state is not None:
            changed = changed.with_assignment(replace(each, state=state))
            events.append(_about(changed, act, "assignment.reassigned", each))
    return changed, tuple(events)


def _started(ticket: Ticket, now: Instant, clocks: Clocks) -> Ticket:
    """Set the due time at the first dispatch; afterwards no hand-over moves it (I9)."""
    if ticket.first_dispatch_time is not None:
        return ticket
    return replace(
        ticket,
        first_dispatch_time=now,
        dispatch_due_time=clocks.dispatch_due,
        due_time=clocks.due,
        due_provisional=clocks.provisional,
    )


def _event(ticket: Ticket, act: Act, kind: str, *facts: tuple[str, str]) -> TicketEvent:
    return changes.event_of(ticket, act, kind, *facts)


def _about(
    ticket: Ticket, act: Act, kind: str, assignment: Assignment, *facts: tuple[str, str]
) -> TicketEvent:
    numbered = (("assignment", str(assignment.number)), ("unit", assignment.unit), *facts)
    return _event(ticket, act, kind, *numbered)


def _done(ticket: Ticket, act: Act, *events: TicketEvent) -> Change:
    """Return the change of a step, after what waited for the desk and is void now."""
    changed, lapsed = returns.lapsed(ticket, act)
    changed, dropped = extensions.dropped(changed, act)
    changed, void = requests.lapsed(changed, act)
    changed, over = disputes.settled(changed, act)
    return changes.done(changed, act, *events, *lapsed, *dropped, *void, *over)
