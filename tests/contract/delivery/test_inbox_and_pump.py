"""Statement, receipt and resend on both engines: once, and the same answer for ever."""

from __future__ import annotations

import asyncio

from gateway.database.uow import Database
from gateway.delivery.model import Outcome
from gateway.delivery.pump import Pump
from gateway.delivery.store import EVIDENCE, INBOX, OUTBOX_NODES, REFUSALS
from gateway.kernel.errors import ChainForked
from gateway.trust.statements import digest
from tests.unit.delivery.builders import (
    AT_TIANJIN,
    HEBEI,
    KIND,
    TAKEN,
    TIANJIN,
    Office,
    Peers,
    Post,
)

DDL = "CREATE TABLE taken (target text, digest bytea, PRIMARY KEY (target, digest))"


async def test_a_repeat_is_answered_with_the_stored_bytes(database: Database) -> None:
    office = Office(Peers(), database)
    envelope = office.peers.envelope()
    first = await office.take(envelope)
    assert office.peers.opened(first).outcome is Outcome.RECEIVED
    assert await office.take(envelope) == first
    again = Office(office.peers, database)  # a restart
    assert await again.take(envelope) == first
    assert again.counts == ["repeated"]


async def test_of_two_at_once_one_takes_effect(database: Database) -> None:
    office = Office(Peers(), database)
    envelope = office.peers.envelope()
    receipts = await asyncio.gather(*(office.take(envelope) for _ in range(4)))
    assert len(set(receipts)) == 1
    assert sorted(office.counts) == ["received", "repeated", "repeated", "repeated"]


async def test_a_refused_statement_leaves_evidence_and_no_trace_else(database: Database) -> None:
    office = Office(Peers(), database)
    office.raises = ChainForked(signer=TIANJIN, kind=KIND, epoch="0.0")
    envelope = office.peers.envelope()
    first = await office.take(envelope)
    name = digest(envelope.statement.statement)
    async with database.unit() as uow:
        assert await uow.get(TAKEN, HEBEI, name) is None
        answer, evidence = await uow.get(INBOX, HEBEI, name), await uow.get(EVIDENCE, HEBEI, name)
    assert answer is not None
    assert (answer.outcome, answer.receipt) == ("refused", first)
    assert evidence is not None
    assert evidence.reason == "CHAIN_FORKED"


async def test_what_is_posted_waits_until_it_is_receipted(database: Database) -> None:
    office = Office(Peers(), database)
    post = Post(office.peers)
    pump = Pump(
        database=database,
        transport=post,
        roster=lambda: office.peers.roster,
        clock=office.clock,
    )
    digests = []
    async with database.unit() as uow:
        for _ in range(3):
            signed = office.peers.signed(issuer=HEBEI, audience=(TIANJIN,), signer=HEBEI)
            office.post(uow, signed)
            digests.append(digest(signed.statement))
    post.fails = 1
    assert not await pump.send_once(AT_TIANJIN)
    refusal = office.peers.receipt(
        digests[0],
        issuer=TIANJIN,
        error=ChainForked(signer=HEBEI, kind=KIND, epoch="0.0"),
    )
    receipts = iter(
        [refusal, *(office.peers.receipt(name, issuer=TIANJIN) for name in digests[1:])]
    )
    post.answer = lambda _envelope: next(receipts)
    assert await pump.send_once(AT_TIANJIN)
    (_, first), (_, second) = post.carried
    assert [item.sequence for item in first] == [item.sequence for item in second] == [1, 2, 3]
    async with database.unit() as uow:
        assert await uow.select(OUTBOX_NODES) == []
        refused = await uow.get(REFUSALS, TIANJIN, digests[0])
    assert refused is not None
    assert refused.receipt == refusal
