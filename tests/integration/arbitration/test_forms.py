"""What the form of a ruling makes of a ticket, through real nodes: parts, merging, 提级.

A province rules between its cities, hosted and each on a node of its own; the nation rules between
provinces. The authority that takes or keeps the ticket acts on the signed words alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from gateway.arbitration.assembly import ArbitrationRoom
from gateway.custody import docket
from gateway.custody.model import ChainKey
from gateway.dispatch.codec import Result
from gateway.dispatch.handling import Target
from gateway.kernel.codes import CaseRulingForm, Solved, TicketPurpose, TicketState
from gateway.kernel.errors import FieldInvalid, TransitionNotAllowed
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber
from gateway.tickets.model import FINAL, Ticket
from gateway.tickets.store import EVENTS_OF
from gateway.trust.principal import Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.nodes import IDS, NOW, Federation, a_call, a_federation, a_message, a_person
from tests.fixtures.nodes import a_platform as a_platform_of
from tests.integration.arbitration import test_a_province_rules as province_story
from tests.integration.arbitration import test_the_nation_rules as nation_story

HEBEI, SHIJIAZHUANG = AuthorityCode("130000"), AuthorityCode("130100")
BAODING, LANGFANG = AuthorityCode("130600"), AuthorityCode("131000")
TIANJIN, SHANGHAI = AuthorityCode("120000"), AuthorityCode("310000")
RESULT = Result(Solved.SOLVED, "已办（测试）")
Form = CaseRulingForm
Province = province_story.Province
CONTEXT: Any = None


@pytest.fixture(params=["hosted", "split"])
def province(request: pytest.FixtureRequest) -> Province:
    hosts = province_story.HOSTS[request.param]
    return province_story.a_province({**hosts, "tianjin": (TIANJIN,)})


async def issue(
    federation: Federation,
    panel: ArbitrationRoom,
    *,
    form: CaseRulingForm,
    kind: str,
    target: str,
    parts: Sequence[tuple[str, str]] = (),
    merge_into: str = "",
) -> case_pb2.Case:
    """Have the panel rule its only open case; return the case when all has settled."""
    [case] = (await panel.servicer.ListCases(pb.ListCasesRequest(), CONTEXT)).cases
    request = pb.IssueRulingRequest(
        name=case.name,
        kind=custody_pb2.Ruling.Kind.Value(f"KIND_{kind}"),
        target=target,
        legal_basis="首接负责制（测试）",
        reasons="事发地跨界（测试）。",
        request_id=IDS.uuid7(NOW),
        form=case_pb2.CaseRuling.Form.ValueType(form),
        parts=[pb.RulingPart(party=party, matter=matter) for party, matter in parts],
        merge_into=merge_into,
    )
    await panel.servicer.IssueRuling(request, CONTEXT)
    await federation.settle()
    [case] = (await panel.servicer.ListCases(pb.ListCasesRequest(), CONTEXT)).cases
    return case


async def copy_of(federation: Federation, authority: str, number: str) -> Ticket:
    node = federation.node_of(authority)
    async with node.database.unit() as uow:
        return await node.room.tickets.get(uow, AuthorityCode(authority), TicketNumber(number))


async def children_of(federation: Federation, authority: str, number: str) -> list[Ticket]:
    node = federation.node_of(authority)
    async with node.database.unit() as uow:
        found = await node.room.tickets.child_copies(
            uow, AuthorityCode(authority), TicketNumber(number)
        )
        return list(found)


async def resolve(federation: Federation, authority: str, number: str) -> None:
    """Have the authority's own people sign, contact and resolve a ticket, at whatever unit."""
    node, target = federation.node_of(authority), Target(number=TicketNumber(number))
    handler = a_person(authority, Role.HANDLER)
    ticket = await copy_of(federation, authority, number)
    if ticket.state is TicketState.DISPATCHED:
        await node.dispatch.handling.sign(a_call(handler, "SignTicket"), target)
    await node.dispatch.handling.resolve(a_call(handler, "ResolveTicket"), target, result=RESULT)
    await federation.settle()


def number_of(name: str) -> TicketNumber:
    return TicketNumber(name.removeprefix("tickets/"))


# --- parts ------------------------------------------------------------------------------------


async def test_those_who_assist_get_a_linked_child_at_once(province: Province) -> None:
    federation, name = province.federation, await province.disputed()
    case = await issue(
        federation,
        province.panel,
        form=Form.LEAD_ASSIST,
        kind="UPHOLD",
        target=SHIJIAZHUANG,
        parts=[(BAODING, ""), (LANGFANG, "")],
    )
    assert case.state == case_pb2.Case.STATE_CLOSED
    assert [part.party for part in case.rulings[0].parts] == [BAODING, LANGFANG]
    children = await children_of(federation, SHIJIAZHUANG, number_of(name))
    assert {child.custodian for child in children} == {BAODING, LANGFANG}
    assert {child.purpose for child in children} == {TicketPurpose.ASSIST}
    for child in children:
        helper = await copy_of(federation, child.custodian, child.number)
        assert not helper.followed
        assert helper.lead is not None
    held = await copy_of(federation, SHIJIAZHUANG, number_of(name))
    assert not held.followed
    assert held.lead is not None
    assert not held.lead.is_desk


async def test_the_parent_closes_after_those_who_assist(province: Province) -> None:
    federation, name = province.federation, await province.disputed()
    await issue(
        federation,
        province.panel,
        form=Form.LEAD_ASSIST,
        kind="UPHOLD",
        target=SHIJIAZHUANG,
        parts=[(BAODING, "")],
    )
    number = number_of(name)
    await resolve(federation, SHIJIAZHUANG, number)  # who leads need not wait for help
    handling = federation.node_of(SHIJIAZHUANG).dispatch.handling
    clerk = a_person(SHIJIAZHUANG, Role.CLERK)
    with pytest.raises(TransitionNotAllowed, match="open child"):
        await handling.close(a_call(clerk, "CloseTicket"), Target(number=number))
    [child] = await children_of(federation, SHIJIAZHUANG, number)
    await resolve(federation, BAODING, child.number)
    await handling.close(a_call(clerk, "CloseTicket"), Target(number=number))
    assert (await copy_of(federation, SHIJIAZHUANG, number)).state is TicketState.CLOSED


async def test_of_a_joint_ruling_each_part_must_answer_before_the_lead_resolves(
    province: Province,
) -> None:
    federation, name = province.federation, await province.disputed()
    await issue(
        federation,
        province.panel,
        form=Form.JOINT,
        kind="REASSIGN",
        target=BAODING,
        parts=[(LANGFANG, "")],
    )
    number = number_of(name)
    taken = await copy_of(federation, BAODING, number)
    assert not taken.followed
    [child] = await children_of(federation, BAODING, number)
    assert child.custodian == LANGFANG
    with pytest.raises(TransitionNotAllowed, match=f"jointly with tickets/{child.number}"):
        await resolve(federation, BAODING, number)
    await resolve(federation, LANGFANG, child.number)
    await resolve(federation, BAODING, number)
    assert (await copy_of(federation, BAODING, number)).state is TicketState.RESOLVED


async def test_a_split_gives_each_its_own_matter(province: Province) -> None:
    federation, name = province.federation, await province.disputed()
    await issue(
        federation,
        province.panel,
        form=Form.SPLIT,
        kind="UPHOLD",
        target=SHIJIAZHUANG,
        parts=[(BAODING, "041200"), (LANGFANG, "020402")],
    )
    children = await children_of(federation, SHIJIAZHUANG, number_of(name))
    assert {(child.custodian, child.matter) for child in children} == {
        (BAODING, "041200"),
        (LANGFANG, "020402"),
    }
    assert {child.purpose for child in children} == {TicketPurpose.ISSUE}


async def test_the_signed_words_carry_the_form(province: Province) -> None:
    federation, name = province.federation, await province.disputed()
    await issue(
        federation,
        province.panel,
        form=Form.JOINT,
        kind="REASSIGN",
        target=BAODING,
        parts=[(LANGFANG, "")],
    )
    node = federation.node_of(SHIJIAZHUANG)
    async with node.database.unit() as uow:
        key = ChainKey(SHIJIAZHUANG, number_of(name), HEBEI, 1)
        ruling = await docket.newest_ruling(uow, key)
    assert ruling is not None
    assert (ruling.form, [part.party for part in ruling.parts]) == (Form.JOINT, [LANGFANG])


async def test_two_provinces_handle_a_ticket_jointly() -> None:
    federation = a_federation(nation_story.HOSTS, with_arbiter=True)
    panel = nation_story.a_panel(federation)
    name = await nation_story.disputed(federation)
    number = number_of(name)
    case = await issue(
        federation, panel, form=Form.JOINT, kind="UPHOLD", target=TIANJIN, parts=[(HEBEI, "")]
    )
    assert case.state == case_pb2.Case.STATE_CLOSED
    assert case.scope == NATION
    [child] = await children_of(federation, TIANJIN, number)
    assert child.custodian == HEBEI
    lead = await copy_of(federation, TIANJIN, number)
    assert lead.lead is not None
    assert not lead.lead.is_desk
    with pytest.raises(TransitionNotAllowed, match="jointly"):
        await resolve(federation, TIANJIN, number)
    await resolve(federation, HEBEI, child.number)
    await resolve(federation, TIANJIN, number)
    assert (await copy_of(federation, TIANJIN, number)).state is TicketState.RESOLVED


# --- no parts ---------------------------------------------------------------------------------


async def test_a_ticket_is_merged_into_the_earlier_one_of_the_target(province: Province) -> None:
    federation = province.federation
    earlier = await federation.create(
        a_platform_of(SHIJIAZHUANG), a_message("T-0", region="130102", matter="020401")
    )
    federation.clock.advance(timedelta(hours=1))
    name = await province.disputed()
    await issue(
        federation,
        province.panel,
        form=Form.MERGE,
        kind="UPHOLD",
        target=SHIJIAZHUANG,
        merge_into=number_of(earlier.name),
    )
    merged = await copy_of(federation, SHIJIAZHUANG, number_of(name))
    assert merged.state is TicketState.MERGED


async def test_an_earlier_ticket_that_the_target_does_not_hold_is_refused(
    province: Province,
) -> None:
    federation = province.federation
    earlier = await federation.create(
        a_platform_of(BAODING), a_message("T-0", region="130602", matter="020401")
    )
    await federation.settle()
    await province.disputed()
    with pytest.raises(FieldInvalid, match="merge_into"):
        await issue(
            federation,
            province.panel,
            form=Form.MERGE,
            kind="UPHOLD",
            target=SHIJIAZHUANG,
            merge_into=number_of(earlier.name),
        )


@pytest.mark.parametrize("form", [Form.LEGAL, Form.BEYOND_DUTY])
async def test_who_is_turned_to_another_way_is_told_by_the_holders_desk(
    province: Province, form: CaseRulingForm
) -> None:
    federation, name = province.federation, await province.disputed()
    await issue(federation, province.panel, form=form, kind="UPHOLD", target=SHIJIAZHUANG)
    held = await copy_of(federation, SHIJIAZHUANG, number_of(name))
    assert held.lead is not None
    assert held.lead.is_desk
    assert held.state not in FINAL  # no rule turns anybody away


async def test_a_ticket_referred_out_comes_home_and_is_offered_outside(province: Province) -> None:
    federation, name = province.federation, await province.disputed()
    case = await issue(
        federation, province.panel, form=Form.REFER_OUT, kind="REASSIGN", target=TIANJIN
    )
    number = number_of(name)
    assert case.state == case_pb2.Case.STATE_CLOSED
    assert case.responsible == HEBEI
    assert case.rulings[0].form == case_pb2.CaseRuling.FORM_REFER_OUT
    left = await copy_of(federation, SHIJIAZHUANG, number)
    assert (left.followed, left.case) == (True, "")
    node = federation.node_of(HEBEI)
    async with node.database.unit() as uow:
        inner = await docket.newest_ruling(uow, ChainKey(HEBEI, number, HEBEI, 1))
        outer = await docket.newest_ruling(uow, ChainKey(HEBEI, number, NATION, 1))
        view = await node.custody.view(uow, HEBEI, number)
    assert inner is not None
    assert (inner.kind.name, inner.target) == ("HOME", HEBEI)
    assert outer is None  # on each chain rules its own arbiter, and nobody else
    assert view is not None
    assert (view.scope, view.holding.value) == (NATION, "OFFERED")


async def test_a_ticket_referred_out_to_where_it_was_becomes_a_case_outside(
    province: Province,
) -> None:
    federation = province.federation
    made = await federation.create(
        a_platform_of(TIANJIN), a_message(region="131082", matter="020401")
    )
    await federation.settle()
    name, number = made.name, number_of(made.name)
    await province.refused(name, LANGFANG, BAODING, proposed=SHIJIAZHUANG)
    await province.refused(name, LANGFANG, SHIJIAZHUANG, proposed=BAODING)
    case = await issue(
        federation, province.panel, form=Form.REFER_OUT, kind="REASSIGN", target=TIANJIN
    )
    assert (case.scope, case.state) == (HEBEI, case_pb2.Case.STATE_CLOSED)
    home = await copy_of(federation, HEBEI, number)
    assert not home.followed
    assert home.lead is not None
    assert home.lead.is_desk
    node = federation.node_of(HEBEI)
    async with node.database.unit() as uow:
        view = await node.custody.view(uow, HEBEI, number)
    assert view is not None
    assert (view.scope, view.holding.value) == (NATION, "HELD")
    assert view.case == home.case != case.name.removeprefix("cases/")


async def test_a_province_that_holds_the_ticket_itself_refers_it_out_too(
    province: Province,
) -> None:
    federation = province.federation
    name = await province.disputed(HEBEI, region="130000")
    await issue(federation, province.panel, form=Form.REFER_OUT, kind="REASSIGN", target=TIANJIN)
    node = federation.node_of(HEBEI)
    async with node.database.unit() as uow:
        view = await node.custody.view(uow, HEBEI, number_of(name))
    assert view is not None
    assert (view.scope, view.holding.value, view.case) == (NATION, "OFFERED", "")
    assert (await copy_of(federation, HEBEI, number_of(name))).case == ""


@pytest.mark.parametrize("target", ["130600", "130000", "100000"])
async def test_out_of_a_province_is_another_province(province: Province, target: str) -> None:
    await province.disputed()
    with pytest.raises(FieldInvalid, match="target"):
        await issue(
            province.federation,
            province.panel,
            form=Form.REFER_OUT,
            kind="REASSIGN",
            target=target,
        )


# --- guards -----------------------------------------------------------------------------------


async def test_who_is_complained_about_does_not_get_it_by_a_ruling_either(
    province: Province,
) -> None:
    federation = province.federation
    usual = await unit_for(federation, a_message("T-0", region="130102", matter="020401"))
    message = a_message(region="130102", matter="020401")
    message.content.reported_parties.add(display_name="测试单位", unit=usual)
    made = await federation.create(a_platform_of(SHIJIAZHUANG), message)
    await federation.settle()
    await province.refused(made.name, SHIJIAZHUANG, BAODING, proposed=LANGFANG)
    await province.refused(made.name, SHIJIAZHUANG, LANGFANG, proposed=BAODING)
    await issue(
        federation,
        province.panel,
        form=Form.LEAD_ASSIST,
        kind="UPHOLD",
        target=SHIJIAZHUANG,
        parts=[(BAODING, "")],
    )
    held = await copy_of(federation, SHIJIAZHUANG, number_of(made.name))
    assert held.lead is not None
    assert held.case == ""
    assert usual not in {item.unit for item in held.assignments}


async def unit_for(federation: Federation, message: ticket_pb2.Ticket) -> str:
    """Return the unit that the rules of 石家庄 give a ticket to."""
    made = await federation.create(a_platform_of(SHIJIAZHUANG), message)
    lead = (await copy_of(federation, SHIJIAZHUANG, number_of(made.name))).lead
    assert lead is not None
    assert not lead.is_desk
    return lead.unit


async def test_what_was_ruled_outside_while_a_city_held_it_is_done_when_it_comes_home() -> None:
    federation = a_federation(nation_story.HOSTS, with_arbiter=True)
    panel = nation_story.a_panel(federation)
    made = await federation.create(
        a_platform_of(TIANJIN), a_message(region="131082", matter="020401")
    )
    await federation.settle()
    number = number_of(made.name)
    hebei = federation.node_of(HEBEI)
    assert not (await copy_of(federation, LANGFANG, number)).followed
    async with hebei.database.unit() as uow:
        await uow.lock(f"ticket/{number}")
        filed = await hebei.custody.file_case(
            uow, authority=HEBEI, ticket=number, cause="request", target=TIANJIN, now=NOW
        )
        await hebei.dispatch.reactions.react(uow, filed, now=NOW)
    await federation.settle()
    await issue(
        federation, panel, form=Form.JOINT, kind="UPHOLD", target=HEBEI, parts=[(TIANJIN, "")]
    )
    assert not await children_of(federation, HEBEI, number)
    assert "ticket.needs_person" in await kinds_of(federation, HEBEI, number)
    async with hebei.database.unit() as uow:  # a person asks the city for it
        await uow.lock(f"ticket/{number}")
        await hebei.custody.assume(uow, authority=HEBEI, ticket=number, now=NOW)
    await federation.settle()
    async with hebei.database.unit() as uow:
        await uow.lock(f"ticket/{number}")
        await hebei.custody.consent.go_home(uow, HEBEI, number, NOW)  # it was not offered in time
    await federation.settle()
    [child] = await children_of(federation, HEBEI, number)
    assert child.custodian == TIANJIN


async def kinds_of(federation: Federation, authority: str, number: str) -> list[str]:
    node = federation.node_of(authority)
    async with node.database.unit() as uow:
        rows = await uow.select(
            EVENTS_OF, authority=authority, ticket=number, position=0, limit=100
        )
    return [row.kind for row in rows]
