"""The pump: sends what waits in the outbox, one batch in flight per node, until it is receipted.

**Theory of operation.** For each peer node one sender looks for due rows in order of position, up
to 100 of them and 3.5 MB, and sends them in one call. Each gets a receipt of its own, signed by the
target. `received` removes the row; `refused` moves it to a list for people; `deferred` leaves it
with a later `not_before`, so it does not hold up the rest. A failed call changes nothing; the next
attempt follows after a back-off with jitter that starts at half a second, doubles up to eight
seconds and is cleared as soon as anything is heard from that node. A restart knows nothing and
needs nothing: it opens the outbox. Nothing is ever given up; what grows old is alarmed by its age
(`lubiao_outbox_oldest_seconds`). A row whose target moved to another node goes to that node's
sender.

Sequence numbers from source to target are given at the first sending, in one transaction, before
anything leaves; a resend carries the same numbers. They detect gaps and order nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import structlog
from google.protobuf.message import DecodeError

from gateway.database.uow import Database, UnitOfWork
from gateway.delivery import codec
from gateway.delivery.model import (
    BACKOFF_FIRST,
    BACKOFF_MAX,
    BATCH_BYTES_MAX,
    ENVELOPES_PER_BATCH_MAX,
    Outcome,
    Receipt,
)
from gateway.delivery.ports import PeerTransport
from gateway.delivery.store import (
    OUTBOX,
    OUTBOX_DUE,
    OUTBOX_NODES,
    REFUSALS,
    SEQUENCES,
    OutboxRow,
    RefusalRow,
    SequenceRow,
)
from gateway.kernel import crashpoints
from gateway.kernel.errors import LubiaoError, StatementMalformed
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Clock, Instant
from gateway.trust.roster import Roster
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, verify
from hotline.peer.v1 import peer_service_pb2 as peer_pb

IDLE_POLL = timedelta(seconds=1)  # finds rows of other processes, and deferred ones
_log = structlog.get_logger()


def backoff(node: NodeId, failures: int) -> timedelta:
    """Return the delay after `failures` failures in a row, with a jitter fixed by its inputs.

    The jitter (up to a quarter) keeps many nodes from calling a restarted one in step.
    """
    if failures == 0:
        return timedelta(0)
    delay = min(BACKOFF_FIRST * (1 << min(failures - 1, 10)), BACKOFF_MAX)
    seed = hashlib.sha256(f"{node}/{failures}".encode()).digest()[0]
    return delay * (1 - seed / 1024)


@dataclass(slots=True)
class _Sender:
    """What is remembered of one peer; forgetting it costs nothing but one attempt."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0


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
    ) -> None:
        """Make the pump; `clock` is machine time: back-off is never scaled."""
        self._database = database
        self._transport = transport
        self._roster = roster
        self._clock = clock
        self._incarnation = incarnation
        self._senders: dict[NodeId, _Sender] = {}
        self._arrived = asyncio.Event()
        # Told the node and its answer for every envelope.
        self.counted: Callable[[NodeId, Outcome], None] = lambda _node, _outcome: None

    def wake(self, node: NodeId) -> None:
        """Tell that something waits for `node`."""
        self._sender(node).wake.set()

    def heard_from(self, node: NodeId) -> None:
        """Tell that `node` is alive: its back-off is over."""
        sender = self._sender(node)
        if sender.failures:
            sender.failures = 0
            sender.wake.set()

    def failures(self, node: NodeId) -> int:
        """Return how many calls to `node` failed in a row."""
        return self._sender(node).failures

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
        try:
            async with self._database.unit() as uow:
                for queue in await uow.select(OUTBOX_NODES):
                    self._sender(NodeId(queue.node))
        except LubiaoError as error:
            _log.error("pump.database_unreachable", reason=error.reason)

    async def _serve(self, node: NodeId) -> None:
        sender = self._sender(node)
        while True:
            sender.wake.clear()
            more = await self._guarded_send(node, sender)
            if more and not sender.failures:
                continue
            delay = backoff(node, sender.failures) or IDLE_POLL
            with suppress(TimeoutError):
                async with asyncio.timeout(delay.total_seconds()):
                    await self._woken(sender)

    async def _guarded_send(self, node: NodeId, sender: _Sender) -> bool:
        try:
            return await self.send_once(node)
        except Exception:  # a defect in what one peer caused must not stop what goes to the others
            sender.failures += 1
            _log.exception("pump.failed", node=node, failures=sender.failures)
            return False

    async def _woken(self, sender: _Sender) -> None:
        """Wait for a wake-up; new work does not shorten a back-off, contact does."""
        while True:
            await sender.wake.wait()
            sender.wake.clear()
            if not sender.failures:
                return

    async def send_once(self, node: NodeId) -> bool:
        """Send one batch to `node`; tell whether one was sent and receipted."""
        sender = self._sender(node)
        try:
            batch = await self._next_batch(node)
            if not batch:
                return False
            crashpoints.reach("send.before")
            receipts = await self._transport.deliver(node, [row.envelope for row in batch])
            await self._settle(batch, receipts)
        except LubiaoError as error:
            sender.failures += 1
            _log.warning(
                "peer.unreachable", node=node, failures=sender.failures, reason=error.reason
            )
            return False
        sender.failures = 0
        return True

    async def _next_batch(self, node: NodeId) -> list[OutboxRow]:
        """Return due rows as they shall be sent, numbered; the numbers are committed."""
        async with self._database.unit() as uow:
            await uow.lock(f"pump/{node}")
            due = await uow.select(
                OUTBOX_DUE, node=node, now=self._clock.now(), limit=ENVELOPES_PER_BATCH_MAX
            )
            batch: list[OutboxRow] = []
            size = 0
            for row in due:
                if self._moved(uow, row, node):
                    continue
                size += len(row.envelope)
                if batch and size > BATCH_BYTES_MAX:
                    break
                batch.append(await self._numbered(uow, row))
            return batch

    def _moved(self, uow: UnitOfWork, row: OutboxRow, node: NodeId) -> bool:
        """Hand a row to another sender when its target lives on another node by now."""
        entry = self._roster().node_for(row.target, row.kind)
        if entry is None or entry.id == node:
            return False
        uow.put(OUTBOX, replace(row, node=entry.id))
        uow.after_commit(lambda: self.wake(entry.id))
        return True

    async def _numbered(self, uow: UnitOfWork, row: OutboxRow) -> OutboxRow:
        """Return the row with its sequence; the first sending gives it, a resend keeps it."""
        if row.sequence:
            return row
        known = await uow.get(SEQUENCES, row.source, row.target)
        sequence = (known.sequence if known else 0) + 1
        uow.put(SEQUENCES, SequenceRow(row.source, row.target, sequence))
        envelope = codec.numbered_envelope(
            row.envelope, incarnation=self._incarnation, sequence=sequence
        )
        numbered = replace(row, sequence=sequence, envelope=envelope)
        uow.put(OUTBOX, numbered)
        return numbered

    async def _settle(self, batch: list[OutboxRow], receipts: list[bytes]) -> None:
        if len(receipts) != len(batch):
            raise StatementMalformed(
                check=4, got=f"{len(receipts)} receipts", expected=f"{len(batch)} receipts"
            )
        now = self._clock.now()
        answers: list[tuple[NodeId, Outcome]] = []
        async with self._database.unit() as uow:
            for row, raw in zip(batch, receipts, strict=True):
                try:
                    receipt = self._open_receipt(row, raw)
                except LubiaoError as error:
                    _log.error("receipt.invalid", reason=error.reason, target=row.target)
                    uow.put(OUTBOX, replace(row, not_before=now + BACKOFF_MAX))
                    continue
                answers.append((NodeId(row.node), receipt.outcome))
                match receipt.outcome:
                    case Outcome.RECEIVED:
                        uow.delete(OUTBOX, row.position)
                    case Outcome.REFUSED:
                        _log.error(
                            "statement.refused_by_peer",
                            reason=receipt.reason,
                            kind=row.kind,
                            target=row.target,
                            ticket=row.ticket,
                        )
                        uow.delete(OUTBOX, row.position)
                        uow.put(REFUSALS, _refusal(row, receipt, raw, now=now))
                    case Outcome.DEFERRED:
                        delay = min(max(receipt.retry_delay, BACKOFF_FIRST), BACKOFF_MAX)
                        uow.put(OUTBOX, replace(row, not_before=now + delay))
        for node, outcome in answers:
            self.counted(node, outcome)

    def _open_receipt(self, row: OutboxRow, raw: bytes) -> Receipt:
        signed = peer_pb.SignedReceipt()
        try:
            signed.ParseFromString(raw)
        except DecodeError as error:
            raise StatementMalformed(check=4, got="bytes", expected="SignedReceipt") from error
        # The key may have been revoked since the first answer was stored: what counts is that the
        # target listed it, so the roster is asked without a time.
        key = self._roster().statement_key(row.target, signed.signature.key_id)
        if key is None:
            raise StatementMalformed(
                check=3, got="an unknown key", expected=f"a key of {row.target}"
            )
        verify(
            key,
            signed.receipt,
            signed.signature.direct,
            payload_type=RECEIPT_PAYLOAD_TYPE,
            signer=row.target,
        )
        issuer, receipt = codec.receipt_from_bytes(signed.receipt)
        if issuer != row.target or receipt.statement_digest != row.statement_digest:
            raise StatementMalformed(
                check=5, got="a receipt of another statement", expected="the one that was sent"
            )
        return receipt

    def _sender(self, node: NodeId) -> _Sender:
        if node not in self._senders:
            self._senders[node] = _Sender()
            self._arrived.set()
        return self._senders[node]


def _refusal(row: OutboxRow, receipt: Receipt, raw: bytes, *, now: Instant) -> RefusalRow:
    return RefusalRow(
        statement_digest=row.statement_digest,
        target=row.target,
        source=row.source,
        ticket=row.ticket,
        kind=row.kind,
        reason=receipt.reason,
        envelope=row.envelope,
        receipt=raw,
        recorded=now,
    )
