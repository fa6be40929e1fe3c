"""What becomes of acts that a ruling overtook (docs/custody.md#overtaken)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.custody import bodies, codec, store
from gateway.custody.overtaken import ADOPTED, REVERSED, Overtaken, parts_of
from gateway.delivery.codec import statement_from_bytes
from gateway.kernel.errors import NotCustodian, ResourceNotFound, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from tests.simulation.checkers import Checkers
from tests.simulation.stage import Stage
from tests.unit.custody.stories import HEBEI, LANGFANG, SHANGHAI, TIANJIN, a_stage


@pytest.fixture
def stage() -> Stage:
    """A fresh stage."""
    return a_stage()


async def waiting(stage: Stage, authority: str, ticket: TicketNumber) -> tuple[Overtaken, ...]:
    """Return the overtaken acts that an authority has not answered."""
    node = stage.node_of(authority)
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{ticket}")
        return await node.custody.overtaken.waiting(uow, AuthorityCode(authority), ticket)


async def answer(stage: Stage, act: Overtaken, *, adopts: bool) -> None:
    """Answer an overtaken act, as a person would."""
    node = stage.node_of(act.key.authority)
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{act.key.ticket}")
        await node.custody.overtaken.answer(uow, act, adopts=adopts, now=node.clock.now())


async def overruled(stage: Stage) -> TicketNumber:
    """天津 → 河北 → 廊坊, which acts twice; 天津 files, and the nation gives it to 上海."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.change(HEBEI, ticket)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    await stage.change(LANGFANG, ticket)
    await stage.settle()
    await stage.file(TIANJIN, ticket, target=SHANGHAI)
    await stage.settle()
    await stage.rule(ticket, SHANGHAI)
    return ticket


async def test_the_new_custodian_gets_the_list_and_answers_each_act_once(stage: Stage) -> None:
    ticket = await overruled(stage)
    await stage.settle()
    first, second = await waiting(stage, SHANGHAI, ticket)
    assert {first.actor, second.actor} == {HEBEI}, "outside a province speaks for its cities"
    assert (first.epoch, first.row, second.row) == (Epoch(0, 1), 1, 2)
    await answer(stage, first, adopts=True)
    await answer(stage, second, adopts=False)
    assert not await waiting(stage, SHANGHAI, ticket)
    with pytest.raises(TransitionNotAllowed):
        await answer(stage, first, adopts=False)
    with pytest.raises(ResourceNotFound):
        await answer(stage, replace(first, row=9), adopts=True)
    own = stage.node_of(SHANGHAI).database.rows(store.OWN_ACTS)
    assert [(row.kind, row.digest) for row in own] == [
        (ADOPTED, first.identity()),
        (REVERSED, second.identity()),
    ]
    acts = stage.node_of(SHANGHAI).database.rows(store.ACTS)
    assert not any(act.has_force for act in acts), "the adopting act has it"
    Checkers(stage).check_settled()


async def test_only_the_custodian_answers(stage: Stage) -> None:
    ticket = await overruled(stage)
    await stage.settle()
    [act, _] = await waiting(stage, SHANGHAI, ticket)
    elsewhere = replace(act, key=replace(act.key, authority=AuthorityCode(TIANJIN)))
    with pytest.raises(NotCustodian):
        await answer(stage, elsewhere, adopts=True)


async def test_what_a_city_reports_late_goes_after_it_in_a_further_part(stage: Stage) -> None:
    """Rule 4: outer release never waits for an unreachable city."""
    ticket = await overruled(stage)
    await stage.act(LANGFANG, ticket, is_care=False)  # nobody is told: it is cut off
    for _ in range(6):
        await stage.only("arbiter")
        await stage.only("shanghai")
        await stage.only("hebei", "arbiter")
        await stage.only("hebei", "shanghai")
    assert stage.chain(HEBEI, ticket, scope=HEBEI).closed
    assert len(await waiting(stage, SHANGHAI, ticket)) == 2
    await stage.settle()
    acts = await waiting(stage, SHANGHAI, ticket)
    assert [act.row for act in acts] == [1, 2, 3]
    parts = [
        body
        for row in stage.said(HEBEI, "StandDown")
        if isinstance(
            body := codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body),
            bodies.StandDown,
        )
        and row.scope != HEBEI
    ]
    assert [(body.part, len(body.acts)) for body in parts] == [(1, 2), (2, 1)]
    Checkers(stage).check_settled()


def test_a_long_list_goes_in_parts() -> None:
    acts = tuple(bodies.Act(row, Epoch(0, 1), "ticket.noted", bytes(32)) for row in range(1, 131))
    assert [len(part) for part in parts_of(acts)] == [64, 64, 2]
    assert parts_of(()) == [()]
