"""The dossier of a dispute between units verifies offline, whatever became of it."""

from __future__ import annotations

import pytest

from gateway.kernel.codes import ReturnReason
from hotline.arbitration.v1 import case_pb2
from tests.fixtures.dossiers import check, dossier_of, sources
from tests.fixtures.nodes import a_platform
from tests.fixtures.unit_panel import FIRST, PANEL, POST, SECOND, THIRD, TIANJIN, Court, a_court

POSITION, OBJECTION = case_pb2.CaseEntry.KIND_POSITION, case_pb2.CaseEntry.KIND_OBJECTION


@pytest.fixture
async def court() -> Court:
    court = a_court(sources_of=sources)
    await court.receive()
    return court


async def holds(court: Court) -> list[tuple[int, str]]:
    """Return number and target of the rulings of a dossier that verifies."""
    [case] = await court.cases()
    court.caller = PANEL
    verdict = check(await dossier_of(court.room, TIANJIN, case.name))
    assert verdict.flaw is None, verdict.flaw
    return [(ruled.number, ruled.target) for ruled in verdict.rulings]


async def test_one_that_waits_and_one_that_was_decided_by_the_clock(court: Court) -> None:
    await court.file(SECOND, ReturnReason.OVERLAP)
    await court.pass_time(days=2)
    assert await holds(court) == []
    await court.pass_time(days=6)
    assert await holds(court) == [(1, FIRST)]


async def test_one_with_an_interim_order_an_objection_and_another_ruling(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    await court.rule("INTERIM", SECOND)
    await court.say(POSITION, a_platform(TIANJIN), party=SECOND, proposed_owner=FIRST)
    await court.rule("REASSIGN", THIRD)
    await court.say(OBJECTION, a_platform(TIANJIN), party=SECOND)
    assert await holds(court) == [(1, SECOND), (2, THIRD)]
    await court.rule("REASSIGN", SECOND)
    assert await holds(court) == [(1, SECOND), (2, THIRD), (3, SECOND)]


async def test_one_that_a_vertically_managed_body_gave_back(court: Court) -> None:
    await court.ask(proposed_owner=POST)
    await court.rule("REASSIGN", POST)
    assert await holds(court) == [(1, POST)]
    while (await court.case()).state == case_pb2.Case.STATE_RULED:
        await court.pass_time(hours=12)
    assert await holds(court) == [(1, POST)]
    await court.rule("REASSIGN", SECOND)
    assert await holds(court) == [(1, POST), (2, SECOND)]
