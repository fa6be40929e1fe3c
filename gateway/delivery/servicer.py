"""PeerService: the edge where other nodes' envelopes come in. Boring on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any

import grpc

from gateway.delivery.blobs import BlobServer
from gateway.delivery.codec import blob_part_to_pb, blob_request_from_pb
from gateway.delivery.inbox import Inbox
from gateway.delivery.model import ENVELOPES_PER_BATCH_MAX
from gateway.delivery.ports import PeerBooks
from gateway.delivery.quotas import PeerQuotas
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
        books: PeerBooks | None = None,
        quotas: PeerQuotas | None = None,
    ) -> None:
        """Make the servicer; a node without tickets has no `blobs`, without custody no `books`."""
        self._books = books
        self._quotas = quotas  # None: a test's
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
        with self._admitted(request, peer):
            for receipt in await self._inbox.take_batch(request.envelopes, peer=peer):
                response.receipts.add().ParseFromString(receipt)
        return response

    def _admitted(
        self, request: peer_pb.DeliverEnvelopesRequest, peer: NodeId
    ) -> AbstractContextManager[None]:
        if self._quotas is None:
            return nullcontext()
        count, size = len(request.envelopes), request.ByteSize()
        return self._quotas.admit(peer, envelopes=count, size=size)

    def _reading(self, peer: NodeId) -> AbstractContextManager[None]:
        return nullcontext() if self._quotas is None else self._quotas.reading(peer)

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

    async def ExchangeHeads(
        self,
        request: peer_pb.ExchangeHeadsRequest,
        context: Context,
    ) -> peer_pb.ExchangeHeadsResponse:
        """Show the ledger of an authority that lives here; every node may see every ledger."""
        if self._books is None:
            raise ResourceNotFound(kind="authority", name=f"authorities/{request.authority}")
        with self._reading(NodeId(self._principal_of(context).id)):
            return await self._books.exchange_heads(request)

    async def ReturnStatements(
        self, request: peer_pb.ReturnStatementsRequest, context: Context
    ) -> peer_pb.ReturnStatementsResponse:
        """Return to a restored node what is held here of its authorities."""
        if self._books is None:
            raise ResourceNotFound(kind="authority", name=f"authorities/{request.authority}")
        peer = NodeId(self._principal_of(context).id)
        with self._reading(peer):
            return await self._books.return_statements(request, peer=peer)
