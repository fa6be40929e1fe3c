"""The board of destinations on both engines: what is declared, counted, and seen by decisions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.database.uow import Database
from gateway.dispatch.destinations import Declaration, Destinations
from gateway.dispatch.handling import Target
from gateway.kernel.codes import DestinationCondition
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.tickets.loads import UNIT_LOADS, UnitLoad
from tests.fixtures.nodes import (
    HOSTED,
    Federation,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
)

HEBEI, TIANJIN = AuthorityCode("130000"), "120000"
UNIT, OTHER = "units/130000-JT-1", "units/130000-SJ-1"


@pytest.fixture
def federation(database: Database) -> Federation:
    return a_federation(HOSTED, databases={"hebei": database})


def board_of(federation: Federation) -> Destinations:
    return federation.node_of(HEBEI).dispatch.board.destinations


def closed(target: str = UNIT, **changes: Any) -> Declaration:
    values: dict[str, Any] = {
        "authority": HEBEI,
        "target": target,
        "state": DestinationCondition.CLOSED,
        "lease": timedelta(hours=2),
        "normal_next_hop": "",
        "reason": "系统升级（测试）",
    }
    return Declaration(**{**values, **changes})


async def declare(federation: Federation, said: Declaration, *, by: str = HEBEI) -> None:
    board = board_of(federation)
    async with federation.node_of(HEBEI).database.unit() as uow:
        await board.declare(uow, a_call(a_person(by), "DeclareDestinationState"), said)
    await board.refresh()


async def test_a_declaration_is_seen_by_decisions_and_keeps_its_lease(
    federation: Federation,
) -> None:
    await declare(federation, closed(normal_next_hop=OTHER))
    seen = board_of(federation).states(HEBEI)[UNIT]
    assert (seen.state, seen.normal_next_hop) == (DestinationCondition.CLOSED, OTHER)
    assert seen.lease_until == federation.clock.now() + timedelta(hours=2)
    await declare(federation, closed(state=DestinationCondition.NORMAL))
    assert board_of(federation).states(HEBEI)[UNIT].state is DestinationCondition.NORMAL
    [(row, _)] = await board_of(federation).declared(HEBEI)
    assert row.reason == "系统升级（测试）"


@pytest.mark.parametrize(
    "said",
    [
        closed("units/130000-XX-9"),
        closed("units/120000-ZJ-1"),  # of another authority
        closed("authorities/990000"),
        closed(normal_next_hop=UNIT),
        closed(normal_next_hop="nowhere"),
    ],
)
async def test_what_is_not_there_is_refused(federation: Federation, said: Declaration) -> None:
    with pytest.raises(FieldInvalid):
        await declare(federation, said)
    assert await board_of(federation).declared(HEBEI) == []


async def test_nobody_declares_on_another_authority_s_board(federation: Federation) -> None:
    with pytest.raises(FieldInvalid):
        await declare(federation, closed(), by=TIANJIN)


async def test_loads_count_what_units_lead_and_have_not_resolved(federation: Federation) -> None:
    node = federation.node_of(HEBEI)
    numbers = []
    for position in range(3):
        message = a_message(f"T-{position}", region=HEBEI)
        ticket = await federation.create(a_platform(HEBEI), message)
        numbers.append(TicketNumber(ticket.name.removeprefix("tickets/")))
    async with node.database.unit() as uow:
        ticket_copy = await node.room.tickets.get(uow, HEBEI, numbers[0])
    lead = ticket_copy.lead
    assert lead is not None

    async def loads() -> list[UnitLoad]:
        async with node.database.unit() as uow:
            return list(await uow.select(UNIT_LOADS, authority=HEBEI, now=federation.clock.now()))

    assert await loads() == [UnitLoad(lead.unit, 3, 0)]
    person, target = a_person(HEBEI), Target(number=numbers[0])
    await node.dispatch.handling.sign(a_call(person, "Sign"), target)
    assert await loads() == [UnitLoad(lead.unit, 3, 0)]
    federation.clock.advance(timedelta(days=60))
    assert await loads() == [UnitLoad(lead.unit, 3, 3)]
