"""What the citizen does after the message was taken, and what is asked of the citizen: pure steps.

The origin numbers the acts (1 to 100) and every copy on the way keeps them. Only the custodian
carries an act out, once, and in the order of the numbers: an act waits until all before it are
known here, and an exclusive one also until the ticket is held freely. Acts of care (supplement,
urge) do not wait for that. An act that the ticket's state does not allow is refused for good, with
the reason on the copy. `act_number_done` is what offers and updates tell (docs/tickets.md#letters).
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.kernel.codes import CitizenActKind, TicketState
from gateway.kernel.errors import QuotaExceeded, ResourceNotFound, TransitionNotAllowed
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.tickets import machine
from gateway.tickets.model import (
    CITIZEN_ACTS_MAX,
    QUESTIONS_MAX,
    Act,
    Change,
    CitizenAct,
    Question,
    Ticket,
)
from gateway.tickets.states import allowed_steps

CARE = frozenset({CitizenActKind.SUPPLEMENT, CitizenActKind.URGE})
"""Acts that add and never end; allowed whenever the authority cares for the ticket."""
_EVENTS = {
    CitizenActKind.SUPPLEMENT: "citizen.supplemented",
    CitizenActKind.URGE: "citizen.urged",
}


# --- acts -------------------------------------------------------------------------------------


def next_number(ticket: Ticket) -> int:
    """Return the number of the citizen's next act at the origin.

    Raises:
        QuotaExceeded: the numbers of this ticket are used up.
    """
    number = max((item.number for item in ticket.citizen_acts), default=0) + 1
    if number > CITIZEN_ACTS_MAX:
        raise QuotaExceeded(
            quota=f"citizen's acts of {ticket.name}", got=number, expected=CITIZEN_ACTS_MAX
        )
    return number


def is_new(ticket: Ticket, number: int) -> bool:
    """Tell whether an act with this number is not kept here yet."""
    found = _find(ticket, number)
    return found is None or found.kind is CitizenActKind.UNSPECIFIED


def keep(ticket: Ticket, act: Act, item: CitizenAct) -> Change:
    """Keep an act; one that an earlier custodian carried out stays carried out."""
    known = _find(ticket, item.number)
    kept = item
    if known is not None:
        kept = replace(item, applied=known.applied, refusal=known.refusal)
    changed = _with_act(ticket, kept)
    return machine.note(changed, act, "citizen.recorded", *_facts(kept))


def next_due(ticket: Ticket, *, is_free: bool, may_close: bool = True) -> CitizenAct | None:
    """Return the act to carry out next, or None when the rest must wait.

    A rating waits while a child of the ticket is open (`may_close`), and all exclusive acts after
    it.
    """
    for position, item in enumerate(ticket.citizen_acts, start=1):
        if item.number != position:
            return None  # one before it is still on its way
        waits = not item.applied and not item.refusal
        is_rating = item.kind is CitizenActKind.RATE
        if waits and is_rating and ticket.state is TicketState.RESOLVED and not may_close:
            is_free = False
        if waits and (is_free or item.kind in CARE):
            return item
    return None


def has_rating_due(ticket: Ticket) -> bool:
    """Tell whether a rating waits to be carried out."""
    rate = CitizenActKind.RATE
    return any(
        item.kind is rate and not item.applied and not item.refusal for item in ticket.citizen_acts
    )


def act_number_done(ticket: Ticket) -> int:
    """Return up to which number all acts are carried out or refused."""
    done = 0
    for item in ticket.citizen_acts:
        if item.number != done + 1 or not (item.applied or item.refusal):
            break
        done = item.number
    return done


def note_care(ticket: Ticket, act: Act, item: CitizenAct) -> Change:
    """Carry out an act of care: the handling unit sees its text.

    Raises:
        TransitionNotAllowed: the ticket is final; nobody handles it any more.
    """
    if ticket.is_final:
        raise _refused(ticket, item.kind.name.lower())
    changed = _with_act(ticket, replace(item, applied=True))
    return machine.note(changed, act, _EVENTS[item.kind], *_facts(item))


def applied(ticket: Ticket, item: CitizenAct) -> Ticket:
    """Return the ticket with an exclusive act marked as carried out."""
    return _with_act(ticket, replace(item, applied=True))


def refuse(ticket: Ticket, act: Act, item: CitizenAct, *, reason: str, text: str) -> Change:
    """Refuse an act for good, with the reason where everybody sees it."""
    changed = _with_act(ticket, replace(item, refusal=reason))
    facts = (*_facts(item), ("reason", reason), ("text", text))
    return machine.note(changed, act, "citizen.refused", *facts)


def taken_as_done(ticket: Ticket, number: int, now: Instant) -> Ticket:
    """Return the ticket with all acts up to `number` as earlier custodians settled them.

    Those that did not arrive here yet get a place without a kind, so that they are not done again.
    """
    for each in range(1, min(number, CITIZEN_ACTS_MAX) + 1):
        known = _find(ticket, each)
        if known is None:
            blank = CitizenAct(number=each, kind=CitizenActKind.UNSPECIFIED, act_time=now)
            ticket = _with_act(ticket, replace(blank, applied=True))
        elif not known.applied and not known.refusal:
            ticket = _with_act(ticket, replace(known, applied=True))
    return ticket


def reserved(ticket: Ticket, *, acts: int, questions: Iterable[Question], now: Instant) -> Ticket:
    """Return the ticket of a restored authority without numbers that it gave before.

    Whoever has a letter takes no second one with its number: the citizen's next act would be lost.
    What the acts were is known to their custodian; a question may still be answered.
    """
    for each in range(1, min(acts, CITIZEN_ACTS_MAX) + 1):
        if _find(ticket, each) is None:
            blank = CitizenAct(number=each, kind=CitizenActKind.UNSPECIFIED, act_time=now)
            ticket = _with_act(ticket, replace(blank, applied=True))
    new = [item for item in questions if find_question(ticket, item.number, item.asker) is None]
    return replace(ticket, questions=(*ticket.questions, *new)) if new else ticket


def learned(ticket: Ticket, act: Act, *, done: int, refused: Iterable[CitizenAct]) -> Change:
    """Show what the custodian told about the acts that are kept here; no change if nothing new."""
    refusals = {item.number: item.refusal for item in refused}
    changed, facts = ticket, []
    for item in ticket.citizen_acts:
        if item.applied or item.refusal:
            continue
        if item.number in refusals:
            changed = _with_act(changed, replace(item, refusal=refusals[item.number]))
            facts.append((*_facts(item), ("reason", refusals[item.number])))
        elif item.number <= done:
            changed = _with_act(changed, replace(item, applied=True))
    result = Change(changed)
    for each in facts:
        told = machine.note(result.ticket, act, "citizen.refused", *each)
        result = Change(told.ticket, (*result.events, *told.events))
    return result


# --- questions --------------------------------------------------------------------------------


def ask(ticket: Ticket, act: Act, *, asker: str) -> tuple[Change, Question]:
    """Ask the citizen through the origin; custody, windows and clocks stay as they are (I9).

    Raises:
        TransitionNotAllowed: the ticket is final, or its custodian is another authority.
        QuotaExceeded: the numbers of this ticket are used up.
    """
    if ticket.followed or ticket.is_final:
        raise _refused(ticket, "request information")
    number = max((item.number for item in ticket.questions), default=0) + 1
    if number > QUESTIONS_MAX or len(ticket.questions) >= QUESTIONS_MAX:
        raise QuotaExceeded(quota=f"questions of {ticket.name}", got=number, expected=QUESTIONS_MAX)
    question = Question(number=number, asker=asker, ask_time=act.now)
    return keep_question(ticket, act, question), question


def find_question(ticket: Ticket, number: int, asker: str) -> Question | None:
    """Return a question that is kept here."""
    same = (item for item in ticket.questions if (item.number, item.asker) == (number, asker))
    return next(same, None)


def keep_question(ticket: Ticket, act: Act, question: Question) -> Change:
    """Keep a question on its way to the origin."""
    changed = replace(ticket, questions=(*ticket.questions, question))
    return machine.note(changed, act, "information.requested", *_about(question))


def open_question(ticket: Ticket, number: int) -> Question:
    """Return the newest open question with this number.

    Raises:
        ResourceNotFound: nobody asked.
        TransitionNotAllowed: it is answered.
    """
    found = [item for item in ticket.questions if item.number == number]
    if not found:
        raise ResourceNotFound(kind="question", name=f"{ticket.name} question {number}")
    still_open = [item for item in found if item.answer_time is None]
    if not still_open:
        raise TransitionNotAllowed(
            name=f"{ticket.name} question {number}",
            state="answered",
            event="answer",
            allowed="none: a question is answered once",
        )
    return max(still_open, key=lambda item: item.ask_time)


def answer(ticket: Ticket, act: Act, question: Question, *, at: Instant) -> Change:
    """Keep the answer; a question that was asked elsewhere gets its place with it."""
    answered = replace(question, answer_time=at)
    others = tuple(
        item
        for item in ticket.questions
        if (item.number, item.asker) != (question.number, question.asker)
    )
    changed = replace(ticket, questions=(*others, answered))
    return machine.note(changed, act, "information.answered", *_about(question))


# --- parts ------------------------------------------------------------------------------------


def _find(ticket: Ticket, number: int) -> CitizenAct | None:
    return next((item for item in ticket.citizen_acts if item.number == number), None)


def _with_act(ticket: Ticket, item: CitizenAct) -> Ticket:
    others = [each for each in ticket.citizen_acts if each.number != item.number]
    ordered = sorted((*others, item), key=lambda each: each.number)
    return replace(ticket, citizen_acts=tuple(ordered))


def _refused(ticket: Ticket, event: str) -> TransitionNotAllowed:
    state = "followed" if ticket.followed else ticket.state.name
    allowed = ", ".join(allowed_steps(ticket.state)) or "none"
    return TransitionNotAllowed(name=ticket.name, state=state, event=event, allowed=allowed)


def _facts(item: CitizenAct) -> tuple[tuple[str, str], ...]:
    return (("act", str(item.number)), ("kind", item.kind.name))


def _about(question: Question) -> tuple[tuple[str, str], ...]:
    return (("question", str(question.number)), ("asker", question.asker))
