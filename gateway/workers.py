"""One process of a node, alone or one of several; part of the composition root.

`lubiao serve` is one process and everything is its own: `Alone`. `lubiao serve --workers N` is N of
them on one database and one port (`supervisor.py`): a `Worker` shares out by leases what only one
may do (each peer's pump, the tasks that run once a node), and rings the bell when it leaves work
for a pump that another worker runs. Everything else may run in each of them, because it decides in
units of work under locks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

from gateway.database.bell import Bell
from gateway.database.leases import Leases
from gateway.database.uow import Database
from gateway.delivery.ports import AlwaysClaimed, Claims
from gateway.kernel.ids import Ids, NodeId, SystemIds

Task = Callable[[], Awaitable[None]]
PUMP, ONCE = "pump/", "task/"  # of leases
WAKE, HEARD = "wake/", "heard/"  # of the bell
HEARD_GAP = timedelta(milliseconds=500)  # a busy peer is heard from a thousand times a second
_SYSTEM_IDS = SystemIds()


@dataclass(frozen=True, slots=True)
class Post:
    """The place of one process among several, as its supervisor says."""

    index: int
    workers: int
    dsn: str
    port: int


class Woken(Protocol):
    """What the bell is for: a pump."""

    def wake(self, node: NodeId) -> None:
        """Tell that something waits for `node`."""
        ...

    def heard_from(self, node: NodeId) -> None:
        """Tell that `node` is alive."""
        ...


class Crew(Protocol):
    """The processes of a node, as one of them sees them."""

    index: int
    claims: Claims

    def once(self, name: str, task: Task) -> Task:
        """Return `task` so that only one process of the node runs it."""
        ...

    def connect(self, pump: Woken) -> None:
        """Let the other processes wake this one's pump."""
        ...

    def wake(self, node: NodeId) -> None:
        """Wake whichever process pumps to `node`: something waits for it."""
        ...

    def heard_from(self, node: NodeId) -> None:
        """Tell whichever process pumps to `node` that it is alive."""
        ...

    def tasks(self) -> Mapping[str, Task]:
        """Return what runs beside the server for this."""
        ...


class Alone:
    """The only process of its node."""

    index = 0

    def __init__(self) -> None:
        """Claim everything."""
        self.claims: Claims = AlwaysClaimed()
        self._pump: Woken | None = None

    def once(self, _name: str, task: Task) -> Task:
        """Return the task as it is."""
        return task

    def connect(self, pump: Woken) -> None:
        """Remember the pump."""
        self._pump = pump

    def wake(self, node: NodeId) -> None:
        """Wake the pump."""
        if self._pump is not None:
            self._pump.wake(node)

    def heard_from(self, node: NodeId) -> None:
        """Tell the pump."""
        if self._pump is not None:
            self._pump.heard_from(node)

    def tasks(self) -> Mapping[str, Task]:
        """Return nothing."""
        return {}


class Worker:
    """One process of several."""

    def __init__(
        self,
        post: Post,
        *,
        database: Database,
        peers: Callable[[], Collection[NodeId]],
        ids: Ids = _SYSTEM_IDS,
    ) -> None:
        """Make it; `peers` are the nodes that somebody must pump to."""
        self.index = post.index
        self._peers = peers
        self._once: set[str] = set()
        self._pump: Woken | None = None
        self._heard: dict[NodeId, float] = {}
        self._leases = Leases(
            database=database,
            holder=f"{post.index}-{ids.entropy(8).hex()}",
            wanted=self._wanted,
        )
        self._leases.gained = self._gained
        self._bell = Bell(post.dsn, heard=self._rung)
        self.claims: Claims = _PumpClaims(self._leases)

    def once(self, name: str, task: Task) -> Task:
        """Return `task` so that it runs while this process holds its lease."""
        self._once.add(ONCE + name)
        return partial(self._leases.while_held, ONCE + name, task)

    def connect(self, pump: Woken) -> None:
        """Remember the pump, whose peers are shared out from now on."""
        self._pump = pump

    def wake(self, node: NodeId) -> None:
        """Wake the pump here, or ring for the one elsewhere."""
        if self._pump is not None:
            self._pump.wake(node)
        if not self._leases.holds(PUMP + node):
            self._bell.ring(WAKE + node)

    def heard_from(self, node: NodeId) -> None:
        """Tell the pump here, or ring for the one elsewhere."""
        if self._pump is not None:
            self._pump.heard_from(node)
        if self._leases.holds(PUMP + node):
            return
        now = asyncio.get_running_loop().time()
        if now - self._heard.get(node, -HEARD_GAP.total_seconds()) >= HEARD_GAP.total_seconds():
            self._heard[node] = now
            self._bell.ring(HEARD + node)

    def tasks(self) -> Mapping[str, Task]:
        """Return the leases and the bell."""
        return {"leases": self._leases.run, "bell": self._bell.run}

    def _wanted(self) -> frozenset[str]:
        peers = self._peers() if self._pump is not None else ()
        return frozenset(self._once) | {PUMP + node for node in peers}

    def _gained(self, name: str) -> None:
        """Begin at once with a peer that another process served; its back-off was its own."""
        if name.startswith(PUMP):
            self._rung(HEARD + name.removeprefix(PUMP))
            self._rung(WAKE + name.removeprefix(PUMP))

    def _rung(self, topic: str) -> None:
        if self._pump is None:
            return
        if topic.startswith(WAKE):
            self._pump.wake(NodeId(topic.removeprefix(WAKE)))
        elif topic.startswith(HEARD):
            self._pump.heard_from(NodeId(topic.removeprefix(HEARD)))


class _PumpClaims:
    """The leases of pumps, as the pump asks for them."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    async def holds(self, node: NodeId) -> bool:
        """Tell whether this process holds the lease of `node`'s pump."""
        return self._leases.holds(PUMP + node)
