"""Returns at their authority: who files, who reviews, and where the ticket is then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.custody.model import OfferReason
from gateway.database.timers import TIMERS, TimerRunner
from gateway.dispatch.handling import Target
from gateway.dispatch.returning import RETURN_TIMER, Plea
from gateway.kernel.codes import AssignmentState, ReturnReason, TicketState
from gateway.kernel.errors import (
    EtagMismatch,
    FieldInvalid,
    GuardViolated,
    NotCustodian,
    ResourceNotFound,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.tickets.model import ASSIGNMENTS_MAX, Change, Ticket
from gateway.trust.principal import Principal, PrincipalKind, Role
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from tests.fixtures.nodes import (
    IDS,
    NOW,
    Federation,
    Node,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
)
from tests.unit.dispatch.desk import a_reviewer

TIANJIN = "120000"
LEAD, ASSISTING = "units/120101-JT-1", "units/120101-SJ-1"
OWNER = "units/120000-CG-1"
PB = ticket_pb2.Ticket
REASSIGNED = ticket_pb2.Assignment.STATE_REASSIGNED


def a_plea(owner: str = OWNER, reason: ReturnReason = ReturnReason.WRONG_FUNCTION) -> Plea:
    return Plea(reason=reason, clause="职责清单第三条（测试）", proposed_owner=owner)


class Story:
    """One ticket of Tianjin at its district's unit, and who acts on it."""

    def __init__(self, federation: Federation, number: str) -> None:
        self.federation = federation
        self.node: Node = federation.node_of(TIANJIN)
        self.target = Target(number=TicketNumber(number))

    async def file(self, plea: Plea | None = None, *, who: Principal | None = None) -> PB:
        answer = await self.node.dispatch.units.returning.file(
            a_call(who or a_platform(TIANJIN), "ReturnTicket"), self.target, plea=plea or a_plea()
        )
        return PB.FromString(answer)

    async def review(
        self, *, is_granted: bool, who: Principal | None = None, number: int = 1
    ) -> PB:
        answer = await self.node.dispatch.units.returning.review(
            a_call(who or a_reviewer(TIANJIN), "ReviewReturn"),
            self.target,
            number=number,
            is_granted=is_granted,
            basis="复核意见（测试）",
        )
        return PB.FromString(answer)

    async def copy(self) -> Ticket:
        async with self.node.database.unit() as uow:
            return await self.node.room.tickets.get(uow, AuthorityCode(TIANJIN), self.target.number)

    async def event_kinds(self) -> list[str]:
        events, _ = await self.node.dispatch.reader.events(
            a_person(TIANJIN), self.target.number, page_size=0, page_token=""
        )
        return [item.event.kind for item in events]


async def a_story(message: PB | None = None) -> Story:
    federation = a_federation()
    created = await federation.create(a_platform(TIANJIN), message or a_message(region="120101"))
    assert created.assignments[0].unit == LEAD or message is not None
    return Story(federation, created.name.removeprefix("tickets/"))


def standing(ticket: PB) -> list[str]:
    return [item.unit for item in ticket.assignments if item.state != REASSIGNED]


async def test_a_filed_return_shows_and_moves_nothing() -> None:
    story = await a_story()
    before = await story.copy()
    filed = await story.file()
    assert filed.platform_state == codes_pb2.PLATFORM_STATE_RETURN_FILED
    assert standing(filed) == [LEAD, ASSISTING]
    [item] = filed.returns
    assert (item.unit, item.proposed_owner) == (LEAD, OWNER)
    assert (item.state, item.number) == (ticket_pb2.Return.STATE_FILED, 1)
    after = await story.copy()
    assert (after.assignments, after.due_time) == (before.assignments, before.due_time)
    rows = story.node.database.tables["audit_entries"].values()  # type: ignore[attr-defined] # memory
    assert [row.basis for row in rows if row.act == "ticket.return"] == ["职责清单第三条（测试）"]


async def test_a_repeated_request_files_once() -> None:
    story = await a_story()
    call = a_call(a_platform(TIANJIN), "ReturnTicket", request_id=IDS.uuid7(NOW))
    returning = story.node.dispatch.units.returning
    first = await returning.file(call, story.target, plea=a_plea())
    assert await returning.file(call, story.target, plea=a_plea()) == first
    assert len((await story.copy()).returns) == 1


async def test_only_who_acts_for_the_unit_files() -> None:
    story = await a_story()
    with pytest.raises(RoleMissing):
        await story.file(who=a_person(TIANJIN, Role.CLERK))
    with pytest.raises(ResourceNotFound):
        await story.file(who=a_platform(TIANJIN, "120000-p9"))
    filed = await story.file(who=a_person(TIANJIN, Role.HANDLER))
    assert filed.returns[0].unit == LEAD


@pytest.mark.parametrize(
    "owner",
    [
        "units/120000-CG-99",  # unknown
        "units/131000-JT-1",  # of another authority
        "units/120000-desk",  # not a unit
        LEAD,
        "authorities/100000",  # never holds a ticket
        "authorities/120101",  # a district has no hotline of its own
        "authorities/999999",
    ],
)
async def test_an_owner_that_cannot_have_it_is_refused(owner: str) -> None:
    story = await a_story()
    with pytest.raises(FieldInvalid, match="proposed_owner"):
        await story.file(a_plea(owner))
    assert (await story.copy()).returns == ()


async def test_a_reason_of_transfers_and_a_stale_etag_are_refused() -> None:
    story = await a_story()
    with pytest.raises(FieldInvalid, match="reason"):
        await story.file(a_plea(reason=ReturnReason.LOOP))
    story.target = Target(number=story.target.number, etag="0")
    with pytest.raises(EtagMismatch):
        await story.file()


async def test_after_the_window_the_unit_keeps_it_and_is_told_what_to_do() -> None:
    story = await a_story()
    story.federation.clock.advance(timedelta(days=2))
    with pytest.raises(TransitionNotAllowed, match="tell the desk"):
        await story.file()


async def test_a_granted_return_goes_to_the_proposed_unit_and_assistance_goes_on() -> None:
    story = await a_story()
    await story.file()
    granted = await story.review(is_granted=True)
    assert standing(granted) == [ASSISTING, OWNER]
    assert granted.returns[0].state == ticket_pb2.Return.STATE_GRANTED
    assert granted.returns[0].review_basis == "复核意见（测试）"
    lead = granted.assignments[-1]
    assert lead.role == codes_pb2.ASSIGNMENT_ROLE_LEAD
    assert lead.dispatch_mode == codes_pb2.DISPATCH_MODE_MANUAL
    assert lead.HasField("sign_due_time")
    assert lead.platform
    kinds = await story.event_kinds()
    assert kinds[-3:] == ["return.granted", "assignment.reassigned", "assignment.assigned"]
    rows = story.node.database.tables["custody_rows"].values()  # type: ignore[attr-defined] # memory
    assert [row.kind for row in rows].count("act.assignment.lead") == 2  # exclusive, each time


@pytest.mark.parametrize("owner", ["authorities/130000", "authorities/120000"])
async def test_another_owner_is_for_the_desk_to_find(owner: str) -> None:
    story = await a_story()
    await story.file(a_plea(owner, ReturnReason.WRONG_REGION))
    granted = await story.review(is_granted=True, who=a_person(TIANJIN, Role.SUPERVISOR))
    assert granted.assignments[-1].unit == "units/120000-desk"
    assert granted.platform_state == codes_pb2.PLATFORM_STATE_TO_DISPATCH
    events, _ = await story.node.dispatch.reader.events(
        a_person(TIANJIN), story.target.number, page_size=0, page_token=""
    )
    last = events[-1].event
    assert last.kind == "ticket.triaged"
    assert owner in dict(last.facts)["reason"]
    assigned = await story.node.dispatch.handling.assign(
        a_call(a_person(TIANJIN), "AssignTicket"), story.target, unit=OWNER
    )
    assert standing(PB.FromString(assigned)) == [OWNER]


async def test_a_refused_return_is_a_forced_dispatch() -> None:
    story = await a_story()
    await story.file()
    refused = await story.review(is_granted=False)
    assert standing(refused) == [LEAD, ASSISTING]
    assert refused.platform_state == codes_pb2.PLATFORM_STATE_RETURN_REFUSED
    with pytest.raises(TransitionNotAllowed, match="already"):
        await story.file()


async def test_only_own_staff_of_the_desk_reviews() -> None:
    story = await a_story()
    await story.file()
    hired = Principal(
        AuthorityCode(TIANJIN),
        PrincipalKind.STAFF,
        "s2",
        frozenset({Role.DISPATCHER}),
        is_outsourced=True,
    )
    for who in (a_platform(TIANJIN), a_person(TIANJIN, Role.HANDLER), hired):
        with pytest.raises(RoleMissing):
            await story.review(is_granted=True, who=who)
    with pytest.raises(ResourceNotFound):
        await story.review(is_granted=True, number=2)


async def test_a_guard_against_the_proposed_unit_refuses_the_review() -> None:
    message = a_message(region=TIANJIN, matter="051200")
    message.content.reported_parties.add(unit="units/120000-GA-1")
    story = await a_story(message)
    before = await story.copy()
    assert before.lead is not None
    if before.lead.is_desk:
        await story.node.dispatch.handling.assign(
            a_call(a_person(TIANJIN), "AssignTicket"), story.target, unit=OWNER
        )
    await story.file(a_plea("units/120000-GA-1"), who=a_person(TIANJIN, Role.HANDLER))
    with pytest.raises(GuardViolated):
        await story.review(is_granted=True)
    after = await story.copy()
    assert after.open_return is not None
    assert after.lead is not None
    assert after.lead.unit != "units/120000-GA-1"


async def test_no_review_grants_anything_while_the_ticket_is_offered_away() -> None:
    story = await a_story()
    await story.file()
    async with story.node.database.unit() as uow:
        await uow.lock(f"ticket/{story.target.number}")
        await story.node.custody.offer(
            uow,
            authority=AuthorityCode(TIANJIN),
            ticket=story.target.number,
            target=AuthorityCode("130000"),
            reason=OfferReason.MANUAL,
            rule="",
            trace_digest=b"",
            window_end=NOW + timedelta(days=1),
            now=NOW,
        )
    with pytest.raises(NotCustodian):
        await story.review(is_granted=True)
    assert (await story.copy()).open_return is not None


async def test_a_late_review_alarms_once_and_moves_nothing() -> None:
    story = await a_story()
    filed = await story.file()
    runner = TimerRunner(
        database=story.node.database,
        clock=story.federation.clock,
        handlers=story.node.dispatch.timers,
    )
    assert await runner.run_due() == 0
    story.federation.clock.advance(timedelta(days=2))
    assert await runner.run_due() == 1
    assert await runner.run_due() == 0
    ticket = await story.copy()
    assert ticket.state is TicketState.DISPATCHED
    assert ticket.open_return is not None
    assert standing(filed) == [item.unit for item in ticket.assignments]
    assert (await story.event_kinds()).count("return.overdue") == 1


async def test_a_review_in_time_takes_its_alarm_away() -> None:
    story = await a_story()
    await story.file()
    timers = story.node.database.rows(TIMERS)  # type: ignore[attr-defined] # memory
    assert [row.kind for row in timers if row.kind == RETURN_TIMER] == [RETURN_TIMER]
    await story.review(is_granted=False)
    timers = story.node.database.rows(TIMERS)  # type: ignore[attr-defined] # memory
    assert [row for row in timers if row.kind == RETURN_TIMER] == []


async def test_nobody_reviews_a_return_of_their_own() -> None:
    story = await a_story()
    await story.file(who=a_person(TIANJIN))
    with pytest.raises(RoleMissing, match="another person"):
        await story.review(is_granted=False, who=a_person(TIANJIN))
    reviewed = await story.review(is_granted=False)
    assert reviewed.returns[0].state == ticket_pb2.Return.STATE_REFUSED


async def test_a_ticket_without_room_for_units_goes_to_the_desk() -> None:
    story = await a_story()
    ticket = await story.copy()
    gone = tuple(
        replace(ticket.assignments[0], number=number, state=AssignmentState.REASSIGNED)
        for number in range(1, ASSIGNMENTS_MAX - 1)
    )
    last = replace(ticket.assignments[0], number=ASSIGNMENTS_MAX - 1)
    async with story.node.database.unit() as uow:
        full = replace(ticket, assignments=(*gone, last))
        story.node.room.tickets.save(uow, Change(full))
    await story.file()
    granted = await story.review(is_granted=True)
    assert granted.assignments[-1].unit == "units/120000-desk"
    assert len(granted.assignments) == ASSIGNMENTS_MAX
