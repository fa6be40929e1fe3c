"""What delivery needs from others: handlers of statements above it, a transport below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Instant
from hotline.peer.v1 import peer_service_pb2 as peer_pb


class StatementHandler(Protocol):
    """Takes the statements of some kinds; the upward port of delivery."""

    async def __call__(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        """Apply a verified statement inside `uow`; the ticket is locked.

        Raises:
            RemoteProtocolError: the statement breaks the protocol: it is refused for ever.
            ResourceNotFound: it came before what it rests on: it is deferred and comes again.
        """
        ...


class Prepare(Protocol):
    """Reads ahead for the handlers of a batch; what it forgets is read when it is needed."""

    async def __call__(self, uow: UnitOfWork, batch: Sequence[Delivered]) -> None:
        """Prefetch what the handlers of `batch` will ask `uow` for; the tickets are locked."""
        ...


REJECTED = "rejected"  # `about` of a failed call: the peer answered, and not with receipts


class PeerBooks(Protocol):
    """Answers peers about signed history; the second upward port of delivery."""

    async def exchange_heads(
        self, request: peer_pb.ExchangeHeadsRequest
    ) -> peer_pb.ExchangeHeadsResponse:
        """Return entries of the ledger of an authority that lives here."""
        ...

    async def return_statements(
        self, request: peer_pb.ReturnStatementsRequest, *, peer: NodeId
    ) -> peer_pb.ReturnStatementsResponse:
        """Return a page of what is held here of an authority of the calling node."""
        ...


class PeerTransport(Protocol):
    """Carries one batch to one node."""

    async def deliver(self, node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        """Send serialised `Envelope`s and return the serialised `SignedReceipt`s in order.

        Raises:
            PeerUnreachable: nothing is known about the batch; it will be sent again. Its `about` is
                `REJECTED` when the peer was there and would not take the batch.
        """
        ...


class Claims(Protocol):
    """Of the processes of a node, exactly one sends to each peer."""

    async def holds(self, node: NodeId) -> bool:
        """Tell whether this process is the one that sends to `node` now."""
        ...


class AlwaysClaimed:
    """The claims of a node that is one process."""

    async def holds(self, node: NodeId) -> bool:
        """Return True."""
        del node
        return True
