"""Case 23: a due time that reached an unpublished year is counted again when the year is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.custody.model import OfferReason
from gateway.database.timers import TIMERS, TimerRunner
from gateway.dispatch import recomputing
from gateway.dispatch.recomputing import RECOMPUTE_TIMER
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.reference.calendar import PublishedDays
from gateway.reference.data import ReferenceData
from gateway.tickets.model import Change
from gateway.tickets.store import TICKETS
from tests.fixtures import nodes
from tests.fixtures.nodes import (
    Federation,
    Node,
    a_federation,
    a_message,
    a_person,
    a_platform,
    reference,
)
from tests.unit.dispatch.desk import ask, copy_at, review

TIANJIN, HEBEI = "120000", "130000"
DAYS_MORE = 5  # three working days fewer, and a weekend between
LAST_DAY = datetime(2026, 12, 31, 2, 0, tzinfo=UTC)  # a Thursday, 10:00 in Shanghai


def with_2027() -> ReferenceData:
    """Return the reference data with a made-up schedule of 2027."""
    data = reference()
    published = data.calendar.published
    days_off = {date(2027, 1, day) for day in (1, 4, 5)}
    later = PublishedDays(
        years=published.years | {2027},
        days_off=published.days_off | days_off,
        make_up_days=published.make_up_days,
    )
    calendar = replace(data.calendar, published=later)
    return replace(data, calendar=calendar, version="2027-known")


class Data:
    """The reference data in force, which may be exchanged while nodes run."""

    def __init__(self) -> None:
        self.now = reference()

    def __call__(self) -> ReferenceData:
        return self.now


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Data:
    known = Data()
    monkeypatch.setattr(nodes, "reference", known)
    return known


def runner(federation: Federation, node: Node) -> TimerRunner:
    return TimerRunner(
        database=node.database, clock=federation.clock, handlers=node.dispatch.timers
    )


async def walk(federation: Federation, node: Node) -> None:
    async with node.database.unit() as uow:
        node.dispatch.recompute.start(uow, now=federation.clock.now())
    while await runner(federation, node).run_due():
        pass


async def event_kinds(federation: Federation, number: str) -> list[str]:
    reader = federation.node_of(TIANJIN).dispatch.reader
    events, _ = await reader.events(
        a_person(TIANJIN), TicketNumber(number), page_size=0, page_token=""
    )
    return [item.event.kind for item in events]


async def test_the_due_time_moves_when_the_year_is_known_and_not_before(data: Data) -> None:
    federation = a_federation(now=LAST_DAY)
    created = await federation.create(a_platform(TIANJIN), a_message(region="120101"))
    number, node = created.name.removeprefix("tickets/"), federation.node_of(TIANJIN)
    before = await copy_at(federation, TIANJIN, number)
    assert before.due_provisional
    await walk(federation, node)
    assert await copy_at(federation, TIANJIN, number) == before
    data.now = with_2027()
    await walk(federation, node)
    after = await copy_at(federation, TIANJIN, number)
    assert not after.due_provisional
    assert after.due_time - before.due_time == timedelta(days=DAYS_MORE)
    assert after.assignments == before.assignments
    assert (await event_kinds(federation, number)).count("ticket.due_recomputed") == 1
    await walk(federation, node)
    assert await copy_at(federation, TIANJIN, number) == after


async def test_the_walk_comes_again_every_day_and_goes_through_all_pages(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recomputing, "PAGE", 2)
    federation = a_federation(now=LAST_DAY)
    for index in range(5):
        message = a_message(f"T-{index}", region="120101")
        await federation.create(a_platform(TIANJIN), message)
    node = federation.node_of(TIANJIN)
    await walk(federation, node)
    data.now = with_2027()
    federation.clock.advance(timedelta(days=1))
    while await runner(federation, node).run_due():
        pass
    rows = node.database.rows(TICKETS)  # type: ignore[attr-defined] # memory
    assert [row.due_provisional for row in rows] == [False] * 5
    timers = node.database.rows(TIMERS)  # type: ignore[attr-defined] # memory
    [left] = [row for row in timers if row.kind == RECOMPUTE_TIMER]
    assert (left.key, left.due) == ("walk", LAST_DAY + timedelta(days=2))


async def test_only_the_custodian_counts_and_followers_are_told(data: Data) -> None:
    federation = a_federation(now=LAST_DAY)
    created = await federation.create(a_platform(TIANJIN), a_message())
    number = created.name.removeprefix("tickets/")
    await federation.settle()
    before = await copy_at(federation, TIANJIN, number)
    assert before.followed
    data.now = with_2027()
    await walk(federation, federation.node_of(TIANJIN))
    assert await copy_at(federation, TIANJIN, number) == before
    await walk(federation, federation.node_of(HEBEI))
    await federation.settle()
    held = await copy_at(federation, "131000", number)
    assert held.due_time > before.due_time
    assert (await copy_at(federation, TIANJIN, number)).due_time == held.due_time


async def test_a_granted_extension_is_never_shortened(data: Data) -> None:
    federation = a_federation(now=LAST_DAY)
    created = await federation.create(a_platform(TIANJIN), a_message(region="120101"))
    number = created.name.removeprefix("tickets/")
    due = (await copy_at(federation, TIANJIN, number)).due_time
    extended = due + timedelta(days=14)
    await ask(federation, TIANJIN, number, extended)
    await review(federation, TIANJIN, number, is_granted=True)
    data.now = with_2027()
    await walk(federation, federation.node_of(TIANJIN))
    after = await copy_at(federation, TIANJIN, number)
    assert (after.due_time, after.due_provisional) == (extended, False)


async def test_a_ticket_that_was_offered_abroad_is_counted_by_its_cross_region_profile(
    data: Data,
) -> None:
    federation = a_federation(now=LAST_DAY)
    created = await federation.create(a_platform(TIANJIN), a_message(region="330100"))
    number = created.name.removeprefix("tickets/")
    ticket = await copy_at(federation, TIANJIN, number)
    acting = federation.node_of(TIANJIN).dispatch.acting
    assert not acting.was_timed_abroad(ticket)  # referred externally, not offered
    assert ticket.decision is not None
    offered = replace(
        ticket.decision,
        action=type(ticket.decision.action).OFFER,
        target=f"authorities/{HEBEI}",
        offer_reason=OfferReason.PLACE.name.lower(),
    )
    assert acting.was_timed_abroad(replace(ticket, decision=offered))
    home = replace(offered, target="authorities/120000")
    assert not acting.was_timed_abroad(replace(ticket, decision=home))
    outbound = replace(home, offer_reason="outbound")
    assert acting.was_timed_abroad(replace(ticket, decision=outbound))
    assert acting.was_timed_abroad(replace(ticket, authority=AuthorityCode(HEBEI)))


async def test_what_another_custodian_granted_is_not_counted_away_after_it(data: Data) -> None:
    federation = a_federation(now=LAST_DAY)
    created = await federation.create(a_platform(TIANJIN), a_message())
    number = created.name.removeprefix("tickets/")
    await federation.settle()
    held = await copy_at(federation, "131000", number)
    extended = held.due_time + timedelta(days=20)
    await ask(federation, "131000", number, extended)
    await review(federation, "131000", number, is_granted=True)
    await federation.settle()
    node = federation.node_of(TIANJIN)
    shown = await copy_at(federation, TIANJIN, number)
    assert shown.due_time == extended
    async with node.database.unit() as uow:  # a ruling brought it back to its origin
        node.room.tickets.save(uow, Change(replace(shown, followed=False)))
    data.now = with_2027()
    await walk(federation, node)
    assert (await copy_at(federation, TIANJIN, number)).due_time == extended
