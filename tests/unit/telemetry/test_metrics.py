"""Metrics have the names and labels that dashboards rely on, and are served."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import aiohttp
import pytest

from gateway.kernel.errors import PeerUnreachable
from gateway.telemetry.http import READY, TelemetryServer
from gateway.telemetry.metrics import Metrics, PeerState, ReceiptOutcome


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made = Metrics(node="hebei")
    yield made
    made.close()


def fill(metrics: Metrics) -> str:
    metrics.rpc_began("/p.S/M")
    metrics.rpc_ended("/p.S/M", code="OK", latency=timedelta(milliseconds=3))
    metrics.receipt("tianjin", ReceiptOutcome.RECEIVED)
    metrics.outbox("tianjin", depth=3, oldest=timedelta(seconds=9))
    metrics.peer(
        "tianjin",
        PeerState(
            breaker=2,
            alarm=1,
            is_paused=True,
            failures=4,
            over_quota=5,
            silence=timedelta(seconds=7),
            round_trip=timedelta(milliseconds=250),
        ),
    )
    metrics.undelivered("refused", items=6)
    metrics.database_pool(in_use=1, size=5)
    metrics.roster(version=7, is_fresh=False)
    return metrics.exposition().decode()


def test_every_name_begins_with_the_product_and_counters_end_with_total(metrics: Metrics) -> None:
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", fill(metrics), re.MULTILINE))
    del kinds["target_info"]
    assert all(name.startswith("lubiao_") for name in kinds)
    assert all(name.endswith("_total") for name, kind in kinds.items() if kind == "counter")


@pytest.mark.parametrize(
    "line",
    [
        'lubiao_rpc_calls_total{code="OK",method="/p.S/M"} 1.0',
        'lubiao_rpc_latency_seconds_count{method="/p.S/M"} 1.0',
        'lubiao_rpc_in_flight{method="/p.S/M"} 0.0',
        'lubiao_delivery_receipts_total{outcome="received",peer="tianjin"} 1.0',
        'lubiao_outbox_envelopes{peer="tianjin"} 3.0',
        'lubiao_outbox_oldest_seconds{peer="tianjin"} 9.0',
        'lubiao_peer_breaker{peer="tianjin"} 2.0',
        'lubiao_peer_alarm{peer="tianjin"} 1.0',
        'lubiao_peer_paused{peer="tianjin"} 1.0',
        'lubiao_peer_failures{peer="tianjin"} 4.0',
        'lubiao_peer_over_quota{peer="tianjin"} 5.0',
        'lubiao_peer_silence_seconds{peer="tianjin"} 7.0',
        'lubiao_peer_round_trip_seconds{peer="tianjin"} 0.25',
        'lubiao_undelivered_items{kind="refused"} 6.0',
        "lubiao_roster_version 7.0",
        "lubiao_roster_alarm 1.0",
    ],
)
def test_what_was_recorded_is_shown(metrics: Metrics, line: str) -> None:
    assert line in fill(metrics)


async def test_the_little_server_tells_metrics_health_and_why_it_is_not_ready(
    metrics: Metrics,
) -> None:
    reasons = ["the database does not answer"]

    async def readiness() -> str:
        return reasons.pop() if reasons else READY

    server = TelemetryServer(bind="127.0.0.1:0", metrics=metrics, readiness=readiness)
    port = await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            assert (await session.get("/healthz")).status == 200
            refused = await session.get("/readyz")
            assert (refused.status, (await refused.json())["reason"]) == (
                503,
                "the database does not answer",
            )
            assert (await session.get("/readyz")).status == 200
            fill(metrics)
            assert "lubiao_rpc" in await (await session.get("/metrics")).text()
            other = TelemetryServer(bind=f"127.0.0.1:{port}", metrics=metrics, readiness=readiness)
            with pytest.raises(PeerUnreachable):
                await other.start()
    finally:
        await server.stop()
