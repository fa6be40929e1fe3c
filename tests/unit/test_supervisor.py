"""The supervisor keeps its workers whatever the machine refuses, and stops all of them in order."""

from __future__ import annotations

import asyncio
import errno
import socket
from asyncio.subprocess import Process
from pathlib import Path

from gateway.settings import Settings
from gateway.supervisor import _Supervisor
from gateway.trust.roster import NodeRole

SOON = 15.0  # much less than the drain after which a worker is killed


def settings(directory: Path) -> Settings:
    return Settings(
        directory_path=directory,
        node_id="a",
        authority="120000",
        hosts=("120000",),
        roles=frozenset({NodeRole.CUSTODIAN}),
        bind="127.0.0.1:0",
        endpoint="127.0.0.1:1",
    )


class Supervisor(_Supervisor):
    """Starts sleepers for workers, unless told that the machine refuses."""

    def __init__(self, directory: Path) -> None:
        super().__init__(settings(directory), workers=1, dsn="", port=0)
        self.child = self._children[0]
        self.newest: Process | None = None
        self.starts = 0
        self.refusals = 0
        self.asked = asyncio.Event()
        self.born = asyncio.Event()
        self.before_birth = asyncio.Event()
        self.before_birth.set()
        self._is_started = True

    async def _start(self, link: socket.socket, *, is_first: bool) -> Process:
        del link, is_first
        self.starts += 1
        self.asked.set()
        if self.starts <= self.refusals:
            raise OSError(errno.EAGAIN, "no more processes")
        await self.before_birth.wait()
        process = await asyncio.create_subprocess_exec("sleep", "600")
        self.newest = process
        self.born.set()
        return process

    async def keep(self, stopping: asyncio.Event) -> None:
        await self._keep(self.child, stopping)


async def stop(
    supervisor: Supervisor, stopping: asyncio.Event, keeping: asyncio.Task[None]
) -> None:
    stopping.set()
    supervisor._terminate()
    async with asyncio.timeout(SOON):
        await keeping


async def test_worker_that_is_born_while_the_node_stops_is_told_too(tmp_path: Path) -> None:
    supervisor, stopping = Supervisor(tmp_path), asyncio.Event()
    supervisor.before_birth.clear()
    keeping = asyncio.create_task(supervisor.keep(stopping))
    await supervisor.asked.wait()
    stopping.set()
    supervisor._terminate()  # nobody is there yet
    supervisor.before_birth.set()
    async with asyncio.timeout(SOON):
        await keeping


async def test_worker_that_could_not_be_started_is_tried_again(tmp_path: Path) -> None:
    supervisor, stopping = Supervisor(tmp_path), asyncio.Event()
    supervisor.refusals = 1
    keeping = asyncio.create_task(supervisor.keep(stopping))
    async with asyncio.timeout(SOON):
        await supervisor.born.wait()
    await stop(supervisor, stopping, keeping)


async def test_worker_is_started_again_though_the_disk_is_full(tmp_path: Path) -> None:
    (tmp_path / "workers.new").mkdir()  # what is written there fails
    supervisor, stopping = Supervisor(tmp_path), asyncio.Event()
    keeping = asyncio.create_task(supervisor.keep(stopping))
    async with asyncio.timeout(SOON):
        await supervisor.born.wait()
        supervisor.born.clear()
        assert supervisor.newest is not None
        supervisor.newest.kill()
        await supervisor.born.wait()
    await stop(supervisor, stopping, keeping)
