"""A fault-injecting TCP proxy: one `Link` from one node to another, whose bytes may wait or die.

A link carries the connections that its source opens, so two links make a pair of nodes and each
direction of calling fails by itself: asymmetric partitions. Within a link, calls may get through
while answers do not (`deafen`): the peer has committed and the sender does not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK = 65_536


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

    async def start(self) -> None:
        """Listen on a free port of this machine."""
        self._calls.set()
        self._answers.set()
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
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
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        host, port = self.endpoint.rsplit(":", 1)
        try:
            onward, back = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, back}
        self._open |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, back, self._calls))
                group.create_task(self._carry(onward, writer, self._answers))
        finally:
            self._open -= pair
            for each in pair:
                each.transport.abort()

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
async def linked(endpoints: dict[str, str]) -> AsyncIterator[Links]:
    """Run a link between any two of the nodes."""
    links = [
        Link(source, target, endpoint)
        for target, endpoint in endpoints.items()
        for source in endpoints
        if source != target
    ]
    for link in links:
        await link.start()
    try:
        yield Links(links)
    finally:
        for link in links:
            await link.stop()
