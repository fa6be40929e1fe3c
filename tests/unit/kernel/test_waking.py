"""Work that is woken: at once, once for several calls, and again after an error."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from gateway.kernel.errors import FieldInvalid, LubiaoError
from gateway.kernel.waking import Waking


class Work:
    """Counts its rounds; the first ones may fail."""

    def __init__(self, *, fails: int = 0) -> None:
        self.rounds = 0
        self.fails = fails
        self.reasons: list[str] = []
        self.done = asyncio.Event()

    async def do(self) -> None:
        self.rounds += 1
        self.done.set()
        if self.rounds <= self.fails:
            raise FieldInvalid(field="x", got="1", expected="2")

    def failed(self, error: LubiaoError) -> None:
        self.reasons.append(error.reason)

    async def round(self) -> int:
        """Wait for the end of a round."""
        async with asyncio.timeout(5):
            await self.done.wait()
        self.done.clear()
        await asyncio.sleep(0)
        return self.rounds


async def test_a_round_begins_at_once_and_then_when_somebody_wakes_it() -> None:
    work, waking = Work(), Waking(look=timedelta(hours=1))
    task = asyncio.create_task(waking.run(work.do, failed=work.failed))
    assert await work.round() == 1
    waking.wake()
    waking.wake()
    assert await work.round() == 2
    await asyncio.sleep(0)
    assert work.rounds == 2
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_it_looks_by_itself_and_an_error_ends_one_round_only() -> None:
    work, waking = Work(fails=1), Waking(look=timedelta(milliseconds=1))
    task = asyncio.create_task(waking.run(work.do, failed=work.failed))
    assert await work.round() == 1
    assert await work.round() == 2
    assert work.reasons == ["FIELD_INVALID"]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_is_no_typed_error_ends_the_task() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Waking(look=timedelta(hours=1)).run(broken, failed=lambda error: None)
