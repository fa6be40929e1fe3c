"""What only the in-memory engine offers: faults, snapshots and abandoned units."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from gateway.database.memory import AFTER_COMMIT, BEFORE_COMMIT, MemoryDatabase
from gateway.database.table import Table
from gateway.database.uow import run
from gateway.kernel.errors import InvariantViolated, ResourceExists


@dataclass(frozen=True, slots=True)
class Note:
    name: str
    text: str = ""


NOTES = Table("notes", Note, key=("name",), unique=(("text",),))


class Killed(Exception):
    """The simulated process died."""


async def write(database: MemoryDatabase, name: str) -> None:
    async with database.unit() as uow:
        await uow.lock(f"note/{name}")
        uow.put(NOTES, Note(name, name))


def dying_at(point: str) -> MemoryDatabase:
    def crash(reached: str) -> None:
        if reached == point:
            raise Killed

    return MemoryDatabase(crash=crash)


async def test_crash_before_the_commit_leaves_no_trace() -> None:
    database = dying_at(BEFORE_COMMIT)
    with pytest.raises(Killed):
        await write(database, "a")
    assert database.rows(NOTES) == []
    assert database.commits == 0


async def test_crash_after_the_commit_keeps_the_rows_and_calls_nobody_back() -> None:
    database = dying_at(AFTER_COMMIT)
    calls: list[str] = []

    async def step() -> None:
        async with database.unit() as uow:
            uow.after_commit(lambda: calls.append("never"))
            uow.insert(NOTES, Note("a"))

    with pytest.raises(Killed):
        await step()
    assert database.rows(NOTES) == [Note("a")]
    assert calls == []


async def test_snapshot_is_untouched_by_later_commits_and_restores_an_older_state() -> None:
    database = MemoryDatabase()
    await write(database, "a")
    backup = database.snapshot()
    await write(database, "b")
    database.restore(backup)
    assert database.rows(NOTES) == [Note("a", "a")]
    await write(database, "b")  # its unique value is free again
    assert dict(database.tables["notes"]) == {
        ("a",): Note("a", "a"),
        ("b",): Note("b", "b"),
    }


async def test_abandoned_unit_changes_nothing_and_frees_its_locks() -> None:
    database = MemoryDatabase()
    unit = database.unit()
    opened = await unit.__aenter__()
    await opened.lock("note/a")
    opened.insert(NOTES, Note("a"))
    waiter = asyncio.create_task(write(database, "a"))
    await asyncio.sleep(0)
    database.abandon()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    with pytest.raises(InvariantViolated):
        opened.put(NOTES, Note("a"))
    assert database.rows(NOTES) == []
    await write(database, "a")


async def test_unit_whose_coroutine_is_closed_changes_nothing_and_frees_its_locks() -> None:
    database = MemoryDatabase()

    async def step() -> None:
        async with database.unit() as uow:
            await uow.lock("note/a")
            uow.insert(NOTES, Note("a"))
            await asyncio.Future()

    coroutine = step()
    coroutine.send(None)
    coroutine.close()
    assert database.rows(NOTES) == []
    await write(database, "a")


async def test_cancelled_waiter_leaves_the_lock_to_the_next_one() -> None:
    database = MemoryDatabase()
    async with database.unit() as uow:
        await uow.lock("note/b")
        first, second = (asyncio.create_task(write(database, "b")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
    # The lock was passed to the first waiter in the same turn in which it is cancelled.
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert database.rows(NOTES) == [Note("b", "b")]


@pytest.mark.parametrize("mine", [Note("a", "mine"), Note("b", "theirs")])
async def test_key_that_another_unit_committed_meanwhile_is_refused_at_the_commit(
    mine: Note,
) -> None:
    database = MemoryDatabase()

    async def step() -> None:
        async with database.unit() as uow:
            uow.insert(NOTES, mine)
            await uow.get(NOTES, mine.name)
            async with database.unit() as other:
                other.insert(NOTES, Note("a", "theirs"))

    with pytest.raises(ResourceExists):
        await step()
    assert database.rows(NOTES) == [Note("a", "theirs")]


async def test_run_returns_what_the_step_returns() -> None:
    database = MemoryDatabase()

    async def step(uow: object) -> int:
        return 7

    assert await run(database, step) == 7
