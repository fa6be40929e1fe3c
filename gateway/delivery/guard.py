"""What one statement may cost the inbox: quarantine of what our handlers fail on, room for proof.

**Quarantine.** A statement on which a handler of ours fails with a defect is deferred and comes
again, for ever. After the fifth failure it is quarantined: it is answered `deferred` with a long
delay without asking the handler, an item tells people, and the other envelopes of that peer go on.
It is never refused, because its signer did nothing wrong. A quarter of an hour later it is tried
once more, and whenever a person says so; when it is taken, the item ends by itself.

**Room for proof.** Whatever a peer signs that breaks the protocol is kept as evidence. A peer that
signs nonsense all day must not fill the disk: beyond a bound a day its statements are deferred,
which stores nothing, and the first thousand are proof enough.

What failed is counted in memory; the monitor writes what became of it (`flush`).
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import date, timedelta
from functools import partial
from typing import Protocol

import structlog

from gateway.database.uow import UnitOfWork
from gateway.delivery.model import DEFER_MAX, Item
from gateway.delivery.quotas import PeerQuota
from gateway.delivery.store import EVIDENCE_SINCE, INBOX
from gateway.delivery.undelivered import (
    UNDELIVERED,
    UNDELIVERED_OF_KIND,
    UndeliveredRow,
    item_name,
    resolved,
)
from gateway.kernel.errors import InvariantViolated, LubiaoError, QuotaExceeded
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import dataclass

FAILURES_MAX = 5  # a passing fault of ours is over by then
PROBATION = timedelta(minutes=15)
WATCHED_MAX = 10_000  # statements whose failures are counted; the oldest are forgotten
HELD_MAX = 1000  # statements in quarantine
_log = structlog.get_logger()
_Key = tuple[str, bytes]


class Placed(Protocol):
    """Where an envelope belongs, its signature verified."""

    @property
    def target(self) -> str:
        """To whom it was sent."""
        ...

    @property
    def source(self) -> str:
        """Who signed it."""
        ...

    @property
    def digest(self) -> bytes:
        """Of the statement."""
        ...

    @property
    def peer(self) -> str:
        """The node that brought it."""
        ...

    @property
    def kind(self) -> str:
        """Of the statement, when it was understood."""
        ...

    @property
    def ticket(self) -> str:
        """Of the statement, when it was understood."""
        ...


@dataclass(slots=True)
class _Failing:
    place: Placed
    reason: str
    since: Instant
    failures: int = 0
    next_try: Instant | None = None  # in quarantine until then
    is_written: bool = False


class Guard:
    """Stands between the inbox and its handlers on one node."""

    def __init__(self, *, clock: Clock, quota: PeerQuota | None = None) -> None:
        """`clock` is machine time."""
        self._clock = clock
        self._quota = quota or PeerQuota()
        self._failing: OrderedDict[_Key, _Failing] = OrderedDict()
        self._held: dict[_Key, _Failing] = {}
        self._kept: dict[str, _Kept] = {}

    # --- quarantine ---------------------------------------------------------------------------

    def check(self, place: Placed) -> None:
        """Return unless the statement is in quarantine.

        Raises:
            InvariantViolated: it is; the inbox defers it.
        """
        held = self._held.get((place.target, place.digest))
        if held is None or held.next_try is None:
            return
        if self._clock.now() >= held.next_try:
            held.next_try = self._clock.now() + PROBATION  # this once
            return
        raise InvariantViolated(
            invariant="a statement is handled",
            got="it is in quarantine after repeated failures",
            retry_delay=DEFER_MAX,
        )

    def failed(self, place: Placed, reason: str) -> None:
        """Count a failure of ours on a statement."""
        key, now = (place.target, place.digest), self._clock.now()
        if key in self._held:
            return
        failing = self._failing.setdefault(key, _Failing(place, reason, now))
        failing.failures += 1
        failing.reason = reason
        if failing.failures >= FAILURES_MAX and len(self._held) < HELD_MAX:
            failing.next_try = now + PROBATION
            self._held[key] = self._failing.pop(key)
            _log.error("statement.quarantined", kind=place.kind, ticket=place.ticket)
        while len(self._failing) > WATCHED_MAX:
            self._failing.popitem(last=False)

    def release(self, target: str, digest: bytes) -> None:
        """Try a quarantined statement again when it comes next; a person says so."""
        self._held.pop((target, digest), None)

    async def load(self, uow: UnitOfWork) -> None:
        """Take over what an earlier life, or another process, put into quarantine or let go."""
        now = self._clock.now()
        rows = await uow.select(UNDELIVERED_OF_KIND, kind=Item.QUARANTINED.value, limit=HELD_MAX)
        known = {(row.target, row.statement_digest): row for row in rows}
        for key in [key for key, held in self._held.items() if held.is_written]:
            if key not in known:
                del self._held[key]
        for key, row in known.items():
            if key not in self._held:
                self._held[key] = _Failing(
                    place=_Known.of(row),
                    reason=row.reason,
                    since=row.since,
                    next_try=now + PROBATION,
                    is_written=True,
                )

    async def flush(self, uow: UnitOfWork) -> None:
        """Write an item for what is in quarantine, and end those of what was taken since."""
        now = self._clock.now()
        for (target, digest), held in list(self._held.items()):
            if not held.is_written:
                uow.put(UNDELIVERED, _item(held, now=now))
                uow.after_commit(partial(setattr, held, "is_written", True))
                continue
            if await uow.get(INBOX, target, digest) is None:
                continue
            row = await uow.get(UNDELIVERED, item_name(Item.QUARANTINED, target, digest))
            if row is not None:
                uow.put(UNDELIVERED, resolved(row, now=now))
            uow.after_commit(partial(self.release, target, digest))

    # --- evidence -----------------------------------------------------------------------------

    async def refusable(
        self, uow: UnitOfWork, place: Placed, error: LubiaoError, *, size: int, now: Instant
    ) -> LubiaoError:
        """Return `error` if there is room for proof against the source, else why there is none.

        `now` is business time, in which evidence is recorded; `error` is a refusal, and `size` are
        the bytes that would be kept.
        """
        quota, today = self._quota, now.date()
        kept = self._kept.get(place.source)
        if kept is None or kept.day != today:
            since = now.replace(hour=0, minute=0, second=0, microsecond=0)
            limit = quota.evidence_per_day + 1
            found = await uow.select(EVIDENCE_SINCE, source=place.source, since=since, limit=limit)
            kept = _Kept(today, found[0].items, found[0].bytes) if found else _Kept(today)
            self._kept[place.source] = kept
        if kept.items >= quota.evidence_per_day:
            got, bound, what = kept.items + 1, quota.evidence_per_day, "statements"
        elif kept.size + size > quota.evidence_bytes_per_day:
            got, bound, what = kept.size + size, quota.evidence_bytes_per_day, "bytes"
        else:
            kept.items += 1
            kept.size += size
            return error
        return QuotaExceeded(
            quota=f"refused {what} of {place.source} a day",
            got=got,
            expected=bound,
            retry_delay=DEFER_MAX,
        )


@dataclass(slots=True)
class _Kept:
    """How much evidence against one source was kept on a day."""

    day: date
    items: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    """A place as it was written down."""

    target: str
    source: str
    digest: bytes
    peer: str
    kind: str
    ticket: str

    @classmethod
    def of(cls, row: UndeliveredRow) -> _Known:
        """Return the place of an item."""
        return cls(
            target=row.target,
            source=row.source,
            digest=row.statement_digest,
            peer=row.node,
            kind=row.statement_kind,
            ticket=row.ticket,
        )


def _item(held: _Failing, *, now: Instant) -> UndeliveredRow:
    place = held.place
    return UndeliveredRow(
        item=item_name(Item.QUARANTINED, place.target, place.digest),
        kind=Item.QUARANTINED.value,
        node=place.peer,
        source=place.source,
        target=place.target,
        ticket=place.ticket,
        statement_kind=place.kind,
        statement_digest=place.digest,
        reason=held.reason,
        since=held.since,
        created=now,
        changed=now,
    )
