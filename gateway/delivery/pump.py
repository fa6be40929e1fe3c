"""The pump: sends what waits in the outbox until it is receipted.

**Theory of operation.** Each peer node has a sender of its own: a slow or dead peer holds up nobody
else, and no connection of the database is held while a call is out. A sender reads due rows ahead
(bounded, in order of their time and position), makes batches of up to 100 rows and 3.5 MB, and has
up to four of them in flight; rows of one ticket never fly in two batches, so none overtakes another
on the way. What it read ahead may be stale: then an envelope is sent twice, which changes nothing.

Each envelope gets a receipt of its own, signed by the target. `received` removes the row; `refused`
moves it to the list for people; `deferred` leaves it with a later `not_before`, so it does not hold
up the rest. How large a batch may be is learnt from the answers (`pace`). A failed call changes
nothing; the next attempt follows after a back-off with jitter that starts at half a second, doubles
up to four and is cleared as soon as anything is heard from that node. A restart knows nothing: it
opens the outbox. Nothing is ever given up; what grows old becomes an item for people
(`gateway.operation`). What moved to another node goes to its sender.

A batch that the peer *rejects as such* is halved until the envelope that it cannot take is alone.
It is set aside for people only when it failed alone several times while others passed: a peer that
rejects everything is broken itself, and its queue stays where it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import structlog

from gateway.database.uow import PEER as DATABASE
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.model import (
    BACKOFF_FIRST,
    BACKOFF_MAX,
    BATCH_BYTES_MAX,
    DEFER_MAX,
    ENVELOPES_PER_BATCH_MAX,
    Item,
    Mode,
    Outcome,
)
from gateway.delivery.numbers import Numbers
from gateway.delivery.pace import Pace
from gateway.delivery.peers import PeerBook, backoff
from gateway.delivery.ports import REJECTED, AlwaysClaimed, Claims, PeerTransport
from gateway.delivery.receipt_store import keep_receipt
from gateway.delivery.receipts import NO_RECEIPT, open_receipt, refusal
from gateway.delivery.sending import PATIENCE, START, Sender
from gateway.delivery.store import (
    ALL_CONTROLS,
    NUMBERS,
    OUTBOX,
    OUTBOX_NEXT,
    OUTBOX_NODES,
    REFUSALS,
    OutboxRow,
)
from gateway.delivery.undelivered import UNDELIVERED, item_of_row
from gateway.kernel import crashpoints
from gateway.kernel.errors import LubiaoError, ResourceExists, StatementMalformed
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import replace
from gateway.trust.roster import Roster

IDLE_POLL = timedelta(seconds=1)  # finds rows of other processes, and deferred ones
BATCHES_IN_FLIGHT_MAX = 4  # hides the way of one batch behind the work on another
TOO_LATE = "DEADLINE_EXCEEDED"
READ_AHEAD_MAX = 2 * ENVELOPES_PER_BATCH_MAX
READ_AHEAD_BYTES_MAX = 2 * BATCHES_IN_FLIGHT_MAX * BATCH_BYTES_MAX  # of one peer, in memory
_log = structlog.get_logger()


class Pump:
    """Sends the outbox of one node."""

    def __init__(
        self,
        *,
        database: Database,
        transport: PeerTransport,
        roster: Callable[[], Roster],
        clock: Clock,
        incarnation: int = 1,
        claims: Claims | None = None,
        book: PeerBook | None = None,
    ) -> None:
        """Make the pump; `clock` is machine time: back-off is never scaled.

        `claims` says which peers this process serves, by default all; `book` holds what it knows.
        """
        self._database = database
        self._transport = transport
        self._roster = roster
        self._clock = clock
        self._numbers = Numbers(incarnation)
        self._claims = claims or AlwaysClaimed()
        self.book = book or PeerBook(clock)
        self._senders: dict[NodeId, Sender] = {}
        self._arrived = asyncio.Event()
        self._look_at = clock.now()
        # Told the node and its answer for every envelope.
        self.counted: Callable[[NodeId, Outcome], None] = lambda _node, _outcome: None

    def wake(self, node: NodeId) -> None:
        """Tell that something waits for `node`."""
        self._sender(node).wake.set()

    def heard_from(self, node: NodeId) -> None:
        """Tell that `node` is alive: its back-off is over."""
        if self.book.heard(node):
            self._sender(node).wake.set()

    def retry(self, node: NodeId) -> None:
        """Forget the failures of `node`: somebody says that it is worth a new attempt."""
        sender = self._sender(node)
        sender.peer.failures, sender.peer.retry_at, sender.pace = 0, None, Pace()
        sender.forget()
        sender.wake.set()

    def failures(self, node: NodeId) -> int:
        """Return how many calls to `node` failed in a row."""
        return self._sender(node).peer.failures

    def reason_of(self, node: NodeId, position: int) -> str:
        """Return why a row was deferred the last time, as far as this process knows."""
        return self._sender(node).reasons.get(position, "")

    # --- one sender a peer --------------------------------------------------------------------

    async def run(self) -> None:
        """Send for ever; cancel to stop. A crash of one sender is its peer's loss only."""
        async with asyncio.TaskGroup() as group:
            running: set[NodeId] = set()
            while True:
                await self._find_nodes()
                for node in self._senders.keys() - running:
                    running.add(node)
                    group.create_task(self._serve(node), name=f"pump/{node}")
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_POLL.total_seconds()):
                        await self._arrived.wait()
                self._arrived.clear()

    async def _find_nodes(self) -> None:
        """Wake the senders for which anything waits, and learn what people ordered.

        Where looking for queues takes long, every sender is woken instead most of the time.
        """
        now = self._clock.now()
        nodes = list(self._senders)
        try:
            async with self._database.unit() as uow:
                self.book.obey(await uow.select(ALL_CONTROLS))
                if now >= self._look_at:
                    nodes = [NodeId(row.node) for row in await uow.select(OUTBOX_NODES)]
                    self._look_at = now + PATIENCE * (self._clock.now() - now)
        except LubiaoError as error:
            _log.error("pump.database_unreachable", reason=error.reason)
            return
        for node in nodes:
            sender = self._sender(node)
            sender.rewind(now)  # what committed late may lie behind the cursor
            sender.wake.set()

    async def _serve(self, node: NodeId) -> None:
        sender = self._sender(node)
        flights: set[asyncio.Task[bool]] = set()
        try:
            while True:
                sender.wake.clear()
                # A peer of another process costs nothing here; whoever gains it wakes its sender.
                if await self._claims.holds(node):
                    await self._launch(node, sender, flights)
                else:
                    sender.forget()  # another process sends what was read ahead
                await self._rest(node, sender, flights)
        finally:
            for flight in flights:
                flight.cancel()
            await asyncio.gather(*flights, return_exceptions=True)

    async def _launch(self, node: NodeId, sender: Sender, flights: set[asyncio.Task[bool]]) -> None:
        """Begin as many batches as may be in flight; one while it is not known to be well."""
        while True:
            is_well = not sender.peer.failures and sender.pace.is_full
            if len(flights) >= (BATCHES_IN_FLIGHT_MAX if is_well else 1):
                return
            batch = await self._guarded_batch(node, sender)
            if not batch:
                return
            flights.add(asyncio.create_task(self._guarded_carry(node, batch), name=f"batch/{node}"))

    async def _rest(self, node: NodeId, sender: Sender, flights: set[asyncio.Task[bool]]) -> None:
        """Wait until there may be something to do, and until a back-off is over."""
        if flights or not self._delay(node, sender):
            woken = asyncio.create_task(sender.wake.wait())
            try:
                await asyncio.wait({*flights, woken}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                woken.cancel()
            flights.difference_update([flight for flight in flights if flight.done()])
        delay = self._delay(node, sender)
        if delay and not flights:
            with suppress(TimeoutError):
                async with asyncio.timeout(delay.total_seconds()):
                    await self._cleared(sender)

    def _delay(self, node: NodeId, sender: Sender) -> timedelta:
        """Return for how long the peer is left alone."""
        if sender.stalled:
            return IDLE_POLL  # the database is away, not the peer
        return backoff(node, max(sender.peer.failures, sender.pace.setbacks))

    async def _cleared(self, sender: Sender) -> None:
        """Wait for the end of a back-off; new work does not shorten it, contact does."""
        while True:
            await sender.wake.wait()
            sender.wake.clear()
            if not (sender.stalled or sender.peer.failures or sender.pace.setbacks):
                return

    async def _guarded_batch(self, node: NodeId, sender: Sender) -> list[OutboxRow]:
        try:
            sender.stalled = False
            return await self._next_batch(node)
        except LubiaoError as error:
            self._stall(sender, error)
        except Exception:  # a defect in what one peer caused must not stop what goes to the others
            self._crashed(sender)
        return []

    async def _guarded_carry(self, node: NodeId, batch: list[OutboxRow]) -> bool:
        try:
            return await self._carry(node, batch)
        except Exception:  # as above
            self._crashed(self._sender(node))
            return False

    def _crashed(self, sender: Sender) -> None:
        sender.peer.failed(self._clock.now(), error="DEFECT")
        sender.forget()
        _log.exception("pump.failed", node=sender.peer.node, failures=sender.peer.failures)

    def _stall(self, sender: Sender, error: LubiaoError) -> None:
        sender.forget()
        if not isinstance(error, ResourceExists):  # else another process numbered it: read again
            sender.stalled = True
        _log.error("pump.stalled", node=sender.peer.node, reason=error.reason)

    async def send_once(self, node: NodeId) -> bool:
        """Send one batch to `node`; tell whether one was sent and receipted."""
        try:
            batch = await self._next_batch(node)
        except LubiaoError as error:
            self._stall(self._sender(node), error)
            return False
        return bool(batch) and await self._carry(node, batch)

    # --- a batch ------------------------------------------------------------------------------

    async def _next_batch(self, node: NodeId) -> list[OutboxRow]:
        """Return due rows as they shall be sent, numbered; the numbers are committed."""
        sender = self._sender(node)
        batch: list[OutboxRow] = []
        try:
            async with self._database.unit() as uow:
                if not self.book.has_orders:
                    self.book.obey(await uow.select(ALL_CONTROLS))
                if sender.peer.mode is Mode.PAUSED:
                    sender.forget()
                    return []
                await self._read_ahead(uow, sender)
                batch = self._picked(uow, sender)
                return await self._numbers.give(uow, batch) if batch else []
        except BaseException:
            sender.land(batch)
            raise

    async def _read_ahead(self, uow: UnitOfWork, sender: Sender) -> None:
        """Read on where the last read ended; from the beginning again when nothing is left there.

        What commits late may lie behind the cursor, which is set back every second.
        """
        is_again = False
        limit = READ_AHEAD_MAX + len(sender.flying)
        while len(sender.ahead) < sender.batch_max:
            after, read_again, began = sender.cursor, sender.read_again, self._clock.now()
            rows = await uow.select(
                OUTBOX_NEXT,
                node=sender.peer.node,
                now=began,
                until=sender.peer.drained_to,
                after_time=after[0],
                after_position=after[1],
                limit=limit,
                bytes=READ_AHEAD_BYTES_MAX,
            )
            if sender.read_again != read_again:
                continue  # a batch failed meanwhile: what it held comes first
            if after == START:
                is_again = True
                sender.note_whole(began, took=self._clock.now() - began)
            known = {row.position for row in sender.ahead} | sender.flying.keys()
            sender.ahead.extend(row for row in rows if row.position not in known)
            if rows:
                sender.cursor = (rows[-1].not_before, rows[-1].position)
            if len(rows) == limit:
                continue
            if sender.ahead or is_again:
                return
            is_again = True
            sender.rewind(began)

    def _picked(self, uow: UnitOfWork, sender: Sender) -> list[OutboxRow]:
        """Take the next rows; what is suspected goes alone, what follows something waits for it."""
        batch: list[OutboxRow] = []
        left: deque[OutboxRow] = deque()
        size, flying = 0, set(sender.flying.values())
        while sender.ahead:
            row = sender.ahead.popleft()
            order = row.ticket or row.source
            if order in flying or (batch and row.position in sender.suspects):
                left.append(row)
                flying.add(order)
                continue
            if row.created > sender.peer.drained_to:
                continue  # read ahead before the order; it is read again when the peer is resumed
            if self._moved(uow, row, sender.peer.node):
                continue
            size += len(row.envelope)
            if batch and (size > BATCH_BYTES_MAX or len(batch) >= sender.batch_max):
                left.append(row)
                break
            batch.append(row)
            if row.position in sender.suspects:
                break
        left.extend(sender.ahead)
        sender.ahead = left
        sender.flying |= {row.position: row.ticket or row.source for row in batch}
        return batch

    def _moved(self, uow: UnitOfWork, row: OutboxRow, node: NodeId) -> bool:
        """Hand a row to another sender when its target lives on another node by now."""
        entry = self._roster().node_for(row.target, row.kind)
        if entry is None or entry.id == node:
            return False
        uow.put(OUTBOX, replace(row, node=entry.id))
        uow.after_commit(lambda: self.wake(entry.id))
        return True

    # --- the call and its answer --------------------------------------------------------------

    async def _carry(self, node: NodeId, batch: list[OutboxRow]) -> bool:
        """Send a batch and settle its receipts; tell whether it was answered."""
        sender = self._sender(node)
        began = self._clock.now()
        sender.peer.began(len(batch))
        try:
            crashpoints.reach("send.before")
            receipts = await self._transport.deliver(node, [row.envelope for row in batch])
            if len(receipts) != len(batch):
                raise StatementMalformed(
                    check=4, got=f"{len(receipts)} receipts", expected=f"{len(batch)} receipts"
                )
            now = self._clock.now()
            sender.peer.answered(now, took=now - began)
            is_barren = not await self._settle(batch, receipts)
        except LubiaoError as error:
            await self._not_answered(sender, batch, error)
            return False
        finally:
            sender.peer.calling -= 1
            sender.land(batch)
        sender.pace.was_answered(len(batch), is_barren=is_barren)
        return True

    async def _not_answered(
        self, sender: Sender, batch: list[OutboxRow], error: LubiaoError
    ) -> None:
        """Note why; a batch that was rejected as such is halved."""
        sender.forget()
        if error.metadata.get("peer") == DATABASE:
            self._stall(sender, error)
            return
        node, now = sender.peer.node, self._clock.now()
        if error.metadata.get("about") != REJECTED:
            got = error.metadata.get("got", "") or error.reason
            sender.peer.failed(now, error=got)
            if got.startswith(TOO_LATE):
                sender.pace.was_late(len(batch))
            _log.warning(
                "peer.unreachable", node=node, failures=sender.peer.failures, reason=error.reason
            )
            return
        sender.pace.was_rejected(len(batch))
        sender.peer.error = error.metadata.get("got", "")
        _log.warning("batch.rejected", node=node, envelopes=len(batch), reason=error.reason)
        if len(batch) == 1:
            [row] = batch
            sender.suspect(row).fail_alone(sender.passed)
            with suppress(LubiaoError):
                async with self._database.unit() as uow:
                    if not self._set_aside(uow, sender, row, reason=sender.peer.error, now=now):
                        self._numbers.put_back(uow, row, now + BACKOFF_MAX)

    def _set_aside(
        self, uow: UnitOfWork, sender: Sender, row: OutboxRow, *, reason: str, now: Instant
    ) -> bool:
        """Move an envelope to the list for people if it is what fails, and not the peer."""
        if not sender.is_poison(row):
            return False
        uow.delete(OUTBOX, row.position)
        uow.delete(NUMBERS, row.position)
        uow.put(UNDELIVERED, item_of_row(Item.SET_ASIDE, row, reason=reason, now=now))
        uow.after_commit(lambda: sender.settle(row))
        _log.error("envelope.set_aside", kind=row.kind, target=row.target, ticket=row.ticket)
        return True

    async def _settle(self, batch: list[OutboxRow], receipts: list[bytes]) -> bool:
        """Do what the receipts say; tell whether any envelope was taken or refused."""
        now, roster = self._clock.now(), self._roster()
        sender = self._sender(NodeId(batch[0].node))
        answers: list[Outcome] = []
        async with self._database.unit() as uow:
            for row, raw in zip(batch, receipts, strict=True):
                try:
                    receipt = open_receipt(roster, row, raw)
                except LubiaoError as error:
                    self._without_receipt(uow, sender, row, raw, reason=error.reason)
                    continue
                answers.append(receipt.outcome)
                if receipt.outcome is Outcome.DEFERRED:
                    delay = min(max(receipt.retry_delay, BACKOFF_FIRST), DEFER_MAX)
                    self._numbers.put_back(uow, row, now + delay)
                    sender.explain(row, receipt.reason)
                    continue
                uow.delete(OUTBOX, row.position)
                uow.delete(NUMBERS, row.position)
                sender.settle(row)
                keep_receipt(uow, row, raw, now=now)
                if receipt.outcome is Outcome.REFUSED:
                    _log.error(
                        "statement.refused_by_peer",
                        reason=receipt.reason,
                        kind=row.kind,
                        target=row.target,
                        ticket=row.ticket,
                    )
                    uow.put(REFUSALS, refusal(row, receipt, raw, now=now))
                    item = item_of_row(Item.REFUSED, row, reason=receipt.reason, now=now)
                    uow.put(UNDELIVERED, item)
        for outcome in answers:
            sender.passed += outcome is not Outcome.DEFERRED
            sender.peer.count(outcome)
            self.counted(sender.peer.node, outcome)
        return any(outcome is not Outcome.DEFERRED for outcome in answers)

    def _without_receipt(
        self, uow: UnitOfWork, sender: Sender, row: OutboxRow, raw: bytes, *, reason: str
    ) -> None:
        """Let a row wait whose receipt is none; an empty one only says that a roster is old."""
        now = self._clock.now()
        _log.error("receipt.invalid", reason=reason, target=row.target)
        sender.peer.invalid += 1
        if raw != NO_RECEIPT:
            sender.suspect(row).invalid += 1
            if self._set_aside(uow, sender, row, reason=reason, now=now):
                return
        self._numbers.put_back(uow, row, now + BACKOFF_MAX)

    def _sender(self, node: NodeId) -> Sender:
        if node not in self._senders:
            self._senders[node] = Sender(self.book.of(node))
            self._arrived.set()
        return self._senders[node]
