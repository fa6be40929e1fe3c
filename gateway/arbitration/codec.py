"""Protobuf ↔ values of arbitration."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from gateway.arbitration.model import Case, CaseKey, CaseRuling, Filing, Order, TicketFacts
from gateway.custody.model import CaseFiled
from gateway.delivery.codec import instant_from_pb, instant_to_pb
from gateway.kernel.codes import Code, RulingKind, TicketType, Urgency
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from hotline.arbitration.v1alpha1 import arbitration_service_pb2 as pb
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import codes_pb2


def filing_of(event: CaseFiled) -> Filing:
    """Return a filing as custody told it."""
    return Filing(
        key=CaseKey(event.key.scope, event.case),
        ticket=event.key.ticket,
        chain=event.key.number,
        cause=event.cause,
        filer=event.filer,
        proposed_target=event.proposed_target,
        path=event.path,
        facts=facts_of_header(event.header),
        custodian=event.custodian,
        refused_by=event.refused_by,
    )


def facts_of_header(header: bytes) -> TicketFacts:
    """Return what a filing tells of its ticket; an empty or unreadable header tells nothing.

    Custody has held the header against its schema; a filing is never refused for what is missing.
    """
    try:
        message = custody_pb2.TicketHeader.FromString(header)
    except DecodeError:
        return TicketFacts()
    return TicketFacts(
        matter=message.matter,
        region=message.region,
        urgency=Urgency(_known(Urgency, message.urgency)),
        type=TicketType(_known(TicketType, message.type)),
        due_time=instant_from_pb(message.due_time) if message.HasField("due_time") else None,
    )


def order_of_request(request: pb.IssueRulingRequest) -> Order:
    """Return what a request orders; the schema has checked its limits."""
    return Order(
        kind=RulingKind(request.kind),
        target=AuthorityCode(request.target),
        legal_basis=request.legal_basis,
        reasons=request.reasons,
        offers_allowed=request.offers_allowed,
        mandates=tuple(AuthorityCode(code) for code in request.mandates),
    )


def case_to_pb(case: Case, *, now: Instant) -> pb.Case:
    """Return the message of a case; reasons appear where they were opened."""
    message = pb.Case(
        name=case.name,
        etag=case.etag,
        scope=case.key.scope,
        ticket=case.ticket,
        chain=case.chain,
        state=pb.Case.State.ValueType(case.state),
        ground=pb.Case.Ground.ValueType(case.ground),
        cause=case.cause,
        filers=case.filers,
        path=case.path,
        proposed_targets=case.proposed_targets,
        responsible=case.responsible,
        file_time=instant_to_pb(case.filed),
        overdue=case.is_overdue(now),
        facts=_facts_to_pb(case.facts),
        rulings=[_ruling_to_pb(ruling) for ruling in case.rulings],
    )
    if case.due is not None:
        message.ruling_due_time.CopyFrom(instant_to_pb(case.due.instant))
        message.ruling_due_provisional = case.due.provisional
    if case.closed is not None:
        message.close_time.CopyFrom(instant_to_pb(case.closed))
    return message


def issued_to_bytes(case: Case, *, now: Instant) -> bytes:
    """Return the answer of a ruling; it is kept for repeats, so it holds no reasons."""
    message = case_to_pb(case, now=now)
    for ruling in message.rulings:
        ruling.ClearField("reasons")
    return pb.IssueRulingResponse(case=message).SerializeToString()


def _facts_to_pb(facts: TicketFacts) -> pb.TicketFacts:
    message = pb.TicketFacts(
        matter=facts.matter,
        region=facts.region,
        urgency=codes_pb2.Urgency.ValueType(facts.urgency),
        type=codes_pb2.TicketType.ValueType(facts.type),
    )
    if facts.due_time is not None:
        message.due_time.CopyFrom(instant_to_pb(facts.due_time))
    return message


def _ruling_to_pb(ruling: CaseRuling) -> pb.CaseRuling:
    message = pb.CaseRuling(
        number=ruling.number,
        kind=custody_pb2.Ruling.Kind.ValueType(ruling.kind),
        target=ruling.target,
        legal_basis=ruling.legal_basis,
        reasons=ruling.reasons,
        offers_allowed=ruling.offers_allowed,
        mandates=ruling.mandates,
        ruler=ruling.ruler,
        issue_time=instant_to_pb(ruling.issued),
    )
    if ruling.taken is not None:
        message.take_time.CopyFrom(instant_to_pb(ruling.taken))
    return message


def _known(table: type[Code], number: int) -> int:
    return number if number in table._value2member_map_ else 0
