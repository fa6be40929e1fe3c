"""A past decision is made again as of its moment, and compared byte for byte (I8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.database.memory import MemoryDatabase
from gateway.kernel.codes import DestinationCondition
from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.time import Instant
from gateway.reference.data import ReferenceData
from gateway.rehearsal.codec import states_from_json, states_to_json
from gateway.rehearsal.wire import replay_to_pb
from gateway.routing.model import DestinationState
from gateway.routing.packs import PackSet
from tests.unit.rehearsal.builders import NOW, a_rehearsal, an_editor, decided
from tests.unit.rehearsal.test_simulate import KEPT, MOVED


async def test_what_was_decided_is_decided_again(packs: PackSet, reference: ReferenceData) -> None:
    database = MemoryDatabase()
    numbers = await decided(database, [MOVED, KEPT], packs=packs, reference=reference)
    later = NOW + timedelta(days=400)  # the calendar of a replay is that of then
    rehearsal = a_rehearsal(database, packs=packs, reference=reference, now=later)
    for number in numbers:
        replay = await rehearsal.replay(an_editor(), number)
        assert replay.is_identical
        assert replay.decision.trace_digest == replay.past.trace_digest
    message = replay_to_pb(replay)
    assert message.is_identical
    assert message.trace


async def test_other_reference_data_is_said(packs: PackSet, reference: ReferenceData) -> None:
    database = MemoryDatabase()
    (number,) = await decided(database, [MOVED], packs=packs, reference=reference)
    other = replace(reference, version="another version of the data")
    replay = await a_rehearsal(database, packs=packs, reference=other).replay(an_editor(), number)
    assert not replay.is_identical
    assert "基础数据" in replay.difference


async def test_a_pack_that_is_gone_is_said(packs: PackSet, reference: ReferenceData) -> None:
    database = MemoryDatabase()
    (number,) = await decided(database, [MOVED], packs=packs, reference=reference)
    changed = PackSet(
        replace(pack, version="0" * 64) if pack.pack == "131000.langfang" else pack
        for pack in packs.packs
    )
    rehearsal = a_rehearsal(database, packs=changed, reference=reference)
    replay = await rehearsal.replay(an_editor(), number)
    assert not replay.is_identical
    assert "131000.langfang@" in replay.difference


async def test_a_version_that_is_kept_is_found_again(
    packs: PackSet, reference: ReferenceData
) -> None:
    database = MemoryDatabase()
    (number,) = await decided(database, [MOVED], packs=packs, reference=reference)
    kept = packs.get("131000.langfang")
    rehearsal = a_rehearsal(
        database,
        packs=PackSet(pack for pack in packs.packs if pack is not kept),
        reference=reference,
    )
    assert not (await rehearsal.replay(an_editor(), number)).is_identical

    async def find(pack: str, version: str) -> bytes | None:
        assert (pack, version) == (kept.pack, kept.version)
        return kept.source.encode()

    rehearsal._find_source = find
    assert (await rehearsal.replay(an_editor(), number)).is_identical


async def test_nothing_stored_is_not_found(packs: PackSet, reference: ReferenceData) -> None:
    database = MemoryDatabase()
    (number,) = await decided(database, [MOVED], packs=packs, reference=reference)
    rehearsal = a_rehearsal(database, packs=packs, reference=reference)
    with pytest.raises(ResourceNotFound):
        await rehearsal.replay(an_editor(), "none")
    with pytest.raises(ResourceNotFound):  # another authority's
        await rehearsal.replay(an_editor("130000"), number)


def test_how_destinations_stood_is_stored_whole() -> None:
    lease: Instant = NOW + timedelta(hours=1)
    states = (
        DestinationState(target="authorities/120000"),
        DestinationState(
            target="units/131082-JT-1",
            state=DestinationCondition.OVERLOADED,
            open_load=7,
            overdue_share=0.25,
            lease_until=lease,
            normal_next_hop="units/131000-JT-1",
        ),
    )
    assert states_from_json(states_to_json(states)) == states
