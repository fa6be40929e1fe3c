"""A day is drawn once and paid once, on both engines, whatever happens around it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.aggregates.model import Pushed, Refused, ReportPolicy
from gateway.aggregates.store import BUDGET_NEWEST, REPORTS, SERIES
from gateway.database.timers import TIMERS
from gateway.database.uow import Database
from gateway.delivery.store import OUTBOX_DUE, OutboxRow
from gateway.kernel.errors import FieldInvalid, PeerUnreachable, TransitionNotAllowed
from tests.unit.aggregates.builders import (
    AT_HUB,
    DAY,
    HEBEI,
    LANGFANG,
    NOW,
    STAFF,
    TIANJIN,
    TODAY,
    YESTERDAY,
    FakeNoise,
    Province,
    a_roster,
)

ONE_REPORT = ReportPolicy(year_micro=500_000, quarter_micro=500_000)


async def outbox_of(province: Province) -> list[OutboxRow]:
    async with province.database.unit() as uow:
        return await uow.select(OUTBOX_DUE, node=AT_HUB, now=NOW + 400 * DAY, limit=1000)


async def ledger_of(province: Province) -> list[tuple[int, str]]:
    async with province.database.unit() as uow:
        rows = await uow.select(BUDGET_NEWEST, province=HEBEI, before=2**62, limit=1000)
    return [(row.day, row.outcome) for row in reversed(rows)]


async def acts_of(province: Province) -> list[tuple[str, str]]:
    async with province.database.unit() as uow:
        entries = await province.audit.list_after(uow, limit=100)
    return [(placed.entry.act, placed.entry.outcome) for placed in entries]


def counts(pushed: Pushed) -> dict[str, int | None]:
    return {cell.matter: cell.count for cell in pushed.report.cells}


async def test_each_ticket_counts_once_at_its_province(database: Database) -> None:
    noise = FakeNoise([0])
    province = Province(database, noise)
    await province.receive(*range(12), matter="041200")
    # A city on this node has its own copy beside the province's; one on its own node has not.
    await province.receive(*range(20, 32), origin=LANGFANG, followed=True, matter="050100")
    await province.receive(*range(20, 32), authority=LANGFANG, origin=LANGFANG, matter="050100")
    # None of these is a message that reached this province on that day.
    await province.receive(*range(40, 52), origin=TIANJIN, matter="060100")
    await province.receive(*range(60, 72), parent="12000020260302000000017", matter="060100")
    await province.receive(*range(80, 92), create_time=NOW, matter="060100")
    await province.receive(*range(100, 112), matter="889900")  # newer than the catalogue
    shown = {matter: count for matter, count in counts(await province.pushed()).items() if count}
    assert shown == {"040000": 12, "050000": 12, "990000": 12}
    assert sum(noise.draws[0]) == 36


async def test_every_matter_has_a_cell_and_small_ones_are_withheld(database: Database) -> None:
    province = Province(database, FakeNoise([3]))
    await province.receive(*range(6))
    await province.receive(*range(6, 13), matter="050100")
    pushed = await province.pushed()
    assert set(counts(pushed)) == set(province.reports.domain())
    assert counts(pushed)["040000"] is None  # 6 + 3 is below the threshold
    assert counts(pushed)["050000"] == 10
    assert counts(pushed)["010000"] is None  # an empty cell got noise too


async def test_a_second_push_gets_the_stored_bytes_and_costs_nothing(database: Database) -> None:
    province = Province(database, FakeNoise([0, 7]))
    await province.receive(*range(12))
    first = await province.pushed()
    await province.receive(*range(12, 24))
    second = await province.pushed()
    assert second.repeated
    assert second.statement == first.statement
    assert await ledger_of(province) == [(YESTERDAY, "SPENT")]
    assert len(await outbox_of(province)) == 1
    assert await acts_of(province) == [("report.push", "DONE"), ("report.repeat", "DONE")]


async def test_of_many_at_once_one_draws(database: Database) -> None:
    noise = FakeNoise(list(range(50)))
    province = Province(database, noise)
    found = await asyncio.gather(*(province.pushed() for _ in range(4)))
    assert len({pushed.statement for pushed in found}) == 1
    assert len(noise.draws) == 1
    assert await ledger_of(province) == [(YESTERDAY, "SPENT")]


async def test_what_the_budget_does_not_pay_is_refused_and_recorded(database: Database) -> None:
    province = Province(database, policy=ONE_REPORT)
    await province.pushed(20260227)
    refused = await province.push(20260228)
    assert isinstance(refused, Refused)
    assert (refused.needed_micro, refused.left_micro, refused.budget) == (500_000, 0, "2026")
    assert await ledger_of(province) == [(20260227, "SPENT"), (20260228, "REFUSED")]
    assert len(await outbox_of(province)) == 1
    assert (await acts_of(province))[-1] == ("report.push", "BUDGET_EXCEEDED")


async def test_each_year_and_each_province_has_its_own_budget(database: Database) -> None:
    province = Province(database, policy=ONE_REPORT)
    await province.pushed(20251231)
    await province.pushed(20260101)
    assert isinstance(await province.push(20260102), Refused)


async def test_without_noise_nothing_leaves_and_nothing_is_paid(database: Database) -> None:
    province = Province(database, FakeNoise(failures=1))
    with pytest.raises(PeerUnreachable):
        await province.push()
    assert await ledger_of(province) == []
    assert await outbox_of(province) == []
    assert not (await province.pushed()).repeated


async def test_a_day_that_has_not_ended_is_refused(database: Database) -> None:
    province = Province(database)
    with pytest.raises(TransitionNotAllowed):
        await province.push(TODAY)
    with pytest.raises(FieldInvalid):
        await province.push(20260230)
    with pytest.raises(FieldInvalid):
        await province.push(20240101)
    assert await ledger_of(province) == []


async def test_the_series_has_no_gap_and_each_report_names_the_one_before(
    database: Database,
) -> None:
    province = Province(database)
    found = [await province.pushed(day) for day in (20260301, 20260227, 20260228)]
    assert [pushed.report.sequence for pushed in found] == [1, 2, 3]
    async with database.unit() as uow:
        series = await uow.get(SERIES, HEBEI)
    assert series is not None
    assert (series.sequence, series.head_digest) == (3, found[-1].digest)


async def test_while_no_hub_has_joined_reports_wait_and_go_out_later(database: Database) -> None:
    province = Province(database, roster=a_roster(has_hub=False))
    assert not (await province.pushed(20260228)).posted
    joined = Province(database)
    assert (await joined.pushed(20260301)).posted
    assert [row.kind for row in await outbox_of(joined)] == ["Report", "Report"]
    async with database.unit() as uow:
        first = await uow.get(REPORTS, HEBEI, 20260228)
    assert first is not None
    assert first.posted


async def test_the_timer_closes_each_day_a_minute_after_its_end(database: Database) -> None:
    province = Province(database)
    await province.start()
    assert await province.timers.run_due() == 0
    province.clock.advance(NOW.replace(hour=16, minute=0) - NOW)  # midnight in Shanghai
    assert await province.timers.run_due() == 0
    province.clock.advance(DAY / 24 / 60)
    assert await province.timers.run_due() == 1
    assert await ledger_of(province) == [(TODAY, "SPENT")]
    assert await province.timers.run_due() == 0


async def test_missed_days_are_caught_up_after_a_rest(database: Database) -> None:
    province = Province(database)
    await province.start()
    province.clock.advance(3 * DAY)
    again = Province(database, clock=province.clock)  # a restart
    await again.start()
    for _ in range(3):
        assert await again.timers.run_due() == 1
    assert await again.timers.run_due() == 0
    days = [20260302, 20260303, 20260304]
    assert await ledger_of(again) == [(day, "SPENT") for day in days]


async def test_a_failing_noise_leaves_the_timer_for_another_try(database: Database) -> None:
    province = Province(database, FakeNoise(failures=1))
    await province.start()
    province.clock.advance(DAY)
    assert await province.timers.run_due() == 0
    assert await ledger_of(province) == []
    province.clock.advance(DAY / 24)
    assert await province.timers.run_due() == 1
    assert await ledger_of(province) == [(TODAY, "SPENT")]


async def test_the_timer_passes_over_a_refused_day_and_records_it(database: Database) -> None:
    province = Province(database, policy=ReportPolicy(year_micro=0))
    await province.start()
    province.clock.advance(2 * DAY)
    assert await province.timers.run_due() == 1
    assert await province.timers.run_due() == 1
    assert await ledger_of(province) == [(TODAY, "REFUSED"), (20260303, "REFUSED")]
    async with database.unit() as uow:
        timer = await uow.get(TIMERS, "aggregates.close", HEBEI)
    assert timer is not None
    assert timer.due > province.clock.now()


async def test_only_a_province_has_a_series(database: Database) -> None:
    province = Province(database)
    await province.start()
    assert province.reports.provinces() == (HEBEI,)
    async with database.unit() as uow:
        assert await uow.get(TIMERS, "aggregates.close", LANGFANG) is None


async def test_a_preview_spends_nothing_and_sends_nothing(database: Database) -> None:
    province = Province(database, FakeNoise([4, 0]))
    await province.receive(*range(12))
    preview = await province.reports.preview(province=HEBEI, day=YESTERDAY, actor=STAFF, now=NOW)
    [cell] = [cell for cell in preview.cells if cell.exact]
    assert (cell.matter, cell.exact, cell.example) == ("040000", 12, 16)
    assert preview.closed
    assert preview.pushed is None
    assert await ledger_of(province) == []
    assert await outbox_of(province) == []
    assert await acts_of(province) == [("report.preview", "DONE")]
    assert counts(await province.pushed())["040000"] == 12  # not the example


async def test_many_previews_draw_one_after_another(database: Database) -> None:
    """Each draw is a process of 250 MB; a node with tickets must not run out of memory."""
    at_once: list[int] = []
    running = 0

    class Counted(FakeNoise):
        async def draw(self, counts: Sequence[int], *, epsilon_micro: int) -> tuple[int, ...]:
            nonlocal running
            running += 1
            at_once.append(running)
            try:
                return await super().draw(counts, epsilon_micro=epsilon_micro)
            finally:
                running -= 1

    reports = Province(database, Counted()).reports
    await asyncio.gather(
        *(reports.preview(province=HEBEI, day=YESTERDAY, actor=STAFF, now=NOW) for _ in range(6))
    )
    assert at_once == [1] * 6


async def test_lists_go_from_the_newest_on(database: Database) -> None:
    province = Province(database)
    for day in (20260227, 20260228, 20260301):
        await province.pushed(day)
    async with database.unit() as uow:
        page = await province.reports.newest(uow, HEBEI, limit=2)
        rest = await province.reports.newest(uow, HEBEI, before=page[-1].report.sequence, limit=2)
        lines = await province.reports.budget(uow, HEBEI, limit=2)
        more = await province.reports.budget(uow, HEBEI, before=lines[-1].position, limit=2)
        year, quarter = await province.reports.balances(uow, HEBEI, now=NOW)
    assert [item.report.day for item in (*page, *rest)] == [20260301, 20260228, 20260227]
    assert [line.day for line in (*lines, *more)] == [20260301, 20260228, 20260227]
    assert (year.period, year.spent_micro) == ("2026", 1_500_000)
    assert (quarter.period, quarter.spent_micro) == ("2026Q1", 1_500_000)
