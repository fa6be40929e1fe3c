"""Extensions (延期): a lead unit's wish for more time. Pure.

Only a granted extension moves a due time that was fixed (I9). It is asked before the due time, at
most once granted by one custodian, and never reaches further than the profile's longest extension
counted from the present due time; a child is never due later than its parent. An open wish ends
with the work of its unit: `dropped` is asked after every step.

`recomputed` is no extension: it is the same due time, counted again with a year of the calendar
that was not published when it was fixed.
"""

from __future__ import annotations

from gateway.kernel.codes import ExtensionReason, ExtensionState, TicketState
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
    EXTENSIONS_MAX,
    Act,
    Assignment,
    Change,
    Clocks,
    Extension,
    Ticket,
    TicketEvent,
)
from gateway.tickets.states import EXTENSION, Step

GRANTED_MAX = 1  # 延期一次: usual in the local rules; no profile states another number
_GRANTED = ExtensionState.GRANTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a unit asks for, and how late it may be at most."""

    assignment: int
    reason: ExtensionReason
    basis: str
    new_due: Instant
    latest: Instant


def ask(ticket: Ticket, act: Act, wish: Wish) -> Change:
    """Record a wish for more time; the due time stays.

    Raises:
        FieldInvalid: the new due time is no later one, or later than it may be.
        TransitionNotAllowed: it is too late, not the lead's to ask, or was tried before.
        QuotaExceeded: the ticket holds no more wishes.
    """
    unit = _asking(ticket, wish.assignment).unit
    if act.now >= ticket.due_time:
        raise _refused(
            ticket,
            f"due since {ticket.due_time.isoformat()}",
            "resolve it: more time is asked for before the due time",
        )
    if ticket.open_extension is not None:
        waiting = ticket.open_extension.number
        raise _refused(ticket, f"waiting for the review of extension {waiting}", "review that one")
    if sum(item.state is _GRANTED for item in ticket.extensions) >= GRANTED_MAX:
        raise _refused(ticket, "extended already", "none: it is extended once")
    if not ticket.due_time < wish.new_due <= wish.latest:
        raise FieldInvalid(
            field="new_due_time",
            got=wish.new_due.isoformat(),
            expected=f"after {ticket.due_time.isoformat()}, at most {wish.latest.isoformat()}",
        )
    if len(ticket.extensions) >= EXTENSIONS_MAX:
        got = len(ticket.extensions) + 1
        raise QuotaExceeded(quota=f"extensions of {ticket.name}", got=got, expected=EXTENSIONS_MAX)
    made = Extension(
        number=len(ticket.extensions) + 1,
        unit=unit,
        state=ExtensionState.ASKED,
        reason=wish.reason,
        new_due_time=wish.new_due,
        ask_time=act.now,
        filer=act.actor,
    )
    changed = replace(ticket, extensions=(*ticket.extensions, made))
    facts = (
        ("reason", made.reason.name),
        ("basis", wish.basis),
        ("new_due_time", made.new_due_time.isoformat()),
    )
    return done(changed, act, _event(changed, act, "extension.asked", made, *facts))


def find(ticket: Ticket, number: int) -> Extension:
    """Return the wish with a number.

    Raises:
        ResourceNotFound: there is none.
    """
    for item in ticket.extensions:
        if item.number == number:
            return item
    raise ResourceNotFound(kind="extension", name=f"{ticket.name} extension {number}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What the desk decides about a wish; `latest` is the latest due time it may give."""

    number: int
    is_granted: bool
    is_citizen_told: bool
    basis: str
    latest: Instant | None = None


def review(ticket: Ticket, act: Act, decided: Review) -> Change:
    """Decide about a wish; a granted one moves the due time.

    Raises:
        TransitionNotAllowed: it is decided, the ticket is held elsewhere, or what was asked for is
            over, reached or too late by now.
    """
    found = find(ticket, decided.number)
    step = Step.GRANT if decided.is_granted else Step.REFUSE
    state = EXTENSION.get((found.state, step))
    if ticket.followed or state is None:
        shown = "followed" if ticket.followed else found.state.name
        raise _not_reviewable(ticket, found, step, shown)
    told = decided.is_citizen_told
    changed = _with(ticket, replace(found, state=state, review_time=act.now, citizen_told=told))
    facts: tuple[Fact, ...] = (("citizen_told", str(told).lower()), ("basis", decided.basis))
    if not decided.is_granted:
        return done(changed, act, _event(changed, act, "extension.refused", found, *facts))
    if found.new_due_time <= max(act.now, ticket.due_time):
        raise _not_reviewable(ticket, found, step, "no later than now and the due time")
    if decided.latest is not None and found.new_due_time > decided.latest:
        raise _not_reviewable(ticket, found, step, f"later than {decided.latest.isoformat()}")
    changed = replace(changed, due_time=found.new_due_time)
    before, after = ticket.due_time.isoformat(), changed.due_time.isoformat()
    facts = (*facts, ("before", before), ("due_time", after))
    return done(changed, act, _event(changed, act, "extension.granted", found, *facts))


def dropped(ticket: Ticket, act: Act) -> tuple[Ticket, tuple[TicketEvent, ...]]:
    """Return the ticket without a wish whose unit leads no more, and what to record."""
    waiting = ticket.open_extension
    if waiting is None:
        return ticket, ()
    lead = ticket.lead
    still_leads = lead is not None and lead.is_open and lead.unit == waiting.unit
    if still_leads and not ticket.followed and not ticket.is_final:
        return ticket, ()
    state = EXTENSION[(waiting.state, Step.REFUSE)]
    changed = _with(ticket, replace(waiting, state=state, review_time=act.now))
    fact = ("reason", "the ticket went on without it")
    return changed, (_event(changed, act, "extension.refused", waiting, fact),)


def granted_until(ticket: Ticket) -> Instant | None:
    """Return the latest due time that was granted here."""
    found = (item.new_due_time for item in ticket.extensions if item.state is _GRANTED)
    return max(found, default=None)


def recomputed(ticket: Ticket, act: Act, *, clocks: Clocks) -> Change:
    """Take due times that were counted again; no change if they are the same."""
    before = Clocks(ticket.dispatch_due_time, ticket.due_time, ticket.due_provisional)
    is_settled = ticket.is_final or ticket.state is TicketState.RESOLVED
    if clocks == before or not ticket.due_provisional or ticket.followed or is_settled:
        return Change(ticket)
    changed = replace(
        ticket,
        dispatch_due_time=clocks.dispatch_due,
        due_time=clocks.due,
        due_provisional=clocks.provisional,
    )
    facts = (("before", before.due.isoformat()), ("due_time", clocks.due.isoformat()))
    return done(changed, act, event_of(changed, act, "ticket.due_recomputed", *facts))


def _asking(ticket: Ticket, number: int) -> Assignment:
    lead = ticket.lead
    if ticket.followed or ticket.is_final:
        raise _refused(ticket, "followed" if ticket.followed else ticket.state.name, "none")
    if lead is None or lead.number != number or not lead.is_open:
        raise _refused(ticket, f"{ticket.state.name}, assignment {number} does not lead it", "none")
    if lead.is_desk:
        raise _refused(ticket, f"{ticket.state.name} at the desk", "assign, or offer it")
    return lead


def _refused(ticket: Ticket, state: str, allowed: str) -> TransitionNotAllowed:
    return TransitionNotAllowed(name=ticket.name, state=state, event="extend", allowed=allowed)


def _not_reviewable(
    ticket: Ticket, item: Extension, step: Step, state: str
) -> TransitionNotAllowed:
    held = [each.value for at, each in EXTENSION if at is item.state and each is not step]
    return TransitionNotAllowed(
        name=f"{ticket.name} extension {item.number}",
        state=state,
        event=step.value,
        allowed=", ".join(held) or "none: a wish is decided once",
    )


def _with(ticket: Ticket, changed: Extension) -> Ticket:
    items = tuple(changed if item.number == changed.number else item for item in ticket.extensions)
    return replace(ticket, extensions=items)


def _event(ticket: Ticket, act: Act, kind: str, item: Extension, *facts: Fact) -> TicketEvent:
    known = (("extension", str(item.number)), ("unit", item.unit))
    return event_of(ticket, act, kind, *known, *facts)
