"""Of several processes on one outbox, only the one that holds a peer's claim sends to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.delivery.pump import Pump
from gateway.kernel.ids import NodeId
from tests.unit.delivery.builders import AT_TIANJIN, Post
from tests.unit.delivery.rooms import Room, running, until


@dataclass
class Claim:
    """A claim that a test moves."""

    is_held: bool
    asked: int = 0

    async def holds(self, node: NodeId) -> bool:
        del node
        self.asked += 1
        return self.is_held


def a_process(room: Room, claim: Claim) -> tuple[Pump, Post]:
    """Return another process of the node of `room`."""
    post = Post(room.peers)
    pump = Pump(
        database=room.office.database,
        transport=post,
        roster=lambda: room.peers.roster,
        clock=room.office.clock,
        claims=claim,
    )
    return pump, post


async def test_only_the_holder_sends_and_its_heir_goes_on() -> None:
    room, mine, theirs = Room(), Claim(is_held=True), Claim(is_held=False)
    (one, first), (two, second) = a_process(room, mine), a_process(room, theirs)
    async with running(one), running(two):
        await room.posted(3)
        for pump in (one, two):
            pump.wake(AT_TIANJIN)
        await until(lambda: not room.waiting)
        await until(lambda: theirs.asked > 0)
        assert first.carried
        assert not second.carried

        mine.is_held, theirs.is_held = False, True
        carried = len(first.carried)
        await room.posted(2)
        for pump in (one, two):
            pump.wake(AT_TIANJIN)
        await until(lambda: not room.waiting)

    assert second.carried
    assert len(first.carried) == carried


async def test_a_claim_that_was_lost_while_a_batch_is_under_way_does_no_harm() -> None:
    room, claim = Room(), Claim(is_held=True)
    (one, first), (two, second) = a_process(room, claim), a_process(room, Claim(is_held=True))
    await room.posted(3)

    await asyncio.gather(one.send_once(AT_TIANJIN), two.send_once(AT_TIANJIN))

    assert first.carried or second.carried
    assert room.waiting == []
    sequences = {
        envelope.sequence
        for post in (first, second)
        for _, envelopes in post.carried
        for envelope in envelopes
    }
    assert sequences == {1, 2, 3}
