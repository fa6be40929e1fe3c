"""What looks at the simulated world from outside sees what is wrong: else its zeros say nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.arbitration_nodes import StageNode
from benchmarks.arbitration_oracle import (
    PlainGuard,
    Responsible,
    broken_guards,
    cycles,
    guards,
)
from benchmarks.arbitration_people import Hours
from benchmarks.arbitration_stage import reference
from benchmarks.watched import WatchedDatabase
from gateway.kernel.codes import AssignmentRole, AssignmentState, TicketState
from gateway.tickets.store import ASSIGNMENTS, TICKETS

MONDAY = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)  # 10:00 in Shanghai
TICKET = "13010020260302000010013"
A, B = "units/130102-CG-1", "units/130102-JT-1"


def a_node(**rows: list[Any]) -> StageNode:
    """Return what the oracle reads of a node, with these rows at rest."""
    found: Any = SimpleNamespace(
        of_ticket=lambda table, _ticket: dict(enumerate(rows.get(table.name, []))),
        rows=lambda table: rows.get(table.name, []),
    )
    node: Any = SimpleNamespace(database=found)
    typed: StageNode = node
    return typed


def a_lead(number: int, unit: str, state: AssignmentState = AssignmentState.ASSIGNED) -> Any:
    return SimpleNamespace(
        authority="130100",
        ticket=TICKET,
        number=number,
        unit=unit,
        role=int(AssignmentRole.LEAD),
        state=int(state),
        assign_time=MONDAY + timedelta(hours=number),
    )


def a_copy(*, followed: bool = False, state: TicketState = TicketState.DISPATCHED) -> Any:
    return SimpleNamespace(
        authority="130100", number=TICKET, followed=followed, state=int(state), ticket=TICKET
    )


def looked_at(**rows: list[Any]) -> Responsible:
    seen = Responsible({"hebei": a_node(**rows)})
    seen.noted(ASSIGNMENTS.name, a_lead(1, A))
    seen.check()
    return seen


def test_a_ticket_whose_lead_is_at_work_has_somebody_responsible() -> None:
    seen = looked_at(**{TICKETS.name: [a_copy()], ASSIGNMENTS.name: [a_lead(1, A)]})
    assert (seen.looks, len(seen.without)) == (1, 0)


@pytest.mark.parametrize(
    ("copy", "leads"),
    [
        (a_copy(), []),
        (a_copy(), [a_lead(1, A, AssignmentState.REASSIGNED)]),
        (a_copy(), [a_lead(1, A), a_lead(2, B)]),
        (a_copy(followed=True), [a_lead(1, A)]),
    ],
    ids=["nobody", "left", "two", "held elsewhere"],
)
def test_a_ticket_without_one_lead_is_seen(copy: Any, leads: list[Any]) -> None:
    seen = looked_at(**{TICKETS.name: [copy], ASSIGNMENTS.name: leads})
    assert list(seen.without) == [TICKET]


def test_a_text_that_never_arrives_is_seen_when_nothing_is_on_its_way() -> None:
    chain = SimpleNamespace(holding="HELD")
    seen = looked_at(**{TICKETS.name: [a_copy(followed=True)], "chains": [chain]})
    assert (len(seen.awaited), len(seen.without)) == (1, 0)
    seen.check_at_rest()
    assert list(seen.without) == [TICKET]


def test_a_unit_that_leads_twice_is_a_cycle_unless_a_ruling_said_so() -> None:
    leads = [a_lead(1, A), a_lead(2, B), a_lead(3, A)]
    node = a_node(**{ASSIGNMENTS.name: leads})
    assert cycles(node, {}) == [TICKET]
    assert cycles(node, {TICKET: [leads[2].assign_time]}) == []


@pytest.mark.parametrize(
    ("unit", "matter", "broken"),
    [
        ("units/130102-CG-1", "021100", ["hb.guard.enforcement-conduct"]),
        ("units/120101-CG-1", "021100", []),  # a guard of another province
        ("units/130102-SF-1", "021100", []),
        ("units/130102-CG-1", "020401", []),
        ("units/130102-SWU-1", "020401", ["cn.guard.vertical"]),
        ("units/130100-desk", "021100", []),
    ],
)
def test_the_guards_are_read_without_the_product(unit: str, matter: str, broken: list[str]) -> None:
    assert broken_guards(guards(), unit, matter=matter) == broken


def test_a_guard_that_the_oracle_cannot_read_is_no_silent_pass() -> None:
    with pytest.raises(ValueError, match="cannot read"):
        PlainGuard.of("100000", {"id": "x", "forbid": {"moods": ["bad"]}})


@pytest.mark.parametrize(
    ("end", "days"),
    [
        (MONDAY + timedelta(hours=7), 0),  # the same day, by 17:00
        (MONDAY + timedelta(days=1), 1),
        (MONDAY + timedelta(days=1, hours=8), 2),  # after closing time
        (MONDAY + timedelta(days=3, hours=7, minutes=30), 3),  # at closing time
        (MONDAY + timedelta(days=5), 5),  # a Saturday counts as the Monday after it
    ],
)
def test_working_days_are_counted_as_the_law_does(end: datetime, days: int) -> None:
    assert Hours(reference().calendar).days(MONDAY, end) == days


def test_the_engine_tells_what_it_commits() -> None:
    told: list[str] = []
    database = WatchedDatabase(committed=lambda table, _key, _row: told.append(table))
    assert database.of_ticket(TICKETS, TICKET) == {}
    assert not told
