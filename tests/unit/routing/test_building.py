"""A new set is built and put in force while everybody else goes on."""

from __future__ import annotations

import asyncio
import gc
import pickle
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.reference.regions import Regions
from gateway.routing.building import RULES_PER_PIECE, InForce, build, pack_up, unpack
from gateway.routing.compiled import CLAUSES_PER_STEP
from gateway.routing.model import Pack, Selectors
from gateway.routing.packs import PackSet
from tests.unit.routing.builders import FROM, a_condition, a_pack, a_rule, a_ticket, on_day

NOWHERE = Regions(())
RULES = 3 * max(RULES_PER_PIECE, CLAUSES_PER_STEP)


@pytest.fixture(autouse=True)
def _unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def a_large_pack(*, owner: str = "131000", version: str = "1" * 64) -> Pack:
    selectors = Selectors(matters=("041200",), condition=a_condition("facts.zone == ''"))
    rules = (a_rule(f"r{owner}.{number}", selectors=selectors) for number in range(RULES))
    return replace(a_pack(*rules, owner=owner), version=version)


def found(packs: PackSet, *, owner: str = "131000") -> list[str]:
    candidates = packs.candidates(
        a_ticket(), owners=(owner,), region="", regions=NOWHERE, moment=on_day(FROM)
    )
    return [each.rule.id for each in candidates if each.selects(a_ticket(), on_day(FROM))]


async def turns_during(work: asyncio.Task[object]) -> int:
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_a_pack_that_another_process_parsed_arrives_whole() -> None:
    pack = a_large_pack()

    assert await unpack(pack_up(pack)) == pack


async def test_a_set_built_from_pieces_answers_like_one_made_at_once() -> None:
    pack = a_large_pack()

    built = await build([pack_up(pack)], generation=7)

    assert built.generation == 7
    assert found(built) == found(PackSet([pack])) == [rule.id for rule in pack.rules]


async def test_others_get_their_turn_while_a_set_is_built_put_in_force_and_let_go() -> None:
    in_force = InForce(await build([pack_up(a_large_pack())]))
    found(in_force.get())

    async def publish() -> None:
        pack = pack_up(a_large_pack(version="2" * 64))
        await in_force.switch_to(await build([pack], generation=1))

    turns = await turns_during(asyncio.create_task(publish()))

    assert in_force.get().generation == 1
    assert turns > RULES // RULES_PER_PIECE + RULES // CLAUSES_PER_STEP


async def test_who_still_decides_with_the_old_set_is_not_disturbed() -> None:
    before = await build([a_large_pack()])
    in_force = InForce(before)

    await in_force.switch_to(await build([a_large_pack(version="2" * 64)], generation=1))

    assert len(found(before)) == len(found(in_force.get())) == RULES


async def test_packs_of_the_same_version_are_taken_over_compiled() -> None:
    city, province = a_large_pack(), a_large_pack(owner="130000")
    before = await build([city, province])

    after = await build([replace(city, version="2" * 64), pack_up(province)], before=before)

    assert after.forms[province.pack] is before.forms[province.pack]
    assert after.forms[city.pack] is not before.forms[city.pack]
    assert len(found(after, owner="130000")) == RULES
    in_force = InForce(before)
    await in_force.switch_to(after)
    assert len(found(after, owner="130000")) == RULES


async def test_putting_the_same_set_in_force_again_changes_nothing() -> None:
    packs = await build([a_large_pack()])
    in_force = InForce(packs)

    await in_force.switch_to(packs)

    assert in_force.get() is packs


async def test_the_collector_is_on_again_also_when_a_pack_cannot_be_unpacked() -> None:
    broken = replace(pack_up(a_large_pack()), pieces=(b"not a pickle",))

    with pytest.raises(pickle.UnpicklingError):
        await build([broken])

    assert gc.isenabled()
