"""Vertically managed bodies are asked: whoever is bound stays so until the body's line accepts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.database.uow import UnitOfWork
from gateway.dispatch.requests import REQUEST_TIMER
from gateway.dispatch.returning import RETURN_TIMER
from gateway.kernel.codes import (
    AssignmentRole,
    DispatchMode,
    ReturnReason,
    ReturnState,
    UnitRequestState,
)
from gateway.kernel.errors import (
    CasePending,
    FieldInvalid,
    GuardViolated,
    ResourceNotFound,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.tickets.model import Act, Change, Ticket, UnitRequest
from gateway.trust.principal import Role
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.nodes import NOW, a_call, a_person, a_platform
from tests.unit.dispatch.unit_stories import TIANJIN, Disputed, a_disputed, a_handler

FIRST, SECOND = "units/120101-JT-1", "units/120000-CG-1"
TAX, TAX_ABOVE, DESK = "units/120101-SWU-1", "units/120000-SWU-1", "units/120000-desk"
CITY = "130100"
Request = ticket_pb2.UnitRequest


async def newest(story: Disputed) -> UnitRequest:
    return (await story.copy()).unit_requests[-1]


async def ring_when_due(story: Disputed) -> None:
    due = (await newest(story)).due_time
    story.federation.clock.advance(due - story.federation.clock.now())
    assert await story.ring() == 1


async def test_a_grant_to_a_body_asks_it_and_the_filing_unit_stays_bound() -> None:
    story = await a_disputed()
    await story.file(TAX)
    before = await story.copy()
    granted = await story.review(1, is_granted=True)
    assert granted.returns[0].state == ticket_pb2.Return.STATE_GRANTED
    [request] = granted.unit_requests
    assert (request.unit, request.asked, request.bound_unit) == (TAX, TAX, FIRST)
    assert (request.state, request.return_number) == (Request.STATE_ASKED, 1)
    after = await story.copy()
    assert after.lead == before.lead
    assert after.due_time == before.due_time
    await story.node.dispatch.handling.sign(a_call(story.platform, "SignForTicket"), story.target)
    accepted = await story.reply(is_accepted=True, who=a_handler(TIANJIN))
    assert accepted.state == Request.STATE_ACCEPTED
    assert await story.leader() == TAX
    timers = story.node.database.tables["timers"].values()  # type: ignore[attr-defined] # memory
    assert [row for row in timers if row.kind == REQUEST_TIMER] == []
    acts = [act for act, _ in story.audited()]
    assert acts.count("request.asked") == acts.count("request.accepted") == 1


async def test_a_person_assigns_no_body() -> None:
    story = await a_disputed()
    await story.file("authorities/130000")
    await story.review(1, is_granted=True)
    assert await story.leader() == DESK
    call = a_call(a_person(TIANJIN), "AssignTicket")
    with pytest.raises(GuardViolated, match=r"cn\.guard\.vertical"):
        await story.node.dispatch.handling.assign(call, story.target, unit=TAX)
    assert await story.leader() == DESK


async def test_a_person_asks_a_body_and_the_unit_stays_bound() -> None:
    story = await a_disputed()
    asked = await story.request(TAX)
    assert asked.unit_requests[0].asked == TAX
    assert await story.leader() == FIRST
    reads = [item for item in (await story.copy()).assignments if item.unit == TAX]
    assert [item.role for item in reads] == [AssignmentRole.READ]
    with pytest.raises(TransitionNotAllowed, match="answer request 1"):
        await story.request(TAX_ABOVE)


async def test_only_bodies_are_asked_and_only_by_the_desk() -> None:
    story = await a_disputed()
    for unit in (SECOND, "units/120101-XX-1", "units/130000-SWU-1"):
        with pytest.raises(FieldInvalid):
            await story.request(unit)
    for who in (a_platform(TIANJIN), a_handler(TIANJIN)):
        with pytest.raises(RoleMissing):
            await story.node.dispatch.requests.ask_by_person(
                a_call(who, "RequestUnit"), story.target, unit=TAX
            )


async def test_silence_climbs_the_bodys_own_line_and_ends_as_a_case_of_the_bound_unit() -> None:
    story = await a_disputed()
    assert story.node.dispatch.requests.line_of(TAX) == (TAX, TAX_ABOVE)
    await story.request(TAX)
    await ring_when_due(story)
    assert (await newest(story)).asked == TAX_ABOVE
    assert await story.leader() == FIRST
    await ring_when_due(story)
    assert (await newest(story)).state is UnitRequestState.UNANSWERED
    [dispute] = story.told
    assert (dispute.cause, dispute.filer, dispute.proposed) == ("disclaimed", FIRST, (TAX,))
    assert await story.leader() == FIRST
    kinds = [kind for kind, _ in await story.events()]
    assert kinds.count("request.climbed") == 1
    acts = [act for act, _ in story.audited()]
    assert acts.count("request.climbed") == 1
    assert acts.count("request.unanswered") == 1


async def test_the_superior_accepts_for_the_body_and_the_body_even_late() -> None:
    for who in (a_handler(TIANJIN), a_platform(TIANJIN)):
        story = await a_disputed()
        await story.request(TAX)
        await ring_when_due(story)
        accepted = await story.reply(is_accepted=True, who=who)
        assert accepted.unit == TAX
        assert await story.leader() == TAX


async def test_a_superior_of_another_authority_answers_without_seeing_the_ticket() -> None:
    story = await a_disputed(CITY, "130102")
    body, above = "units/130100-SWU-1", "units/130000-SWU-1"
    requests = story.node.dispatch.requests
    assert requests.line_of(body) == (body, above, "units/130000-desk")
    await story.request(body)
    with pytest.raises(ResourceNotFound):
        await story.reply(is_accepted=True, who=a_platform("130000"))
    await ring_when_due(story)
    assert (await newest(story)).asked == above
    with pytest.raises(RoleMissing):
        await story.reply(is_accepted=False, who=a_platform(CITY))  # not the body's to refuse now
    accepted = await story.reply(is_accepted=True, who=a_platform("130000"))
    assert accepted.state == Request.STATE_ACCEPTED
    assert await story.leader() == body


async def test_a_person_at_the_desk_of_the_province_answers_last() -> None:
    story = await a_disputed(CITY, "130102")
    await story.request("units/130100-SWU-1")
    for _ in range(2):
        await ring_when_due(story)
    assert (await newest(story)).asked == "units/130000-desk"
    for who in (a_person("130000", Role.CLERK), a_platform("130000"), a_person(CITY)):
        with pytest.raises(RoleMissing):
            await story.reply(is_accepted=False, who=who)
    declined = await story.reply(is_accepted=False, who=a_person("130000"))
    assert declined.state == Request.STATE_DECLINED
    assert [dispute.cause for dispute in story.told] == ["disclaimed"]


async def test_a_request_never_climbs_to_the_desk_of_the_authority_that_asks() -> None:
    """Else another dispatcher of who asks would say yes for a body that said nothing."""
    for authority, region, body in (
        (TIANJIN, "120101", TAX),
        (TIANJIN, "120101", TAX_ABOVE),
        ("130000", "130000", "units/130000-SWU-1"),
    ):
        story = await a_disputed(authority, region)
        line = story.node.dispatch.requests.line_of(body)
        assert line[0] == body  # never empty: the body itself is asked
        assert f"units/{authority}-desk" not in line


async def test_a_body_without_a_line_above_it_is_asked_once_and_then_the_case_opens() -> None:
    story = await a_disputed()
    await story.request(TAX_ABOVE)
    await ring_when_due(story)
    assert (await newest(story)).state is UnitRequestState.UNANSWERED
    assert [dispute.cause for dispute in story.told] == ["disclaimed"]
    assert await story.leader() == FIRST


async def test_no_dispatcher_of_who_asks_answers_what_an_older_version_let_climb() -> None:
    story = await a_disputed()
    await story.request(TAX)
    async with story.node.database.unit() as uow:
        ticket = await story.copy()
        climbed = replace(ticket.unit_requests[0], asked=DESK)
        story.node.room.tickets.save(uow, Change(replace(ticket, unit_requests=(climbed,))))
    other = replace(a_person(TIANJIN, Role.DISPATCHER), id="s7")
    for is_accepted in (True, False):
        with pytest.raises(RoleMissing):
            await story.reply(is_accepted=is_accepted, who=other)
    await ring_when_due(story)
    assert (await newest(story)).state is UnitRequestState.UNANSWERED


async def test_a_body_declines_with_reason_and_clause_and_the_unit_goes_on() -> None:
    story = await a_disputed()
    await story.file(TAX)
    await story.review(1, is_granted=True)
    with pytest.raises(FieldInvalid, match="reason"):
        await story.reply(is_accepted=False, reason=ReturnReason.UNSPECIFIED)
    declined = await story.reply(is_accepted=False)
    assert declined.state == Request.STATE_DECLINED
    assert declined.clause == "三定（测试）"
    assert await story.leader() == FIRST
    assert [dispute.cause for dispute in story.told] == ["disclaimed"]
    assert (await story.copy()).returns[0].state is ReturnState.GRANTED
    with pytest.raises(TransitionNotAllowed):
        await story.reply(is_accepted=True)


async def test_nobody_accepts_for_the_body_what_they_asked_themselves() -> None:
    story = await a_disputed()
    await story.request(TAX)  # by dispatcher s2
    asker = a_person(TIANJIN, Role.HANDLER)
    same = type(asker)(asker.authority, asker.kind, "s2", frozenset({Role.HANDLER}))
    with pytest.raises(RoleMissing, match="did not ask"):
        await story.reply(is_accepted=True, who=same)
    with pytest.raises(RoleMissing):
        await story.reply(is_accepted=True, who=a_person(TIANJIN, Role.DISPATCHER))
    with pytest.raises(ResourceNotFound):
        await story.reply(is_accepted=True, number=2)


async def test_a_request_that_nobody_takes_from_the_desk_goes_back_to_the_desk() -> None:
    story = await a_disputed()
    async with story.node.database.unit() as uow:
        ticket = await story.copy()
        await uow.lock(f"ticket/{ticket.number}")
        act = story.node.dispatch.acting.act_of(ticket.authority, "test", NOW)
        story.node.dispatch.acting.to_desk(uow, ticket, act, reason="测试")
    await story.request(TAX)
    assert await story.leader() == DESK
    await story.reply(is_accepted=False)
    assert story.told == []
    kinds = [kind for kind, _ in await story.events()]
    assert kinds[-1] == "ticket.triaged"


async def test_a_ruling_for_a_body_asks_it_and_tells_who_took_it() -> None:
    story = await a_disputed()
    taken: list[int] = []
    failed: list[UnitRequest] = []

    async def took(
        uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber, ruling: int, now: Instant
    ) -> None:
        del uow, authority, number, now
        taken.append(ruling)

    async def again(uow: UnitOfWork, ticket: Ticket, act: Act, request: UnitRequest) -> Ticket:
        del uow, act
        failed.append(request)
        return ticket

    dispatch = story.node.dispatch
    dispatch.disputes.took, dispatch.requests.failed = took, again
    for ruling, is_accepted in ((1, False), (2, True)):
        async with story.node.database.unit() as uow:
            ticket = await story.copy()
            await uow.lock(f"ticket/{ticket.number}")
            act = dispatch.acting.act_of(ticket.authority, f"ruling {ruling}", NOW)
            await dispatch.requests.ask(uow, ticket, act, unit=TAX, ruling=ruling, case="c-1")
        assert await story.leader() == FIRST
        await story.reply(is_accepted=is_accepted, number=ruling)
    assert [item.ruling for item in failed] == [1]
    assert taken == [2]
    lead = (await story.copy()).lead
    assert lead is not None
    assert (lead.unit, lead.mode) == (TAX, DispatchMode.RULING)


async def test_a_case_of_others_keeps_the_lead_where_it_is() -> None:
    story = await a_disputed()
    await story.request(TAX)
    await story.file(SECOND)
    story.federation.clock.advance(timedelta(days=1, hours=8))
    await story.ring()
    assert (await story.copy()).case
    with pytest.raises(CasePending):
        await story.request(TAX)


async def test_a_body_that_is_named_by_a_helper_gets_no_work_unasked() -> None:
    story = await a_disputed()
    async with story.node.database.unit() as uow:
        ticket = await story.copy()
        lead = replace(ticket.assignments[0], platform="120000-p9")
        story.node.room.tickets.save(uow, Change(ticket.with_assignment(lead)))
    filed = await story.file(TAX)
    assert filed.returns[0].unit != FIRST
    with pytest.raises(GuardViolated, match=r"cn\.guard\.vertical"):
        await story.review(1, is_granted=True)
    after = await story.copy()
    assert after.open_return is not None
    assert TAX not in [item.unit for item in after.assignments]
    timers = story.node.database.tables["timers"].values()  # type: ignore[attr-defined] # memory
    assert [row for row in timers if row.kind == RETURN_TIMER]


async def test_a_body_that_the_reference_data_knows_no_more_has_no_line() -> None:
    story = await a_disputed()
    assert story.node.dispatch.requests.line_of("units/120101-SWU-9") == ("units/120101-SWU-9",)
    assert not story.node.dispatch.requests.is_vertical("units/120101-SWU-9")
