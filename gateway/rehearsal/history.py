"""The history of decisions: written beside each decision, read in pages of bounded size.

`record` costs one staged row and reads nothing; a setting is written by the first decision of a
process that meets it. Reading pages by (time, position) holds a page at a time, each in a unit of
its own, so that a long trial holds no connection and no snapshot.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant, from_microseconds
from gateway.rehearsal.codec import facts_to_bytes, past_of, states_to_json
from gateway.rehearsal.model import Past, Setting
from gateway.rehearsal.store import (
    BETWEEN,
    COUNTED,
    DECISIONS,
    FLIGHTS_COUNTED,
    IN_FLIGHT,
    OF_TICKET,
    SETTINGS,
    DecisionRow,
    SettingRow,
)
from gateway.routing.model import Decision, RoutingFacts

PAGE = 200  # decisions in memory at a time
DECISIONS_MAX = 200_000  # of one trial; a province decides that many in a month


class Recorder:
    """Writes down what was decided, in the unit of work that acts on it."""

    def __init__(self) -> None:
        """Begin without any setting written."""
        self._written: set[str] = set()
        self._last: dict[str, tuple[Setting, str]] = {}

    def record(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        facts: RoutingFacts,
        decision: Decision,
        setting: Setting,
    ) -> None:
        """Stage the row of a decision, and that of its setting when it is new here."""
        digest = self._digest(authority, setting)
        if digest not in self._written:
            uow.put(SETTINGS, _setting_row(setting, digest))
            uow.after_commit(lambda: self._written.add(digest))
        row = DecisionRow(
            authority=authority,
            ticket=ticket,
            decide_time=from_microseconds(decision.decide_time_microseconds),
            setting=digest,
            facts=facts_to_bytes(facts),
            states=states_to_json(decision.states),
            action=int(decision.action),
            target=decision.target,
            rule=decision.rule,
            pack=decision.pack,
            trace_digest=decision.trace_digest,
        )
        uow.insert(DECISIONS, row)

    def _digest(self, authority: str, setting: Setting) -> str:
        last = self._last.get(authority)
        if last is None or last[0] != setting:
            last = self._last[authority] = (setting, setting.digest())
        return last[1]


class History:
    """Past decisions of the authorities of this node."""

    def __init__(self, database: Database) -> None:
        """Read from `database`."""
        self._database = database

    async def count(self, authority: str, *, start: Instant, end: Instant) -> int:
        """Return how many decisions lie in [start, end), at most one more than a trial takes."""
        async with self._database.unit() as uow:
            rows = await uow.select(
                COUNTED, authority=authority, start=start, before=end, limit=DECISIONS_MAX + 1
            )
        return rows[0].number

    async def between(
        self, authority: str, *, start: Instant, end: Instant
    ) -> AsyncGenerator[list[Past], None]:
        """Yield the decisions in [start, end) in order of time, a page at a time."""
        after = (start, -1)  # before every position
        while True:
            async with self._database.unit() as uow:
                rows = await uow.select(
                    BETWEEN,
                    authority=authority,
                    before=end,
                    after_time=after[0],
                    after_position=after[1],
                    limit=PAGE,
                )
            if rows:
                after = (rows[-1].decide_time, rows[-1].position)
                yield [past_of(row) for row in rows]
            if len(rows) < PAGE:
                return

    async def count_in_flight(self, authority: str) -> int:
        """Return how many tickets are held and not settled, at most one more than a trial takes."""
        async with self._database.unit() as uow:
            rows = await uow.select(FLIGHTS_COUNTED, authority=authority, limit=DECISIONS_MAX + 1)
        return rows[0].number

    async def in_flight(self, authority: str) -> AsyncGenerator[list[Past], None]:
        """Yield the newest decision of each ticket in flight, in order of tickets, by pages."""
        after = ""
        while True:
            async with self._database.unit() as uow:
                rows = await uow.select(IN_FLIGHT, authority=authority, ticket=after, limit=PAGE)
            if rows:
                after = rows[-1].ticket
                yield [past_of(row) for row in rows]
            if len(rows) < PAGE:
                return

    async def newest(self, authority: str, ticket: str) -> tuple[Past, Setting] | None:
        """Return the newest decision about a ticket and its setting, or None."""
        async with self._database.unit() as uow:
            rows = await uow.select(OF_TICKET, authority=authority, ticket=ticket, limit=1)
            if not rows:
                return None
            setting = await uow.get(SETTINGS, rows[0].setting)
        assert setting is not None  # a foreign key says so
        return past_of(rows[0]), _setting_of(setting)


def _setting_row(setting: Setting, digest: str) -> SettingRow:
    return SettingRow(
        digest=digest,
        hosted=sorted(setting.hosted),
        joined=sorted(setting.joined),
        packs=list(setting.packs),
        reference=setting.reference,
    )


def _setting_of(row: SettingRow) -> Setting:
    return Setting(frozenset(row.hosted), frozenset(row.joined), tuple(row.packs), row.reference)
