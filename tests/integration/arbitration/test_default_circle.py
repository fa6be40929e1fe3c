"""A city passes on by consent what it has by default; no clock brings the ticket back to it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gateway.database.timers import TimerRunner
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_service_pb2 as custody_service_pb
from tests.fixtures.nodes import IDS, NOW
from tests.integration.arbitration.test_a_province_rules import (
    BAODING,
    HEBEI,
    HOSTS,
    LANGFANG,
    SHIJIAZHUANG,
    Province,
    a_province,
)

CONTEXT: Any = None


async def ruled_by_the_clock(province: Province) -> case_pb2.Case:
    """Let all the time of the panel pass; return the case that the clock ruled in."""
    listed = await province.panel.servicer.ListCases(
        pb.ListCasesRequest(filter="state = FILED"), CONTEXT
    )
    [case] = listed.cases
    federation = province.federation
    federation.clock.advance(timedelta(days=8))
    runner = TimerRunner(
        database=federation.node_of(HEBEI).database,
        clock=federation.clock,
        handlers=dict(province.panel.timers),
    )
    while await runner.run_due():
        await federation.settle()
    await federation.settle()
    request = pb.GetCaseRequest(name=case.name)
    return (await province.panel.servicer.GetCase(request, CONTEXT)).case


async def passed_on(province: Province, name: str) -> None:
    """Let 石家庄 ask for a ruling about what was ruled, and 保定 take it by consent meanwhile."""
    await province.offer(name, SHIJIAZHUANG, BAODING)  # no offer after a ruling: a case
    request = custody_service_pb.AssumeTicketRequest(name=name, request_id=IDS.uuid7(NOW))
    await province.transfers(BAODING).AssumeTicket(request, CONTEXT)
    await province.federation.settle()
    await province.offer(name, SHIJIAZHUANG, BAODING)
    assert not (await province.copy(BAODING, name)).followed


async def test_who_passed_a_ticket_on_does_not_get_it_back_by_default() -> None:
    province = a_province(HOSTS["hosted"])
    name = await province.disputed()
    first = await ruled_by_the_clock(province)
    assert [ruling.target for ruling in first.rulings] == [SHIJIAZHUANG]
    await passed_on(province, name)
    await province.offer(name, BAODING, LANGFANG)  # and 保定 would not have it any more
    again = await ruled_by_the_clock(province)
    assert [ruling.target for ruling in again.rulings] == [BAODING]
    assert again.state == case_pb2.Case.STATE_CLOSED
    held = await province.copy(BAODING, name)
    assert (held.followed, held.case) == (False, "")
    assert (await province.copy(SHIJIAZHUANG, name)).followed
