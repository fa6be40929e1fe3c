"""Time stamps over the ledgers of this node's authorities (RFC 3161), asked for now and then.

**Theory of operation.** An entry of a ledger names the digest of the one before, so a stamp over
the newest entry covers all before it: one stamp an hour is enough for everything. What is stamped
stands in `ledger_stamps`; every newer entry is *pending*, so nothing else need be remembered and a
restart needs no special code. The service is asked outside of any transaction. While it is down,
custody goes on and nothing is lost: the back-off grows, the age of the oldest pending entry is
shown, and the first stamp after the outage covers it all. It is never asked for what is stamped
already, and an answer is kept only after it was judged under the roots of this node's settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from gateway.custody import store
from gateway.database.uow import Database
from gateway.evidence import store as evidence_store
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Clock, Instant
from gateway.trust import timestamps

STAMP_INTERVAL = timedelta(hours=1)  # one covers all entries since the one before
BACKOFF_FIRST = timedelta(minutes=1)
BACKOFF_MAX = timedelta(hours=1)  # a service that was down for days is reached within the hour
POLL = timedelta(seconds=30)

Transport = Callable[[bytes], Awaitable[bytes]]
"""Sends a request to the service and returns its response; raises a LubiaoError if it cannot."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits for a stamp at one authority."""

    newest: store.LedgerEntryRow
    since: Instant  # when its oldest entry was made
    stamped: Instant | None  # when the last stamp was kept


class Stamper:
    """Has the ledgers of some authorities stamped."""

    def __init__(
        self,
        *,
        database: Database,
        authorities: Sequence[AuthorityCode],
        transport: Transport,
        roots: tuple[bytes, ...],
        clock: Clock,
        machine_clock: Clock,
    ) -> None:
        """Make the stamper.

        Args:
            database: where the ledgers are.
            authorities: whose ledgers.
            transport: the way to the service.
            roots: certificates, DER, to one of which the service's must lead.
            clock: business time, as the ledgers have it.
            machine_clock: for intervals and back-off.
        """
        self._database = database
        self._authorities = tuple(authorities)
        self._transport = transport
        self._roots = roots
        self._clock = clock
        self._machine = machine_clock
        self._failures: dict[AuthorityCode, tuple[int, Instant]] = {}  # how often, not before
        # Told the age of the oldest entry that waits for a stamp, zero if none does.
        self.measured: Callable[[timedelta], None] = lambda _age: None

    async def run(self, stopping: asyncio.Event) -> None:
        """Stamp what is due until `stopping` is set."""
        while not stopping.is_set():
            try:
                await self.stamp_due()
            except LubiaoError as error:  # the database may be away
                _log.warning("stamps.failed", reason=error.reason)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL.total_seconds()):
                    await stopping.wait()

    async def stamp_due(self) -> int:
        """Ask for the stamps that are due now, and return how many were kept."""
        oldest = timedelta(0)
        kept = 0
        for authority in self._authorities:
            pending = await self.pending(authority)
            if pending is None:
                self._failures.pop(authority, None)
                continue
            if self._is_due(authority, pending) and await self._stamp(authority, pending.newest):
                kept += 1
                continue
            oldest = max(oldest, self._clock.now() - pending.since)
        self.measured(oldest)
        return kept

    async def pending(self, authority: AuthorityCode) -> Pending | None:
        """Return what waits for a stamp at an authority; None: nothing."""
        async with self._database.unit() as uow:
            [*newest] = await uow.select(store.LAST_ENTRY, authority=authority)
            [*last] = await uow.select(evidence_store.LAST_STAMP, authority=authority)
            stamped = last[0].sequence if last else 0
            if not newest or newest[0].sequence <= stamped:
                return None
            [first] = await uow.select(
                evidence_store.ENTRIES_BETWEEN,
                authority=authority,
                first=stamped + 1,
                last=newest[0].sequence,
                limit=1,
            )
        return Pending(newest[0], first.recorded, last[0].recorded if last else None)

    def _is_due(self, authority: AuthorityCode, pending: Pending) -> bool:
        now = self._machine.now()
        if authority in self._failures:
            return now >= self._failures[authority][1]
        return pending.stamped is None or now >= pending.stamped + STAMP_INTERVAL

    async def _stamp(self, authority: AuthorityCode, entry: store.LedgerEntryRow) -> bool:
        try:
            asked = timestamps.ask(entry.entry_digest)
            response = await self._transport(asked.request)
            stamped = timestamps.judge(response, entry.entry_digest, self._roots, nonce=asked.nonce)
        except LubiaoError as error:
            times = self._failures.get(authority, (0, self._machine.now()))[0] + 1
            pause = min(BACKOFF_FIRST * 2 ** min(times - 1, 10), BACKOFF_MAX)
            self._failures[authority] = (times, self._machine.now() + pause)
            _log.warning("stamp.failed", authority=authority, reason=error.reason, failures=times)
            return False
        self._failures.pop(authority, None)
        row = evidence_store.StampRow(
            authority=authority,
            sequence=entry.sequence,
            response=response,
            stamped=stamped,
            recorded=self._machine.now(),
        )
        async with self._database.unit() as uow:
            uow.put(evidence_store.STAMPS, row)
        return True
