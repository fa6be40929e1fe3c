"""Rules that rulings propose, on both engines and with the real router: the quarrel ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.arbitration.learning.advice import Advice
from gateway.arbitration.learning.recommending import Source
from gateway.arbitration.model import CaseKey
from gateway.arbitration.precedents.model import VALIDITY
from gateway.database.uow import Database
from gateway.kernel.errors import (
    EtagMismatch,
    ResourceNotFound,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode
from gateway.routing.model import Pack
from gateway.trust.principal import Principal, PrincipalKind, Role
from hotline.arbitration.v1 import arbitration_service_pb2 as service_pb
from hotline.arbitration.v1 import case_pb2
from hotline.arbitration.v1 import proposal_pb2 as pb
from hotline.ticket.v1 import ticket_pb2
from tests.contract.arbitration.builders import NumberingRuler
from tests.contract.arbitration.court import (
    CONTEXT,
    JT,
    SJ,
    Court,
    a_court,
    a_judge,
    a_steward,
)
from tests.fixtures.nodes import IDS, NOW, packs
from tests.unit.arbitration.builders import BAODING, LANGFANG, SHIJIAZHUANG, a_filing
from tests.unit.publishing.builders import FIRST

State = pb.RuleProposal
WL = "units/131082-WL-1"
LEAD_ASSIST = case_pb2.CaseRuling.FORM_LEAD_ASSIST


@pytest.fixture
async def court(database: Database) -> Court:
    return await a_court(database)


def lead(ticket: ticket_pb2.Ticket) -> str:
    [found] = [each.unit for each in ticket.assignments if each.role == 1]
    return found


async def proposed(court: Court) -> pb.RuleProposal:
    """Let a first ticket be disputed and ruled about; return what the ruling proposes."""
    case = await court.disputed(await court.submit("T-1"))
    await court.ruled(case)
    return await court.proposed()


async def test_the_same_quarrel_between_units_is_ruled_by_precedent(court: Court) -> None:
    first = await court.submit("T-1")
    assert lead(first) == JT
    await court.ruled(await court.disputed(first))
    case = await court.disputed(await court.submit("T-2"))
    [ruling] = case.rulings
    assert (ruling.target, ruling.ruler.rpartition("/")[2]) == (SJ, "precedent")


async def test_it_names_the_unit_of_that_kind_in_another_county(court: Court) -> None:
    await court.ruled(await court.disputed(await court.submit("T-1")))
    ticket = await court.submit("T-2", region="131081")
    assert lead(ticket) == "units/131081-JT-1"
    case = await court.disputed(ticket, party="units/131081-JT-1", owner="units/131081-SJ-1")
    assert [ruling.target for ruling in case.rulings] == ["units/131081-SJ-1"]


async def test_a_case_with_another_fact_is_only_near(court: Court) -> None:
    await court.ruled(await court.disputed(await court.submit("T-1")))
    case = await court.disputed(await court.submit("T-2", industry="travel"))
    assert not case.rulings
    [near] = case.precedents
    assert list(near.differs) == ["industry"]


async def test_facts_that_the_panel_does_not_name_do_not_count(court: Court) -> None:
    ticket = await court.submit("T-1", industry="travel")
    await court.ruled(await court.disputed(ticket), precedent_facts=["industry"])
    case = await court.disputed(await court.submit("T-2", industry="travel", at_night=True))
    assert [ruling.target for ruling in case.rulings] == [SJ]
    assert not (await court.disputed(await court.submit("T-3", at_night=True))).rulings


async def test_of_two_that_fit_the_one_with_more_facts_decides(court: Court) -> None:
    travel = await court.disputed(await court.submit("T-1", industry="travel"))
    await court.ruled(travel, target=WL, precedent_facts=["industry"])
    await court.ruled(await court.disputed(await court.submit("T-2")), precedent_facts=["any"])
    for number, industry, target in ((3, "travel", WL), (4, "fitness", SJ), (5, "travel", WL)):
        case = await court.disputed(await court.submit(f"T-{number}", industry=industry))
        assert [ruling.target for ruling in case.rulings] == [target]


async def test_a_precedent_applies_its_form_and_parts_in_roles(court: Court) -> None:
    case = await court.disputed(await court.submit("T-1"))
    part = case_pb2.CaseRuling.Part(party=JT)
    await court.ruled(case, form=LEAD_ASSIST, parts=[{"party": part.party}])
    ticket = await court.submit("T-2", region="131081")
    case = await court.disputed(ticket, party="units/131081-JT-1", owner="units/131081-SJ-1")
    [ruling] = case.rulings
    assert (ruling.form, ruling.target) == (LEAD_ASSIST, "units/131081-SJ-1")
    assert [each.party for each in ruling.parts] == ["units/131081-JT-1"]


async def test_a_ruling_proposes_a_rule_with_what_it_would_move(court: Court) -> None:
    for number in range(2, 5):
        await court.submit(f"T-{number}")
    await court.submit("T-5", industry="travel")
    court.office.federation.clock.advance(timedelta(minutes=1))
    found = await proposed(court)
    assert found.state == State.STATE_OPEN
    assert found.pack == "131000.langfang"
    assert 'kind: "SJ"' in found.text
    assert found.rule.startswith("ruling.")
    [trial] = found.evidence.simulations
    assert (found.examined_count, found.moved_count) == (4, 3)
    [flow] = trial.flows
    assert (flow.before_target, flow.after_target, flow.count) == (JT, SJ, 3)


async def test_what_the_checker_says_is_attached(database: Database) -> None:
    court = await a_court(database, checks=True)
    found = await proposed(court)
    assert found.state == State.STATE_OPEN
    assert found.evidence.findings
    assert not any(finding.error for finding in found.evidence.findings)


async def test_an_accepted_rule_in_force_ends_the_quarrel(court: Court) -> None:
    found = await proposed(court)
    accepted = await court.accepted(found.name, etag=found.etag)
    assert accepted.state == State.STATE_ACCEPTED
    assert accepted.draft.startswith("rulePacks/131000.langfang/versions/")
    assert lead(await court.submit("T-2")) == JT  # a draft decides nothing
    await court.in_force(accepted.draft)
    ticket = await court.submit("T-3")
    assert lead(ticket) == SJ
    assert ticket.decision.rule == found.rule


async def test_repeat_disputes_of_the_key_are_counted_and_fall_to_none(court: Court) -> None:
    found = await proposed(court)
    await court.disputed(await court.submit("T-2"))
    clock = court.office.federation.clock
    clock.advance(timedelta(minutes=1))
    await court.in_force((await court.accepted(found.name)).draft)
    assert lead(await court.submit("T-3")) == SJ
    end = clock.now() + timedelta(minutes=1)
    [repeat] = await court.room.learning.repeats.of("131000", start=NOW, end=end)
    assert (repeat.disputes, repeat.by_precedent, repeat.after_rule) == (1, 1, 0)
    assert repeat.rule_since is not None
    assert repeat.tickets == 3
    assert repeat.rate == pytest.approx(1 / 3)


async def test_whoever_ruled_makes_no_rule(court: Court) -> None:
    both = a_judge("both", Role.RULE_EDITOR)
    case = await court.disputed(await court.submit("T-1"))
    await court.ruled(case, judge=both)
    found = await court.proposed()
    with pytest.raises(RoleMissing):
        await court.accepted(found.name, by=both)
    assert (await court.accepted(found.name)).state == State.STATE_ACCEPTED


async def test_only_own_rule_staff_accepts_or_declines(court: Court) -> None:
    found = await proposed(court)
    hired = Principal(
        AuthorityCode("131000"),
        PrincipalKind.STAFF,
        "hired",
        frozenset({Role.RULE_EDITOR}),
        is_outsourced=True,
    )
    for by in (a_judge(), hired, a_steward("x", Role.RULE_APPROVER)):
        with pytest.raises(RoleMissing):
            await court.accepted(found.name, by=by)
    stranger = Principal(
        AuthorityCode("120000"), PrincipalKind.STAFF, "s", frozenset({Role.RULE_EDITOR})
    )
    with pytest.raises(ResourceNotFound):
        await court.accepted(found.name, by=stranger)
    with pytest.raises(ResourceNotFound):
        await court.shown(found.name, stranger)
    assert (await court.shown(found.name)).state == State.STATE_OPEN


async def test_a_declined_one_keeps_who_and_why_and_stays_declined(court: Court) -> None:
    found = await proposed(court)
    declined = await court.declined(found.name, by=a_steward("x", Role.RULE_APPROVER))
    assert declined.state == State.STATE_DECLINED
    assert declined.reason
    assert declined.decided_by.endswith("/staff/x")
    with pytest.raises(TransitionNotAllowed):
        await court.accepted(found.name)
    case = await court.disputed(await court.submit("T-2"))
    assert case.rulings  # the precedent holds all the same


async def test_the_same_acceptance_again_gets_the_first_answer(court: Court) -> None:
    found, request_id = await proposed(court), IDS.uuid7(NOW)
    first = await court.accepted(found.name, request_id=request_id)
    assert await court.accepted(found.name, request_id=request_id) == first
    with pytest.raises(TransitionNotAllowed):
        await court.accepted(found.name)


async def test_rules_that_changed_since_the_trial_are_tried_again(court: Court) -> None:
    found = await proposed(court)
    version = await court.office.draft(FIRST)
    await court.in_force(version.name)
    with pytest.raises(EtagMismatch):
        await court.accepted(found.name)
    again = await court.proposed()
    assert (again.state, again.base_version) == (State.STATE_OPEN, version.version)
    assert again.etag != found.etag
    assert (await court.accepted(found.name)).state == State.STATE_ACCEPTED


async def test_a_proposal_ends_with_its_precedent(court: Court) -> None:
    found = await proposed(court)
    court.caller = a_judge()
    request = service_pb.RevokePrecedentRequest(
        name=found.case.replace("cases/", "precedents/"),
        reason="职责已调整（测试）",
        request_id=IDS.uuid7(NOW),
    )
    await court.room.servicer.RevokePrecedent(request, CONTEXT)
    assert (await court.shown(found.name)).state == State.STATE_WITHDRAWN
    with pytest.raises(TransitionNotAllowed):
        await court.accepted(found.name)


async def test_a_proposal_of_a_precedent_that_expired_becomes_no_draft(court: Court) -> None:
    found = await proposed(court)
    court.office.federation.clock.advance(VALIDITY)
    with pytest.raises(TransitionNotAllowed, match="expired"):
        await court.accepted(found.name)


async def test_what_no_rule_can_say_is_a_record_with_the_reason(court: Court) -> None:
    case = await court.disputed(await court.submit("T-1"))
    joint = case_pb2.CaseRuling.FORM_JOINT
    await court.ruled(case, form=joint, parts=[{"party": JT}])
    found = await court.proposed()
    assert found.state == State.STATE_IMPOSSIBLE
    assert "JOINT" in found.obstacle
    with pytest.raises(TransitionNotAllowed):
        await court.accepted(found.name)


async def test_the_panel_is_told_what_each_source_says(court: Court) -> None:
    await court.ruled(await court.disputed(await court.submit("T-1")), precedent_facts=["industry"])
    case = await court.disputed(await court.submit("T-2", industry="travel"))
    room, now = court.room, court.office.federation.clock.now()
    await room.learning.advice.ready()
    async with court.office.database.unit() as uow:
        held = await room.arbitration._cases.visible(
            uow, AuthorityCode("131000"), case.name.removeprefix("cases/")
        )
        advice = await room.learning.advice.recommend(uow, held, now=now)
    said = {item.source.value: item for item in advice}
    assert said["near-precedent"].differs == ("industry",)
    assert said["near-precedent"].party == SJ
    assert said["rule"].party == JT
    assert said["rule"].reference.endswith("#lf.driving-school")
    assert said["responsibility-list"].party
    assert all(item.reference and item.says for item in advice)


async def test_a_ruling_between_cities_proposes_a_rule_of_the_province(database: Database) -> None:
    court = await a_court(database, ruler=NumberingRuler())
    court.office.federation.clock.advance(timedelta(minutes=1))
    filing = replace(a_filing(), path=(SHIJIAZHUANG,), proposed_target=LANGFANG)
    async with court.office.database.unit() as uow:
        await court.room.arbitration.filed(uow, filing, now=NOW)
    judge = a_judge(authority="130000")
    case = await court.read(filing.key.name, judge)
    await court.ruled(case, target=LANGFANG, judge=judge)
    await court.proposals.prepare()
    editor = Principal(
        AuthorityCode("130000"), PrincipalKind.STAFF, "e", frozenset({Role.RULE_EDITOR})
    )
    found = await court.shown(f"proposals/{filing.key.case}.1", editor)
    assert (found.state, found.pack) == (State.STATE_OPEN, "130000.hebei")
    assert 'to: "place"' in found.text
    tried = {simulation.authority for simulation in found.evidence.simulations}
    assert tried == {"130000", "130100", "130600", "131000"}


async def test_without_a_copy_of_the_ticket_facts_are_unknown(database: Database) -> None:
    court = await a_court(database, ruler=NumberingRuler())
    filing = replace(a_filing(), path=(SHIJIAZHUANG,), proposed_target=LANGFANG)
    async with court.office.database.unit() as uow:
        await court.room.arbitration.filed(uow, filing, now=NOW)
    judge = a_judge(authority="130000")
    await court.ruled(await court.read(filing.key.name, judge), target=LANGFANG, judge=judge)
    listed = await court.room.arbitration.casebook.listed("130000", limit=10)
    assert [made.key.facts for made in listed] == [()]


async def test_what_a_filer_says_does_not_count_where_the_arbiter_has_the_ticket(
    court: Court,
) -> None:
    ticket = await court.submit("T-1")
    case = await court.disputed(ticket)
    book = court.room.arbitration.casebook
    async with court.office.database.unit() as uow:
        key = CaseKey(AuthorityCode("131000"), case.name.removeprefix("cases/"))
        held = await court.room.arbitration._cases.find(uow, key)
        assert held is not None
        claimed = replace(held, facts=replace(held.facts, matter="070101", region="130102"))
        found, _ = await book.survey(uow, claimed, now=NOW)
    assert (found.case.facts.matter, found.case.facts.region) == ("041200", "131082")
    assert "industry=" in found.key.facts


async def test_the_rules_of_both_sides_are_told_as_far_as_they_are_known(
    database: Database,
) -> None:
    court = await a_court(database, ruler=NumberingRuler())
    peers = [pack for pack in packs().packs if pack.owner == SHIJIAZHUANG]

    async def summaries() -> list[Pack]:
        return peers

    backing = replace(
        court.backing, hosted=lambda: frozenset({"130000", "131000"}), peers=summaries
    )
    advice = Advice(casebook=court.room.arbitration.casebook, backing=backing)
    filing = replace(a_filing(), path=(SHIJIAZHUANG, BAODING), proposed_target=LANGFANG)
    async with court.office.database.unit() as uow:
        await court.room.arbitration.filed(uow, filing, now=NOW)
    await advice.ready()
    async with court.office.database.unit() as uow:
        case = await court.room.arbitration._cases.find(uow, filing.key)
        assert case is not None
        said = {item.owner: item for item in await advice.recommend(uow, case, now=NOW)}
    assert said["131000"].source is Source.RULE
    assert said["131000"].party == "131000"  # its own unit has it
    assert (said["130100"].source, said["130100"].party) == (Source.PEER_RULE, "131000")
    assert said["130600"].source is Source.PEER_RULE
    assert "没有收到" in said["130600"].says
    assert said["130000"].source is Source.LIST
    assert said["130000"].party == "131000"
