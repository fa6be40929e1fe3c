"""The service decides for hosted authorities only, and the edge speaks the standard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest

from gateway.kernel.errors import (
    FieldInvalid,
    GuardViolated,
    PageTokenInvalid,
    ResourceNotFound,
)
from gateway.kernel.time import ManualClock
from gateway.reference.data import ReferenceData
from gateway.routing.codec import facts_from_pb, facts_to_pb
from gateway.routing.model import Action, Guard, Help, Lead, RegionFact, Selectors
from gateway.routing.packs import PackSet
from gateway.routing.service import RoutingService
from gateway.routing.servicer import RoutingServicer
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from tests.unit.routing.builders import (
    AUTHORITIES,
    FROM,
    NOW,
    a_condition,
    a_pack,
    a_rule,
    a_ticket,
)


@pytest.fixture
def service(packs: PackSet, reference: ReferenceData) -> RoutingService:
    return RoutingService(
        packs=packs,
        reference=reference,
        hosted=frozenset({"130000", "131000"}),
        joined=lambda: frozenset(AUTHORITIES),
        clock=ManualClock(NOW),
    )


def test_an_authority_that_lives_elsewhere_is_refused(service: RoutingService) -> None:
    with pytest.raises(FieldInvalid, match="120000"):
        service.decide(a_ticket(), authority="120000")


def test_a_persons_choice_meets_the_guards(service: RoutingService) -> None:
    facts = a_ticket(reported_units=("units/131082-JT-1",))

    assert service.find_objection(facts, authority="131000", unit="131000-JT-1") is None
    with pytest.raises(GuardViolated, match="reported-unit"):
        service.check_unit(facts, authority="131000", unit="units/131082-JT-1", ticket="t")
    with pytest.raises(ResourceNotFound):
        service.find_objection(facts, authority="131000", unit="131082-JT-77")


def test_a_persons_choice_meets_the_guards_of_the_leading_region(
    reference: ReferenceData,
) -> None:
    guard = Guard(
        id="hb.guard",
        owner="测试",
        legal_basis="测试依据",
        effective_from=FROM,
        effective_to=None,
        selectors=Selectors(regions=("131000",)),
        explanation="测试护栏",
        forbidden_kinds=frozenset({"JT"}),
    )
    lead = a_rule("cn.lead", action=Lead(RegionFact.INSURED))
    service = RoutingService(
        packs=PackSet([a_pack(lead, owner="100000", guards=(guard,))]),
        reference=reference,
        hosted=frozenset({"131000"}),
        joined=lambda: frozenset(AUTHORITIES),
        clock=ManualClock(NOW),
    )
    facts = replace(a_ticket(region="310101"), insured_region="131082")

    assert service.find_objection(facts, authority="131000", unit="131000-JT-1") == guard


def test_a_person_may_request_a_vertical_body_with_a_mandate(service: RoutingService) -> None:
    facts = a_ticket(matter="210301")

    assert service.find_objection(facts, authority="131000", unit="131082-XF-1") is not None
    assert (
        service.find_objection(facts, authority="131000", unit="131082-XF-1", mandate="商请函")
        is None
    )


def test_pages_go_through_all_packs_in_order_of_evaluation(
    service: RoutingService, packs: PackSet
) -> None:
    names: list[str] = []
    token = ""
    while True:
        page = service.list_packs(page_size=4, page_token=token)
        names += [pack.pack for pack in page.packs]
        token = page.next_page_token
        if not token:
            break

    depths = {"100000": 0}
    order = [depths.get(name[:6], 1 if name[2:6] == "0000" else 2) for name in names]
    assert order == sorted(order, reverse=True)
    assert names.index("130100.shijiazhuang") < names.index("131000.langfang")
    assert names[-1] == "100000.national"
    assert sorted(names) == sorted(pack.pack for pack in packs.packs)
    with pytest.raises(PageTokenInvalid):
        service.list_packs(page_token="131000.langfang")


# --- the edge, over a real loopback channel ------------------------------------------------------


def a_servicer(service: RoutingService) -> RoutingServicer:
    return RoutingServicer(service)  # type: ignore[abstract] # what publishes adds the rest


@pytest.fixture
async def stub(service: RoutingService) -> AsyncIterator[routing_grpc.RoutingServiceAsyncStub]:
    server = grpc.aio.server()
    routing_grpc.add_RoutingServiceServicer_to_server(a_servicer(service), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield routing_grpc.RoutingServiceStub(channel)
    await server.stop(None)


async def test_a_route_is_explained_with_its_losers(
    stub: routing_grpc.RoutingServiceAsyncStub,
) -> None:
    request = routing_pb.ExplainRouteRequest(
        authority="130000",
        facts=routing_pb.RoutingFacts(
            region="131082",
            matter="051200",
            type=codes_pb2.TICKET_TYPE_COMPLAINT,
            urgency=codes_pb2.URGENCY_NORMAL,
            reported_units=["units/131082-GA-1"],
        ),
    )
    request.decide_time.FromDatetime(NOW + timedelta(days=1))

    response = await stub.ExplainRoute(request)

    decision = response.decision
    assert decision.action == ticket_pb2.RouteDecision.ACTION_ASSIGN
    assert decision.target == "units/130000-JW-1"
    assert decision.pack.startswith("130000.hebei@")
    assert decision.legal_basis
    assert len(decision.trace_digest.value) == 32
    assert decision.decide_time == request.decide_time
    assert [step.outcome for step in response.trace] == ["won", "lost", "lost", "lost"]


async def test_an_explanation_tells_who_leads_and_who_helps(
    reference: ReferenceData,
) -> None:
    rules = (
        a_rule("cn.lead", action=Lead(RegionFact.INSURED)),
        a_rule("cn.help", action=Help(RegionFact.REGISTRATION)),
        a_rule("cn.unit", selectors=Selectors(condition=a_condition("facts.at_night"))),
    )
    service = RoutingService(
        packs=PackSet([a_pack(*rules, owner="100000")]),
        reference=reference,
        hosted=frozenset({"131000"}),
        joined=lambda: frozenset(AUTHORITIES),
        clock=ManualClock(NOW),
    )
    facts = replace(
        a_ticket(region="310101"),
        insured_region="131082",
        registration_region="310000",
        at_night=True,
    )
    request = routing_pb.ExplainRouteRequest(authority="131000", facts=facts_to_pb(facts))
    context: Any = None

    response = await a_servicer(service).ExplainRoute(request, context)

    decision = response.decision
    assert decision.target == "units/131082-JT-1"
    assert (decision.leading_region, list(decision.help_regions)) == ("131082", ["310000"])
    assert [(step.rule, step.outcome) for step in response.trace] == [
        ("cn.lead", "won"),
        ("cn.unit", "won"),
        ("cn.help", "won"),
    ]
    away = replace(facts, insured_region="120000")
    request = routing_pb.ExplainRouteRequest(authority="131000", facts=facts_to_pb(away))
    offered = (await a_servicer(service).ExplainRoute(request, context)).decision
    assert (offered.offer_reason, list(offered.help_regions)) == ("outbound", [])


async def test_a_pack_is_shown_with_its_source_and_listed_without(
    stub: routing_grpc.RoutingServiceAsyncStub,
) -> None:
    name = "rulePacks/131000.langfang"
    shown = await stub.GetRulePack(routing_pb.GetRulePackRequest(name=name))
    listed = await stub.ListRulePacks(routing_pb.ListRulePacksRequest())

    assert "lf.driving-school" in shown.rule_pack.source
    assert shown.rule_pack.rule_count == shown.rule_pack.source.count("\n  - id: ")
    assert [pack.name for pack in listed.rule_packs if pack.source] == []
    versions = {pack.name: pack.version for pack in listed.rule_packs}
    assert versions[name] == shown.rule_pack.version


def test_no_fact_is_lost_on_the_way_in() -> None:
    message = routing_pb.RoutingFacts(
        region="131082",
        matter="041200",
        type=codes_pb2.TICKET_TYPE_HELP,
        channel=codes_pb2.CHANNEL_APP,
        urgency=codes_pb2.URGENCY_URGENT,
        subject_kind=codes_pb2.SUBJECT_KIND_LEGAL_PERSON,
        risk_tags=[codes_pb2.RISK_TAG_MINOR],
        reported_units=["units/131082-GA-1"],
        zone="z",
        on_boundary=True,
        origin="120000",
        secrecy_required=True,
        registration_region="310000",
        seller_region="320500",
        insured_region="131000",
        receiving_region="120000",
        agency_region="310000",
        passing_regions=["310000", "320000"],
        noise_source=codes_pb2.NOISE_SOURCE_UNKNOWN,
        industry="fitness",
        at_night=True,
        owner_unknown=True,
        parent=True,
        duplicate_of="tickets/12000020261120000000001X",
        other_matters=["020401"],
    )
    assert len(message.ListFields()) == len(message.DESCRIPTOR.fields)
    facts = facts_from_pb(message)

    assert facts_to_pb(facts) == message
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        expected = tuple(value) if isinstance(getattr(facts, field.name), tuple) else value
        assert getattr(facts, field.name) == expected


def test_actions_are_the_standards_actions() -> None:
    assert [f"ACTION_{action.name}" for action in Action] == list(
        ticket_pb2.RouteDecision.Action.keys()
    )
