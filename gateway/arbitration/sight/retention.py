"""How long changes of cases are told: a month, and at most so many of one authority.

The feed says that a case changed, and shows it as it is now: an old change tells nothing that a
list of the cases does not. A day with changes has one timer for each authority. It rings when the
day is over, for who had too many, and again when they are old. How far the feed is forgotten is
kept (`FORGOTTEN`), so that who comes later with an older token is told so instead of missing some.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.arbitration.sight.store import (
    CASE_CHANGES,
    CHANGES_BEYOND,
    CHANGES_OLD,
    FORGOTTEN,
    ForgottenRow,
)
from gateway.database.timers import TIMERS, schedule
from gateway.database.uow import UnitOfWork
from gateway.kernel.time import SHANGHAI, Instant, day_of

CHANGES_TIMER = "arbitration.changes"
KEPT = timedelta(days=30)  # who was away longer reads the cases once
KEPT_MAX = 100_000  # of one authority; the largest province has some thousand cases a month
FORGOTTEN_AT_ONCE_MAX = 500
SOON = timedelta(minutes=1)


async def keep_clock(uow: UnitOfWork, authority: str, *, now: Instant) -> None:
    """See that the changes of this day end: the first change of the day sets the clock."""
    key = f"{authority}/{day_of(now).isoformat()}"
    if await uow.get(TIMERS, CHANGES_TIMER, key) is None:
        schedule(uow, kind=CHANGES_TIMER, key=key, due=_end_of(key))


class Forgetting:
    """A `TimerHandler` whose keys are `{authority}/{day}`."""

    def __init__(self, *, kept: timedelta = KEPT, kept_max: int = KEPT_MAX) -> None:
        """Forget what is older than `kept`, and more than `kept_max` of an authority."""
        self._kept = kept
        self._kept_max = kept_max

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of an authority's feed."""
        return (f"case-changes/{key.partition('/')[0]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Forget some; ring again while there are more, and when the day's own are old."""
        authority = key.partition("/")[0]
        old = await uow.select(
            CHANGES_OLD, authority=authority, cutoff=now - self._kept, limit=FORGOTTEN_AT_ONCE_MAX
        )
        beyond = await uow.select(
            CHANGES_BEYOND, authority=authority, kept=self._kept_max, limit=FORGOTTEN_AT_ONCE_MAX
        )
        places = sorted({(row.txid, row.position) for row in (*old, *beyond)})
        for _, position in places:
            uow.delete(CASE_CHANGES, position)
        if places:
            known = await uow.get(FORGOTTEN, authority)
            last = max(places[-1], (known.txid, known.position) if known else places[-1])
            uow.put(FORGOTTEN, ForgottenRow(authority, *last))
        old_at = _end_of(key) + self._kept
        if FORGOTTEN_AT_ONCE_MAX in (len(old), len(beyond)):
            schedule(uow, kind=CHANGES_TIMER, key=key, due=now + SOON)
        elif now < old_at:
            schedule(uow, kind=CHANGES_TIMER, key=key, due=old_at)


def _end_of(key: str) -> Instant:
    day = datetime.fromisoformat(key.partition("/")[2]).replace(tzinfo=SHANGHAI)
    return day + timedelta(days=1)
