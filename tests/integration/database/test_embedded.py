"""Embedded PostgreSQL survives what kills it, and what kills its gateway."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import psutil
import pytest

from gateway.database import embedded, hosting
from gateway.database.embedded import FAST_AND_LOOSE, PID_FILE, EmbeddedPostgres
from gateway.database.postgres import PostgresDatabase
from gateway.database.table import Table
from gateway.kernel.errors import PeerUnreachable
from tests.postgres import execute

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Note:
    name: str


NOTES = Table("notes", Note, key=("name",))
DDL = "CREATE TABLE notes (name text PRIMARY KEY)"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that nobody else may enter, as a checkout of root's may be."""
    made = Path(tempfile.mkdtemp(prefix="lubiao-test-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """Give a running server."""
    made = EmbeddedPostgres(folder / "node" / "postgresql", settings=FAST_AND_LOOSE)
    await made.start()
    yield made
    await made.stop()


async def write(database: PostgresDatabase, name: str) -> None:
    async with database.unit() as uow:
        uow.insert(NOTES, Note(name))


async def names(database: PostgresDatabase, *expected: str) -> list[str]:
    async with database.unit() as uow:
        return [name for name in expected if await uow.get(NOTES, name)]


def kill(server: EmbeddedPostgres) -> int:
    """Kill the server and its processes; alone, these would serve on for a moment."""
    pid = server.pid()
    assert pid is not None
    processes = psutil.Process(pid).children()
    os.kill(pid, signal.SIGKILL)
    for process in processes:
        process.kill()
    return pid


async def test_server_listens_on_its_private_socket_only(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.dsn())
    try:
        assert await connection.fetchval("SHOW listen_addresses") == ""
        assert await connection.fetchval("SHOW fsync") == "off"  # the settings of this test
        assert await connection.fetchval("SHOW log_min_error_statement") == "panic"
    finally:
        await connection.close()
    assert server.socket_dir.stat().st_mode & 0o077 == 0


async def test_starting_again_adopts_the_running_server(server: EmbeddedPostgres) -> None:
    other = EmbeddedPostgres(server.data_dir)
    assert await other.start() == server.dsn()
    assert other.pid() == server.pid()


async def test_server_of_a_killed_gateway_lives_on_and_is_adopted(folder: Path) -> None:
    data_dir = folder / "postgresql"
    program = (
        "import asyncio, os, pathlib, signal\n"
        "from gateway.database.embedded import EmbeddedPostgres\n"
        f"server = EmbeddedPostgres(pathlib.Path({str(data_dir)!r}))\n"
        "asyncio.run(server.start())\n"
        "print(server.pid(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    server = EmbeddedPostgres(data_dir)
    await server.start()
    try:
        assert server.pid() == int(done.stdout)
    finally:
        await server.stop()


async def test_second_gateway_of_a_node_leaves_the_server_of_the_first_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "OWNER_TIMEOUT", timedelta(milliseconds=10))
    first, second = (EmbeddedPostgres(folder / "postgresql") for _ in range(2))
    async with first.owned():
        with pytest.raises(PeerUnreachable):
            async with second.owned():
                pytest.fail("two own it")
    async with second.owned():
        pass


async def test_killed_server_is_started_again_and_the_pool_reconnects(
    server: EmbeddedPostgres,
) -> None:
    await execute(server.dsn(), DDL)
    database = await PostgresDatabase.connect(server.dsn())
    await write(database, "before")
    killed = kill(server)
    with pytest.raises(PeerUnreachable) as caught:
        await write(database, "lost")
    assert caught.value.metadata["peer"] == "postgresql"
    await server.ensure_running()
    assert server.pid() not in {None, killed}
    await write(database, "after")
    assert await names(database, "before", "lost", "after") == ["before", "after"]
    await database.close()


async def test_unit_that_loses_its_server_raises_and_leaves_no_trace(
    server: EmbeddedPostgres,
) -> None:
    await execute(server.dsn(), DDL)
    database = await PostgresDatabase.connect(server.dsn())
    with pytest.raises(PeerUnreachable):
        await _write_and_kill(database, server)
    await server.ensure_running()
    assert await names(database, "half") == []
    await database.close()


async def _write_and_kill(database: PostgresDatabase, server: EmbeddedPostgres) -> None:
    async with database.unit() as uow:
        uow.insert(NOTES, Note("half"))
        await uow.get(NOTES, "half")
        kill(server)


async def test_watch_starts_a_killed_server_and_ends_when_told(server: EmbeddedPostgres) -> None:
    stopping = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(server.watch(stopping))
        killed = kill(server)
        while server.pid() in {None, killed}:  # noqa: ASYNC110 as below
            await asyncio.sleep(0.02)  # the watch gives no sign; it is bounded above
        await server.ensure_running()
        stopping.set()


async def test_pid_file_that_names_a_foreign_process_is_stale(server: EmbeddedPostgres) -> None:
    await server.stop()
    owner = server.data_dir.stat().st_uid
    foreign = await asyncio.create_subprocess_exec(
        "sleep", "60", user=owner if os.geteuid() == 0 else None
    )
    try:
        lines = [str(foreign.pid), str(server.data_dir), "1", "5432", "", "", "", "ready"]
        (server.data_dir / PID_FILE).write_text("\n".join(lines))
        assert server.pid() is None
        await server.ensure_running()
        assert server.pid() not in {None, foreign.pid}
    finally:
        foreign.kill()
        await foreign.wait()


async def test_stop_is_clean_and_repeatable(server: EmbeddedPostgres) -> None:
    await server.stop()
    assert server.pid() is None
    assert not (server.data_dir / PID_FILE).exists()
    await server.stop()


async def test_deep_data_directory_gets_a_short_socket(folder: Path) -> None:
    server = EmbeddedPostgres(folder / ("d" * 90) / "postgresql", settings=FAST_AND_LOOSE)
    await server.start()
    try:
        assert len(str(server.socket_dir)) < 60
        assert EmbeddedPostgres(server.data_dir).socket_dir == server.socket_dir
    finally:
        await server.stop()
        shutil.rmtree(server.socket_dir)


async def test_interrupted_first_start_leaves_nothing_half_made(folder: Path) -> None:
    data_dir = folder / "postgresql"
    left_over = folder / "postgresql.initdb-4194304"  # above any process id in use
    left_over.mkdir()
    (left_over / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(data_dir, settings=FAST_AND_LOOSE)
    await server.start()
    await server.stop()
    assert _names_in(folder) == ["postgresql"]


async def test_missing_extra_is_named_with_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "PACKAGE", "no_such_package")
    with pytest.raises(PeerUnreachable, match=r"lubiao\[embedded\]"):
        await EmbeddedPostgres(folder / "postgresql").start()


async def test_data_of_another_major_version_is_refused(folder: Path) -> None:
    data_dir = folder / "postgresql"
    data_dir.mkdir()
    (data_dir / "PG_VERSION").write_text("9\n")
    with pytest.raises(PeerUnreachable, match="PostgreSQL 9 is not installed"):
        await EmbeddedPostgres(data_dir).start()


async def test_log_holds_no_value_of_a_failed_statement(server: EmbeddedPostgres) -> None:
    await execute(server.dsn(), DDL)
    connection = await asyncpg.connect(server.dsn())
    try:
        await connection.execute("INSERT INTO notes VALUES ($1)", "张三 synthetic")
        with pytest.raises(asyncpg.UniqueViolationError, match="张三 synthetic"):
            await connection.execute("INSERT INTO notes VALUES ($1)", "张三 synthetic")
    finally:
        await connection.close()
    log = _text_of(server.data_dir / "server.log")
    assert "duplicate key" in log
    assert "张三" not in log


def _text_of(path: Path) -> str:
    return path.read_text()


def _names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
