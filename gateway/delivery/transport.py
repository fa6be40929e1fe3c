"""The gRPC transport between nodes: one mTLS channel a node, opened when first needed.

When the node's certificate was renewed, the next call opens a channel with the new one; the old
channel ends with the calls that are on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import timedelta

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from gateway.delivery import codec
from gateway.delivery.blobs import Part, Wanted
from gateway.delivery.ports import REJECTED
from gateway.kernel.errors import PeerUnreachable
from gateway.kernel.ids import NodeId
from gateway.kernel.values import dataclass
from gateway.trust.certificates import node_host
from gateway.trust.roster import Roster
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.peer.v1 import peer_service_pb2_grpc as peer_grpc

DELIVERY_DEADLINE = timedelta(seconds=15)  # 100 envelopes, each a transaction, on a slow node
BOOKS_DEADLINE = timedelta(seconds=10)  # a page of signed history; asked again when it fails
FETCH_DEADLINE = timedelta(minutes=10)  # 50 MiB over a county's line; the rest is resumed
_REJECTIONS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DATA_LOSS,
    }
)  # the peer was there and answered something other than receipts: it may be one envelope's fault
_BUSY = frozenset({"QUOTA_EXCEEDED", "NODE_DRAINING"})  # then it is not
_TOO_LARGE = "larger than max"  # so gRPC says it; else it has no room for any call at the moment
OLD_CHANNEL_GRACE = timedelta(seconds=30)  # longer than a delivery and than the turn of a file


@dataclass(frozen=True, slots=True)
class _Opened:
    """A channel and what it was opened with."""

    channel: grpc.aio.Channel
    credentials: grpc.ChannelCredentials


class GrpcTransport:
    """Delivers batches over mTLS; the server's certificate must name the node that was meant."""

    def __init__(
        self,
        *,
        roster: Callable[[], Roster],
        credentials: Callable[[], grpc.ChannelCredentials],
    ) -> None:
        """Make the transport.

        Args:
            roster: the roster in use.
            credentials: those of the node's own certificate; another object when it was renewed.
        """
        self._roster = roster
        self._credentials = credentials
        self._channels: dict[tuple[NodeId, str], _Opened] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def deliver(self, node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        """Send one batch; see `PeerTransport`."""
        request = peer_pb.DeliverEnvelopesRequest()
        try:
            for envelope in envelopes:
                request.envelopes.add().ParseFromString(envelope)
        except DecodeError as error:  # a damaged row must not stop the others
            raise PeerUnreachable(
                peer=f"node/{node}", got="an envelope that does not parse", about=REJECTED
            ) from error
        stub = peer_grpc.PeerServiceStub(self._channel(node))
        try:
            response = await stub.DeliverEnvelopes(
                request, timeout=DELIVERY_DEADLINE.total_seconds()
            )
        except grpc.aio.AioRpcError as error:
            raise _failure(node, error) from error
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

    async def exchange_heads(
        self, node: NodeId, request: peer_pb.ExchangeHeadsRequest
    ) -> peer_pb.ExchangeHeadsResponse:
        """Ask a node for entries of a ledger."""
        stub = peer_grpc.PeerServiceStub(self._channel(node))
        try:
            return await stub.ExchangeHeads(request, timeout=BOOKS_DEADLINE.total_seconds())
        except grpc.aio.AioRpcError as error:
            raise PeerUnreachable(peer=f"node/{node}", got=error.code().name) from error

    async def return_statements(
        self, node: NodeId, request: peer_pb.ReturnStatementsRequest
    ) -> peer_pb.ReturnStatementsResponse:
        """Ask a node for a page of what it holds of us."""
        stub = peer_grpc.PeerServiceStub(self._channel(node))
        try:
            return await stub.ReturnStatements(request, timeout=BOOKS_DEADLINE.total_seconds())
        except grpc.aio.AioRpcError as error:
            raise PeerUnreachable(peer=f"node/{node}", got=error.code().name) from error

    async def close(self) -> None:
        """Close all channels."""
        channels, self._channels = self._channels, {}
        for task in self._closing:
            task.cancel()
        for opened in channels.values():
            await opened.channel.close()

    def _channel(self, node: NodeId) -> grpc.aio.Channel:
        entry = self._roster().node(node)
        if entry is None:
            raise PeerUnreachable(peer=f"node/{node}", got="not in the roster")
        key = (node, entry.endpoint)
        credentials = self._credentials()
        opened = self._channels.get(key)
        if opened is not None and opened.credentials is credentials:
            return opened.channel
        if opened is not None:
            self._close_later(opened.channel)
        # Node certificates carry a DNS name made of the node's id, so that a certificate of
        # another node of the federation cannot stand in for the one that was meant.
        channel = grpc.aio.secure_channel(
            entry.endpoint,
            credentials,
            options=(
                ("grpc.ssl_target_name_override", node_host(node)),
                ("grpc.initial_reconnect_backoff_ms", 200),
                ("grpc.max_reconnect_backoff_ms", 2000),
                # A connection that a network swallowed is noticed within a delivery's time.
                ("grpc.min_reconnect_backoff_ms", 5000),
                ("grpc.keepalive_time_ms", 12_000),
                ("grpc.keepalive_timeout_ms", 4000),
            ),
        )
        self._channels[key] = _Opened(channel, credentials)
        return channel

    def _close_later(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.ensure_future(channel.close(OLD_CHANNEL_GRACE.total_seconds()))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _failure(node: NodeId, error: grpc.aio.AioRpcError) -> PeerUnreachable:
    """Return the failure of a call: unreachable, busy, or a batch that was rejected as such."""
    code = error.code()
    reason = _reason_of(error)
    got = f"{code.name} {reason}".strip()
    is_busy = reason in _BUSY
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and not reason:
        is_busy = _TOO_LARGE not in (error.details() or "")
    if code in _REJECTIONS and not is_busy:
        return PeerUnreachable(peer=f"node/{node}", got=got, about=REJECTED)
    return PeerUnreachable(peer=f"node/{node}", got=got)


def _reason_of(error: grpc.aio.AioRpcError) -> str:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            with suppress(DecodeError):
                return codec.reason_of_status(status_pb2.Status.FromString(value))
    return ""
