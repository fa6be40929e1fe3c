"""Everything is sent until it is receipted; no peer and no envelope holds up another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.database.memory import MemoryDatabase
from gateway.delivery import codec
from gateway.delivery.model import (
    BACKOFF_FIRST,
    BACKOFF_MAX,
    BATCH_BYTES_MAX,
    DEFER_MAX,
    ENVELOPES_PER_BATCH_MAX,
    SealedBlock,
)
from gateway.delivery.peers import backoff
from gateway.delivery.store import REFUSALS
from gateway.kernel.errors import ChainForked, KeyUnknown
from gateway.kernel.ids import NodeId
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, digest, sign
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.unit.delivery.builders import (
    AT_HEBEI,
    AT_TIANJIN,
    HEBEI,
    LANGFANG,
    NOW,
    TIANJIN,
)
from tests.unit.delivery.rooms import Room, running, until

REFUSED = ChainForked(signer=HEBEI, kind="Offer", epoch="0.1")
WAIT = KeyUnknown(key_id="k", signer=HEBEI, kind="statement")


@pytest.fixture
def room() -> Room:
    """A pump with an empty outbox."""
    return Room()


# --- receipts -------------------------------------------------------------------------------


async def test_a_received_row_is_gone(room: Room) -> None:
    await room.posted(2)
    assert await room.pump.send_once(AT_TIANJIN)
    assert room.waiting == []
    assert not await room.pump.send_once(AT_TIANJIN), "nothing is left"


async def test_a_refused_row_goes_to_the_list_for_people(room: Room) -> None:
    [first, second] = await room.posted(2)
    refusal = room.peers.receipt(first, issuer=TIANJIN, error=REFUSED)
    room.answers(refusal, room.receipt(second))
    await room.pump.send_once(AT_TIANJIN)
    assert room.waiting == []
    assert isinstance(room.office.database, MemoryDatabase)
    [row] = room.office.database.rows(REFUSALS)
    assert (row.statement_digest, row.reason, row.receipt) == (first, "CHAIN_FORKED", refusal)
    assert peer_pb.Envelope.FromString(row.envelope).target == TIANJIN


async def test_a_deferred_row_does_not_hold_up_the_others(room: Room) -> None:
    [first, second] = await room.posted(2)
    deferral = room.peers.receipt(first, issuer=TIANJIN, error=WAIT, deferred=True)
    room.answers(deferral, room.receipt(second), room.receipt(first))
    assert await room.pump.send_once(AT_TIANJIN)
    assert [row.statement_digest for row in room.waiting] == [first]
    assert not await room.pump.send_once(AT_TIANJIN), "not before its time"
    [third] = await room.posted()
    room.answers(room.receipt(third), room.receipt(first))
    await room.pump.send_once(AT_TIANJIN)
    room.office.clock.advance(BACKOFF_FIRST)
    await room.pump.send_once(AT_TIANJIN)
    assert room.waiting == []


async def test_a_peers_absurd_wish_is_bounded(room: Room) -> None:
    """A delay that no clock holds must neither stop the pump nor hide the row for ever."""
    [posted] = await room.posted()
    message = peer_pb.Receipt.FromString(
        peer_pb.SignedReceipt.FromString(
            room.peers.receipt(posted, issuer=TIANJIN, error=WAIT, deferred=True)
        ).receipt
    )
    message.deferred.retry_delay.seconds = 2**60
    raw = message.SerializeToString()
    key = room.peers.keys.signing_key(TIANJIN)
    signature = sign(key, raw, payload_type=RECEIPT_PAYLOAD_TYPE)
    room.answers(codec.signed_receipt_to_bytes(raw, key_id=key.key_id, signature=signature))
    await room.pump.send_once(AT_TIANJIN)
    [row] = room.waiting
    assert row.not_before == NOW + DEFER_MAX


async def test_what_is_no_receipt_of_the_target_leaves_the_row(room: Room) -> None:
    [posted] = await room.posted()
    other = digest(b"another statement")
    wrong = [
        b"",
        b"\xff\xff",
        room.peers.receipt(posted, issuer=TIANJIN, signer=HEBEI),
        room.peers.receipt(posted, issuer=HEBEI),
        room.peers.receipt(other, issuer=TIANJIN),
    ]
    for receipt in wrong:
        room.answers(receipt)
        assert await room.pump.send_once(AT_TIANJIN)
        assert [row.statement_digest for row in room.waiting] == [posted]
        room.office.clock.advance(BACKOFF_MAX)
    room.answers(room.receipt(posted))
    await room.pump.send_once(AT_TIANJIN)
    assert room.waiting == []


async def test_a_batch_with_too_few_receipts_counts_as_not_answered(room: Room) -> None:
    await room.posted(2)
    original = room.post.deliver

    async def short(node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        return (await original(node, envelopes))[:1]

    room.post.deliver = short  # type: ignore[method-assign] # a peer that forgets
    assert not await room.pump.send_once(AT_TIANJIN)
    assert len(room.waiting) == 2
    assert room.pump.failures(AT_TIANJIN) == 1


# --- batches and numbers --------------------------------------------------------------------


async def test_a_resend_carries_the_same_number(room: Room) -> None:
    await room.posted(2)
    room.post.fails = 1
    await room.pump.send_once(AT_TIANJIN)
    await room.posted()
    await room.pump.send_once(AT_TIANJIN)
    (_, first), (_, second) = room.post.carried
    assert [envelope.sequence for envelope in first] == [1, 2]
    assert [envelope.sequence for envelope in second] == [1, 2, 3]
    assert [e.SerializeToString() for e in first] == [e.SerializeToString() for e in second[:2]]


async def test_a_batch_keeps_both_bounds(room: Room) -> None:
    await room.posted(ENVELOPES_PER_BATCH_MAX + 1)
    await room.pump.send_once(AT_TIANJIN)
    assert len(room.post.carried[0][1]) == ENVELOPES_PER_BATCH_MAX
    await room.pump.send_once(AT_TIANJIN)
    big = SealedBlock("case_block", bytes(250_000), "suite", "key")
    await room.posted(BATCH_BYTES_MAX // 250_000 + 3, blocks=(big,))
    await room.pump.send_once(AT_TIANJIN)
    sizes = [envelope.ByteSize() for envelope in room.post.carried[-1][1]]
    assert sum(sizes) <= BATCH_BYTES_MAX
    assert len(sizes) > 1
    await room.pump.send_once(AT_TIANJIN)
    assert room.waiting == []


async def test_an_envelope_alone_may_be_larger_than_a_batch(room: Room) -> None:
    huge = tuple(SealedBlock("case_block", bytes(1_000_000), "s", "k") for _ in range(4))
    await room.posted(blocks=huge)
    assert await room.pump.send_once(AT_TIANJIN)


# --- when a peer does not answer ------------------------------------------------------------


@given(st.integers(1, 60), st.sampled_from(["tianjin", "hebei", "n"]))
def test_back_off_begins_at_half_a_second_doubles_and_stays_below_four(
    failures: int, name: str
) -> None:
    delay = backoff(NodeId(name), failures)
    full = min(BACKOFF_FIRST * 2 ** min(failures - 1, 10), BACKOFF_MAX)
    assert full * 0.75 <= delay <= full
    assert delay == backoff(NodeId(name), failures)
    assert backoff(NodeId(name), 0) == timedelta(0)


async def test_a_failed_call_loses_nothing_and_is_counted(room: Room) -> None:
    posted = await room.posted(2)
    room.post.fails = 3
    for failures in (1, 2, 3):
        assert not await room.pump.send_once(AT_TIANJIN)
        assert room.pump.failures(AT_TIANJIN) == failures
    assert [row.statement_digest for row in room.waiting] == posted
    assert await room.pump.send_once(AT_TIANJIN)
    assert room.pump.failures(AT_TIANJIN) == 0


async def test_inbound_traffic_ends_the_back_off(room: Room) -> None:
    """The back-off of the eighth failure is over three seconds; contact ends it at once."""
    await room.posted()
    room.post.fails = 8
    for _ in range(7):
        await room.pump.send_once(AT_TIANJIN)
    async with running(room.pump):
        await until(lambda: len(room.post.carried) == 8)
        assert room.pump.failures(AT_TIANJIN) == 8
        await room.posted()
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(room.post.carried) == 8, "new work alone does not shorten it"
        await room.office.take(room.peers.envelope())
        await until(lambda: not room.waiting)


async def test_a_commit_wakes_the_sender(room: Room) -> None:
    async with running(room.pump):
        await room.posted()
        await until(lambda: not room.waiting)
        await room.posted()
        await until(lambda: not room.waiting)


async def test_a_defect_on_the_way_to_one_peer_does_not_stop_the_others(room: Room) -> None:
    elsewhere = NodeId("elsewhere")
    moved = {TIANJIN: AT_TIANJIN, HEBEI: AT_HEBEI, LANGFANG: elsewhere}
    room.peers.roster = room.peers.listed(hosts=moved)
    original = room.post.deliver

    async def deliver(node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        if node == elsewhere:
            raise RuntimeError("a defect")
        return await original(node, envelopes)

    room.post.deliver = deliver  # type: ignore[method-assign] # a transport with a defect
    async with running(room.pump):
        async with room.office.database.unit() as uow:
            signed = room.peers.signed(issuer=HEBEI, audience=(LANGFANG,), signer=HEBEI)
            room.office.post(uow, signed, target=LANGFANG)
        await until(lambda: room.pump.failures(elsewhere) > 0)
        await room.posted()
        await until(lambda: [row.target for row in room.waiting] == [LANGFANG])


async def test_what_waits_follows_an_authority_that_moved(room: Room) -> None:
    await room.posted(2)
    elsewhere = NodeId("elsewhere")
    moved = {TIANJIN: elsewhere, HEBEI: AT_HEBEI}
    room.peers.roster = room.peers.listed(hosts=moved)
    assert not await room.pump.send_once(AT_TIANJIN)
    assert room.post.carried == [], "nothing goes where nobody could sign for it"
    assert {row.node for row in room.waiting} == {elsewhere}
    assert await room.pump.send_once(elsewhere)
    assert room.waiting == []


async def test_a_row_of_an_authority_that_left_keeps_waiting(room: Room) -> None:
    await room.posted()
    room.peers.roster = replace(
        room.peers.roster, authorities={HEBEI: room.peers.roster.authorities[HEBEI]}
    )
    assert await room.pump.send_once(AT_TIANJIN)
    assert len(room.waiting) == 1, "its receipt cannot be verified"
