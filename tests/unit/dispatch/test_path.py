"""One ticket's whole path over real custody: 天津 → 河北 → 廊坊 and its result back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from gateway.dispatch.codec import Result
from gateway.dispatch.handling import Target
from gateway.kernel.codes import ContactMethod, Solved
from gateway.kernel.ids import TicketNumber
from gateway.tickets.codec import ticket_to_pb
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from tests.fixtures.nodes import (
    HOSTED,
    SPLIT,
    Federation,
    a_call,
    a_federation,
    a_message,
    a_platform,
    a_rating,
)

PB = ticket_pb2.Ticket


async def copy_at(
    federation: Federation, authority: str, number: str, *, purpose: str = ""
) -> ticket_pb2.Ticket:
    reader = federation.node_of(authority).dispatch.reader
    shown = await reader.get(a_platform(authority), TicketNumber(number), purpose=purpose)
    return ticket_to_pb(
        shown.ticket, now=federation.clock.now(), custody=shown.custody, texts=shown.texts
    )


@pytest.mark.parametrize("hosts", [HOSTED, SPLIT], ids=["hosted", "split"])
async def test_ticket_reaches_the_unit_and_its_result_the_origin(
    hosts: Mapping[str, Sequence[str]],
) -> None:
    federation = a_federation(hosts)
    created = await federation.create(a_platform("120000"), a_message())
    number = created.name.removeprefix("tickets/")
    federation.clock.advance(timedelta(days=3))  # a slow network moves no due time (I9)
    await federation.settle()

    at_unit = await copy_at(federation, "131000", number, purpose="handling")
    assignment = at_unit.assignments[0]
    assert assignment.role == codes_pb2.ASSIGNMENT_ROLE_LEAD
    assert assignment.state == ticket_pb2.Assignment.STATE_ASSIGNED
    assert at_unit.content.title == a_message().content.title
    assert at_unit.citizen.phones == ["13800138000"]
    assert at_unit.custody.custodian == "131000"
    assert at_unit.due_time == created.due_time

    node = federation.node_of("131000")
    platform = a_platform("131000")
    target = Target(number=TicketNumber(number))
    await node.dispatch.handling.acknowledge(
        a_call(platform, "AcknowledgeTicket"), target, external_id="LF-1"
    )
    await node.dispatch.handling.sign(a_call(platform, "SignForTicket"), target)
    await node.dispatch.handling.contact(
        a_call(platform, "RecordContact"), target, method=ContactMethod.PHONE, at=None
    )
    result = Result(Solved.SOLVED, "已安排训练（测试）")
    await node.dispatch.handling.resolve(a_call(platform, "ResolveTicket"), target, result=result)
    rating = a_rating()
    await node.dispatch.handling.rate(a_call(platform, "RateTicket"), target, rating=rating)
    await federation.settle()

    at_origin = await copy_at(federation, "120000", number)
    assert at_origin.state == PB.STATE_CLOSED
    assert at_origin.followed
    assert at_origin.resolution.result == result.result
    assert at_origin.rating.satisfaction == codes_pb2.SATISFACTION_SATISFIED
    assert at_origin.custody.custodian == "131000"
    assert at_origin.platform_state == codes_pb2.PLATFORM_STATE_CLOSED
    assert at_origin.assignments[0].unit == assignment.unit


async def test_every_statement_that_was_taken_leaves_an_audit_row_of_its_issuer() -> None:
    federation = a_federation()
    created = await federation.create(a_platform("120000"), a_message())
    await federation.settle()

    rows = federation.node_of("130000").database.tables["audit_entries"].values()  # type: ignore[attr-defined] # memory
    offers = [row for row in rows if row.act == "statement.Offer"]
    assert [row.principal for row in offers] == ["authorities/120000", "authorities/130000"]
    assert {row.subject for row in offers} == {created.name}
