"""Group commit: many callers share a unit, and none notices the others."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import pytest

from gateway.database.grouping import GroupCommit, Piece
from gateway.database.memory import BEFORE_COMMIT, MemoryDatabase
from gateway.database.uow import PEER, UNKNOWN, Database, UnitOfWork
from gateway.kernel.errors import PeerUnreachable, ResourceExists
from tests.contract.database import tables
from tests.contract.database.tables import BY_GROUP, PLAIN, SAMPLES, Sample

DDL = tables.DDL
CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


class Refused(Exception):
    """A step gives up."""


def a_piece(number: int, *, table: Any = PLAIN, label: str | None = None) -> Piece[int]:
    async def step(uow: UnitOfWork) -> int:
        group = "g" if table is PLAIN else f"g{number}"
        assert await uow.get(table, group, number) is None
        uow.insert(table, Sample(group=group, number=number, label=label))
        return number

    return Piece(step, locks=(f"sample/{number}",), reads=((table, ("g", number)),))


async def numbers(database: Database) -> list[int]:
    async with database.unit() as uow:
        return [row.number for row in await uow.rows(BY_GROUP, "g")]


async def outcomes(group: GroupCommit, pieces: list[Piece[Any]]) -> list[Any]:
    return await asyncio.gather(*map(group.run, pieces), return_exceptions=True)


async def test_pieces_that_come_together_are_committed_together(database: Database) -> None:
    group = GroupCommit(database, pieces_max=10)
    assert await outcomes(group, [a_piece(number) for number in range(25)]) == list(range(25))
    assert await numbers(database) == list(range(25))


async def test_memory_engine_commits_once_for_each_full_unit() -> None:
    database = MemoryDatabase()
    group = GroupCommit(database, pieces_max=10)
    await outcomes(group, [a_piece(number) for number in range(25)])
    assert database.commits == 3


@pytest.mark.parametrize("is_written", [False, True])
async def test_piece_that_raises_is_refused_alone(database: Database, *, is_written: bool) -> None:
    calls: list[str] = []

    async def refuse(uow: UnitOfWork) -> None:
        uow.insert(PLAIN, Sample(group="g", number=99))
        uow.after_commit(lambda: calls.append("never"))
        if is_written:
            await uow.select(tables.PLAIN_BY_NUMBER, numbers=[99])
        raise Refused

    group = GroupCommit(database)
    found = await outcomes(group, [a_piece(1), Piece(refuse), a_piece(2)])
    assert found[0] == 1
    assert isinstance(found[1], Refused)
    assert found[2] == 2
    assert await numbers(database) == [1, 2]
    assert calls == []


async def test_piece_whose_hook_raises_is_refused_alone(database: Database) -> None:
    def refuse() -> None:
        raise Refused

    async def step(uow: UnitOfWork) -> None:
        uow.insert(PLAIN, Sample(group="g", number=99))
        uow.before_commit(refuse)

    found = await outcomes(GroupCommit(database), [a_piece(1), Piece(step), a_piece(2)])
    assert isinstance(found[1], Refused)
    assert await numbers(database) == [1, 2]


async def test_commit_that_fails_over_one_piece_is_repeated_for_each_alone(
    database: Database,
) -> None:
    pieces = [a_piece(number, table=SAMPLES, label=label) for number, label in enumerate("axxb")]
    found = await outcomes(GroupCommit(database), pieces)
    assert [type(one) for one in found].count(ResourceExists) == 1
    assert [one for one in found if isinstance(one, int)] in ([0, 1, 3], [0, 2, 3])


async def test_same_request_twice_in_a_unit_sees_the_first_one(database: Database) -> None:
    async def step(uow: UnitOfWork) -> str:
        if await uow.get(PLAIN, "g", 1) is not None:
            return "repeat"
        uow.insert(PLAIN, Sample(group="g", number=1))
        return "first"

    piece = Piece(step, locks=("sample/1",), reads=((PLAIN, ("g", 1)),))
    assert await outcomes(GroupCommit(database), [piece, piece]) == ["first", "repeat"]


async def test_unknown_outcome_is_told_to_everybody_and_nothing_is_repeated() -> None:
    ran: list[int] = []

    def lose(point: str) -> None:
        if point == BEFORE_COMMIT:
            raise PeerUnreachable(peer=PEER, got="connection lost", outcome=UNKNOWN)

    def counted(number: int) -> Piece[None]:
        async def step(_uow: UnitOfWork) -> None:
            ran.append(number)

        return Piece(step)

    found = await outcomes(GroupCommit(MemoryDatabase(crash=lose)), [counted(1), counted(2)])
    assert [type(one) for one in found] == [PeerUnreachable, PeerUnreachable]
    assert ran == [1, 2]


async def test_piece_runs_in_the_context_of_its_caller(database: Database) -> None:
    async def step(uow: UnitOfWork) -> str:
        await uow.get(PLAIN, "g", 7)  # suspends
        return CALLER.get()

    group = GroupCommit(database)

    async def caller(name: str) -> str:
        CALLER.set(name)
        return await group.run(Piece(step))

    assert [*await asyncio.gather(caller("a"), caller("b"))] == ["a", "b"]


async def test_caller_that_went_away_does_not_hold_up_the_others(database: Database) -> None:
    group = GroupCommit(database)
    gone = asyncio.create_task(group.run(a_piece(1)))
    stays = asyncio.create_task(group.run(a_piece(2)))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 2
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert 2 in await numbers(database)


@pytest.mark.parametrize("units_at_once", [1, 2])
async def test_caller_that_comes_back_at_once_is_served(
    database: Database, *, units_at_once: int
) -> None:
    group = GroupCommit(database, units_at_once=units_at_once)

    async def caller(first: int) -> None:
        for number in range(first, first + 5):
            assert await group.run(a_piece(number)) == number

    async with asyncio.timeout(10):
        await asyncio.gather(caller(0), caller(5))
    assert await numbers(database) == list(range(10))


async def test_piece_that_comes_while_the_last_unit_ends_does_not_wait_for_another() -> None:
    group = GroupCommit(MemoryDatabase(), pieces_max=1)  # two units that end in the same turn
    both = [asyncio.create_task(group.run(a_piece(number))) for number in (1, 2)]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    async with asyncio.timeout(10):
        assert await group.run(a_piece(3)) == 3


async def test_piece_that_waits_for_a_lock_does_not_hold_up_the_others(database: Database) -> None:
    group = GroupCommit(database, lock_wait=timedelta(milliseconds=50))
    async with database.unit() as uow:
        await uow.lock("sample/9")
        waits, *others = [
            asyncio.create_task(group.run(a_piece(number))) for number in (9, 1, 2, 3)
        ]
        async with asyncio.timeout(5):
            assert [await other for other in others] == [1, 2, 3]
            assert await group.run(a_piece(4)) == 4
        assert not waits.done()
    assert await waits == 9
    assert await numbers(database) == [1, 2, 3, 4, 9]


async def test_caller_that_went_away_while_the_group_failed_is_not_served(
    database: Database,
) -> None:
    group = GroupCommit(database, lock_wait=timedelta(milliseconds=50))
    async with database.unit() as uow:
        await uow.lock("sample/9")
        waits = asyncio.create_task(group.run(a_piece(9)))
        await asyncio.sleep(0)
        waits.cancel()
        assert await group.run(a_piece(1)) == 1
    assert await group.run(a_piece(2)) == 2
    assert await numbers(database) == [1, 2]


@pytest.mark.parametrize("is_written", [False, True])
async def test_piece_that_is_cancelled_from_within_takes_nobody_along(
    database: Database, *, is_written: bool
) -> None:
    async def step(uow: UnitOfWork) -> None:
        uow.insert(PLAIN, Sample(group="g", number=99))
        if is_written:
            await uow.select(tables.PLAIN_BY_NUMBER, numbers=[99])
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone  # something that it shares with others was cancelled

    found = await outcomes(GroupCommit(database), [a_piece(1), Piece(step), a_piece(2)])
    assert found[0] == 1
    assert isinstance(found[1], asyncio.CancelledError)
    assert found[2] == 2
    assert await numbers(database) == [1, 2]


class Died(BaseException):
    """The process ends."""


async def test_nobody_waits_for_ever_when_the_process_ends() -> None:
    def die(point: str) -> None:
        if point == BEFORE_COMMIT:
            raise Died

    group = GroupCommit(MemoryDatabase(crash=die), pieces_max=1, units_at_once=1)
    callers = [asyncio.create_task(group.run(a_piece(number))) for number in (1, 2)]
    await asyncio.wait(callers)
    assert [type(caller.exception()) for caller in callers] == [Died, Died]
