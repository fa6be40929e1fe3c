"""What only the PostgreSQL engine can get wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from gateway.database.embedded import EmbeddedPostgres
from gateway.database.grouping import GroupCommit, Piece
from gateway.database.postgres import PostgresDatabase
from gateway.database.table import Query, Table
from gateway.database.uow import UnitOfWork
from gateway.kernel.errors import InvariantViolated, PeerUnreachable
from tests.postgres import TestServer, execute

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Note:
    name: str
    text: str = ""


NOTES = Table("notes", Note, key=("name",))
DDL = "CREATE TABLE notes (name text PRIMARY KEY, text text NOT NULL CHECK (text <> 'bad'))"
ALL_NOTES = Query("all_notes", Note, "SELECT name, text FROM notes", lambda rows, _: rows(NOTES))
COUNT = "SELECT count(*) "
WAITING = f"{COUNT}FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture
async def dsn(postgres_server: TestServer) -> AsyncIterator[str]:
    async with postgres_server.fresh_dsn() as fresh:
        await execute(fresh, DDL)
        yield fresh


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[PostgresDatabase]:
    opened = await PostgresDatabase.connect(dsn)
    yield opened
    opened.terminate()


async def found(database: PostgresDatabase, name: str) -> Note | None:
    async with database.unit() as uow:
        return await uow.get(NOTES, name)


async def until_somebody_waits(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(10):
            while not await connection.fetchval(WAITING):
                pass
    finally:
        await connection.close()


async def test_commit_that_has_begun_ends_although_its_task_is_cancelled(
    database: PostgresDatabase, dsn: str
) -> None:
    calls: list[str] = []

    async def step() -> None:
        async with database.unit() as uow:
            uow.put(NOTES, Note("a", "second"))
            uow.after_commit(lambda: calls.append("committed"))

    async with database.unit() as first:
        first.put(NOTES, Note("a", "first"))
        await first.select(ALL_NOTES)  # writes
        task = asyncio.create_task(step())
        await until_somebody_waits(dsn)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == ["committed"]
    assert await found(database, "a") == Note("a", "second")


async def test_pool_tells_how_many_of_its_connections_work(database: PostgresDatabase) -> None:
    async with database.unit() as uow:
        await uow.lock("a")
        assert database.connections() == (1, 1)
    assert database.connections() == (0, 1)


async def test_units_beyond_the_pool_wait_for_a_connection(dsn: str) -> None:
    database = await PostgresDatabase.connect(dsn, connections_max=2)

    async def step(number: int) -> None:
        async with database.unit() as uow:
            await uow.lock("one")
            uow.insert(NOTES, Note(str(number)))

    await asyncio.gather(*(step(number) for number in range(10)))
    assert await found(database, "9")
    await database.close()


async def test_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(PeerUnreachable) as caught:
        await PostgresDatabase.connect(EmbeddedPostgres(tmp_path / "none").dsn())
    assert caught.value.metadata["outcome"] == "rolled_back"


async def test_connection_lost_before_the_commit_rolled_the_unit_back(
    database: PostgresDatabase,
) -> None:
    async def lose() -> None:
        async with database.unit() as uow:
            uow.insert(NOTES, Note("a"))
            await uow.select(ALL_NOTES)  # writes
            database.terminate()

    with pytest.raises(PeerUnreachable) as caught:
        await lose()
    assert caught.value.metadata["outcome"] == "rolled_back"


async def test_connection_lost_during_the_commit_has_an_unknown_outcome(
    database: PostgresDatabase, dsn: str
) -> None:
    async def step() -> None:
        async with database.unit() as uow:
            uow.put(NOTES, Note("a", "second"))

    async with database.unit() as first:
        first.put(NOTES, Note("a", "first"))
        await first.select(ALL_NOTES)  # writes
        task = asyncio.create_task(step())
        await until_somebody_waits(dsn)
        await execute(dsn, f"SELECT pg_terminate_backend(pid) {WAITING.removeprefix(COUNT)}")
        with pytest.raises(PeerUnreachable) as caught:
            await task
    assert caught.value.metadata["outcome"] == "unknown"


async def test_refused_row_is_a_defect_without_its_values(database: PostgresDatabase) -> None:
    async def insert() -> None:
        async with database.unit() as uow:
            uow.insert(NOTES, Note("张三 synthetic", "bad"))

    with pytest.raises(InvariantViolated, match="notes_text_check") as caught:
        await insert()
    assert "张三" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT name, text FROM nowhere", "nowhere"),
        ("SELECT name FROM notes", "no text"),
        ("SELECT name, text FROM notes WHERE name = :name", "parameters of q"),
    ],
)
async def test_wrong_query_is_a_defect_that_names_its_fault(
    database: PostgresDatabase, sql: str, text: str
) -> None:
    async def select(uow: UnitOfWork) -> None:
        uow.put(NOTES, Note("a"))
        await uow.select(Query("q", Note, sql, lambda rows, given: []))

    async def step() -> None:
        async with database.unit() as uow:
            await select(uow)

    with pytest.raises(InvariantViolated, match=text):
        await step()


async def test_unit_that_only_writes_needs_one_round_trip(database: PostgresDatabase) -> None:
    statements: list[str] = []
    async with database.unit() as uow:
        uow.put(NOTES, Note("a"))
        uow.put(NOTES, Note("b"))
        async with database._pool.acquire() as connection:
            connection.add_query_logger(lambda record: statements.append(record.query))
    assert [statement.split()[0] for statement in statements] == ["WITH"]


async def test_group_of_steps_needs_five_round_trips(database: PostgresDatabase) -> None:
    statements: list[str] = []

    async def step(uow: UnitOfWork, name: str) -> None:
        assert await uow.get(NOTES, name) is None
        uow.insert(NOTES, Note(name))

    def a_piece(name: str) -> Piece[None]:
        reads = ((NOTES, (name,)),)
        return Piece(lambda uow: step(uow, name), locks=(f"note/{name}",), reads=reads)

    group = GroupCommit(database)
    calls = [asyncio.create_task(group.run(a_piece(name))) for name in "abcdefgh"]
    async with database._pool.acquire() as connection:  # the one that the unit takes next
        connection.add_query_logger(lambda record: statements.append(record.query))
    await asyncio.gather(*calls)
    assert [statement.split()[0] for statement in statements] == [
        "BEGIN",
        "SELECT",  # all locks
        "SELECT",  # all keys
        "WITH",
        "COMMIT",
    ]
