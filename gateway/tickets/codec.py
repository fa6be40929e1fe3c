"""Protobuf ↔ tickets: what readers see, and the blocks that travel beside statements.

A ticket is rendered without texts unless texts are given. Fields that this authority does not know
stay absent. What is inside a ticket is filled in place: a message that is given to another one is
copied as a whole, which costs more than all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.delivery.codec import instant_from_pb, instant_to_pb
from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    ContactMethod,
    CustodyHolding,
    DispatchMode,
    EmergencyLine,
    RouteDecisionAction,
    Satisfaction,
    Solved,
    TicketState,
)
from gateway.kernel.time import Instant, to_microseconds
from gateway.tickets import life_codec
from gateway.tickets.machine import Told
from gateway.tickets.model import (
    Assignment,
    Child,
    EmergencyReferral,
    Finding,
    Outcome,
    Rating,
    RouteDecision,
    Ticket,
)
from gateway.tickets.ports import CustodyFacts
from gateway.tickets.projection import platform_state
from gateway.tickets.reader import PlacedEvent
from gateway.tickets.rows import known_code
from gateway.tickets.service import Texts
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from hotline.type.v1 import statement_pb2

_pb = ticket_pb2


def ticket_to_pb(
    ticket: Ticket,
    *,
    now: Instant,
    custody: CustodyFacts | None,
    texts: Texts | None = None,
    children: Sequence[Child] = (),
) -> ticket_pb2.Ticket:
    """Render a copy; texts only when they are given."""
    message = _pb.Ticket(
        name=ticket.name,
        uid=ticket.uid,
        etag=ticket.etag,
        authority=ticket.authority,
        followed=ticket.followed,
        origin=ticket.origin,
        platform=ticket.platform or "",
        external_id=ticket.external_id or "",
        state=_pb.Ticket.State.ValueType(ticket.state),
        platform_state=codes_pb2.PlatformState.ValueType(platform_state(ticket)),
        channel=codes_pb2.Channel.ValueType(ticket.channel),
        type=codes_pb2.TicketType.ValueType(ticket.type),
        matter=ticket.matter,
        urgency=codes_pb2.Urgency.ValueType(ticket.urgency),
        subject_kind=codes_pb2.SubjectKind.ValueType(ticket.subject_kind),
        risk_tags=[codes_pb2.RiskTag.ValueType(tag) for tag in ticket.risk_tags],
        anonymous=ticket.anonymous,
        secrecy_required=ticket.secrecy_required,
        due_provisional=ticket.due_provisional,
        resolved_region=ticket.region,
        overdue=ticket.is_overdue(now),
    )
    _set(message.create_time, ticket.create_time)
    _set(message.update_time, ticket.update_time)
    _set(message.received_time, ticket.received_time)
    _set(message.dispatch_due_time, ticket.dispatch_due_time)
    _set(message.due_time, ticket.due_time)
    for assignment in ticket.shown_assignments:
        _fill_assignment(message.assignments.add(), assignment)
    for finding in ticket.findings:
        _fill_finding(message.findings.add(), finding)
    _add_parts(message, ticket)
    life_codec.add_life(message, ticket, children=children)
    if custody is not None:
        _fill_custody(message.custody, custody, case=ticket.case)
    if texts is not None:
        _add_texts(message, texts)
    return message


def _add_parts(message: ticket_pb2.Ticket, ticket: Ticket) -> None:
    if ticket.decision is not None:
        _fill_decision(message.decision, ticket.decision)
    if ticket.outcome is not None:
        message.resolution.solved = codes_pb2.Solved.ValueType(ticket.outcome.solved)
        _set(message.resolution.resolve_time, ticket.outcome.resolve_time)
    if ticket.rating is not None:
        message.rating.CopyFrom(rating_to_pb(ticket.rating))
    external = ticket.external_referral
    if external is not None:
        message.external_referral.region = external.region
        message.external_referral.region_name = external.region_name
        _set(message.external_referral.refer_time, external.refer_time)
        _set(message.external_referral.answer_time, external.answer_time)
    if ticket.emergency_referral is not None:
        message.emergency_referral.CopyFrom(emergency_to_pb(ticket.emergency_referral))


def _add_texts(message: ticket_pb2.Ticket, texts: Texts) -> None:
    message.content.ParseFromString(texts.content)
    if texts.citizen is not None:
        message.citizen.ParseFromString(texts.citizen)
    if texts.resolution is not None:
        full = _pb.Resolution.FromString(texts.resolution)
        message.resolution.result = full.result
        message.resolution.public_reply = full.public_reply
    if texts.referral is not None:
        referral = _pb.ExternalReferral.FromString(texts.referral)
        message.external_referral.sheet = referral.sheet
        message.external_referral.answer = referral.answer

    life_codec.add_letters(message, texts.letters)


def _fill_custody(message: ticket_pb2.Custody, custody: CustodyFacts, *, case: str) -> None:
    """Render where custody stands."""
    message.custodian = custody.custodian
    message.holding = _pb.Custody.Holding.ValueType(CustodyHolding[custody.holding.name])
    message.scope = custody.scope
    message.epoch.era, message.epoch.count = custody.epoch.era, custody.epoch.count
    message.epoch.SetInParent()  # the first epoch of all has no digit but zeros
    message.case = custody.case or case
    message.path.extend(custody.path)


def _fill_finding(message: ticket_pb2.Finding, finding: Finding) -> None:
    """Render a finding."""
    message.code = codes_pb2.FindingCode.ValueType(finding.code)
    message.field = finding.field
    message.message = finding.message
    message.hint = finding.hint


def event_to_pb(placed: PlacedEvent) -> ticket_pb2.TicketEvent:
    """Render an event."""
    event = placed.event
    return _pb.TicketEvent(
        name=f"tickets/{placed.ticket}/events/{placed.position}",
        kind=event.kind,
        actor=event.act.actor,
        role=event.act.role,
        basis=event.act.basis,
        event_time=instant_to_pb(event.act.now),
        state=_pb.Ticket.State.ValueType(event.state),
        authority=placed.authority,
        facts=dict(event.facts),
    )


# --- parts with both directions ---------------------------------------------------------------


def assignment_to_pb(item: Assignment) -> ticket_pb2.Assignment:
    """Render an assignment."""
    message = _pb.Assignment()
    _fill_assignment(message, item)
    return message


def _fill_assignment(message: ticket_pb2.Assignment, item: Assignment) -> None:
    message.number = item.number
    message.unit = item.unit
    message.unit_name = item.unit_name
    message.role = codes_pb2.AssignmentRole.ValueType(item.role)
    message.state = _pb.Assignment.State.ValueType(item.state)
    message.dispatch_mode = codes_pb2.DispatchMode.ValueType(item.mode)
    message.platform = item.platform
    message.platform_external_id = item.platform_external_id
    _set(message.assign_time, item.assign_time)
    _set(message.receive_time, item.receive_time)
    _set(message.sign_time, item.sign_time)
    _set(message.contact_time, item.contact_time)
    _set(message.done_time, item.done_time)
    _set(message.sign_due_time, item.sign_due_time)
    _set(message.contact_due_time, item.contact_due_time)


def assignment_from_pb(message: ticket_pb2.Assignment) -> Assignment:
    """Read an assignment that a custodian told."""
    return Assignment(
        number=message.number,
        unit=message.unit,
        unit_name=message.unit_name,
        platform=message.platform,
        role=known_code(AssignmentRole, message.role),
        state=known_code(AssignmentState, message.state),
        mode=known_code(DispatchMode, message.dispatch_mode),
        assign_time=instant_from_pb(message.assign_time),
        platform_external_id=message.platform_external_id,
        sign_due_time=_moment(message, "sign_due_time"),
        contact_due_time=_moment(message, "contact_due_time"),
        receive_time=_moment(message, "receive_time"),
        sign_time=_moment(message, "sign_time"),
        contact_time=_moment(message, "contact_time"),
        done_time=_moment(message, "done_time"),
    )


def decision_to_pb(decision: RouteDecision) -> ticket_pb2.RouteDecision:
    """Render a decision."""
    message = _pb.RouteDecision()
    _fill_decision(message, decision)
    return message


def _fill_decision(message: ticket_pb2.RouteDecision, decision: RouteDecision) -> None:
    message.action = _pb.RouteDecision.Action.ValueType(decision.action)
    message.target = decision.target
    message.rule = decision.rule
    message.pack = decision.pack
    message.legal_basis = decision.legal_basis
    message.explanation = decision.explanation
    message.reference_version = decision.reference_version
    message.leading_region = decision.leading_region
    message.help_regions.extend(decision.help_regions)
    message.offer_reason = decision.offer_reason
    message.assisting.extend(decision.assisting)
    if decision.trace_digest:
        message.trace_digest.algorithm = statement_pb2.DIGEST_ALGORITHM_SHA256
        message.trace_digest.value = decision.trace_digest
    _set(message.decide_time, decision.decide_time)


def decision_from_pb(message: ticket_pb2.RouteDecision) -> RouteDecision:
    """Read the decision that a custodian told."""
    return RouteDecision(
        action=known_code(RouteDecisionAction, message.action),
        target=message.target,
        rule=message.rule,
        pack=message.pack,
        legal_basis=message.legal_basis,
        explanation=message.explanation,
        trace_digest=message.trace_digest.value,
        decide_time=(
            instant_from_pb(message.decide_time) if message.HasField("decide_time") else None
        ),
        reference_version=message.reference_version,
        leading_region=message.leading_region,
        help_regions=tuple(message.help_regions),
        offer_reason=message.offer_reason,
        assisting=tuple(message.assisting),
    )


def rating_to_pb(rating: Rating) -> ticket_pb2.Rating:
    """Render a rating."""
    return _pb.Rating(
        satisfaction=codes_pb2.Satisfaction.ValueType(rating.satisfaction),
        responded=rating.responded,
        solved=rating.solved,
        method=codes_pb2.ContactMethod.ValueType(rating.method),
        rate_time=instant_to_pb(rating.rate_time),
    )


def rating_from_pb(message: ticket_pb2.Rating, *, rate_time: Instant) -> Rating:
    """Read a rating."""
    return Rating(
        satisfaction=known_code(Satisfaction, message.satisfaction),
        responded=message.responded,
        solved=message.solved,
        method=known_code(ContactMethod, message.method),
        rate_time=rate_time,
    )


def emergency_to_pb(referral: EmergencyReferral) -> ticket_pb2.EmergencyReferral:
    """Render a hand-over to an emergency line."""
    return _pb.EmergencyReferral(
        line=codes_pb2.EmergencyLine.ValueType(referral.line),
        refer_time=instant_to_pb(referral.refer_time),
    )


# --- blocks -----------------------------------------------------------------------------------


def header_to_bytes(ticket: Ticket) -> bytes:
    """Serialise what the receiver of an offer must know without opening a block."""
    message = custody_pb2.TicketHeader(
        uid=ticket.uid,
        origin=ticket.origin,
        channel=codes_pb2.Channel.ValueType(ticket.channel),
        type=codes_pb2.TicketType.ValueType(ticket.type),
        matter=ticket.matter,
        urgency=codes_pb2.Urgency.ValueType(ticket.urgency),
        subject_kind=codes_pb2.SubjectKind.ValueType(ticket.subject_kind),
        risk_tags=[codes_pb2.RiskTag.ValueType(tag) for tag in ticket.risk_tags],
        region=ticket.region,
        secrecy_required=ticket.secrecy_required,
        anonymous=ticket.anonymous,
        received_time=instant_to_pb(ticket.received_time),
        due_time=instant_to_pb(ticket.due_time),
        due_provisional=ticket.due_provisional,
        parent=ticket.parent or "",
        purpose=codes_pb2.TicketPurpose.ValueType(ticket.purpose),
        leading_region=_leading_region(ticket),
    )
    _set(message.first_dispatch_time, ticket.first_dispatch_time)
    return message.SerializeToString(deterministic=True)


def _leading_region(ticket: Ticket) -> str:
    """Return the region that a rule put before the place; empty when the place leads."""
    decision = ticket.decision
    if decision is None or decision.leading_region == ticket.region:
        return ""
    return decision.leading_region


def state_block_to_bytes(ticket: Ticket, texts: Texts) -> bytes:
    """Serialise the public state of a ticket for its followers."""
    message = custody_pb2.StateBlock(
        assignments=[assignment_to_pb(item) for item in ticket.shown_assignments]
    )
    message.due_time.CopyFrom(instant_to_pb(ticket.due_time))
    if ticket.outcome is not None:
        if texts.resolution is not None:
            message.resolution.ParseFromString(texts.resolution)
        message.resolution.solved = codes_pb2.Solved.ValueType(ticket.outcome.solved)
        message.resolution.resolve_time.CopyFrom(instant_to_pb(ticket.outcome.resolve_time))
    if ticket.rating is not None:
        message.rating.CopyFrom(rating_to_pb(ticket.rating))
    if ticket.decision is not None:
        message.decision.CopyFrom(decision_to_pb(ticket.decision))
    if ticket.emergency_referral is not None:
        message.emergency_referral.CopyFrom(emergency_to_pb(ticket.emergency_referral))
    refused = [life_codec.act_to_pb(item) for item in ticket.citizen_acts if item.refusal]
    message.refused_acts.extend(refused)
    return message.SerializeToString(deterministic=True)


def told_from_bytes(state: int, custodian: str, block: bytes) -> tuple[Told, bytes | None]:
    """Read what a custodian told, and the result's text when there is one."""
    message = custody_pb2.StateBlock.FromString(block)
    outcome, resolution = None, None
    if message.HasField("resolution"):
        resolved = instant_from_pb(message.resolution.resolve_time)
        outcome = Outcome(known_code(Solved, message.resolution.solved), resolved)
        resolution = message.resolution.SerializeToString(deterministic=True)
    emergency = None
    if message.HasField("emergency_referral"):
        emergency = EmergencyReferral(
            known_code(EmergencyLine, message.emergency_referral.line),
            instant_from_pb(message.emergency_referral.refer_time),
        )
    told = Told(
        state=known_code(TicketState, state),
        custodian=custodian,
        assignments=tuple(assignment_from_pb(item) for item in message.assignments),
        decision=decision_from_pb(message.decision) if message.HasField("decision") else None,
        outcome=outcome,
        rating=(
            rating_from_pb(message.rating, rate_time=instant_from_pb(message.rating.rate_time))
            if message.HasField("rating")
            else None
        ),
        emergency=emergency,
        due_time=instant_from_pb(message.due_time) if message.HasField("due_time") else None,
    )
    return told, resolution


def _set(target: Timestamp, moment: Instant | None) -> None:
    if moment is None:
        return
    target.seconds, micros = divmod(to_microseconds(moment), 1_000_000)
    target.nanos = micros * 1000
    if not (target.seconds or micros):
        target.SetInParent()  # the epoch itself is an instant too


def _moment(message: ticket_pb2.Assignment, name: str) -> Instant | None:
    return instant_from_pb(getattr(message, name)) if message.HasField(name) else None  # type: ignore[arg-type] # a name of a time field
