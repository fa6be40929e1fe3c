"""What dispatch hands to routing, and what a ticket shows of the decision."""

from __future__ import annotations

import json
from dataclasses import fields, replace

from gateway.dispatch.codec import facts_of, shown_decision
from gateway.kernel.codes import NoiseSource, OfferReason, RouteDecisionAction
from gateway.routing.model import Decision, RoutingFacts
from gateway.tickets.codec import decision_from_pb, decision_to_pb
from gateway.tickets.rows import ticket_of, ticket_row
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from tests.unit.tickets.builders import NOW, a_ticket

CONTENT = ticket_pb2.TicketContent(
    title="标题",
    content="内容",
    place=ticket_pb2.Place(region="120000", zone="test-park", on_boundary=True),
    reported_parties=[ticket_pb2.ReportedParty(unit="units/131082-GA-1")],
    facts=ticket_pb2.Facts(
        registration_region="310000",
        seller_region="320500",
        insured_region="131000",
        receiving_region="120000",
        agency_region="320000",
        passing_regions=["310000", "320000"],
        noise_source=codes_pb2.NOISE_SOURCE_TRAFFIC,
        industry="fitness",
        at_night=True,
        owner_unknown=True,
    ),
)
DECISION = Decision(
    action=RouteDecisionAction.OFFER,
    target="authorities/130000",
    rule="cn.lead",
    pack="100000.national@0",
    legal_basis="依据",
    explanation="说明",
    offer_reason=OfferReason.PLACE,
    assisting=("units/131000-JT-1",),
    objections=(),
    trace=(),
    trace_digest=b"d" * 32,
    reference_version="r",
    decide_time_microseconds=0,
    leading_region="131000",
    lead_rule="cn.lead",
    help_regions=("310000", "320000"),
)


def test_every_fact_of_the_content_reaches_the_rules() -> None:
    ticket = replace(a_ticket(), secrecy_required=True, parent=a_ticket(2).number, risk_tags=(3,))
    facts = facts_of(ticket, CONTENT.SerializeToString())

    told = {field.name for field in CONTENT.facts.DESCRIPTOR.fields}
    for name in told:
        value = getattr(CONTENT.facts, name)
        fact = getattr(facts, name)
        assert fact == (tuple(value) if isinstance(fact, tuple) else value), name
    assert facts.noise_source == NoiseSource.TRAFFIC
    unset = [each.name for each in fields(RoutingFacts) if not getattr(facts, each.name)]
    assert unset == ["duplicate_of", "other_matters"]  # nothing tells them yet


def test_only_a_child_ticket_has_a_parent() -> None:
    assert not facts_of(a_ticket(), b"").parent


def test_a_ticket_shows_who_leads_and_who_is_asked_for_help() -> None:
    shown = shown_decision(DECISION, now=NOW)

    assert (shown.leading_region, shown.help_regions) == ("131000", ("310000", "320000"))
    assert (shown.offer_reason, shown.assisting) == ("place", ("units/131000-JT-1",))
    silent = replace(DECISION, offer_reason=OfferReason.UNSPECIFIED)
    assert shown_decision(silent, now=NOW).offer_reason == ""


def test_a_decision_is_kept_and_told_whole() -> None:
    shown = shown_decision(DECISION, now=NOW)
    ticket = replace(a_ticket(), decision=shown)

    assert ticket_of(ticket_row(ticket), ()).decision == shown
    assert decision_from_pb(decision_to_pb(shown)) == shown


def test_a_decision_of_an_earlier_version_is_still_read() -> None:
    shown = shown_decision(DECISION, now=NOW)
    row = ticket_row(replace(a_ticket(), decision=shown))
    assert isinstance(row.decision, dict)
    old = json.loads(json.dumps(row.decision))
    for key in ("leading_region", "help_regions", "offer_reason", "assisting"):
        del old[key]

    read = ticket_of(replace(row, decision=old), ()).decision

    assert read is not None
    assert (read.leading_region, read.help_regions, read.offer_reason) == ("", (), "")
