"""The file beside the database: several processes change it, and none undoes what another wrote."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.custody import store
from gateway.custody.incarnation import SINCE_MARGIN, FileWitness, Seen, begin_life
from gateway.custody.sealer import CLOCK_BACK_MAX, LedgerSealer
from gateway.kernel.ids import AuthorityCode
from tests.simulation.stage import Stage

TIANJIN, HEBEI = AuthorityCode("120000"), AuthorityCode("130000")


def test_what_two_workers_seal_at_once_is_known_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reads, the other writes, the first writes: without a lock a head would be lost."""
    read, both = FileWitness.read, threading.Barrier(2)

    def slowly(self: FileWitness) -> Seen:
        seen = read(self)
        with suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.3)  # both have read before either writes, unless one waits
        return seen

    monkeypatch.setattr(FileWitness, "read", slowly)
    with ThreadPoolExecutor(2) as pool:
        for code in (TIANJIN, HEBEI):
            pool.submit(FileWitness(tmp_path).sealed, code, 7)
    monkeypatch.undo()
    assert FileWitness(tmp_path).read().heads == {TIANJIN: 7, HEBEI: 7}


async def test_a_worker_that_starts_forgets_nothing_that_another_noted(tmp_path: Path) -> None:
    stage, witness = Stage(), FileWitness(tmp_path)
    node = stage.node_of(TIANJIN)

    class Late(FileWitness):
        """Between its reading of file and database, another seals and a person speaks."""

        def read(self) -> Seen:
            seen = super().read()
            if not seen.heads:
                super().write(replace(seen, heads={TIANJIN: 5}, must_recover=True))
            return seen

    async with node.database.unit() as uow:
        await begin_life(
            uow, node=node.id, authorities=(TIANJIN,), witness=Late(tmp_path), now=node.clock.now()
        )
    assert (witness.read().heads, witness.read().must_recover) == ({TIANJIN: 5}, True)


async def test_a_new_life_never_uses_the_number_of_an_entry_again(tmp_path: Path) -> None:
    """No peer saw the entries that were lost: the folder alone knows their numbers."""
    stage, witness = Stage(), FileWitness(tmp_path)
    node = stage.node_of(TIANJIN)
    witness.sealed(TIANJIN, 20)  # the backup has none
    async with node.database.unit() as uow:
        state = await begin_life(
            uow, node=node.id, authorities=(TIANJIN,), witness=witness, now=node.clock.now()
        )
    assert state.mode == "recovering"
    sealer = LedgerSealer(keys=node.keys)
    sealer.used = witness.used
    await stage.create(TIANJIN)
    async with node.database.unit() as uow:
        entry = await sealer.seal(uow, TIANJIN, now=node.clock.now())
    assert entry is not None
    assert entry.sequence == 21


async def test_a_clock_that_was_set_right_leaves_the_ledger_in_order() -> None:
    """A little; an entry must not claim to be much later than it is, or recovery asks too late."""
    stage = Stage()
    node = stage.node_of(TIANJIN)
    for minutes in (0, -5, -200):
        await stage.create(TIANJIN)
        async with node.database.unit() as uow:
            now = node.clock.now() + timedelta(minutes=minutes)
            await LedgerSealer(keys=node.keys).seal(uow, TIANJIN, now=now)
    first, second, third = node.database.rows(store.LEDGER_ENTRIES)
    assert second.recorded == first.recorded
    assert third.recorded == first.recorded - timedelta(minutes=200)
    assert SINCE_MARGIN > CLOCK_BACK_MAX
