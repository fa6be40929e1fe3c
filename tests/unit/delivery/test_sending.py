"""One envelope, one ticket or one peer holds up nothing else, and people learn what waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from google.rpc import error_details_pb2

from gateway.database.memory import MemoryDatabase
from gateway.database.uow import PEER, ROLLED_BACK
from gateway.delivery import codec
from gateway.delivery.model import BACKOFF_FIRST, BACKOFF_MAX, Breaker, Item, ItemState, Mode
from gateway.delivery.peers import PeerBook
from gateway.delivery.ports import REJECTED
from gateway.delivery.pump import BATCHES_IN_FLIGHT_MAX
from gateway.delivery.sending import ALONE_MAX, INVALID_RECEIPTS_MAX
from gateway.delivery.store import (
    CONTROLS,
    NUMBERS,
    OUTBOX,
    ContactRow,
    ControlRow,
    OutboxRow,
)
from gateway.delivery.undelivered import UNDELIVERED, UndeliveredRow
from gateway.kernel.errors import ChainForked, PeerUnreachable
from gateway.kernel.ids import NodeId, TicketNumber
from gateway.kernel.time import ManualClock
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, digest, sign
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.unit.delivery.builders import AT_HEBEI, AT_TIANJIN, HEBEI, LANGFANG, NOW, TIANJIN
from tests.unit.delivery.rooms import Room, running, until

OTHER = TicketNumber("12000020260302000000025")


@pytest.fixture
def room() -> Room:
    """A pump with an empty outbox."""
    return Room()


def items(room: Room) -> list[UndeliveredRow]:
    """Return what waits for a person."""
    assert isinstance(room.office.database, MemoryDatabase)
    return room.office.database.rows(UNDELIVERED)


def reject(room: Room, *poisons: bytes, everything: bool = False) -> list[int]:
    """Let the peer reject every batch that holds one of these; return the sizes of all batches."""
    original, sizes = room.post.deliver, []

    async def deliver(node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        sizes.append(len(envelopes))
        opened = [peer_pb.Envelope.FromString(raw) for raw in envelopes]
        if everything or any(digest(each.statement.statement) in poisons for each in opened):
            raise PeerUnreachable(peer=f"node/{node}", got="INVALID_ARGUMENT", about=REJECTED)
        return await original(node, envelopes)

    room.post.deliver = deliver  # type: ignore[method-assign] # a peer that takes no poison
    return sizes


# --- what poisons ---------------------------------------------------------------------------


async def test_an_envelope_that_no_batch_survives_is_isolated_and_set_aside(room: Room) -> None:
    posted = await room.posted(40)
    reject(room, posted[17])
    for _ in range(200):
        await room.pump.send_once(AT_TIANJIN)
        room.office.clock.advance(BACKOFF_MAX)
        if not room.waiting:
            break
        await room.posted()  # others go on passing
    assert room.waiting == []
    [item] = items(room)
    assert (item.kind, item.state) == (Item.SET_ASIDE.value, ItemState.OPEN.value)
    assert item.statement_digest == posted[17]
    assert peer_pb.Envelope.FromString(item.envelope).target == TIANJIN
    assert item.sequence == 18
    assert isinstance(room.office.database, MemoryDatabase)
    assert room.office.database.rows(NUMBERS) == [], "nothing of what is gone is left behind"


async def test_a_peer_that_rejects_everything_loses_nothing(room: Room) -> None:
    await room.posted(5)
    sizes = reject(room, everything=True)
    for _ in range(60):
        await room.pump.send_once(AT_TIANJIN)
        room.office.clock.advance(BACKOFF_MAX)
    assert len(room.waiting) == 5
    assert items(room) == []
    assert sizes[0] == 5
    assert set(sizes[3:]) == {1}


async def test_a_poison_alone_in_the_queue_waits_for_the_alarm_of_its_age(room: Room) -> None:
    posted = await room.posted()
    reject(room, *posted)
    for _ in range(ALONE_MAX + 3):
        await room.pump.send_once(AT_TIANJIN)
        room.office.clock.advance(BACKOFF_MAX)
    assert len(room.waiting) == 1
    assert items(room) == []


async def test_an_envelope_that_fails_alone_while_nothing_else_passes_is_not_set_aside(
    room: Room,
) -> None:
    """The peer had a bad spell, took one other, and had a bad spell again."""
    posted = await room.posted()
    reject(room, *posted)
    sender = room.pump._sender(AT_TIANJIN)
    for _ in range(2):
        for _ in range(ALONE_MAX):
            await room.pump.send_once(AT_TIANJIN)
            room.office.clock.advance(BACKOFF_MAX)
        sender.passed += 1
    assert items(room) == []
    await room.pump.send_once(AT_TIANJIN)
    assert [item.kind for item in items(room)] == [Item.SET_ASIDE.value]


async def test_an_envelope_whose_receipt_is_for_ever_wrong_is_set_aside(room: Room) -> None:
    [wrong] = await room.posted()
    received = room.post.received

    def answer(envelope: peer_pb.Envelope) -> bytes:
        if digest(envelope.statement.statement) == wrong:
            return room.peers.receipt(wrong, issuer=TIANJIN, signer=HEBEI)
        return received(envelope)

    room.post.answer = answer
    for _ in range(2 * INVALID_RECEIPTS_MAX + 4):
        await room.pump.send_once(AT_TIANJIN)
        await room.posted()
        await room.pump.send_once(AT_TIANJIN)
        room.office.clock.advance(BACKOFF_MAX)
    assert wrong not in {row.statement_digest for row in room.waiting}
    [item] = items(room)
    assert (item.kind, item.reason) == (Item.SET_ASIDE.value, "STATEMENT_MALFORMED")


async def test_an_empty_receipt_only_says_that_a_roster_is_old(room: Room) -> None:
    [early] = await room.posted()
    received = room.post.received
    room.post.answer = lambda envelope: (
        b"" if digest(envelope.statement.statement) == early else received(envelope)
    )
    for _ in range(2 * INVALID_RECEIPTS_MAX):
        await room.posted()
        await room.pump.send_once(AT_TIANJIN)
        room.office.clock.advance(BACKOFF_MAX)
    assert early in {row.statement_digest for row in room.waiting}


async def test_a_refusal_is_told_to_people(room: Room) -> None:
    [posted] = await room.posted()
    error = ChainForked(signer=HEBEI, kind="Offer", epoch="0.1")
    room.answers(room.peers.receipt(posted, issuer=TIANJIN, error=error))
    await room.pump.send_once(AT_TIANJIN)
    [item] = items(room)
    assert (item.kind, item.reason, item.node) == ("refused", "CHAIN_FORKED", AT_TIANJIN)


async def test_what_a_peer_writes_into_a_refusal_is_bounded(room: Room) -> None:
    """It is stored and logged: a code or nothing, and no megabyte of it."""
    [odd, huge] = await room.posted(2)

    def refused(posted: bytes, *, reason: str, text: str) -> bytes:
        raw = room.peers.receipt(
            posted, issuer=TIANJIN, error=ChainForked(signer=HEBEI, kind="Offer", epoch="0.1")
        )
        message = peer_pb.Receipt.FromString(peer_pb.SignedReceipt.FromString(raw).receipt)
        info = error_details_pb2.ErrorInfo(reason=reason)
        del message.refused.error.details[:]
        message.refused.error.details.add().Pack(info)
        message.refused.error.message = text
        key, signed = room.peers.keys.signing_key(TIANJIN), message.SerializeToString()
        signature = sign(key, signed, payload_type=RECEIPT_PAYLOAD_TYPE)
        return codec.signed_receipt_to_bytes(signed, key_id=key.key_id, signature=signature)

    room.answers(
        refused(odd, reason="<b>\n" * 100, text=""), refused(huge, reason="X", text="x" * 20_000)
    )
    await room.pump.send_once(AT_TIANJIN)
    [item] = items(room)
    assert (item.statement_digest, item.reason) == (odd, "UNREADABLE")
    assert [row.statement_digest for row in room.waiting] == [huge], "no receipt at all"


# --- several batches in flight --------------------------------------------------------------


async def test_several_batches_fly_and_no_two_of_them_hold_one_ticket(room: Room) -> None:
    numbers = [TicketNumber(f"1200002026030200000{n:04}") for n in range(10)]
    for _ in range(2):
        for number in numbers * 10:
            await room.posted(ticket=number)
        await room.posted(100, ticket=OTHER)
    gate, flying, overtaking = asyncio.Event(), set[str](), set[str]()
    original = room.post.deliver

    async def deliver(node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        batch = {row.ticket for row in room.waiting if _wire_of(row.envelope, envelopes)}
        overtaking.update(batch & flying)
        flying.update(batch)
        await gate.wait()
        flying.difference_update(batch)
        return await original(node, envelopes)

    room.post.deliver = deliver  # type: ignore[method-assign] # a peer that takes its time
    async with running(room.pump):
        for _ in range(50):
            await asyncio.sleep(0)
        assert OTHER in flying
        assert len(flying) > 1
        gate.set()
        await until(lambda: not room.waiting)
    assert not overtaking, "a statement could overtake another one of its ticket"


def _wire_of(envelope: bytes, batch: list[bytes]) -> bool:
    return any(raw.startswith(envelope) for raw in batch)


async def test_a_slow_peer_has_a_bounded_number_of_batches(room: Room) -> None:
    calls = 0

    async def deliver(node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        nonlocal calls
        calls += 1
        await asyncio.Event().wait()
        return []

    room.post.deliver = deliver  # type: ignore[method-assign] # a peer that never answers
    async with running(room.pump):
        for n in range(3 * BATCHES_IN_FLIGHT_MAX):
            await room.posted(ticket=TicketNumber(f"1200002026030200000{n:04}"))
            for _ in range(20):
                await asyncio.sleep(0)
    assert calls == BATCHES_IN_FLIGHT_MAX


async def test_a_peer_that_never_answers_slows_down_nobody_else(room: Room) -> None:
    elsewhere = NodeId("elsewhere")
    room.peers.roster = room.peers.listed(
        hosts={TIANJIN: AT_TIANJIN, HEBEI: AT_HEBEI, LANGFANG: elsewhere}
    )
    original = room.post.deliver

    async def deliver(node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        if node == elsewhere:
            await asyncio.Event().wait()
        return await original(node, envelopes)

    room.post.deliver = deliver  # type: ignore[method-assign] # one peer hangs
    async with room.office.database.unit() as uow:
        for n in range(500):
            ticket = TicketNumber(f"1200002026030200000{n:04}")
            signed = room.peers.signed(
                issuer=HEBEI, audience=(LANGFANG,), signer=HEBEI, ticket=ticket
            )
            room.office.post(uow, signed, target=LANGFANG, ticket=ticket)
    async with running(room.pump):
        for _ in range(5):
            await room.posted(20)
            await until(lambda: {row.target for row in room.waiting} == {LANGFANG})
    assert len(room.waiting) == 500


async def test_what_commits_behind_the_cursor_is_sent_all_the_same(room: Room) -> None:
    await room.posted(3)
    assert isinstance(room.office.database, MemoryDatabase)
    [late, *_] = room.waiting
    async with room.office.database.unit() as uow:
        uow.delete(OUTBOX, late.position)
    await room.pump.send_once(AT_TIANJIN)
    async with room.office.database.unit() as uow:
        uow.insert(OUTBOX, replace(late, position=0, not_before=NOW - timedelta(minutes=5)))
    assert await room.pump.send_once(AT_TIANJIN)
    assert room.waiting == []


# --- back-off and breaker -------------------------------------------------------------------


async def test_the_breaker_opens_at_the_third_failure_and_closes_by_an_answer(room: Room) -> None:
    await room.posted(30)
    room.post.fails = 3
    peer = room.pump.book.of(AT_TIANJIN)
    for expected in (Breaker.CLOSED, Breaker.CLOSED, Breaker.OPEN):
        await room.pump.send_once(AT_TIANJIN)
        assert peer.breaker is expected
    assert peer.error == "cut"
    assert peer.retry_at is not None
    seen: list[tuple[Breaker, int]] = []
    original = room.post.deliver

    async def deliver(node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        seen.append((peer.breaker, len(envelopes)))
        return await original(node, envelopes)

    room.post.deliver = deliver  # type: ignore[method-assign] # looks at the breaker
    await room.pump.send_once(AT_TIANJIN)
    await room.pump.send_once(AT_TIANJIN)
    assert seen == [(Breaker.HALF_OPEN, 10), (Breaker.CLOSED, 20)], "a small batch tries first"
    assert (peer.sent, peer.received) == (30 + 30 + 30 + 10 + 20, 30)


async def test_a_peer_that_calls_without_pause_does_not_make_us_call_without_pause() -> None:
    clock = ManualClock(NOW)
    book = PeerBook(clock)
    peer = book.of(AT_TIANJIN)
    ended = 0
    for _ in range(1000):
        peer.failed(clock.now(), error="cut")
        ended += book.heard(AT_TIANJIN)
        clock.advance(timedelta(milliseconds=1))
    assert ended == 2, "once every half second"
    assert peer.heard == clock.now() - timedelta(milliseconds=1)


async def test_a_database_that_is_away_is_no_failure_of_the_peer(room: Room) -> None:
    await room.posted()

    async def settle(batch: list[OutboxRow], receipts: list[bytes]) -> bool:
        del batch, receipts
        raise PeerUnreachable(peer=PEER, got="lost", outcome=ROLLED_BACK)

    original = room.pump._settle
    room.pump._settle = settle  # type: ignore[method-assign] # the database is away
    assert not await room.pump.send_once(AT_TIANJIN)
    assert room.pump.failures(AT_TIANJIN) == 0
    room.pump._settle = original  # type: ignore[method-assign] # it is back
    assert await room.pump.send_once(AT_TIANJIN)
    assert room.waiting == []


# --- what people order ----------------------------------------------------------------------


async def ordered(room: Room, mode: Mode) -> None:
    """Write an order as the service does, and let the pump read it."""
    now = room.office.clock.now()
    async with room.office.database.unit() as uow:
        uow.put(CONTROLS, ControlRow(AT_TIANJIN, mode.value, "maintenance", "x", now))
    await room.pump._find_nodes()


async def test_nothing_is_sent_to_a_paused_peer_until_it_is_resumed(room: Room) -> None:
    await room.posted(2)
    await ordered(room, Mode.PAUSED)
    assert not await room.pump.send_once(AT_TIANJIN)
    assert room.post.carried == []
    await ordered(room, Mode.OPEN)
    assert await room.pump.send_once(AT_TIANJIN)
    assert room.waiting == []


async def test_a_drained_peer_gets_what_was_posted_before_the_order(room: Room) -> None:
    before = await room.posted(2)
    room.office.clock.advance(BACKOFF_FIRST)
    await ordered(room, Mode.DRAINING)
    room.office.clock.advance(BACKOFF_FIRST)
    after = await room.posted(2)
    while await room.pump.send_once(AT_TIANJIN):
        pass
    assert [row.statement_digest for row in room.waiting] == after
    [(_, carried)] = room.post.carried
    assert [digest(each.statement.statement) for each in carried] == before


async def test_contacts_of_an_earlier_life_are_remembered_but_never_go_back(room: Room) -> None:
    book = room.pump.book
    book.remember([ContactRow("tianjin", NOW, None)])
    assert book.contacts() == [ContactRow("tianjin", NOW, None)]
    room.office.clock.advance(timedelta(minutes=1))
    book.heard(AT_TIANJIN)
    book.remember([ContactRow("tianjin", NOW, NOW)])
    assert book.contacts() == [ContactRow("tianjin", NOW, NOW + timedelta(minutes=1))]
