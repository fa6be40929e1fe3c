"""A caller that hangs up costs its own unit: the connection comes back, and its locks are free."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from gateway.database.postgres import PostgresDatabase
from tests.postgres import TestServer, postgres_database

CANCELLED_AT = (0.0, 0.001, 0.005, 0.02, 0.05)  # seconds: before, within and between statements


async def _busy(database: PostgresDatabase, name: str) -> None:
    async with database.unit() as uow:
        await uow.lock(name)
        for number in range(10_000):
            await uow.lock(f"{name}/{number}")


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancelled_unit_gives_everything_back(
    postgres_server: TestServer, times: int
) -> None:
    """Some servers cancel more than once: the second one may hit the rollback itself."""
    async with postgres_database(postgres_server) as database:
        for after in CANCELLED_AT:
            for _ in range(3):
                task = asyncio.ensure_future(_busy(database, "ticket"))
                await asyncio.sleep(after)
                for _ in range(times):
                    task.cancel()
                    await asyncio.sleep(0)
                with suppress(asyncio.CancelledError):
                    await asyncio.wait_for(task, 5)
        async with asyncio.timeout(5), database.unit() as uow:
            await uow.lock("ticket")  # nobody holds it any more
        busy, _ = database.connections()
        assert busy == 0
