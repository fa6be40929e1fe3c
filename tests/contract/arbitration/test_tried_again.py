"""A default ruling that cannot be given when it is due is tried again; the alarm rings once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from gateway.arbitration.model import OPEN
from gateway.arbitration.watching import AGAIN, watch
from gateway.database.memory import MemoryDatabase
from gateway.database.timers import TimerRunner
from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import CaseState
from gateway.kernel.errors import NotCustodian
from tests.contract.arbitration.builders import Desk, NumberingRuler, a_desk
from tests.unit.arbitration.builders import LANGFANG, a_filing


@dataclass(slots=True)
class Leaving:
    """Lets no ruling be given while the ticket is on its way out."""

    is_out: bool = True


async def _rung(desk: Desk) -> CaseState:
    runner = TimerRunner(database=desk.database, clock=desk.clock, handlers=dict(desk.room.timers))
    while await runner.run_due():
        continue
    async with desk.database.unit() as uow:
        case = await desk.room.arbitration._cases.find(uow, a_filing().key)
    assert case is not None
    return case.state


async def test_a_default_ruling_is_tried_until_it_can_be_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticket, give = Leaving(), NumberingRuler.rule

    async def rule(self: NumberingRuler, uow: UnitOfWork, **given: Any) -> int:
        if ticket.is_out:
            raise NotCustodian(
                ticket=given["ticket"], event="rule", holding="OFFERED", custodian="130000"
            )
        return await give(self, uow, **given)

    monkeypatch.setattr(NumberingRuler, "rule", rule)
    desk = a_desk(MemoryDatabase())
    await desk.file(a_filing())
    desk.clock.advance(timedelta(days=4))
    assert await _rung(desk) in OPEN
    desk.clock.advance(AGAIN)
    assert await _rung(desk) in OPEN
    ticket.is_out = False
    desk.clock.advance(AGAIN)
    assert await _rung(desk) is CaseState.RULED
    assert [row.act for row in await desk.audited()].count("case.overdue") == 1


async def test_the_alarm_rings_once_whatever_the_panel_does_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each act of the panel sets the clocks again; one that was over already is no news."""

    async def rule(_self: NumberingRuler, _uow: UnitOfWork, **given: Any) -> int:
        raise NotCustodian(
            ticket=given["ticket"], event="rule", holding="OFFERED", custodian="130000"
        )

    desk = a_desk(MemoryDatabase())
    monkeypatch.setattr(NumberingRuler, "rule", rule)
    await desk.file(a_filing())
    desk.clock.advance(timedelta(days=4))
    assert await _rung(desk) is CaseState.CONFERENCE
    await desk.file(a_filing(filer=LANGFANG))
    assert await _rung(desk) is CaseState.CONFERENCE
    for _ in range(3):
        desk.clock.advance(AGAIN)
        await _rung(desk)
    async with desk.database.unit() as uow:  # what another change does: set the clocks anew
        case = await desk.room.arbitration._cases.find(uow, a_filing().key)
        assert case is not None
        watch(uow, case)
    await _rung(desk)
    assert [row.act for row in await desk.audited()].count("case.overdue") == 1
