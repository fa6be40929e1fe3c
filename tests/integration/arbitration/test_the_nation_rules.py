"""Two provinces refuse a ticket; the nation's panel rules on a node that never sees the ticket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from gateway.arbitration.assembly import ArbitrationRoom, build_arbitration
from gateway.audit.service import AuditLog
from gateway.custody.transfers import Transfers
from gateway.database.once import Once
from gateway.evidence.servicer import EvidenceServicer
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber
from gateway.tickets.model import Ticket, letter_key
from gateway.tickets.tokens import Tokens
from gateway.trust.principal import Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2
from hotline.custody.v1 import custody_service_pb2 as custody_service_pb
from hotline.ticket.v1 import codes_pb2
from tests.fixtures.exporting import an_exporter
from tests.fixtures.nodes import (
    IDS,
    NOW,
    Federation,
    a_federation,
    a_message,
    a_person,
    a_platform,
    reference,
)
from tests.unit.dispatch.letters import Story

TIANJIN, HEBEI, SHANGHAI, JIANGSU = (
    AuthorityCode(code) for code in ("120000", "130000", "310000", "320000")
)
HOSTS: Mapping[str, Sequence[str]] = {
    "tianjin": (TIANJIN,),
    "hebei": (HEBEI, "131000"),
    "shanghai": (SHANGHAI,),
    "jiangsu": (JIANGSU,),
}
CONTEXT: Any = None


def a_panel(federation: Federation) -> ArbitrationRoom:
    """Return the panel of the nation's arbiter node, wired as a node would."""
    node = federation.arbiter
    assert node is not None
    panel = build_arbitration(
        database=node.database,
        ruler=node.desk.arbiter,
        keys=node.keys,
        ids=IDS,
        roster=lambda: federation.roster,
        calendar=lambda: reference().calendar,
        is_within=reference().regions.is_within,
        audit=AuditLog(),
        business_clock=federation.clock,
        principal_of=lambda context: a_person(NATION, Role.PANEL_MEMBER),
    )
    node.told = panel.arbitration.react
    return panel


def transfers(federation: Federation, authority: str) -> EvidenceServicer:
    node = federation.node_of(authority)
    made = Transfers(
        database=node.database,
        custody=node.custody,
        audit=AuditLog(),
        clock=federation.clock,
        react=node.dispatch.reactions.react,
        window=node.dispatch.acting.answer_window,
    )
    return EvidenceServicer(
        transfers=made,
        once=Once(database=node.database, clock=federation.clock, key=node.room.token_key),
        tokens=Tokens(node.room.token_key),
        principal_of=lambda _context: a_person(authority),
        exporter=an_exporter(node),
    )


async def refused(federation: Federation, name: str, target: str, *, proposed: str) -> None:
    """Offer a ticket of 天津, and have the other province decline it."""
    offer = custody_service_pb.CreateTransferRequest(
        parent=name,
        target=target,
        reason=custody_pb2.OFFER_REASON_MANUAL,
        request_id=IDS.uuid7(NOW),
    )
    made = await transfers(federation, TIANJIN).CreateTransfer(offer, CONTEXT)
    await federation.settle()
    answer = custody_service_pb.DeclineTransferRequest(
        name=made.transfer.name,
        reason=codes_pb2.RETURN_REASON_WRONG_FUNCTION,
        clause="职责清单第一条（测试）",
        proposed_owner=proposed,
        request_id=IDS.uuid7(NOW),
    )
    await transfers(federation, target).DeclineTransfer(answer, CONTEXT)
    await federation.settle()


async def disputed(federation: Federation) -> str:
    """Return the name of a ticket of 天津 that 上海 and 河北 refused."""
    ticket = await federation.create(
        a_platform(TIANJIN), a_message(region="120101", matter="020401")
    )
    await refused(federation, ticket.name, SHANGHAI, proposed=HEBEI)
    await refused(federation, ticket.name, HEBEI, proposed=SHANGHAI)
    return ticket.name


async def the_case(panel: ArbitrationRoom) -> case_pb2.Case:
    [case] = (await panel.servicer.ListCases(pb.ListCasesRequest(), CONTEXT)).cases
    return case


async def rule(
    federation: Federation, panel: ArbitrationRoom, *, kind: str, target: str
) -> case_pb2.Case:
    request = pb.IssueRulingRequest(
        name=(await the_case(panel)).name,
        kind=custody_pb2.Ruling.Kind.Value(f"KIND_{kind}"),
        target=target,
        legal_basis="首接负责制（测试）",
        reasons="事发地在该地（测试）。",
        request_id=IDS.uuid7(NOW),
    )
    await panel.servicer.IssueRuling(request, CONTEXT)
    await federation.settle()
    return await the_case(panel)


async def copy_of(federation: Federation, authority: AuthorityCode, name: str) -> Ticket:
    node = federation.node_of(authority)
    number = TicketNumber(name.removeprefix("tickets/"))
    async with node.database.unit() as uow:
        return await node.room.tickets.get(uow, authority, number)


async def test_a_case_of_provinces_reaches_the_nation_as_codes() -> None:
    federation = a_federation(HOSTS, with_arbiter=True)
    panel = a_panel(federation)
    name = await disputed(federation)
    case = await the_case(panel)
    assert (case.scope, case.ticket) == (NATION, name.removeprefix("tickets/"))
    assert case.ground == case_pb2.Case.GROUND_CROSS_REGION
    assert (case.responsible, list(case.filers)) == (TIANJIN, [TIANJIN])
    assert (case.facts.matter, case.facts.region) == ("020401", "120101")
    assert "驾校" not in repr(federation.arbiter.database.tables)  # type: ignore[union-attr] # memory


@pytest.mark.parametrize("target", [SHANGHAI, HEBEI])
async def test_the_ruled_province_takes_what_it_had_refused(target: AuthorityCode) -> None:
    federation = a_federation(HOSTS, with_arbiter=True)
    panel = a_panel(federation)
    name = await disputed(federation)
    case = await rule(federation, panel, kind="REASSIGN", target=target)
    assert case.state == case_pb2.Case.STATE_CLOSED
    assert case.responsible == target
    taken = await copy_of(federation, target, name)
    assert not taken.followed
    assert taken.lead is not None
    assert taken.lead.is_desk  # its place is in 天津, and what was ruled is not offered on
    left = await copy_of(federation, TIANJIN, name)
    assert left.followed
    assert (left.custodian, left.case) == (target, "")


async def test_the_ruled_province_sees_what_was_asked_and_answered_before() -> None:
    federation = a_federation(HOSTS, with_arbiter=True)
    panel = a_panel(federation)
    name = await disputed(federation)
    story = Story(federation, TIANJIN, TicketNumber(name.removeprefix("tickets/")))
    await story.ask(TIANJIN, "测试问题")
    federation.clock.advance(timedelta(minutes=5))
    await story.answer(1, "测试答复")
    await rule(federation, panel, kind="REASSIGN", target=SHANGHAI)
    [known] = (await story.copy(SHANGHAI)).questions
    assert (known,) == (await story.copy(TIANJIN)).questions
    assert known.answer_time is not None
    assert known.answer_time > known.ask_time
    letters = (await story.texts(SHANGHAI)).letters
    assert letters[letter_key("question", 1, TIANJIN)] == "测试问题"
    assert letters[letter_key("answer", 1, TIANJIN)] == "测试答复"


async def test_an_upheld_province_dispatches_what_waited() -> None:
    federation = a_federation(HOSTS, with_arbiter=True)
    panel = a_panel(federation)
    name = await disputed(federation)
    assert (await copy_of(federation, TIANJIN, name)).case
    case = await rule(federation, panel, kind="UPHOLD", target=TIANJIN)
    assert case.state == case_pb2.Case.STATE_CLOSED
    held = await copy_of(federation, TIANJIN, name)
    assert not held.followed
    assert held.case == ""
    assert held.lead is not None
    assert not held.lead.is_desk
