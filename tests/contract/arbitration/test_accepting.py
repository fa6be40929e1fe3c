"""Accepting a proposal is one step, and its rule beats the one that decided and no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.database.uow import Database
from gateway.kernel.errors import EtagMismatch, ResourceNotFound, TransitionNotAllowed
from gateway.publishing.library import find_source
from gateway.routing.model import Pack
from hotline.arbitration.v1 import proposal_pb2 as pb
from hotline.ticket.v1 import ticket_pb2
from tests.contract.arbitration.court import JT, SJ, Court, a_court, a_steward

State = pb.RuleProposal
NARROW = """\
  - id: lf.driving-school.travel
    owner: 廊坊市12345热线管理机构
    legal_basis: 测试
    effective_from: 2026-01-01
    effective_to: null
    when:
      matters: ["041200"]
      if: facts.industry == 'travel'
    then:
      assign: {kind: "WL"}
    explanation: 测试
"""


@pytest.fixture
async def court(database: Database) -> Court:
    return await a_court(database)


async def proposed(court: Court) -> pb.RuleProposal:
    await court.ruled(await court.disputed(await court.submit("T-1")), precedent_facts=["any"])
    return await court.proposed()


async def with_a_narrower_rule(court: Court) -> None:
    """Put an own rule about travel before the one about driving schools in force."""
    [base] = [pack for pack in court.backing.rules().packs if pack.owner == "131000"]
    source = base.source.replace(
        "  - id: lf.driving-school\n", f"{NARROW}  - id: lf.driving-school\n"
    )
    assert source != base.source
    version = await court.office.draft(source.encode())
    await court.in_force(version.name)


async def ids_of(court: Court, draft: str) -> list[str]:
    """Return the ids of a draft's rules, in their order."""
    async with court.office.database.unit() as uow:
        source = await find_source(uow, draft.rpartition("/")[2])
    assert source is not None
    lines = source.decode().splitlines()
    return [line.split()[-1].strip('"') for line in lines if line.startswith("  - id:")]


def lead(ticket: ticket_pb2.Ticket) -> str:
    [found] = [each.unit for each in ticket.assignments if each.role == 1]
    return found


async def test_an_accepted_rule_beats_the_rule_that_decided_and_no_narrower_one(
    court: Court,
) -> None:
    await with_a_narrower_rule(court)
    travel = await court.submit("T-0", industry="travel")
    assert travel.decision.rule == "lf.driving-school.travel"
    found = await proposed(court)
    accepted = await court.accepted(found.name)
    ids = await ids_of(court, accepted.draft)
    at = ids.index(found.rule)
    assert ids[at - 1 : at + 2] == ["lf.driving-school.travel", found.rule, "lf.driving-school"]
    await court.in_force(accepted.draft)
    assert lead(await court.submit("T-2")) == SJ
    again = await court.submit("T-3", industry="travel")
    assert again.decision.rule == "lf.driving-school.travel"


async def test_where_the_list_decides_a_rule_comes_after_all_of_its_own(court: Court) -> None:
    ticket = await court.submit("T-1", matter="020401")
    assert ticket.decision.rule == "responsibility-list"
    case = await court.disputed(ticket, party=lead(ticket), owner=JT)
    await court.ruled(case, target=JT, precedent_facts=["any"])
    found = await court.proposed()
    draft = (await court.accepted(found.name)).draft
    ids = await ids_of(court, draft)
    assert ids[-1] == found.rule
    await court.in_force(draft)
    assert lead(await court.submit("T-2", matter="020401")) == JT


async def test_what_is_declined_while_somebody_accepts_it_leaves_no_draft(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await proposed(court)
    proposals, drafted = court.proposals, list[Pack]()
    make = proposals._draft

    async def declined_meanwhile(*given: Any) -> Pack:
        drafted.append(await make(*given))
        await court.declined(found.name, by=a_steward("other"))
        court.caller = a_steward()
        return drafted[-1]

    monkeypatch.setattr(proposals, "_draft", declined_meanwhile)
    with pytest.raises(TransitionNotAllowed):
        await court.accepted(found.name)
    name = f"rulePacks/{found.pack}/versions/{drafted[0].version}"
    async with court.office.database.unit() as uow:
        with pytest.raises(ResourceNotFound):
            await court.office.room.drafts.resolve(uow, name)
    assert (await court.shown(found.name)).state == State.STATE_DECLINED


async def test_of_two_who_accept_at_once_one_does_and_the_draft_is_his(court: Court) -> None:
    found = await proposed(court)
    stewards = [a_steward("first"), a_steward("second")]

    async def accept(index: int) -> pb.RuleProposal:
        return await court.accepted(found.name, by=stewards[index])

    done = await asyncio.gather(accept(0), accept(1), return_exceptions=True)
    [accepted] = [item for item in done if isinstance(item, pb.RuleProposal)]
    [refused] = [item for item in done if isinstance(item, BaseException)]
    assert isinstance(refused, TransitionNotAllowed | EtagMismatch)
    async with court.office.database.unit() as uow:
        version = await court.office.room.drafts.resolve(uow, accepted.draft)
    assert version.editor == accepted.decided_by
