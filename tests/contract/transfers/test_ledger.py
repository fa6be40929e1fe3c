"""The ledger of an authority: signed entries that cover every row once, in order."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from gateway.custody import ledger, store
from gateway.custody.sealer import LEDGER_PAYLOAD_TYPE, LedgerSealer
from gateway.database.timers import TIMERS
from gateway.database.uow import Database
from gateway.kernel.errors import SignatureInvalid
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.trust.key_ring import KeyRing
from gateway.trust.statements import verify
from tests.fixtures.nodes import NOW

TIANJIN = AuthorityCode("120000")
TICKET = "12000020260302000010004"


def a_row(sequence: int, *, recorded: Instant = NOW) -> store.CustodyRow:
    return store.CustodyRow(
        authority=TIANJIN,
        ticket=TICKET,
        scope="120000",
        number=1,
        sequence=sequence,
        txid=0,
        previous_digest=b"",
        kind="Genesis",
        epoch=0,
        subject_digest=bytes(32),
        state_digest=bytes(32),
        row_digest=hashlib.sha256(str(sequence).encode()).digest(),
        holding="HELD",
        recorded=recorded,
    )


async def insert(database: Database, *sequences: int) -> None:
    async with database.unit() as uow:
        for sequence in sequences:
            uow.insert(store.CUSTODY_ROWS, a_row(sequence))


async def seal(
    database: Database, sealer: LedgerSealer, *, after: timedelta = timedelta(0)
) -> store.LedgerEntryRow | None:
    async with database.unit() as uow:
        return await sealer.seal(uow, TIANJIN, now=NOW + after)


async def test_entries_chain_and_cover_every_row_once(database: Database) -> None:
    sealer = LedgerSealer(keys=KeyRing.in_memory([TIANJIN]))
    await insert(database, 1, 2)
    first = await seal(database, sealer)
    await insert(database, 3)
    second = await seal(database, sealer, after=timedelta(seconds=10))

    assert first is not None
    assert second is not None
    assert (first.sequence, first.row_count) == (1, 2)
    assert (second.sequence, second.row_count) == (2, 1)
    assert second.previous_digest == first.entry_digest
    assert second.root == ledger.merkle_root([a_row(3).row_digest])


async def test_nothing_new_makes_no_entry(database: Database) -> None:
    sealer = LedgerSealer(keys=KeyRing.in_memory([TIANJIN]))
    await insert(database, 1)
    await seal(database, sealer)

    assert await seal(database, sealer) is None


async def test_an_entry_is_signed_by_its_authority(database: Database) -> None:
    keys = KeyRing.in_memory([TIANJIN])
    await insert(database, 1)
    entry = await seal(database, LedgerSealer(keys=keys))

    assert entry is not None
    public = keys.signing_key(TIANJIN).public
    verify(public, entry.entry_digest, entry.signature, payload_type=LEDGER_PAYLOAD_TYPE)
    with pytest.raises(SignatureInvalid):
        verify(public, bytes(32), entry.signature, payload_type=LEDGER_PAYLOAD_TYPE)


async def test_the_timer_seals_and_comes_back(database: Database) -> None:
    sealer = LedgerSealer(keys=KeyRing.in_memory([TIANJIN]))
    await insert(database, 1)
    async with database.unit() as uow:
        await sealer.handle(uow, key=TIANJIN, now=NOW)

    async with database.unit() as uow:
        timer = await uow.get(TIMERS, "custody.ledger", TIANJIN)
        entry = await uow.get(store.LEDGER_ENTRIES, TIANJIN, 1)
    assert timer is not None
    assert timer.due > NOW
    assert entry is not None
