"""A peer gets what it can bear, and what it does not take costs next to nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.model import BACKOFF_MAX, ENVELOPES_PER_BATCH_MAX, Mode
from gateway.delivery.pace import BARREN_ENVELOPES_MIN, BARREN_MAX, Pace
from gateway.delivery.sending import START, SUSPECTS_MAX
from gateway.delivery.store import CONTROLS, OUTBOX_NEXT, ControlRow
from gateway.kernel.errors import KeyUnknown, PeerUnreachable
from gateway.kernel.ids import NodeId, TicketNumber
from gateway.trust.statements import digest
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.unit.delivery.builders import AT_TIANJIN, HEBEI, NOW, TIANJIN
from tests.unit.delivery.rooms import Room, running, until

OTHER = TicketNumber("12000020260302000000025")
WAIT = KeyUnknown(key_id="k", signer=HEBEI, kind="statement")


@pytest.fixture
def room() -> Room:
    """A pump with an empty outbox."""
    return Room()


def bears(room: Room, most: int) -> list[int]:
    """Let the peer be too late with more than `most` envelopes; return the sizes of all batches."""
    original, sizes = room.post.deliver, []

    async def deliver(node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        sizes.append(len(envelopes))
        if len(envelopes) > most:
            raise PeerUnreachable(peer=f"node/{node}", got="DEADLINE_EXCEEDED")
        return await original(node, envelopes)

    room.post.deliver = deliver  # type: ignore[method-assign] # a slow peer
    return sizes


# --- what comes too late --------------------------------------------------------------------


async def test_a_batch_that_the_peer_cannot_handle_in_time_is_not_sent_whole_for_ever(
    room: Room,
) -> None:
    await room.posted(400)
    sizes = bears(room, 30)
    while room.waiting:
        await room.pump.send_once(AT_TIANJIN)
    late = [size for size in sizes if size > 30]
    assert len(late) <= 6, "each costs a whole deadline"
    assert len(sizes) <= 40, "and the rest are not smaller than they need be"


@given(most=st.integers(1, ENVELOPES_PER_BATCH_MAX), batches=st.integers(1, 200))
def test_what_a_peer_can_bear_is_found_and_tried_again_seldom(most: int, batches: int) -> None:
    pace, late = Pace(), 0
    for _ in range(batches):
        size = pace.batch_max
        if size > most:
            pace.was_late(size)
            late += 1
        else:
            pace.was_answered(size, is_barren=False)
    assert late <= ENVELOPES_PER_BATCH_MAX.bit_length() + batches // 2
    for _ in range(200):
        pace.was_answered(pace.batch_max, is_barren=False)
    assert pace.batch_max == ENVELOPES_PER_BATCH_MAX, "what was slow once may be well again"


async def test_a_small_trial_does_not_let_the_next_batch_be_as_large_as_before(room: Room) -> None:
    await room.posted(300)
    sizes = bears(room, 20)
    for _ in range(3):
        await room.pump.send_once(AT_TIANJIN)
    assert sizes == [100, 50, 25]
    await room.pump.send_once(AT_TIANJIN)
    await room.pump.send_once(AT_TIANJIN)
    assert sizes[3:] == [10, 12], "the trial of an open breaker says nothing about a larger one"


# --- what nothing is taken of ---------------------------------------------------------------


def defer_everything(room: Room) -> list[int]:
    sizes: list[int] = []

    async def deliver(node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        del node
        sizes.append(len(envelopes))
        digests = (
            digest(peer_pb.Envelope.FromString(raw).statement.statement) for raw in envelopes
        )
        return [
            room.peers.receipt(each, issuer=TIANJIN, error=WAIT, deferred=True) for each in digests
        ]

    room.post.deliver = deliver  # type: ignore[method-assign] # a peer with an old roster
    return sizes


async def test_a_peer_that_defers_everything_does_not_keep_us_busy(room: Room) -> None:
    await room.posted(100)
    sizes = defer_everything(room)
    sender = room.pump._sender(AT_TIANJIN)
    for _ in range(BARREN_MAX + 9):
        assert await room.pump.send_once(AT_TIANJIN)
        room.office.clock.advance(BACKOFF_MAX)
    assert sizes == [100] * (BARREN_MAX + 9)
    assert room.pump._delay(AT_TIANJIN, sender) > BACKOFF_MAX * 0.7
    del room.post.deliver  # it has the new roster
    assert await room.pump.send_once(AT_TIANJIN)
    assert room.pump._delay(AT_TIANJIN, sender) == timedelta(0), "over with the first one taken"


def test_a_few_envelopes_that_wait_hold_up_nothing() -> None:
    pace = Pace()
    for _ in range(100):
        pace.was_answered(BARREN_ENVELOPES_MIN - 1, is_barren=True)
    assert pace.is_full
    assert pace.setbacks == 0


async def test_a_peer_whose_receipts_are_all_wrong_fills_no_memory(room: Room) -> None:
    wrong = room.peers.receipt(digest(b"another"), issuer=TIANJIN)
    room.post.answer = lambda _envelope: wrong
    await room.posted(SUSPECTS_MAX + 300)
    sender = room.pump._sender(AT_TIANJIN)
    while await room.pump.send_once(AT_TIANJIN):
        pass
    assert len(room.post.carried) >= SUSPECTS_MAX // 100
    assert len(sender.suspects) <= SUSPECTS_MAX
    assert len(room.waiting) == SUSPECTS_MAX + 300


# --- reading ahead --------------------------------------------------------------------------


async def test_what_fails_while_the_next_is_read_is_not_overtaken(room: Room) -> None:
    """The read goes on behind what failed; it must not be sent before it."""
    [first, second] = await room.posted(2)
    sender = room.pump._sender(AT_TIANJIN)
    [row, _] = await room.pump._next_batch(AT_TIANJIN)
    sender.land([row])
    sender.flying.clear()
    sender.cursor = (row.not_before, row.position)
    unit: Any = type(room.office.database.unit())
    original, failed = unit.select, False

    async def select(self: Any, query: Any, **given: Any) -> Any:
        nonlocal failed
        rows = await original(self, query, **given)
        if query is OUTBOX_NEXT and not failed:
            failed = True
            sender.forget()  # as when a batch in flight is not answered
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unit, "select", select)
        batch = await room.pump._next_batch(AT_TIANJIN)
    assert [each.statement_digest for each in batch] == [first, second]


async def test_the_beginning_of_a_queue_is_read_again_as_seldom_as_that_takes_long(
    room: Room,
) -> None:
    """Under a long-open snapshot what was deleted is still read past: a second for a million."""
    await room.posted(1)
    sender = room.pump._sender(AT_TIANJIN)
    await room.pump.send_once(AT_TIANJIN)
    now = room.office.clock.now()
    sender.note_whole(now, took=timedelta(seconds=1))
    sender.cursor = (now, 7)
    sender.rewind(now)
    assert START < sender.cursor < (now, 0), "only what may have committed late"
    sender.rewind(now + timedelta(seconds=30))
    assert sender.cursor == START


# --- orders ---------------------------------------------------------------------------------


async def test_a_process_that_has_not_read_the_orders_yet_sends_nothing_to_a_paused_peer(
    room: Room,
) -> None:
    await room.posted(2)
    row = ControlRow(AT_TIANJIN, Mode.PAUSED.value, "maintenance", "x", NOW)
    async with room.office.database.unit() as uow:
        uow.put(CONTROLS, row)
    assert not await room.pump.send_once(AT_TIANJIN)
    assert room.post.carried == []


async def test_what_was_read_ahead_before_a_drain_waits_like_the_rest(room: Room) -> None:
    await room.posted(ENVELOPES_PER_BATCH_MAX)
    room.office.clock.advance(timedelta(seconds=2))
    late = await room.posted(5, ticket=OTHER)
    await room.pump.send_once(AT_TIANJIN)
    async with room.office.database.unit() as uow:
        changed = NOW + timedelta(seconds=1)
        uow.put(CONTROLS, ControlRow(AT_TIANJIN, Mode.DRAINING.value, "m", "x", changed))
    await room.pump._find_nodes()
    assert not await room.pump.send_once(AT_TIANJIN)
    assert [row.statement_digest for row in room.waiting] == late


async def test_an_order_given_elsewhere_is_obeyed_while_the_queue_is_long(room: Room) -> None:
    """Looking for queues may be slow; what people order is read every second all the same."""
    await room.posted(1)
    room.pump._look_at = NOW + timedelta(hours=1)
    async with running(room.pump):
        await until(lambda: not room.waiting)
        async with room.office.database.unit() as uow:
            uow.put(CONTROLS, ControlRow(AT_TIANJIN, Mode.PAUSED.value, "m", "x", NOW))
        await room.pump._find_nodes()
        await room.posted(1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(room.waiting) == 1
