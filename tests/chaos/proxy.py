"""A fault-injecting TCP proxy: one `Link` from one node to another, whose bytes may wait or die.

A link carries the connections that its source opens, so two links make a pair of nodes and each
direction of calling fails by itself: asymmetric partitions. Within a link, calls may get through
while answers do not (`deafen`): the peer has committed and the sender does not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK = 65_536
ACCEPTED_SECONDS = 0.01  # until the loop has handed over what it had accepted


@dataclass(slots=True)
class Link:
    """What one node dials to reach another."""

    source: str
    target: str
    endpoint: str  # where the target really listens
    delay: float = 0.0  # seconds before a chunk goes on, in each direction
    port: int = 0
    carried: int = 0  # bytes
    _calls: asyncio.Event = field(default_factory=asyncio.Event)
    _answers: asyncio.Event = field(default_factory=asyncio.Event)
    _is_cut: bool = False
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The two nodes, for a file that is read again."""
        return f"{self.source}>{self.target}"

    async def start(self, port: int = 0) -> None:
        """Listen on a port of this machine; 0: a free one."""
        self._calls.set()
        self._answers.set()
        self._server = await asyncio.start_server(self._take, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything, and wait until the loop has forgotten it."""
        if self._server is not None:
            self._server.close()  # first: nobody comes in while the others are sent away
            await asyncio.sleep(ACCEPTED_SECONDS)
        open_writers = list(self._open)
        self.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in open_writers:
            with suppress(OSError):
                await writer.wait_closed()
        if self._server is not None:
            await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        self._is_cut = True
        for writer in list(self._open):
            writer.transport.abort()

    def swallow(self) -> None:
        """Keep all bytes: connections stay, nothing arrives; `heal` lets it all through."""
        self._calls.clear()
        self._answers.clear()

    def deafen(self) -> None:
        """Let calls through and keep the answers."""
        self._answers.clear()

    def heal(self) -> None:
        """Carry again, what was kept included."""
        self._is_cut = False
        self.delay = 0.0
        self._calls.set()
        self._answers.set()

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Also of a task that is cancelled before its first step, which runs no `finally`.
        task.add_done_callback(lambda _: self._leave(writer))

    def _leave(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            return
        host, port = self.endpoint.rsplit(":", 1)
        try:
            onward, back = await asyncio.open_connection(host, int(port))
        except OSError:
            return
        self._open.add(back)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, back, self._calls))
                group.create_task(self._carry(onward, writer, self._answers))
        finally:
            self._leave(back)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await gate.wait()
                writer.write(chunk)
                self.carried += len(chunk)
                await writer.drain()
        writer.transport.abort()


class Links:
    """All links of a federation, by source and target."""

    def __init__(self, links: Iterable[Link]) -> None:
        """Hold the links."""
        self._links = {(link.source, link.target): link for link in links}

    def __getitem__(self, pair: tuple[str, str]) -> Link:
        """Return the link from a node to another."""
        return self._links[pair]

    def of(self, node: str) -> list[Link]:
        """Return every link that begins or ends at a node."""
        return [link for pair, link in self._links.items() if node in pair]

    def all(self) -> list[Link]:
        """Return every link."""
        return list(self._links.values())

    def heal(self) -> None:
        """Heal every link."""
        for link in self._links.values():
            link.heal()


@asynccontextmanager
async def linked(
    endpoints: dict[str, str], *, ports: Mapping[str, int] | None = None
) -> AsyncIterator[Links]:
    """Run a link between any two of the nodes; `ports` are those of an earlier run, by name."""
    links = [
        Link(source, target, endpoint)
        for target, endpoint in endpoints.items()
        for source in endpoints
        if source != target
    ]
    for link in links:
        await link.start((ports or {}).get(link.name, 0))
    try:
        yield Links(links)
    finally:
        for link in links:
            await link.stop()
