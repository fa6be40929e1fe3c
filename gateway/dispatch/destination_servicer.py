"""DestinationService: requests in, messages out, nothing decided here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from gateway.database.once import Once
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import instant_to_pb
from gateway.dispatch.codec import to_bytes
from gateway.dispatch.destinations import Declaration, DeclaredRow, Destinations, state_of
from gateway.kernel.codes import DestinationCondition
from gateway.kernel.time import Instant
from gateway.routing.model import DestinationState
from gateway.trust.call import Call
from gateway.trust.principal import Principal
from hotline.routing.v1 import destination_service_pb2 as pb
from hotline.routing.v1 import destination_service_pb2_grpc as pb_grpc
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.ticket.v1 import codes_pb2

Context = grpc.aio.ServicerContext[Any, Any]


class DestinationServicer(pb_grpc.DestinationServiceServicer):
    """What units and authorities say about themselves."""

    def __init__(
        self,
        *,
        destinations: Destinations,
        once: Once,
        principal_of: Callable[[Context], Principal],
    ) -> None:
        """`principal_of` gives the authenticated caller."""
        self._destinations = destinations
        self._once = once
        self._principal_of = principal_of

    async def DeclareDestinationState(
        self, request: pb.DeclareDestinationStateRequest, context: Context
    ) -> pb.DeclareDestinationStateResponse:
        """Take a declaration; the decisions of this process heed it from now on."""
        call = Call(
            principal=self._principal_of(context),
            method="DeclareDestinationState",
            request_id=request.request_id,
            body=to_bytes(request),
        )
        said = _declaration_of(request)

        async def step(uow: UnitOfWork, _now: Instant) -> bytes:
            row = await self._destinations.declare(uow, call, said)
            return to_bytes(
                pb.DeclareDestinationStateResponse(declared=_declared_to_pb(row, state_of(row)))
            )

        lock = f"destination/{said.authority}/{said.target}"
        answer = await self._once.run(call, step, locks=(lock,))
        await self._destinations.refresh()
        return pb.DeclareDestinationStateResponse.FromString(answer)

    async def ListDestinationStates(
        self,
        request: pb.ListDestinationStatesRequest,
        context: Context,  # noqa: ARG002 - gRPC gives it
    ) -> pb.ListDestinationStatesResponse:
        """Return what is declared for an authority."""
        found = await self._destinations.declared(request.authority)
        return pb.ListDestinationStatesResponse(
            declared=[_declared_to_pb(row, state) for row, state in found]
        )


def _declaration_of(request: pb.DeclareDestinationStateRequest) -> Declaration:
    return Declaration(
        authority=request.authority,
        target=request.target,
        state=DestinationCondition(request.state),
        lease=request.lease.ToTimedelta() if request.HasField("lease") else None,
        normal_next_hop=request.normal_next_hop,
        reason=request.reason,
    )


def _declared_to_pb(row: DeclaredRow, state: DestinationState) -> pb.DeclaredState:
    return pb.DeclaredState(
        destination=routing_pb.DestinationState(
            target=state.target,
            state=codes_pb2.DestinationCondition.ValueType(state.state),
            open_load=state.open_load,
            overdue_share=state.overdue_share,
            normal_next_hop=state.normal_next_hop,
        ),
        lease_end_time=instant_to_pb(row.lease_until),
        reason=row.reason,
        declarer=row.declared_by,
        declare_time=instant_to_pb(row.declare_time),
    )
