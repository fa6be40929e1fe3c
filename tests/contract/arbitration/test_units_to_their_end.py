"""Disputes of units that would never end, half-done rulings, and consent from the wrong side."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.database.uow import Database
from gateway.dispatch.returning import Plea
from gateway.dispatch.returning_answers import Counter
from gateway.kernel.codes import AssignmentRole, ReturnReason, TicketState, UnitRequestState
from gateway.kernel.errors import RoleMissing
from gateway.trust.principal import Principal, PrincipalKind, Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from tests.contract.arbitration.test_units import led_by
from tests.fixtures.nodes import a_call, a_message, a_person, a_platform
from tests.fixtures.unit_panel import (
    DESK,
    FIRST,
    HANDLER,
    POST,
    REVIEWER,
    SECOND,
    THIRD,
    TIANJIN,
    Court,
    a_court,
    a_court_with_a_ticket,
)
from tests.unit.dispatch.letters import RESULT

CASE, CASE_RULING = case_pb2.Case, case_pb2.CaseRuling


@pytest.fixture
async def court(database: Database) -> Court:
    return await a_court_with_a_ticket(database)


async def about(court: Court, unit: str) -> None:
    """Receive a message about the conduct of a unit, which a guard keeps from that unit."""
    message = a_message("T-about", region=TIANJIN, matter="999999")  # unknown: it waits at the desk
    message.content.reported_parties.add(unit=unit)
    await court.receive(message)


# --- rulings by the clock and by precedent --------------------------------------------------------


async def test_a_default_ruling_passes_over_a_body_that_no_guard_lets_ask(
    database: Database,
) -> None:
    court = a_court(database)
    await about(court, POST)
    await led_by(court, POST)  # before the guard came into force, say
    await led_by(court, SECOND)
    assert (await court.ask(proposed_owner=THIRD)).path[0] == POST
    for _ in range(12):
        await court.pass_time(hours=12)
    case = await court.case()
    assert (case.state, await court.lead()) == (CASE.STATE_CLOSED, SECOND)
    assert (await court.events()).count("case.ruled") == 1


async def test_a_precedent_that_a_guard_forbids_here_leaves_no_trace(court: Court) -> None:
    await court.ask(proposed_owner=POST)
    await court.rule("REASSIGN", POST, sets_precedent=True)
    message = a_message("T-2", region="120101")
    message.content.reported_parties.add(unit=POST)
    await court.receive(message)
    await led_by(court, FIRST)
    await court.ask(proposed_owner=POST)
    await court.pass_time(minutes=1)
    newest = (await court.cases())[0]
    assert (newest.state, len(newest.rulings)) == (CASE.STATE_FILED, 0)
    assert (await court.copy()).case
    assert "case.ruled" not in await court.events()


async def test_no_clock_undoes_what_a_panel_ruled_before(court: Court) -> None:
    await court.ask(proposed_owner=SECOND)
    await court.rule("REASSIGN", SECOND)
    await court.ask(proposed_owner=THIRD)
    await court.rule("INTERIM", THIRD)
    for _ in range(12):
        await court.pass_time(hours=12)
    assert [case.state for case in await court.cases()] == [CASE.STATE_CLOSED, CASE.STATE_CLOSED]
    assert await court.lead() == SECOND  # and not the first receiver, who lost it


async def test_a_unit_that_only_reads_along_assists_when_a_ruling_says_so(court: Court) -> None:
    await court.file(SECOND)
    await court.node.dispatch.units.answers.answer(
        a_call(REVIEWER, "AnswerReturn"),
        court.target,
        number=1,
        answer=Counter(THIRD),
        basis="可（测试）",
    )
    await court.ask(a_person(TIANJIN, Role.SUPERVISOR))
    await court.rule(
        "UPHOLD", FIRST, form=CASE_RULING.FORM_LEAD_ASSIST, parts=[pb.RulingPart(party=THIRD)]
    )
    standing = [(item.unit, item.role) for item in (await court.copy()).assignments if item.is_open]
    assert (THIRD, AssignmentRole.ASSIST) in standing
    assert (THIRD, AssignmentRole.READ) not in standing


# --- a ruling whose request has no object any more ------------------------------------------------


async def test_a_case_ends_when_the_ticket_is_resolved_while_a_body_is_asked(court: Court) -> None:
    await court.ask(proposed_owner=POST)
    await court.rule("REASSIGN", POST)
    handling, person = court.node.dispatch.handling, a_person(TIANJIN, Role.HANDLER)
    await handling.sign(a_call(person, "SignTicket"), court.target)
    await handling.resolve(a_call(person, "ResolveTicket"), court.target, result=RESULT)
    ticket = await court.copy()
    assert ticket.state is TicketState.RESOLVED
    assert ticket.unit_requests[0].state is UnitRequestState.VOID
    assert (await court.case()).state == CASE.STATE_CLOSED


async def test_a_case_ends_when_a_person_gives_the_lead_to_another_while_a_body_is_asked(
    court: Court,
) -> None:
    await court.ask(proposed_owner=POST)
    await court.rule("REASSIGN", POST)
    await led_by(court, SECOND)
    assert (await court.case()).state == CASE.STATE_CLOSED


async def test_a_ruling_in_a_later_case_ends_the_one_that_asks(court: Court) -> None:
    await court.ask(proposed_owner=POST)
    await court.rule("REASSIGN", POST)
    await court.ask(proposed_owner=SECOND)
    await court.rule("REASSIGN", SECOND)
    assert [case.state for case in await court.cases()] == [CASE.STATE_CLOSED, CASE.STATE_CLOSED]


async def test_another_body_that_the_same_case_asks_keeps_it_open(court: Court) -> None:
    await court.ask(proposed_owner=POST)
    await court.rule("REASSIGN", POST)
    ruled = await court.rule("REASSIGN", "units/120000-SWU-1")
    assert ruled.state == CASE.STATE_RULED
    assert (await court.case()).state == CASE.STATE_RULED


@pytest.mark.parametrize("form", [CASE_RULING.FORM_LEGAL, CASE_RULING.FORM_BEYOND_DUTY])
async def test_the_case_names_the_desk_that_tells_the_citizen(
    court: Court, form: case_pb2.CaseRuling.Form.ValueType
) -> None:
    await court.ask(proposed_owner=SECOND)
    ruled = await court.rule("UPHOLD", FIRST, form=form)
    assert (ruled.responsible, await court.lead()) == (DESK, DESK)


# --- who consents ---------------------------------------------------------------------------------


async def test_a_body_that_took_it_can_be_upheld(court: Court) -> None:
    await court.ask(proposed_owner=POST)
    await court.rule("REASSIGN", POST)
    await court.accept(a_person(TIANJIN, Role.HANDLER))
    assert await court.lead() == POST
    await court.ask(proposed_owner=SECOND)
    assert (await court.rule("UPHOLD", POST)).state == CASE.STATE_CLOSED
    assert await court.lead() == POST


async def returned_by_a_handler(court: Court, owner: str) -> None:
    plea = Plea(
        reason=ReturnReason.WRONG_FUNCTION, clause="职责清单第三条（测试）", proposed_owner=owner
    )
    await court.node.dispatch.units.returning.file(
        a_call(HANDLER, "ReturnTicket"), court.target, plea=plea
    )


@pytest.mark.parametrize("unit", [SECOND, POST])
async def test_who_returns_a_ticket_claims_it_for_nobody(court: Court, unit: str) -> None:
    await returned_by_a_handler(court, SECOND)
    hired = replace(HANDLER, id="h9", is_outsourced=True)
    for caller in (HANDLER, hired):
        with pytest.raises(RoleMissing):
            await court.node.dispatch.units.answers.claim(
                a_call(caller, "ClaimTicket"), court.target, unit=unit, clause="清单（测试）"
            )
    assert await court.lead() == FIRST


async def test_who_returned_it_accepts_for_no_body(court: Court) -> None:
    await returned_by_a_handler(court, POST)
    await court.node.dispatch.units.returning.review(
        a_call(REVIEWER, "ReviewReturn"),
        court.target,
        number=1,
        is_granted=True,
        basis="可（测试）",
    )
    with pytest.raises(RoleMissing):
        await court.accept(HANDLER)
    await court.accept(a_platform(TIANJIN))
    assert await court.lead() == POST


async def test_who_rules_accepts_for_no_body(court: Court) -> None:
    both = frozenset({Role.PANEL_MEMBER, Role.HANDLER})
    ruler = Principal(TIANJIN, PrincipalKind.STAFF, "panel2", both)
    await court.ask(proposed_owner=POST)
    await court.rule("REASSIGN", POST, caller=ruler)
    with pytest.raises(RoleMissing):
        await court.accept(ruler)


async def test_who_judged_an_earlier_return_sits_on_no_panel(court: Court) -> None:
    await court.returned(SECOND, ReturnReason.WRONG_FUNCTION, granted=False)
    await court.ask(proposed_owner=SECOND)
    both = frozenset({Role.PANEL_MEMBER, Role.DISPATCHER})
    with pytest.raises(RoleMissing):
        await court.rule("UPHOLD", FIRST, caller=replace(REVIEWER, roles=both))
