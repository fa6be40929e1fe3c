"""Requests, answers and filings ↔ values of arbitration."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from gateway.arbitration.case_codec import case_to_pb, facts_of, level_of
from gateway.arbitration.model import (
    Case,
    CaseKey,
    Filing,
    Order,
    Part,
    TicketFacts,
)
from gateway.custody.chains import is_in_scope
from gateway.custody.model import CaseFiled
from gateway.kernel.codes import CaseRulingForm, RulingKind
from gateway.kernel.time import Instant
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.custody.v1 import custody_pb2


def filing_of(event: CaseFiled) -> Filing:
    """Return a filing as custody told it.

    Whom it proposes outside the arbiter's scope is left out: nobody may rule for such a one, and
    it would be told a case that is none of its business.
    """
    refusers = [code for code in event.refused_by if is_in_scope(code, event.key.scope)]
    proposed = event.proposed_target
    return Filing(
        key=CaseKey(event.key.scope, event.case),
        ticket=event.key.ticket,
        chain=event.key.number,
        cause=event.cause,
        filer=event.filer,
        proposed_target=proposed if proposed and is_in_scope(proposed, event.key.scope) else None,
        path=event.path,
        facts=facts_of_header(event.header),
        custodian=event.custodian,
        refused_by=tuple(refusers),
        level=level_of(event.key.scope),
    )


def facts_of_header(header: bytes) -> TicketFacts:
    """Return what a filing tells of its ticket; an empty or unreadable header tells nothing.

    Custody has held the header against its schema; a filing is never refused for what is missing.
    """
    try:
        message = custody_pb2.TicketHeader.FromString(header)
    except DecodeError:
        return TicketFacts()
    return facts_of(message)


def order_of_request(request: pb.IssueRulingRequest) -> Order:
    """Return what a request orders; the schema has checked its limits."""
    return Order(
        kind=RulingKind(request.kind),
        target=request.target,
        legal_basis=request.legal_basis,
        reasons=request.reasons,
        offers_allowed=request.offers_allowed,
        mandates=tuple(request.mandates),
        sets_precedent=request.sets_precedent,
        precedent_facts=tuple(request.precedent_facts),
        form=CaseRulingForm(request.form),
        parts=tuple(Part(part.party, part.matter) for part in request.parts),
        merge_into=request.merge_into,
    )


def issued_to_bytes(case: Case, *, now: Instant) -> bytes:
    """Return the answer of a step; it is kept for repeats, so it holds no reasons and no words.

    The answers of all steps have the same form: field 1 is the case.
    """
    message = case_to_pb(case, now=now)
    for ruling in message.rulings:
        ruling.ClearField("reasons")
    for entry in message.entries:
        entry.ClearField("words")
    return pb.IssueRulingResponse(case=message).SerializeToString()
