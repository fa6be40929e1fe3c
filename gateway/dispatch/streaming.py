"""Messages as a stream: a bounded window, several units at once, coalesced acknowledgements.

**Theory of operation.** Each message takes the same path as by CreateTicket and fails alone. Up to
`window` messages are read and not yet acknowledged; beyond that the stream is not read, and gRPC
holds its sender back. A few of them are worked on at once, which is what makes a stream quicker
than calls one after another. Results are collected and sent when the oldest has waited 50 ms, when
half the window has collected (so the sender is never stopped by our waiting), or at the end.

Results come in the order of their commits. `up_to` is the greatest number up to which every message
is answered: what lies above it is sent again by a caller whose stream broke, under the same request
ids, and gets the first answers.

Whatever ends a stream (its caller, a wrong sequence, a drain, a deadline), what was read is
finished and, while anybody still listens, acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Generic, TypeVar

from gateway.kernel.errors import FieldInvalid
from gateway.kernel.values import dataclass

WINDOW = 256  # messages read and not acknowledged, of one stream
UNITS_AT_ONCE = 128  # messages worked on; they share units of work (`database/grouping.py`)
GATHERED_MAX = 500  # results of one response, a bound of the standard
GATHER_TIME = timedelta(milliseconds=50)
FAREWELL = timedelta(seconds=5)  # a caller that does not read must not keep its stream for ever

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Numbered(Generic[Item]):
    """A message with its number in the stream."""

    sequence: int
    item: Item


class SubmissionStream(Generic[Item, Result]):
    """One stream of messages; it is used once."""

    def __init__(
        self,
        *,
        create: Callable[[Numbered[Item]], Awaitable[Result]],
        acknowledge: Callable[[list[Result], int], Awaitable[None]],
        window: int = WINDOW,
        units_at_once: int = UNITS_AT_ONCE,
        gather_time: timedelta = GATHER_TIME,
        farewell: timedelta = FAREWELL,
    ) -> None:
        """Make the stream.

        Args:
            create: takes one message and returns its result; it never raises for a bad one.
            acknowledge: sends results and up to where all are answered.
            window: messages read and not acknowledged.
            units_at_once: messages worked on at a time.
            gather_time: how long a result may wait for others.
            farewell: how long the last acknowledgements may take when the stream was ended.
        """
        self._create = create
        self._acknowledge = acknowledge
        self._room = asyncio.Semaphore(window)
        self._units = asyncio.Semaphore(units_at_once)
        self._gathered_max = min(max(1, window // 2), GATHERED_MAX)
        self._gather_time = gather_time
        self._farewell = farewell
        self._gathered: list[Result] = []
        self._answered: set[int] = set()
        self._up_to = 0
        self._working: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._full = asyncio.Event()
        self._is_over = False

    async def run(self, messages: AsyncIterator[Numbered[Item]]) -> None:
        """Take messages until their end.

        Raises:
            FieldInvalid: a sequence did not rise by one; what came before is acknowledged.
        """
        sending = asyncio.create_task(self._send(), name="acknowledgements")
        reading = asyncio.create_task(self._read(messages), name="messages")
        try:
            # An end of either ends the stream: nobody reads on for a caller that is gone.
            await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # a drain, a deadline
            reading.cancel()
            await self._finish(sending, within=self._farewell)
            raise
        reading.cancel()
        try:
            await self._finish(sending)
        finally:
            sending.cancel()  # no effect on one that has ended
        if reading.done() and not reading.cancelled():
            reading.result()

    async def _finish(
        self, sending: asyncio.Task[None], *, within: timedelta | None = None
    ) -> None:
        """Let what was read come to its end, and acknowledge it while anybody reads that."""
        while self._working:
            await asyncio.wait(self._working)
        self._is_over = True
        self._news.set()
        self._full.set()
        await asyncio.wait({sending}, timeout=within.total_seconds() if within else None)
        if sending.cancel():
            return
        await sending

    async def _read(self, messages: AsyncIterator[Numbered[Item]]) -> None:
        expected = 1
        while True:
            await self._room.acquire()
            try:
                message = await anext(messages)
            except StopAsyncIteration:
                return
            if message.sequence != expected:
                raise FieldInvalid(
                    field="sequence",
                    got=message.sequence,
                    expected=expected,
                    hint="the stream is over; begin a new one with what was not acknowledged",
                )
            expected += 1
            task = asyncio.create_task(self._take(message))
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    async def _take(self, message: Numbered[Item]) -> None:
        async with self._units:
            result = await self._create(message)
        self._gathered.append(result)
        self._answered.add(message.sequence)
        while self._up_to + 1 in self._answered:
            self._up_to += 1
            self._answered.discard(self._up_to)
        self._news.set()
        if len(self._gathered) >= self._gathered_max:
            self._full.set()

    async def _send(self) -> None:
        while not (self._is_over and not self._gathered):
            await self._news.wait()
            await self._gather()
            self._news.clear()
            self._full.clear()
            results, self._gathered = self._gathered, []
            if results:
                await self._acknowledge(results, self._up_to)
            for _ in results:
                self._room.release()
            if self._gathered or self._is_over:
                self._news.set()

    async def _gather(self) -> None:
        """Wait a moment for more results."""
        if self._is_over:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gather_time.total_seconds()):
                await self._full.wait()
