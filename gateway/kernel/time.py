"""Instants, days and the two injected clocks.

An `Instant` is an aware UTC datetime. A *day* (in numbers, calendars, reports) is an Asia/Shanghai
day. `BusinessClock` feeds deadlines and days and may be scaled under a roster marked `demo`;
`SystemClock` feeds TLS, back-off, leases and validity and is never scaled (docs/glossary.md#clock).
Nothing else in the gateway reads a clock, so the simulation can replace both.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Protocol

from gateway.kernel.values import dataclass

Instant = datetime
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")  # no daylight saving since 1991


class Clock(Protocol):
    """A source of the present instant."""

    def now(self) -> Instant:
        """Return the present as an aware UTC instant."""
        ...


class SystemClock:
    """The machine's own clock: TLS, back-off, leases, validity."""

    def now(self) -> Instant:
        """Return the machine's present in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class BusinessClock:
    """Business time: `start` plus the machine time since `anchor`, `rate` times as fast.

    Rate 1 with start == anchor is real time. Another rate is for demonstrations only and is
    refused by the composition root unless the roster is marked `demo`.
    """

    machine: Clock
    anchor: Instant
    start: Instant
    rate: float = 1.0

    @classmethod
    def real(cls, machine: Clock) -> BusinessClock:
        """Return business time equal to machine time."""
        present = machine.now()
        return cls(machine=machine, anchor=present, start=present)

    def now(self) -> Instant:
        """Return the present business instant in UTC."""
        return self.start + (self.machine.now() - self.anchor) * self.rate


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when told to: tests and the simulation."""

    present: Instant

    def now(self) -> Instant:
        """Return the instant it was last set to."""
        return self.present

    def advance(self, step: timedelta) -> None:
        """Move forward by `step`, which must not be negative."""
        if step < timedelta(0):
            raise ValueError("a clock never runs backwards")
        self.present += step


def day_of(moment: Instant) -> date:
    """Return the Asia/Shanghai day that contains `moment`."""
    return moment.astimezone(SHANGHAI).date()


def to_microseconds(moment: Instant) -> int:
    """Return microseconds since the Unix epoch; the storage precision of PostgreSQL."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_microseconds(value: int) -> Instant:
    """Return the instant `value` microseconds after the Unix epoch."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)
