"""Past decisions are stored whole and read in bounded pages; both engines answer the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.database.uow import Database
from gateway.kernel.codes import RouteDecisionAction
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.rehearsal import history as module
from gateway.rehearsal.codec import facts_to_bytes
from gateway.rehearsal.history import History
from gateway.rehearsal.model import Past
from gateway.rehearsal.store import DECISIONS, SETTINGS, DecisionRow, SettingRow
from gateway.routing.model import RoutingFacts
from gateway.tickets.store import TICKETS
from tests.fixtures.nodes import HOSTED, a_federation, a_message, a_platform

HEBEI = "130000"
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
FACTS = RoutingFacts(region="131082", matter="010101", type=2, urgency=1, risk_tags=(3,))


def a_row(ticket: str, *, now: Instant = BEGIN, authority: str = HEBEI) -> DecisionRow:
    return DecisionRow(
        authority=authority,
        ticket=ticket,
        decide_time=now,
        setting="s",
        facts=facts_to_bytes(FACTS),
        states={},
        action=1,
        target="units/131082-JT-1",
        rule="lf.driving-school",
        pack="131000.langfang@0",
        trace_digest=b"d",
    )


async def stored(database: Database, *rows: DecisionRow) -> History:
    setting = SettingRow(
        digest="s", hosted=(HEBEI,), joined=("120000",), packs=("p@1",), reference="r"
    )
    async with database.unit() as uow:
        uow.put(SETTINGS, setting)
        for row in rows:
            uow.insert(DECISIONS, row)
    return History(database)


async def numbers(history: History, *, days: int = 10) -> list[str]:
    found: list[str] = []
    async for page in history.between(HEBEI, start=BEGIN, end=BEGIN + timedelta(days=days)):
        found += [past.ticket for past in page]
    return found


async def test_decisions_come_in_order_of_time_and_only_of_the_range(database: Database) -> None:
    late, early = BEGIN + timedelta(days=2), BEGIN + timedelta(days=1)
    history = await stored(
        database,
        a_row("late", now=late),
        a_row("early", now=early),
        a_row("before", now=BEGIN - timedelta(microseconds=1)),
        a_row("at the beginning"),
        a_row("at the end", now=BEGIN + timedelta(days=10)),
        a_row("elsewhere", authority="120000"),
    )
    assert await numbers(history) == ["at the beginning", "early", "late"]
    assert await history.count(HEBEI, start=BEGIN, end=BEGIN + timedelta(days=10)) == 3


async def test_pages_neither_repeat_nor_skip_decisions_of_one_instant(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    wanted = [f"T{number}" for number in range(7)]
    history = await stored(database, *(a_row(ticket) for ticket in wanted))
    assert await numbers(history) == wanted


async def test_a_stored_decision_comes_back_as_it_was(database: Database) -> None:
    history = await stored(database, a_row("older"), a_row("T"), a_row("T", now=BEGIN))
    found = await history.newest(HEBEI, "T")
    assert found is not None
    past, setting = found
    assert (past.facts, past.action, past.now) == (FACTS, RouteDecisionAction.ASSIGN, BEGIN)
    assert (past.position, setting.packs, setting.hosted) == (3, ("p@1",), frozenset({HEBEI}))
    assert await history.newest(HEBEI, "none") is None


async def test_every_decision_of_dispatch_is_stored_with_its_setting(database: Database) -> None:
    federation = a_federation(HOSTED, databases={"hebei": database})
    ticket = await federation.create(a_platform(HEBEI), a_message("T-1", region="131082"))
    number = ticket.name.removeprefix("tickets/")
    found = await History(database).newest(HEBEI, number)
    assert found is not None
    past, setting = found
    assert past.facts.region == "131082"
    assert past.trace_digest == ticket.decision.trace_digest.value
    assert (past.target, past.rule) == (ticket.decision.target, ticket.decision.rule)
    assert HEBEI in setting.hosted
    assert any(pack.startswith("100000.national@") for pack in setting.packs)


async def test_only_tickets_that_are_held_and_not_settled_are_in_flight(database: Database) -> None:
    federation = a_federation(HOSTED, databases={"hebei": database})
    created = [
        await federation.create(a_platform(HEBEI), a_message(f"T-{number}", region="131082"))
        for number in range(4)
    ]
    history = History(database)
    # A ticket of a city of this node is held by the city's copy, and followed by the province's.
    authority, held = await _holder(database, [item.name for item in created])
    async with database.unit() as uow:
        row = await uow.get(TICKETS, authority, held[0])
        assert row is not None
        uow.put(TICKETS, replace(row, state=6))
    pages = [page async for page in history.in_flight(authority)]
    assert [past.ticket for page in pages for past in page] == sorted(held[1:])
    assert await history.count_in_flight(authority) == 3


async def _holder(database: Database, names: list[str]) -> tuple[AuthorityCode, list[TicketNumber]]:
    numbers = sorted(TicketNumber(name.removeprefix("tickets/")) for name in names)
    async with database.unit() as uow:
        for code in ("130000", "131000"):
            row = await uow.get(TICKETS, code, numbers[0])
            if row is not None and not row.followed:
                return AuthorityCode(code), numbers
    raise AssertionError("nobody holds it")


async def test_a_long_history_is_read_a_page_at_a_time(database: Database) -> None:
    history = await stored(database, *(a_row(f"T{number:04}") for number in range(450)))
    pages: list[list[Past]] = [
        page async for page in history.between(HEBEI, start=BEGIN, end=BEGIN + timedelta(days=1))
    ]
    assert [len(page) for page in pages] == [200, 200, 50]
