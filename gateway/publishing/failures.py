"""Conditions that failed: counted in memory, written now and then, reported to the rule's owner.

A failed condition never holds up a ticket, so nothing is written in a ticket's own transaction: one
row that many tickets counted on would make them wait for each other. What a process had not written
when it died is not counted; the rule will fail again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta

import structlog

from gateway.database.uow import Database
from gateway.kernel.errors import LubiaoError
from gateway.kernel.time import Clock
from gateway.kernel.values import replace
from gateway.publishing.misroutes import Misroutes
from gateway.publishing.model import owner_of
from gateway.publishing.store import FAILURES, FailureRow
from gateway.routing.model import RuleFailure

FLUSH = timedelta(seconds=10)
ERROR_LENGTH_MAX = 200
log = structlog.get_logger()


Take = Callable[[], Iterable[tuple[RuleFailure, int]]]
"""Gives what failed since it was last asked, with how often."""


class FailureReports:
    """Writes what one process counted, and lets the owners know."""

    def __init__(
        self,
        *,
        database: Database,
        misroutes: Misroutes,
        clock: Clock,
        hosted: Collection[str],
    ) -> None:
        """Write into `database`; `take` is set by whoever has the decisions."""
        self._database = database
        self._misroutes = misroutes
        self._clock = clock
        self._hosted = hosted
        self.take: Take = tuple
        self.measured: Callable[[int, int], None] = lambda _open, _overdue: None
        self._unwritten: Counter[RuleFailure] = Counter()

    async def run(self) -> None:
        """Write and report until cancelled."""
        while True:
            await asyncio.sleep(FLUSH.total_seconds())
            try:
                await self.flush()
                await self.measure()
            except LubiaoError as error:
                log.warning("failures.unwritten", reason=error.reason)

    async def measure(self) -> None:
        """Tell how many reports wait for an answer of this node."""
        async with self._database.unit() as uow:
            found = await self._misroutes.waiting(uow)
        self.measured(found.open, found.overdue)

    async def flush(self) -> None:
        """Write what was counted, and report what is new."""
        for failure, times in self.take():
            self._unwritten[failure] += times
        counted = dict(self._unwritten)
        if not counted:
            return
        now = self._clock.now()
        async with self._database.unit() as uow:
            await uow.lock("rules/failures")
            for failure, times in counted.items():
                key = (failure.pack, failure.version, failure.rule, self._reporter(failure.pack))
                known = await uow.get(FAILURES, *key) or FailureRow(
                    *key,
                    error=failure.error[:ERROR_LENGTH_MAX],
                    occurrences=0,
                    reported=0,
                    first_seen=now,
                    last_seen=now,
                )
                total = known.occurrences + times
                uow.put(FAILURES, replace(known, occurrences=total, last_seen=now))
            await self._misroutes.report_failures(uow, now=now)
        self._unwritten.clear()

    def _reporter(self, pack: str) -> str:
        """Return who reports: the owner about its own rules, else one who lives here."""
        owner = owner_of(pack)
        return owner if owner in self._hosted else min(self._hosted)
