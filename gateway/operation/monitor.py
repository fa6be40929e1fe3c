"""The monitor: turns age into alarms, and keeps the list for people true.

Every few seconds it looks at the queues. The oldest envelope of a peer that has waited longer than
the first threshold is a warning, longer than the second an item for people; a level is logged when
it changes and not again. When the peer answers and one envelope grows old all the same, that
envelope becomes an item of its own. Items whose cause is gone end by themselves. So nothing is
tried again for ever in silence (I6), and nothing is ever given up either.

Every process of a node may run it: a pass is one transaction under one lock, and says the same
whoever makes it. What was noticed in memory only (contacts, quarantine) is written by the process
that noticed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog

from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.guard import Guard
from gateway.delivery.model import Breaker, Item, Mode
from gateway.delivery.store import (
    ALL_CONTACTS,
    CONTACTS,
    CONTROLS,
    OUTBOX_OLDEST,
    ContactRow,
)
from gateway.delivery.undelivered import (
    STUCK_NO_MORE,
    UNDELIVERED,
    UNDELIVERED_OF_KIND,
    UndeliveredRow,
    item_of_row,
    resolved,
)
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Clock, Instant
from gateway.operation.machine import Alarm, AlarmPolicy
from gateway.operation.model import MONITOR, PeerView
from gateway.operation.view import Observer, Seen

INTERVAL = timedelta(seconds=5)
CONTACT_STEP = timedelta(seconds=15)  # a contact is written again when it is so much newer
ANSWERS_WITHIN = timedelta(minutes=2)  # a peer that was reached since then does answer
STUCK_PER_PEER_MAX = 20
COUNT_MAX = 20_000  # of a queue: counting it must stay cheap every few seconds
ITEMS_MAX = 5000
PATIENCE = 20  # a pass that takes a second is followed by the next after twenty
_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Monitor:
    """Watches the peers of one node.

    Attributes:
        reason_of: why a row was deferred the last time, as far as this process knows.
        measured: told what was seen, for the metrics.
        clock: machine time.
    """

    database: Database
    observer: Observer
    guard: Guard
    clock: Clock
    policy: AlarmPolicy
    reason_of: Callable[[NodeId, int], str] = lambda _node, _position: ""
    measured: Callable[[Seen], None] = lambda _seen: None
    _levels: dict[str, Alarm] = field(default_factory=dict)

    async def run(self) -> None:
        """Watch for ever; cancel to stop."""
        while True:
            began = self.clock.now()
            try:
                await self.look()
            except LubiaoError as error:
                _log.warning("monitor.failed", reason=error.reason)
            except Exception:  # a defect here must not stop what delivers
                _log.exception("monitor.crashed")
            await asyncio.sleep(rest_after(self.clock.now() - began).total_seconds())

    async def look(self) -> Seen:
        """Make one pass."""
        async with self.database.unit() as uow:
            await uow.lock(MONITOR)
            seen = await self.observer.look(uow, count_max=COUNT_MAX)
            await self._keep_contacts(uow)
            await self.guard.load(uow)
            await self.guard.flush(uow)
            overdue = await self._pending(uow, Item.OVERDUE)
            stuck = await self._pending(uow, Item.STUCK)
            for view in seen.peers.values():
                await self._end_drain(uow, view)
                self._judge_queue(uow, view, overdue.get(f"overdue-{view.node}"))
                if self._answers(view):
                    await self._find_stuck(uow, view, stuck)
            await self._end_stuck(uow)
        self._tell(seen)
        self.measured(seen)
        return seen

    async def _pending(self, uow: UnitOfWork, kind: Item) -> dict[str, UndeliveredRow]:
        rows = await uow.select(UNDELIVERED_OF_KIND, kind=kind.value, limit=ITEMS_MAX)
        return {row.item: row for row in rows}

    async def _keep_contacts(self, uow: UnitOfWork) -> None:
        known = {row.node: row for row in await uow.select(ALL_CONTACTS)}
        for row in self.observer.book.contacts():
            kept = known.get(row.node, ContactRow(row.node, None, None))
            if _is_newer(row.reached, kept.reached) or _is_newer(row.heard, kept.heard):
                uow.put(CONTACTS, row)

    async def _end_drain(self, uow: UnitOfWork, view: PeerView) -> None:
        """Pause a peer to which all was sent that was posted before its drain began."""
        if view.mode is not Mode.DRAINING or view.mode_time is None:
            return
        oldest = await uow.select(OUTBOX_OLDEST, node=view.node, limit=1)
        if oldest and oldest[0].created <= view.mode_time:
            return
        control = await uow.get(CONTROLS, view.node)
        if control is not None and control.mode == Mode.DRAINING.value:
            uow.put(CONTROLS, replace(control, mode=Mode.PAUSED.value))
            _log.info("peer.drained", node=view.node)

    def _judge_queue(self, uow: UnitOfWork, view: PeerView, item: UndeliveredRow | None) -> None:
        """Open, renew or end the item about a queue."""
        now = self.clock.now()
        if view.alarm is not Alarm.OVERDUE:
            if item is not None:
                uow.put(UNDELIVERED, resolved(item, now=now))
            return
        since = now - view.oldest_age
        reason = view.error or ("PAUSED" if view.mode is not Mode.OPEN else "DEFERRED")
        if item is None:
            item = UndeliveredRow(
                item=f"overdue-{view.node}",
                kind=Item.OVERDUE.value,
                node=view.node,
                reason=reason[:100],
                waiting=view.waiting,
                since=since,
                created=now,
                changed=now,
            )
        elif now - item.changed < INTERVAL * 12 and item.waiting == view.waiting:
            return
        uow.put(UNDELIVERED, replace(item, waiting=view.waiting, since=since, reason=reason[:100]))

    def _answers(self, view: PeerView) -> bool:
        """Tell whether a peer takes envelopes although its oldest one is overdue."""
        if view.alarm is not Alarm.OVERDUE or view.mode is not Mode.OPEN:
            return False
        is_recent = view.reached is not None and self.clock.now() - view.reached < ANSWERS_WITHIN
        return view.breaker is Breaker.CLOSED and is_recent

    async def _find_stuck(
        self, uow: UnitOfWork, view: PeerView, known: dict[str, UndeliveredRow]
    ) -> None:
        """Put the envelopes on the list that grow old although their peer answers."""
        now = self.clock.now()
        for row in await uow.select(OUTBOX_OLDEST, node=view.node, limit=STUCK_PER_PEER_MAX):
            if now - row.created < self.policy.alarm:
                return
            reason = self.reason_of(NodeId(view.node), row.position) or "DEFERRED"
            item = item_of_row(Item.STUCK, row, reason=reason, now=now)
            if item.item in known:
                continue
            uow.put(UNDELIVERED, item)
            _log.error(
                "envelope.stuck",
                node=view.node,
                kind=row.kind,
                target=row.target,
                ticket=row.ticket,
                reason=reason,
            )

    async def _end_stuck(self, uow: UnitOfWork) -> None:
        now = self.clock.now()
        for row in await uow.select(STUCK_NO_MORE, limit=ITEMS_MAX):
            uow.put(UNDELIVERED, resolved(row, now=now))

    def _tell(self, seen: Seen) -> None:
        """Log each change of level once."""
        for node, view in seen.peers.items():
            before = self._levels.get(node, Alarm.NONE)
            self._levels[node] = view.alarm
            if view.alarm is before:
                continue
            tell = _log.info if view.alarm is Alarm.NONE else _log.error
            tell(
                "peer.alarm",
                node=node,
                level=view.alarm.value,
                before=before.value,
                waiting=view.waiting,
                oldest_seconds=round(view.oldest_age.total_seconds()),
            )


def rest_after(took: timedelta) -> timedelta:
    """Return how long to wait after a pass: while a snapshot is open, counting queues is slow."""
    return max(INTERVAL, PATIENCE * took)


def _is_newer(one: Instant | None, kept: Instant | None) -> bool:
    return one is not None and (kept is None or one - kept >= CONTACT_STEP)
