"""The gRPC transport between nodes: one mTLS channel a node, opened when first needed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta

import grpc

from gateway.delivery import codec
from gateway.delivery.blobs import Part, Wanted
from gateway.kernel.errors import PeerUnreachable
from gateway.kernel.ids import NodeId
from gateway.trust.certificates import node_host
from gateway.trust.roster import Roster
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.peer.v1 import peer_service_pb2_grpc as peer_grpc

DELIVERY_DEADLINE = timedelta(seconds=15)  # 100 envelopes, each a transaction, on a slow node
FETCH_DEADLINE = timedelta(minutes=10)  # 50 MiB over a county's line; the rest is resumed


class GrpcTransport:
    """Delivers batches over mTLS; the server's certificate must name the node that was meant."""

    def __init__(
        self, *, roster: Callable[[], Roster], credentials: grpc.ChannelCredentials
    ) -> None:
        """Make the transport with the node's own certificate in `credentials`."""
        self._roster = roster
        self._credentials = credentials
        self._channels: dict[tuple[NodeId, str], grpc.aio.Channel] = {}

    async def deliver(self, node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        """Send one batch; see `PeerTransport`."""
        request = peer_pb.DeliverEnvelopesRequest()
        for envelope in envelopes:
            request.envelopes.add().ParseFromString(envelope)
        stub = peer_grpc.PeerServiceStub(self._channel(node))
        try:
            response = await stub.DeliverEnvelopes(
                request, timeout=DELIVERY_DEADLINE.total_seconds()
            )
        except grpc.aio.AioRpcError as error:
            raise PeerUnreachable(peer=f"node/{node}", got=error.code().name) from error
        return [receipt.SerializeToString() for receipt in response.receipts]

    async def fetch(self, node: NodeId, wanted: Wanted) -> AsyncGenerator[Part, None]:
        """Call FetchBlob; see `BlobTransport`."""
        stub = peer_grpc.PeerServiceStub(self._channel(node))
        call = stub.FetchBlob(
            codec.blob_request_to_pb(wanted), timeout=FETCH_DEADLINE.total_seconds()
        )
        try:
            async for response in call:
                yield codec.blob_part_from_pb(response)
        except grpc.aio.AioRpcError as error:
            raise PeerUnreachable(peer=f"node/{node}", got=error.code().name) from error
        finally:
            call.cancel()  # no effect on one that has ended

    async def close(self) -> None:
        """Close all channels."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

    def _channel(self, node: NodeId) -> grpc.aio.Channel:
        entry = self._roster().node(node)
        if entry is None:
            raise PeerUnreachable(peer=f"node/{node}", got="not in the roster")
        key = (node, entry.endpoint)
        if key not in self._channels:
            # Node certificates carry a DNS name made of the node's id, so that a certificate of
            # another node of the federation cannot stand in for the one that was meant.
            self._channels[key] = grpc.aio.secure_channel(
                entry.endpoint,
                self._credentials,
                options=(
                    ("grpc.ssl_target_name_override", node_host(node)),
                    ("grpc.initial_reconnect_backoff_ms", 200),
                    ("grpc.max_reconnect_backoff_ms", 2000),
                ),
            )
        return self._channels[key]
