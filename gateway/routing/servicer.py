"""RoutingService: the edge where rule staff read packs and anybody on the staff asks why."""

from __future__ import annotations

from typing import Any

import grpc

from gateway.delivery.codec import instant_of_field
from gateway.routing.codec import (
    explanation_to_pb,
    facts_from_pb,
    pack_name_from_pb,
    pack_to_pb,
)
from gateway.routing.service import RoutingService
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class RoutingServicer(routing_grpc.RoutingServiceServicer):
    """Answers from the packs in memory; validation and access are the interceptors'."""

    def __init__(self, service: RoutingService) -> None:
        """Make the servicer."""
        self._service = service

    async def GetRulePack(
        self,
        request: routing_pb.GetRulePackRequest,
        context: Context,  # noqa: ARG002 - gRPC gives it
    ) -> routing_pb.GetRulePackResponse:
        """Return a pack with its source."""
        pack = self._service.get_pack(pack_name_from_pb(request.name))
        return routing_pb.GetRulePackResponse(rule_pack=pack_to_pb(pack, with_source=True))

    async def ListRulePacks(
        self,
        request: routing_pb.ListRulePacksRequest,
        context: Context,  # noqa: ARG002 - gRPC gives it
    ) -> routing_pb.ListRulePacksResponse:
        """Return a page of packs in order of evaluation."""
        page = self._service.list_packs(page_size=request.page_size, page_token=request.page_token)
        return routing_pb.ListRulePacksResponse(
            rule_packs=[pack_to_pb(pack, with_source=False) for pack in page.packs],
            next_page_token=page.next_page_token,
        )

    async def ExplainRoute(
        self,
        request: routing_pb.ExplainRouteRequest,
        context: Context,  # noqa: ARG002 - gRPC gives it
    ) -> routing_pb.ExplainRouteResponse:
        """Return what would be decided, and why."""
        now = None
        if request.HasField("decide_time"):
            now = instant_of_field(request.decide_time, field="decide_time")
        decision = self._service.decide(
            facts_from_pb(request.facts), authority=request.authority, now=now
        )
        return explanation_to_pb(decision)
