"""A peer gets its share and no more, and takes nothing from another one's."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.delivery.inbox import Inbox
from gateway.delivery.ports import PeerBooks
from gateway.delivery.quotas import MINUTE, PeerQuota, PeerQuotas
from gateway.delivery.servicer import PeerServicer
from gateway.kernel.errors import QuotaExceeded
from gateway.kernel.ids import NodeId
from gateway.kernel.time import ManualClock
from gateway.trust.principal import Principal
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.unit.delivery.builders import AT_HEBEI, AT_TIANJIN, NOW, Office, Peers

QUOTA = PeerQuota(
    calls_max=2,
    envelopes_per_minute=100,
    bytes_per_minute=1000,
    envelopes_per_day=250,
    bytes_per_day=10_000,
)


def test_a_flood_is_stopped_at_the_bound_and_only_its_own() -> None:
    clock = ManualClock(NOW)
    quotas = PeerQuotas(clock=clock, quota=QUOTA)
    with quotas.admit(AT_TIANJIN, envelopes=100, size=10):
        pass
    with (
        pytest.raises(QuotaExceeded) as refused,
        quotas.admit(AT_TIANJIN, envelopes=1, size=1),
    ):
        raise AssertionError("it was admitted")
    assert refused.value.retry_delay == MINUTE
    assert "envelopes a minute" in refused.value.metadata["quota"]
    with quotas.admit(AT_HEBEI, envelopes=100, size=10):
        pass
    assert quotas.refused == {AT_TIANJIN: 1}
    clock.advance(MINUTE)
    with quotas.admit(AT_TIANJIN, envelopes=100, size=10):
        pass


@pytest.mark.parametrize(
    ("envelopes", "size", "what"), [(1, 2000, "bytes a minute"), (200, 1, "envelopes a minute")]
)
def test_each_bound_says_what_it_is(envelopes: int, size: int, what: str) -> None:
    quotas = PeerQuotas(clock=ManualClock(NOW), quota=QUOTA)
    with (
        pytest.raises(QuotaExceeded, match=what),
        quotas.admit(AT_TIANJIN, envelopes=envelopes, size=size),
    ):
        raise AssertionError("it was admitted")


def test_a_day_has_a_bound_of_its_own() -> None:
    clock = ManualClock(NOW)
    quotas = PeerQuotas(clock=clock, quota=QUOTA)
    for _ in range(2):
        with quotas.admit(AT_TIANJIN, envelopes=100, size=1):
            clock.advance(MINUTE)
    with (
        pytest.raises(QuotaExceeded, match="envelopes a day"),
        quotas.admit(AT_TIANJIN, envelopes=100, size=1),
    ):
        raise AssertionError("it was admitted")
    clock.advance(timedelta(days=1))
    with quotas.admit(AT_TIANJIN, envelopes=100, size=1):
        pass


def test_as_many_batches_at_once_as_allowed_and_a_failed_one_gives_its_place_back() -> None:
    quotas = PeerQuotas(clock=ManualClock(NOW), quota=QUOTA)
    with ExitStack() as stack:
        for _ in range(QUOTA.calls_max):
            stack.enter_context(quotas.admit(AT_TIANJIN, envelopes=1, size=1))
        with (
            pytest.raises(QuotaExceeded, match="batches at once"),
            quotas.admit(AT_TIANJIN, envelopes=1, size=1),
        ):
            raise AssertionError("it was admitted")
    with pytest.raises(RuntimeError), quotas.admit(AT_TIANJIN, envelopes=1, size=1):
        raise RuntimeError("a defect")
    with quotas.admit(AT_TIANJIN, envelopes=1, size=1):
        pass


async def test_beyond_its_quota_nothing_of_a_batch_is_looked_at() -> None:
    office = Office(Peers())
    looked: list[Any] = []

    async def take_batch(envelopes: Any, *, peer: NodeId) -> list[bytes]:
        looked.append((peer, len(envelopes)))
        return []

    servicer = PeerServicer(
        inbox=cast("Inbox", SimpleNamespace(take_batch=take_batch)),
        principal_of=lambda _context: Principal.parse("lubiao://120000/node/tianjin"),
        quotas=PeerQuotas(clock=office.clock, quota=PeerQuota(envelopes_per_minute=3)),
    )
    context = cast("Any", None)
    request = peer_pb.DeliverEnvelopesRequest(envelopes=[office.peers.envelope()] * 2)
    await servicer.DeliverEnvelopes(request, context)
    with pytest.raises(QuotaExceeded):
        await servicer.DeliverEnvelopes(request, context)
    assert looked == [(AT_TIANJIN, 2)]


async def test_questions_about_history_take_no_more_than_their_share_of_the_database() -> None:
    asked, go = 0, asyncio.Event()

    async def exchange_heads(_request: Any) -> peer_pb.ExchangeHeadsResponse:
        nonlocal asked
        asked += 1
        await go.wait()
        return peer_pb.ExchangeHeadsResponse()

    quotas = PeerQuotas(clock=ManualClock(NOW), quota=QUOTA)
    servicer = PeerServicer(
        inbox=cast("Inbox", None),
        principal_of=lambda _context: Principal.parse("lubiao://120000/node/tianjin"),
        books=cast("PeerBooks", SimpleNamespace(exchange_heads=exchange_heads)),
        quotas=quotas,
    )
    request, context = peer_pb.ExchangeHeadsRequest(authority="130000"), cast("Any", None)
    calls = [asyncio.ensure_future(servicer.ExchangeHeads(request, context)) for _ in range(20)]
    refused, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
    assert len(refused) == 20 - QUOTA.readings_max
    assert all(isinstance(call.exception(), QuotaExceeded) for call in refused)
    with quotas.admit(AT_TIANJIN, envelopes=1, size=1):  # what it delivers is counted apart
        go.set()
        await asyncio.wait(calls)
    assert asked == QUOTA.readings_max
    await servicer.ExchangeHeads(request, context)
