"""Metrics: what an operator alarms on, in the Prometheus text form.

Names are `lubiao_<noun>_<unit>_total` for counters, `lubiao_<noun>[_<unit>]` for what goes up and
down. Label values come from enums, RPC names and the roster only: never from a caller, never a
ticket. Rooms do not know OpenTelemetry: they call the methods of `Metrics`, which the composition
root hands them.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, generate_latest

LATENCY_BOUNDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)


class ReceiptOutcome(Enum):
    """What a peer's receipt said."""

    RECEIVED = "received"
    REFUSED = "refused"
    DEFERRED = "deferred"


class Metrics:
    """The instruments of one node, with a registry of their own."""

    def __init__(self, *, node: str = "") -> None:
        """Make the instruments; `node` becomes a label of `target_info`."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._provider = MeterProvider(
            metric_readers=[
                PrometheusMetricReader(registry=self._registry, scope_info_enabled=False)
            ],
            resource=Resource({"service.name": "lubiao", "lubiao.node": node}),
            views=[
                View(
                    instrument_name="lubiao_rpc_latency",
                    aggregation=ExplicitBucketHistogramAggregation(LATENCY_BOUNDS),
                )
            ],
            shutdown_on_exit=False,
        )
        meter = self._provider.get_meter("lubiao")
        self._rpcs = meter.create_counter("lubiao_rpc_calls", description="RPCs that ended")
        self._latency = meter.create_histogram(
            "lubiao_rpc_latency", unit="s", description="Time from request to end"
        )
        self._in_flight = meter.create_up_down_counter(
            "lubiao_rpc_in_flight", description="RPCs that have not ended"
        )
        self._receipts = meter.create_counter(
            "lubiao_delivery_receipts", description="Receipts from peers"
        )
        self._outbox = meter.create_gauge(
            "lubiao_outbox_envelopes", description="Envelopes that wait for a receipt"
        )
        self._outbox_age = meter.create_gauge(
            "lubiao_outbox_oldest", unit="s", description="Age of the oldest of them"
        )
        self._pool = meter.create_gauge(
            "lubiao_database_connections", description="Connections of the pool"
        )
        self._roster_version = meter.create_gauge(
            "lubiao_roster_version", description="Version of the roster in use"
        )
        self._roster_alarm = meter.create_gauge(
            "lubiao_roster_alarm", description="1 while the roster is stale or from the future"
        )

    def rpc_began(self, method: str) -> None:
        """Count an RPC that began."""
        self._in_flight.add(1, {"method": method})

    def rpc_ended(self, method: str, *, code: str, latency: timedelta) -> None:
        """Count an RPC that ended with a gRPC code."""
        self._in_flight.add(-1, {"method": method})
        self._rpcs.add(1, {"method": method, "code": code})
        self._latency.record(latency.total_seconds(), {"method": method})

    def receipt(self, peer: str, outcome: ReceiptOutcome) -> None:
        """Count a receipt from a node of the roster."""
        self._receipts.add(1, {"peer": peer, "outcome": outcome.value})

    def outbox(self, peer: str, *, depth: int, oldest: timedelta) -> None:
        """Set how much waits for a node and for how long."""
        self._outbox.set(depth, {"peer": peer})
        self._outbox_age.set(oldest.total_seconds(), {"peer": peer})

    def database_pool(self, *, in_use: int, size: int) -> None:
        """Set how many connections there are and how many work."""
        self._pool.set(in_use, {"use": "in_use"})
        self._pool.set(size, {"use": "size"})

    def roster(self, *, version: int, is_fresh: bool) -> None:
        """Set the version of the roster in use and whether it raises the alarm."""
        self._roster_version.set(version)
        self._roster_alarm.set(0 if is_fresh else 1)

    def exposition(self) -> bytes:
        """Return everything in the Prometheus text form."""
        return generate_latest(self._registry)

    def close(self) -> None:
        """End the export."""
        self._provider.shutdown()
