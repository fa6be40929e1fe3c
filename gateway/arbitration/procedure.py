"""The procedure of a case between filing and ruling, and after it: pure, each step a new case.

A wish that `states.py` does not have raises `TransitionNotAllowed` and changes nothing. Time is no
wish: a stage whose time is over ends by itself, and when nobody ruled in time a ruling is made by
default (首接负责), so no case waits for ever and none is without somebody responsible.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from gateway.arbitration import machine
from gateway.arbitration.model import (
    ENTRIES_PER_CASE_MAX,
    ENTRIES_PER_PARTY_MAX,
    UNIT_PREFIX,
    Case,
    Entry,
    Order,
    Party,
    RulingDue,
)
from gateway.arbitration.states import CASE, Step, allowed_steps
from gateway.kernel.codes import CaseEntryKind, CaseLevel, CaseState, RulingKind
from gateway.kernel.errors import FieldInvalid, QuotaExceeded, TransitionNotAllowed
from gateway.kernel.ids import NATION
from gateway.kernel.time import Instant
from gateway.reference.units import desk_id

StageDue = Callable[[CaseState], RulingDue | None]
"""Until when a stage that begins now lasts."""
DEFAULT_BASIS = "首接负责制"
DEFAULT_REASONS = "裁定期限届满无人裁定，按首接负责由首接机构办理（系统默认裁定）"
INTERIM_REASONS = "紧急事项两小时内未指定，由现承办机构临时负责（系统默认指定）"
OF_PANEL = frozenset({CaseEntryKind.MINUTES, CaseEntryKind.ANSWER})
_STEPS = {
    CaseEntryKind.POSITION: Step.STATE,
    CaseEntryKind.MINUTES: Step.RECORD,
    CaseEntryKind.OBJECTION: Step.OBJECT,
    CaseEntryKind.ANSWER: Step.ANSWER,
}


def take_up(case: Case, *, stage_due: StageDue) -> Case:
    """Let the panel review the case before its time would have begun by itself."""
    return _moved(case, Step.TAKE_UP, stage_due)


def convene(case: Case, *, stage_due: StageDue) -> Case:
    """Let the panel hear the parties together."""
    return _moved(case, Step.CONVENE, stage_due)


def lapse(case: Case, *, stage_due: StageDue, now: Instant) -> Case:
    """End a stage whose time is over; what is not that far yet, or has no such step, stays."""
    if case.stage_due is None or case.stage_due.instant > now:
        return case
    after = CASE.get((case.state, Step.LAPSE))
    if after is None:
        return replace(case, stage_due=None, revision=case.revision + 1)
    if after is case.state:  # heard: nothing but the ruling is left
        return replace(case, stage_due=None, revision=case.revision + 1)
    moved = replace(case, state=after, stage_due=stage_due(after), revision=case.revision + 1)
    return settled(moved, now=now) if after is CaseState.RULED else moved


def say(case: Case, entry: Entry, *, stage_due: StageDue) -> Case:
    """Put on record what a party or the panel says; the entry gets the next number.

    Raises:
        TransitionNotAllowed: the case is not open for it.
        QuotaExceeded: the party, or everybody, has said enough.
    """
    after = _require(case, _STEPS[entry.kind])
    own = [item for item in case.entries if (item.party, item.kind) == (entry.party, entry.kind)]
    said_by_parties = sum(item.kind not in OF_PANEL for item in case.entries)
    is_panel = entry.kind in OF_PANEL  # whom no number of parties may keep from answering
    for got, bound in (
        (len(own) + 1, ENTRIES_PER_PARTY_MAX),
        (0 if is_panel else said_by_parties + 1, ENTRIES_PER_CASE_MAX),
    ):
        if got > bound:
            raise QuotaExceeded(quota=f"entries of {case.name}", got=got, expected=bound)
    numbered = replace(entry, number=len(case.entries) + 1)
    said = replace(case, entries=(*case.entries, numbered), revision=case.revision + 1)
    if after is case.state:
        return said
    moved = replace(said, state=after, closed=None, stage_due=stage_due(after))
    return settled(moved, now=entry.said) if after is CaseState.RULED else moved


def check_objection(case: Case, party: Party, *, end: Instant, now: Instant) -> None:
    """Return if a party may object to the ruling of a case.

    Raises:
        TransitionNotAllowed: there is no ruling proper, it was objected to before, the time is
            over, or the party said nothing while it could.
    """
    obstacle = ""
    if case.ruling_proper is None:
        obstacle = "without a ruling"
    elif case.state is CaseState.CLOSED and case.rulings[-1].taken is None:
        obstacle = "without a ticket to rule about"  # it is gone: nobody would take it any more
    elif any(item.kind is CaseEntryKind.OBJECTION for item in case.entries):
        obstacle = "objected to before"
    elif now > end:
        obstacle = "after the time for objections"
    elif party in case.parties and not case.has_spoken(party):  # who was ruled in could not
        obstacle = f"without a position of {party}"
    if obstacle:
        raise TransitionNotAllowed(
            name=case.name,
            state=obstacle,
            event=Step.OBJECT.value,
            allowed="one objection, within one working day, by a party that stated its position",
        )


def check_party(case: Case, party: Party) -> None:
    """Return if an authority is a party.

    Raises:
        FieldInvalid: it is not.
    """
    if party not in case.audience:
        raise FieldInvalid(field="party", got=party, expected=f"one of {', '.join(case.audience)}")


def settled(case: Case, *, now: Instant) -> Case:
    """Close a case in RULED whose newest ruling its target has taken."""
    newest = case.rulings[-1] if case.rulings else None
    if case.state is not CaseState.RULED or newest is None or newest.taken is None:
        return case
    return replace(case, state=CASE[case.state, Step.TAKE], closed=case.closed or now)


def default_order(
    case: Case,
    *,
    custodian: Party,
    may_take: Callable[[Party], bool],
    had_it: Collection[Party] = (),
) -> Order:
    """Return what holds when nobody ruled in time.

    An urgent case without an order: who cares now is named for the time being. Else the first
    receiver that can take it (首接负责), and if none can, the desk of the ruling authority; the
    nation never holds a ticket, so there it is the desk of the origin province. Who of `had_it` got
    the ticket by an earlier ruling and holds it no more is no first receiver again (`defaults.py`).
    """
    last = _last_desk(case)
    if machine.needs_order(case):
        named = (party for party in (custodian, last) if may_take(party))
        return Order(
            kind=RulingKind.INTERIM,
            target=next(named, custodian),
            legal_basis=DEFAULT_BASIS,
            reasons=INTERIM_REASONS,
        )
    first = (code for code in case.path if code == custodian or code not in had_it)
    receivers = (*first, custodian, last, *case.path)  # better one of them again than nobody
    target = next((code for code in receivers if code != NATION and may_take(code)), custodian)
    return Order(
        kind=RulingKind.DEFAULT,
        target=target,
        legal_basis=DEFAULT_BASIS,
        reasons=DEFAULT_REASONS,
    )


def _last_desk(case: Case) -> Party:
    """Return whose desk has it when nobody else can; the nation never holds a ticket."""
    if case.level is CaseLevel.UNITS:
        return f"{UNIT_PREFIX}{desk_id(case.key.scope)}"
    return case.path[0] if case.key.scope == NATION and case.path else case.key.scope


def _moved(case: Case, step: Step, stage_due: StageDue) -> Case:
    after = _require(case, step)
    return replace(case, state=after, stage_due=stage_due(after), revision=case.revision + 1)


def _require(case: Case, step: Step) -> CaseState:
    after = CASE.get((case.state, step))
    if after is None:
        raise TransitionNotAllowed(
            name=case.name,
            state=case.state.name,
            event=step.value,
            allowed=", ".join(allowed_steps(case.state)) or "none",
            hint="new facts need a new case",
        )
    return after
