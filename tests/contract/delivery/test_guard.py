"""A defect of ours is quarantined, and no peer fills the disk with what it may not sign."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import structlog

from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.guard import FAILURES_MAX, PROBATION, Guard
from gateway.delivery.model import DEFER_MAX, Delivered, Item, ItemState, Outcome
from gateway.delivery.quotas import PeerQuota
from gateway.delivery.store import EVIDENCE, INBOX
from gateway.delivery.undelivered import UNDELIVERED, UndeliveredRow, item_name
from gateway.kernel.errors import ChainForked, ResourceExists
from gateway.trust.statements import digest
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.unit.delivery.builders import AT_TIANJIN, HEBEI, KIND, TIANJIN, Office, Peers

DDL = "CREATE TABLE taken (target text, digest bytea, PRIMARY KEY (target, digest))"


@pytest.fixture(autouse=True)
def _no_log_lines() -> Iterator[None]:
    with structlog.testing.capture_logs():  # of the planted defects
        yield


async def item(database: Database, kind: Item, envelope: peer_pb.Envelope) -> UndeliveredRow | None:
    name = item_name(kind, HEBEI, digest(envelope.statement.statement))
    async with database.unit() as uow:
        return await uow.get(UNDELIVERED, name)


async def flush(office: Office) -> None:
    async with office.database.unit() as uow:
        await office.inbox.guard.load(uow)
        await office.inbox.guard.flush(uow)


async def test_what_our_handler_fails_on_again_and_again_is_quarantined(
    database: Database,
) -> None:
    office = Office(Peers(), database)
    poison, sound = office.peers.envelope(), office.peers.envelope()
    office.raises = RuntimeError("a defect")
    for _ in range(FAILURES_MAX):
        assert office.peers.opened(await office.take(poison)).outcome is Outcome.DEFERRED
    office.raises = None
    receipt = office.peers.opened(await office.take(poison))
    assert (receipt.outcome, receipt.retry_delay) == (Outcome.DEFERRED, DEFER_MAX)
    assert office.peers.opened(await office.take(sound)).outcome is Outcome.RECEIVED
    await flush(office)
    row = await item(database, Item.QUARANTINED, poison)
    assert row is not None
    assert (row.node, row.reason, row.state) == (AT_TIANJIN, "RuntimeError", "open")
    assert row.statement_kind == KIND


async def test_what_collides_with_our_rows_again_and_again_is_quarantined(
    database: Database,
) -> None:
    office = Office(Peers(), database)
    poison = office.peers.envelope()
    office.raises = ResourceExists(kind="taken", name="taken_pkey")
    for _ in range(FAILURES_MAX):
        assert office.peers.opened(await office.take(poison)).outcome is Outcome.DEFERRED
    await flush(office)
    row = await item(database, Item.QUARANTINED, poison)
    assert row is not None
    assert row.reason == "RESOURCE_EXISTS"


async def test_quarantine_survives_a_restart_and_ends_when_the_statement_is_taken(
    database: Database,
) -> None:
    office = Office(Peers(), database)
    poison = office.peers.envelope()
    office.raises = RuntimeError("a defect")
    for _ in range(FAILURES_MAX):
        await office.take(poison)
    await flush(office)
    office.raises = None
    office.inbox.guard = Guard(clock=office.clock)
    await flush(office)
    assert office.peers.opened(await office.take(poison)).outcome is Outcome.DEFERRED
    office.clock.advance(PROBATION)
    assert office.peers.opened(await office.take(poison)).outcome is Outcome.RECEIVED
    await flush(office)
    row = await item(database, Item.QUARANTINED, poison)
    assert row is not None
    assert row.state == ItemState.RESOLVED.value
    async with database.unit() as uow:
        assert await uow.get(INBOX, HEBEI, digest(poison.statement.statement)) is not None


async def test_a_peer_that_signs_nonsense_all_day_fills_no_disk(database: Database) -> None:
    office = Office(Peers(), database)
    office.inbox.guard = Guard(clock=office.clock, quota=PeerQuota(evidence_per_day=3))
    office.raises = ChainForked(signer=TIANJIN, kind=KIND, epoch="0.0")
    envelopes = [office.peers.envelope() for _ in range(6)]
    outcomes = [office.peers.opened(await office.take(each)).outcome for each in envelopes]
    assert outcomes == [Outcome.REFUSED] * 3 + [Outcome.DEFERRED] * 3
    for envelope in envelopes[3:]:
        name = digest(envelope.statement.statement)
        async with database.unit() as uow:
            assert await uow.get(INBOX, HEBEI, name) is None
            assert await uow.get(EVIDENCE, HEBEI, name) is None
        assert await item(database, Item.EVIDENCE, envelope) is None
    # A restart does not forget how much there is.
    office.inbox.guard = Guard(clock=office.clock, quota=PeerQuota(evidence_per_day=3))
    more = office.peers.opened(await office.take(office.peers.envelope()))
    assert more.outcome is Outcome.DEFERRED
    again = office.peers.opened(await office.take(envelopes[0]))
    assert again.outcome is Outcome.REFUSED, "what was answered is answered alike"


async def test_what_is_kept_as_proof_has_a_bound_of_bytes_too(database: Database) -> None:
    office = Office(Peers(), database)
    quota = PeerQuota(evidence_bytes_per_day=10_000)
    office.inbox.guard = Guard(clock=office.clock, quota=quota)
    office.raises = ChainForked(signer=TIANJIN, kind=KIND, epoch="0.0")

    async def taken() -> Outcome:
        signed = office.peers.signed(body=bytes(3000))
        return office.peers.opened(await office.take(office.peers.envelope(signed))).outcome

    assert [await taken() for _ in range(4)] == [Outcome.REFUSED] * 3 + [Outcome.DEFERRED]
    office.inbox.guard = Guard(clock=office.clock, quota=quota)
    assert await taken() is Outcome.DEFERRED, "also after a restart"


async def test_what_a_peer_adds_beside_the_signed_bytes_is_no_proof(database: Database) -> None:
    office = Office(Peers(), database)
    office.raises = ChainForked(signer=TIANJIN, kind=KIND, epoch="0.0")
    envelope = office.peers.envelope()
    plain = len(envelope.SerializeToString())
    envelope.MergeFromString(b"\x9a\x06\xa0\x8d\x06" + bytes(100_000))  # an unknown field
    assert office.peers.opened(await office.take(envelope)).outcome is Outcome.REFUSED
    async with database.unit() as uow:
        kept = await uow.get(EVIDENCE, HEBEI, digest(envelope.statement.statement))
    assert kept is not None
    assert len(kept.envelope) == plain


async def test_evidence_is_told_to_people(database: Database) -> None:
    office = Office(Peers(), database)
    office.raises = ChainForked(signer=TIANJIN, kind=KIND, epoch="0.0")
    envelope = office.peers.envelope()
    await office.take(envelope)
    row = await item(database, Item.EVIDENCE, envelope)
    assert row is not None
    assert (row.node, row.source, row.reason) == (AT_TIANJIN, TIANJIN, "CHAIN_FORKED")


async def test_what_is_quarantined_does_not_take_the_batches_of_its_peer_apart(
    database: Database,
) -> None:
    """Not even when the defect is in what reads ahead: it is left out before."""
    office = Office(Peers(), database)
    poison = office.peers.envelope()
    name, units = digest(poison.statement.statement), 0

    async def prepare(uow: UnitOfWork, batch: Sequence[Delivered]) -> None:
        nonlocal units
        del uow
        units += 1
        if name in {each.digest for each in batch}:
            raise RuntimeError("a defect")

    office.inbox.register({}, prepare=prepare)
    for _ in range(FAILURES_MAX):
        await office.take(poison)
    units = 0
    batch = [office.peers.envelope() for _ in range(10)]
    receipts = await office.inbox.take_batch([poison, *batch], peer=AT_TIANJIN)
    outcomes = [office.peers.opened(raw).outcome for raw in receipts]
    assert outcomes == [Outcome.DEFERRED] + [Outcome.RECEIVED] * 10
    assert units == 1, "one transaction for all the others"
