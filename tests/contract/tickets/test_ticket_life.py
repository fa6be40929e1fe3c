"""Returns, extensions and the walk over provisional due times are the same on both engines."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.database.uow import Database
from gateway.dispatch.handling import Target
from gateway.dispatch.returning import Plea
from gateway.kernel.codes import ReturnReason
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.tickets.store import PROVISIONAL, TICKETS, TicketRow
from tests.fixtures.nodes import (
    HOSTED,
    Federation,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
)
from tests.unit.dispatch.desk import ask, copy_at, review

HEBEI, CITY = "130000", "130100"
LATER = timedelta(days=1)


@pytest.fixture
def federation(database: Database) -> Federation:
    return a_federation(HOSTED, databases={"hebei": database})


async def a_number(federation: Federation, external_id: str = "T-1") -> str:
    message = a_message(external_id, region="130102")
    created = await federation.create(a_platform(CITY), message)
    return created.name.removeprefix("tickets/")


async def test_what_waits_for_the_desk_is_kept(federation: Federation) -> None:
    number = await a_number(federation)
    person = a_person(CITY)
    due = (await copy_at(federation, CITY, number)).due_time
    if (await copy_at(federation, CITY, number)).lead.is_desk:  # type: ignore[union-attr] # dispatched
        pytest.fail("the pack of the city assigns this matter")
    await ask(federation, CITY, number, due + LATER, who=person)
    await review(federation, CITY, number, is_granted=True)
    await federation.node_of(CITY).dispatch.units.returning.file(
        a_call(person, "ReturnTicket"),
        Target(number=TicketNumber(number)),
        plea=Plea(
            reason=ReturnReason.WRONG_REGION,
            clause="属地管理（测试）",
            proposed_owner="authorities/130600",
        ),
    )
    kept = await copy_at(federation, CITY, number)
    assert kept.due_time == due + LATER
    assert kept.extensions[0].citizen_told
    assert kept.open_return is not None
    assert kept.open_return.proposed_owner == "authorities/130600"


async def test_the_walk_finds_held_provisional_copies_in_pages(
    federation: Federation, database: Database
) -> None:
    numbers = [await a_number(federation, f"T-{index}") for index in range(4)]

    async def change(number: str, **changes: object) -> None:
        async with database.unit() as uow:
            row = await uow.get(TICKETS, CITY, number)
            assert isinstance(row, TicketRow)
            values = {name: getattr(row, name) for name in row.__slots__} | changes
            uow.put(TICKETS, TicketRow(**values))

    for number in numbers[:3]:
        await change(number, due_provisional=True)
    await change(numbers[1], followed=True)
    async with database.unit() as uow:
        first = await uow.select(PROVISIONAL, authority="", number="", limit=1)
        after = await uow.select(PROVISIONAL, authority=CITY, number=numbers[0], limit=5)
    assert [(key.authority, key.number) for key in first] == [(CITY, numbers[0])]
    assert [AuthorityCode(key.number) for key in after] == [numbers[2]]
