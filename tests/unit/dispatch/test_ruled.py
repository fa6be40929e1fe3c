"""What a ruling does to the copies of the authorities that it is about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.custody.model import (
    BecameCustodian,
    CaseFiled,
    CaseOpened,
    CaseRuled,
    ChainKey,
    CustodyEvent,
    Overruled,
    Released,
    RulingTaken,
)
from gateway.custody.store import CHAINS
from gateway.database.uow import UnitOfWork
from gateway.dispatch.barred import RULED_REASON, offer_bar
from gateway.kernel.codes import AssignmentState, TicketState
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.tickets.model import Change, Ticket
from gateway.tickets.store import EVENTS_OF, EventRow
from tests.fixtures.nodes import NOW, Federation, Node, a_federation, a_message, a_platform

NATION, TIANJIN, HEBEI = (AuthorityCode(code) for code in ("100000", "120000", "130000"))
TAKEN = Epoch(1, 0)


async def created(
    federation: Federation, authority: str = TIANJIN, *, region: str = "120101"
) -> tuple[Node, ChainKey]:
    """Return the node and inner chain of a ticket that its authority has assigned to a unit.

    Nobody follows a ticket that never left its province, so no proof of a made-up term is sent.
    """
    message = a_message(region=region, matter="020401")
    ticket = await federation.create(a_platform(authority), message)
    number = TicketNumber(ticket.name.removeprefix("tickets/"))
    key = ChainKey(AuthorityCode(authority), number, AuthorityCode(authority), 1)
    return federation.node_of(authority), key


async def react(node: Node, key: ChainKey, *events: CustodyEvent) -> Ticket:
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{key.ticket}")
        await node.dispatch.reactions.react(uow, events, now=NOW)
    async with node.database.unit() as uow:
        return await node.room.tickets.get(uow, key.authority, key.ticket)


async def events_of(node: Node, key: ChainKey) -> list[EventRow]:
    async with node.database.unit() as uow:
        return await uow.select(
            EVENTS_OF, authority=key.authority, ticket=key.ticket, position=0, limit=100
        )


async def rule_chain(node: Node, key: ChainKey, **changes: object) -> None:
    """Make the chain one that a ruling gave to its authority; `scope` makes an outer one of it."""
    async with node.database.unit() as uow:
        scope = AuthorityCode(key.authority[:2] + "0000")
        row = await uow.get(CHAINS, key.authority, key.ticket, scope, key.number)
        assert row is not None
        given = {"term_epoch": TAKEN.key(), "floor_epoch": TAKEN.key(), "ruling": 1}
        uow.put(CHAINS, replace(row, **(given | {"offers_allowed": False} | changes)))  # type: ignore[arg-type] # columns of a test


def is_at_desk(ticket: Ticket) -> bool:
    return ticket.lead is not None and ticket.lead.is_desk


async def test_a_decided_case_is_off_the_copy() -> None:
    node, key = await created(a_federation())
    waiting = await react(node, key, CaseOpened(key, "case-1", "path", HEBEI))
    assert waiting.case == "case-1"
    ruled = await react(node, key, CaseRuled(key, "case-1", 1, HEBEI))
    assert ruled.case == ""
    [event] = [row for row in await events_of(node, key) if row.kind == "case.ruled"]
    assert event.facts == {"case": "case-1", "ruling": "1", "target": HEBEI}
    assert event.basis == "ruling 1"


async def test_an_interim_order_leaves_the_case_on_the_copy() -> None:
    node, key = await created(a_federation())
    await rule_chain(node, key, case_id="case-1")
    await react(node, key, CaseOpened(key, "case-1", "path", HEBEI))
    ordered = await react(node, key, CaseRuled(key, "case-1", 1, HEBEI))
    assert ordered.case == "case-1"
    assert "case.ordered" in [row.kind for row in await events_of(node, key)]


async def test_an_overruled_custodian_keeps_its_lead_until_the_target_has_the_ticket() -> None:
    node, key = await created(a_federation())
    overruled = await react(node, key, Overruled(key, 1, HEBEI))
    assert overruled.lead is not None
    assert not overruled.followed
    assert [row.kind for row in await events_of(node, key)][-1] == "ticket.overruled"
    released = await react(node, key, Released(key, TAKEN, HEBEI))
    assert released.followed
    assert {item.state for item in released.assignments} == {AssignmentState.REASSIGNED}
    assert (await events_of(node, key))[-1].basis == "ruling 1"


async def test_the_target_dispatches_what_it_was_given() -> None:
    node, key = await created(a_federation())
    await rule_chain(node, key)
    await react(node, key, Released(key, Epoch(0, 1), HEBEI))
    taken = await react(node, key, BecameCustodian(key, TAKEN, HEBEI))
    assert not taken.followed
    assert taken.custodian == TIANJIN
    assert taken.state is TicketState.DISPATCHED
    assert taken.lead is not None
    assert not taken.lead.is_desk
    [event] = [row for row in await events_of(node, key) if row.kind == "ticket.taken"]
    assert event.facts == {"ruling": "1", "source": HEBEI}


async def test_what_another_settled_stays_settled() -> None:
    node, key = await created(a_federation())
    await rule_chain(node, key)
    released = await react(node, key, Released(key, Epoch(0, 1), HEBEI))
    async with node.database.unit() as uow:
        settled = replace(released, state=TicketState.RESOLVED)
        node.room.tickets.save(uow, Change(settled))
    taken = await react(node, key, BecameCustodian(key, TAKEN, HEBEI))
    assert (taken.followed, taken.state) == (False, TicketState.RESOLVED)


async def test_an_upheld_custodian_leaves_its_unit_at_work() -> None:
    node, key = await created(a_federation())
    async with node.database.unit() as uow:
        before = await node.room.tickets.get(uow, key.authority, key.ticket)
    after = await react(node, key, CaseRuled(key, "case-1", 1, TIANJIN))
    assert after.assignments == before.assignments


async def test_an_upheld_custodian_dispatches_what_waited_for_the_ruling() -> None:
    node, key = await created(a_federation())
    waiting = await react(node, key, CaseOpened(key, "case-1", "path", HEBEI))
    assert is_at_desk(waiting)
    await rule_chain(node, key)
    upheld = await react(node, key, CaseRuled(key, "case-1", 1, TIANJIN))
    assert upheld.lead is not None
    assert not is_at_desk(upheld)


async def test_one_who_is_to_care_meanwhile_waits_for_the_ruling_proper() -> None:
    node, key = await created(a_federation())
    await react(node, key, CaseOpened(key, "case-1", "path", HEBEI))
    await rule_chain(node, key, case_id="case-1")
    assert is_at_desk(await react(node, key, CaseRuled(key, "case-1", 1, TIANJIN)))


async def test_after_a_ruling_nothing_is_offered_on() -> None:
    federation = a_federation()
    node, key = await created(federation)
    async with node.database.unit() as uow:  # its place turns out to be elsewhere
        ticket = await node.room.tickets.get(uow, key.authority, key.ticket)
        node.room.tickets.save(uow, Change(replace(ticket, region="131082")))
    await rule_chain(node, key, scope=NATION)
    assert is_at_desk(await react(node, key, CaseOpened(key, "case-1", "path", HEBEI)))
    outer = replace(key, scope=NATION)
    assert is_at_desk(await react(node, key, CaseRuled(outer, "case-1", 1, TIANJIN)))
    assert "Offer" not in federation.delivered
    assert (await events_of(node, key))[-1].facts["reason"] == RULED_REASON


@pytest.mark.parametrize(
    ("changes", "target", "is_barred"),
    [
        ({"scope": NATION}, HEBEI, True),
        ({"scope": NATION, "offers_allowed": True}, HEBEI, False),
        ({"scope": NATION, "mandates": (HEBEI,)}, HEBEI, False),
        ({"scope": NATION, "ruling": 0}, HEBEI, False),
        ({"scope": NATION}, AuthorityCode("120100"), False),
        ({}, AuthorityCode("120100"), True),
        ({}, HEBEI, False),
    ],
)
async def test_a_ruling_bars_offers_in_its_own_chain_unless_it_allows_them(
    changes: dict[str, object], target: AuthorityCode, is_barred: bool
) -> None:
    node, key = await created(a_federation())
    await rule_chain(node, key, **changes)
    async with node.database.unit() as uow:
        ticket = await node.room.tickets.get(uow, key.authority, key.ticket)
        bar = await offer_bar(uow, ticket, f"authorities/{target}")
        assert bool(bar) is is_barred


async def test_an_authority_without_a_copy_has_nothing_to_show() -> None:
    node, key = await created(a_federation())
    stranger = replace(key, authority=HEBEI)
    async with node.database.unit() as uow:
        events = (
            CaseRuled(stranger, "case-1", 1, HEBEI),
            Overruled(stranger, 2, TIANJIN),
            Released(stranger, Epoch(2, 0), TIANJIN),
        )
        await node.dispatch.reactions.react(uow, events, now=NOW)
        assert await node.room.tickets.find(uow, HEBEI, key.ticket) is None


async def test_what_the_arbiter_learns_goes_to_its_room() -> None:
    node, key = await created(a_federation())
    heard: list[CustodyEvent] = []

    async def hear(uow: UnitOfWork, events: tuple[CustodyEvent, ...], *, now: Instant) -> None:
        heard.extend(events)

    filed = CaseFiled(key, "case-1", "path", TIANJIN, HEBEI, b"", (TIANJIN,))
    taken = RulingTaken(key, "case-1", 1, HEBEI)
    await react(node, key, filed)  # nobody rules here
    node.dispatch.reactions.arbitration = hear  # type: ignore[assignment] # a tuple is an iterable
    await react(node, key, filed, taken)
    assert heard == [filed, taken]
