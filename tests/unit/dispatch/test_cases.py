"""The path cases of the standard's scenarios, at their custodians, and intake's refusals."""

from __future__ import annotations

import pytest

from gateway.dispatch.codec import Result
from gateway.dispatch.handling import Target
from gateway.kernel.codes import Solved, TicketState
from gateway.kernel.errors import (
    EtagMismatch,
    FieldInvalid,
    GuardViolated,
    RequestIdReused,
    ResourceExists,
    ResourceNotFound,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import TicketNumber, is_ticket_number
from gateway.tickets.store import TICKETS, ContentRow, TicketRow
from gateway.trust.principal import Role
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from tests.fixtures.nodes import (
    IDS,
    NOW,
    Federation,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
)

TIANJIN, HEBEI = "120000", "130000"
PB = ticket_pb2.Ticket
SOLVED = Result(Solved.EXPLAINED, "对方书面答复（测试）")


def number_of(ticket: ticket_pb2.Ticket) -> TicketNumber:
    return TicketNumber(ticket.name.removeprefix("tickets/"))


def target_of(ticket: ticket_pb2.Ticket) -> Target:
    return Target(number=number_of(ticket))


def kinds(ticket: ticket_pb2.Ticket) -> list[int]:
    return [item.code for item in ticket.findings]


async def copies(federation: Federation, authority: str) -> list[TicketRow]:
    database = federation.node_of(authority).database
    return [row for row in database.rows(TICKETS) if row.authority == authority]  # type: ignore[attr-defined] # memory


async def test_retired_region_is_resolved_and_told() -> None:
    federation = a_federation()
    ticket = await federation.create(
        a_platform(TIANJIN), a_message(region="120107", matter="020401")
    )
    assert ticket.resolved_region == "120116"
    assert kinds(ticket) == [codes_pb2.FINDING_CODE_REGION_RETIRED]
    assert ticket.state == PB.STATE_DISPATCHED
    assert "units/120116-" in ticket.assignments[0].unit


async def test_complaint_about_a_unit_never_reaches_it() -> None:
    federation = a_federation()
    message = a_message(region=HEBEI, matter="051200")
    message.content.reported_parties.add(unit="units/130000-GA-1")
    ticket = await federation.create(a_platform(HEBEI), message)
    units = {item.unit for item in ticket.assignments}
    assert units
    assert "units/130000-GA-1" not in units


async def test_emergency_is_referred_at_once() -> None:
    federation = a_federation()
    message = a_message(region=HEBEI, matter="210300")
    message.urgency = codes_pb2.URGENCY_EMERGENCY
    message.type = codes_pb2.TICKET_TYPE_HELP
    ticket = await federation.create(a_platform(HEBEI), message)
    assert ticket.state == PB.STATE_REFERRED
    assert ticket.emergency_referral.line == codes_pb2.EMERGENCY_LINE_FIRE_119


async def test_destination_outside_the_federation_gets_a_sheet_and_a_person_closes() -> None:
    federation = a_federation()
    message = a_message(region="330100")
    created = await federation.create(a_platform(TIANJIN), message)
    assert created.external_referral.region == "330000"
    assert created.assignments[0].unit == "units/120000-desk"
    node, person = federation.node_of(TIANJIN), a_person(TIANJIN)
    shown = await node.dispatch.reader.get(person, number_of(created), purpose="")
    sheet = ticket_pb2.ExternalReferral.FromString(shown.texts.referral).sheet  # type: ignore[union-attr,arg-type] # present
    assert message.content.title in sheet
    assert message.citizen.phones[0] not in sheet
    assert message.citizen.display_name not in sheet
    with pytest.raises(RoleMissing):
        await node.dispatch.handling.resolve(
            a_call(a_platform(TIANJIN), "ResolveTicket"), target_of(created), result=SOLVED
        )
    await node.dispatch.handling.resolve(
        a_call(person, "ResolveTicket"), target_of(created), result=SOLVED
    )
    answer = await node.dispatch.handling.close(a_call(person, "CloseTicket"), target_of(created))
    closed = PB.FromString(answer)
    assert closed.state == PB.STATE_CLOSED
    assert closed.external_referral.HasField("answer_time")
    assert not closed.external_referral.sheet  # kept answers hold no text


async def test_unknown_matter_is_kept_and_waits_at_the_desk() -> None:
    federation = a_federation()
    ticket = await federation.create(
        a_platform(TIANJIN), a_message(region="120101", matter="029999")
    )
    assert kinds(ticket) == [codes_pb2.FINDING_CODE_MATTER_UNKNOWN]
    assert ticket.assignments[0].unit == "units/120000-desk"
    assert ticket.platform_state == codes_pb2.PLATFORM_STATE_TO_DISPATCH


async def test_region_that_never_was_is_refused_and_leaves_nothing() -> None:
    federation = a_federation()
    with pytest.raises(FieldInvalid, match=r"content\.place\.region"):
        await federation.create(a_platform(TIANJIN), a_message(region="999999"))
    assert await copies(federation, TIANJIN) == []


async def test_same_message_twice_is_one_ticket() -> None:
    federation = a_federation()
    platform = a_platform(TIANJIN)
    first = await federation.create(platform, a_message(region="120101"))
    second = await federation.create(platform, a_message(region="120101"))
    assert first.name == second.name
    assert is_ticket_number(number_of(first))
    assert len(await copies(federation, TIANJIN)) == 1


async def test_other_message_under_one_external_id_is_refused() -> None:
    federation = a_federation()
    await federation.create(a_platform(TIANJIN), a_message(region="120101"))
    changed = a_message(region="120101")
    changed.content.content = "另一件事（测试）"
    with pytest.raises(ResourceExists):
        await federation.create(a_platform(TIANJIN), changed)


async def test_repeated_request_gets_the_first_answer() -> None:
    federation = a_federation()
    request_id = IDS.uuid7(NOW)
    message = a_message(region="120101")
    first = await federation.create(a_platform(TIANJIN), message, request_id=request_id)
    again = await federation.create(a_platform(TIANJIN), message, request_id=request_id)
    assert first == again
    with pytest.raises(RequestIdReused):
        await federation.create(
            a_platform(TIANJIN), a_message("T-2", region="120101"), request_id=request_id
        )


async def test_answers_hold_neither_text_nor_person() -> None:
    federation = a_federation()
    ticket = await federation.create(a_platform(TIANJIN), a_message(region="120101"))
    assert not ticket.HasField("content")
    assert not ticket.HasField("citizen")


async def test_texts_at_rest_are_sealed() -> None:
    federation = a_federation()
    await federation.create(a_platform(TIANJIN), a_message(region="120101"))
    database = federation.node_of(TIANJIN).database
    [row] = database.tables["ticket_contents"].values()  # type: ignore[attr-defined] # memory
    assert isinstance(row, ContentRow)
    for text in ("驾校", "测试人员甲", "13800138000"):
        assert text.encode() not in row.content + (row.citizen or b"")


async def test_foreign_platform_does_not_even_learn_that_the_ticket_exists() -> None:
    federation = a_federation()
    ticket = await federation.create(a_platform(TIANJIN), a_message(region="120101"))
    node, other = federation.node_of(TIANJIN), a_platform(TIANJIN, "120000-p9")
    with pytest.raises(ResourceNotFound):
        await node.dispatch.reader.get(other, number_of(ticket), purpose="")
    with pytest.raises(ResourceNotFound):
        await node.dispatch.handling.sign(a_call(other, "SignForTicket"), target_of(ticket))


async def test_citizen_is_shown_only_with_a_purpose_and_leaves_an_audit_row() -> None:
    federation = a_federation()
    ticket = await federation.create(a_platform(TIANJIN), a_message(region="120101"))
    node = federation.node_of(TIANJIN)
    read = node.dispatch.reader.get
    without = await read(a_platform(TIANJIN), number_of(ticket), purpose="")
    assert without.texts is not None
    assert without.texts.citizen is None
    shown = await read(a_platform(TIANJIN), number_of(ticket), purpose="承办处理")
    assert shown.texts is not None
    assert shown.texts.citizen is not None
    entries = node.database.tables["audit_entries"].values()  # type: ignore[attr-defined] # memory
    assert [row.basis for row in entries if row.act == "ticket.read_citizen"] == ["承办处理"]


async def test_person_assigns_from_the_desk_and_guards_hold() -> None:
    federation = a_federation()
    message = a_message(region=HEBEI, matter="051200")
    message.content.reported_parties.add(unit="units/130000-GA-1")
    message.matter = "059999"
    ticket = await federation.create(a_platform(HEBEI), message)
    assert ticket.assignments[0].unit == "units/130000-desk"
    handling = federation.node_of(HEBEI).dispatch.handling
    call = a_call(a_person(HEBEI), "AssignTicket")
    with pytest.raises(GuardViolated):
        await handling.assign(call, target_of(ticket), unit="units/130000-GA-1")
    with pytest.raises(FieldInvalid):
        await handling.assign(call, target_of(ticket), unit="units/120101-JT-1")
    clerk = a_call(a_person(HEBEI, Role.CLERK), "AssignTicket")
    with pytest.raises(RoleMissing):
        await handling.assign(clerk, target_of(ticket), unit="units/130000-JW-1")
    answer = await handling.assign(call, target_of(ticket), unit="units/130000-JW-1")
    assigned = PB.FromString(answer)
    standing = [
        item
        for item in assigned.assignments
        if item.state != ticket_pb2.Assignment.STATE_REASSIGNED
    ]
    assert [item.unit for item in standing] == ["units/130000-JW-1"]
    with pytest.raises(TransitionNotAllowed):
        await handling.assign(
            a_call(a_person(HEBEI), "AssignTicket"), target_of(ticket), unit="units/130000-JT-1"
        )


async def test_stale_etag_changes_nothing() -> None:
    federation = a_federation()
    ticket = await federation.create(a_platform(TIANJIN), a_message(region="120101"))
    node = federation.node_of(TIANJIN)
    target = Target(number=number_of(ticket), etag="0")
    with pytest.raises(EtagMismatch):
        await node.dispatch.handling.sign(a_call(a_platform(TIANJIN), "SignForTicket"), target)
    [row] = await copies(federation, TIANJIN)
    assert row.state == TicketState.DISPATCHED


async def test_city_ticket_goes_out_through_its_province() -> None:
    """廊坊 → 河北 (homeward, outbound) → 天津, and the identity follows to the handling side."""
    federation = a_federation()
    created = await federation.create(
        a_platform("131000"), a_message(region="120101", matter="020401")
    )
    await federation.settle()
    assert [row.followed for row in await copies(federation, "131000")] == [True]
    assert [row.followed for row in await copies(federation, HEBEI)] == [True]
    [held] = await copies(federation, TIANJIN)
    assert (held.followed, held.state) == (False, TicketState.DISPATCHED)
    node = federation.node_of(TIANJIN)
    shown = await node.dispatch.reader.get(
        a_person(TIANJIN), number_of(created), purpose="handling"
    )
    assert shown.texts is not None
    assert shown.texts.citizen is not None
    assert {row.due_time for row in await copies(federation, TIANJIN)} == {
        row.due_time for row in await copies(federation, "131000")
    }
