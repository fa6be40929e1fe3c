"""The forms of rulings at the authority that carries them out: once, and never past a guard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.custody import bodies, codec, store
from gateway.custody.model import CaseRuled, ChainKey, RulingPart
from gateway.custody.rulings import epoch_of
from gateway.delivery.codec import statement_to_bytes
from gateway.delivery.model import Statement
from gateway.dispatch import shares
from gateway.dispatch.barred import SHARED_REASON, offer_bar
from gateway.dispatch.codec import Result
from gateway.dispatch.handling import Target
from gateway.kernel.codes import (
    AssignmentRole,
    CaseRulingForm,
    DispatchMode,
    RulingKind,
    Solved,
    TicketPurpose,
    TicketState,
)
from gateway.kernel.errors import TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode
from gateway.tickets.model import FINAL, Act, Ticket
from gateway.trust.principal import Principal, Role
from tests.fixtures.nodes import NOW, Node, a_call, a_federation, a_message, a_person, a_platform
from tests.unit.dispatch.test_ruled import created, events_of, react

TIANJIN, HEBEI = AuthorityCode("120000"), AuthorityCode("130000")
HOUSING, TAXES = (f"units/120101-{unit}-1" for unit in ("ZJ", "SWU"))
DESK = "units/120000-desk"
Form = CaseRulingForm
RESULT = Result(Solved.SOLVED, "已办（测试）")


async def held(node: Node, key: ChainKey) -> Ticket:
    async with node.database.unit() as uow:
        return await node.room.tickets.get(uow, key.authority, key.ticket)


async def carry_out(
    node: Node,
    key: ChainKey,
    form: CaseRulingForm,
    *parties: str,
    ruling: str = "ruling 1 of case C-1",
    **given: Any,
) -> Ticket:
    """Carry a ruling out in a unit of its own, as it is when a statement comes; return the copy."""
    act = Act(Principal.system(key.authority, "dispatch").name, "system", ruling, NOW)
    parts = tuple(RulingPart(*party.split("=")) for party in parties)
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{key.ticket}")
        ticket = await node.room.tickets.get(uow, key.authority, key.ticket)
        await node.dispatch.ordered.carry_out(uow, ticket, act, form=form, parts=parts, **given)
    return await held(node, key)


async def children(node: Node, key: ChainKey) -> Sequence[Ticket]:
    async with node.database.unit() as uow:
        return await node.room.tickets.child_copies(uow, key.authority, key.ticket)


async def notes(node: Node, key: ChainKey) -> list[str]:
    """Return what a person was told to look at."""
    kinds = ("ticket.needs_person", "ticket.triaged")
    return [row.facts["reason"] for row in await events_of(node, key) if row.kind in kinds]


def leads(ticket: Ticket) -> str:
    assert ticket.lead is not None
    return ticket.lead.unit


# --- units of the authority -------------------------------------------------------------------


async def test_a_unit_that_is_to_assist_gets_an_assignment_and_the_lead_stays() -> None:
    node, key = await created(a_federation())
    before = await held(node, key)
    after = await carry_out(node, key, Form.LEAD_ASSIST, HOUSING)
    assert leads(after) == leads(before)
    [made] = [item for item in after.assignments if item.unit == HOUSING]
    assert (made.role, made.mode) == (AssignmentRole.ASSIST, DispatchMode.RULING)
    assert not await children(node, key)


async def test_a_guard_binds_a_ruling_and_a_person_is_told() -> None:
    node, key = await created(a_federation())
    before = await held(node, key)
    after = await carry_out(node, key, Form.LEAD_ASSIST, TAXES, HOUSING)
    units = {item.unit for item in after.assignments}
    assert TAXES not in units  # a vertically managed body is asked, never told
    assert {HOUSING, DESK} <= units
    assert leads(after) == leads(before)
    [note] = await notes(node, key)
    assert TAXES in note
    assert "GUARD_VIOLATED" in note


@pytest.mark.parametrize("form", [Form.JOINT, Form.SPLIT])
async def test_a_guard_binds_a_part_that_is_a_child_which_then_waits_at_the_desk(
    form: CaseRulingForm,
) -> None:
    node, key = await created(a_federation())
    await carry_out(node, key, form, f"{TAXES}=020402" if form is Form.SPLIT else TAXES)
    [child] = await children(node, key)
    assert leads(child) == DESK


@pytest.mark.parametrize(
    ("form", "part", "purpose"),
    [
        (Form.JOINT, HOUSING, TicketPurpose.ASSIST),
        (Form.SPLIT, f"{HOUSING}=020402", TicketPurpose.ISSUE),
    ],
)
async def test_a_joint_or_split_part_of_a_unit_is_a_child_that_it_leads(
    form: CaseRulingForm, part: str, purpose: TicketPurpose
) -> None:
    node, key = await created(a_federation())
    await carry_out(node, key, form, part)
    [child] = await children(node, key)
    assert (leads(child), child.purpose, child.parent) == (HOUSING, purpose, key.ticket)
    assert child.due_time <= (await held(node, key)).due_time


async def test_the_lead_of_a_joint_ruling_answers_last() -> None:
    node, key = await created(a_federation())
    await carry_out(node, key, Form.JOINT, HOUSING)
    [child] = await children(node, key)
    handler = a_person(TIANJIN, Role.HANDLER)
    for number in (key.ticket, child.number):
        await node.dispatch.handling.sign(a_call(handler, "SignTicket"), Target(number=number))
    lead, part = Target(number=key.ticket), Target(number=child.number)

    async def resolve(target: Target) -> None:
        await node.dispatch.handling.resolve(a_call(handler, "Resolve"), target, result=RESULT)

    with pytest.raises(TransitionNotAllowed, match=f"jointly with tickets/{child.number}"):
        await resolve(lead)
    await resolve(part)
    await resolve(lead)
    assert (await held(node, key)).state is TicketState.RESOLVED


# --- once -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "parts"),
    [
        (Form.LEAD_ASSIST, (HOUSING, HEBEI)),
        (Form.JOINT, (HOUSING, HEBEI)),
        (Form.SPLIT, (f"{HOUSING}=020402", f"{HEBEI}=041200")),
        (Form.LEGAL, ()),
        (Form.BEYOND_DUTY, ()),
    ],
)
async def test_a_ruling_that_comes_again_does_nothing_again(
    form: CaseRulingForm, parts: tuple[str, ...]
) -> None:
    node, key = await created(a_federation())
    once = await carry_out(node, key, form, *parts)
    numbers = [child.number for child in await children(node, key)]
    again = await carry_out(node, key, form, *parts)
    assert again == once
    assert [child.number for child in await children(node, key)] == numbers


async def test_a_later_ruling_ends_what_an_earlier_joint_one_waited_for() -> None:
    node, key = await created(a_federation())
    await carry_out(node, key, Form.JOINT, HOUSING)
    async with node.database.unit() as uow:
        assert await shares.awaited(uow, key.authority, key.ticket)
    await carry_out(node, key, Form.UNSPECIFIED, ruling="ruling 2 of case C-1")
    async with node.database.unit() as uow:
        assert not await shares.awaited(uow, key.authority, key.ticket)
    assert await children(node, key)  # what was begun goes on


async def test_a_ruling_between_units_ends_nothing_that_was_ruled_outside() -> None:
    node, key = await created(a_federation())
    await carry_out(node, key, Form.JOINT, HEBEI, chain="100000-1")
    await carry_out(node, key, Form.UNSPECIFIED, ruling="ruling 1 of case U-1")
    async with node.database.unit() as uow:
        assert await shares.awaited(uow, key.authority, key.ticket)
    await carry_out(node, key, Form.UNSPECIFIED, ruling="ruling 2 of case C-1", chain="100000-1")
    async with node.database.unit() as uow:
        assert not await shares.awaited(uow, key.authority, key.ticket)


# --- what cannot be done ----------------------------------------------------------------------


async def test_a_part_for_one_that_has_not_joined_waits_at_the_desk() -> None:
    node, key = await created(a_federation())
    await carry_out(node, key, Form.JOINT, "330000")
    [child] = await children(node, key)
    assert leads(child) == DESK


async def test_a_matter_that_is_none_is_a_persons() -> None:
    node, key = await created(a_federation())
    before = await held(node, key)
    after = await carry_out(node, key, Form.SPLIT, f"{HOUSING}=999999")
    assert leads(after) == leads(before)
    assert "999999" in (await notes(node, key))[-1]
    assert not await children(node, key)


async def test_a_settled_ticket_that_is_referred_out_is_a_persons() -> None:
    node, key = await created(a_federation())
    handler = a_person(TIANJIN, Role.HANDLER)
    target = Target(number=key.ticket)
    await node.dispatch.handling.sign(a_call(handler, "SignTicket"), target)
    await node.dispatch.handling.resolve(a_call(handler, "Resolve"), target, result=RESULT)
    after = await carry_out(node, key, Form.REFER_OUT, HEBEI)
    assert after.state is TicketState.RESOLVED
    assert HEBEI in (await notes(node, key))[-1]


async def test_a_merge_into_nothing_known_is_a_persons() -> None:
    node, key = await created(a_federation())
    after = await carry_out(node, key, Form.MERGE, merge_into="12000020260101000000018")
    assert after.state not in FINAL
    assert leads(after) == DESK


async def test_a_unit_at_work_stops_when_its_ticket_is_merged() -> None:
    federation = a_federation()
    earlier = await federation.create(
        a_platform(TIANJIN), a_message("T-0", region="120101", matter="020401")
    )
    federation.clock.advance(timedelta(hours=1))
    node, key = await created(federation)
    handler = a_person(TIANJIN, Role.HANDLER)
    await node.dispatch.handling.sign(a_call(handler, "SignTicket"), Target(number=key.ticket))
    number = earlier.name.removeprefix("tickets/")
    merged = await carry_out(node, key, Form.MERGE, merge_into=number)
    assert merged.state is TicketState.MERGED
    assert not any(item.is_open for item in merged.assignments)


@pytest.mark.parametrize("form", [Form.LEGAL, Form.BEYOND_DUTY])
async def test_the_desk_tells_the_citizen_with_the_basis(form: CaseRulingForm) -> None:
    node, key = await created(a_federation())
    after = await carry_out(node, key, form, reason="信访工作条例（测试）")
    assert leads(after) == DESK
    assert after.state not in FINAL
    assert "信访工作条例（测试）" in (await notes(node, key))[-1]


async def test_a_ticket_with_parts_of_others_is_offered_nowhere_by_a_rule() -> None:
    node, key = await created(a_federation())
    await ruled(node, key, Form.JOINT, RulingPart(HEBEI))
    await react(node, key, CaseRuled(key, "C-1", 1, TIANJIN))
    async with node.database.unit() as uow:
        ticket = await node.room.tickets.get(uow, key.authority, key.ticket)
        assert await offer_bar(uow, ticket, f"authorities/{HEBEI}") == SHARED_REASON


# --- signed words -----------------------------------------------------------------------------


async def ruled(
    node: Node, key: ChainKey, form: int, *parts: RulingPart, case: str = "C-1"
) -> None:
    """Put ruling 1 into the chain as if it had come: its statement, and what the row knows."""
    body = bodies.Ruling(
        number=1,
        previous=b"",
        target=key.authority,
        kind=RulingKind.UPHOLD,
        offers_allowed=False,
        mandates=(),
        legal_basis="首接负责制（测试）",
        effective=NOW,
        last_record=b"",
        case=case,
        ticket_uid="018f0000-0000-7000-8000-000000000001",
        form=int(form),
        parts=parts,
    )
    statement = Statement(
        statement_id="018f0000-0000-7000-8000-000000000002",
        kind="Ruling",
        issuer=key.scope,
        audience=(key.authority,),
        ticket=key.ticket,
        scope=key.scope,
        chain=key.number,
        epoch=epoch_of(1),
        previous_digest=b"",
        issued=NOW,
        protocol_version=1,
        body=codec.body_to_bytes(body),
    )
    digest = b"r" * 32
    row = store.StatementRow(
        authority=key.authority,
        digest=digest,
        statement=statement_to_bytes(statement),
        key_id="test",
        signature=b"",
        kind="Ruling",
        issuer=key.scope,
        ticket=key.ticket,
        scope=key.scope,
        number=key.number,
        epoch=epoch_of(1).key(),
        recorded=NOW,
    )
    async with node.database.unit() as uow:
        chain = await uow.get(store.CHAINS, key.authority, key.ticket, key.scope, key.number)
        assert chain is not None
        given = {"ruling": 1, "ruling_statement": digest, "offers_allowed": False}
        uow.put(store.CHAINS, replace(chain, **given))  # type: ignore[arg-type] # columns of a test
        uow.insert(store.STATEMENTS, row)


async def test_an_upheld_authority_acts_on_the_signed_words_whatever_it_is_told() -> None:
    node, key = await created(a_federation())
    await ruled(node, key, Form.JOINT, RulingPart(HEBEI))
    await react(node, key, CaseRuled(key, "C-1", 1, TIANJIN))
    [child] = await children(node, key)
    assert child.region == HEBEI  # in its area, so it is taken there without being asked
    await react(node, key, CaseRuled(key, "C-1", 1, TIANJIN))
    assert len(await children(node, key)) == 1


async def test_a_form_that_is_not_known_yet_is_a_persons() -> None:
    node, key = await created(a_federation())
    await ruled(node, key, 42)
    after = await react(node, key, CaseRuled(key, "C-1", 1, TIANJIN))
    assert leads(after) == DESK
    assert "42" in (await notes(node, key))[-1]


async def test_a_home_ruling_that_decides_nothing_has_no_form() -> None:
    node, key = await created(a_federation())
    before = await held(node, key)
    await ruled(node, key, Form.JOINT, RulingPart(HEBEI), case="")
    await react(node, key, CaseRuled(key, "", 1, TIANJIN))
    assert not await children(node, key)
    assert (await held(node, key)).assignments == before.assignments
