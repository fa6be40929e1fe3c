"""Copies, lists, events and watches answer the same on both engines."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest

from gateway.database.uow import Database
from gateway.dispatch.codec import Result
from gateway.dispatch.handling import Target
from gateway.kernel.codes import Solved, TicketState
from gateway.kernel.errors import FilterInvalid, PageTokenInvalid, ResourceNotFound
from gateway.kernel.ids import TicketNumber
from gateway.tickets.reader import TicketReader
from gateway.tickets.store import TICKETS
from gateway.trust.principal import Principal
from tests.fixtures.nodes import (
    HOSTED,
    Federation,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
    a_rating,
)

TIANJIN, HEBEI = "120000", "130000"


@pytest.fixture
def federation(database: Database) -> Federation:
    return a_federation(HOSTED, databases={"hebei": database})


async def created(
    federation: Federation, count: int, *, platform: Principal | None = None, region: str = "131082"
) -> list[str]:
    numbers = []
    for position in range(count):
        federation.clock.advance(timedelta(seconds=1))
        ticket = await federation.create(
            platform or a_platform(HEBEI), a_message(f"T-{position}", region=region)
        )
        numbers.append(ticket.name.removeprefix("tickets/"))
    return numbers


def reader_of(federation: Federation) -> TicketReader:
    return federation.node_of(HEBEI).dispatch.reader


async def listed(federation: Federation, principal: Principal, text: str = "") -> list[str]:
    shown, _ = await reader_of(federation).page(
        principal, page_size=0, page_token="", filter_text=text
    )
    return [str(item.ticket.number) for item in shown]


async def test_lists_are_newest_first_and_paged(federation: Federation) -> None:
    numbers = await created(federation, 5, region=HEBEI)
    found: list[str] = []
    token, pages = "", 0
    while pages == 0 or token:
        shown, token = await reader_of(federation).page(
            a_person(HEBEI), page_size=2, page_token=token, filter_text=""
        )
        found += [str(item.ticket.number) for item in shown]
        pages += 1
    assert found == numbers[::-1]
    assert pages == 3


async def test_page_token_of_another_request_is_refused(federation: Federation) -> None:
    await created(federation, 3, region=HEBEI)
    reader = reader_of(federation)
    _, token = await reader.page(a_person(HEBEI), page_size=1, page_token="", filter_text="")
    for principal, text in ((a_person(HEBEI), "followed = true"), (a_platform(HEBEI), "")):
        with pytest.raises(PageTokenInvalid):
            await reader.page(principal, page_size=1, page_token=token, filter_text=text)
    with pytest.raises(FilterInvalid):
        await reader.page(a_person(HEBEI), page_size=1, page_token="", filter_text="citizen = x")


async def test_filters_narrow_alike(federation: Federation) -> None:
    [gone] = await created(federation, 1)
    platform, person = a_platform("131000"), a_person("131000")
    shown = await reader_of(federation).get(platform, TicketNumber(gone), purpose="")
    unit = shown.ticket.assignments[0].unit
    assert await listed(federation, a_person(HEBEI), "followed = true") == [gone]
    assert await listed(federation, a_person(HEBEI), "followed = false") == []
    assert await listed(federation, person, f'state = "DISPATCHED" AND unit = {unit}') == [gone]
    assert await listed(federation, person, "unit = units/131000-XX-9") == []
    assert await listed(federation, person, "overdue = true") == []
    assert await listed(federation, person, "overdue = false AND in_case = false") == [gone]
    assert await listed(federation, person, "matter = 041200 AND urgency = NORMAL") == [gone]
    assert await listed(federation, a_platform(HEBEI), "external_id = T-0") == [gone]
    assert await listed(federation, person, "external_id = T-0") == []  # the origin's number
    federation.clock.advance(timedelta(days=60))
    assert await listed(federation, person, "overdue = true") == [gone]


async def test_platform_sees_what_it_handed_in_and_what_its_units_handle(
    federation: Federation,
) -> None:
    [number] = await created(federation, 1)
    assert await listed(federation, a_platform(HEBEI)) == [number]
    assert await listed(federation, a_platform("131000")) == [number]
    assert await listed(federation, a_platform("130100")) == []
    other = a_platform("131000", "131000-p9")
    assert await listed(federation, other) == []
    with pytest.raises(ResourceNotFound):
        await reader_of(federation).events(other, TicketNumber(number), page_size=0, page_token="")


async def test_events_tell_the_path_with_actor_role_and_basis(federation: Federation) -> None:
    [number] = await created(federation, 1)
    reader, person = reader_of(federation), a_person("131000")
    first, token = await reader.events(person, TicketNumber(number), page_size=2, page_token="")
    rest, end = await reader.events(person, TicketNumber(number), page_size=50, page_token=token)
    kinds = [item.event.kind for item in first + rest]
    assert kinds[:2] == ["ticket.arrived", "transfer.accepted"]
    assert "assignment.assigned" in kinds
    assert end == ""
    for item in first + rest:
        assert item.event.act.actor.startswith("lubiao://131000/")
        assert item.event.act.role
        assert item.event.act.basis


async def test_watch_goes_on_from_its_token_without_gap_or_repeat(federation: Federation) -> None:
    platform = a_platform("131000")
    numbers = await created(federation, 3)
    reader = reader_of(federation)
    seen: list[tuple[str, int]] = []
    token = ""
    for _ in range(3):  # three connections, two items each
        async with aclosing(reader.watch(platform, resume_token=token)) as watch:
            for _ in range(2):
                item = await anext(watch)
                assert item.event is not None
                seen.append((str(item.event.ticket), item.event.position))
                token = item.resume_token
    assert len(set(seen)) == len(seen)
    assert [place for _, place in seen] == sorted(place for _, place in seen)
    assert {number for number, _ in seen} <= set(numbers)
    with pytest.raises(PageTokenInvalid):
        async with aclosing(reader.watch(a_platform(HEBEI), resume_token=token)) as watch:
            await anext(watch)


async def test_waiting_watch_is_woken_by_a_change(federation: Federation) -> None:
    platform = a_platform("131000")
    async with aclosing(reader_of(federation).watch(platform, resume_token="")) as watch:
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        [number] = await created(federation, 1)
        async with asyncio.timeout(30):  # a loaded machine; a woken watch needs milliseconds
            item = await waiting
    assert item.event is not None
    assert item.event.ticket == number
    assert item.shown is not None
    assert item.shown.texts is None


async def test_the_whole_path_from_desk_to_rating(federation: Federation) -> None:
    """Every table and every column of the room is written and read back on both engines."""
    ticket = await federation.create(a_platform(TIANJIN), a_message())
    await federation.settle()
    number = TicketNumber(ticket.name.removeprefix("tickets/"))
    handling, platform = federation.node_of("131000").dispatch.handling, a_platform("131000")
    target = Target(number=number)
    await handling.acknowledge(a_call(platform, "Ack"), target, external_id="LF-1")
    await handling.sign(a_call(platform, "Sign"), target)
    await handling.resolve(
        a_call(platform, "Resolve"),
        target,
        result=Result(Solved.SOLVED, "已办（测试）"),
    )
    rating = a_rating()
    await handling.rate(a_call(platform, "Rate"), target, rating=rating)
    await federation.settle()
    shown = await reader_of(federation).get(platform, number, purpose="handling")
    assert shown.ticket.state is TicketState.CLOSED
    assert shown.ticket.rating is not None
    assert shown.ticket.assignments[0].platform_external_id == "LF-1"
    assert shown.texts is not None
    assert shown.texts.resolution is not None
    async with federation.node_of(HEBEI).database.unit() as uow:
        for authority in (HEBEI, "131000"):
            row = await uow.get(TICKETS, authority, number)
            assert row is not None
            assert row.state == TicketState.CLOSED
            assert row.decision is not None


async def test_two_connections_with_one_message_make_one_ticket(federation: Federation) -> None:
    message = a_message(region=HEBEI)
    answers = await asyncio.gather(
        *(federation.create(a_platform(HEBEI), message) for _ in range(4))
    )
    assert len({ticket.name for ticket in answers}) == 1
