"""The standard health service of gRPC, whole: Check, List and Watch."""

from __future__ import annotations

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

from gateway.server.context import Context

_STATES = health_pb2.HealthCheckResponse


class NodeHealth(HealthServicer):
    """Health per service; the empty name stands for the node. Nothing serves before it is said."""

    def __init__(self) -> None:
        """Begin with a node that does not serve."""
        super().__init__()
        self._server_status[""] = _STATES.NOT_SERVING

    async def set_serving(self, service: str, *, is_serving: bool) -> None:
        """Tell the state of one service."""
        await self.set(service, _STATES.SERVING if is_serving else _STATES.NOT_SERVING)

    async def List(  # noqa: N802 # the name is the standard's
        self, _request: health_pb2.HealthListRequest, _context: Context
    ) -> health_pb2.HealthListResponse:
        """Return the state of every service, which grpcio's servicer leaves out."""
        return health_pb2.HealthListResponse(
            statuses={
                service: _STATES(status=state) for service, state in self._server_status.items()
            }
        )
