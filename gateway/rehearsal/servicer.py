"""The RPCs of RoutingService that try rules on what happened; a part of its one servicer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from gateway.rehearsal.model import Report
from gateway.rehearsal.service import Rehearsal
from gateway.rehearsal.wire import progress_to_pb, replay_to_pb, report_to_pb, trial_from_pb
from gateway.routing.service import RoutingService
from gateway.routing.servicer import RoutingServicer
from gateway.tickets.servicer import PrincipalOf
from hotline.routing.v1 import rehearsal_pb2 as pb
from hotline.routing.v1 import routing_service_pb2 as routing_pb

Context = grpc.aio.ServicerContext[Any, Any]


class RehearsalServicer(RoutingServicer):
    """What RoutingService does without changing anything: show, explain, replay, simulate."""

    def __init__(
        self, service: RoutingService, *, rehearsal: Rehearsal, principal_of: PrincipalOf
    ) -> None:
        """Make the servicer."""
        super().__init__(service)
        self.rehearsal, self.principal_of = rehearsal, principal_of

    async def SimulateRulePack(
        self, request: pb.SimulateRulePackRequest, context: Context
    ) -> AsyncGenerator[pb.SimulateRulePackResponse, None]:
        """Tell how far the trial is, and at last what it found."""
        principal = self.principal_of(context)
        steps = self.rehearsal.simulate(principal, trial_from_pb(request))
        async with aclosing(steps) as found:
            async for step in found:
                yield report_to_pb(step) if isinstance(step, Report) else progress_to_pb(step)

    async def ReplayRoute(
        self, request: routing_pb.ReplayRouteRequest, context: Context
    ) -> routing_pb.ReplayRouteResponse:
        """Decide the last decision about a ticket again."""
        principal = self.principal_of(context)
        found = await self.rehearsal.replay(principal, request.ticket.removeprefix("tickets/"))
        return replay_to_pb(found)
