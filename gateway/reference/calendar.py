"""The working calendar: when does a limit of hours or days end?

Working days come from the published tables of the State Council (holidays and 调休 make-up days)
with the operator's overlay above them; a year that nobody has published is Monday to Friday, and
a due time that had to look at it is *provisional*, to be recomputed when the table arrives.

Counting (民法典 §201, §203): the day of the start is not counted in working days, and the limit
ends when business closes on its last day. Working hours are counted only while business is open; a
limit that is used up at closing time ends at closing time, not at the next opening. Natural hours
never look at the calendar: urgent limits are natural hours. All days are Asia/Shanghai days, all
results UTC. See docs/reference.md#calendar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from gateway.kernel.errors import InvariantViolated
from gateway.kernel.time import SHANGHAI, Instant, day_of
from gateway.kernel.values import dataclass
from gateway.reference.tables import Findings, Shape

ENDS_MAX = 10_000  # ends remembered: each day with each number of days that a limit names
SEARCH_DAYS_MAX = 3660  # ten years: no limit is longer, so a longer search is a broken calendar
_DAY = timedelta(days=1)
_SATURDAY = 5
_CALENDAR_KEYS = ("hours", "published_years", "overlay")


@dataclass(frozen=True, slots=True)
class Due:
    """The end of a limit; provisional when an unpublished year was counted."""

    instant: Instant
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """One stretch of business hours within a day, closing time excluded."""

    opens: time
    closes: time


@dataclass(frozen=True, slots=True)
class PublishedDays:
    """The published exceptions to Monday to Friday and the years that they cover."""

    years: frozenset[int] = frozenset()
    days_off: frozenset[date] = frozenset()
    make_up_days: frozenset[date] = frozenset()

    def canonical(self) -> str:
        """Return a text that is equal exactly for equal tables; part of the reference version."""
        parts = (
            ("years", sorted(str(year) for year in self.years)),
            ("days_off", sorted(day.isoformat() for day in self.days_off)),
            ("make_up_days", sorted(day.isoformat() for day in self.make_up_days)),
        )
        return "\n".join(f"{name}:{','.join(values)}" for name, values in parts)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Working days and business hours."""

    published: PublishedDays = field(default_factory=PublishedDays)
    hours: tuple[Opening, ...] = (
        Opening(time(9), time(12)),
        Opening(time(13, 30), time(17, 30)),
    )
    overlay: Mapping[date, bool] = field(default_factory=dict)
    overlay_years: frozenset[int] = frozenset()
    _ends: dict[tuple[date, int], Due] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # of working days counted before

    def is_known(self, day: date) -> bool:
        """Tell whether the schedule of the day's year has been published."""
        return day.year in self.published.years or day.year in self.overlay_years

    def is_working_day(self, day: date) -> bool:
        """Tell whether business opens on a day."""
        if day in self.overlay:
            return self.overlay[day]
        if day in self.published.make_up_days:
            return True
        return day.weekday() < _SATURDAY and day not in self.published.days_off

    def is_working_time(self, instant: Instant) -> bool:
        """Tell whether business is open at an instant."""
        local = instant.astimezone(SHANGHAI)
        return self.is_working_day(local.date()) and any(
            opening.opens <= local.time() < opening.closes for opening in self.hours
        )

    def open_between(self, start: Instant, end: Instant) -> timedelta:
        """Return for how long business was open between two instants."""
        found, day, last = timedelta(0), day_of(start), day_of(end)
        while day <= last:
            for opens, closes in self._openings(day):
                found += max(min(closes, end) - max(opens, start), timedelta(0))
            day += _DAY
        return found

    def add_natural_hours(self, start: Instant, hours: int) -> Due:
        """Return the instant `hours` later, day and night."""
        return Due(start + timedelta(hours=hours))

    def add_working_hours(self, start: Instant, hours: int) -> Due:
        """Return the instant by which business was open for `hours` since `start`."""
        left = timedelta(hours=hours)
        if not left:
            return Due(start)
        provisional = False
        day = day_of(start)
        for _ in range(SEARCH_DAYS_MAX):
            provisional |= not self.is_known(day)
            for opens, closes in self._openings(day):
                begins = max(opens, start)
                if closes - begins >= left:
                    return Due(begins + left, provisional)
                left -= max(closes - begins, timedelta(0))
            day += _DAY
        raise _endless(start)

    def add_working_days(self, start: Instant, days: int) -> Due:
        """Return closing time on the `days`-th working day after the day of `start`."""
        if not days:
            return Due(start)
        asked = (day_of(start), days)
        end = self._ends.get(asked)
        if end is None:
            if len(self._ends) >= ENDS_MAX:
                self._ends.clear()
            end = self._ends[asked] = self._closing_after(*asked)
        return end

    def _closing_after(self, day: date, days: int) -> Due:
        provisional, first = False, day
        for _ in range(SEARCH_DAYS_MAX):
            day += _DAY
            provisional |= not self.is_known(day)
            days -= self.is_working_day(day)
            if not days:
                return Due(_at(day, self.hours[-1].closes), provisional)
        raise _endless(_at(first, time()))

    def _openings(self, day: date) -> list[tuple[Instant, Instant]]:
        if not self.is_working_day(day):
            return []
        return [(_at(day, opening.opens), _at(day, opening.closes)) for opening in self.hours]


def _at(day: date, moment: time) -> Instant:
    return datetime.combine(day, moment, SHANGHAI).astimezone(UTC)


def _endless(start: Instant) -> InvariantViolated:
    return InvariantViolated(
        invariant="a limit ends within ten years",
        got=f"none found from {start.isoformat()}",
        hint="check hours and overlay with `lubiao reference check`",
    )


def parse_calendar(
    value: object, *, published: PublishedDays, file: str, findings: Findings
) -> Calendar:
    """Return the calendar of `calendar.yaml` over the published days, noting what is wrong."""
    shape = Shape.of(value, location=file, known=_CALENDAR_KEYS, findings=findings)
    openings = [
        opening
        for entry in shape.shapes("hours", known=("opens", "closes"))
        if (opening := _parse_opening(entry)) is not None
    ]
    ends = [moment for opening in openings for moment in (opening.opens, opening.closes)]
    if not openings or any(a >= b for a, b in pairwise(ends)):
        findings.note(
            location=f"{file}.hours",
            problem="business hours are missing, overlap or are not in order",
            advice='Give at least one {opens: "09:00", closes: "12:00"}, earliest first',
        )
    overlay: dict[date, bool] = {}
    for entry in shape.shapes("overlay", known=("date", "working", "reason")):
        day, working = entry.day("date"), entry.flag("working", default=False)
        entry.text("reason")
        if day is None:
            continue
        if day in overlay:
            findings.note(
                location=entry.location,
                problem=f"{day} is there twice",
                advice="Keep one entry per day",
            )
        overlay[day] = working
    return Calendar(
        published=published,
        hours=tuple(openings),
        overlay=overlay,
        overlay_years=frozenset(shape.numbers("published_years")),
    )


def _parse_opening(entry: Shape) -> Opening | None:
    try:
        return Opening(
            time.fromisoformat(entry.text("opens")), time.fromisoformat(entry.text("closes"))
        )
    except ValueError:
        entry.findings.note(
            location=entry.location,
            problem="opening and closing time do not parse",
            advice='Write times in quotes, like "09:00"',
        )
        return None
