"""A node uses the newest roster that verifies, and nothing else."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.directory.follower import RosterKeeper
from gateway.directory.holder import RosterHolder
from gateway.directory.store import RosterFile
from gateway.kernel.errors import (
    ChainForked,
    FieldInvalid,
    LubiaoError,
    ResourceNotFound,
    SignatureInvalid,
)
from gateway.kernel.time import ManualClock
from gateway.telemetry.metrics import Metrics
from gateway.trust.keys import Purpose, generate
from gateway.trust.roster import Freshness
from gateway.trust.roster_file import sign_roster
from tests.unit.trust.builders import NOW, a_roster

KEY = generate(Purpose.STATEMENT)


def signed(version: int, *, demo: bool = False) -> bytes:
    return sign_roster(a_roster(version=version, demo=demo), KEY)


def a_holder(folder: Path, clock: ManualClock | None = None) -> RosterHolder:
    return RosterHolder(
        file=RosterFile(folder / "roster.binpb"),
        roster_key=KEY.public,
        allow_demo=False,
        clock=clock or ManualClock(NOW),
    )


async def test_without_a_roster_whoever_asks_learns_what_to_do(tmp_path: Path) -> None:
    holder = a_holder(tmp_path)
    assert not await holder.load()
    assert (holder.version, holder.signed) == (0, b"")
    assert holder.alarm() == "no roster yet"
    with pytest.raises(ResourceNotFound):
        _ = holder.current


async def test_an_installed_roster_is_on_disk_and_survives_a_restart(tmp_path: Path) -> None:
    newest = signed(7)
    assert await a_holder(tmp_path).install(newest)
    again = a_holder(tmp_path)
    assert await again.load()
    assert (again.version, again.signed) == (7, newest)
    assert again.knows_node("tianjin")
    assert not again.knows_node("stranger")


async def test_the_same_roster_twice_changes_nothing(tmp_path: Path) -> None:
    holder, newest = a_holder(tmp_path), signed(7)
    assert await holder.install(newest)
    assert not await holder.install(newest)


@pytest.mark.parametrize(
    ("arriving", "error"),
    [
        (signed(6), FieldInvalid),
        (signed(7), ChainForked),  # other keys under the same version
        (signed(8, demo=True), FieldInvalid),
        (sign_roster(a_roster(version=8), generate(Purpose.STATEMENT)), SignatureInvalid),
    ],
    ids=["older", "forked", "demo", "foreign-key"],
)
async def test_what_may_not_be_used_changes_neither_value_nor_file(
    tmp_path: Path, arriving: bytes, error: type[LubiaoError]
) -> None:
    holder, newest = a_holder(tmp_path), signed(7)
    await holder.install(newest)
    with pytest.raises(error):
        await holder.install(arriving)
    assert holder.signed == newest == (tmp_path / "roster.binpb").read_bytes()


async def test_waiters_get_each_newer_roster(tmp_path: Path) -> None:
    holder = a_holder(tmp_path)
    changes = holder.changes(7)
    waiting = asyncio.ensure_future(anext(changes))
    await holder.install(signed(7))
    newest = signed(8)
    await holder.install(newest)
    assert await waiting == newest
    await changes.aclose()


async def test_a_stale_roster_goes_on_working_with_an_alarm(tmp_path: Path) -> None:
    clock, metrics = ManualClock(NOW), Metrics()
    holder = RosterHolder(
        file=RosterFile(tmp_path / "roster.binpb"),
        roster_key=KEY.public,
        allow_demo=False,
        clock=clock,
        metrics=metrics,
    )
    await holder.install(signed(7))
    assert holder.alarm() == ""
    clock.advance(timedelta(days=31))
    assert holder.freshness() is Freshness.STALE
    assert holder.current.version == 7
    assert "lubiao_roster_alarm 1.0" in metrics.exposition().decode()
    metrics.close()


async def test_a_file_that_a_person_replaces_is_used(tmp_path: Path) -> None:
    holder = a_holder(tmp_path)
    keeper = RosterKeeper(holder=holder)
    RosterFile(tmp_path / "roster.binpb").replace(signed(7))
    await keeper.look(is_alarm_due=True)
    assert holder.version == 7
    (tmp_path / "roster.binpb").write_bytes(b"half a file")
    await keeper.look(is_alarm_due=True)
    assert holder.version == 7
    RosterFile(tmp_path / "roster.binpb").replace(signed(8))
    await keeper.look(is_alarm_due=False)
    assert holder.version == 8
