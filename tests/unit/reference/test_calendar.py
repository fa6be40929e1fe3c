"""The working calendar, against golden dates and a minute-stepping oracle."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.kernel.errors import InvariantViolated
from gateway.kernel.time import SHANGHAI, Instant
from gateway.reference.calendar import Calendar, Due, Opening, PublishedDays, parse_calendar
from gateway.reference.data import ReferenceData, published_days
from gateway.reference.tables import Findings

MINUTE = timedelta(minutes=1)


def at(text: str) -> Instant:
    """Read a Shanghai wall-clock time."""
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


def local(due: Due) -> str:
    return due.instant.astimezone(SHANGHAI).isoformat(" ", "minutes")[:16]


# --- which days -------------------------------------------------------------------------------


@pytest.mark.parametrize("day", ["01-04", "02-14", "02-28", "05-09", "09-20", "10-10"])
def test_make_up_days_of_2026_are_working_days(data: ReferenceData, day: str) -> None:
    assert data.calendar.is_working_day(date.fromisoformat(f"2026-{day}"))


def test_the_spring_festival_of_2026_is_off(data: ReferenceData) -> None:
    days = [date(2026, 2, 14) + timedelta(days=n) for n in range(11)]
    working = [day for day in days if data.calendar.is_working_day(day)]
    assert working == [date(2026, 2, 14), date(2026, 2, 24)]


def test_the_published_years_are_2004_to_2026(data: ReferenceData) -> None:
    assert data.calendar.is_known(date(2004, 1, 1))
    assert data.calendar.is_known(date(2026, 12, 31))
    assert not data.calendar.is_known(date(2003, 12, 31))
    assert not data.calendar.is_known(date(2027, 1, 1))


def test_an_unpublished_year_is_monday_to_friday() -> None:
    week = [date(2027, 10, 4) + timedelta(days=n) for n in range(7)]  # would be a holiday
    calendar = Calendar(published_days())
    assert [calendar.is_working_day(day) for day in week] == [True] * 5 + [False] * 2


def test_the_overlay_overrides_the_published_table() -> None:
    overlay = {date(2026, 3, 2): False, date(2026, 3, 1): True}
    calendar = Calendar(published_days(), overlay=overlay)
    assert calendar.is_working_day(date(2026, 3, 1))
    assert not calendar.is_working_day(date(2026, 3, 2))


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-03-02 08:59", False),
        ("2026-03-02 09:00", True),
        ("2026-03-02 11:59", True),
        ("2026-03-02 12:00", False),
        ("2026-03-02 13:30", True),
        ("2026-03-02 17:30", False),
        ("2026-03-01 10:00", False),  # Sunday
        ("2026-02-28 10:00", True),  # make-up Saturday
    ],
)
def test_business_is_open_from_opening_until_before_closing(
    data: ReferenceData, moment: str, is_open: bool
) -> None:
    assert data.calendar.is_working_time(at(moment)) is is_open


# --- adding -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        ("2026-03-02 09:00", 2, "2026-03-02 11:00"),
        ("2026-03-02 10:00", 2, "2026-03-02 12:00"),  # ends at closing, not at 13:30
        ("2026-03-02 11:00", 2, "2026-03-02 14:30"),
        ("2026-03-02 12:30", 1, "2026-03-02 14:30"),
        ("2026-03-02 17:00", 1, "2026-03-03 09:30"),
        ("2026-03-06 17:30", 7, "2026-03-09 17:30"),  # over a weekend
        ("2026-02-14 16:30", 2, "2026-02-24 10:00"),  # over the Spring Festival
        ("2026-03-02 03:00", 0, "2026-03-02 03:00"),
    ],
)
def test_working_hours_count_only_while_business_is_open(
    data: ReferenceData, start: str, hours: int, due: str
) -> None:
    found = data.calendar.add_working_hours(at(start), hours)
    assert (local(found), found.provisional) == (due, False)


@pytest.mark.parametrize(
    ("start", "days", "due"),
    [
        ("2026-03-02 09:00", 1, "2026-03-03 17:30"),  # the day of the start is not counted
        ("2026-03-02 23:59", 1, "2026-03-03 17:30"),
        ("2026-03-06 10:00", 1, "2026-03-09 17:30"),
        ("2026-02-13 10:00", 2, "2026-02-24 17:30"),  # 14 is a make-up day, then the festival
        ("2026-03-02 09:00", 15, "2026-03-23 17:30"),
        ("2026-03-02 03:00", 0, "2026-03-02 03:00"),
    ],
)
def test_working_days_end_when_business_closes_on_the_last(
    data: ReferenceData, start: str, days: int, due: str
) -> None:
    found = data.calendar.add_working_days(at(start), days)
    assert (local(found), found.provisional) == (due, False)


def test_a_day_is_a_shanghai_day_not_a_utc_day(data: ReferenceData) -> None:
    start = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)  # already 3 March in Shanghai
    assert local(data.calendar.add_working_days(start, 1)) == "2026-03-04 17:30"


def test_natural_hours_never_look_at_the_calendar(data: ReferenceData) -> None:
    found = data.calendar.add_natural_hours(at("2026-12-31 23:00"), 24)
    assert (local(found), found.provisional) == ("2027-01-01 23:00", False)


def test_case_23_a_limit_that_reaches_an_unpublished_year_is_provisional(
    data: ReferenceData,
) -> None:
    start = at("2026-12-31 10:00")
    assert data.calendar.add_working_hours(start, 2) == Due(at("2026-12-31 12:00"))
    assert data.calendar.add_working_hours(start, 8).provisional
    next_day = data.calendar.add_working_days(start, 1)
    assert (local(next_day), next_day.provisional) == ("2027-01-01 17:30", True)
    week = data.calendar.add_working_days(start, 7)
    assert (local(week), week.provisional) == ("2027-01-11 17:30", True)


def test_publishing_the_year_in_the_overlay_makes_it_final_and_moves_it() -> None:
    calendar = Calendar(
        published_days(), overlay={date(2027, 1, 1): False}, overlay_years=frozenset({2027})
    )
    week = calendar.add_working_days(at("2026-12-31 10:00"), 7)
    assert (local(week), week.provisional) == ("2027-01-12 17:30", False)


def test_a_calendar_without_working_days_is_a_broken_invariant_not_an_endless_loop() -> None:
    start = date(2026, 1, 1)
    never = {start + timedelta(days=n): False for n in range(4000)}
    calendar = Calendar(overlay=never)
    with pytest.raises(InvariantViolated):
        calendar.add_working_days(at("2026-01-01 09:00"), 1)
    with pytest.raises(InvariantViolated):
        calendar.add_working_hours(at("2026-01-01 09:00"), 1)


# --- the oracle: step minute by minute and count ----------------------------------------------


def oracle_is_open(calendar: Calendar, wall: datetime) -> bool:
    day = wall.date()
    if day in calendar.overlay:
        works = calendar.overlay[day]
    elif day in calendar.published.make_up_days:
        works = True
    elif day in calendar.published.days_off:
        works = False
    else:
        works = wall.isoweekday() <= 5
    minute = wall.hour * 60 + wall.minute
    return works and (540 <= minute < 720 or 810 <= minute < 1050)


def oracle_hours(calendar: Calendar, start: Instant, hours: int) -> tuple[Instant, bool]:
    wall, left, is_guess = start.astimezone(SHANGHAI), hours * 60, False
    while left:
        is_guess |= wall.year not in calendar.published.years
        left -= oracle_is_open(calendar, wall)
        wall += MINUTE
    return wall.astimezone(UTC), is_guess


def oracle_days(calendar: Calendar, start: Instant, days: int) -> tuple[Instant, bool]:
    wall, is_guess = start.astimezone(SHANGHAI), False
    first, counted = wall.date(), set[date]()
    while True:
        if wall.date() > first:
            is_guess |= wall.year not in calendar.published.years
            if oracle_is_open(calendar, wall):
                counted.add(wall.date())
            if len(counted) == days and (wall.hour, wall.minute) == (17, 30):
                return wall.astimezone(UTC), is_guess
        wall += MINUTE


starts = st.datetimes(datetime(2025, 12, 20), datetime(2027, 1, 5)).map(  # noqa: DTZ001 -- aware below
    lambda wall: wall.replace(second=0, microsecond=0, tzinfo=SHANGHAI).astimezone(UTC)
)
overlays = st.dictionaries(st.dates(date(2025, 12, 20), date(2027, 1, 20)), st.booleans())


@settings(max_examples=40, deadline=None)
@given(start=starts, hours=st.integers(1, 30), overlay=overlays)
def test_working_hours_agree_with_counting_every_minute(
    start: Instant, hours: int, overlay: dict[date, bool]
) -> None:
    calendar = Calendar(published_days(), overlay=overlay)
    found = calendar.add_working_hours(start, hours)
    assert (found.instant, found.provisional) == oracle_hours(calendar, start, hours)


@settings(max_examples=25, deadline=None)
@given(start=starts, days=st.integers(1, 5), overlay=overlays)
def test_working_days_agree_with_counting_every_minute(
    start: Instant, days: int, overlay: dict[date, bool]
) -> None:
    calendar = Calendar(published_days(), overlay=overlay)
    found = calendar.add_working_days(start, days)
    assert (found.instant, found.provisional) == oracle_days(calendar, start, days)


@given(start=starts, hours=st.integers(0, 50), more=st.integers(0, 50))
def test_a_longer_limit_never_ends_earlier(start: Instant, hours: int, more: int) -> None:
    calendar = Calendar(published_days())
    earlier = calendar.add_working_hours(start, hours)
    later = calendar.add_working_hours(start, hours + more)
    assert start <= earlier.instant <= later.instant
    assert later.provisional or not earlier.provisional


# --- reading ----------------------------------------------------------------------------------


def test_the_overlay_file_is_read() -> None:
    findings = Findings()
    calendar = parse_calendar(
        {
            "hours": [{"opens": "08:00", "closes": "11:30"}],
            "published_years": [2027],
            "overlay": [{"date": "2027-01-01", "working": False, "reason": "元旦"}],
        },
        published=PublishedDays(),
        file="calendar.yaml",
        findings=findings,
    )
    assert not findings.items
    assert calendar.hours == (Opening(time(8), time(11, 30)),)
    assert calendar.overlay == {date(2027, 1, 1): False}
    assert calendar.is_known(date(2027, 5, 1))


@pytest.mark.parametrize(
    ("value", "location"),
    [
        ({"hours": []}, "c.hours"),
        ({"hours": [{"opens": "12:00", "closes": "09:00"}]}, "c.hours"),
        (
            {
                "hours": [
                    {"opens": "09:00", "closes": "12:00"},
                    {"opens": "11:00", "closes": "17:00"},
                ]
            },
            "c.hours",
        ),
        ({"hours": [{"opens": "nine", "closes": "12:00"}]}, "c.hours[0]"),
        ({"overlay": [{"date": "soon", "working": True, "reason": "x"}]}, "c.overlay[0].date"),
        (
            {"overlay": [{"date": date(2027, 1, 1), "working": 1, "reason": "x"}]},
            "c.overlay[0].working",
        ),
        ({"overlay": [{"date": date(2027, 1, 1), "reason": ""}]}, "c.overlay[0].reason"),
        (
            {"overlay": [{"date": date(2027, 1, 1), "reason": "x"} for _ in range(2)]},
            "c.overlay[1]",
        ),
        ({"published_years": ["2027"]}, "c.published_years"),
        ({"published_years": 2027}, "c.published_years"),
        ({"holidays": []}, "c"),
        ([], "c"),
    ],
)
def test_a_mistake_in_the_overlay_file_is_named(value: object, location: str) -> None:
    findings = Findings()
    if isinstance(value, dict):
        value = {"hours": [{"opens": "09:00", "closes": "12:00"}]} | value
    parse_calendar(value, published=PublishedDays(), file="c", findings=findings)
    assert location in [finding.location for finding in findings.items]
