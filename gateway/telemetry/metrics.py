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
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from gateway.kernel.values import dataclass

LATENCY_BOUNDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)


disable_created_metrics()  # type: ignore[no-untyped-call] # when a counter began: nobody asks


class ReceiptOutcome(Enum):
    """What a peer's receipt said."""

    RECEIVED = "received"
    REFUSED = "refused"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerState:
    """How a peer is doing, in numbers."""

    breaker: int
    alarm: int
    is_paused: bool
    failures: int
    over_quota: int
    silence: timedelta | None
    round_trip: timedelta | None


class Metrics:
    """The instruments of one node, with a registry of their own."""

    def __init__(self, *, node: str = "") -> None:
        """Make the instruments; `node` becomes a label of `target_info`."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._begin_rpcs()
        self._provider = MeterProvider(
            metric_readers=[
                PrometheusMetricReader(registry=self._registry, scope_info_enabled=False)
            ],
            resource=Resource({"service.name": "lubiao", "lubiao.node": node}),
            shutdown_on_exit=False,
        )
        meter = self._provider.get_meter("lubiao")
        counter, gauge = meter.create_counter, meter.create_gauge
        self._begin_rules(meter)
        self._receipts = counter("lubiao_delivery_receipts", description="Receipts from peers")
        self._outbox = gauge(
            "lubiao_outbox_envelopes", description="Envelopes that wait for a receipt"
        )
        self._outbox_age = gauge(
            "lubiao_outbox_oldest", unit="s", description="Age of the oldest of them"
        )
        self._peer_breaker = gauge(
            "lubiao_peer_breaker", description="0 closed, 1 half-open, 2 open"
        )
        self._peer_alarm = gauge("lubiao_peer_alarm", description="0 none, 1 warning, 2 overdue")
        self._peer_paused = gauge(
            "lubiao_peer_paused", description="1 while a person has paused or drains a peer"
        )
        self._peer_failures = gauge(
            "lubiao_peer_failures", description="Calls without an answer, in a row"
        )
        self._peer_silence = gauge(
            "lubiao_peer_silence", unit="s", description="Time since anything was heard of a peer"
        )
        self._peer_round_trip = gauge(
            "lubiao_peer_round_trip", unit="s", description="Of a batch and its receipts, smoothed"
        )
        self._peer_over_quota = gauge(
            "lubiao_peer_over_quota", description="Calls of a peer beyond a quota, since the start"
        )
        self._undelivered = gauge("lubiao_undelivered_items", description="What waits for a person")
        self._begin_history(meter)
        self._stamps = gauge(
            "lubiao_timestamp_pending", unit="s", description="Age of the oldest unstamped entry"
        )
        self._pool = gauge("lubiao_database_connections", description="Connections of the pool")
        self._roster_version = gauge(
            "lubiao_roster_version", description="Version of the roster in use"
        )
        self._roster_alarm = gauge(
            "lubiao_roster_alarm", description="1 while the roster is stale or from the future"
        )
        self._certificate = gauge(
            "lubiao_certificate_left", unit="s", description="Until a certificate expires"
        )

    def _begin_rules(self, meter: Meter) -> None:
        counter, gauge = meter.create_counter, meter.create_gauge
        self._rule_failures = counter(
            "lubiao_rule_failures", description="Conditions of rules that could not be evaluated"
        )
        self._misroute_reports = counter(
            "lubiao_misroute_reports", description="Reports of misrouted tickets and their answers"
        )
        self._misroutes = gauge(
            "lubiao_misroutes_waiting", description="Reports of misrouted tickets without an answer"
        )

    def _begin_rpcs(self) -> None:
        # Every RPC is counted four times: the library below OpenTelemetry's reader does it at a
        # twentieth of the price, because a counter and its labels are looked up once.
        self._rpcs = Counter(
            "lubiao_rpc_calls", "RPCs that ended", ["method", "code"], registry=self._registry
        )
        self._latency = Histogram(
            "lubiao_rpc_latency_seconds",
            "Time from request to end",
            ["method"],
            buckets=LATENCY_BOUNDS,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "lubiao_rpc_in_flight", "RPCs that have not ended", ["method"], registry=self._registry
        )

    def _begin_history(self, meter: Meter) -> None:
        self._ledger_findings = meter.create_gauge(
            "lubiao_ledger_findings", description="Heads of others that do not extend the known one"
        )
        self._recovering = meter.create_gauge(
            "lubiao_node_recovering", description="1 while the node recovers from a backup"
        )

    def rpc_began(self, method: str) -> None:
        """Count an RPC that began."""
        self._in_flight.labels(method).inc()

    def rpc_ended(self, method: str, *, code: str, latency: timedelta) -> None:
        """Count an RPC that ended with a gRPC code."""
        self._in_flight.labels(method).dec()
        self._rpcs.labels(method, code).inc()
        self._latency.labels(method).observe(latency.total_seconds())

    def rule_failed(self) -> None:
        """Count a condition of a rule that could not be evaluated."""
        self._rule_failures.add(1)

    def misroute(self, reason: str, resolution: str) -> None:
        """Count a report to an owner here, or with a resolution the owner's answer."""
        self._misroute_reports.add(1, {"reason": reason, "resolution": resolution})

    def misroutes(self, *, waiting: int, overdue: int) -> None:
        """Set how many reports wait for an owner here, in time and too long."""
        self._misroutes.set(waiting, {"state": "open"})
        self._misroutes.set(overdue, {"state": "overdue"})

    def receipt(self, peer: str, outcome: ReceiptOutcome) -> None:
        """Count a receipt from a node of the roster."""
        self._receipts.add(1, {"peer": peer, "outcome": outcome.value})

    def outbox(self, peer: str, *, depth: int, oldest: timedelta) -> None:
        """Set how much waits for a node and for how long."""
        self._outbox.set(depth, {"peer": peer})
        self._outbox_age.set(oldest.total_seconds(), {"peer": peer})

    def peer(self, peer: str, state: PeerState) -> None:
        """Set how a node of the roster is doing."""
        label = {"peer": peer}
        self._peer_breaker.set(state.breaker, label)
        self._peer_alarm.set(state.alarm, label)
        self._peer_paused.set(int(state.is_paused), label)
        self._peer_failures.set(state.failures, label)
        self._peer_over_quota.set(state.over_quota, label)
        if state.silence is not None:
            self._peer_silence.set(state.silence.total_seconds(), label)
        if state.round_trip is not None:
            self._peer_round_trip.set(state.round_trip.total_seconds(), label)

    def undelivered(self, kind: str, *, items: int) -> None:
        """Set how much of a kind waits for a person."""
        self._undelivered.set(items, {"kind": kind})

    def ledger_findings(self, findings: int) -> None:
        """Set how many heads of others did not extend the one known before."""
        self._ledger_findings.set(findings)

    def stamps_pending(self, age: timedelta) -> None:
        """Set the age of the oldest entry of a ledger that waits for a time stamp."""
        self._stamps.set(age.total_seconds())

    def recovering(self, *, is_recovering: bool) -> None:
        """Set whether the node recovers from a backup and signs nothing."""
        self._recovering.set(int(is_recovering))

    def database_pool(self, *, in_use: int, size: int) -> None:
        """Set how many connections there are and how many work."""
        self._pool.set(in_use, {"use": "in_use"})
        self._pool.set(size, {"use": "size"})

    def roster(self, *, version: int, is_fresh: bool) -> None:
        """Set the version of the roster in use and whether it raises the alarm."""
        self._roster_version.set(version)
        self._roster_alarm.set(0 if is_fresh else 1)

    def certificate(self, name: str, *, left: timedelta) -> None:
        """Set how long a certificate is still good: `node`, `root`, or the code of a CA."""
        self._certificate.set(left.total_seconds(), {"certificate": name})

    def exposition(self) -> bytes:
        """Return everything in the Prometheus text form."""
        return generate_latest(self._registry)

    def close(self) -> None:
        """End the export."""
        self._provider.shutdown()
