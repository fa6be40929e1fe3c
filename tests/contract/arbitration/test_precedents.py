"""Precedents on both engines: set, applied to the next case, shown, superseded, revoked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.arbitration.model import CaseKey, Filing, TicketFacts
from gateway.arbitration.precedents.casebook import PRECEDENT_TIMER
from gateway.arbitration.precedents.model import VALIDITY
from gateway.database.timers import TimerRunner
from gateway.database.uow import Database
from gateway.kernel.codes import TicketType
from gateway.kernel.errors import FieldInvalid, ResourceNotFound, RoleMissing, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.trust.principal import Principal, PrincipalKind, Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2, precedent_pb2
from hotline.custody.v1 import custody_pb2
from tests.contract.arbitration.builders import IDS, PANEL, Desk, a_desk
from tests.unit.arbitration.builders import (
    BAODING,
    FACTS,
    HEBEI,
    LANGFANG,
    NOW,
    SHIJIAZHUANG,
    a_filing,
)

CONTEXT: Any = None
UPHOLD = custody_pb2.Ruling.KIND_UPHOLD


@pytest.fixture
def desk(database: Database) -> Desk:
    return a_desk(database)


def another(number: int, **changes: Any) -> Filing:
    """Return a filing about another ticket in 廊坊, which 石家庄 holds and 廊坊 refused."""
    ticket = TicketNumber(f"1301002026030200000{number:03d}1")
    given: dict[str, Any] = {
        "key": CaseKey(HEBEI, f"{ticket}-130000-1-0"),
        "ticket": ticket,
        "path": (SHIJIAZHUANG,),
        "proposed_target": LANGFANG,
    }
    return replace(a_filing(), **(given | changes))


async def ruled(
    desk: Desk, filing: Filing, target: str = LANGFANG, **changes: Any
) -> case_pb2.Case:
    desk.caller = PANEL
    given: dict[str, Any] = {
        "name": filing.key.name,
        "kind": custody_pb2.Ruling.KIND_REASSIGN,
        "target": target,
        "legal_basis": "属地管理原则（测试）",
        "reasons": "事发地在该市辖区内（测试）。",
        "request_id": IDS.uuid7(NOW),
        "sets_precedent": True,
    }
    request = pb.IssueRulingRequest(**(given | changes))
    return (await desk.room.servicer.IssueRuling(request, CONTEXT)).case


async def got(desk: Desk, filing: Filing, caller: Principal = PANEL) -> case_pb2.Case:
    desk.caller = caller
    request = pb.GetCaseRequest(name=filing.key.name)
    return (await desk.room.servicer.GetCase(request, CONTEXT)).case


async def filed(desk: Desk, filing: Filing) -> case_pb2.Case:
    """File, and let what is due at once happen."""
    await desk.file(filing)
    handlers = dict(desk.room.timers)
    runner = TimerRunner(database=desk.database, clock=desk.clock, handlers=handlers)
    while await runner.run_due():
        pass
    return await got(desk, filing)


async def listed(desk: Desk) -> list[precedent_pb2.Precedent]:
    desk.caller = PANEL
    answer = await desk.room.servicer.ListPrecedents(pb.ListPrecedentsRequest(), CONTEXT)
    return list(answer.precedents)


async def revoked(desk: Desk, filing: Filing) -> precedent_pb2.Precedent:
    request = pb.RevokePrecedentRequest(
        name=f"precedents/{filing.key.case}", reason="职责已调整（测试）", request_id=IDS.uuid7(NOW)
    )
    return (await desk.room.servicer.RevokePrecedent(request, CONTEXT)).precedent


async def test_the_same_quarrel_does_not_come_twice(desk: Desk) -> None:
    await filed(desk, another(1))
    await ruled(desk, another(1))
    case = await filed(desk, another(2))
    [ruling] = case.rulings
    assert case.state == case_pb2.Case.STATE_RULED
    assert ruling.target == LANGFANG
    assert another(1).key.case in ruling.legal_basis
    assert ruling.ruler.endswith("/system/precedent")
    [precedent] = await listed(desk)
    assert (precedent.role, precedent.applied) == ("place", 1)


async def test_in_another_city_it_names_somebody_else(desk: Desk) -> None:
    await filed(desk, another(1))
    await ruled(desk, another(1))
    facts = replace(FACTS, region="130602")
    case = await filed(desk, another(2, facts=facts, proposed_target=BAODING))
    assert [ruling.target for ruling in case.rulings] == [BAODING]


async def test_without_being_set_a_ruling_is_of_this_case_only(desk: Desk) -> None:
    await filed(desk, another(1))
    await ruled(desk, another(1), sets_precedent=False)
    assert not (await filed(desk, another(2))).rulings
    assert await listed(desk) == []


async def test_a_near_one_is_shown_with_its_difference_and_decides_nothing(desk: Desk) -> None:
    await filed(desk, another(1))
    await ruled(desk, another(1))
    case = await filed(desk, another(2, facts=replace(FACTS, type=TicketType.REPORT)))
    assert not case.rulings
    [near] = case.precedents
    assert (near.precedent.name, list(near.differs)) == (
        f"precedents/{another(1).key.case}",
        ["type"],
    )
    party = Principal(SHIJIAZHUANG, PrincipalKind.STAFF, "s1", frozenset({Role.SUPERVISOR}))
    assert not (await got(desk, another(2), party)).precedents  # the panel's own


async def test_a_newer_one_with_the_same_key_supersedes(desk: Desk) -> None:
    await filed(desk, another(1))
    await ruled(desk, another(1))
    second = await filed(desk, another(2))
    desk.clock.advance(timedelta(minutes=1))
    assert second.rulings
    await ruled(desk, another(2), SHIJIAZHUANG, kind=custody_pb2.Ruling.KIND_UPHOLD)
    assert {item.name: item.validity for item in await listed(desk)} == {
        f"precedents/{another(1).key.case}": "superseded",
        f"precedents/{another(2).key.case}": "active",
    }
    third = await filed(desk, another(3))
    assert [ruling.target for ruling in third.rulings] == [SHIJIAZHUANG]


async def test_a_revoked_or_expired_one_decides_nothing(desk: Desk) -> None:
    await filed(desk, another(1))
    await ruled(desk, another(1))
    assert (await revoked(desk, another(1))).validity == "revoked"
    assert not (await filed(desk, another(2))).rulings
    with pytest.raises(TransitionNotAllowed):
        await revoked(desk, another(1))
    await ruled(desk, another(2))
    desk.clock.advance(VALIDITY)
    assert not (await filed(desk, another(3))).rulings


async def test_a_target_of_no_role_sets_no_precedent(desk: Desk) -> None:
    await filed(desk, another(1))
    with pytest.raises(FieldInvalid, match="sets_precedent"):
        await ruled(desk, another(1), "130600")
    assert not (await got(desk, another(1))).rulings  # nothing of it happened


async def test_only_the_panel_of_its_scope_ends_one(desk: Desk) -> None:
    await filed(desk, another(1))
    await ruled(desk, another(1))
    for caller, error in (
        (Principal(HEBEI, PrincipalKind.STAFF, "s1", frozenset({Role.SUPERVISOR})), RoleMissing),
        (
            Principal(
                AuthorityCode("120000"),
                PrincipalKind.STAFF,
                "p",
                frozenset({Role.PANEL_MEMBER}),
            ),
            ResourceNotFound,
        ),
    ):
        desk.caller = caller
        with pytest.raises(error):
            await revoked(desk, another(1))


async def test_what_is_counted_brings_no_revoked_one_back(desk: Desk) -> None:
    await filed(desk, another(1))
    await ruled(desk, another(1))
    await desk.file(another(2))
    book = desk.room.arbitration.casebook
    rule, revoking = book._decide, list[asyncio.Task[precedent_pb2.Precedent]]()

    async def decide(*given: Any, **named: Any) -> None:
        revoking.append(asyncio.create_task(revoked(desk, another(1))))
        await asyncio.wait(revoking, timeout=0.1)  # it is through by then if nothing holds it up
        await rule(*given, **named)

    book._decide = decide
    runner = TimerRunner(database=desk.database, clock=desk.clock, handlers={PRECEDENT_TIMER: book})
    await runner.run_due()
    await revoking[0]
    assert [(item.validity, item.applied) for item in await listed(desk)] == [("revoked", 1)]


async def test_the_precedent_of_a_ruling_that_was_changed_ends(desk: Desk) -> None:
    await filed(desk, another(1))
    await ruled(desk, another(1))
    await ruled(desk, another(1), SHIJIAZHUANG, kind=UPHOLD, sets_precedent=False)
    assert [item.validity for item in await listed(desk)] == ["superseded"]
    assert not (await filed(desk, another(2))).rulings


async def test_of_an_unknown_matter_there_is_no_precedent(desk: Desk) -> None:
    await filed(desk, another(1, facts=TicketFacts()))
    with pytest.raises(FieldInvalid, match="sets_precedent"):
        await ruled(desk, another(1, facts=TicketFacts()), SHIJIAZHUANG, kind=UPHOLD)
