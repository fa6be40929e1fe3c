"""FederationService: nodes and staff read the signed roster; who reads it verifies it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from gateway.directory.holder import RosterHolder
from gateway.kernel.errors import ResourceNotFound
from hotline.federation.v1 import federation_service_pb2 as federation_pb
from hotline.federation.v1 import federation_service_pb2_grpc as federation_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class FederationServicer(federation_grpc.FederationServiceServicer):
    """Hands out the roster that this node uses, byte for byte."""

    def __init__(self, *, holder: RosterHolder) -> None:
        """Serve the roster of `holder`."""
        self._holder = holder

    async def GetRoster(
        self, _request: federation_pb.GetRosterRequest, _context: Context
    ) -> federation_pb.GetRosterResponse:
        """Return the newest signed roster."""
        if not self._holder.signed:
            raise ResourceNotFound(kind="roster", name="the newest")
        return federation_pb.GetRosterResponse(signed_roster=_parsed(self._holder.signed))

    async def WatchRoster(
        self, request: federation_pb.WatchRosterRequest, _context: Context
    ) -> AsyncIterator[federation_pb.WatchRosterResponse]:
        """Send every roster newer than the one that the caller knows."""
        async for signed in self._holder.changes(request.known_version):
            yield federation_pb.WatchRosterResponse(signed_roster=_parsed(signed))


def _parsed(signed: bytes) -> federation_pb.SignedRoster:
    return federation_pb.SignedRoster.FromString(signed)
