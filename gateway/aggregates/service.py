"""Reports of the provinces that live on this node: count, pay, draw, sign, post; and preview.

One transaction draws a report: under the lock of the province's series it looks whether the day was
drawn before, asks the budget, counts, draws the noise, and then stores the signed bytes, the line
of the budget, the place in the series and the outbox row together. So a day is drawn once for ever:
a repeat is answered with the stored bytes, a crash before the commit leaves neither a report nor a
payment, and what was drawn for a transaction that failed left nowhere. The child process that draws
is waited for inside of that transaction, once a day and province and for 8 s at most.

A report over the budget is not drawn; the refusal is a line of the budget and of the audit log. An
exact number is never stored: a preview counts anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from gateway.aggregates import codec, machine
from gateway.aggregates.drawing import Noise
from gateway.aggregates.model import (
    Actor,
    Balance,
    DayReport,
    Preview,
    PreviewCell,
    Pushed,
    Refused,
    ReportPolicy,
    suppression,
)
from gateway.aggregates.store import (
    BEYOND,
    BUDGET,
    BUDGET_NEWEST,
    BUDGET_SPENT,
    COUNTS,
    REFUSED,
    REPORTS,
    REPORTS_NEWEST,
    REPORTS_WAITING,
    SERIES,
    SPENT,
    BudgetRow,
    ReportRow,
    SeriesRow,
)
from gateway.audit.model import OUTCOME_DONE, AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.codec import statement_to_bytes
from gateway.delivery.model import SignedBytes, Statement
from gateway.delivery.outbox import Outbox
from gateway.kernel.errors import (
    BudgetExceeded,
    DestinationNotJoined,
    FieldInvalid,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode, Ids, TicketNumber
from gateway.kernel.time import Clock, Instant
from gateway.reference.data import ReferenceData
from gateway.trust.key_ring import KeyRing
from gateway.trust.principal import Principal
from gateway.trust.statements import digest, sign

DAYS_BACK_MAX = 400  # a manual push is for a missed day, not for history
WAITING_MAX = 100  # reports posted at once after a time without a hub; the rest at the next close
PROTOCOL_VERSION = 1
NO_TICKET = TicketNumber("")
log = structlog.get_logger()


class Reports:
    """The reports of the hosted provinces."""

    def __init__(
        self,
        *,
        database: Database,
        keys: KeyRing,
        outbox: Outbox,
        reference: Callable[[], ReferenceData],
        noise: Noise,
        policy: ReportPolicy,
        audit: AuditLog,
        ids: Ids,
        clock: Clock,
    ) -> None:
        """Report with these; `clock` is the business clock."""
        self.database = database
        self.clock = clock
        self._keys = keys
        self._outbox = outbox
        self._reference = reference
        self._noise = noise
        self._policy = policy
        self._audit = audit
        self._ids = ids
        self._previewing = asyncio.Lock()  # a draw is a process of 250 MB: one at a time

    def provinces(self) -> tuple[AuthorityCode, ...]:
        """Return the provinces whose keys are here."""
        codes = self._keys.codes()
        return tuple(code for code in codes if code.endswith("0000") and code != NATION)

    def domain(self) -> tuple[str, ...]:
        """Return the first-level matters: the fixed cells of every report."""
        return tuple(sorted(item.code for item in self._reference().matters if item.level == 1))

    # --- pushing ------------------------------------------------------------------------------

    async def push(
        self,
        uow: UnitOfWork,
        *,
        province: AuthorityCode,
        day: int,
        actor: Actor,
        now: Instant,
    ) -> Pushed | Refused:
        """Return the report of a closed day: the stored one, or a new one that the budget pays.

        Raises:
            FieldInvalid: there is no such day, or it is too long ago.
            TransitionNotAllowed: the day has not ended.
            PeerUnreachable: there is no noise; nothing was changed.
        """
        _check_day(province, day, now)
        await uow.lock(lock_of(province))
        stored = await uow.get(REPORTS, province, day)
        if stored is not None:
            self._record(uow, actor, "report.repeat", province=province, day=day, now=now)
            await self._post_waiting(uow, province, now)
            found = await uow.get(REPORTS, province, day)
            return replace(_pushed(found or stored), repeated=True)
        balances = await self._balances(uow, province, day)
        refused = machine.refusal(day, self._policy, balances)
        if refused is not None:
            self._pay(uow, province, day, outcome=REFUSED, actor=actor, now=now)
            reason = BudgetExceeded.reason
            self._record(
                uow, actor, "report.push", province=province, day=day, now=now, outcome=reason
            )
            log.warning("report.refused", province=province, day=day, reason=reason)
            return refused
        row = await self._draw(uow, province, day, now)
        self._pay(uow, province, day, outcome=SPENT, actor=actor, now=now)
        self._record(uow, actor, "report.push", province=province, day=day, now=now)
        await self._post_waiting(uow, province, now)
        return _pushed(await uow.get(REPORTS, province, day) or row)

    async def _draw(
        self, uow: UnitOfWork, province: AuthorityCode, day: int, now: Instant
    ) -> ReportRow:
        domain = self.domain()
        exact = await self._count(uow, province, day, domain)
        noisy = await self._noise.draw(exact, epsilon_micro=self._policy.epsilon_micro)
        series = await self._series(uow, province, now)
        report = DayReport(
            province=province,
            day=day,
            sequence=series.sequence + 1,
            epsilon_micro=self._policy.epsilon_micro,
            threshold=self._policy.threshold,
            cells=machine.cells_of(domain, noisy, threshold=self._policy.threshold),
        )
        signed = self._sign(report, previous=series.head_digest, now=now)
        head = digest(signed.statement)
        uow.put(SERIES, replace(series, sequence=report.sequence, head_digest=head))
        row = ReportRow(
            province=province,
            day=day,
            sequence=report.sequence,
            statement=signed.statement,
            key_id=signed.key_id,
            signature=signed.signature,
            posted=False,
            created=now,
        )
        uow.insert(REPORTS, row)
        return row

    def _sign(self, report: DayReport, *, previous: bytes, now: Instant) -> SignedBytes:
        statement = Statement(
            statement_id=self._ids.uuid7(now),
            kind=codec.KIND,
            issuer=report.province,
            audience=(NATION,),
            ticket=NO_TICKET,
            scope=NATION,
            chain=1,
            epoch=GENESIS,
            previous_digest=previous,
            issued=now,
            protocol_version=PROTOCOL_VERSION,
            body=codec.report_to_bytes(report),
        )
        raw = statement_to_bytes(statement)
        key = self._keys.signing_key(report.province)
        return SignedBytes(raw, key.key_id, sign(key, raw))

    async def _post_waiting(self, uow: UnitOfWork, province: AuthorityCode, now: Instant) -> None:
        """Post what was not posted yet, in order; while no hub has joined it waits here."""
        for row in await uow.select(REPORTS_WAITING, province=province, limit=WAITING_MAX):
            try:
                self._outbox.post(
                    uow,
                    source=province,
                    target=NATION,
                    ticket=NO_TICKET,
                    kind=codec.KIND,
                    signed=SignedBytes(row.statement, row.key_id, row.signature),
                    blocks=(),
                    now=now,
                )
            except DestinationNotJoined:
                log.warning("report.no_hub", province=province, day=row.day)
                return
            uow.put(REPORTS, replace(row, posted=True))

    # --- the timer ----------------------------------------------------------------------------

    async def begin(self, uow: UnitOfWork, *, province: AuthorityCode, now: Instant) -> int:
        """Begin a series at the present day if there is none; return the next day to close."""
        await uow.lock(lock_of(province))
        series = await self._series(uow, province, now)
        uow.put(SERIES, series)
        return series.next_day

    async def close_next(self, uow: UnitOfWork, *, province: AuthorityCode, now: Instant) -> int:
        """Push the next day of the series if it is closed; return the day that is next then.

        A refused day is passed over: the refusal is recorded, and staff can push it later.
        """
        day = await self.begin(uow, province=province, now=now)
        if not machine.is_closed(day, now):
            return day
        if now - machine.close_of(day) <= timedelta(days=DAYS_BACK_MAX - 1):
            actor = Actor(Principal.system(province).name, "system")
            await self.push(uow, province=province, day=day, actor=actor, now=now)
        following = machine.next_day(day)
        series = await self._series(uow, province, now)
        uow.put(SERIES, replace(series, next_day=following))
        return following

    # --- looking ------------------------------------------------------------------------------

    async def preview(
        self, *, province: AuthorityCode, day: int, actor: Actor, now: Instant
    ) -> Preview:
        """Return what would leave for a day beside the exact numbers; spends nothing."""
        machine.date_of(day)
        domain, policy = self.domain(), self._policy
        async with self.database.unit() as uow:
            exact = await self._count(uow, province, day, domain)
            stored = await uow.get(REPORTS, province, day)
            self._record(uow, actor, "report.preview", province=province, day=day, now=now)
        async with self._previewing:
            example = await self._noise.draw(exact, epsilon_micro=policy.epsilon_micro)
        return Preview(
            province=province,
            day=day,
            closed=machine.is_closed(day, now),
            policy=policy,
            cells=tuple(
                self._preview_cell(*line) for line in zip(domain, exact, example, strict=True)
            ),
            pushed=_pushed(stored) if stored else None,
        )

    def _preview_cell(self, matter: str, exact: int, example: int) -> PreviewCell:
        policy = self._policy
        chance = suppression(exact, epsilon_micro=policy.epsilon_micro, threshold=policy.threshold)
        found = self._reference().matters.find(matter)
        return PreviewCell(
            matter=matter,
            name=found.name if found else "",
            exact=exact,
            example=example,
            is_example_suppressed=example < policy.threshold,
            suppression_per_mille=round(chance * 1000),
        )

    async def get(self, uow: UnitOfWork, province: AuthorityCode, day: int) -> Pushed:
        """Return a report that left.

        Raises:
            ResourceNotFound: none left for that day.
        """
        row = await uow.get(REPORTS, province, day)
        if row is None:
            raise ResourceNotFound(kind="report", name=f"reports/{province}-{day}")
        return _pushed(row)

    async def newest(
        self, uow: UnitOfWork, province: AuthorityCode, *, before: int = BEYOND, limit: int
    ) -> list[Pushed]:
        """Return reports below a sequence, newest first."""
        rows = await uow.select(REPORTS_NEWEST, province=province, before=before, limit=limit)
        return [_pushed(row) for row in rows]

    async def budget(
        self, uow: UnitOfWork, province: AuthorityCode, *, before: int = BEYOND, limit: int
    ) -> list[BudgetRow]:
        """Return lines of the budget below a position, newest first."""
        return await uow.select(BUDGET_NEWEST, province=province, before=before, limit=limit)

    async def balances(
        self, uow: UnitOfWork, province: AuthorityCode, *, now: Instant
    ) -> tuple[Balance, Balance]:
        """Return what the present year and quarter have left."""
        return await self._balances(uow, province, machine.today(now))

    # --- parts --------------------------------------------------------------------------------

    async def _balances(
        self, uow: UnitOfWork, province: AuthorityCode, day: int
    ) -> tuple[Balance, Balance]:
        year = machine.year_of(day)
        rows = await uow.select(BUDGET_SPENT, province=province, year=year)
        spent: Mapping[int, int] = {row.quarter: row.spent for row in rows}
        return machine.balances_of(day, self._policy, spent)

    async def _count(
        self, uow: UnitOfWork, province: AuthorityCode, day: int, domain: Sequence[str]
    ) -> tuple[int, ...]:
        begin, end = machine.bounds(day)
        rows = await uow.select(COUNTS, province=province, begin=begin, end=end)
        return machine.exact_counts({row.prefix: row.tickets for row in rows}, domain=domain)

    async def _series(self, uow: UnitOfWork, province: AuthorityCode, now: Instant) -> SeriesRow:
        row = await uow.get(SERIES, province)
        return row or SeriesRow(
            province=province, next_day=machine.today(now), sequence=0, head_digest=b""
        )

    def _pay(
        self,
        uow: UnitOfWork,
        province: AuthorityCode,
        day: int,
        *,
        outcome: str,
        actor: Actor,
        now: Instant,
    ) -> None:
        row = BudgetRow(
            province=province,
            year=machine.year_of(day),
            quarter=machine.quarter_of(day),
            day=day,
            epsilon_micro=self._policy.epsilon_micro,
            outcome=outcome,
            actor=actor.principal,
            recorded=now,
        )
        uow.insert(BUDGET, row)

    def _record(
        self,
        uow: UnitOfWork,
        actor: Actor,
        act: str,
        *,
        province: AuthorityCode,
        day: int,
        now: Instant,
        outcome: str = OUTCOME_DONE,
    ) -> None:
        entry = AuditEntry(
            time=now,
            principal=actor.principal,
            role=actor.role,
            act=act,
            subject=f"reports/{province}-{day}",
            basis="privacy budget",
            outcome=outcome,
        )
        self._audit.append(uow, entry)


def lock_of(province: str) -> str:
    """Return the lock under which a province's series moves on."""
    return f"series/{province}"


def _check_day(province: AuthorityCode, day: int, now: Instant) -> None:
    end = machine.close_of(day)
    if now < end:
        raise TransitionNotAllowed(
            name=f"reports/{province}-{day}",
            state="OPEN",
            event="PushReport",
            allowed=f"PreviewReport, until {end.isoformat(timespec='minutes')}",
        )
    if now - end > timedelta(days=DAYS_BACK_MAX):
        raise FieldInvalid(field="day", got=day, expected=f"one of the last {DAYS_BACK_MAX} days")


def _pushed(row: ReportRow) -> Pushed:
    return Pushed(
        report=codec.report_of_statement(row.statement),
        statement=row.statement,
        digest=digest(row.statement),
        created=row.created,
        posted=row.posted,
    )
