"""What delivery needs from others: handlers of statements above it, a transport below it."""

from __future__ import annotations

from typing import Protocol

from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Instant


class StatementHandler(Protocol):
    """Takes the statements of some kinds; the upward port of delivery."""

    async def __call__(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        """Apply a verified statement inside `uow`; the ticket is locked.

        Raises:
            RemoteProtocolError: the statement breaks the protocol: it is refused for ever.
            ResourceNotFound: it came before what it rests on: it is deferred and comes again.
        """
        ...


class PeerTransport(Protocol):
    """Carries one batch to one node."""

    async def deliver(self, node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        """Send serialised `Envelope`s and return the serialised `SignedReceipt`s in order.

        Raises:
            PeerUnreachable: nothing is known about the batch; it will be sent again.
        """
        ...
