"""`lubiao serve --workers N`: one parent, N processes of the node on one database and one port.

**Theory of operation.** The parent serves nobody. It examines the node's folder, starts and watches
an embedded PostgreSQL, migrates once, keeps the port and starts the workers, each a `lubiao serve`
with one end of a socket pair (`app.serve_worker`). Over it the worker is told its post and says
when it serves; the end of the link is the end of the worker, so a parent that dies leaves none. The
kernel balances new connections between the workers (SO_REUSEPORT): the parent's own socket is bound
and never listens, it only keeps others away from the port while no worker has it.

A worker that ends is started again after a pause that doubles while it does not stay up. During the
first start there is no second try: what one cannot do, none can. SIGTERM goes to all workers, which
drain at the same time; then the database is stopped. Metrics of all workers are shown at the node's
one address (`telemetry/merging.py`).

What is written: `serving` as ever, with the parent's process id, and `workers`, one line each with
number, process id and metrics port.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import aiohttp
import structlog

from gateway.app import (
    begin_logs,
    database_server,
    examine,
    stopping_on_signals,
    write_addresses,
)
from gateway.kernel import crashpoints
from gateway.kernel.errors import PeerUnreachable
from gateway.settings import Settings
from gateway.telemetry.http import READY, TelemetryServer
from gateway.telemetry.merging import merged

LINK_OPTION = "--link"
PAUSE_FIRST = timedelta(milliseconds=200)
PAUSE_MAX = timedelta(seconds=10)
STAYED_UP = timedelta(seconds=30)  # a worker that lived so long begins its pauses anew
KILL_AFTER = timedelta(seconds=10)  # beyond the drain: a worker that hangs
ASK_SECONDS_MAX = 2.0
PORT_SECONDS_MAX = 5.0  # workers of a dead parent let go of the port within this
log = structlog.get_logger()


@dataclass(slots=True)
class Child:
    """A worker as its parent sees it."""

    index: int
    process: Process | None = None
    metrics: int = 0
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pid(self) -> int:
        """Its process id, 0 while there is none."""
        return self.process.pid if self.process is not None else 0


async def supervise(
    settings: Settings, *, workers: int, environment: Mapping[str, str] | None = None
) -> None:
    """Run a node as several processes until SIGTERM or SIGINT; return when all have drained.

    Args:
        settings: of the node.
        workers: how many processes serve.
        environment: what they are given beside our own variables.

    Raises:
        LubiaoError: the node cannot start; the text says what to do.
    """
    begin_logs(settings)
    stopping = stopping_on_signals()
    await examine(settings)
    with await _kept_port(settings.bind) as kept:
        port = kept.getsockname()[1]
        async with database_server(settings, stopping, processes=workers) as dsn:
            supervisor = _Supervisor(settings, workers=workers, dsn=dsn, port=port)
            supervisor.environment = {**os.environ, **(environment or {})}
            await supervisor.run(stopping)
    log.info("node.stopped", node=settings.node_id)


class _Supervisor:
    """The workers of one node."""

    def __init__(self, settings: Settings, *, workers: int, dsn: str, port: int) -> None:
        self._settings, self._dsn, self._port = settings, dsn, port
        self._children = [Child(index) for index in range(workers)]
        self._path = settings.directory_path / "workers"
        self._is_started = False
        self.environment: Mapping[str, str] = os.environ

    async def run(self, stopping: asyncio.Event) -> None:
        """Keep the workers until `stopping` is set; return when all have ended."""
        async with self._telemetry() as metrics_port:
            keeping = [
                asyncio.create_task(self._keep(child, stopping), name=f"worker {child.index}")
                for child in self._children
            ]
            try:
                if await self._all_ready(stopping, keeping):
                    self._is_started = True
                    write_addresses(self._settings, self._port, metrics_port)
                    log.info("node.ready", node=self._settings.node_id, port=self._port)
                    await stopping.wait()
                stopping.set()
                self._terminate()
                await asyncio.wait(keeping)
                for kept in keeping:
                    kept.result()
            finally:
                stopping.set()
                self._settings.serving_path.unlink(missing_ok=True)
                self._path.unlink(missing_ok=True)

    async def _all_ready(self, stopping: asyncio.Event, keeping: list[asyncio.Task[None]]) -> bool:
        """Return True when all serve, False when the node shall stop or one cannot start."""
        ready = asyncio.create_task(self._ready())
        ending = asyncio.create_task(stopping.wait())
        watched: set[asyncio.Task[Any]] = {ready, ending, *keeping}
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        is_ready = ready.done()
        for waiting in (ready, ending):
            waiting.cancel()
        await asyncio.gather(ready, ending, return_exceptions=True)
        return is_ready

    async def _ready(self) -> None:
        for child in self._children:
            await child.is_ready.wait()

    def _terminate(self) -> None:
        for child in self._children:
            if child.process is not None and child.process.returncode is None:
                with suppress(ProcessLookupError):
                    child.process.terminate()

    # --- one worker ---------------------------------------------------------------------------

    async def _keep(self, child: Child, stopping: asyncio.Event) -> None:
        """Run a worker, again and again, until `stopping` is set."""
        pause = PAUSE_FIRST
        is_first = True
        while not stopping.is_set():
            began = asyncio.get_running_loop().time()
            try:
                code = await self._live(child, stopping, is_first=is_first)
            except OSError as error:  # no process, memory, descriptor or room on the disk just now
                code = error.errno or 1
            if stopping.is_set():
                return
            if not self._is_started:
                raise PeerUnreachable(
                    peer=f"worker {child.index}",
                    got=f"it ended with {code} before it served",
                    hint="what it wrote above says why",
                )
            lived = timedelta(seconds=asyncio.get_running_loop().time() - began)
            pause = PAUSE_FIRST if lived >= STAYED_UP else pause
            log.error("worker.died", index=child.index, code=code, pause=pause.total_seconds())
            with suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await stopping.wait()
            pause = min(pause * 2, PAUSE_MAX)
            is_first = False

    async def _live(self, child: Child, stopping: asyncio.Event, *, is_first: bool) -> int:
        """Start a worker and return its exit code when it has ended."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                child.process = await self._start(theirs, is_first=is_first)
        except BaseException:
            ours.close()
            raise
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        listening = asyncio.create_task(self._listen(child, reader))
        try:
            post = {
                "index": child.index,
                "workers": len(self._children),
                "dsn": self._dsn,
                "port": self._port,
            }
            writer.write(json.dumps(post).encode() + b"\n")
            return await self._ended(child.process, stopping)
        finally:
            listening.cancel()
            writer.close()  # a worker that still lives ends by this
            child.is_ready.clear()
            child.metrics = 0
            self._write_workers()

    async def _start(self, link: socket.socket, *, is_first: bool) -> Process:
        environment = dict(self.environment)
        if not is_first:  # what was injected into the first life is over with it
            environment.pop(crashpoints.VARIABLE, None)
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", str(self._settings.directory_path)),
            *(LINK_OPTION, str(link.fileno())),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(link.fileno(),),
            env=environment,
            start_new_session=True,  # a Ctrl-C reaches the parent, which stops in order
        )

    async def _listen(self, child: Child, reader: asyncio.StreamReader) -> None:
        said = await reader.readline()
        if not said:
            return
        child.metrics = int(json.loads(said)["metrics"])
        child.is_ready.set()
        self._write_workers()

    async def _ended(self, process: Process, stopping: asyncio.Event) -> int:
        """Return the exit code; a worker that hangs while the node stops is killed."""
        waiting = asyncio.create_task(process.wait())
        ending = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({waiting, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                with suppress(ProcessLookupError):
                    process.terminate()  # it may have been born while the others were told
                bound = timedelta(seconds=self._settings.limits.drain_seconds) + KILL_AFTER
                await asyncio.wait({waiting}, timeout=bound.total_seconds())
            if not waiting.done():
                process.kill()
            return await waiting
        finally:
            ending.cancel()
            waiting.cancel()

    def _write_workers(self) -> None:
        """Leave a line for each worker that serves."""
        ready = [child for child in self._children if child.is_ready.is_set()]
        text = "".join(f"{child.index} {child.pid} {child.metrics}\n" for child in ready)
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(text, encoding="ascii")
            fresh.replace(self._path)
        except OSError as error:  # a full disk: people see less, the workers go on
            log.warning("workers.unwritten", error=type(error).__name__)

    # --- metrics ------------------------------------------------------------------------------

    @asynccontextmanager
    async def _telemetry(self) -> AsyncIterator[int]:
        """Show the metrics of all workers; give the port, 0 for none."""
        if not self._settings.metrics.bind:
            yield 0
            return
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS_MAX)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            shown = _Shown(self._children, session)
            server = TelemetryServer(
                bind=self._settings.metrics.bind, metrics=shown, readiness=shown.readiness
            )
            port = await server.start()
            try:
                yield port
            finally:
                await server.stop()


class _Shown:
    """What the workers show, as one."""

    def __init__(self, children: list[Child], session: aiohttp.ClientSession) -> None:
        self._children, self._session = children, session

    async def exposition(self) -> bytes:
        """Return the metrics of the workers that answer."""
        found = await self._ask("metrics")
        return merged({index: text for index, (_, text) in found.items()}).encode()

    async def readiness(self) -> str:
        """Return READY when a worker takes work: the kernel sends to those that listen."""
        found = await self._ask("readyz")
        if any(code == HTTPStatus.OK for code, _ in found.values()):
            return READY
        reasons = [json.loads(text).get("reason", "") for _, text in found.values()]
        return reasons[0] if reasons else "no worker serves"

    async def _ask(self, what: str) -> dict[int, tuple[int, str]]:
        serving = [child for child in self._children if child.metrics]
        answers = await asyncio.gather(*(self._answer(child, what) for child in serving))
        return {
            child.index: answer
            for child, answer in zip(serving, answers, strict=True)
            if answer is not None
        }

    async def _answer(self, child: Child, what: str) -> tuple[int, str] | None:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"http://127.0.0.1:{child.metrics}/{what}") as answer:
                return answer.status, await answer.text()
        return None


async def _kept_port(bind: str) -> socket.socket:
    """Return a socket that keeps the address for the workers; it never listens.

    Raises:
        PeerUnreachable: somebody else has it.
    """
    host, _, port = bind.rpartition(":")
    end = asyncio.get_running_loop().time() + PORT_SECONDS_MAX
    while True:
        try:
            return _bound(host.strip("[]"), int(port))
        except OSError as error:
            if asyncio.get_running_loop().time() >= end:
                raise PeerUnreachable(
                    peer=f"address {bind}",
                    got="it cannot be bound",
                    hint="another process may listen there; choose another `bind` in node.toml",
                ) from error
        await asyncio.sleep(PAUSE_FIRST.total_seconds())


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    if port:
        # Without SO_REUSEPORT first: two nodes on one port are a mistake, not a balance.
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    kept = socket.socket(family, kind, protocol)
    try:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(address)
    except OSError:
        kept.close()
        raise
    return kept
