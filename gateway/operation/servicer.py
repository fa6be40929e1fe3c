"""OperationService: requests in, messages out, nothing decided here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from gateway.delivery.model import Mode
from gateway.operation.codec import peer_to_pb, undelivered_to_pb
from gateway.operation.machine import Act
from gateway.operation.service import Operations
from gateway.trust.call import Call
from gateway.trust.principal import Principal
from hotline.operation.v1alpha1 import operation_service_pb2 as pb
from hotline.operation.v1alpha1 import operation_service_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class OperationServicer(pb_grpc.OperationServiceServicer):
    """Peers and undelivered items for the system administrators of a node."""

    def __init__(
        self, *, operations: Operations, principal_of: Callable[[Context], Principal]
    ) -> None:
        """`principal_of` gives the authenticated caller."""
        self._operations = operations
        self._principal_of = principal_of

    async def GetPeer(self, request: pb.GetPeerRequest, context: Context) -> pb.GetPeerResponse:
        """Return one peer."""
        view = await self._operations.peer(self._principal_of(context), _node(request.name))
        return pb.GetPeerResponse(peer=peer_to_pb(view))

    async def ListPeers(
        self, request: pb.ListPeersRequest, context: Context
    ) -> pb.ListPeersResponse:
        """Return a page of peers."""
        views, token = await self._operations.peers(
            self._principal_of(context),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListPeersResponse(
            peers=[peer_to_pb(view) for view in views], next_page_token=token
        )

    async def PausePeer(
        self, request: pb.PausePeerRequest, context: Context
    ) -> pb.PausePeerResponse:
        """Send nothing more."""
        answer = await self._operations.order(
            self._call(request, context, "PausePeer"),
            _node(request.name),
            mode=Mode.PAUSED,
            reason=request.reason,
            answer=lambda view: _bytes(pb.PausePeerResponse(peer=peer_to_pb(view))),
        )
        return pb.PausePeerResponse.FromString(answer)

    async def DrainPeer(
        self, request: pb.DrainPeerRequest, context: Context
    ) -> pb.DrainPeerResponse:
        """Send what waits, then pause."""
        answer = await self._operations.order(
            self._call(request, context, "DrainPeer"),
            _node(request.name),
            mode=Mode.DRAINING,
            reason=request.reason,
            answer=lambda view: _bytes(pb.DrainPeerResponse(peer=peer_to_pb(view))),
        )
        return pb.DrainPeerResponse.FromString(answer)

    async def ResumePeer(
        self, request: pb.ResumePeerRequest, context: Context
    ) -> pb.ResumePeerResponse:
        """Serve it as a matter of course."""
        answer = await self._operations.order(
            self._call(request, context, "ResumePeer"),
            _node(request.name),
            mode=Mode.OPEN,
            reason="",
            answer=lambda view: _bytes(pb.ResumePeerResponse(peer=peer_to_pb(view))),
        )
        return pb.ResumePeerResponse.FromString(answer)

    async def ListUndelivered(
        self, request: pb.ListUndeliveredRequest, context: Context
    ) -> pb.ListUndeliveredResponse:
        """Return a page of items."""
        rows, token = await self._operations.undelivered(
            self._principal_of(context),
            page_size=request.page_size,
            page_token=request.page_token,
            node=request.node,
            everything=request.show_ended,
        )
        return pb.ListUndeliveredResponse(
            undelivered=[undelivered_to_pb(row) for row in rows], next_page_token=token
        )

    async def AcknowledgeUndelivered(
        self, request: pb.AcknowledgeUndeliveredRequest, context: Context
    ) -> pb.AcknowledgeUndeliveredResponse:
        """Note that a person knows and cares."""
        answer = await self._operations.act(
            self._call(request, context, "AcknowledgeUndelivered"),
            _item(request.name),
            act=Act.ACKNOWLEDGE,
            note=request.note,
            answer=lambda row: _bytes(
                pb.AcknowledgeUndeliveredResponse(undelivered=undelivered_to_pb(row))
            ),
        )
        return pb.AcknowledgeUndeliveredResponse.FromString(answer)

    async def ResendUndelivered(
        self, request: pb.ResendUndeliveredRequest, context: Context
    ) -> pb.ResendUndeliveredResponse:
        """Try an item again."""
        answer = await self._operations.act(
            self._call(request, context, "ResendUndelivered"),
            _item(request.name),
            act=Act.RESEND,
            note=request.note,
            answer=lambda row: _bytes(
                pb.ResendUndeliveredResponse(undelivered=undelivered_to_pb(row))
            ),
        )
        return pb.ResendUndeliveredResponse.FromString(answer)

    async def DiscardUndelivered(
        self, request: pb.DiscardUndeliveredRequest, context: Context
    ) -> pb.DiscardUndeliveredResponse:
        """Take an item off the list."""
        answer = await self._operations.act(
            self._call(request, context, "DiscardUndelivered"),
            _item(request.name),
            act=Act.DISCARD,
            note=request.note,
            answer=lambda row: _bytes(
                pb.DiscardUndeliveredResponse(undelivered=undelivered_to_pb(row))
            ),
        )
        return pb.DiscardUndeliveredResponse.FromString(answer)

    def _call(self, request: Any, context: Context, method: str) -> Call:
        return Call(
            principal=self._principal_of(context),
            method=method,
            request_id=request.request_id,
            body=request.SerializeToString(deterministic=True),
        )


def _node(name: str) -> str:
    return name.removeprefix("peers/")


def _item(name: str) -> str:
    return name.removeprefix("undelivered/")


def _bytes(response: Any) -> bytes:
    return bytes(response.SerializeToString())
