"""A stream of messages: window, order, coalescing, and what happens at its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from gateway.dispatch.streaming import Numbered, SubmissionStream
from gateway.kernel.errors import FieldInvalid

WINDOW = 8


@dataclass
class Desk:
    """Takes messages when the test lets it, and notes what was acknowledged."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    taken: list[int] = field(default_factory=list)
    responses: list[tuple[list[int], int]] = field(default_factory=list)
    read: int = 0

    def stream(
        self, *, gather: timedelta = timedelta(milliseconds=1), **options: timedelta
    ) -> SubmissionStream[str, int]:
        return SubmissionStream(
            create=self.create,
            acknowledge=self.acknowledge,
            window=WINDOW,
            units_at_once=3,
            gather_time=gather,
            **options,
        )

    async def create(self, message: Numbered[str]) -> int:
        await self.gate.wait()
        self.taken.append(message.sequence)
        return message.sequence

    async def acknowledge(self, results: list[int], up_to: int) -> None:
        self.responses.append((results, up_to))

    async def messages(self, count: int, *, start: int = 1) -> AsyncIterator[Numbered[str]]:
        for sequence in range(start, start + count):
            self.read += 1
            yield Numbered(sequence, "message")

    @property
    def acknowledged(self) -> list[int]:
        return [result for results, _ in self.responses for result in results]


async def until_idle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_everything_is_answered_once_and_the_last_number_says_so() -> None:
    desk = Desk()
    desk.gate.set()
    await desk.stream().run(desk.messages(100))
    assert sorted(desk.acknowledged) == list(range(1, 101))
    assert desk.acknowledged == desk.taken, "results come in the order of commits"
    assert desk.responses[-1][1] == 100
    assert [up_to for _, up_to in desk.responses] == sorted(up for _, up in desk.responses)


async def test_acknowledgements_are_coalesced() -> None:
    desk = Desk()
    desk.gate.set()
    await desk.stream(gather=timedelta(seconds=1)).run(desk.messages(100))
    assert len(desk.responses) < 50


async def test_no_more_than_the_window_is_read_ahead_of_what_is_acknowledged() -> None:
    desk = Desk()
    running = asyncio.create_task(desk.stream().run(desk.messages(100)))
    await until_idle()
    assert desk.read == WINDOW
    desk.gate.set()
    await running
    assert desk.read == 100


async def test_a_number_out_of_turn_ends_the_stream_and_what_came_before_is_answered() -> None:
    desk = Desk()
    desk.gate.set()

    async def messages() -> AsyncIterator[Numbered[str]]:
        for sequence in (1, 2, 4):
            yield Numbered(sequence, "message")

    with pytest.raises(FieldInvalid) as refused:
        await desk.stream().run(messages())
    assert refused.value.metadata["field"] == "sequence"
    assert (refused.value.metadata["got"], refused.value.metadata["expected"]) == ("4", "3")
    assert sorted(desk.acknowledged) == [1, 2]
    assert desk.responses[-1][1] == 2


async def test_a_drain_finishes_and_acknowledges_what_was_read() -> None:
    desk = Desk()
    running = asyncio.create_task(desk.stream().run(desk.messages(100)))
    await until_idle()
    running.cancel()
    await until_idle()
    assert not running.done(), "work that was begun is not thrown away"
    desk.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(desk.acknowledged) == list(range(1, WINDOW + 1))


async def test_a_caller_that_is_gone_ends_the_stream() -> None:
    desk = Desk()
    desk.gate.set()

    async def fail(results: list[int], up_to: int) -> None:
        raise ConnectionError

    desk.acknowledge = fail  # type: ignore[method-assign] # a caller that is gone
    with pytest.raises(ConnectionError):
        await desk.stream().run(desk.messages(1000))
    assert desk.read <= 2 * WINDOW


async def test_a_caller_that_reads_no_answers_cannot_hold_the_end_up() -> None:
    desk = Desk()
    desk.gate.set()

    async def block(results: list[int], up_to: int) -> None:
        await asyncio.Event().wait()

    desk.acknowledge = block  # type: ignore[method-assign] # a caller that does not read
    stream = desk.stream(farewell=timedelta(milliseconds=10))
    running = asyncio.create_task(stream.run(desk.messages(100)))
    await until_idle()
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=5)
    assert done == {running}
