"""One embedded PostgreSQL per test process, and fresh migrated databases from a template in it.

Contract tests take the fixture `database` (tests/fixtures/databases.py), which runs each test on
both engines. Tests that need more control use `postgres_database` here.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import asyncpg

from gateway.database.embedded import FAST_AND_LOOSE, EmbeddedPostgres
from gateway.database.migrations import Phase, migrate
from gateway.database.postgres import PostgresDatabase

Result = TypeVar("Result")

TEMPLATE = "migrated"


@dataclass(slots=True)
class TestServer:
    """The PostgreSQL server of this test process."""

    __test__ = False

    server: EmbeddedPostgres
    folder: Path
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    def start(cls) -> TestServer:
        """Start a server with a migrated template database; `stop` ends it."""
        folder = Path(tempfile.mkdtemp(prefix=f"lubiao-test-{os.getpid()}-"))
        made = cls(EmbeddedPostgres(folder / "pg", settings=FAST_AND_LOOSE), folder)
        run_apart(made._prepare())
        return made

    def stop(self) -> None:
        """Stop the server and remove its data."""
        run_apart(self.server.stop())
        shutil.rmtree(self.folder)

    async def _prepare(self) -> None:
        await self.server.ensure_running()
        await self.server.create_database(TEMPLATE)
        for phase in Phase:
            await migrate(self.server.dsn(TEMPLATE), phase)

    @asynccontextmanager
    async def fresh_dsn(self, *, template: str = TEMPLATE) -> AsyncIterator[str]:
        """Give the address of a fresh database; `template1` gives one without any table."""
        name = f"test_{next(self._numbers)}"
        await self.server.create_database(name, template=template)
        try:
            yield self.server.dsn(name)
        finally:
            await self.server.drop_database(name)


@asynccontextmanager
async def postgres_database(server: TestServer, ddl: str = "") -> AsyncIterator[PostgresDatabase]:
    """Give a fresh migrated database, with additional tables made by `ddl`."""
    async with server.fresh_dsn() as dsn:
        if ddl:
            await execute(dsn, ddl)
        database = await PostgresDatabase.connect(dsn, connections_max=5)
        try:
            yield database
        finally:
            database.terminate()


async def execute(dsn: str, sql: str) -> None:
    """Run SQL outside of any unit of work."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def run_apart(coroutine: Coroutine[None, None, Result]) -> Result:
    """Run a coroutine to its end in a loop of its own, whatever loop runs here."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(asyncio.run, coroutine).result()
