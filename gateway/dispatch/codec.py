"""Requests → values of dispatch, and the facts that rules may look at."""

from __future__ import annotations

from google.protobuf.message import Message

from gateway.delivery.codec import instant_from_pb, instant_of_field, instant_to_pb
from gateway.kernel.codes import (
    CertificateType,
    Channel,
    Solved,
    SubjectKind,
    TicketPurpose,
    TicketState,
    TicketType,
    Urgency,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass
from gateway.routing.model import Decision, RoutingFacts
from gateway.tickets.attachment_codec import declared
from gateway.tickets.model import RouteDecision, Ticket
from gateway.tickets.rows import known_code
from gateway.tickets.standard import Stated
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import codes_pb2, ticket_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One message as a platform handed it in: its codes, and its texts as serialised messages.

    `identity` is what a repeat with the same external id must equal.
    """

    external_id: str
    channel: Channel
    type: TicketType
    matter: str
    urgency: Urgency
    subject_kind: SubjectKind
    risk_tags: tuple[int, ...]
    anonymous: bool
    secrecy_required: bool
    received: Instant | None
    content: bytes
    citizen: bytes | None
    identity: bytes


def submission_from_pb(message: ticket_pb2.Ticket) -> Submission:
    """Read the input fields of a ticket; output-only ones are ignored."""
    has_citizen = message.HasField("citizen") and not message.anonymous
    content = declared(message.content)
    inputs = ticket_pb2.Ticket(
        channel=message.channel,
        type=message.type,
        matter=message.matter,
        urgency=message.urgency,
        subject_kind=message.subject_kind,
        risk_tags=message.risk_tags,
        anonymous=message.anonymous,
        secrecy_required=message.secrecy_required,
        content=content,
    )
    if message.HasField("citizen"):
        inputs.citizen.CopyFrom(message.citizen)
    if message.HasField("received_time"):
        inputs.received_time.CopyFrom(message.received_time)
    return Submission(
        external_id=message.external_id,
        channel=Channel(message.channel),
        type=TicketType(message.type),
        matter=message.matter,
        urgency=Urgency(message.urgency),
        subject_kind=SubjectKind(message.subject_kind),
        risk_tags=tuple(message.risk_tags),
        anonymous=message.anonymous,
        secrecy_required=message.secrecy_required,
        received=(
            instant_of_field(message.received_time, field="received_time")
            if message.HasField("received_time")
            else None
        ),
        content=to_bytes(content),
        citizen=to_bytes(message.citizen) if has_citizen else None,
        identity=to_bytes(inputs),
    )


def stated_of(submission: Submission, *, received: Instant) -> Stated:
    """Return what the standard examines."""
    content = ticket_pb2.TicketContent.FromString(submission.content)
    citizen = ticket_pb2.Citizen.FromString(submission.citizen or b"")
    return Stated(
        region=content.place.region,
        zone=content.place.zone,
        as_of_year=content.place.as_of_year,
        matter=submission.matter,
        title=content.title,
        content=content.content,
        received=received,
        occurred=(
            instant_of_field(content.occurred_time, field="content.occurred_time")
            if content.HasField("occurred_time")
            else None
        ),
        certificate_type=CertificateType(citizen.certificate_type),
        certificate_number=citizen.certificate_number,
        phones=tuple(citizen.phones),
        credit_codes=tuple(party.credit_code for party in content.reported_parties),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a hand-over sheet needs of the citizen's message."""

    title: str
    text: str
    expectation: str
    region: str
    address: str
    parties: tuple[str, ...]


def content_from_bytes(content: bytes) -> Content:
    """Read a serialised TicketContent."""
    message = ticket_pb2.TicketContent.FromString(content)
    return Content(
        title=message.title,
        text=message.content,
        expectation=message.expectation,
        region=message.place.region,
        address=message.place.address,
        parties=tuple(party.display_name for party in message.reported_parties),
    )


def referral_to_bytes(sheet: str) -> bytes:
    """Serialise the texts of a new external referral."""
    return to_bytes(ticket_pb2.ExternalReferral(sheet=sheet))


def answered_referral(referral: bytes, answer: str) -> bytes:
    """Return the texts of an external referral with the answer that a person recorded."""
    message = ticket_pb2.ExternalReferral.FromString(referral)
    message.answer = answer
    return to_bytes(message)


@dataclass(frozen=True, slots=True)
class Result:
    """What came out of the handling, with its texts."""

    solved: Solved
    result: str
    public_reply: str = ""


def result_from_pb(message: ticket_pb2.Resolution) -> Result:
    """Read a result as a unit hands it in."""
    return Result(Solved(message.solved), message.result, message.public_reply)


def result_to_bytes(result: Result, *, resolved: Instant) -> bytes:
    """Serialise a result for keeping and for the followers."""
    message = ticket_pb2.Resolution(
        solved=codes_pb2.Solved.ValueType(result.solved),
        result=result.result,
        public_reply=result.public_reply,
        resolve_time=instant_to_pb(resolved),
    )
    return to_bytes(message)


def facts_of(ticket: Ticket, content: bytes) -> RoutingFacts:
    """Return what rules may look at; there is nothing of the citizen in it."""
    message = ticket_pb2.TicketContent.FromString(content)
    return RoutingFacts(
        region=ticket.region,
        matter=ticket.matter,
        type=int(ticket.type),
        urgency=int(ticket.urgency),
        channel=int(ticket.channel),
        subject_kind=int(ticket.subject_kind),
        risk_tags=tuple(int(tag) for tag in ticket.risk_tags),
        reported_units=tuple(party.unit for party in message.reported_parties if party.unit),
        zone=message.place.zone,
        on_boundary=message.place.on_boundary,
        origin=ticket.origin,
        secrecy_required=ticket.secrecy_required,
        registration_region=message.facts.registration_region,
        seller_region=message.facts.seller_region,
        insured_region=message.facts.insured_region,
        receiving_region=message.facts.receiving_region,
        agency_region=message.facts.agency_region,
        passing_regions=tuple(message.facts.passing_regions),
        noise_source=int(message.facts.noise_source),
        industry=message.facts.industry,
        at_night=message.facts.at_night,
        owner_unknown=message.facts.owner_unknown,
        parent=ticket.parent is not None,
        duplicate_of=message.facts.duplicate_of,
        other_matters=tuple(message.facts.other_matters),
    )


def shown_decision(decision: Decision, *, now: Instant) -> RouteDecision:
    """Return a decision as the ticket shows it."""
    return RouteDecision(
        action=decision.action,
        target=decision.target,
        rule=decision.rule,
        pack=decision.pack,
        legal_basis=decision.legal_basis,
        explanation=decision.explanation,
        trace_digest=decision.trace_digest,
        decide_time=now,
        reference_version=decision.reference_version,
        leading_region=decision.leading_region,
        help_regions=decision.help_regions,
        offer_reason=decision.offer_reason.name.lower() if decision.offer_reason else "",
        assisting=decision.assisting,
    )


@dataclass(frozen=True, slots=True)
class Arrival:
    """A ticket that arrived from another authority."""

    ticket: Ticket
    content: bytes


def arrival_from_bytes(
    header: bytes,
    case_block: bytes,
    *,
    authority: AuthorityCode,
    number: TicketNumber,
    followed: bool,
    custodian: str,
    now: Instant,
) -> Arrival:
    """Return the new copy of a ticket out of its header and opened case block.

    The dispatch due time is that of the header's due time until clocks are computed here.
    """
    message = custody_pb2.TicketHeader.FromString(header)
    content = custody_pb2.CaseBlock.FromString(case_block).content
    due = instant_from_pb(message.due_time)
    ticket = Ticket(
        authority=authority,
        number=number,
        uid=message.uid,
        revision=1,
        create_time=now,
        update_time=now,
        followed=followed,
        origin=AuthorityCode(message.origin),
        platform=None,
        external_id=None,
        state=TicketState.RECEIVED,
        channel=known_code(Channel, message.channel),
        type=known_code(TicketType, message.type),
        matter=message.matter,
        urgency=known_code(Urgency, message.urgency),
        subject_kind=known_code(SubjectKind, message.subject_kind),
        risk_tags=tuple(message.risk_tags),
        region=message.region,
        anonymous=message.anonymous,
        secrecy_required=message.secrecy_required,
        received_time=instant_from_pb(message.received_time),
        dispatch_due_time=due,
        due_time=due,
        due_provisional=message.due_provisional,
        first_dispatch_time=(
            instant_from_pb(message.first_dispatch_time)
            if message.HasField("first_dispatch_time")
            else None
        ),
        custodian=custodian,
        parent=TicketNumber(message.parent) if message.parent else None,
        purpose=known_code(TicketPurpose, message.purpose),
        depth=1 if message.parent else 0,
    )
    return Arrival(ticket, to_bytes(content))


def citizen_from_identity(block: bytes) -> bytes:
    """Return the serialised Citizen out of an opened identity block."""
    return to_bytes(custody_pb2.IdentityBlock.FromString(block).citizen)


def header_of_offer(body: bytes) -> tuple[str, int]:
    """Return the region that leads as an offer's header says, and the offer's reason."""
    offer = custody_pb2.Offer.FromString(body)
    return offer.ticket.leading_region or offer.ticket.region, offer.reason


def to_bytes(message: Message) -> bytes:
    """Serialise so that equal messages give equal bytes."""
    return message.SerializeToString(deterministic=True)
