"""The network of the simulation: what may happen to a batch of envelopes, and to its answer.

A *held* batch is one whose sender saw a failure although it is still on its way: it arrives at any
later step, after newer ones, any number of times. That is delay, reordering and duplication. A
*clogged* link swallows batches, and gives all of them when it is cleared. A *cut* link is one-way:
an asymmetric partition; a *flapping* one lets every other batch pass. A link may also answer for
the peer: a forged receipt must not count as one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.delivery import codec
from gateway.delivery.codec import receipt_from_bytes
from gateway.delivery.model import Outcome
from gateway.kernel.errors import PeerUnreachable
from gateway.kernel.ids import NodeId
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, sign
from hotline.peer.v1 import peer_service_pb2 as peer_pb

if TYPE_CHECKING:
    from tests.simulation.world import World


class Crashed(BaseException):  # nothing in the product may catch it
    """The process of a node died at this point."""


HELD_MAX = 60  # an old batch is lost for good when the network is full
SEEN_MAX = 40  # what somebody who listens on the network may repeat
NEWER_FIELD = b"\xfa\x7f\x05newer"  # field 2047 of a message: a later version may have one


@dataclass(slots=True)
class Rates:
    """How often each fault happens, per batch."""

    lost: float = 0.15
    unanswered: float = 0.15
    held: float = 0.2
    repeated: float = 0.1
    shuffled: float = 0.3
    forged: float = 0.03


QUIET = Rates(lost=0, unanswered=0, held=0, repeated=0, shuffled=0, forged=0)

Link = tuple[NodeId, NodeId]


@dataclass(frozen=True, slots=True)
class Batch:
    """Envelopes on their way."""

    source: NodeId
    target: NodeId
    envelopes: tuple[bytes, ...] = field(repr=False)


class Network:
    """Carries batches between the nodes of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rates = Rates()
        self.held: list[Batch] = []
        self.cut: set[Link] = set()
        self.flapping: dict[Link, int] = {}
        self.clogged: dict[Link, list[Batch]] = {}
        self.seen: deque[Batch] = deque(maxlen=SEEN_MAX)

    def from_node(self, source: NodeId) -> _Side:
        """Return the transport that a node sends with."""
        return _Side(self, source)

    def heal(self) -> None:
        """Stop all faults; what is still held stays, and may arrive late."""
        self.rates = QUIET
        self.cut.clear()
        self.flapping.clear()
        for batches in self.clogged.values():
            self.held += batches
        self.clogged.clear()

    async def deliver(self, source: NodeId, target: NodeId, envelopes: list[bytes]) -> list[bytes]:
        """Carry one batch, or not."""
        world = self._world
        sender = world.nodes[source]
        batch = Batch(source, target, tuple(envelopes))
        sender.reach("before_send")
        self._may_pass(batch)
        self.seen.append(batch)
        receipts = await self.arrive(batch)
        if world.rng.random() < self.rates.repeated:
            world.fault("repeated", source, target)
            again = await self.arrive(batch)
            for first, second in zip(receipts, again, strict=True):
                is_same = first == second or _is_deferred(first) or _is_deferred(second)
                assert is_same, "a repeat is answered with the stored bytes"
        sender.reach("after_send")
        if world.rng.random() < self.rates.unanswered:
            world.fault("unanswered", source, target)
            raise PeerUnreachable(peer=target, got="answer lost")
        if world.rng.random() < self.rates.forged:
            world.fault("forged receipt", source, target)
            return [self._forged(batch, raw) for raw in receipts]
        return receipts

    def _may_pass(self, batch: Batch) -> None:
        world, rng, link = self._world, self._world.rng, (batch.source, batch.target)
        if link in self.cut:
            world.fault("cut off", *link)
            raise PeerUnreachable(peer=batch.target, got="cut")
        if link in self.flapping:
            self.flapping[link] += 1
            if self.flapping[link] % 2:
                world.fault("flapped", *link)
                raise PeerUnreachable(peer=batch.target, got="flapping")
        if link in self.clogged:
            world.fault("clogged", *link)
            self.clogged[link].append(batch)
            raise PeerUnreachable(peer=batch.target, got="clogged")
        if rng.random() < self.rates.lost:
            world.fault("lost", *link)
            raise PeerUnreachable(peer=batch.target, got="lost")
        if rng.random() < self.rates.held:
            world.fault("held", *link)
            self.held.append(batch)
            del self.held[:-HELD_MAX]
            raise PeerUnreachable(peer=batch.target, got="held")

    async def arrive_late(self) -> bool:
        """Let one held batch arrive; it may stay to arrive again."""
        world = self._world
        if not self.held:
            return False
        index = world.rng.randrange(len(self.held))
        batch = self.held[index]
        if world.rng.random() < 0.7:
            del self.held[index]
        world.fault("late", batch.source, batch.target)
        await self.arrive(batch)
        return True

    async def clear(self, link: Link) -> None:
        """Give everything that a clogged link swallowed, in its order."""
        for batch in self.clogged.pop(link, []):
            self._world.fault("unclogged", *link)
            try:
                await self.arrive(batch)
            except PeerUnreachable:  # the target died of it; the rest still comes
                continue

    async def arrive(self, batch: Batch) -> list[bytes]:
        """Hand the envelopes of a batch to their node, perhaps out of order."""
        world, node = self._world, self._world.nodes[batch.target]
        order = list(range(len(batch.envelopes)))
        if len(order) > 1 and world.rng.random() < self.rates.shuffled:
            world.fault("shuffled", batch.source, batch.target)
            world.rng.shuffle(order)
        is_newer = batch.source in world.newer
        receipts: dict[int, bytes] = {}
        try:
            for index in order:
                raw = batch.envelopes[index]
                if is_newer:
                    world.fault("unknown field", batch.source, batch.target)
                    raw += NEWER_FIELD
                envelope = peer_pb.Envelope.FromString(raw)
                receipts[index] = await node.inbox.take(envelope, peer=batch.source)
                node.reach("before_receipt")
        except Crashed as crash:
            world.note(f"{crash} dies")
            node.start()
            raise PeerUnreachable(peer=batch.target, got="crashed") from None
        return [receipts[index] for index in range(len(batch.envelopes))]

    def _forged(self, batch: Batch, raw: bytes) -> bytes:
        """Answer in the name of the peer with what it never said."""
        world, rng = self._world, self._world.rng
        if not raw:
            return raw
        signed = peer_pb.SignedReceipt.FromString(raw)
        issuer, _ = receipt_from_bytes(signed.receipt)
        liar = rng.choice([code for code in world.authorities if code != issuer])
        how = rng.randrange(4)
        if how == 0:  # another statement's receipt
            said = codec.receipt_to_bytes(
                issuer=issuer,
                statement_digest=bytes(32),
                now=world.clock.now(),
                error=None,
                deferred=False,
            )
            key = world.node_of(issuer).keys.signing_key(issuer)
            signature = sign(key, said, payload_type=RECEIPT_PAYLOAD_TYPE)
        elif how == 1:  # the right words, signed by somebody else
            said, key = signed.receipt, world.node_of(liar).keys.signing_key(liar)
            signature = sign(key, said, payload_type=RECEIPT_PAYLOAD_TYPE)
        elif how == 2:  # signed as a statement, not as a receipt
            said, key = signed.receipt, world.node_of(issuer).keys.signing_key(issuer)
            signature = sign(key, said)
        else:
            return rng.randbytes(len(raw))
        return codec.signed_receipt_to_bytes(said, key_id=key.key_id, signature=signature)


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
