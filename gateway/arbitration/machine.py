"""The steps of a case: pure, each returns the new case.

A wish that `states.py` does not have raises `TransitionNotAllowed` and changes nothing; what
custody tells is taken in any state.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.arbitration.forms import check_form
from gateway.arbitration.model import (
    FILINGS_PER_CASE_MAX,
    PANEL_KINDS,
    RULINGS_PER_CASE_MAX,
    UNIT_PREFIX,
    Case,
    CaseRuling,
    Filing,
    Order,
    Party,
    RulingDue,
    ground_of,
)
from gateway.arbitration.states import CASE, Step, allowed_steps
from gateway.kernel.codes import CaseLevel, CaseRulingForm, CaseState, RulingKind
from gateway.kernel.errors import FieldInvalid, QuotaExceeded, TransitionNotAllowed
from gateway.kernel.time import Instant
from gateway.reference.units import desk_id

OF_DESK = frozenset({CaseRulingForm.LEGAL, CaseRulingForm.BEYOND_DUTY})
"""Forms after which the desk tells the citizen, whatever unit had the ticket."""


def file(
    filing: Filing, *, now: Instant, due: RulingDue, stage_due: RulingDue | None = None
) -> Case:
    """Open a case with its first filing; the present custodian goes on caring."""
    return Case(
        key=filing.key,
        revision=1,
        ticket=filing.ticket,
        chain=filing.chain,
        state=CaseState.FILED,
        level=filing.level,
        ground=filing.ground or ground_of(filing.level),
        cause=filing.cause,
        filers=(filing.filer,),
        path=filing.path,
        proposed_targets=_once(filing.refused_by, *_known(filing.proposed_target)),
        responsible=_custodian(filing),
        filed=now,
        due=due,
        closed=None,
        facts=filing.facts,
        stage_due=stage_due,
        involved=filing.involved,
    )


def join(case: Case, filing: Filing) -> Case:
    """Add what another party filed under the same number; the same filing again adds nothing."""
    filers = _once(case.filers, filing.filer)
    joined = replace(
        case,
        state=CASE.get((case.state, Step.JOIN), case.state),
        filers=filers[:FILINGS_PER_CASE_MAX],
        path=_once(case.path, *filing.path)[:FILINGS_PER_CASE_MAX],
        proposed_targets=_once(
            case.proposed_targets, *filing.refused_by, *_known(filing.proposed_target)
        )[:FILINGS_PER_CASE_MAX],
        involved=_once(case.involved, *filing.involved),
    )
    return case if joined == case else replace(joined, revision=case.revision + 1)


def require(case: Case, order: Order, *, custodian: Party, by_default: bool = False) -> CaseState:
    """Return the state after an order, or raise why the panel cannot give it.

    `by_default` is an order that the clock gives (`procedure.default_order`).

    Raises:
        TransitionNotAllowed: the case is not open for it.
        FieldInvalid: the kind is no panel's, does not fit the target, or lacks what its form needs.
        QuotaExceeded: the case has too many rulings.
    """
    if order.kind not in PANEL_KINDS and not by_default:
        names = ", ".join(sorted(kind.name for kind in PANEL_KINDS))
        raise FieldInvalid(field="kind", got=order.kind.name, expected=names)
    step = Step.INTERIM if order.kind is RulingKind.INTERIM else Step.RULE
    after = CASE.get((case.state, step))
    if after is None:
        raise TransitionNotAllowed(
            name=case.name,
            state=case.state.name,
            event=step.value,
            allowed=", ".join(allowed_steps(case.state)) or "none",
            hint="new facts need a new case",
        )
    if order.kind is RulingKind.UPHOLD and order.target != custodian:
        raise FieldInvalid(
            field="target", got=order.target, expected=f"{custodian}, the present custodian"
        )
    if order.kind is RulingKind.REASSIGN and order.target == custodian:
        raise FieldInvalid(
            field="target", got=f"{custodian}, the present custodian", expected="another, or UPHOLD"
        )
    check_form(case, order)
    if len(case.rulings) >= RULINGS_PER_CASE_MAX:
        raise QuotaExceeded(
            quota=f"rulings of {case.name}",
            got=len(case.rulings) + 1,
            expected=RULINGS_PER_CASE_MAX,
        )
    return after


def rule(case: Case, ruling: CaseRuling, *, after: CaseState, due: RulingDue | None) -> Case:
    """Record the ruling that custody numbered; `due` is when the next one is, if one is."""
    stage = case.stage_due if after is case.state else None
    changed = replace(case, state=after, due=due, stage_due=stage, revision=case.revision + 1)
    return changed.with_ruling(ruling)


def take(case: Case, *, number: int, now: Instant) -> Case:
    """Note that a ruling's target holds the ticket now; the newest ruling proper closes the case.

    A number that this case does not have, or that is known as taken, changes nothing.
    """
    ruling = case.find_ruling(number)
    if ruling is None or ruling.taken is not None:
        return case
    changed = replace(case.with_ruling(replace(ruling, taken=now)), revision=case.revision + 1)
    if number == case.rulings[-1].number:
        holder = ruling.target
        if ruling.form is CaseRulingForm.REFER_OUT:  # home; it leaves when the other one accepts
            holder = case.key.scope
        elif case.level is CaseLevel.UNITS and ruling.form in OF_DESK:
            holder = f"{UNIT_PREFIX}{desk_id(case.key.scope)}"
        changed = replace(changed, responsible=holder)
        after = CASE.get((case.state, Step.TAKE))
        if after is CaseState.CLOSED:
            changed = replace(changed, state=after, closed=now, due=None, stage_due=None)
    return changed


def decline(case: Case, *, number: int, due: RulingDue) -> Case:
    """Give a case back to the panel: the body that its newest ruling asks will not take it.

    A ruling that is not the newest, or was taken, changes nothing.
    """
    ruling, after = case.find_ruling(number), CASE.get((case.state, Step.DECLINE))
    is_newest = ruling is not None and ruling.taken is None and ruling == case.rulings[-1]
    if after is None or not is_newest:
        return case
    return replace(case, state=after, due=due, stage_due=None, revision=case.revision + 1)


def needs_order(case: Case) -> bool:
    """Tell whether an urgent case has nobody named for the time being yet."""
    return case.is_urgent and not case.rulings


def void(case: Case, *, now: Instant) -> Case:
    """Note that nothing is left to rule: the chain went home for an outer ruling, or closed."""
    after = CASE.get((case.state, Step.VOID))
    if after is None:
        return case
    return replace(
        case, state=after, closed=now, due=None, stage_due=None, revision=case.revision + 1
    )


def _custodian(filing: Filing) -> Party:
    """Return who holds the ticket, as the filing proves, or else as its path tells."""
    if filing.custodian is not None:
        return filing.custodian
    return filing.filer if filing.filer in filing.path or not filing.path else filing.path[-1]


def _known(code: Party | None) -> tuple[Party, ...]:
    return () if code is None else (code,)


def _once(known: tuple[Party, ...], *more: Party) -> tuple[Party, ...]:
    return tuple(dict.fromkeys((*known, *more)))
