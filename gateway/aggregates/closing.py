"""The timer that closes a business day: `database.TimerHandler` for the kind `aggregates.close`.

One timer a province, due one minute of business time after the day's end. Each handling closes one
day and schedules the next; after a time of rest the next is due at once, so missed days are caught
up one by one, each in a transaction of its own. Without noise the handling fails, rolls back and is
tried again by the runner: no day is passed over for a missing library.
"""

from __future__ import annotations

import structlog

from gateway.aggregates import machine
from gateway.aggregates.service import Reports, lock_of
from gateway.database.timers import TIMERS, schedule
from gateway.database.uow import UnitOfWork
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant

CLOSE_TIMER = "aggregates.close"
log = structlog.get_logger()


class CloseHandler:
    """Closes the days of the hosted provinces."""

    def __init__(self, reports: Reports) -> None:
        """Close with `reports`."""
        self._reports = reports

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the province's series."""
        return (lock_of(key),)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Close the next day of province `key` and schedule the one after."""
        try:
            following = await self._reports.close_next(uow, province=AuthorityCode(key), now=now)
        except LubiaoError as error:
            log.warning("report.failed", province=key, reason=error.reason, hint=error.hint)
            raise
        schedule(uow, kind=CLOSE_TIMER, key=key, due=machine.close_of(following))

    async def start(self, uow: UnitOfWork, *, now: Instant) -> None:
        """Begin the series of every hosted province; harmless when it has begun already."""
        for province in sorted(self._reports.provinces()):
            day = await self._reports.begin(uow, province=province, now=now)
            if await uow.get(TIMERS, CLOSE_TIMER, province) is None:
                schedule(uow, kind=CLOSE_TIMER, key=province, due=machine.close_of(day))
