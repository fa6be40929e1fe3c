"""PeerService: the edge where other nodes' envelopes come in. Boring on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc

from gateway.delivery.blobs import BlobServer
from gateway.delivery.codec import blob_part_to_pb, blob_request_from_pb
from gateway.delivery.inbox import Inbox
from gateway.delivery.model import ENVELOPES_PER_BATCH_MAX
from gateway.kernel.errors import BatchTooLarge, ResourceNotFound
from gateway.kernel.ids import NodeId
from gateway.trust.principal import Principal
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.peer.v1 import peer_service_pb2_grpc as peer_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class PeerServicer(peer_grpc.PeerServiceServicer):
    """Takes batches of envelopes from the node that the certificate names."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        principal_of: Callable[[Context], Principal],
        blobs: BlobServer | None = None,
    ) -> None:
        """Make the servicer; a node without tickets has no `blobs`."""
        self._inbox = inbox
        self._blobs = blobs
        self._principal_of = principal_of

    async def DeliverEnvelopes(
        self, request: peer_pb.DeliverEnvelopesRequest, context: Context
    ) -> peer_pb.DeliverEnvelopesResponse:
        """Take each envelope and answer with a receipt of its own, in the same order."""
        if len(request.envelopes) > ENVELOPES_PER_BATCH_MAX:
            raise BatchTooLarge(
                got=f"{len(request.envelopes)} envelopes",
                expected=f"{ENVELOPES_PER_BATCH_MAX} envelopes",
            )
        peer = NodeId(self._principal_of(context).id)
        response = peer_pb.DeliverEnvelopesResponse()
        for envelope in request.envelopes:
            receipt = await self._inbox.take(envelope, peer=peer)
            response.receipts.add().ParseFromString(receipt)
        return response

    async def FetchBlob(
        self, request: peer_pb.FetchBlobRequest, context: Context
    ) -> AsyncIterator[peer_pb.FetchBlobResponse]:
        """Give the sealed bytes of a file to a node that hosts its new holder."""
        wanted = blob_request_from_pb(request)
        if self._blobs is None:
            raise ResourceNotFound(kind="attachment", name=wanted.digest)
        peer = NodeId(self._principal_of(context).id)
        async with aclosing(self._blobs.serve(wanted, peer=peer)) as parts:
            async for part in parts:
                yield blob_part_to_pb(part)
