"""Lives of the nodes: each restore from an older backup begins a new *incarnation*.

A node that was restored has forgotten what it said since the backup. Its peers return what they
hold; what its earlier life still had on the way must not arrive after that, or it would contradict
what the new life says. So a receiver remembers the greatest incarnation of each node and refuses
the envelopes of an older one (docs/custody.md#recovery).
"""

from __future__ import annotations

from gateway.database.table import Table
from gateway.database.uow import UnitOfWork
from gateway.kernel.errors import IncarnationStale
from gateway.kernel.ids import NodeId
from gateway.kernel.values import dataclass

FIRST = 1


@dataclass(frozen=True, slots=True)
class PeerIncarnationRow:
    """The greatest incarnation that was seen of a node."""

    node: str
    incarnation: int


PEER_INCARNATIONS = Table("peer_incarnations", PeerIncarnationRow, key=("node",))


async def note(uow: UnitOfWork, node: NodeId, incarnation: int) -> None:
    """Remember the incarnation of a node; the first one needs no row.

    Raises:
        IncarnationStale: a greater one is known: the node was restored since.
    """
    known = await _greatest(uow, node)
    if incarnation > known:
        await uow.lock(f"incarnation/{node}")  # another unit may learn of a greater one meanwhile
        known = await _greatest(uow, node)
        if incarnation > known:
            uow.put(PEER_INCARNATIONS, PeerIncarnationRow(node, incarnation))
    if incarnation < known:
        raise IncarnationStale(node=node, got=incarnation, expected=known)


async def _greatest(uow: UnitOfWork, node: NodeId) -> int:
    row = await uow.get(PEER_INCARNATIONS, node)
    return row.incarnation if row else FIRST
