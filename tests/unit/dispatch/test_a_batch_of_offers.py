"""A batch of envelopes reads ahead, and says whole states once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.database.memory import MemoryDatabase, _MemoryUnit
from gateway.delivery.codec import numbered_envelope
from gateway.delivery.store import OUTBOX
from gateway.kernel.ids import NodeId
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.fixtures.nodes import Federation, a_federation, a_message, a_platform


def waiting(federation: Federation, node: str) -> list[peer_pb.Envelope]:
    """Return what waits in a node's outbox."""
    database = federation.nodes[node].database
    assert isinstance(database, MemoryDatabase)
    return [
        peer_pb.Envelope.FromString(
            numbered_envelope(row.envelope, incarnation=1, sequence=row.position)
        )
        for row in database.rows(OUTBOX)
    ]


async def reads_of_a_batch(patch: pytest.MonkeyPatch, offers: int) -> Counter[str]:
    """Return how often each table is read when a batch of offers is taken."""
    federation = a_federation()
    for number in range(offers):
        await federation.create(a_platform("120000"), a_message(f"T-{number}"))
    counted: Counter[str] = Counter()
    read = _MemoryUnit._read

    async def counting(self: Any, group: Any, keys: Sequence[Any]) -> list[Any]:
        counted[group.table.name] += 1
        rows: list[Any] = await read(self, group, keys)
        return rows

    with patch.context() as counts:
        counts.setattr(_MemoryUnit, "_read", counting)
        envelopes = waiting(federation, "tianjin")
        assert len(envelopes) == offers
        await federation.nodes["hebei"].inbox.take_batch(envelopes, peer=NodeId("tianjin"))
    return counted


async def test_a_batch_reads_as_often_as_one_envelope(monkeypatch: pytest.MonkeyPatch) -> None:
    few = await reads_of_a_batch(monkeypatch, 2)
    many = await reads_of_a_batch(monkeypatch, 8)
    assert many == few


async def test_an_offer_that_goes_on_to_a_city_is_told_back_once() -> None:
    federation = a_federation()
    await federation.create(a_platform("120000"), a_message())
    await federation.settle()
    assert Counter(federation.delivered) == {
        "Offer": 1,
        "Answer": 1,
        "TicketUpdate": 1,
        "Release": 1,
        "UpdateAnswer": 1,
    }
