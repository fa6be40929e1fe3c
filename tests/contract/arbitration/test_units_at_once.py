"""What happens in the same moment about a dispute of units: one leads, and no case waits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from gateway.database.uow import Database
from gateway.kernel.codes import ReturnReason
from gateway.kernel.errors import LubiaoError
from gateway.trust.principal import Role
from hotline.arbitration.v1 import case_pb2
from tests.fixtures.nodes import a_call, a_person, a_platform
from tests.fixtures.unit_panel import (
    POST,
    SECOND,
    THIRD,
    TIANJIN,
    Court,
    a_court,
)
from tests.unit.dispatch.letters import RESULT

CASE = case_pb2.Case
OVER = {CASE.STATE_CLOSED, CASE.STATE_WITHDRAWN}
Deed = Callable[[Court], Awaitable[object]]


async def review(court: Court) -> None:
    await court.review(granted=True)


async def claim(court: Court) -> None:
    await court.node.dispatch.units.answers.claim(
        a_call(a_platform(TIANJIN), "ClaimTicket"), court.target, unit=THIRD, clause="清单（测试）"
    )


async def resolve(court: Court) -> None:
    handling, person = court.node.dispatch.handling, a_person(TIANJIN, Role.HANDLER)
    await handling.sign(a_call(person, "SignTicket"), court.target)
    await handling.resolve(a_call(person, "ResolveTicket"), court.target, result=RESULT)


async def accept(court: Court) -> None:
    await court.accept(a_platform(TIANJIN))


async def ask(court: Court) -> None:
    await court.ask(a_person(TIANJIN, Role.SUPERVISOR), proposed_owner=SECOND)


def rule(target: str) -> Deed:
    async def deed(court: Court) -> None:
        if await court.cases():
            await court.rule("REASSIGN", target)

    return deed


DEEDS: tuple[Deed, ...] = (review, claim, resolve, accept, ask, rule(SECOND), rule(POST))


async def tried(deed: Deed, court: Court) -> None:
    """Do it, or be told why not; an error of the program fails the test."""
    with suppress(LubiaoError):
        await deed(court)


@pytest.mark.parametrize("seed", range(8))
async def test_one_unit_leads_and_no_case_waits(database: Database, seed: int) -> None:
    dice = random.Random(seed)
    court = a_court(database)
    await court.receive()
    await court.returned(SECOND, ReturnReason.WRONG_FUNCTION, granted=bool(seed % 2))
    if seed % 4 < 2:
        await court.ask(a_person(TIANJIN, Role.SUPERVISOR), proposed_owner=THIRD)
    for _ in range(8):
        deeds = dice.sample(DEEDS, k=3)
        await asyncio.gather(*(tried(deed, court) for deed in deeds))
        ticket = await court.copy()
        leads = [item for item in ticket.assignments if item.is_lead and item.is_standing]
        assert len(leads) == 1, [deed.__name__ for deed in deeds]
        assert leads[0].unit != POST or ticket.unit_requests, "a body is asked first"
        await court.pass_time(hours=dice.choice((1, 5, 30)))
    for _ in range(14):
        await court.pass_time(hours=24)
    assert all(case.state in OVER for case in await court.cases())
    assert not (await court.copy()).case
