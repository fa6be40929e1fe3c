"""Figures of disputes out of what a node keeps: whose, and who may see them.

An authority sees itself and its own units; a province also its cities, out of the cases that it
rules, but not their units: those are inside the city. At the nation there are no rows of provinces
at all, for it is superior to none of them in handling; only how often quarrels come again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from gateway.arbitration.cases import Cases
from gateway.arbitration.copies import COPIES, Copies
from gateway.arbitration.learning.repeats import Repeat, Repeats
from gateway.arbitration.model import Case, CaseKey, Party, is_unit
from gateway.arbitration.sight import figures
from gateway.arbitration.sight.figures import PartyFigures, Returned, Share
from gateway.arbitration.store import CASES, KeyRow
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.table import Query, RowsOf, load_queries
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.codes import ReturnState
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import SHANGHAI, Clock, Instant, to_microseconds
from gateway.reference.calendar import Calendar
from gateway.tickets.life_rows import known_code
from gateway.tickets.store import TICKETS
from gateway.trust.principal import Principal

_SQL = load_queries(Path(__file__).with_name("queries.sql"))
CASES_MAX = 5_000  # of one answer; a province with ten disputes a day fills it in two years
CASES_PER_UNIT = 100  # read in one unit of work, so that nobody waits for a long one
RETURNS_MAX = 50_000
DAYS_MAX = 366
TICKET_AGE_MAX = timedelta(days=400)  # older tickets give nothing back any more
THRESHOLD = 10  # as reports withhold, unless the node's settings say otherwise


@dataclass(frozen=True, slots=True)
class ReturnRow:
    """A return of a unit."""

    unit: str
    state: int


@dataclass(frozen=True, slots=True)
class DisputeFigures:
    """All figures of one answer."""

    parties: tuple[PartyFigures, ...]
    repeats: tuple[Repeat, ...]
    by_default: Share | None
    threshold: int
    is_cut: bool


def _filed(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[KeyRow]:
    authority = given["authority"]
    found = [
        row
        for row in rows(CASES)
        if given["since"] <= row.filed < given["until"]
        and (row.scope == authority or authority in row.parties)
    ]
    found.sort(key=lambda row: (-to_microseconds(row.filed), row.scope, row.case_id))
    return [KeyRow(row.scope, row.case_id) for row in found[: given["limit"]]]


def _copied(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[KeyRow]:
    found = [
        row
        for row in rows(COPIES)
        if row.authority == given["authority"] and given["since"] <= row.filed < given["until"]
    ]
    found.sort(key=lambda row: (-to_microseconds(row.filed), row.scope, row.case_id))
    return [KeyRow(row.scope, row.case_id) for row in found[: given["limit"]]]


def _returned(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[ReturnRow]:
    found = [
        ReturnRow(item["unit"], item["state"])
        for row in rows(TICKETS)
        if row.authority == given["authority"]
        and not row.followed
        and given["created"] <= row.create_time < given["until"]
        for item in row.returns
        if given["since_micros"] <= item["file_time"] < given["until_micros"]
    ]
    return sorted(found, key=lambda row: (row.unit, row.state))[: given["limit"]]


CASES_FILED = Query("cases_filed_between", KeyRow, _SQL["cases_filed_between"], _filed)
COPIES_FILED = Query(
    "case_copies_filed_between", KeyRow, _SQL["case_copies_filed_between"], _copied
)
RETURNS_FILED = Query("returns_filed_between", ReturnRow, _SQL["returns_filed_between"], _returned)


class FigureReader:
    """Reads the figures of the authorities of one node."""

    def __init__(
        self,
        *,
        database: Database,
        cases: Cases,
        copies: Copies,
        calendar: Callable[[], Calendar],
        audit: AuditLog,
        clock: Clock,
        repeats: Repeats,
        threshold: int = THRESHOLD,
    ) -> None:
        """Make it; `threshold` is that of the node's releases, `clock` is business time."""
        self._database = database
        self._cases = cases
        self._copies = copies
        self._calendar = calendar
        self._audit = audit
        self._clock = clock
        self._repeats = repeats
        self._threshold = threshold

    async def read(self, principal: Principal, *, first: date, last: date) -> DisputeFigures:
        """Return the figures of some days; the reading is recorded.

        Raises:
            FieldInvalid: the days are no whole months, or too many.
        """
        since, until = _range(first, last)
        authority = principal.authority
        async with self._database.unit() as uow:
            entry = AuditEntry(
                time=self._clock.now(),
                principal=principal.name,
                role=principal.acting_role,
                act="case.figures",
                subject=f"days/{first}..{last}",
                basis="access-matrix",
            )
            self._audit.append(uow, entry)
        cases, is_cut = await self._cases_of(authority, since, until)
        ruled_here = [case for case in cases if case.key.scope == authority]
        calendar, shown = self._calendar(), _shown_to(authority)

        def hours(start: Instant, end: Instant) -> float:
            return calendar.open_between(start, end) / timedelta(hours=1)

        threshold = self._threshold
        return DisputeFigures(
            parties=figures.parties(
                cases,
                await self._returns(authority, since, until),
                shown=shown,
                hours=hours,
                threshold=threshold,
            ),
            repeats=await self._repeats.of(authority, start=since, end=until),
            by_default=figures.by_default(ruled_here, threshold=threshold),
            threshold=threshold,
            is_cut=is_cut,
        )

    async def _cases_of(
        self, authority: AuthorityCode, since: Instant, until: Instant
    ) -> tuple[list[Case], bool]:
        given = {"authority": authority, "since": since, "until": until, "limit": CASES_MAX + 1}
        async with self._database.unit() as uow:
            own = [*await uow.select(CASES_FILED, **given)]
            told = [*await uow.select(COPIES_FILED, **given)]
        found = await self._each(own[:CASES_MAX], self._cases.find)

        async def copy(uow: UnitOfWork, key: CaseKey) -> Case | None:
            return await self._copies.find_told(uow, authority, key)

        found += await self._each(told[: CASES_MAX - len(found)], copy)
        return found, len(own) + len(told) > CASES_MAX

    async def _each(self, rows: list[KeyRow], find: Callable[..., Any]) -> list[Case]:
        found: list[Case] = []
        for begin in range(0, len(rows), CASES_PER_UNIT):
            async with self._database.unit() as uow:
                for row in rows[begin : begin + CASES_PER_UNIT]:
                    case = await find(uow, CaseKey(AuthorityCode(row.scope), row.case_id))
                    found += [case] if case is not None else []
        return found

    async def _returns(
        self, authority: AuthorityCode, since: Instant, until: Instant
    ) -> list[Returned]:
        async with self._database.unit() as uow:
            rows = await uow.select(
                RETURNS_FILED,
                authority=authority,
                created=since - TICKET_AGE_MAX,
                until=until,
                since_micros=to_microseconds(since),
                until_micros=to_microseconds(until),
                limit=RETURNS_MAX,
            )
        return [Returned(row.unit, known_code(ReturnState, row.state)) for row in rows]


def _shown_to(authority: AuthorityCode) -> Callable[[Case, Party], bool]:
    """Return whose figures an authority sees out of a case."""

    def shown(case: Case, party: Party) -> bool:
        if case.key.scope != authority:
            return party == authority
        return is_unit(party) or authority != NATION

    return shown


def _range(first: date, last: date) -> tuple[Instant, Instant]:
    """Return the instants of whole months: of two ranges a day apart the difference is a day."""
    end = last + timedelta(days=1)
    is_whole = first.day == 1 and end.day == 1
    if not is_whole or not first <= last or (last - first).days >= DAYS_MAX:
        raise FieldInvalid(
            field="first_day, last_day",
            got=f"{first}..{last}",
            expected="the first day of a month and the last day of one, twelve months at most",
        )
    since = datetime.combine(first, time(), SHANGHAI)
    return since, datetime.combine(end, time(), SHANGHAI)
