"""The network of the simulation: a batch may be lost, repeated, delayed, or answered in vain.

A *held* batch is one whose sender saw a failure although it is still on its way: it arrives at
any later step, after newer ones, any number of times. That is delay, reordering and duplication.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.delivery.codec import receipt_from_bytes
from gateway.delivery.model import Outcome
from gateway.kernel.errors import PeerUnreachable
from gateway.kernel.ids import NodeId
from hotline.peer.v1 import peer_service_pb2 as peer_pb

if TYPE_CHECKING:
    from tests.simulation.world import World


class Crashed(BaseException):  # nothing in the product may catch it
    """The process of a node died at this point."""


HELD_MAX = 60  # an old batch is lost for good when the network is full


@dataclass(slots=True)
class Rates:
    """How often each fault happens, per batch."""

    lost: float = 0.15
    unanswered: float = 0.15
    held: float = 0.2
    repeated: float = 0.1
    shuffled: float = 0.3


@dataclass(slots=True)
class _Batch:
    source: NodeId
    target: NodeId
    envelopes: list[bytes] = field(repr=False)


class Network:
    """Carries batches between the nodes of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rates = Rates()
        self.held: list[_Batch] = []
        self.cut: set[tuple[NodeId, NodeId]] = set()

    def from_node(self, source: NodeId) -> _Side:
        """Return the transport that a node sends with."""
        return _Side(self, source)

    def heal(self) -> None:
        """Stop all faults; what is still held stays, and may arrive late."""
        self.rates = Rates(lost=0, unanswered=0, held=0, repeated=0, shuffled=0)
        self.cut.clear()

    async def deliver(self, source: NodeId, target: NodeId, envelopes: list[bytes]) -> list[bytes]:
        """Carry one batch, or not."""
        world, rng = self._world, self._world.rng
        if (source, target) in self.cut or rng.random() < self.rates.lost:
            world.faults["lost"] += 1
            raise PeerUnreachable(peer=target, got="lost")
        if rng.random() < self.rates.held:
            world.faults["held"] += 1
            self.held.append(_Batch(source, target, list(envelopes)))
            del self.held[:-HELD_MAX]
            raise PeerUnreachable(peer=target, got="held")
        receipts = await self.arrive(_Batch(source, target, envelopes))
        if rng.random() < self.rates.repeated:
            world.faults["repeated"] += 1
            again = await self.arrive(_Batch(source, target, envelopes))
            for first, second in zip(receipts, again, strict=True):
                is_same = first == second or _is_deferred(first)
                assert is_same, "a repeat is answered with the stored bytes"
        if rng.random() < self.rates.unanswered:
            world.faults["unanswered"] += 1
            raise PeerUnreachable(peer=target, got="answer lost")
        return receipts

    async def arrive_late(self) -> bool:
        """Let one held batch arrive; it may stay to arrive again."""
        world = self._world
        if not self.held:
            return False
        index = world.rng.randrange(len(self.held))
        batch = self.held[index]
        if world.rng.random() < 0.7:
            del self.held[index]
        world.faults["late"] += 1
        await self.arrive(batch)
        return True

    async def arrive(self, batch: _Batch) -> list[bytes]:
        """Hand the envelopes of a batch to their node, perhaps out of order."""
        world, node = self._world, self._world.nodes[batch.target]
        order = list(range(len(batch.envelopes)))
        if world.rng.random() < self.rates.shuffled:
            world.faults["shuffled"] += 1
            world.rng.shuffle(order)
        receipts: dict[int, bytes] = {}
        try:
            for index in order:
                envelope = peer_pb.Envelope.FromString(batch.envelopes[index])
                receipts[index] = await node.inbox.take(envelope, peer=batch.source)
        except Crashed:
            node.start()
            raise PeerUnreachable(peer=batch.target, got="crashed") from None
        return [receipts[index] for index in range(len(batch.envelopes))]


def _is_deferred(raw: bytes) -> bool:
    _, receipt = receipt_from_bytes(peer_pb.SignedReceipt.FromString(raw).receipt)
    return receipt.outcome is Outcome.DEFERRED


class _Side:
    """The sending side of one node: the `PeerTransport` of its pump."""

    def __init__(self, network: Network, source: NodeId) -> None:
        self._network = network
        self._source = source

    async def deliver(self, node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        """Send a batch."""
        return await self._network.deliver(self._source, node, envelopes)
