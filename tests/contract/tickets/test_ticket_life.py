"""Returns, extensions and the walk over provisional due times are the same on both engines."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.database.uow import Database
from gateway.dispatch.handling import Target
from gateway.dispatch.returning import Plea
from gateway.dispatch.returning_answers import Counter, Question, StandBy
from gateway.kernel.codes import ReturnReason, ReturnState, UnitRequestState
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.tickets.store import EVENTS_OF, PROVISIONAL, TICKETS, TicketRow
from tests.fixtures.nodes import (
    HOSTED,
    Federation,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
)
from tests.unit.dispatch.desk import a_reviewer, ask, copy_at, review

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


async def test_answers_and_requests_are_kept(federation: Federation) -> None:
    number = await a_number(federation)
    units, target = federation.node_of(CITY).dispatch.units, Target(number=TicketNumber(number))
    await units.returning.file(
        a_call(a_platform(CITY), "ReturnTicket"),
        target,
        plea=Plea(
            reason=ReturnReason.OVERLAP,
            clause="清单（测试）",
            proposed_owner="units/130100-CG-1",
        ),
    )
    reviewer = a_reviewer(CITY)
    for answer in (Question("依据（测试）"), StandBy(), Counter("units/130100-ZJ-1")):
        await units.answers.answer(
            a_call(reviewer, "AnswerReturn"), target, number=1, answer=answer, basis="复核（测试）"
        )
    await units.requests.ask_by_person(
        a_call(reviewer, "RequestUnit"), target, unit="units/130100-SWU-1"
    )
    kept = await copy_at(federation, CITY, number)
    [item], [request] = kept.returns, kept.unit_requests
    assert (item.state, item.counter_proposal) == (ReturnState.COUNTERED, "units/130100-ZJ-1")
    assert (item.question, item.stand_by_time is not None) == ("依据（测试）", True)
    assert (request.state, request.asked) == (UnitRequestState.ASKED, "units/130100-SWU-1")
    assert request.bound_unit == item.unit
    assert request.due_time > request.ask_time


async def test_an_invalid_return_is_kept_with_what_is_missing(
    federation: Federation, database: Database
) -> None:
    number = await a_number(federation)
    call = a_call(a_platform(CITY), "ReturnTicket")
    plea = Plea(
        reason=ReturnReason.LOOP, clause="清单（测试）", proposed_owner="authorities/130600"
    )
    for _ in range(2):
        with pytest.raises(FieldInvalid):
            await federation.node_of(CITY).dispatch.units.returning.file(
                call, Target(number=TicketNumber(number)), plea=plea
            )
    async with database.unit() as uow:
        found = await uow.select(EVENTS_OF, authority=CITY, ticket=number, position=0, limit=50)
    invalid = [row.facts["missing"] for row in found if row.kind == "return.invalid"]
    assert invalid == ["reason"]


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
