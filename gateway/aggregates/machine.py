"""What is decided about a report: its day, its budget, its cells. Pure.

A day is a number such as 20260302. The budget of a report is asked before anything is drawn, in the
same transaction that pays it and under the lock of the series, so no interleaving overspends; a
day that was paid is never drawn again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta

from gateway.aggregates.model import Balance, Cell, Refused, ReportPolicy
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.time import SHANGHAI, Instant, day_of

CLOSE_DELAY = timedelta(minutes=1)  # what was begun before midnight has committed by then
OTHER_MATTER = "990000"  # takes what this catalogue does not know, so that each ticket counts once
MONTHS_PER_QUARTER = 3


def day_number(day: date) -> int:
    """Return a day as a number."""
    return day.year * 10_000 + day.month * 100 + day.day


def date_of(number: int, *, field: str = "day") -> date:
    """Return the day of a number.

    Raises:
        FieldInvalid: there is no such day.
    """
    try:
        return date(number // 10_000, number // 100 % 100, number % 100)
    except ValueError as error:
        raise FieldInvalid(field=field, got=number, expected="a day such as 20260302") from error


def next_day(number: int) -> int:
    """Return the day after."""
    return day_number(date_of(number) + timedelta(days=1))


def days_before(number: int, days: int) -> int:
    """Return the day that lies so many days before."""
    return day_number(date_of(number) - timedelta(days=days))


def bounds(number: int) -> tuple[Instant, Instant]:
    """Return the instants between which an Asia/Shanghai day lies, the end excluded."""
    begin = datetime.combine(date_of(number), time(), tzinfo=SHANGHAI)
    return begin, begin + timedelta(days=1)


def close_of(number: int) -> Instant:
    """Return when the report of a day is due."""
    return bounds(number)[1] + CLOSE_DELAY


def is_closed(number: int, now: Instant) -> bool:
    """Tell whether a day has ended and its last steps have committed."""
    return now >= close_of(number)


def today(now: Instant) -> int:
    """Return the present business day."""
    return day_number(day_of(now))


def quarter_of(number: int) -> int:
    """Return the quarter of a day, 1 to 4."""
    return (number // 100 % 100 - 1) // MONTHS_PER_QUARTER + 1


def year_of(number: int) -> int:
    """Return the year of a day."""
    return number // 10_000


def balances_of(
    number: int, policy: ReportPolicy, spent_by_quarter: Mapping[int, int]
) -> tuple[Balance, Balance]:
    """Return the balances of the year and of the quarter that a day belongs to."""
    year, quarter = year_of(number), quarter_of(number)
    return (
        Balance(f"{year}", policy.year_micro, sum(spent_by_quarter.values())),
        Balance(f"{year}Q{quarter}", policy.quarter_micro, spent_by_quarter.get(quarter, 0)),
    )


def refusal(number: int, policy: ReportPolicy, balances: Iterable[Balance]) -> Refused | None:
    """Return why the budget does not pay the report of a day, or None when it does."""
    for balance in balances:
        if policy.epsilon_micro > balance.left_micro:
            return Refused(
                day=number,
                budget=balance.period,
                needed_micro=policy.epsilon_micro,
                left_micro=balance.left_micro,
            )
    return None


def exact_counts(by_prefix: Mapping[str, int], *, domain: Sequence[str]) -> tuple[int, ...]:
    """Return the count of every matter of `domain`, in its order; nothing is lost.

    What begins with digits that the domain lacks counts as `OTHER_MATTER`, or as its last matter.
    """
    counts = dict.fromkeys(domain, 0)
    other = OTHER_MATTER if OTHER_MATTER in counts else domain[-1]
    for prefix, count in by_prefix.items():
        matter = f"{prefix}0000"
        counts[matter if matter in counts else other] += count
    return tuple(counts[matter] for matter in domain)


def cells_of(domain: Sequence[str], noisy: Sequence[int], *, threshold: int) -> tuple[Cell, ...]:
    """Return the cells as they leave: noisy values below the threshold are withheld."""
    return tuple(
        Cell(matter, value if value >= threshold else None)
        for matter, value in zip(domain, noisy, strict=True)
    )
