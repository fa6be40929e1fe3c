"""Migrations are applied once, in order, unedited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from gateway.database.migrations import Migration, Phase, load_migrations, migrate, pending
from gateway.kernel.errors import InvariantViolated
from tests.postgres import TestServer, execute

pytestmark = pytest.mark.integration

ONE = Migration("0001_pre_one", Phase.PRE, "CREATE TABLE one (a int)")
TWO = Migration("0002_post_two", Phase.POST, "ALTER TABLE one DROP COLUMN a")
THREE = Migration("0003_pre_three", Phase.PRE, "ALTER TABLE one ADD COLUMN a text")
FOUR = Migration("0004_post_four", Phase.POST, "CREATE TABLE four ()")
ALL = (ONE, TWO, THREE, FOUR)


@pytest.fixture
async def dsn(postgres_server: TestServer) -> AsyncIterator[str]:
    """Give the address of a database without any table."""
    async with postgres_server.fresh_dsn(template="template1") as fresh:
        yield fresh


async def test_files_of_this_release_apply_from_nothing_and_then_never_again(dsn: str) -> None:
    files = load_migrations()
    applied = [name for phase in Phase for name in await migrate(dsn, phase)]
    assert sorted(applied) == [migration.name for migration in files]
    assert [await migrate(dsn, phase) for phase in Phase] == [(), ()]
    assert await pending(dsn) == ()


async def test_pre_leaves_the_last_post_files_for_later(dsn: str) -> None:
    assert await pending(dsn, migrations=ALL) == tuple(migration.name for migration in ALL)
    assert await migrate(dsn, Phase.PRE, migrations=ALL[:2]) == (ONE.name,)
    assert await migrate(dsn, Phase.PRE, migrations=ALL) == (TWO.name, THREE.name)
    assert await migrate(dsn, Phase.POST, migrations=ALL) == (FOUR.name,)


async def test_edited_file_is_refused_and_changes_nothing(dsn: str) -> None:
    await migrate(dsn, Phase.PRE, migrations=[ONE])
    edited = replace(ONE, sql=ONE.sql + " ")
    for attempt in (
        migrate(dsn, Phase.POST, migrations=[edited, TWO]),
        pending(dsn, migrations=[edited]),
    ):
        with pytest.raises(InvariantViolated, match=ONE.name):
            await attempt
    assert await pending(dsn, migrations=[ONE, TWO]) == (TWO.name,)


async def test_older_code_accepts_an_unknown_pre_file_but_no_post_file(dsn: str) -> None:
    newer = Migration("0009_pre_newer", Phase.PRE, "CREATE TABLE newer ()")
    await migrate(dsn, Phase.POST, migrations=[ONE, newer])
    assert await migrate(dsn, Phase.PRE, migrations=[ONE]) == ()
    await migrate(dsn, Phase.POST, migrations=[ONE, TWO])
    with pytest.raises(InvariantViolated, match=TWO.name):
        await migrate(dsn, Phase.PRE, migrations=[ONE])


async def test_failing_file_is_rolled_back_and_named(dsn: str) -> None:
    broken = Migration("0002_pre_broken", Phase.PRE, "CREATE TABLE half (); SELECT * FROM nowhere")
    with pytest.raises(InvariantViolated, match=r"0002_pre_broken.*nowhere"):
        await migrate(dsn, Phase.PRE, migrations=[ONE, broken])
    assert await pending(dsn, migrations=[ONE, broken]) == (broken.name,)
    with pytest.raises(asyncpg.UndefinedTableError):
        await execute(dsn, "SELECT * FROM half")


async def test_two_processes_migrate_one_after_the_other(dsn: str) -> None:
    applied = await asyncio.gather(*(migrate(dsn, Phase.POST, migrations=ALL) for _ in range(3)))
    assert sorted(name for names in applied for name in names) == [one.name for one in ALL]


async def test_database_that_sorts_otherwise_is_refused(postgres_server: TestServer) -> None:
    name = "collated"
    await execute(
        postgres_server.server.dsn("postgres"),
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
    )
    with pytest.raises(InvariantViolated, match="UTF8"):
        await migrate(postgres_server.server.dsn(name), Phase.PRE)
    await postgres_server.server.drop_database(name)


def test_two_files_of_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("0001_pre_a.sql", "0001_post_b.sql"):
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(InvariantViolated, match="0001_pre_a"):
        load_migrations(tmp_path)
