"""A hostile peer changes nothing, stores next to nothing, and slows nobody else down.

The peer holds the real certificate and keys of its authority: what it signs is genuine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import structlog

from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.guard import Guard
from gateway.delivery.model import (
    ENVELOPE_BYTES_MAX,
    ENVELOPES_PER_BATCH_MAX,
    STATEMENT_BYTES_MAX,
    Delivered,
    Outcome,
    SealedBlock,
)
from gateway.delivery.quotas import PeerQuota, PeerQuotas
from gateway.delivery.servicer import PeerServicer
from gateway.delivery.store import EVIDENCE_SINCE, INBOX
from gateway.delivery.turns import UNITS_PER_PEER_MAX
from gateway.delivery.undelivered import UNDELIVERED_PENDING
from gateway.kernel.errors import BatchTooLarge, LubiaoError, QuotaExceeded
from gateway.kernel.ids import NodeId, TicketNumber
from gateway.trust.principal import Principal
from gateway.trust.statements import digest
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.unit.delivery.builders import (
    AT_HEBEI,
    AT_TIANJIN,
    DAY,
    HEBEI,
    LANGFANG,
    NOW,
    TAKEN,
    TIANJIN,
    Office,
    Peers,
)

DDL = "CREATE TABLE taken (target text, digest bytea, PRIMARY KEY (target, digest))"
AT_LANGFANG = NodeId("langfang")
QUOTA = PeerQuota(calls_max=4, envelopes_per_minute=600, evidence_per_day=20)
HONEST_CALLS = 5


@dataclass
class Node:
    """河北's node behind its servicer; 天津 is hostile, 廊坊 on a node of its own is honest."""

    database: Database
    caller: NodeId = AT_TIANJIN
    answers: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Wire it."""
        self.peers = Peers()
        self.peers.roster = self.peers.listed(
            hosts={TIANJIN: AT_TIANJIN, HEBEI: AT_HEBEI, LANGFANG: AT_LANGFANG}
        )
        self.office = Office(self.peers, self.database)
        self.office.inbox.guard = Guard(clock=self.office.clock, quota=QUOTA)
        self.quotas = PeerQuotas(clock=self.office.clock, quota=QUOTA)

    async def deliver(self, node: NodeId, *envelopes: peer_pb.Envelope) -> list[bytes]:
        """Call DeliverEnvelopes as a node."""
        servicer = PeerServicer(
            inbox=self.office.inbox,
            principal_of=lambda _context: Principal.parse(f"lubiao://120000/node/{node}"),
            quotas=self.quotas,
        )
        request = peer_pb.DeliverEnvelopesRequest(envelopes=envelopes)
        response = await servicer.DeliverEnvelopes(request, cast("Any", None))
        return [receipt.SerializeToString() for receipt in response.receipts]

    def hostile(self, raw: bytes = b"", **changes: Any) -> peer_pb.Envelope:
        """Return an envelope of 天津, with bytes that it really signed."""
        signed = self.peers.sign(raw) if raw else self.peers.signed(**changes)
        return self.peers.envelope(signed)

    def honest(self, number: int) -> peer_pb.Envelope:
        """Return an envelope of 廊坊 about a ticket of its own."""
        signed = self.peers.signed(
            LANGFANG, issuer=LANGFANG, ticket=TicketNumber(f"1310002026030200000{number:04}")
        )
        return self.peers.envelope(signed, source=LANGFANG)

    def outcome(self, receipt: bytes) -> Outcome:
        """Return what a receipt of 河北 says."""
        return self.peers.opened(receipt).outcome

    async def is_taken(self, envelope: peer_pb.Envelope) -> bool:
        """Tell whether a handler saw the statement."""
        async with self.database.unit() as uow:
            row = await uow.get(TAKEN, HEBEI, digest(envelope.statement.statement))
        return row is not None


@pytest.fixture
def node(database: Database) -> Node:
    """A node that took nothing yet."""
    return Node(database)


@pytest.fixture(autouse=True)
def _no_log_lines() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def _nested(depth: int) -> bytes:
    """Return protobuf bytes: a group in a group in a group of a field that nobody knows."""
    return b"\x9b\x06" * depth


def forged(node: Node) -> peer_pb.Envelope:
    envelope = node.hostile()
    envelope.statement.signature.direct = bytes(64)
    return envelope


BAD: dict[str, Callable[[Node], peer_pb.Envelope]] = {
    "garbage": lambda node: node.hostile(b"\xff" * 1000),
    "deep nesting": lambda node: node.hostile(_nested(100_000)),
    "a giant statement": lambda node: node.hostile(bytes(STATEMENT_BYTES_MAX + 1)),
    "a giant envelope": lambda node: node.peers.envelope(
        blocks=(SealedBlock("case_block", bytes(ENVELOPE_BYTES_MAX), "s", "k"),)
    ),
    "nonsense in every field": lambda node: node.hostile(ticket="🤖" * 9),
    "another's name": lambda node: node.peers.envelope(
        node.peers.signed(issuer=LANGFANG), source=LANGFANG
    ),
    "a forged signature": forged,
    "nobody's target": lambda node: node.peers.envelope(target="440000"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_bad_is_answered_alone_and_changes_nothing(node: Node, name: str) -> None:
    bad, good = BAD[name](node), node.hostile()
    first, second = await node.deliver(AT_TIANJIN, bad, good)
    assert not first or node.outcome(first) is not Outcome.RECEIVED
    assert node.outcome(second) is Outcome.RECEIVED
    assert not await node.is_taken(bad)
    assert await node.is_taken(good)


async def test_a_storm_of_replays_is_answered_with_the_stored_bytes_and_stores_nothing(
    node: Node,
) -> None:
    envelope = node.hostile()
    [first] = await node.deliver(AT_TIANJIN, envelope)
    batch = [envelope] * ENVELOPES_PER_BATCH_MAX
    for _ in range(5):
        assert set(await node.deliver(AT_TIANJIN, *batch)) == {first}
    assert node.office.counts.count("received") == 1


async def test_a_batch_beyond_its_bound_is_refused_whole(node: Node) -> None:
    with pytest.raises(BatchTooLarge):
        await node.deliver(AT_TIANJIN, *[node.hostile()] * (ENVELOPES_PER_BATCH_MAX + 1))


async def test_genuinely_signed_nonsense_fills_no_disk(node: Node) -> None:
    stored = 0
    for number in range(4):
        batch = [node.hostile(b"\xff" * (10 + number) + bytes([n])) for n in range(25)]
        for envelope, receipt in zip(batch, await node.deliver(AT_TIANJIN, *batch), strict=True):
            outcome = node.outcome(receipt)
            async with node.database.unit() as uow:
                row = await uow.get(INBOX, HEBEI, digest(envelope.statement.statement))
            assert (row is not None) == (outcome is Outcome.REFUSED)
            stored += row is not None
    assert stored == QUOTA.evidence_per_day
    async with node.database.unit() as uow:
        [kept] = await uow.select(EVIDENCE_SINCE, source=TIANJIN, since=NOW - DAY, limit=1000)
        [items] = await uow.select(UNDELIVERED_PENDING, limit=10)
    assert kept.items == items.items == QUOTA.evidence_per_day


async def test_a_flood_is_stopped_and_the_honest_peer_is_served_meanwhile(node: Node) -> None:
    batch = [node.hostile(b"\xff" + bytes([n])) for n in range(ENVELOPES_PER_BATCH_MAX)]
    refused: list[LubiaoError] = []

    async def flood() -> None:
        while True:
            await asyncio.sleep(0)  # the engine in memory never waits by itself
            try:
                await node.deliver(AT_TIANJIN, *batch)
            except QuotaExceeded as error:
                refused.append(error)
                return

    floods = [asyncio.create_task(flood()) for _ in range(2 * QUOTA.calls_max)]
    for number in range(HONEST_CALLS):
        await asyncio.sleep(0)
        [receipt] = await node.deliver(AT_LANGFANG, node.honest(number))
        assert node.outcome(receipt) is Outcome.RECEIVED
    await asyncio.gather(*floods)
    assert len(refused) == len(floods)
    assert all(error.retry_delay for error in refused)
    assert node.quotas.refused.keys() == {AT_TIANJIN}
    assert len(await node.deliver(AT_LANGFANG, node.honest(HONEST_CALLS))) == 1


async def test_a_peer_whose_batches_wait_holds_few_connections_and_no_other_peer(
    node: Node,
) -> None:
    """It aims many batches at one ticket: whoever waits for the lock has a connection."""
    inside, most, go = 0, 0, asyncio.Event()

    async def prepare(uow: UnitOfWork, batch: Sequence[Delivered]) -> None:
        nonlocal inside, most
        del uow
        if batch[0].statement.issuer != TIANJIN:
            return
        inside += 1
        most = max(most, inside)
        await go.wait()
        inside -= 1

    node.office.inbox.register({}, prepare=prepare)
    waiting = [node.hostile(ticket=f"1200002026030200000{n:04}") for n in range(8)]
    calls = [
        asyncio.ensure_future(node.office.inbox.take_batch([each], peer=AT_TIANJIN))
        for each in waiting
    ]
    for number in range(HONEST_CALLS):
        [receipt] = await node.deliver(AT_LANGFANG, node.honest(number))
        assert node.outcome(receipt) is Outcome.RECEIVED
    go.set()
    for [receipt] in await asyncio.gather(*calls):
        assert node.outcome(receipt) is Outcome.RECEIVED
    assert 0 < most <= UNITS_PER_PEER_MAX
