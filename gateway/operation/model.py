"""Values of operation: a peer as people see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gateway.delivery.model import Breaker, Mode
from gateway.kernel.time import Instant
from gateway.operation.machine import Alarm

MONITOR = "operation/monitor"  # the lock of whoever writes orders and items: one at a time
COUNT_MAX = 100_000  # a longer queue is no more news, and counting it would take its time


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    """One peer as one process of a node sees it; counters since the process started."""

    node: str
    endpoint: str
    mode: Mode
    mode_reason: str = ""
    mode_actor: str = ""
    mode_time: Instant | None = None
    breaker: Breaker
    failures: int
    error: str
    retry_at: Instant | None
    waiting: int
    oldest_age: timedelta
    alarm: Alarm
    reached: Instant | None
    heard: Instant | None
    round_trip: timedelta | None
    sent: int
    received: int
    refused: int
    deferred: int
    invalid: int
    over_quota: int
    items: int
