"""A listener: one process hears at once what a transaction of another one announced.

Unlike the bell, what is heard here is announced by the database itself, with the commit (a trigger
that calls `pg_notify`), and whoever listens knows whether it hears: it is told when the listening
began, and with which state, and when it ended. A connection may die without a word, so a short
question is asked on it again and again; an answer that does not come in time is an end.
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

AGAIN = timedelta(milliseconds=300)  # nothing is decided meanwhile
BEAT = timedelta(seconds=1)
BEAT_WAIT = timedelta(seconds=5)  # a busy machine; what rests on it is checked at each commit
CONNECT_SECONDS_MAX = 5.0
_log = structlog.get_logger()


class Listener:
    """Listens on one channel, as long as it runs."""

    def __init__(
        self,
        dsn: str,
        *,
        channel: str,
        state: str,
        begun: Callable[[int], None],
        heard: Callable[[int], None],
        ended: Callable[[], None],
    ) -> None:
        """Describe the listening.

        Args:
            dsn: the database.
            channel: what to listen on; a payload is a number.
            state: SQL that returns the number as it is now.
            begun: told the number once the listening has begun.
            heard: told each number that was announced, or found by asking.
            ended: told when nothing is heard any more; harmless when it was told before.
        """
        self._dsn = dsn
        self._channel = channel
        self._state = state
        self._begun = begun
        self._heard = heard
        self._ended = ended

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except (*LOST, asyncpg.PostgresError) as error:
                _log.warning("listener.lost", channel=self._channel, reason=type(error).__name__)
            finally:
                self._ended()
            await asyncio.sleep(AGAIN.total_seconds())

    async def _listen(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=CONNECT_SECONDS_MAX)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(self._channel, self._hear)
            self._begun(await self._ask(connection))
            while not lost.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT.total_seconds()):
                        await lost.wait()
                if not lost.is_set():
                    self._heard(await self._ask(connection))
        finally:
            with suppress(*LOST):
                await connection.close(timeout=BEAT.total_seconds())

    async def _ask(self, connection: asyncpg.Connection) -> int:
        return int(await connection.fetchval(self._state, timeout=BEAT_WAIT.total_seconds()))

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        with suppress(ValueError):  # whatever else somebody wrote into the channel
            self._heard(int(str(payload)))
