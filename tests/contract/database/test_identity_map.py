"""A unit of work remembers rows: exactly as long as nobody else could have changed them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.database.memory import MemoryDatabase
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.errors import InvariantViolated, ResourceExists
from tests.contract.database import tables
from tests.contract.database.tables import (
    BY_GROUP,
    BY_LABEL,
    EVENTS,
    LETTERS,
    LETTERS_BY_TEXT,
    PLAIN,
    PLAIN_BY_NUMBER,
    Event,
    Letter,
    Sample,
)

DDL = tables.DDL


class Refused(Exception):
    """A step gives up."""


def a_sample(number: int = 1, **changes: Any) -> Sample:
    return Sample(**{"number": number, "group": "g", **changes})


async def commit(database: Database, *rows: Sample) -> None:
    async with database.unit() as uow:
        for row in rows:
            uow.put(PLAIN, row)


# --- how long -----------------------------------------------------------------------------------


async def test_what_was_read_under_a_lock_is_remembered_until_the_next_lock(
    database: Database,
) -> None:
    await commit(database, a_sample(1, label="old"))
    async with database.unit() as uow:
        await uow.lock("a")
        assert await uow.get(PLAIN, "g", 1) == a_sample(1, label="old")
        assert await uow.get(PLAIN, "g", 2) is None
        assert await uow.rows(BY_GROUP, "g") == [a_sample(1, label="old")]
        await commit(database, a_sample(1, label="new"), a_sample(2))
        await uow.lock("a")  # held already
        assert await uow.get(PLAIN, "g", 1) == a_sample(1, label="old")
        assert await uow.get(PLAIN, "g", 2) is None
        assert await uow.rows(BY_GROUP, "g") == [a_sample(1, label="old")]
        await uow.lock("b")
        assert await uow.get(PLAIN, "g", 1) == a_sample(1, label="new")
        assert await uow.get(PLAIN, "g", 2) == a_sample(2)
        assert await uow.rows(BY_GROUP, "g") == [a_sample(1, label="new"), a_sample(2)]


async def test_unit_without_locks_sees_the_latest_commit_at_every_read(database: Database) -> None:
    async with database.unit() as uow:
        assert await uow.get(PLAIN, "g", 1) is None
        assert await uow.rows(BY_GROUP, "g") == []
        await commit(database, a_sample(1))
        assert await uow.get(PLAIN, "g", 1) == a_sample(1)
        assert await uow.rows(BY_GROUP, "g") == [a_sample(1)]


async def test_what_was_prefetched_is_remembered_with_or_without_locks(database: Database) -> None:
    await commit(database, a_sample(1, label="old"))
    async with database.unit() as uow:
        await uow.prefetch(PLAIN, [("g", 1), ("g", 2)])
        await uow.prefetch(BY_LABEL, [("old",), ("new",), ("old",)])
        await commit(database, a_sample(1, label="new"), a_sample(2), a_sample(3))
        assert await uow.get(PLAIN, "g", 1) == a_sample(1, label="old")
        assert await uow.get(PLAIN, "g", 2) is None
        assert await uow.get(PLAIN, "g", 3) == a_sample(3)
        assert await uow.rows(BY_LABEL, "old") == [a_sample(1, label="old")]
        assert await uow.rows(BY_LABEL, "new") == []
        await uow.lock("a")
        assert await uow.get(PLAIN, "g", 2) == a_sample(2)
        assert await uow.rows(BY_LABEL, "old") == []


async def test_query_remembers_nothing(database: Database) -> None:
    async with database.unit() as uow:
        await uow.lock("a")
        assert await uow.select(PLAIN_BY_NUMBER, numbers=[1]) == []
        await commit(database, a_sample(1))
        assert await uow.select(PLAIN_BY_NUMBER, numbers=[1]) == [a_sample(1)]


# --- what was staged ----------------------------------------------------------------------------


async def test_staged_rows_answer_and_survive_every_lock(database: Database) -> None:
    await commit(database, a_sample(1), a_sample(2))
    async with database.unit() as uow:
        uow.put(PLAIN, a_sample(1, label="mine"))
        uow.delete(PLAIN, "g", 2)
        uow.insert(PLAIN, a_sample(3, body=[1]))
        await uow.lock("a")
        assert await uow.get(PLAIN, "g", 1) == a_sample(1, label="mine")
        assert await uow.get(PLAIN, "g", 2) is None
        assert await uow.get(PLAIN, "g", 3) == a_sample(3, body=(1,))
        assert [row.number for row in await uow.rows(BY_GROUP, "g")] == [1, 3]


async def test_group_follows_rows_that_the_unit_moves_into_it_and_out_of_it(
    database: Database,
) -> None:
    await commit(database, a_sample(1, label="a"), a_sample(2, label="b"))
    async with database.unit() as uow:
        await uow.lock("a")
        assert [row.number for row in await uow.rows(BY_LABEL, "a")] == [1]
        uow.put(PLAIN, a_sample(1, label="b"))
        uow.put(PLAIN, a_sample(2, label="a"))
        uow.insert(PLAIN, a_sample(3, label="a"))
        assert [row.number for row in await uow.rows(BY_LABEL, "a")] == [2, 3]
        assert [row.number for row in await uow.rows(BY_LABEL, "b")] == [1]
        uow.delete(PLAIN, "g", 3)
        await uow.select(PLAIN_BY_NUMBER, numbers=[])  # writes
        assert [row.number for row in await uow.rows(BY_LABEL, "a")] == [2]


async def test_known_group_answers_for_each_of_its_keys(database: Database) -> None:
    await commit(database, a_sample(1))
    async with database.unit() as uow:
        await uow.prefetch(BY_GROUP, [("g",)])
        await commit(database, a_sample(2))
        assert await uow.get(PLAIN, "g", 1) == a_sample(1)
        assert await uow.get(PLAIN, "g", 2) is None


async def test_row_is_in_no_group_by_a_column_that_is_null(database: Database) -> None:
    await commit(database, a_sample(1, label=None))
    async with database.unit() as uow:
        with pytest.raises(InvariantViolated):
            await uow.rows(BY_LABEL, None)
        with pytest.raises(InvariantViolated):
            await uow.rows(BY_LABEL)


# --- columns that the database fills ------------------------------------------------------------


async def test_row_whose_number_the_database_gives_is_read_with_its_number(
    database: Database,
) -> None:
    async with database.unit() as uow:
        await uow.lock("a")
        assert await uow.get(LETTERS, "x") is None
        uow.insert(LETTERS, Letter(name="x", text="t"))
        found = await uow.get(LETTERS, "x")
        assert found is not None
        assert found.position > 0
        uow.put(LETTERS, Letter(name="x", text="u"))
        assert await uow.get(LETTERS, "x") == replace(found, text="u")
        assert await uow.rows(LETTERS_BY_TEXT, "t") == []
        assert await uow.rows(LETTERS_BY_TEXT, "u") == [replace(found, text="u")]


async def test_key_that_the_database_gives_is_found_though_it_was_missing_before(
    database: Database,
) -> None:
    async with database.unit() as uow:
        await uow.lock("a")
        assert await uow.get(EVENTS, 1) is None
        uow.insert(EVENTS, Event(name="first"))
        found = await uow.get(EVENTS, 1)
    assert found is not None
    assert found.name == "first"


# --- what is known to be new --------------------------------------------------------------------


async def test_absent_group_holds_what_the_unit_writes_and_nothing_else(database: Database) -> None:
    async with database.unit() as uow:
        uow.absent(BY_GROUP, "fresh")
        uow.absent(PLAIN, "g", 9)
        await commit(database, a_sample(9))
        await uow.lock("a")
        assert await uow.get(PLAIN, "g", 9) is None
        assert await uow.rows(BY_GROUP, "fresh") == []
        uow.insert(PLAIN, a_sample(1, group="fresh"))
        assert await uow.rows(BY_GROUP, "fresh") == [a_sample(1, group="fresh")]


async def test_memory_engine_finds_out_who_calls_absent_what_exists() -> None:
    database = MemoryDatabase()
    await commit(database, a_sample(1))
    async with database.unit() as uow:
        for what, values in ((BY_GROUP, ("g",)), (PLAIN, ("g", 1))):
            with pytest.raises(InvariantViolated):
                uow.absent(what, *values)


# --- attempts -----------------------------------------------------------------------------------


def refuse() -> None:
    raise Refused


async def attempted(uow: UnitOfWork, number: int, calls: list[str], *, is_written: bool) -> None:
    """Put a row in the place of the one before, with hooks; the second time, refuse."""
    async with uow.attempt():
        uow.insert(PLAIN, a_sample(number))
        uow.delete(PLAIN, "g", number - 1)
        uow.after_commit(lambda: calls.append(f"after {number}"))
        uow.before_commit(lambda: calls.append(f"before {number}"))
        if is_written:
            await uow.select(PLAIN_BY_NUMBER, numbers=[])
        if number == 2:
            refuse()


@pytest.mark.parametrize("is_written", [False, True])
async def test_failed_attempt_leaves_nothing_and_the_others_stand(
    database: Database, *, is_written: bool
) -> None:
    calls: list[str] = []
    async with database.unit() as uow:
        uow.insert(PLAIN, a_sample(0))
        await attempted(uow, 1, calls, is_written=is_written)
        with pytest.raises(Refused):
            await attempted(uow, 2, calls, is_written=is_written)
        assert await uow.get(PLAIN, "g", 2) is None
        assert await uow.get(PLAIN, "g", 1) == a_sample(1)
        await attempted(uow, 3, calls, is_written=is_written)
        assert await uow.get(PLAIN, "g", 0) is None
    assert calls == ["before 1", "before 3", "after 1", "after 3"]
    async with database.unit() as uow:
        found = await uow.rows(BY_GROUP, "g")
    assert found == [a_sample(1), a_sample(3)]


async def test_what_a_failed_attempt_read_of_its_own_rows_is_forgotten_with_them(
    database: Database,
) -> None:
    async def look_and_refuse(uow: UnitOfWork) -> None:
        async with uow.attempt():
            uow.insert(PLAIN, a_sample(2, label="b"))
            uow.delete(PLAIN, "g", 1)
            uow.insert(EVENTS, Event(name="never"))
            await uow.select(PLAIN_BY_NUMBER, numbers=[])  # writes them
            assert await uow.rows(BY_GROUP, "g") == [a_sample(2, label="b")]
            await uow.prefetch(BY_LABEL, [("b",)])
            assert await uow.get(EVENTS, 1) is not None
            refuse()

    await commit(database, a_sample(1))
    async with database.unit() as uow:
        await uow.lock("a")
        with pytest.raises(Refused):
            await look_and_refuse(uow)
        assert await uow.get(PLAIN, "g", 2) is None
        assert await uow.rows(BY_GROUP, "g") == [a_sample(1)]
        assert await uow.rows(BY_LABEL, "b") == []
        assert await uow.get(PLAIN, "g", 1) == a_sample(1)
        assert await uow.get(EVENTS, 1) is None


async def test_first_write_of_a_unit_that_fails_in_an_attempt_is_undone_alone(
    database: Database,
) -> None:
    async def take_a_taken_key(uow: UnitOfWork) -> None:
        async with uow.attempt():
            uow.insert(PLAIN, a_sample(1))
            await uow.select(PLAIN_BY_NUMBER, numbers=[])

    await commit(database, a_sample(1))
    async with database.unit() as uow:
        with pytest.raises(ResourceExists):
            await take_a_taken_key(uow)
        uow.insert(PLAIN, a_sample(2))
    async with database.unit() as uow:
        assert await uow.rows(BY_GROUP, "g") == [a_sample(1), a_sample(2)]


async def test_attempt_that_meets_a_taken_key_at_a_query_is_undone_alone(
    database: Database,
) -> None:
    async def take_a_taken_key(uow: UnitOfWork) -> None:
        async with uow.attempt():
            uow.insert(PLAIN, a_sample(5))
            uow.insert(PLAIN, a_sample(2, label="second"))
            await uow.select(PLAIN_BY_NUMBER, numbers=[1])

    await commit(database, a_sample(2))
    async with database.unit() as uow:
        uow.insert(PLAIN, a_sample(1))
        with pytest.raises(ResourceExists):
            await take_a_taken_key(uow)
        uow.insert(PLAIN, a_sample(3))
    async with database.unit() as uow:
        found = await uow.rows(BY_GROUP, "g")
    assert found == [a_sample(1), a_sample(2), a_sample(3)]


@pytest.mark.parametrize("is_written", [False, True])
async def test_attempt_that_ran_out_of_time_leaves_nothing(
    database: Database, *, is_written: bool
) -> None:
    async def linger(uow: UnitOfWork) -> None:
        async with uow.attempt():
            uow.insert(PLAIN, a_sample(2))
            if is_written:
                await uow.select(PLAIN_BY_NUMBER, numbers=[])
            await asyncio.Event().wait()

    async with database.unit() as uow:
        uow.insert(PLAIN, a_sample(1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await linger(uow)
    async with database.unit() as uow:
        assert await uow.rows(BY_GROUP, "g") == [a_sample(1)]


async def test_attempt_within_an_attempt_is_refused(database: Database) -> None:
    async with database.unit() as uow, uow.attempt():
        with pytest.raises(InvariantViolated):
            async with uow.attempt():
                pass
