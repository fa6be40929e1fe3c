"""What a unit of many steps needs: hooks that run once, and groups answered out of wider ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from gateway.database.table import Group
from gateway.database.uow import Database
from tests.contract.database.tables import DDL, PLAIN, Sample

__all__ = ["DDL"]
BY_GROUP = Group(PLAIN, ("group",))
BY_GROUP_AND_LABEL = Group(PLAIN, ("group", "label"))


def noting(said: list[str], word: str) -> Callable[[], None]:
    """Return a hook that says a word."""
    return lambda: said.append(word)


async def test_what_tells_the_whole_is_said_once_and_last(database: Database) -> None:
    said: list[str] = []
    async with database.unit() as uow:
        uow.before_commit(noting(said, "whole 1"), once="whole")
        uow.before_commit(noting(said, "step 1"))
        uow.before_commit(noting(said, "whole 2"), once="whole")
        uow.before_commit(noting(said, "step 2"))
    assert said == ["step 1", "step 2", "whole 2"]


async def test_the_newest_of_several_wholes_runs_first_and_may_renew_an_older(
    database: Database,
) -> None:
    """An inner update is told first: what it changes outside is told once, with it."""
    said: list[str] = []
    async with database.unit() as uow:

        def inner() -> None:
            said.append("inner")
            uow.before_commit(noting(said, "outer 2"), once="outer")

        uow.before_commit(noting(said, "outer 1"), once="outer")
        uow.before_commit(inner, once="inner")
    assert said == ["inner", "outer 2"]


async def test_a_failed_attempt_takes_its_hooks_along_and_gives_back_the_earlier(
    database: Database,
) -> None:
    said: list[str] = []
    async with database.unit() as uow:
        uow.before_commit(noting(said, "before"), once="whole")
        with suppress(ValueError):
            async with uow.attempt():
                uow.before_commit(noting(said, "within"), once="whole")
                raise ValueError("no")
    assert said == ["before"]


async def test_settling_runs_the_hooks_of_an_attempt_inside_it(database: Database) -> None:
    said: list[str] = []
    async with database.unit() as uow:
        with suppress(ValueError):
            async with uow.attempt():
                uow.before_commit(lambda: uow.put(PLAIN, Sample(number=1)))
                await uow.settle()
                raise ValueError("no")
        async with uow.attempt():
            uow.before_commit(noting(said, "second"))
            await uow.settle()
        assert said == ["second"]
    async with database.unit() as uow:
        assert await uow.get(PLAIN, "g", 1) is None


async def test_a_group_is_found_in_a_wider_one_that_was_read_ahead(database: Database) -> None:
    rows = [Sample(number=n, label=label) for n, label in enumerate(("a", "b", "a"))]
    async with database.unit() as uow:
        for row in rows:
            uow.put(PLAIN, row)
    async with database.unit() as uow:
        await uow.lock("g")
        await uow.prefetch(BY_GROUP, [("g",), ("h",)])
        assert await uow.rows(BY_GROUP_AND_LABEL, "g", "a") == [rows[0], rows[2]]
        assert await uow.rows(BY_GROUP_AND_LABEL, "h", "a") == []
        late = Sample(number=7, label="a")
        uow.put(PLAIN, late)
        uow.delete(PLAIN, "g", 0)
        assert await uow.rows(BY_GROUP_AND_LABEL, "g", "a") == [rows[2], late]
        await uow.lock("another")  # forgets what was read, never what was staged
        assert await uow.rows(BY_GROUP_AND_LABEL, "g", "a") == [rows[2], late]
