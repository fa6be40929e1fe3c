"""Returns (退单): a unit's wish to give its assignment back. Pure.

Until it is decided the unit stays responsible and the clocks run (I9): a return moves nothing. A
unit returns an assignment once, within its window, and names a clause and whose it is instead; a
ticket is returned twice at most. The desk grants or refuses; or it says that a person is deciding,
proposes another unit, or asks something; each once. Another unit may say that the ticket is its
own. Silence is never consent: when the review is over a case opens, and so it does where granting
would move the ticket in a circle or on to a third unit (`ground`, `is_disclaimed`).

Granting ends the assignment; who has it then is `machine.hand_on`'s, in the same change. A return
lapses when its assignment ends otherwise, whatever ends it: `lapsed` is asked after every step.
"""

from __future__ import annotations

from gateway.kernel.codes import AssignmentRole, ReturnReason, ReturnState
from gateway.kernel.errors import (
    CasePending,
    FieldInvalid,
    QuotaExceeded,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.tickets import disputes
from gateway.tickets.changes import Fact, done, event_of
from gateway.tickets.model import RETURNS_MAX, Act, Assignment, Change, Return, Ticket, TicketEvent
from gateway.tickets.states import RETURN, Step

RETURNS_PER_UNIT_MAX = 1
RETURNS_PER_TICKET_MAX = 2  # the third is no return any more but a dispute
REFUSALS_MAX = 2  # the second refused return of a ticket is a dispute
REASONS_OF_TRANSFERS = frozenset({ReturnReason.LOOP, ReturnReason.HOPS})
"""What is wrong with a hand-over between authorities, never with an assignment inside one."""
_MOVING = frozenset({Step.GRANT, Step.AGREE})
_DECIDING = _MOVING | {Step.REFUSE, Step.STAND_BY, Step.COUNTER}
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


def file(ticket: Ticket, act: Act, filing: Filing) -> Change:
    """Record a return; the unit stays responsible.

    Raises:
        FieldInvalid: the reason is one of hand-overs, the clause is missing, or the owner is the
            unit itself; all of it at once.
        CasePending: a case decides already.
        TransitionNotAllowed: the assignment is not open, the window is over, or it was tried
            before; the error says what to do instead.
        QuotaExceeded: the ticket holds no more returns.
    """
    assignment = _returnable(ticket, filing.assignment)
    _check_words(filing, assignment)
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


def invalid(ticket: Ticket, act: Act, *, reason: str, missing: str) -> Change:
    """Record that a return was refused as invalid, and why; nothing else changes."""
    event = event_of(ticket, act, "return.invalid", ("reason", reason), ("missing", missing))
    return Change(ticket, (event,))


def find(ticket: Ticket, number: int) -> Return:
    """Return the return with a number.

    Raises:
        ResourceNotFound: there is none.
    """
    for item in ticket.returns:
        if item.number == number:
            return item
    raise ResourceNotFound(kind="return", name=f"{ticket.name} return {number}")


# --- the desk ---------------------------------------------------------------------------------


def review(ticket: Ticket, act: Act, *, number: int, is_granted: bool, basis: str) -> Change:
    """Decide about a return; one that is refused leaves the assignment with its unit (强制派单).

    Raises:
        TransitionNotAllowed: it is decided or lapsed, or the ticket is held elsewhere.
    """
    found, state = _step(ticket, number, Step.GRANT if is_granted else Step.REFUSE)
    found = _judged(found, act)
    decided = replace(found, state=state, review_time=act.now, review_basis=basis)
    kind = "return.granted" if is_granted else "return.refused"
    return _changed(ticket, act, kind, decided)


def stand_by(ticket: Ticket, act: Act, *, number: int, until: Instant) -> Change:
    """Tell that a person is deciding, until when; once, and the clocks run.

    Raises:
        TransitionNotAllowed: it was said before, or the return does not wait for the desk.
        FieldInvalid: that is no later than the review is due already.
    """
    found, state = _step(ticket, number, Step.STAND_BY)
    if until <= max(found.review_due_time, act.now):
        raise FieldInvalid(
            field="until_time",
            got=until.isoformat(),
            expected=f"after {found.review_due_time.isoformat()}, when the review is due anyway",
        )
    found = _judged(found, act)
    waits = replace(found, state=state, stand_by_time=act.now, review_due_time=until)
    return _changed(ticket, act, "return.stand_by", waits, ("until", until.isoformat()))


def counter(ticket: Ticket, act: Act, *, number: int, unit: str) -> Change:
    """Propose another unit; it has the ticket as soon as it, or the one that returns, agrees.

    Raises:
        TransitionNotAllowed: another one was proposed before, or the return does not wait.
        FieldInvalid: it is the unit that returns, or the one that it proposed itself.
    """
    found, state = _step(ticket, number, Step.COUNTER)
    if unit in (found.unit, found.proposed_owner):
        raise FieldInvalid(
            field="counter_proposal",
            got=unit,
            expected=f"neither {found.unit}, which returns it, nor its own proposal",
        )
    countered = replace(_judged(found, act), state=state, counter_proposal=unit)
    return _changed(ticket, act, "return.countered", countered, ("proposed_owner", unit))


def ask(ticket: Ticket, act: Act, *, number: int, question: str) -> Change:
    """Ask the unit that returns; responsibility and the review's time stay as they are.

    Raises:
        TransitionNotAllowed: it was asked before, or the return does not wait for the desk.
    """
    found, state = _step(ticket, number, Step.ASK)
    if found.question:
        raise _not_now(ticket, found, Step.ASK, "none: the unit is asked once a return")
    asked = replace(_judged(found, act), state=state, question=question)
    return _changed(ticket, act, "return.asked", asked)


def people(ticket: Ticket) -> tuple[str, ...]:
    """Return who filed returns of a ticket, and who answered or decided them."""
    names = (name for item in ticket.returns for name in (item.filer, *item.judges))
    return tuple(dict.fromkeys(name for name in names if name))


# --- units ------------------------------------------------------------------------------------


def inform(ticket: Ticket, act: Act, *, number: int, answer: str) -> Change:
    """Answer what the desk asked.

    Raises:
        TransitionNotAllowed: nothing was asked, or it is answered, or the return is decided.
    """
    found, state = _step(ticket, number, Step.INFORM)
    if not found.question or found.answer_time is not None:
        raise _not_now(ticket, found, Step.INFORM, "an open question of the desk is answered, once")
    informed = replace(found, state=state, answer=answer, answer_time=act.now)
    return _changed(ticket, act, "return.informed", informed)


def agree(ticket: Ticket, act: Act, *, number: int, unit: str) -> Change:
    """Agree to the desk's proposal, for the unit that returns or for the proposed one.

    Raises:
        TransitionNotAllowed: the desk has proposed nobody, or it is decided.
        FieldInvalid: the unit is neither of the two.
    """
    found, state = _step(ticket, number, Step.AGREE)
    if unit not in (found.unit, found.counter_proposal):
        raise FieldInvalid(
            field="agreed_by", got=unit, expected=f"{found.unit} or {found.counter_proposal}"
        )
    agreed = replace(found, state=state, review_time=act.now)
    return _changed(ticket, act, "return.agreed", agreed, ("agreed_by", unit))


def claim(ticket: Ticket, act: Act, *, unit: str) -> Change:
    """Close the return of the lead: another unit says that the ticket is its own (认领).

    Only who wants to give it away is relieved of it: while the return is open, or is what a case of
    units is about, which this ends.

    Raises:
        CasePending: a case of authorities decides.
        TransitionNotAllowed: the lead unit has returned nothing, so nobody wants to give it away.
        FieldInvalid: the unit is the one that returns it.
    """
    if not disputes.is_between_units(ticket):
        _check_case(ticket, Step.CLAIM.value)
    lead = ticket.lead
    mine = [item for item in ticket.returns if lead is not None and item.assignment == lead.number]
    state = RETURN.get((mine[-1].state, Step.CLAIM)) if mine else None
    is_wanted = bool(mine) and (mine[-1].is_open or disputes.is_between_units(ticket))
    is_led = lead is not None and lead.is_open and not ticket.followed
    if lead is None or state is None or not (is_wanted and is_led):
        raise TransitionNotAllowed(
            name=ticket.name,
            state="followed" if ticket.followed else ticket.state.name,
            event=Step.CLAIM.value,
            allowed="only while the lead unit wants to return it; else tell the desk (研判席)",
        )
    if unit == lead.unit:
        raise FieldInvalid(field="unit", got=unit, expected="another unit than the one that leads")
    assumed = replace(mine[-1], state=state, review_time=act.now)
    return _changed(ticket, act, "return.assumed", assumed, ("assumed_by", unit))


# --- what becomes a case ----------------------------------------------------------------------


def leads(ticket: Ticket) -> tuple[str, ...]:
    """Return the units that had the lead here, in order, the first receiver first."""
    units = (item.unit for item in ticket.assignments if item.is_lead and not item.is_desk)
    return tuple(dict.fromkeys(units))


def ground(ticket: Ticket, *, number: int, to: str) -> str:
    """Return why granting a return to a unit would be a dispute instead, or an empty text."""
    found = find(ticket, number)
    held = {item.number: item for item in ticket.assignments}
    if not held[found.assignment].is_lead:
        return ""
    if to in leads(ticket):
        return "path"
    moved = (item for item in ticket.returns if item.state is ReturnState.GRANTED)
    if any(held[item.assignment].is_lead and not held[item.assignment].is_open for item in moved):
        return "hops"
    return ""


def is_disclaimed(ticket: Ticket, made: Return) -> bool:
    """Tell whether the unit that a return names gave the ticket away by naming its filer."""
    return any(
        item.state is not ReturnState.LAPSED
        and (item.unit, item.proposed_owner) == (made.proposed_owner, made.unit)
        for item in ticket.returns
    )


def refusals(ticket: Ticket) -> tuple[Return, ...]:
    """Return the refused returns of a ticket."""
    return tuple(item for item in ticket.returns if item.state is ReturnState.REFUSED)


def dispute(ticket: Ticket, act: Act, *, number: int, cause: str) -> Change:
    """Leave a return to a case; the unit stays responsible until it is decided.

    Raises:
        TransitionNotAllowed: it is decided or lapsed.
    """
    found, state = _step(ticket, number, Step.DISPUTE)
    disputed = replace(found, state=state, review_time=act.now)
    return _changed(ticket, act, "return.disputed", disputed, ("cause", cause))


def overdue(ticket: Ticket, act: Act, *, number: int) -> Change:
    """Tell that the desk has not decided in time; nothing else changes, and never twice."""
    found = next((item for item in ticket.returns if item.number == number), None)
    if ticket.followed or found is None or not found.is_open:
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


# --- parts ------------------------------------------------------------------------------------


def _returnable(ticket: Ticket, number: int) -> Assignment:
    found = next((item for item in ticket.assignments if item.number == number), None)
    if ticket.followed or ticket.is_final:
        raise _refused(ticket, "followed" if ticket.followed else ticket.state.name, "none")
    if found is None or not found.is_open:
        raise _refused(ticket, f"{ticket.state.name}, assignment {number} is not open", "none")
    if found.is_desk:
        raise _refused(ticket, f"{ticket.state.name} at the desk", "assign, or offer it")
    if found.role is AssignmentRole.READ:
        raise _refused(ticket, f"only read along by {found.unit}", "none: it holds nothing")
    _check_case(ticket, "return")
    if bar := disputes.return_bar(ticket, found):
        raise _refused(ticket, bar, _KEEPS)
    return found


def _check_words(filing: Filing, assignment: Assignment) -> None:
    wrong: list[tuple[str, str, str]] = []
    if filing.reason in REASONS_OF_TRANSFERS or filing.reason is ReturnReason.UNSPECIFIED:
        name = filing.reason.name
        wrong.append(("reason", name, "a reason of a unit, not of a transfer"))
    if not filing.clause.strip():
        wrong.append(("clause", "nothing", "the legal or catalogue clause"))
    if filing.proposed_owner == assignment.unit:
        wrong.append(("proposed_owner", filing.proposed_owner, "not the unit itself"))
    if not wrong:
        return
    field, got, expected = wrong[0]
    rest = "; ".join(f"{name}: {what}" for name, _, what in wrong[1:])
    error = FieldInvalid(field=field, got=got, expected=expected, hint=rest)
    error.violations = tuple((name, what) for name, _, what in wrong)
    raise error


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


def _check_case(ticket: Ticket, event: str) -> None:
    if ticket.case:
        raise CasePending(ticket=ticket.number, case=ticket.case, event=event)


def _judged(found: Return, act: Act) -> Return:
    return replace(found, judges=tuple(dict.fromkeys((*found.judges, act.actor))))


def _step(ticket: Ticket, number: int, step: Step) -> tuple[Return, ReturnState]:
    """Return the return and its state after a step.

    Raises:
        ResourceNotFound: there is no such return.
        CasePending: a case decides.
        TransitionNotAllowed: its state, the ticket or a ruling does not allow the step.
    """
    found = find(ticket, number)
    state = RETURN.get((found.state, step))
    if step in _DECIDING:
        _check_case(ticket, step.value)
    held = (item for item in ticket.assignments if item.number == found.assignment)
    if step in _MOVING and any(item.mode in disputes.BY_RULING for item in held):
        raise _not_now(ticket, found, step, "none: a ruling put it there")
    if ticket.followed or state is None:
        steps = sorted(each.value for at, each in RETURN if at is found.state)
        allowed = ", ".join(steps) if steps and not ticket.followed else "none"
        raise _not_now(ticket, found, step, f"{allowed}: only an open return, by the custodian")
    return found, state


def _not_now(ticket: Ticket, found: Return, step: Step, allowed: str) -> TransitionNotAllowed:
    return TransitionNotAllowed(
        name=f"{ticket.name} return {found.number}",
        state="followed" if ticket.followed else found.state.name,
        event=step.value,
        allowed=allowed,
    )


def _refused(ticket: Ticket, state: str, allowed: str) -> TransitionNotAllowed:
    return TransitionNotAllowed(name=ticket.name, state=state, event="return", allowed=allowed)


def _changed(ticket: Ticket, act: Act, kind: str, item: Return, *facts: Fact) -> Change:
    changed = _with(ticket, item)
    return done(changed, act, _event(changed, act, kind, item, *facts))


def _with(ticket: Ticket, changed: Return) -> Ticket:
    items = tuple(changed if item.number == changed.number else item for item in ticket.returns)
    return replace(ticket, returns=items)


def _event(ticket: Ticket, act: Act, kind: str, item: Return, *facts: Fact) -> TicketEvent:
    known = (("return", str(item.number)), ("unit", item.unit))
    return event_of(ticket, act, kind, *known, *facts)
