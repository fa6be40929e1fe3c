"""Protobuf ↔ values of routing."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.routing.facts import DestinationState, RoutingFacts
from gateway.routing.model import Decision, FallbackPlan, Pack, TraceStep
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.ticket.v1 import codes_pb2 as codes_pb
from hotline.ticket.v1 import ticket_pb2 as ticket_pb
from hotline.type.v1 import statement_pb2 as type_pb

NAME_PREFIX = "rulePacks/"


def facts_from_pb(message: routing_pb.RoutingFacts) -> RoutingFacts:
    """Return the facts of a message."""
    return RoutingFacts(
        region=message.region,
        matter=message.matter,
        type=int(message.type),
        urgency=int(message.urgency),
        channel=int(message.channel),
        subject_kind=int(message.subject_kind),
        risk_tags=tuple(int(tag) for tag in message.risk_tags),
        reported_units=tuple(message.reported_units),
        zone=message.zone,
        on_boundary=message.on_boundary,
        origin=message.origin,
        secrecy_required=message.secrecy_required,
        registration_region=message.registration_region,
        seller_region=message.seller_region,
        insured_region=message.insured_region,
        receiving_region=message.receiving_region,
        agency_region=message.agency_region,
        passing_regions=tuple(message.passing_regions),
        noise_source=int(message.noise_source),
        industry=message.industry,
        at_night=message.at_night,
        owner_unknown=message.owner_unknown,
        parent=message.parent,
        duplicate_of=message.duplicate_of,
        other_matters=tuple(message.other_matters),
    )


def facts_to_pb(facts: RoutingFacts) -> routing_pb.RoutingFacts:
    """Return the message of facts: what conditions look at."""
    return routing_pb.RoutingFacts(
        region=facts.region,
        matter=facts.matter,
        type=codes_pb.TicketType.ValueType(facts.type),
        urgency=codes_pb.Urgency.ValueType(facts.urgency),
        channel=codes_pb.Channel.ValueType(facts.channel),
        subject_kind=codes_pb.SubjectKind.ValueType(facts.subject_kind),
        risk_tags=[codes_pb.RiskTag.ValueType(tag) for tag in facts.risk_tags],
        reported_units=facts.reported_units,
        zone=facts.zone,
        on_boundary=facts.on_boundary,
        origin=facts.origin,
        secrecy_required=facts.secrecy_required,
        registration_region=facts.registration_region,
        seller_region=facts.seller_region,
        insured_region=facts.insured_region,
        receiving_region=facts.receiving_region,
        agency_region=facts.agency_region,
        passing_regions=facts.passing_regions,
        noise_source=codes_pb.NoiseSource.ValueType(facts.noise_source),
        industry=facts.industry,
        at_night=facts.at_night,
        owner_unknown=facts.owner_unknown,
        parent=facts.parent,
        duplicate_of=facts.duplicate_of,
        other_matters=facts.other_matters,
    )


def destination_to_pb(destination: DestinationState) -> routing_pb.DestinationState:
    """Return the message of a destination's state: what conditions of diversions look at."""
    return routing_pb.DestinationState(
        target=destination.target,
        state=codes_pb.DestinationCondition.ValueType(destination.state),
        open_load=destination.open_load,
        overdue_share=destination.overdue_share,
        normal_next_hop=destination.normal_next_hop,
    )


def decision_to_pb(decision: Decision) -> ticket_pb.RouteDecision:
    """Return the message of a decision, as a ticket carries it."""
    decide_time = Timestamp()
    decide_time.FromMicroseconds(decision.decide_time_microseconds)
    return ticket_pb.RouteDecision(
        action=ticket_pb.RouteDecision.Action.ValueType(decision.action),
        target=decision.target,
        rule=decision.rule,
        pack=decision.pack,
        legal_basis=decision.legal_basis,
        explanation=decision.explanation,
        trace_digest=type_pb.Digest(
            algorithm=type_pb.DIGEST_ALGORITHM_SHA256, value=decision.trace_digest
        ),
        decide_time=decide_time,
        reference_version=decision.reference_version,
        leading_region=decision.leading_region,
        help_regions=decision.help_regions,
        offer_reason=decision.offer_reason.name.lower() if decision.offer_reason else "",
        assisting=decision.assisting,
        notify=decision.notify,
        split_matters=decision.split_matters,
        fallback=_fallback_to_pb(decision.fallback) if decision.fallback else None,
        diverted_from=decision.diverted_from,
        identity_withheld=decision.identity_withheld,
        requestable=decision.requestable,
    )


def _fallback_to_pb(plan: FallbackPlan) -> ticket_pb.RouteDecision.Fallback:
    return ticket_pb.RouteDecision.Fallback(
        hours=plan.hours, working=plan.is_working, targets=plan.targets
    )


def step_to_pb(step: TraceStep) -> routing_pb.TraceStep:
    """Return the message of a step."""
    return routing_pb.TraceStep(
        pack=step.pack, rule=step.rule, outcome=step.outcome.value, reason=step.reason
    )


def explanation_to_pb(decision: Decision) -> routing_pb.ExplainRouteResponse:
    """Return the decision with its trace."""
    return routing_pb.ExplainRouteResponse(
        decision=decision_to_pb(decision), trace=[step_to_pb(step) for step in decision.trace]
    )


def pack_to_pb(pack: Pack, *, with_source: bool) -> routing_pb.RulePack:
    """Return the message of a pack; lists leave the source out."""
    return routing_pb.RulePack(
        name=NAME_PREFIX + pack.pack,
        version=pack.version,
        owner=pack.owner,
        title=pack.title,
        rule_count=len(pack.rules),
        source=pack.source if with_source else "",
    )


def pack_name_from_pb(name: str) -> str:
    """Return the pack of a resource name `rulePacks/{pack}`."""
    return name.removeprefix(NAME_PREFIX)
