"""Rows ↔ values of arbitration: the one place where flat columns become what they mean."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.arbitration.model import (
    Case,
    CaseKey,
    CaseRuling,
    Entry,
    Part,
    RulingDue,
    TicketFacts,
)
from gateway.arbitration.store import CaseRow, EntryRow, RulingRow
from gateway.kernel.codes import (
    CaseEntryKind,
    CaseGround,
    CaseLevel,
    CaseRulingForm,
    CaseState,
    RulingKind,
    TicketType,
    Urgency,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant


def case_of(row: CaseRow, rulings: Iterable[CaseRuling], entries: Iterable[Entry]) -> Case:
    """Return the value of a case row, its rulings and what was said."""
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
        responsible=row.responsible,
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
        stage_due=RulingDue(row.stage_due, row.stage_due_provisional) if row.stage_due else None,
        level=CaseLevel(row.level),
        entries=tuple(entries),
        involved=tuple(row.involved),
    )


def case_row(case: Case, *, wrapped_key: bytes, told: Instant | None = None) -> CaseRow:
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
        parties=case.audience,
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
        stage_due=case.stage_due.instant if case.stage_due else None,
        stage_due_provisional=case.stage_due is not None and case.stage_due.provisional,
        level=int(case.level),
        involved=case.involved,
        told=told,
    )


def ruling_of(row: RulingRow, *, reasons: str = "") -> CaseRuling:
    """Return the value of a ruling row; `reasons` are what was opened."""
    return CaseRuling(
        number=row.number,
        kind=RulingKind(row.kind),
        target=row.target,
        legal_basis=row.legal_basis,
        offers_allowed=row.offers_allowed,
        mandates=tuple(row.mandates),
        ruler=row.ruler,
        issued=row.issued,
        taken=row.taken,
        reasons=reasons,
        form=CaseRulingForm(row.form),
        parts=tuple(Part(party, matter) for party, matter in row.parts),
        merge_into=row.merge_into,
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
        form=int(ruling.form),
        parts=[(part.party, part.matter) for part in ruling.parts],
        merge_into=ruling.merge_into,
    )


def entry_of(row: EntryRow, *, words: str = "") -> Entry:
    """Return the value of an entry row; `words` are what was opened."""
    return Entry(
        number=row.number,
        kind=CaseEntryKind(row.kind),
        party=row.party,
        author=row.author,
        said=row.said,
        proposed=row.proposed or None,
        legal_basis=row.legal_basis,
        attendees=tuple(row.attendees),
        evidence=tuple(row.evidence),
        upheld=row.upheld,
        words=words,
    )


def entry_row(key: CaseKey, entry: Entry, *, words: bytes) -> EntryRow:
    """Return the row of an entry; `words` are sealed."""
    return EntryRow(
        scope=key.scope,
        case_id=key.case,
        number=entry.number,
        kind=int(entry.kind),
        party=entry.party,
        author=entry.author,
        proposed=entry.proposed or "",
        legal_basis=entry.legal_basis,
        attendees=list(entry.attendees),
        evidence=list(entry.evidence),
        upheld=entry.upheld,
        said=entry.said,
        words=words,
    )
