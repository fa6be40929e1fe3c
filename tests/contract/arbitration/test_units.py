"""Disputes of units on both engines: how they open, who decides, and where the ticket is then."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.custody.model import OfferReason, OfferSent
from gateway.custody.service import Offered
from gateway.database.uow import Database
from gateway.kernel.codes import ContactMethod, DispatchMode, ReturnReason, TicketState
from gateway.kernel.errors import (
    CasePending,
    FieldInvalid,
    GuardViolated,
    NotCustodian,
    ResourceNotFound,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode
from gateway.tickets import machine
from gateway.trust.principal import Principal, PrincipalKind, Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from hotline.ticket.v1 import codes_pb2
from tests.fixtures.nodes import a_call, a_message, a_person, a_platform
from tests.fixtures.unit_panel import (
    ASSISTING,
    CONTEXT,
    DESK,
    FIRST,
    HANDLER,
    PANEL,
    POST,
    REVIEWER,
    SECOND,
    THIRD,
    TIANJIN,
    Court,
    a_court,
    a_court_with_a_ticket,
)

CASE = case_pb2.Case
POSITION, OBJECTION = case_pb2.CaseEntry.KIND_POSITION, case_pb2.CaseEntry.KIND_OBJECTION


@pytest.fixture
async def court(database: Database) -> Court:
    return await a_court_with_a_ticket(database)


async def led_by(court: Court, unit: str) -> None:
    """Let a person of the desk give the lead to another unit."""
    now = court.federation.clock.now()
    act = court.node.dispatch.acting.act_of(TIANJIN, "研判（测试）", now)
    async with court.node.database.unit() as uow:
        await uow.lock(f"ticket/{court.number}")
        ticket = await court.node.room.tickets.get(uow, TIANJIN, court.number)
        await court.node.dispatch.acting.commission(
            uow, ticket, act, lead=unit, assisting=(), mode=DispatchMode.MANUAL
        )


# --- how a case opens -----------------------------------------------------------------------------


async def test_a_request_of_the_desk_opens_a_case_and_moves_nothing(court: Court) -> None:
    before = await court.copy()
    case = await court.ask(proposed_owner=SECOND)
    assert case.level == CASE.LEVEL_UNITS
    assert (case.scope, case.chain, case.cause) == (TIANJIN, 0, "request")
    assert case.name == f"cases/{court.number}-120000-0-0"
    assert case.ground == CASE.GROUND_FUNCTION
    assert (list(case.filers), list(case.path)) == ([DESK], [FIRST])
    assert list(case.proposed_targets) == [SECOND]
    assert case.responsible == FIRST
    assert [entry.party for entry in case.entries] == [DESK]
    after = await court.copy()
    assert after.case == case.name.removeprefix("cases/")
    assert (after.assignments, after.due_time) == (before.assignments, before.due_time)


async def test_a_unit_asks_through_its_platform_and_names_itself(court: Court) -> None:
    case = await court.ask(a_platform(TIANJIN), party=FIRST, proposed_owner=SECOND)
    assert list(case.filers) == [FIRST]
    with pytest.raises(CasePending):
        await court.ask(a_platform(TIANJIN), party=FIRST)
    assert len(await court.cases()) == 1


async def test_a_ground_that_somebody_names_is_the_ground(court: Court) -> None:
    case = await court.ask(ground=CASE.GROUND_LEGACY)
    assert case.ground == CASE.GROUND_LEGACY


@pytest.mark.parametrize(
    ("caller", "changes", "error"),
    [
        (a_platform(TIANJIN), {}, FieldInvalid),  # serves many: which one speaks?
        (a_platform(TIANJIN), {"party": THIRD}, FieldInvalid),  # has nothing to do with it
        (a_platform(TIANJIN, "120000-p9"), {"party": FIRST}, ResourceNotFound),
        (a_person(TIANJIN, Role.CLERK), {}, RoleMissing),
        (a_person("130000", Role.DISPATCHER), {}, ResourceNotFound),
        (a_person(TIANJIN), {"proposed_owner": FIRST}, FieldInvalid),  # holds it
        (a_person(TIANJIN), {"proposed_owner": "units/130100-JT-1"}, FieldInvalid),
    ],
)
async def test_who_may_not_ask_opens_nothing(
    court: Court, caller: Principal, changes: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await court.ask(caller, **changes)
    assert not await court.cases()
    assert not (await court.copy()).case


async def test_the_second_refused_return_opens_a_case(court: Court) -> None:
    await court.returned(SECOND, ReturnReason.WRONG_FUNCTION, granted=False)
    assert not await court.cases()
    await led_by(court, SECOND)
    await court.returned(THIRD, ReturnReason.NOT_GRASSROOTS, granted=False)
    case = await court.case()
    assert (case.cause, case.ground) == ("refusals", CASE.GROUND_LINE)
    assert (list(case.filers), list(case.path)) == ([SECOND], [FIRST, SECOND])
    assert {a_platform(TIANJIN).name, REVIEWER.name} <= set(case.involved)
    assert await court.lead() == SECOND


async def test_a_third_unit_by_returns_is_a_dispute_and_no_move(court: Court) -> None:
    await court.returned(SECOND, ReturnReason.WRONG_FUNCTION, granted=True)
    await court.returned(THIRD, ReturnReason.OVERLAP, granted=True)
    assert (await court.case()).cause == "hops"
    assert await court.lead() == SECOND


async def test_two_units_that_name_each_other_are_heard(court: Court) -> None:
    await court.returned(SECOND, ReturnReason.WRONG_FUNCTION, granted=True)
    await court.file(FIRST, ReturnReason.BEYOND_DUTY)
    case = await court.case()
    assert (case.cause, case.ground) == ("disclaimed", CASE.GROUND_NEW_BUSINESS)
    assert await court.lead() == SECOND


async def test_silence_of_the_desk_opens_a_case(court: Court) -> None:
    await court.file(SECOND, ReturnReason.OWNERSHIP_UNCLEAR)
    await court.pass_time(days=2)
    case = await court.case()
    assert (case.cause, case.ground) == ("silence", CASE.GROUND_OWNERSHIP)
    assert list(case.filers) == [FIRST]
    assert list(case.proposed_targets) == [SECOND]
    assert await court.lead() == FIRST


# --- while it is open -----------------------------------------------------------------------------


async def test_the_unit_signs_and_contacts_while_others_quarrel(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    handling = court.node.dispatch.handling
    await handling.sign(a_call(HANDLER, "SignForTicket"), court.target)
    await handling.contact(
        a_call(HANDLER, "RecordContact"), court.target, method=ContactMethod.PHONE, at=None
    )
    assert (await court.copy()).state is TicketState.HANDLING
    assert (await court.case()).state == CASE.STATE_FILED
    with pytest.raises(CasePending):
        await court.file(SECOND)


async def test_only_the_units_of_a_case_and_their_authority_read_it(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    [case] = await court.cases()
    for caller in (PANEL, HANDLER, a_platform(TIANJIN), a_person(TIANJIN, Role.SUPERVISOR)):
        assert [each.name for each in await court.cases(caller)] == [case.name]
        assert (await court.case(caller)).name == case.name
    stranger = Principal(TIANJIN, PrincipalKind.PLATFORM, "120000-p9")
    neighbour = a_person("130000", Role.PANEL_MEMBER)
    for caller in (stranger, neighbour):
        assert not await court.cases(caller)
        with pytest.raises(ResourceNotFound):
            await court.case(caller)


async def test_units_speak_through_their_platform_or_own_staff_that_names_them(
    court: Court,
) -> None:
    await court.ask(proposed_owner=SECOND)
    await court.say(POSITION, a_platform(TIANJIN), party=FIRST)
    case = await court.say(POSITION, HANDLER, party=SECOND, proposed_owner=FIRST)
    assert [entry.party for entry in case.entries] == [DESK, FIRST, SECOND]
    for caller, changes, error in (
        (a_platform(TIANJIN), {}, FieldInvalid),  # for which of them?
        (a_platform(TIANJIN), {"party": THIRD}, FieldInvalid),
        (HANDLER, {"party": THIRD}, FieldInvalid),  # no party
        (HANDLER, {}, FieldInvalid),
        (HANDLER, {"party": FIRST, "proposed_owner": "units/130100-JT-1"}, FieldInvalid),
        (a_person(TIANJIN, Role.CLERK), {"party": FIRST}, RoleMissing),
    ):
        with pytest.raises(error):
            await court.say(POSITION, caller, **changes)
    assert len((await court.case()).entries) == 3


async def test_nobody_who_filed_or_spoke_sits_on_the_panel(court: Court) -> None:
    roles = frozenset({Role.PANEL_MEMBER, Role.DISPATCHER})
    asker = Principal(TIANJIN, PrincipalKind.STAFF, "s1", roles)
    speaker = Principal(TIANJIN, PrincipalKind.STAFF, "s3", roles)
    await court.ask(asker, proposed_owner=SECOND)
    await court.say(POSITION, speaker, party=SECOND)
    for partial in (asker, speaker):
        with pytest.raises(RoleMissing, match="had a part"):
            await court.rule("UPHOLD", FIRST, partial)
        court.caller = partial
        request = pb.TakeUpCaseRequest(
            name=f"cases/{court.number}-120000-0-0",
            request_id="0195f7a0-0000-7000-8000-000000000001",
        )
        with pytest.raises(RoleMissing, match="had a part"):
            await court.room.servicer.TakeUpCase(request, CONTEXT)
    assert not (await court.case()).rulings


# --- rulings --------------------------------------------------------------------------------------


async def test_a_ruling_moves_the_lead_and_closes_the_case_at_once(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    ruled = await court.rule("REASSIGN", SECOND)
    assert (ruled.state, ruled.responsible) == (CASE.STATE_CLOSED, SECOND)
    assert ruled.rulings[0].HasField("take_time")
    ticket = await court.copy()
    assert (ticket.case, await court.lead()) == ("", SECOND)
    assert ticket.lead is not None
    assert ticket.lead.mode is DispatchMode.RULING
    assert ticket.lead.sign_due_time is not None
    standing = {item.unit for item in ticket.assignments if item.is_standing}
    assert standing == {SECOND, ASSISTING}
    events = await court.events()
    assert events[-3:] == ["case.ruled", "assignment.reassigned", "assignment.assigned"]
    async with court.node.database.unit() as uow:
        held = await court.node.custody.acting_term(uow, TIANJIN, court.number)
    assert held[0].scope == TIANJIN  # custody has not moved
    with pytest.raises(TransitionNotAllowed, match="by a ruling"):
        await court.file(FIRST)


async def test_an_upheld_unit_keeps_it_and_cannot_give_it_back(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    ruled = await court.rule("UPHOLD", FIRST)
    assert ruled.state == CASE.STATE_CLOSED
    ticket = await court.copy()
    assert (ticket.case, await court.lead()) == ("", FIRST)
    with pytest.raises(TransitionNotAllowed, match="by a ruling"):
        await court.file(SECOND)


async def test_a_ruling_refuses_the_return_that_waits(court: Court) -> None:
    await court.file(SECOND)
    await court.ask(proposed_owner=SECOND)
    await court.rule("UPHOLD", FIRST)
    [item] = (await court.copy()).returns
    assert item.state.name == "REFUSED"
    assert item.review_basis == f"ruling 1 of case {court.number}-120000-0-0"


async def test_an_interim_order_moves_it_and_the_case_stays_open(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    ordered = await court.rule("INTERIM", SECOND)
    assert ordered.state == CASE.STATE_FILED
    assert ordered.responsible == SECOND
    ticket = await court.copy()
    assert (ticket.case, await court.lead()) == (f"{court.number}-120000-0-0", SECOND)
    ruled = await court.rule("REASSIGN", THIRD)
    assert ruled.state == CASE.STATE_CLOSED
    assert [item.number for item in ruled.rulings] == [1, 2]
    assert await court.lead() == THIRD


async def test_a_unit_does_not_ask_again_about_what_was_ruled(court: Court) -> None:
    await court.ask(a_platform(TIANJIN), party=FIRST, proposed_owner=SECOND)
    await court.rule("REASSIGN", SECOND)
    for unit in (FIRST, SECOND):
        with pytest.raises(TransitionNotAllowed, match="object to the ruling"):
            await court.ask(a_platform(TIANJIN), party=unit, proposed_owner=THIRD)
    assert (await court.ask(proposed_owner=THIRD)).state == CASE.STATE_FILED  # the desk may


async def test_rulings_of_a_ticket_are_numbered_through_all_its_cases(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    await court.rule("REASSIGN", SECOND)
    again = await court.ask(proposed_owner=FIRST)
    assert again.name == f"cases/{court.number}-120000-0-1"
    ruled = await court.rule("REASSIGN", THIRD)
    assert [item.number for item in ruled.rulings] == [2]
    assert list(ruled.path) == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("REASSIGN", "units/130100-JT-1"),  # of another authority
        ("REASSIGN", "units/120000-CG-99"),
        ("REASSIGN", "130000"),  # an authority: custody's, not this level's
        ("REASSIGN", FIRST),
        ("UPHOLD", SECOND),
    ],
)
async def test_a_ruling_names_a_unit_of_the_authority(court: Court, kind: str, target: str) -> None:
    await court.ask(proposed_owner=SECOND)
    with pytest.raises(FieldInvalid):
        await court.rule(kind, target)
    assert await court.lead() == FIRST
    assert not (await court.case()).rulings


async def test_a_guard_refuses_a_ruling(database: Database) -> None:
    court = a_court(database)
    message = a_message(region=TIANJIN, matter="051200")
    message.content.reported_parties.add(unit="units/120000-GA-1")
    await court.receive(message)
    if await court.lead() == DESK:
        await court.node.dispatch.handling.assign(
            a_call(a_person(TIANJIN), "AssignTicket"), court.target, unit=SECOND
        )
    before = await court.lead()
    await court.ask()
    with pytest.raises(GuardViolated):
        await court.rule("REASSIGN", "units/120000-GA-1")
    assert (await court.lead(), len((await court.case()).rulings)) == (before, 0)


async def test_the_desk_gets_it_when_the_panel_says_so(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    ruled = await court.rule("REASSIGN", DESK)
    assert (ruled.state, await court.lead()) == (CASE.STATE_CLOSED, DESK)


# --- time -----------------------------------------------------------------------------------------


async def test_a_panel_that_forgets_leaves_it_with_the_first_receiver(court: Court) -> None:
    await court.returned(SECOND, ReturnReason.WRONG_FUNCTION, granted=True)
    assert await court.lead() == SECOND
    await court.ask(proposed_owner=THIRD)
    for _ in range(16):
        await court.pass_time(hours=6)
        await court.lead()  # somebody is responsible at every step
    case = await court.case()
    assert (case.state, case.responsible) == (CASE.STATE_CLOSED, FIRST)
    ticket = await court.copy()
    assert ticket.lead is not None
    assert (ticket.lead.unit, ticket.lead.mode) == (FIRST, DispatchMode.FIRST_RECEIVER)


async def test_a_default_ruling_passes_over_whom_a_guard_excludes(database: Database) -> None:
    court = a_court(database)
    message = a_message(region=TIANJIN, matter="999999")  # unknown: it waits at the desk
    message.content.reported_parties.add(unit="units/120000-GA-1")
    await court.receive(message)
    await led_by(court, "units/120000-GA-1")  # before the guard came into force, say
    assert list((await court.ask()).path) == ["units/120000-GA-1"]
    with pytest.raises(GuardViolated):
        await court.rule("UPHOLD", "units/120000-GA-1")
    await court.pass_time(days=5)
    case = await court.case()
    assert (case.state, case.responsible) == (CASE.STATE_CLOSED, DESK)
    assert await court.lead() == DESK


async def test_an_urgent_dispute_is_ordered_within_two_hours(database: Database) -> None:
    court = a_court(database)
    message = a_message(region="120101")
    message.urgency = codes_pb2.URGENCY_URGENT
    await court.receive(message)
    holder = await court.lead()
    await court.ask()
    await court.pass_time(hours=2, minutes=1)
    case = await court.case()
    assert [ruling.target for ruling in case.rulings] == [holder]
    assert case.state != CASE.STATE_CLOSED
    assert (await court.copy()).case


async def test_an_objection_comes_once_and_suspends_nothing(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    await court.say(POSITION, a_platform(TIANJIN), party=SECOND, proposed_owner=FIRST)
    await court.rule("REASSIGN", SECOND)
    objected = await court.say(OBJECTION, a_platform(TIANJIN), party=SECOND)
    assert (objected.state, await court.lead()) == (CASE.STATE_OBJECTED, SECOND)
    with pytest.raises(TransitionNotAllowed):
        await court.say(OBJECTION, a_platform(TIANJIN), party=SECOND)
    ruled = await court.rule("REASSIGN", THIRD)
    assert (ruled.state, await court.lead()) == (CASE.STATE_CLOSED, THIRD)
    with pytest.raises(TransitionNotAllowed):
        await court.say(OBJECTION, a_platform(TIANJIN), party=SECOND)


# --- nothing left to rule -------------------------------------------------------------------------


async def offered(court: Court) -> None:
    """Offer the ticket to another province by a person."""
    now = court.federation.clock.now()
    async with court.node.database.unit() as uow:
        await uow.lock(f"ticket/{court.number}")
        outcome = await court.node.custody.offer(
            uow,
            authority=TIANJIN,
            ticket=court.number,
            target=AuthorityCode("130000"),
            reason=OfferReason.MANUAL,
            rule="",
            trace_digest=b"",
            window_end=now + timedelta(hours=4),
            now=now,
        )
        assert isinstance(outcome, Offered)
        sent = OfferSent(
            outcome.key, outcome.epoch, AuthorityCode("130000"), a_person(TIANJIN).name
        )
        await court.node.dispatch.reactions.react(uow, (sent,), now=now)


async def test_a_case_ends_when_the_ticket_is_offered_away(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    await offered(court)
    case = await court.case()
    assert case.state == CASE.STATE_WITHDRAWN
    assert not case.HasField("ruling_due_time")
    assert not (await court.copy()).case
    with pytest.raises(NotCustodian):
        await court.ask(proposed_owner=SECOND)
    with pytest.raises(TransitionNotAllowed):
        await court.rule("UPHOLD", FIRST)


async def test_a_case_ends_when_the_citizen_takes_the_message_back(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    act = court.node.dispatch.acting.act_of(TIANJIN, "撤回（测试）", court.federation.clock.now())
    async with court.node.database.unit() as uow:
        await uow.lock(f"ticket/{court.number}")
        ticket = await court.node.room.tickets.get(uow, TIANJIN, court.number)
        court.node.room.tickets.save(uow, machine.withdraw(ticket, act))
    assert (await court.case()).state == CASE.STATE_WITHDRAWN
    assert (await court.events())[-1] == "case.ended"
    with pytest.raises(TransitionNotAllowed):
        await court.ask(proposed_owner=SECOND)


async def test_a_case_ends_when_another_unit_leads_by_consent(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    await led_by(court, SECOND)
    assert ((await court.case()).state, await court.lead()) == (CASE.STATE_WITHDRAWN, SECOND)


# --- vertically managed bodies --------------------------------------------------------------------


async def test_a_body_that_nobody_here_binds_is_asked(court: Court) -> None:
    await court.ask(proposed_owner=POST)
    ruled = await court.rule("REASSIGN", POST)
    assert (ruled.state, await court.lead()) == (CASE.STATE_RULED, FIRST)
    [request] = (await court.copy()).unit_requests
    assert (request.unit, request.ruling) == (POST, 1)


async def test_a_body_that_says_nothing_gives_the_case_back_to_the_panel(court: Court) -> None:
    await court.ask(proposed_owner=POST)
    await court.rule("REASSIGN", POST)
    while (await court.case()).state == CASE.STATE_RULED:
        await court.pass_time(hours=12)
        assert await court.lead() == FIRST
    assert (await court.case()).state == CASE.STATE_CONFERENCE
    assert (await court.copy()).case
    with pytest.raises(TransitionNotAllowed, match="ask it again"):
        await court.rule("REASSIGN", POST)
    ruled = await court.rule("REASSIGN", SECOND)
    assert (ruled.state, await court.lead()) == (CASE.STATE_CLOSED, SECOND)


async def test_a_later_ruling_asks_nobody_any_more(court: Court) -> None:
    await court.ask(proposed_owner=POST)
    await court.rule("REASSIGN", POST)
    ruled = await court.rule("UPHOLD", FIRST)
    assert (ruled.state, await court.lead()) == (CASE.STATE_CLOSED, FIRST)
    [request] = (await court.copy()).unit_requests
    assert request.state.name == "VOID"


async def test_a_panel_names_no_body_for_the_time_being_that_must_be_asked(court: Court) -> None:
    await court.ask(proposed_owner=POST)
    with pytest.raises(FieldInvalid, match="asked first"):
        await court.rule("INTERIM", POST)


# --- precedents -----------------------------------------------------------------------------------


async def again(court: Court) -> None:
    """Have the same dispute about another message."""
    await court.receive(a_message("T-2", region="120101"))
    assert await court.lead() == FIRST
    await court.ask(proposed_owner=SECOND)


async def test_the_same_quarrel_between_units_is_not_ruled_twice(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    await court.rule("REASSIGN", SECOND, sets_precedent=True)
    await again(court)
    await court.pass_time(minutes=1)
    newest = (await court.cases())[0]
    assert newest.state == CASE.STATE_CLOSED
    [ruling] = newest.rulings
    assert (ruling.target, await court.lead()) == (SECOND, SECOND)
    assert ruling.ruler.endswith("/system/precedent")
    assert "先例" in ruling.legal_basis


async def test_precedents_are_the_panels_and_no_unit_reads_them(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    await court.rule("REASSIGN", SECOND, sets_precedent=True)
    await court.receive(a_message("T-2", region="120101"))
    await court.ask(proposed_owner=SECOND)
    name = (await court.cases())[0].name
    for caller, is_shown in ((PANEL, True), (HANDLER, False), (a_platform(TIANJIN), False)):
        court.caller = caller
        shown = (await court.room.servicer.GetCase(pb.GetCaseRequest(name=name), CONTEXT)).case
        assert bool(shown.precedents) is is_shown


async def test_without_a_precedent_the_panel_decides_again(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    await court.rule("REASSIGN", SECOND)
    await again(court)
    await court.pass_time(minutes=1)
    assert (await court.cases())[0].state == CASE.STATE_FILED


# --- forms ----------------------------------------------------------------------------------------


async def test_another_unit_assists_who_leads_by_a_ruling(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    ruled = await court.rule(
        "REASSIGN",
        SECOND,
        form=case_pb2.CaseRuling.FORM_LEAD_ASSIST,
        parts=[pb.RulingPart(party=THIRD)],
    )
    assert ruled.state == CASE.STATE_CLOSED
    standing = {
        (item.unit, item.role.name) for item in (await court.copy()).assignments if item.is_open
    }
    assert {(SECOND, "LEAD"), (THIRD, "ASSIST")} <= standing


async def test_a_guard_refuses_a_part_as_it_refuses_a_target(database: Database) -> None:
    court = a_court(database)
    message = a_message(region=TIANJIN, matter="051200")
    message.content.reported_parties.add(unit="units/120000-GA-1")
    await court.receive(message)
    await court.ask()
    with pytest.raises(GuardViolated):
        await court.rule(
            "REASSIGN",
            SECOND,
            form=case_pb2.CaseRuling.FORM_LEAD_ASSIST,
            parts=[pb.RulingPart(party="units/120000-GA-1")],
        )
    assert not (await court.case()).rulings


async def test_what_is_nobodys_duty_goes_to_the_desk_which_tells_the_citizen(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    ruled = await court.rule("UPHOLD", FIRST, form=case_pb2.CaseRuling.FORM_BEYOND_DUTY)
    assert (ruled.state, await court.lead()) == (CASE.STATE_CLOSED, DESK)
