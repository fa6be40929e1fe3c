"""Reading what is known of peers: the database's part, and what this process remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from gateway.database.uow import UnitOfWork
from gateway.delivery.peers import PeerBook
from gateway.delivery.quotas import PeerQuotas
from gateway.delivery.store import (
    ALL_CONTACTS,
    ALL_CONTROLS,
    OUTBOX_QUEUES,
    ControlRow,
    QueueRow,
)
from gateway.delivery.undelivered import UNDELIVERED_PENDING
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Clock
from gateway.operation.machine import AlarmPolicy, alarm_of
from gateway.operation.model import COUNT_MAX, PeerView
from gateway.trust.roster import Roster

GROUPS_MAX = 5000  # kinds of items times nodes of a roster


@dataclass(frozen=True, slots=True)
class Seen:
    """All peers at one moment, and how many items of each kind wait for a person."""

    peers: dict[NodeId, PeerView]
    items: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """Puts together what is known of peers."""

    node: NodeId
    book: PeerBook
    quotas: PeerQuotas
    roster: Callable[[], Roster]
    clock: Clock
    policy: AlarmPolicy

    async def look(self, uow: UnitOfWork, *, count_max: int = COUNT_MAX) -> Seen:
        """Return every node of the roster but this one, and whoever else has a queue or an item.

        Queues are counted up to `count_max`.
        """
        self.book.remember(await uow.select(ALL_CONTACTS))
        controls = {row.node: row for row in await uow.select(ALL_CONTROLS)}
        self.book.obey(controls.values())
        queues = {row.node: row for row in await uow.select(OUTBOX_QUEUES, bound=count_max)}
        items: dict[str, int] = {}
        of_node: dict[str, int] = {}
        for row in await uow.select(UNDELIVERED_PENDING, limit=GROUPS_MAX):
            items[row.kind] = items.get(row.kind, 0) + row.items
            of_node[row.node] = of_node.get(row.node, 0) + row.items
        nodes = {*map(str, self.roster().nodes), *queues, *controls, *of_node} - {self.node, ""}
        peers = {
            NodeId(node): self._view(
                NodeId(node), queues.get(node), controls.get(node), of_node.get(node, 0)
            )
            for node in sorted(nodes)
        }
        return Seen(peers, items)

    def _view(
        self, node: NodeId, queue: QueueRow | None, control: ControlRow | None, items: int
    ) -> PeerView:
        peer, entry = self.book.of(node), self.roster().node(node)
        age = max(self.clock.now() - queue.oldest, timedelta(0)) if queue else timedelta(0)
        return PeerView(
            node=node,
            endpoint=entry.endpoint if entry else "",
            mode=peer.mode,
            mode_reason=control.reason if control else "",
            mode_actor=control.actor if control else "",
            mode_time=control.changed if control else None,
            breaker=peer.breaker,
            failures=peer.failures,
            error=peer.error,
            retry_at=peer.retry_at if peer.failures else None,
            waiting=queue.waiting if queue else 0,
            oldest_age=age,
            alarm=alarm_of(age, self.policy),
            reached=peer.reached,
            heard=peer.heard,
            round_trip=peer.round_trip,
            sent=peer.sent,
            received=peer.received,
            refused=peer.refused,
            deferred=peer.deferred,
            invalid=peer.invalid,
            over_quota=self.quotas.refused.get(node, 0),
            items=items,
        )
