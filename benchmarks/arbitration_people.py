"""The people of the simulated world: when somebody acts, and how badly.

Everybody who is asked for something by a limit answers in one of four manners, drawn from a mix:
in time (spread over a tenth to nine tenths of the time that is left), late (up to five hours of
work after the limit), never, or wrongly (out of turn, for somebody else, without a clause, a second
time; nothing right follows). Ordinary matters are worked on in business hours, urgent ones at any
hour. A panel that acts wrongly is told so by the refusal and then acts in time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum

from gateway.kernel.time import SHANGHAI, Instant, day_of
from gateway.reference.calendar import Calendar

EARLIEST, LATEST = 0.1, 0.9  # of the time that is left, for who acts in time
LATE_MINUTES = (10, 300)
DAYS_MAX = 60  # no stretch of this world is longer; a longer search is a broken calendar
_DAY = timedelta(days=1)


class Manner(Enum):
    """How somebody answers."""

    IN_TIME = "in time"
    LATE = "late"
    NEVER = "never"
    WRONG = "wrongly"


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the manners in percent, and the name of the mix in a row."""

    name: str
    in_time: int
    late: int
    never: int
    wrong: int

    def draw(self, dice: random.Random) -> Manner:
        """Return how the next one answers."""
        shares = (self.in_time, self.late, self.never, self.wrong)
        return dice.choices(tuple(Manner), shares)[0]

    def __str__(self) -> str:
        """Return the shares."""
        return f"{self.in_time}/{self.late}/{self.never}/{self.wrong} % in time/late/never/wrong"


GOAL = Mix("60-20-10-10", 60, 20, 10, 10)
MIXES = (
    GOAL,
    Mix("all-in-time", 100, 0, 0, 0),
    Mix("30-30-30-10", 30, 30, 30, 10),
    Mix("nobody", 0, 0, 100, 0),
)


@dataclass(frozen=True, slots=True)
class Hours:
    """Business time: counted without the product's own counting of limits."""

    calendar: Calendar

    def later(self, start: Instant, minutes: float) -> Instant:
        """Return the instant at which business was open for so long since `start`."""
        left = timedelta(minutes=minutes)
        for opens, closes in self._openings(start):
            begins = max(opens, start)
            if closes - begins >= left:
                return begins + left
            left -= max(closes - begins, timedelta(0))
        raise ValueError(f"no business within {DAYS_MAX} days of {start.isoformat()}")

    def minutes(self, start: Instant, end: Instant) -> float:
        """Return for how many minutes business is open between two instants."""
        total = timedelta(0)
        for opens, closes in self._openings(start):
            if opens >= end:
                break
            total += max(min(closes, end) - max(opens, start), timedelta(0))
        return total.total_seconds() / 60

    def days(self, start: Instant, end: Instant) -> int:
        """Return within how many working days after its start something ended.

        The day of the start does not count (民法典 第二百零一条); what ends on a day off, or after
        closing time, ends on the next working day. 0: on the very day.
        """
        first, last = day_of(start), day_of(end)
        if first == last:
            return 0
        is_late = end > self._at(last, self.calendar.hours[-1].closes)
        if is_late or not self.calendar.is_working_day(last):
            last += _DAY
            while not self.calendar.is_working_day(last):
                last += _DAY
        span = (last - first).days
        return sum(self.calendar.is_working_day(first + _DAY * n) for n in range(1, span + 1))

    def moment(
        self, dice: random.Random, start: Instant, end: Instant, *, is_urgent: bool
    ) -> Instant:
        """Return when somebody acts who acts in time."""
        part = dice.uniform(EARLIEST, LATEST)
        open_minutes = 0.0 if is_urgent else self.minutes(start, end)
        if open_minutes < 1:
            return start + (end - start) * part
        return self.later(start, open_minutes * part)

    def after(self, dice: random.Random, end: Instant, *, is_urgent: bool) -> Instant:
        """Return when somebody acts who is late."""
        minutes = dice.uniform(*LATE_MINUTES)
        return end + timedelta(minutes=minutes) if is_urgent else self.later(end, minutes)

    def any_filing(self, dice: random.Random, start: Instant, length: timedelta) -> Instant:
        """Return when a citizen calls: three of five in business hours, the others at any hour."""
        moment = start + length * dice.random()
        if dice.random() < 0.6:  # noqa: PLR2004 (three of five)
            return self.later(moment, dice.uniform(0, 240))
        return moment

    def _openings(self, start: Instant) -> Iterator[tuple[Instant, Instant]]:
        day = day_of(start)
        for _ in range(DAYS_MAX):
            if self.calendar.is_working_day(day):
                for opening in self.calendar.hours:
                    yield self._at(day, opening.opens), self._at(day, opening.closes)
            day += _DAY

    @staticmethod
    def _at(day: date, moment: time) -> Instant:
        return datetime.combine(day, moment, SHANGHAI).astimezone(UTC)
