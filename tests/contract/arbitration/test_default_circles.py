"""Case after case of one chain without a panel: rulings by default end with who keeps the ticket.

Between authorities a ticket moves by consent too, so the first receiver of the path may be who got
it by default before and passed it on. The real `CustodyRuler` rules, on a store in memory.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.arbitration.model import CaseKey, Filing
from gateway.database.memory import MemoryDatabase
from gateway.database.timers import TimerRunner
from gateway.kernel.codes import CaseLevel, CaseState, RulingKind
from gateway.kernel.ids import NATION, AuthorityCode
from tests.contract.arbitration.builders import PANEL, Desk, a_desk
from tests.unit.arbitration.builders import (
    BAODING,
    HEBEI,
    LANGFANG,
    SHIJIAZHUANG,
    TIANJIN,
    a_filing,
    an_order,
)

INSIDE = (HEBEI, SHIJIAZHUANG, BAODING, LANGFANG)
OUTSIDE = (HEBEI, TIANJIN)


def a_case_of(scope: str, era: int, path: list[AuthorityCode]) -> Filing:
    """Return what the last of a path files in an era, after hand-overs by consent."""
    filed = a_filing()
    level = CaseLevel.PROVINCES if scope == NATION else CaseLevel.AUTHORITIES
    return a_filing(
        key=CaseKey(AuthorityCode(scope), f"{filed.ticket}-{scope}-1-{era}"),
        cause="ruled" if era else "hops",
        filer=path[-1],
        custodian=path[-1],
        path=tuple(path),
        proposed_target=None,
        level=level,
    )


async def ruled_by_the_clock(desk: Desk, filing: Filing) -> AuthorityCode:
    """File, let all time pass, and return whom the ruling by default names."""
    await desk.file(filing)
    desk.clock.advance(timedelta(days=8))
    runner = TimerRunner(database=desk.database, clock=desk.clock, handlers=dict(desk.room.timers))
    while await runner.run_due():
        continue
    async with desk.database.unit() as uow:
        case = await desk.room.arbitration._cases.find(uow, filing.key)
    assert case is not None
    [ruling] = case.rulings
    assert ruling.kind is RulingKind.DEFAULT
    await desk.take(filing, ruling.number)
    return AuthorityCode(ruling.target)


@pytest.mark.parametrize(("scope", "people"), [(HEBEI, INSIDE), (NATION, OUTSIDE)])
async def test_two_that_pass_it_to_each_other_do_not_get_it_by_default_for_ever(
    scope: str, people: tuple[AuthorityCode, ...]
) -> None:
    desk = a_desk(MemoryDatabase())
    first, second = people[0], people[1]
    assert await ruled_by_the_clock(desk, a_case_of(scope, 0, [first, second])) == first
    for era in range(1, 4):  # each time the first passes it on, and the second files
        found = await ruled_by_the_clock(desk, a_case_of(scope, era, [first, second]))
        assert found == second, f"era {era}"


@settings(max_examples=12, deadline=None)
@given(
    start=st.lists(st.sampled_from(INSIDE), min_size=1, max_size=3, unique=True),
    passed=st.lists(st.lists(st.sampled_from(INSIDE), max_size=2), min_size=4, max_size=7),
)
async def test_rulings_by_default_move_a_ticket_to_nobody_twice(
    start: list[AuthorityCode], passed: list[list[AuthorityCode]]
) -> None:
    """Whatever its holders agree on: by default it moves at most once to each, then it stays."""
    desk, path, moved_to = a_desk(MemoryDatabase()), start, list[AuthorityCode]()
    for era, hands in enumerate(passed):
        target = await ruled_by_the_clock(desk, a_case_of(HEBEI, era, path))
        if target != path[-1]:
            moved_to.append(target)
        path = list(dict.fromkeys([target, *(code for code in hands if code != target)]))
    assert len(moved_to) == len(set(moved_to))
    quiet = await ruled_by_the_clock(desk, a_case_of(HEBEI, len(passed), [path[0]]))
    assert quiet == path[0], "who holds it by a ruling and gives it to nobody keeps it"


async def test_whom_a_panel_gave_it_does_not_get_it_back_after_passing_it_on() -> None:
    desk = a_desk(MemoryDatabase())
    filing = a_case_of(HEBEI, 0, [BAODING, SHIJIAZHUANG])
    await desk.file(filing)
    async with desk.database.unit() as uow:
        await uow.lock(f"ticket/{filing.ticket}")
        case = await desk.room.arbitration._cases.find(uow, filing.key)
        assert case is not None
        await desk.room.arbitration._rule(
            uow, PANEL, case, an_order(target=LANGFANG), now=desk.clock.now()
        )
    await desk.take(filing, 1)
    later = a_case_of(HEBEI, 1, [LANGFANG, BAODING])
    assert await ruled_by_the_clock(desk, later) == BAODING
    async with desk.database.unit() as uow:
        first = await desk.room.arbitration._cases.find(uow, filing.key)
    assert first is not None
    assert first.state is CaseState.CLOSED
