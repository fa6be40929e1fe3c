"""A due timer is handled once, in the unit that removes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gateway.database.idempotency import REQUESTS, RequestRow
from gateway.database.timers import RETRY_FIRST, TimerRunner, cancel, due_timers, schedule
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.time import Instant, ManualClock

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass
class Recorder:
    """A handler that leaves a row for each call and fails as often as told."""

    calls: list[tuple[str, Instant]] = field(default_factory=list)
    failures: int = 0
    again_after: timedelta | None = None

    def locks(self, key: str) -> tuple[str, ...]:
        return (f"ticket/{key}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        self.calls.append((key, now))
        uow.insert(REQUESTS, RequestRow("timer", key, "m", b"", b"", now))
        if self.failures:
            self.failures -= 1
            raise LookupError
        if self.again_after:
            schedule(uow, kind="remind", key=key, due=now + self.again_after)


async def scheduled(database: Database, *, due: Instant = NOW, key: str = "1") -> None:
    async with database.unit() as uow:
        schedule(uow, kind="remind", key=key, due=due)


async def waiting(database: Database) -> list[tuple[str, Instant]]:
    async with database.unit() as uow:
        timers = await due_timers(uow, kinds=["remind"], now=NOW + timedelta(days=999))
        return [(timer.key, timer.due) for timer in timers]


def a_runner(database: Database, clock: ManualClock, handler: Recorder) -> TimerRunner:
    return TimerRunner(database=database, clock=clock, handlers={"remind": handler})


async def test_timer_is_handled_when_due_and_only_once(database: Database) -> None:
    clock, handler = ManualClock(NOW - MINUTE), Recorder()
    runner = a_runner(database, clock, handler)
    await scheduled(database)
    assert await runner.run_due() == 0
    clock.advance(MINUTE)
    assert await runner.run_due() == 1
    assert await runner.run_due() == 0
    assert handler.calls == [("1", NOW)]
    assert await waiting(database) == []


async def test_timers_are_handled_the_oldest_first(database: Database) -> None:
    clock, handler = ManualClock(NOW), Recorder()
    await scheduled(database, key="b")
    await scheduled(database, key="a", due=NOW - MINUTE)
    await scheduled(database, key="c")
    assert await a_runner(database, clock, handler).run_due() == 3
    assert [key for key, _ in handler.calls] == ["a", "b", "c"]


async def test_timer_moved_or_cancelled_is_not_handled(database: Database) -> None:
    clock, handler = ManualClock(NOW), Recorder()
    await scheduled(database, key="1")
    await scheduled(database, key="1", due=NOW + MINUTE)
    await scheduled(database, key="2")
    async with database.unit() as uow:
        cancel(uow, kind="remind", key="2")
        cancel(uow, kind="remind", key="3")
    assert await a_runner(database, clock, handler).run_due() == 0
    assert await waiting(database) == [("1", NOW + MINUTE)]


async def test_two_runners_handle_a_timer_once(database: Database) -> None:
    clock, handler = ManualClock(NOW), Recorder()
    for number in range(5):
        await scheduled(database, key=str(number))
    runners = [a_runner(database, clock, handler) for _ in range(2)]
    counts = await asyncio.gather(*(runner.run_due() for runner in runners))
    assert sum(counts) == 5
    assert len(handler.calls) == 5


async def test_failed_timer_stays_and_is_tried_again_after_a_pause(database: Database) -> None:
    clock, handler = ManualClock(NOW), Recorder(failures=1)
    runner = a_runner(database, clock, handler)
    await scheduled(database, key="1")
    await scheduled(database, key="2")
    assert await runner.run_due() == 1
    assert await waiting(database) == [("1", NOW)]
    assert await runner.run_due() == 0
    clock.advance(RETRY_FIRST)
    assert await runner.run_due() == 1
    assert [key for key, _ in handler.calls] == ["1", "2", "1"]


async def test_handler_may_schedule_its_timer_anew(database: Database) -> None:
    handler = Recorder(again_after=MINUTE)
    await scheduled(database)
    await a_runner(database, ManualClock(NOW), handler).run_due()
    assert await waiting(database) == [("1", NOW + MINUTE)]


async def test_timers_of_unknown_kinds_stay(database: Database) -> None:
    async with database.unit() as uow:
        schedule(uow, kind="other", key="1", due=NOW)
    await scheduled(database)
    assert await a_runner(database, ManualClock(NOW), Recorder()).run_due() == 1
    async with database.unit() as uow:
        assert len(await due_timers(uow, kinds=["other"], now=NOW)) == 1


async def test_running_runner_wakes_up_for_a_timer_scheduled_meanwhile(database: Database) -> None:
    handled, stopping = asyncio.Event(), asyncio.Event()

    class Signal(Recorder):
        async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
            uow.after_commit(handled.set)

    runner = a_runner(database, ManualClock(NOW), Signal())
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(runner.run(stopping))
        async with database.unit() as uow:
            schedule(uow, kind="remind", key="1", due=NOW)
            uow.after_commit(runner.wake)
        await handled.wait()
        stopping.set()
    assert await waiting(database) == []
