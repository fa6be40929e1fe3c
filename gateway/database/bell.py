"""The bell: one process of a node tells the others, at once, that something waits for them.

Work that another process left in the database is found by everybody's poll within a second; the
bell makes that milliseconds. It is PostgreSQL's LISTEN and NOTIFY on a connection of its own, so a
unit of work pays nothing for it: who rings after a commit only adds a topic to a set, and what has
gathered within a few milliseconds goes out as one notification. A ring may get lost (a connection
that breaks, a full queue): nothing rests on it, the poll remains.

Topics are short names without secrets, such as `pump/tianjin`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import structlog

from gateway.database.faults import LOST

CHANNEL = "lubiao"
GATHER = timedelta(milliseconds=5)  # what is rung together goes out together
AGAIN = timedelta(seconds=1)
CONNECT_SECONDS_MAX = 10.0
TOPICS_MAX = 64  # of one notification; PostgreSQL carries 8000 bytes
_log = structlog.get_logger()


class Bell:
    """Rings for the other processes, and hears them."""

    def __init__(self, dsn: str, *, heard: Callable[[str], None]) -> None:
        """Tell `heard` each topic that another process rang."""
        self._dsn = dsn
        self._heard = heard
        self._rung: set[str] = set()
        self._due = asyncio.Event()
        self._connection: asyncpg.Connection | None = None

    def ring(self, topic: str) -> None:
        """Tell the others, soon; what is rung while nobody can be reached is forgotten."""
        if self._connection is not None:
            self._rung.add(topic)
            self._due.set()

    @property
    def is_ready(self) -> bool:
        """Whether it hears now."""
        return self._connection is not None

    async def run(self) -> None:
        """Ring and hear until cancelled."""
        while True:
            try:
                await self._serve()
            except LOST as error:
                _log.warning("bell.lost", reason=type(error).__name__)
            await asyncio.sleep(AGAIN.total_seconds())

    async def _serve(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=CONNECT_SECONDS_MAX)
        try:
            connection.add_termination_listener(lambda _connection: self._due.set())
            await connection.add_listener(CHANNEL, self._hear)
            self._connection = connection
            while not connection.is_closed():
                await self._due.wait()
                await asyncio.sleep(GATHER.total_seconds())
                await self._send(connection)
        finally:
            self._connection = None
            self._rung.clear()
            self._due.clear()
            with suppress(*LOST):
                await connection.close(timeout=AGAIN.total_seconds())

    async def _send(self, connection: asyncpg.Connection) -> None:
        self._due.clear()
        while self._rung and not connection.is_closed():
            topics = [self._rung.pop() for _ in range(min(len(self._rung), TOPICS_MAX))]
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, "\n".join(topics))

    def _hear(self, connection: Any, pid: int, _channel: str, payload: object) -> None:
        if pid == connection.get_server_pid():
            return  # it was this process that rang
        for topic in str(payload).splitlines():
            self._heard(topic)
