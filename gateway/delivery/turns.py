"""Who may write to the database for peers now: some of them at once, and few of one peer.

A process has ten connections, and a unit that waits for the lock of a ticket holds one. Peers that
deliver much, or aim many batches at one ticket, must leave some to each other and to the node's own
users. Whoever has no turn waits here, without a connection, in the order of coming.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from gateway.kernel.ids import NodeId

UNITS_MAX = 7  # of the ten connections of a process
UNITS_PER_PEER_MAX = 3  # the fourth batch in flight hides the way of the others


class Turns:
    """Lets units of peers begin."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._all = asyncio.Semaphore(UNITS_MAX)
        self._of: dict[NodeId, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def of(self, peer: NodeId) -> AsyncGenerator[None, None]:
        """Wait for a turn of `peer`, a node of the roster, and hold it."""
        own = self._of.setdefault(peer, asyncio.Semaphore(UNITS_PER_PEER_MAX))
        async with own, self._all:
            yield
