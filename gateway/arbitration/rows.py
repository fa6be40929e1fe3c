"""Rows ↔ values of arbitration: the one place where flat columns become what they mean."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.arbitration.model import Case, CaseKey, CaseRuling, RulingDue, TicketFacts
from gateway.arbitration.store import CaseRow, RulingRow
from gateway.kernel.codes import CaseGround, CaseState, RulingKind, TicketType, Urgency
from gateway.kernel.ids import AuthorityCode, TicketNumber


def case_of(row: CaseRow, rulings: Iterable[CaseRuling]) -> Case:
    """Return the value of a case row and its rulings."""
    return Case(
        key=CaseKey(AuthorityCode(row.scope), row.case_id),
        revision=row.revision,
        ticket=TicketNumber(row.ticket),
        chain=row.chain,
        state=CaseState(row.state),
        ground=CaseGround(row.ground),
        cause=row.cause,
        filers=tuple(row.filers),
        path=tuple(row.path),
        proposed_targets=tuple(row.proposed_targets),
        responsible=AuthorityCode(row.responsible),
        filed=row.filed,
        due=RulingDue(row.due, row.due_provisional) if row.due else None,
        closed=row.closed,
        facts=TicketFacts(
            matter=row.matter,
            region=row.region,
            urgency=Urgency(row.urgency),
            type=TicketType(row.type),
            due_time=row.ticket_due,
        ),
        rulings=tuple(rulings),
    )


def case_row(case: Case, *, wrapped_key: bytes) -> CaseRow:
    """Return the row of a case."""
    return CaseRow(
        scope=case.key.scope,
        case_id=case.key.case,
        revision=case.revision,
        ticket=case.ticket,
        chain=case.chain,
        state=int(case.state),
        ground=int(case.ground),
        cause=case.cause,
        filers=case.filers,
        path=case.path,
        proposed_targets=case.proposed_targets,
        parties=case.parties,
        responsible=case.responsible,
        filed=case.filed,
        due=case.due.instant if case.due else None,
        due_provisional=case.due is not None and case.due.provisional,
        closed=case.closed,
        matter=case.facts.matter,
        region=case.facts.region,
        urgency=int(case.facts.urgency),
        type=int(case.facts.type),
        ticket_due=case.facts.due_time,
        wrapped_key=wrapped_key,
    )


def ruling_of(row: RulingRow, *, reasons: str = "") -> CaseRuling:
    """Return the value of a ruling row; `reasons` are what was opened."""
    return CaseRuling(
        number=row.number,
        kind=RulingKind(row.kind),
        target=AuthorityCode(row.target),
        legal_basis=row.legal_basis,
        offers_allowed=row.offers_allowed,
        mandates=tuple(row.mandates),
        ruler=row.ruler,
        issued=row.issued,
        taken=row.taken,
        reasons=reasons,
    )


def ruling_row(key: CaseKey, ruling: CaseRuling, *, reasons: bytes) -> RulingRow:
    """Return the row of a ruling; `reasons` are sealed."""
    return RulingRow(
        scope=key.scope,
        case_id=key.case,
        number=ruling.number,
        kind=int(ruling.kind),
        target=ruling.target,
        legal_basis=ruling.legal_basis,
        offers_allowed=ruling.offers_allowed,
        mandates=ruling.mandates,
        ruler=ruling.ruler,
        issued=ruling.issued,
        taken=ruling.taken,
        reasons=reasons,
    )
