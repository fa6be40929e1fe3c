"""Changes are told once and resumed; figures and the panel's view are for whom they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.arbitration.model import CaseKey
from gateway.arbitration.sight import retention
from gateway.arbitration.sight.assembly import Sources
from gateway.arbitration.sight.figures import Returned
from gateway.arbitration.sight.looks import LookQuota
from gateway.arbitration.sight.retention import CHANGES_TIMER, KEPT, Forgetting
from gateway.arbitration.sight.store import CHANGES_AFTER
from gateway.audit.store import ENTRIES_AFTER
from gateway.database.timers import TIMERS, TimerRunner
from gateway.database.uow import Database
from gateway.kernel.codes import ReturnState
from gateway.kernel.errors import (
    FieldInvalid,
    PageTokenInvalid,
    PeerNotAllowed,
    QuotaExceeded,
    ResourceNotFound,
)
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import to_microseconds
from gateway.tickets.store import TICKETS
from gateway.trust.principal import Principal, PrincipalKind, Role
from hotline.arbitration.v1 import case_pb2
from hotline.arbitration.v1 import insight_pb2 as pb
from tests.contract.arbitration.builders import PANEL, Desk, a_desk
from tests.contract.arbitration.court import JT, SJ, Court, a_court, a_judge
from tests.contract.arbitration.test_cases import a_request
from tests.unit.arbitration.builders import (
    BAODING,
    HEBEI,
    LANGFANG,
    NOW,
    SHIJIAZHUANG,
    TICKET,
    a_filing,
)

CONTEXT: Any = None
NAME = f"cases/{a_filing().key.case}"
DAYS = {"first_day": "2026-03-01", "last_day": "2026-03-31"}


@pytest.fixture
def desk(database: Database) -> Desk:
    return a_desk(database)


def staff(authority: str, role: Role = Role.SUPERVISOR) -> Principal:
    return Principal(AuthorityCode(authority), PrincipalKind.STAFF, "s1", frozenset({role}))


async def changes(desk: Desk, count: int, token: str = "") -> list[pb.WatchCasesResponse]:
    """Return the first changes of a watch."""
    request = pb.WatchCasesRequest(resume_token=token)
    stream: Any = desk.room.servicer.WatchCases(request, CONTEXT)
    async with aclosing(stream) as watched:
        return [item async for item in _until(watched, count)]


async def _until(stream: Any, count: int) -> AsyncIterator[pb.WatchCasesResponse]:
    async for item in stream:
        if item.HasField("case"):
            yield item
            count -= 1
        if not count:
            return


# --- watching -------------------------------------------------------------------------------------


async def test_each_change_is_told_once_and_a_watch_goes_on_where_it_stopped(desk: Desk) -> None:
    await desk.file(a_filing())
    [first] = await changes(desk, 1)
    assert (first.case.name, first.case.state) == (NAME, case_pb2.Case.STATE_FILED)
    await desk.room.servicer.IssueRuling(a_request(), CONTEXT)
    [second] = await changes(desk, 1, first.resume_token)
    assert second.case.state == case_pb2.Case.STATE_RULED
    assert not second.case.rulings[0].reasons
    await desk.take(a_filing(), 1)
    [third] = await changes(desk, 1, second.resume_token)
    assert third.case.state == case_pb2.Case.STATE_CLOSED
    assert len({item.resume_token for item in (first, second, third)}) == 3
    again = await changes(desk, 3)
    assert [item.case.state for item in again] == [case_pb2.Case.STATE_CLOSED] * 3  # as it is now


async def test_a_token_of_another_watch_is_refused(desk: Desk) -> None:
    await desk.file(a_filing())
    [first] = await changes(desk, 1)
    desk.caller = staff(LANGFANG)
    with pytest.raises(PageTokenInvalid):
        await changes(desk, 1, first.resume_token)


async def test_a_change_that_did_not_commit_is_not_told(desk: Desk) -> None:
    async def failing() -> None:
        async with desk.database.unit() as uow:
            await desk.room.arbitration.filed(uow, a_filing(), now=NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await failing()
    await desk.file(a_filing(ticket=TICKET))
    assert len(await changes(desk, 1)) == 1


# --- figures --------------------------------------------------------------------------------------


async def figures(desk: Desk, caller: Principal, **days: str) -> pb.GetDisputeFiguresResponse:
    desk.caller = caller
    request = pb.GetDisputeFiguresRequest(**(DAYS | days))
    return await desk.room.servicer.GetDisputeFigures(request, CONTEXT)


@pytest.fixture
def open_desk(database: Database) -> Desk:
    """Return a desk that withholds nothing."""
    return a_desk(database, sources=Sources(threshold=1))


async def test_a_province_sees_its_cities_in_the_order_of_codes(open_desk: Desk) -> None:
    desk = open_desk
    await desk.file(a_filing())
    await desk.room.servicer.IssueRuling(a_request(), CONTEXT)
    found = await figures(desk, PANEL)
    assert [item.party for item in found.parties] == [SHIJIAZHUANG, BAODING]
    assert found.parties[0].cases.value == 1
    assert found.parties[0].upheld.weight == 1
    assert found.parties[0].in_dispute.weight == 1
    assert found.by_default.value == 0.0
    assert found.threshold == 1


async def test_a_city_sees_itself_and_a_stranger_nothing(open_desk: Desk) -> None:
    desk = open_desk
    await desk.file(a_filing())
    found = await figures(desk, staff(BAODING))
    assert [item.party for item in found.parties] == [BAODING]
    assert not found.keys
    assert not (await figures(desk, staff("120000"))).parties


async def test_few_are_withheld_unless_the_node_says_otherwise(desk: Desk) -> None:
    await desk.file(a_filing())
    found = await figures(desk, PANEL)
    assert found.threshold == 10
    for item in found.parties:
        assert item.withheld
        assert not item.HasField("cases")
        assert not item.HasField("upheld")


async def test_only_cases_of_the_days_count_and_days_are_bounded(open_desk: Desk) -> None:
    desk = open_desk
    await desk.file(a_filing())
    assert not (await figures(desk, PANEL, first_day="2026-04-01", last_day="2026-04-30")).parties
    for days in (
        {"first_day": "2026-04-01"},
        {"first_day": "2020-01-01"},
        {"last_day": "2026-03-30"},
    ):
        with pytest.raises(FieldInvalid):
            await figures(desk, PANEL, **days)
    with pytest.raises(FieldInvalid):
        await figures(desk, PANEL, first_day="2026-02-31")


async def test_reading_figures_is_recorded(desk: Desk) -> None:
    await figures(desk, PANEL)
    assert "case.figures" in [row.act for row in await desk.audited()]


# --- the panel's view -----------------------------------------------------------------------------


async def sight(desk: Desk, name: str = NAME, **given: str) -> pb.GetCaseSightResponse:
    request = pb.GetCaseSightRequest(name=name, **given)
    return await desk.room.servicer.GetCaseSight(request, CONTEXT)


async def test_an_arbiter_without_tickets_sees_the_minimised_facts(desk: Desk) -> None:
    await desk.file(a_filing())
    seen = await sight(desk, purpose="review")
    assert seen.ticket.extent == pb.TicketSeen.EXTENT_MINIMISED
    assert seen.ticket.facts == seen.case.facts
    assert not seen.ticket.content
    assert not seen.HasField("decision")
    assert [item.party for item in seen.candidates] == [SHIJIAZHUANG, BAODING]
    assert not seen.candidates[0].HasField("load")
    assert "case.sight" in [row.act for row in await desk.audited()]


async def test_parties_and_strangers_do_not_see_it(desk: Desk) -> None:
    await desk.file(a_filing())
    desk.caller = staff(BAODING, Role.PANEL_MEMBER)
    with pytest.raises(PeerNotAllowed):
        await sight(desk)
    desk.caller = staff("120000", Role.PANEL_MEMBER)
    with pytest.raises(ResourceNotFound):
        await sight(desk)


@pytest.fixture
async def court(database: Database) -> Court:
    return await a_court(database)


async def look(court: Court, name: str, *, purpose: str = "") -> pb.GetCaseSightResponse:
    court.caller = a_judge()
    request = pb.GetCaseSightRequest(name=name, purpose=purpose)
    return await court.room.servicer.GetCaseSight(request, CONTEXT)


async def test_a_panel_sees_ticket_way_decision_candidates_and_advice(court: Court) -> None:
    for number in range(3):
        await court.submit(f"T-{number}")
    case = await court.disputed(await court.submit("T-9"))
    court.office.federation.clock.advance(timedelta(minutes=1))
    seen = await look(court, case.name)
    assert seen.ticket.extent == pb.TicketSeen.EXTENT_HEADER
    assert seen.ticket.units[0] == JT
    assert not seen.ticket.content
    assert seen.decision.rule
    assert seen.decision.explanation
    events = [(hop.event, hop.target) for hop in seen.hops]
    assert ("assigned", JT) in events
    found = {item.party: item for item in seen.candidates}
    assert set(found) == {JT, SJ}
    assert found[SJ].proposed_by == [JT]
    assert (found[JT].load.open, found[SJ].load.open) == (4, 0)
    # The simulator: every driving school of the month would go to the other unit.
    assert (found[SJ].moves.examined, found[SJ].moves.moved) == (4, 4)
    assert found[JT].moves.moved == 0
    assert {item.source for item in seen.advice} >= {"responsibility-list", "rule"}


async def test_texts_are_shown_for_a_purpose_only_and_the_reading_is_recorded(
    court: Court,
) -> None:
    case = await court.disputed(await court.submit("T-9"))
    seen = await look(court, case.name, purpose="review")
    assert seen.ticket.extent == pb.TicketSeen.EXTENT_CONTENT
    assert "驾校" in seen.ticket.title
    assert "13800138000" not in str(seen)  # who calls is never among it
    async with court.office.database.unit() as uow:
        rows = await uow.select(ENTRIES_AFTER, txid=-1, position=-1, limit=1000)
    [row] = [row for row in rows if row.act == "case.read_ticket"]
    assert (row.purpose, row.subject) == ("review", f"tickets/{case.ticket}")


async def test_units_are_counted_inside_their_authority(court: Court) -> None:
    case = await court.disputed(await court.submit("T-9"))
    await court.ruled(case)
    court.office.federation.clock.advance(timedelta(hours=1))
    request = pb.GetDisputeFiguresRequest(**DAYS)
    court.caller = a_judge()
    own = await court.room.servicer.GetDisputeFigures(request, CONTEXT)
    assert {item.party for item in own.parties} == {JT, SJ}
    court.caller = replace(a_judge(), authority=HEBEI)
    above = await court.room.servicer.GetDisputeFigures(request, CONTEXT)
    assert not above.parties  # the units of a city are its own business


async def test_what_units_gave_back_counts_where_it_was_filed_in_these_days(court: Court) -> None:
    ticket = await court.submit("T-9")
    number = ticket.name.removeprefix("tickets/")
    filed = [("2026-03-01T00:00:00+08:00", 2), ("2026-02-28T23:59:59+08:00", 3)]
    given = [
        {
            "unit": JT,
            "state": state,
            "file_time": to_microseconds(datetime.fromisoformat(text)),
        }
        for text, state in filed
    ]
    async with court.office.database.unit() as uow:
        row = await uow.get(TICKETS, LANGFANG, number)
        assert row is not None
        uow.put(TICKETS, replace(row, returns=given))
    reader = court.room.servicer._views.figures
    since, until = NOW - timedelta(days=1, hours=10), NOW + timedelta(days=9)
    found = await reader._returns(LANGFANG, since, until)
    assert found == [Returned(JT, ReturnState.GRANTED)]


async def test_who_looks_in_a_loop_is_refused_before_anything_is_read(database: Database) -> None:
    """A look decides a month of the past again: its number has a bound for each caller."""
    desk = a_desk(database, sources=Sources(looks=LookQuota(per_minute_max=2)))
    await desk.file(a_filing())
    request = pb.GetCaseSightRequest(name=NAME)
    for _ in range(2):
        assert (await desk.room.servicer.GetCaseSight(request, CONTEXT)).case.name == NAME
    with pytest.raises(QuotaExceeded, match="looks at cases a minute"):
        await desk.room.servicer.GetCaseSight(request, CONTEXT)
    assert [row.act for row in await desk.audited()].count("case.sight") == 2
    desk.caller = replace(PANEL, id="panel2")
    assert (await desk.room.servicer.GetCaseSight(request, CONTEXT)).case.name == NAME
    desk.clock.advance(timedelta(minutes=1))
    desk.caller = PANEL
    assert (await desk.room.servicer.GetCaseSight(request, CONTEXT)).case.name == NAME


# --- how long changes are told --------------------------------------------------------------------


async def forgotten(desk: Desk, **bounds: Any) -> None:
    """Ring what is due, with the given bounds of the feed."""
    runner = TimerRunner(
        database=desk.database, clock=desk.clock, handlers={CHANGES_TIMER: Forgetting(**bounds)}
    )
    while await runner.run_due():
        continue


async def kept_changes(desk: Desk) -> int:
    async with desk.database.unit() as uow:
        given = {"authority": HEBEI, "txid": -1, "position": -1, "limit": 1000}
        return len(await uow.select(CHANGES_AFTER, **given))


async def test_changes_are_told_for_a_month_and_who_comes_later_is_told_so(desk: Desk) -> None:
    await desk.file(a_filing())
    [first] = await changes(desk, 1)
    await desk.room.servicer.IssueRuling(a_request(), CONTEXT)
    [second] = await changes(desk, 1, first.resume_token)
    desk.clock.advance(KEPT - timedelta(days=1))
    await forgotten(desk)
    assert await kept_changes(desk) == 2
    desk.clock.advance(timedelta(days=3))
    await forgotten(desk)
    assert await kept_changes(desk) == 0
    with pytest.raises(PageTokenInvalid, match="kept no longer"):
        await changes(desk, 1, first.resume_token)
    await desk.take(a_filing(), 1)
    for token in (second.resume_token, ""):  # has missed nothing; begins anew
        [told] = await changes(desk, 1, token)
        assert told.case.state == case_pb2.Case.STATE_CLOSED


async def test_of_too_many_changes_the_newest_are_kept(desk: Desk) -> None:
    for era in range(6):
        filed = a_filing(key=CaseKey(HEBEI, f"{TICKET}-130000-{era}-0"), chain=era)
        await desk.file(filed)
    before = await changes(desk, 6)
    desk.clock.advance(timedelta(days=1))
    await forgotten(desk, kept_max=2)
    assert await kept_changes(desk) == 2
    kept = await changes(desk, 2)
    assert [item.case.name for item in kept] == [item.case.name for item in before[-2:]]
    assert await changes(desk, 1, before[3].resume_token)
    with pytest.raises(PageTokenInvalid):
        await changes(desk, 1, before[2].resume_token)


async def test_more_than_a_page_of_old_changes_is_forgotten_by_and_by(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "FORGOTTEN_AT_ONCE_MAX", 2)
    for era in range(5):
        await desk.file(a_filing(key=CaseKey(HEBEI, f"{TICKET}-130000-{era}-0"), chain=era))
    desk.clock.advance(KEPT + timedelta(days=2))
    for left in (3, 1, 0):
        await forgotten(desk)
        assert await kept_changes(desk) == left
        desk.clock.advance(retention.SOON)
    async with desk.database.unit() as uow:
        key = f"{HEBEI}/{NOW.date().isoformat()}"
        assert await uow.get(TIMERS, CHANGES_TIMER, key) is None, "a day's clock ends"
