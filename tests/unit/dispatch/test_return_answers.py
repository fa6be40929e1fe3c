"""Answers that are neither yes nor no, and the moments at which a return becomes a case."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.custody.model import OfferReason
from gateway.dispatch.handling import Target
from gateway.dispatch.returning import RETURN_TIMER
from gateway.dispatch.returning_answers import Counter, Question, StandBy
from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    ContactMethod,
    DispatchMode,
    ReturnState,
    Urgency,
)
from gateway.kernel.errors import (
    CasePending,
    FieldInvalid,
    GuardViolated,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode
from gateway.tickets.model import Change
from gateway.trust.principal import Role
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.nodes import NOW, a_call, a_person, a_platform
from tests.unit.dispatch.unit_stories import TIANJIN, a_disputed, a_handler

FIRST, SECOND, THIRD = "units/120101-JT-1", "units/120000-CG-1", "units/120000-ZJ-1"
TAX = "units/120101-SWU-1"
Return = ticket_pb2.Return


async def test_a_person_who_is_deciding_has_one_more_review_and_the_clocks_run() -> None:
    story = await a_disputed()
    await story.file(SECOND)
    before = await story.copy()
    waits = await story.answer(StandBy())
    [item] = waits.returns
    assert item.state == Return.STATE_STANDING_BY
    assert item.HasField("stand_by_time")
    after = await story.copy()
    assert (after.lead, after.due_time) == (before.lead, before.due_time)
    assert after.returns[0].review_due_time > before.returns[0].review_due_time
    with pytest.raises(TransitionNotAllowed):
        await story.answer(StandBy())
    first, second = before.returns[0].review_due_time, after.returns[0].review_due_time
    story.federation.clock.advance(first - NOW)
    assert await story.ring() == 0  # the timer went along
    story.federation.clock.advance(second - first)
    assert await story.ring() == 1
    assert [dispute.cause for dispute in story.told] == ["silence"]


async def test_a_stand_by_is_never_longer_than_one_more_review() -> None:
    story = await a_disputed()
    await story.file(SECOND)
    with pytest.raises(FieldInvalid, match="at most one more review"):
        await story.answer(StandBy(NOW + timedelta(days=30)))
    due = (await story.copy()).returns[0].review_due_time
    with pytest.raises(FieldInvalid, match="until_time"):
        await story.answer(StandBy(due))
    await story.answer(StandBy(due + timedelta(minutes=5)))


async def test_who_agrees_to_the_desks_proposal_moves_the_ticket() -> None:
    for agreeing in (FIRST, THIRD):
        story = await a_disputed()
        await story.file(SECOND)
        countered = await story.answer(Counter(THIRD))
        assert countered.returns[0].counter_proposal == THIRD
        assert await story.leader() == FIRST
        seen = [item.role for item in (await story.copy()).assignments if item.unit == THIRD]
        assert seen == [AssignmentRole.READ]  # else its platform would not find the ticket
        with pytest.raises(FieldInvalid, match="agreed_by"):
            await story.agree(SECOND)
        agreed = await story.agree(agreeing, who=a_handler(TIANJIN))
        assert agreed.returns[0].state == Return.STATE_GRANTED
        assert await story.leader() == THIRD
        held = [item for item in (await story.copy()).assignments if item.unit == THIRD]
        assert [item.role for item in held if item.is_open] == [AssignmentRole.LEAD]
        timers = story.node.database.tables["timers"].values()  # type: ignore[attr-defined] # memory
        assert [row for row in timers if row.kind == RETURN_TIMER] == []


async def test_nobody_agrees_for_a_unit_that_is_not_theirs() -> None:
    story = await a_disputed()
    await story.file(SECOND)
    await story.answer(Counter(THIRD))
    with pytest.raises(RoleMissing):
        await story.agree(THIRD, who=a_person(TIANJIN, Role.DISPATCHER))
    with pytest.raises(FieldInvalid):
        await story.agree("units/131000-JT-1")
    assert await story.leader() == FIRST


async def test_the_desk_asks_the_unit_and_custody_and_clocks_stay() -> None:
    story = await a_disputed()
    await story.file(SECOND)
    before = await story.copy()
    await story.answer(Question("哪一条职责（测试）"))
    told = await story.node.dispatch.units.answers.inform(
        a_call(story.platform, "RespondToReturn"), story.target, number=1, text="第三条（测试）"
    )
    item = ticket_pb2.Ticket.FromString(told).returns[0]
    assert (item.question, item.answer) == ("哪一条职责（测试）", "第三条（测试）")
    assert item.state == Return.STATE_FILED
    after = await story.copy()
    assert after.lead == before.lead
    assert after.returns[0].review_due_time == before.returns[0].review_due_time


async def test_a_unit_that_claims_it_leads_and_closes_the_return() -> None:
    story = await a_disputed()
    with pytest.raises(TransitionNotAllowed, match="wants to return it"):
        await story.claim(THIRD)
    await story.file(SECOND)
    with pytest.raises(RoleMissing):
        await story.claim(THIRD, who=a_person(TIANJIN, Role.DISPATCHER))
    claimed = await story.claim(THIRD, who=a_handler(TIANJIN))
    assert claimed.returns[0].state == Return.STATE_ASSUMED
    assert await story.leader() == THIRD
    assert story.told == []


async def test_a_body_that_claims_it_itself_needs_no_request() -> None:
    story = await a_disputed()
    await story.file(SECOND)
    await story.claim(TAX)
    assert await story.leader() == TAX
    assert (await story.copy()).unit_requests == ()


async def test_a_claim_ends_the_case_about_the_return() -> None:
    story = await a_disputed()
    await story.file(SECOND)
    story.federation.clock.advance(timedelta(days=3))
    await story.ring()
    in_case = await story.copy()
    assert in_case.case
    assert in_case.returns[0].state is ReturnState.DISPUTED
    await story.claim(THIRD)
    after = await story.copy()
    assert (after.case, await story.leader()) == ("", THIRD)
    assert after.returns[0].state is ReturnState.ASSUMED


async def test_silence_opens_a_case_and_the_unit_must_still_make_first_contact() -> None:
    story = await a_disputed()
    await story.file(SECOND)
    before = await story.copy()
    story.federation.clock.advance(timedelta(days=3))
    assert await story.ring() == 1
    [dispute] = story.told
    assert (dispute.cause, dispute.filer, dispute.proposed) == ("silence", FIRST, (SECOND,))
    assert (dispute.holder, dispute.path) == (FIRST, (FIRST,))
    after = await story.copy()
    assert after.case
    assert after.returns[0].state is ReturnState.DISPUTED
    assert after.due_time == before.due_time
    assert before.lead is not None
    assert after.lead is not None
    assert after.lead.contact_due_time == before.lead.contact_due_time
    kinds = [kind for kind, _ in await story.events()]
    assert kinds[-3:] == ["return.overdue", "case.opened", "return.disputed"]
    handling = story.node.dispatch.handling
    await handling.sign(a_call(story.platform, "SignForTicket"), story.target)
    await handling.contact(
        a_call(story.platform, "RecordContact"),
        story.target,
        method=ContactMethod.PHONE,
        at=None,
    )
    contacted = (await story.copy()).lead
    assert contacted is not None
    assert contacted.state is AssignmentState.CONTACTED
    assert await story.ring() == 0


async def test_the_silence_about_a_helper_is_an_alarm_that_comes_again() -> None:
    story = await a_disputed()
    helper = next(item for item in (await story.copy()).assignments if not item.is_lead)
    async with story.node.database.unit() as uow:
        ticket = await story.copy()
        lead = replace(ticket.assignments[0], platform="120000-p9")
        story.node.room.tickets.save(uow, Change(ticket.with_assignment(lead)))
    filed = await story.file(SECOND)
    assert filed.returns[0].unit == helper.unit
    for _ in range(2):
        story.federation.clock.advance(timedelta(days=4))
        assert await story.ring() == 1
    assert story.told == []
    assert (await story.copy()).open_return is not None
    assert [kind for kind, _ in await story.events()].count("return.overdue") == 2


async def test_what_a_ruling_put_there_is_no_case_again() -> None:
    story = await a_disputed()
    await story.file(SECOND)
    async with story.node.database.unit() as uow:
        ticket = await story.copy()
        ruled = replace(ticket.assignments[0], mode=DispatchMode.RULING)
        story.node.room.tickets.save(uow, Change(ticket.with_assignment(ruled)))
    with pytest.raises(TransitionNotAllowed, match="ruling"):
        await story.review(1, is_granted=True)
    story.federation.clock.advance(timedelta(days=3))
    assert await story.ring() == 1
    assert story.told == []
    assert (await story.copy()).returns[0].state is ReturnState.DISPUTED


async def test_silence_while_the_ticket_is_offered_away_is_looked_at_again() -> None:
    story = await a_disputed()
    await story.file(SECOND)
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
            window_end=NOW + timedelta(days=9),
            now=NOW,
        )
    for _ in range(2):
        story.federation.clock.advance(timedelta(days=4))
        assert await story.ring() == 1
    assert story.told == []
    assert (await story.copy()).open_return is not None


async def test_the_second_refusal_opens_a_case() -> None:
    story = await a_disputed()
    await story.file(SECOND)
    await story.review(1, is_granted=False)
    assert story.told == []
    await story.node.dispatch.handling.sign(a_call(story.platform, "SignForTicket"), story.target)
    async with story.node.database.unit() as uow:  # the ticket is assigned anew by a rule
        ticket = await story.copy()
        await uow.lock(f"ticket/{ticket.number}")
        await story.node.dispatch.acting.commission(
            uow,
            ticket,
            story.node.dispatch.acting.act_of(ticket.authority, "test", NOW),
            lead=SECOND,
            assisting=(),
            mode=DispatchMode.RULE,
        )
    await story.file(THIRD)
    refused = await story.review(2, is_granted=False)
    assert refused.returns[1].state == Return.STATE_REFUSED
    [dispute] = story.told
    assert (dispute.cause, dispute.filer) == ("refusals", SECOND)
    assert dispute.proposed == (SECOND, THIRD)
    assert await story.leader() == SECOND
    with pytest.raises(CasePending):
        await story.file(THIRD)


async def test_two_units_that_name_each_other_are_a_case_at_once() -> None:
    story = await a_disputed()
    await story.file(SECOND)
    await story.review(1, is_granted=True)
    filed = await story.file(FIRST)
    assert filed.returns[1].state == Return.STATE_DISPUTED
    assert [(item.cause, item.filer, item.proposed) for item in story.told] == [
        ("disclaimed", SECOND, (FIRST,))
    ]
    assert await story.leader() == SECOND


async def test_a_grant_that_would_reach_a_third_unit_is_a_case() -> None:
    story = await a_disputed()
    await story.file(SECOND)
    await story.review(1, is_granted=True)
    await story.file(THIRD)
    granted = await story.review(2, is_granted=True)
    assert granted.returns[1].state == Return.STATE_DISPUTED
    assert [(item.cause, item.path) for item in story.told] == [("hops", (FIRST, SECOND))]
    assert await story.leader() == SECOND


async def test_a_grant_that_would_move_it_back_is_a_case() -> None:
    story = await a_disputed()
    async with story.node.database.unit() as uow:
        ticket = await story.copy()
        await uow.lock(f"ticket/{ticket.number}")
        await story.node.dispatch.acting.commission(
            uow,
            ticket,
            story.node.dispatch.acting.act_of(ticket.authority, "test", NOW),
            lead=SECOND,
            assisting=(),
            mode=DispatchMode.RULE,
        )
    await story.file(FIRST)
    await story.review(1, is_granted=True)
    assert [item.cause for item in story.told] == ["path"]
    assert await story.leader() == SECOND


async def test_a_guard_is_asked_before_anything_is_proposed() -> None:
    story = await a_disputed(reported=THIRD)
    await story.file(SECOND)
    with pytest.raises(FieldInvalid):
        await story.answer(Counter("units/131000-JT-1"))
    with pytest.raises(GuardViolated):
        await story.answer(Counter(THIRD))
    with pytest.raises(GuardViolated):
        await story.claim(THIRD)
    assert (await story.copy()).returns[0].counter_proposal == ""


@pytest.mark.parametrize(
    ("urgency", "window", "review"),
    [
        (Urgency.NORMAL, timedelta(hours=5.5), timedelta(hours=31.5)),  # closing time on Tuesday
        (Urgency.URGENT, timedelta(hours=2), timedelta(hours=6)),
    ],
)
async def test_windows_are_those_of_the_urgency(
    urgency: Urgency, window: timedelta, review: timedelta
) -> None:
    story = await a_disputed(urgency=urgency)
    story.federation.clock.advance(window)  # Monday 10:00 to 15:30, with a break at noon
    filed = await story.file(SECOND)
    assert filed.returns[0].state == Return.STATE_FILED
    assert (await story.copy()).returns[0].review_due_time == NOW + review
    late = await a_disputed(urgency=urgency)
    late.federation.clock.advance(window + timedelta(seconds=1))
    with pytest.raises(TransitionNotAllowed, match="which is over"):
        await late.file(SECOND)


async def test_only_the_desk_answers_and_not_who_filed() -> None:
    story = await a_disputed()
    await story.file(SECOND, who=a_person(TIANJIN))
    answers = story.node.dispatch.units.answers
    for who in (a_platform(TIANJIN), a_person(TIANJIN)):
        with pytest.raises(RoleMissing):
            await answers.answer(
                a_call(who, "AnswerReturn"),
                Target(number=story.target.number),
                number=1,
                answer=StandBy(),
                basis="测试",
            )
