"""Generated numbers, streams, locks and hooks, on every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.database.uow import Database, UnitOfWork, run
from gateway.kernel.errors import (
    InvariantViolated,
    PeerUnreachable,
    ResourceExists,
)
from tests.contract.database import tables
from tests.contract.database.tables import (
    ALL_LETTERS,
    EVENTS,
    LETTERS,
    PLAIN,
    PLAIN_BY_NUMBER,
    STREAM,
    Event,
    Letter,
    Sample,
)

DDL = tables.DDL


class Refused(Exception):
    """A step gives up."""


def a_sample(number: int = 1, **changes: Any) -> Sample:
    return Sample(number=number, group=f"g{number}", **changes)


async def stored(database: Database, number: int = 1) -> Sample | None:
    async with database.unit() as uow:
        return await uow.get(PLAIN, f"g{number}", number)


async def event_names(database: Database, *, txid: int = 0, position: int = 0) -> list[str]:
    async with database.unit() as uow:
        return [event.name for event in await uow.select(STREAM, txid=txid, position=position)]


# --- numbers ----------------------------------------------------------------------------------


async def test_generated_numbers_rise_in_the_order_of_staging(database: Database) -> None:
    async with database.unit() as uow:
        for name in "cab":
            uow.insert(EVENTS, Event(name=name))
    async with database.unit() as uow:
        uow.insert(EVENTS, Event(name="d"))
        uow.put(LETTERS, Letter(name="x"))
    async with database.unit() as uow:
        events = await uow.select(STREAM, txid=0, position=0)
        letters = await uow.select(ALL_LETTERS)
    assert [event.name for event in events] == ["c", "a", "b", "d"]
    assert [event.position for event in events] == [1, 2, 3, 4]
    assert len({event.txid for event in events[:3]}) == 1
    assert events[3].txid > events[2].txid > 0
    assert letters == [Letter(position=1, name="x")]


async def test_put_keeps_the_numbers_of_an_existing_row(database: Database) -> None:
    async with database.unit() as uow:
        uow.insert(EVENTS, Event(name="a"))
        uow.insert(LETTERS, Letter(name="a"))
    async with database.unit() as uow:
        (before,) = await uow.select(STREAM, txid=0, position=0)
        uow.put(EVENTS, Event(position=before.position, txid=12345, name="b"))
        uow.put(LETTERS, Letter(position=0, name="a", text="new"))
    async with database.unit() as uow:
        assert await uow.get(EVENTS, before.position) == replace(before, name="b")
        assert await uow.get(LETTERS, "a") == Letter(position=1, name="a", text="new")


async def test_numbers_are_filled_by_the_engine_only(database: Database) -> None:
    async with database.unit() as uow:
        with pytest.raises(InvariantViolated):
            uow.insert(EVENTS, Event(position=7, name="a"))
        with pytest.raises(InvariantViolated):
            uow.put(EVENTS, Event(position=0, name="a"))


async def test_sequence_never_repeats_even_after_a_rollback(database: Database) -> None:
    numbers: list[int] = []

    async def step() -> None:
        async with database.unit() as uow:
            numbers.append(await uow.next_value("tickets_number"))
            raise Refused

    with pytest.raises(Refused):
        await step()
    async with database.unit() as uow:
        numbers.append(await uow.next_value("tickets_number"))
        numbers.append(await uow.next_value("tickets_number"))
    assert numbers == sorted(set(numbers))


async def test_sequence_name_that_is_no_identifier_is_refused(database: Database) -> None:
    async with database.unit() as uow:
        with pytest.raises(InvariantViolated):
            await uow.next_value("envelope/node-1")


async def test_stream_reader_never_skips_a_row_when_committers_finish_out_of_order(
    database: Database,
) -> None:
    async with database.unit() as first:
        first.insert(EVENTS, Event(name="first"))
        await first.get(EVENTS, 0)  # writes: the transaction has its number and position now
        async with database.unit() as second:
            second.insert(EVENTS, Event(name="second"))
        assert await event_names(database) == []
    assert await event_names(database) == ["first", "second"]


async def test_stream_reader_waits_for_a_smaller_position_in_a_later_transaction(
    database: Database,
) -> None:
    early_numbered, late_wrote = asyncio.Event(), asyncio.Event()

    async def early() -> None:
        async with database.unit() as uow:
            uow.put(PLAIN, a_sample(1))
            await uow.select(
                PLAIN_BY_NUMBER, numbers=[]
            )  # writes: this transaction has the smaller number
            early_numbered.set()
            await late_wrote.wait()
            uow.insert(EVENTS, Event(name="earlier transaction, greater position"))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(early())
        await early_numbered.wait()
        async with database.unit() as late:
            late.insert(EVENTS, Event(name="later transaction, smaller position"))
            await late.get(EVENTS, 0)
            late_wrote.set()
            await task
            async with database.unit() as uow:
                (seen,) = await uow.select(STREAM, txid=0, position=0)
        rest = await event_names(database, txid=seen.txid, position=seen.position)
    assert seen.name == "earlier transaction, greater position"
    assert seen.position == 2
    assert rest == ["later transaction, smaller position"]


# --- locks ------------------------------------------------------------------------------------


async def test_lock_makes_read_and_write_one_step(database: Database) -> None:
    async with database.unit() as uow:
        uow.insert(PLAIN, a_sample(1, body=0))

    async def add_one() -> None:
        async with database.unit() as uow:
            await uow.lock("ticket/1")
            row = await uow.get(PLAIN, "g1", 1)
            assert row is not None
            uow.put(PLAIN, replace(row, body=row.body + 1))

    await asyncio.gather(*(add_one() for _ in range(8)))
    found = await stored(database)
    assert found is not None
    assert found.body == 8


async def test_units_with_other_locks_do_not_wait(database: Database) -> None:
    async with database.unit() as one, database.unit() as two:
        await one.lock("ticket/1")
        await two.lock("ticket/2")
        await one.lock("ticket/1", "ticket/3")


async def test_locks_are_taken_in_one_order_whatever_order_is_asked(database: Database) -> None:
    async def step(*names: str) -> None:
        async with database.unit() as uow:
            await uow.lock(*names)
            await uow.get(PLAIN, "g1", 1)

    await asyncio.gather(*(step(*names) for _ in range(5) for names in (("a", "b"), ("b", "a"))))


async def test_deadlock_rolls_one_unit_back_and_run_repeats_it(database: Database) -> None:
    holding = {"a": asyncio.Event(), "b": asyncio.Event()}
    attempts: list[str] = []

    async def step(uow: UnitOfWork, mine: str, other: str) -> None:
        attempts.append(mine)
        await uow.lock(mine)
        holding[mine].set()
        await holding[other].wait()
        await uow.lock(other)
        uow.put(PLAIN, a_sample(ord(mine)))

    await asyncio.gather(
        run(database, lambda uow: step(uow, "a", "b")),
        run(database, lambda uow: step(uow, "b", "a")),
    )
    assert len(attempts) == 3
    assert await stored(database, ord("a"))
    assert await stored(database, ord("b"))


async def test_run_gives_up_after_its_attempts_and_never_repeats_an_unknown_outcome(
    database: Database,
) -> None:
    calls: list[str] = []

    def failing(outcome: str) -> Callable[[UnitOfWork], Awaitable[None]]:
        async def step(_: UnitOfWork) -> None:
            calls.append(outcome)
            raise PeerUnreachable(peer="postgresql", got="test", outcome=outcome)

        return step

    for outcome in ("rolled_back", "unknown"):
        with pytest.raises(PeerUnreachable):
            await run(database, failing(outcome), attempts_max=2)
    assert calls == ["rolled_back", "rolled_back", "unknown"]


# --- hooks ------------------------------------------------------------------------------------


async def test_hooks_run_in_order_and_only_for_committed_units(database: Database) -> None:
    calls: list[str] = []

    async def late_write(uow: UnitOfWork) -> None:
        calls.append("late")
        uow.insert(PLAIN, a_sample(2))

    async with database.unit() as uow:
        uow.insert(PLAIN, a_sample(1))
        uow.after_commit(lambda: calls.append("after"))
        uow.before_commit(lambda: calls.append("before"))
        uow.before_commit(lambda: late_write(uow))
    assert calls == ["before", "late", "after"]
    assert await stored(database, 2) == a_sample(2)

    async def refused() -> None:
        async with database.unit() as uow:
            uow.before_commit(lambda: calls.append("never"))
            uow.after_commit(lambda: calls.append("never"))
            raise Refused

    with pytest.raises(Refused):
        await refused()

    async def conflicting() -> None:
        async with database.unit() as uow:
            uow.insert(PLAIN, a_sample(1))
            uow.after_commit(lambda: calls.append("never"))

    with pytest.raises(ResourceExists):
        await conflicting()
    assert "never" not in calls


async def test_failing_hook_rolls_back(database: Database) -> None:
    def refuse() -> None:
        raise Refused

    async def step() -> None:
        async with database.unit() as uow:
            uow.insert(PLAIN, a_sample(1))
            uow.before_commit(refuse)

    with pytest.raises(Refused):
        await step()
    assert await stored(database) is None


async def test_empty_unit_commits_nothing_and_calls_back(database: Database) -> None:
    calls: list[int] = []
    async with database.unit() as uow:
        uow.after_commit(lambda: calls.append(1))
    assert calls == [1]
