"""Rows ↔ values of tickets: the one place where flat columns and jsonb become what they mean.

Instants inside jsonb are microseconds since the epoch, bytes are hex. A code that a newer peer told
and this version does not know reads as UNSPECIFIED.

A step asks for the same copy a dozen times, and a row never changes: the copy of a row *object* is
remembered for a while, also of one that was just made of its copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    Channel,
    ContactMethod,
    DispatchMode,
    EmergencyLine,
    FindingCode,
    RouteDecisionAction,
    Satisfaction,
    Solved,
    SubjectKind,
    TicketPurpose,
    TicketState,
    TicketType,
    Urgency,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant, from_microseconds, to_microseconds
from gateway.tickets import life_rows
from gateway.tickets.model import (
    Act,
    Assignment,
    EmergencyReferral,
    ExternalReferral,
    Finding,
    Outcome,
    Rating,
    RouteDecision,
    Ticket,
    TicketEvent,
)
from gateway.tickets.store import AssignmentRow, EventRow, TicketRow

known_code = life_rows.known_code
Plain = Mapping[str, Any]


COPIES_REMEMBERED_MAX = 512  # of the units of work that are open; one is about 4 kB
# By the identity of the row, which is kept beside its copy: so no other row has that identity.
_copies: dict[int, tuple[TicketRow, Ticket]] = {}


def ticket_row(ticket: Ticket) -> TicketRow:
    """Return the row of a copy; its assignments are rows of their own."""
    return _remembered(_ticket_row(ticket), ticket)


def _remembered(row: TicketRow, ticket: Ticket) -> TicketRow:
    if len(_copies) >= COPIES_REMEMBERED_MAX:
        del _copies[next(iter(_copies))]  # the oldest
    _copies[id(row)] = (row, ticket)
    return row


def _ticket_row(ticket: Ticket) -> TicketRow:
    return TicketRow(
        authority=ticket.authority,
        number=ticket.number,
        uid=ticket.uid,
        revision=ticket.revision,
        create_time=ticket.create_time,
        update_time=ticket.update_time,
        followed=ticket.followed,
        origin=ticket.origin,
        platform=ticket.platform,
        external_id=ticket.external_id,
        state=int(ticket.state),
        channel=int(ticket.channel),
        type=int(ticket.type),
        matter=ticket.matter,
        urgency=int(ticket.urgency),
        subject_kind=int(ticket.subject_kind),
        risk_tags=tuple(map(int, ticket.risk_tags)),
        region=ticket.region,
        anonymous=ticket.anonymous,
        secrecy_required=ticket.secrecy_required,
        received_time=ticket.received_time,
        dispatch_due_time=ticket.dispatch_due_time,
        due_time=ticket.due_time,
        due_provisional=ticket.due_provisional,
        first_dispatch_time=ticket.first_dispatch_time,
        case_id=ticket.case,
        custodian=ticket.custodian,
        decision=_decision_plain(ticket.decision) if ticket.decision else None,
        progress=tuple(map(_assignment_plain, ticket.progress)),
        external_referral=_external_plain(ticket.external_referral),
        emergency_referral=_emergency_plain(ticket.emergency_referral),
        outcome=_outcome_plain(ticket.outcome),
        rating=_rating_plain(ticket.rating),
        findings=tuple(map(_finding_plain, ticket.findings)),
        parent=ticket.parent or "",
        purpose=int(ticket.purpose),
        depth=ticket.depth,
        returns=tuple(map(life_rows.return_plain, ticket.returns)),
        extensions=tuple(map(life_rows.extension_plain, ticket.extensions)),
        questions=tuple(map(life_rows.question_plain, ticket.questions)),
        citizen_acts=tuple(map(life_rows.act_plain, ticket.citizen_acts)),
        unit_requests=tuple(map(life_rows.request_plain, ticket.unit_requests)),
    )


def ticket_of(row: TicketRow, assignments: tuple[Assignment, ...]) -> Ticket:
    """Return the copy of a row and its assignments."""
    known = _copies.get(id(row))
    if known is not None and known[1].assignments == assignments:
        return known[1]
    ticket = _ticket_of(row, assignments)
    _remembered(row, ticket)
    return ticket


def _ticket_of(row: TicketRow, assignments: tuple[Assignment, ...]) -> Ticket:
    return Ticket(
        authority=AuthorityCode(row.authority),
        number=TicketNumber(row.number),
        uid=row.uid,
        revision=row.revision,
        create_time=row.create_time,
        update_time=row.update_time,
        followed=row.followed,
        origin=AuthorityCode(row.origin),
        platform=row.platform,
        external_id=row.external_id,
        state=TicketState(row.state),
        channel=known_code(Channel, row.channel),
        type=known_code(TicketType, row.type),
        matter=row.matter,
        urgency=known_code(Urgency, row.urgency),
        subject_kind=known_code(SubjectKind, row.subject_kind),
        risk_tags=tuple(row.risk_tags),
        region=row.region,
        anonymous=row.anonymous,
        secrecy_required=row.secrecy_required,
        received_time=row.received_time,
        dispatch_due_time=row.dispatch_due_time,
        due_time=row.due_time,
        due_provisional=row.due_provisional,
        first_dispatch_time=row.first_dispatch_time,
        case=row.case_id,
        custodian=row.custodian,
        decision=_decision_of(row.decision) if row.decision else None,
        assignments=assignments,
        progress=tuple(_assignment_from_plain(item) for item in row.progress),
        external_referral=_external_of(row.external_referral),
        emergency_referral=_emergency_of(row.emergency_referral),
        outcome=_outcome_of(row.outcome),
        rating=_rating_of(row.rating),
        findings=tuple(
            Finding(known_code(FindingCode, f["code"]), f["field"], f["message"], f["hint"])
            for f in row.findings
        ),
        parent=TicketNumber(row.parent) if row.parent else None,
        purpose=known_code(TicketPurpose, row.purpose),
        depth=row.depth,
        returns=tuple(life_rows.return_of(item) for item in row.returns),
        extensions=tuple(life_rows.extension_of(item) for item in row.extensions),
        questions=tuple(life_rows.question_of(item) for item in row.questions),
        citizen_acts=tuple(life_rows.act_of(item) for item in row.citizen_acts),
        unit_requests=tuple(life_rows.request_of(item) for item in row.unit_requests),
    )


def assignment_row(ticket: Ticket, item: Assignment) -> AssignmentRow:
    """Return the row of one assignment."""
    return AssignmentRow(
        authority=ticket.authority,
        ticket=ticket.number,
        number=item.number,
        unit=item.unit,
        unit_name=item.unit_name,
        platform=item.platform,
        role=int(item.role),
        state=int(item.state),
        mode=int(item.mode),
        assign_time=item.assign_time,
        sign_due_time=item.sign_due_time,
        contact_due_time=item.contact_due_time,
        platform_external_id=item.platform_external_id,
        receive_time=item.receive_time,
        sign_time=item.sign_time,
        contact_time=item.contact_time,
        done_time=item.done_time,
    )


def assignment_of(row: AssignmentRow) -> Assignment:
    """Return the assignment of a row."""
    return Assignment(
        number=row.number,
        unit=row.unit,
        unit_name=row.unit_name,
        platform=row.platform,
        role=known_code(AssignmentRole, row.role),
        state=known_code(AssignmentState, row.state),
        mode=known_code(DispatchMode, row.mode),
        assign_time=row.assign_time,
        sign_due_time=row.sign_due_time,
        contact_due_time=row.contact_due_time,
        platform_external_id=row.platform_external_id,
        receive_time=row.receive_time,
        sign_time=row.sign_time,
        contact_time=row.contact_time,
        done_time=row.done_time,
    )


def event_row(ticket: Ticket, event: TicketEvent) -> EventRow:
    """Return the row of an event that has no place yet."""
    return EventRow(
        authority=ticket.authority,
        ticket=ticket.number,
        kind=event.kind,
        actor=event.act.actor,
        role=event.act.role,
        basis=event.act.basis,
        event_time=event.act.now,
        state=int(event.state),
        facts=dict(sorted(event.facts)),  # in the normal form of the database
    )


def event_of(row: EventRow) -> TicketEvent:
    """Return the event of a row."""
    act = Act(row.actor, row.role, row.basis, row.event_time)
    return TicketEvent(row.kind, act, known_code(TicketState, row.state), tuple(row.facts.items()))


# --- jsonb ------------------------------------------------------------------------------------


def _micro(moment: Instant | None) -> int | None:
    return to_microseconds(moment) if moment is not None else None


def _instant(value: int | None) -> Instant | None:
    return from_microseconds(value) if value is not None else None


def _decision_plain(decision: RouteDecision) -> Plain:
    return {  # in the normal form of the database: sorted keys, tuples
        "action": int(decision.action),
        "assisting": decision.assisting,
        "decide_time": _micro(decision.decide_time),
        "explanation": decision.explanation,
        "help_regions": decision.help_regions,
        "leading_region": decision.leading_region,
        "legal_basis": decision.legal_basis,
        "offer_reason": decision.offer_reason,
        "pack": decision.pack,
        "reference_version": decision.reference_version,
        "rule": decision.rule,
        "target": decision.target,
        "trace_digest": decision.trace_digest.hex(),
    }


def _decision_of(plain: Plain) -> RouteDecision:
    return RouteDecision(
        action=known_code(RouteDecisionAction, plain["action"]),
        target=plain["target"],
        rule=plain["rule"],
        pack=plain["pack"],
        legal_basis=plain["legal_basis"],
        explanation=plain["explanation"],
        trace_digest=bytes.fromhex(plain["trace_digest"]),
        decide_time=_instant(plain["decide_time"]),
        reference_version=plain["reference_version"],
        leading_region=plain.get("leading_region", ""),
        help_regions=tuple(plain.get("help_regions", ())),
        offer_reason=plain.get("offer_reason", ""),
        assisting=tuple(plain.get("assisting", ())),
    )


def _finding_plain(finding: Finding) -> Plain:
    return {
        "code": int(finding.code),
        "field": finding.field,
        "hint": finding.hint,
        "message": finding.message,
    }


_TEXTS = ("unit", "unit_name", "platform", "platform_external_id")
_TIMES = (
    "sign_due_time",
    "contact_due_time",
    "receive_time",
    "sign_time",
    "contact_time",
    "done_time",
)


def _assignment_plain(item: Assignment) -> Plain:
    return {
        "number": item.number,
        "role": int(item.role),
        "state": int(item.state),
        "mode": int(item.mode),
        "assign_time": to_microseconds(item.assign_time),
        **{name: getattr(item, name) for name in _TEXTS},
        **{name: _micro(getattr(item, name)) for name in _TIMES},
    }


def _assignment_from_plain(plain: Plain) -> Assignment:
    return Assignment(
        number=plain["number"],
        role=known_code(AssignmentRole, plain["role"]),
        state=known_code(AssignmentState, plain["state"]),
        mode=known_code(DispatchMode, plain["mode"]),
        assign_time=from_microseconds(plain["assign_time"]),
        **{name: plain[name] for name in _TEXTS},
        **{name: _instant(plain[name]) for name in _TIMES},  # type: ignore[arg-type] # names of times
    )


def _external_plain(referral: ExternalReferral | None) -> Plain | None:
    if referral is None:
        return None
    return {
        "region": referral.region,
        "region_name": referral.region_name,
        "refer_time": to_microseconds(referral.refer_time),
        "answer_time": _micro(referral.answer_time),
    }


def _external_of(plain: Plain | None) -> ExternalReferral | None:
    if plain is None:
        return None
    return ExternalReferral(
        plain["region"],
        plain["region_name"],
        from_microseconds(plain["refer_time"]),
        _instant(plain["answer_time"]),
    )


def _emergency_plain(referral: EmergencyReferral | None) -> Plain | None:
    if referral is None:
        return None
    return {"line": int(referral.line), "refer_time": to_microseconds(referral.refer_time)}


def _emergency_of(plain: Plain | None) -> EmergencyReferral | None:
    if plain is None:
        return None
    line = known_code(EmergencyLine, plain["line"])
    return EmergencyReferral(line, from_microseconds(plain["refer_time"]))


def _outcome_plain(outcome: Outcome | None) -> Plain | None:
    if outcome is None:
        return None
    return {"solved": int(outcome.solved), "resolve_time": to_microseconds(outcome.resolve_time)}


def _outcome_of(plain: Plain | None) -> Outcome | None:
    if plain is None:
        return None
    return Outcome(known_code(Solved, plain["solved"]), from_microseconds(plain["resolve_time"]))


def _rating_plain(rating: Rating | None) -> Plain | None:
    if rating is None:
        return None
    return {
        "satisfaction": int(rating.satisfaction),
        "responded": rating.responded,
        "solved": rating.solved,
        "method": int(rating.method),
        "rate_time": to_microseconds(rating.rate_time),
    }


def _rating_of(plain: Plain | None) -> Rating | None:
    if plain is None:
        return None
    return Rating(
        satisfaction=known_code(Satisfaction, plain["satisfaction"]),
        responded=plain["responded"],
        solved=plain["solved"],
        method=known_code(ContactMethod, plain["method"]),
        rate_time=from_microseconds(plain["rate_time"]),
    )
