"""Children: help from other authorities, with custody and clocks of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.custody import store as custody_store
from gateway.custody.codec import body_from_bytes
from gateway.custody.model import ChainKey, Released
from gateway.delivery.codec import statement_from_bytes
from gateway.dispatch.codec import Result
from gateway.dispatch.handling import Target
from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    CitizenActKind,
    Solved,
    TicketPurpose,
    TicketState,
)
from gateway.kernel.errors import (
    FieldInvalid,
    NotCustodian,
    QuotaExceeded,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.routing.model import Decision
from gateway.tickets.children import Wanted
from gateway.tickets.model import CHILDREN_MAX, Change, Ticket
from gateway.trust.principal import Principal, Role
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.nodes import (
    HOSTED,
    SPLIT,
    Federation,
    Node,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
    a_rating,
)

TIANJIN, HEBEI, LANGFANG = AuthorityCode("120000"), AuthorityCode("130000"), AuthorityCode("131000")
RESULT = Result(Solved.SOLVED, "已办（测试）")
BOTH = pytest.mark.parametrize("hosts", [HOSTED, SPLIT], ids=["hosted", "split"])


def help_of(region: str, title: str = "协办测试", **changes: object) -> Wanted:
    wanted = Wanted(
        purpose=TicketPurpose.ASSIST, region=region, matter="", title=title, content="测试协办内容"
    )
    return replace(wanted, **changes)  # type: ignore[arg-type] # fields of the value


async def created(
    federation: Federation, authority: str, *, region: str, text: str = ""
) -> TicketNumber:
    message = a_message(region=region)
    if text:
        message.content.content = text
    ticket = await federation.create(a_platform(authority), message)
    await federation.settle()
    return TicketNumber(ticket.name.removeprefix("tickets/"))


async def copy_of(federation: Federation, authority: str, number: TicketNumber) -> Ticket:
    node = federation.node_of(authority)
    async with node.database.unit() as uow:
        return await node.room.tickets.get(uow, AuthorityCode(authority), number)


async def content_of(
    federation: Federation, authority: str, number: TicketNumber
) -> tuple[ticket_pb2.TicketContent, bytes | None]:
    node = federation.node_of(authority)
    async with node.database.unit() as uow:
        texts = await node.room.tickets.texts(uow, AuthorityCode(authority), number)
    return ticket_pb2.TicketContent.FromString(texts.content), texts.citizen


async def split(
    federation: Federation,
    authority: str,
    number: TicketNumber,
    *wanted: Wanted,
    by: Principal | None = None,
) -> ticket_pb2.Ticket:
    node = federation.node_of(authority)
    answer = await node.dispatch.citizens.splitting.split(
        a_call(by or a_person(authority), "SplitTicket"), Target(number=number), wanted=wanted
    )
    await federation.settle()
    return ticket_pb2.Ticket.FromString(answer)


def child_numbers(ticket: ticket_pb2.Ticket) -> list[TicketNumber]:
    return [TicketNumber(child.name.removeprefix("tickets/")) for child in ticket.children]


async def handled(federation: Federation, authority: str, number: TicketNumber) -> None:
    handling, person = federation.node_of(authority).dispatch.handling, a_person(authority)
    target = Target(number=number)
    await handling.sign(a_call(person, "Sign"), target)
    await handling.resolve(a_call(person, "Resolve"), target, result=RESULT)
    await federation.settle()


async def events_of(federation: Federation, authority: str, number: TicketNumber) -> list[str]:
    reader = federation.node_of(authority).dispatch.reader
    shown, _ = await reader.events(
        a_person(authority, Role.SUPERVISOR), number, page_size=500, page_token=""
    )
    return [item.event.kind for item in shown]


@BOTH
async def test_help_in_another_province_is_a_ticket_of_its_own(
    hosts: Mapping[str, Sequence[str]],
) -> None:
    federation = a_federation(hosts)
    number = await created(federation, TIANJIN, region="120101")
    parent = await split(federation, TIANJIN, number, help_of("131082"))
    [child] = child_numbers(parent)
    at_helper = await copy_of(federation, LANGFANG, child)
    before = await copy_of(federation, TIANJIN, number)

    assert (at_helper.parent, at_helper.purpose) == (number, TicketPurpose.ASSIST)
    assert not at_helper.followed
    assert at_helper.anonymous
    assert at_helper.due_time <= before.due_time
    _, citizen = await content_of(federation, LANGFANG, child)
    assert citizen is None
    assert (await copy_of(federation, TIANJIN, child)).custodian == LANGFANG

    await handled(federation, LANGFANG, child)
    assert (await copy_of(federation, LANGFANG, child)).state is TicketState.CLOSED
    assert (await copy_of(federation, TIANJIN, child)).state is TicketState.CLOSED
    events = await events_of(federation, TIANJIN, number)
    assert events.count("child.closed") == 1
    assert (await copy_of(federation, TIANJIN, number)).due_time == before.due_time


@BOTH
async def test_a_city_asks_a_province_for_help_through_its_own(
    hosts: Mapping[str, Sequence[str]],
) -> None:
    federation = a_federation(hosts)
    number = await created(federation, LANGFANG, region="131082")
    assert (await copy_of(federation, LANGFANG, number)).custodian == LANGFANG
    [child] = child_numbers(await split(federation, LANGFANG, number, help_of("120101")))
    assert (await copy_of(federation, TIANJIN, child)).custodian == TIANJIN
    assert (await copy_of(federation, HEBEI, child)).followed
    assert (await copy_of(federation, LANGFANG, child)).custodian == TIANJIN

    await handled(federation, TIANJIN, child)
    at_parent = await copy_of(federation, LANGFANG, child)
    assert at_parent.state is TicketState.CLOSED
    assert "child.closed" in await events_of(federation, LANGFANG, number)


@BOTH
async def test_the_genesis_of_a_child_cites_the_act_that_split_it_off(
    hosts: Mapping[str, Sequence[str]],
) -> None:
    federation = a_federation(hosts)
    number = await created(federation, TIANJIN, region="120101")
    [child] = child_numbers(await split(federation, TIANJIN, number, help_of("131082")))
    rows = federation.node_of(TIANJIN).database.rows(custody_store.STATEMENTS)  # type: ignore[attr-defined] # memory
    statements = [
        statement_from_bytes(row.statement)
        for row in rows
        if (row.kind, row.ticket, row.issuer, row.scope) == ("Genesis", child, TIANJIN, TIANJIN)
    ]
    genesis = body_from_bytes("Genesis", statements[0].body)
    assert (genesis.parent, genesis.split_index) == (number, 1)  # type: ignore[union-attr] # a Genesis
    assert str(genesis.split_epoch) == "0.0"  # type: ignore[union-attr] # a Genesis


@pytest.mark.parametrize("region", ["131082", "120102"], ids=["elsewhere", "here"])
async def test_a_late_child_is_due_when_its_parent_is(region: str) -> None:
    federation = a_federation(SPLIT)
    number = await created(federation, TIANJIN, region="120101")
    federation.clock.advance(timedelta(days=6))
    [child] = child_numbers(await split(federation, TIANJIN, number, help_of(region)))
    due = (await copy_of(federation, TIANJIN, number)).due_time
    copies = [await copy_of(federation, TIANJIN, child)]
    assert copies[0].first_dispatch_time is not None
    if region == "131082":
        copies.append(await copy_of(federation, LANGFANG, child))
    assert {copy.due_time for copy in copies} == {due}
    assert all(copy.dispatch_due_time <= due for copy in copies)


async def test_a_parent_waits_for_its_children_before_it_ends() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="120101")
    [child] = child_numbers(await split(federation, TIANJIN, number, help_of("131082")))
    node, person, target = federation.node_of(TIANJIN), a_person(TIANJIN), Target(number=number)
    desk = node.dispatch.citizens.desk

    with pytest.raises(TransitionNotAllowed, match=child):
        async with node.database.unit() as uow:
            await node.dispatch.acting.answer_window(uow, TIANJIN, number, federation.clock.now())
    answer = await desk.take(a_call(person, "WithdrawTicket"), target, kind=CitizenActKind.WITHDRAW)
    refused = ticket_pb2.Ticket.FromString(answer)
    assert refused.citizen_acts[0].refusal == "TRANSITION_NOT_ALLOWED"

    await handled(federation, TIANJIN, number)
    assert (await copy_of(federation, TIANJIN, number)).state is TicketState.RESOLVED
    for attempt in (
        desk.rate(a_call(person, "RateTicket"), target, rating=a_rating()),
        node.dispatch.handling.close(a_call(person, "CloseTicket"), target),
    ):
        with pytest.raises(TransitionNotAllowed, match=child):
            await attempt
    await handled(federation, LANGFANG, child)
    await desk.rate(a_call(person, "RateTicket"), target, rating=a_rating())
    assert (await copy_of(federation, TIANJIN, number)).state is TicketState.CLOSED


async def test_a_rule_asks_each_region_for_help_once(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = a_federation()
    node = federation.node_of(TIANJIN)
    with_help(monkeypatch, node, "131082", "131082")
    number = await created(federation, TIANJIN, region="120101", text="电话13900000017，测试")
    reader = node.dispatch.reader
    shown = await reader.get(a_person(TIANJIN), number, purpose="")
    [child] = shown.children
    assert child.custodian == LANGFANG
    content, _ = await content_of(federation, LANGFANG, child.number)
    assert content.title.startswith("协办：")
    assert "13900000017" not in content.content

    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{number}")
        ticket = await node.room.tickets.get(uow, TIANJIN, number)
        await node.dispatch.acting.route(uow, ticket, source=None, now=federation.clock.now())
    await federation.settle()
    again = await reader.get(a_person(TIANJIN), number, purpose="")
    assert [item.number for item in again.children] == [child.number]


async def test_rules_ask_no_help_for_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = a_federation()
    with_help(monkeypatch, federation.node_of(TIANJIN), "131082")
    with_help(monkeypatch, federation.node_of(LANGFANG), "120101")
    number = await created(federation, TIANJIN, region="120101")
    shown = await federation.node_of(TIANJIN).dispatch.reader.get(
        a_person(TIANJIN), number, purpose=""
    )
    [child] = shown.children
    helper = await federation.node_of(LANGFANG).dispatch.reader.get(
        a_person(LANGFANG), child.number, purpose=""
    )
    assert helper.children == ()


def with_help(monkeypatch: pytest.MonkeyPatch, node: Node, *regions: str) -> None:
    """Let every decision to assign ask these regions for help."""
    router = node.dispatch.acting._router  # no pack of the project asks here
    decide = router.decide

    def with_regions(*given: object, **named: object) -> Decision:
        decision = decide(*given, **named)  # type: ignore[arg-type] # as it was called
        is_assign = decision.action.name == "ASSIGN"
        return replace(decision, help_regions=regions) if is_assign else decision

    monkeypatch.setattr(router, "decide", with_regions)


async def test_a_child_has_no_children() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="120101")
    [child] = child_numbers(await split(federation, TIANJIN, number, help_of("131082")))
    with pytest.raises(TransitionNotAllowed, match="never passed on"):
        await split(federation, LANGFANG, child, help_of("120101"))


async def test_children_are_few() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="120101")
    await split(federation, TIANJIN, number, *[help_of("131082") for _ in range(CHILDREN_MAX)])
    with pytest.raises(QuotaExceeded):
        await split(federation, TIANJIN, number, help_of("131082"))
    rows = federation.node_of(TIANJIN).database.tables["ticket_copies"].values()  # type: ignore[attr-defined] # memory
    assert sum(row.parent == number and row.authority == TIANJIN for row in rows) == CHILDREN_MAX


async def test_an_issue_of_its_own_keeps_the_caller_and_is_rated() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="120101")
    wanted = help_of("120102", purpose=TicketPurpose.ISSUE)
    [child] = child_numbers(await split(federation, TIANJIN, number, wanted))
    _, citizen = await content_of(federation, TIANJIN, child)
    assert citizen
    await handled(federation, TIANJIN, child)
    assert (await copy_of(federation, TIANJIN, child)).state is TicketState.RESOLVED


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (help_of("999999"), FieldInvalid),
        (help_of("131082", matter="999999"), FieldInvalid),
    ],
    ids=["unknown region", "unknown matter"],
)
async def test_a_split_that_names_nothing_real_is_refused(
    wanted: Wanted, error: type[Exception]
) -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="120101")
    with pytest.raises(error):
        await split(federation, TIANJIN, number, wanted)


async def test_only_the_custodian_splits() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="131082")
    with pytest.raises((NotCustodian, TransitionNotAllowed)):
        await split(federation, TIANJIN, number, help_of("120101"))
    by = a_person(LANGFANG, Role.CLERK)
    with pytest.raises(RoleMissing):
        await split(federation, LANGFANG, number, help_of("120101"), by=by)


@BOTH
async def test_a_rating_of_the_origin_waits_for_the_children_and_is_not_lost(
    hosts: Mapping[str, Sequence[str]],
) -> None:
    federation = a_federation(hosts)
    number = await created(federation, TIANJIN, region="131082")
    [child] = child_numbers(await split(federation, LANGFANG, number, help_of("120101")))
    await handled(federation, LANGFANG, number)
    desk = federation.node_of(TIANJIN).dispatch.citizens.desk
    target = Target(number=number)
    await desk.rate(a_call(a_platform(TIANJIN), "RateTicket"), target, rating=a_rating())
    await federation.settle()
    waiting = await copy_of(federation, LANGFANG, number)
    assert waiting.state is TicketState.RESOLVED
    assert [(item.applied, item.refusal) for item in waiting.citizen_acts] == [(False, "")]
    await handled(federation, TIANJIN, child)
    for authority in (LANGFANG, HEBEI, TIANJIN):
        copy = await copy_of(federation, authority, number)
        assert copy.state is TicketState.CLOSED
        assert copy.rating is not None


async def test_help_hears_no_address_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = a_federation()
    with_help(monkeypatch, federation.node_of(TIANJIN), "131082")
    message = a_message(region="120101")
    message.citizen.email = "ceshi@example.test"
    message.content.content = "请回复 ceshi@example.test 或 139 0000-0017，测试"
    ticket = await federation.create(a_platform(TIANJIN), message)
    await federation.settle()
    [child] = child_numbers(ticket)
    content, _ = await content_of(federation, LANGFANG, child)
    assert "ceshi" not in content.content
    assert "0017" not in content.content


async def test_who_only_assists_ends_nothing() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="120101")
    node, target = federation.node_of(TIANJIN), Target(number=number)
    async with node.database.unit() as uow:
        ticket = await node.room.tickets.get(uow, TIANJIN, number)
        assert ticket.lead is not None
        helper = replace(
            ticket.lead,
            number=len(ticket.assignments) + 1,
            role=AssignmentRole.ASSIST,
            state=AssignmentState.SIGNED,
            platform="120000-p9",
        )
        assignments = (*ticket.assignments, helper)
        node.room.tickets.save(uow, Change(replace(ticket, assignments=assignments)))
    await handled(federation, TIANJIN, number)
    assisting = a_platform(TIANJIN, "120000-p9")
    for attempt in (
        node.dispatch.citizens.desk.rate(
            a_call(assisting, "RateTicket"), target, rating=a_rating()
        ),
        node.dispatch.handling.close(a_call(assisting, "CloseTicket"), target),
    ):
        with pytest.raises(RoleMissing):
            await attempt


async def test_children_of_a_city_are_known_to_its_province() -> None:
    federation = a_federation(SPLIT)
    number = await created(federation, TIANJIN, region="131082")
    [child] = child_numbers(await split(federation, LANGFANG, number, help_of("120101")))
    node = federation.node_of(HEBEI)
    async with node.database.unit() as uow:
        known = await node.room.tickets.children(uow, HEBEI, number)
        assert [item.number for item in known] == [child]
        parent = await node.room.tickets.get(uow, HEBEI, number)
        with pytest.raises(TransitionNotAllowed, match=child):  # also after a HOME ruling
            await node.dispatch.acting._splitting.require_done(uow, parent, "close")
        node.room.tickets.save(uow, Change(replace(parent, followed=False)))
    await handled(federation, TIANJIN, child)
    assert "child.closed" in await events_of(federation, HEBEI, number)


async def test_children_of_a_parent_that_a_ruling_moved_stay_and_end_where_they_are() -> None:
    federation = a_federation()
    number = await created(federation, TIANJIN, region="120101")
    [child] = child_numbers(await split(federation, TIANJIN, number, help_of("131082")))
    node = federation.node_of(TIANJIN)
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{number}")
        released = Released(ChainKey(TIANJIN, number, TIANJIN, 1), Epoch(1, 0), HEBEI)
        await node.dispatch.reactions.react(uow, (released,), now=federation.clock.now())
    assert (await events_of(federation, TIANJIN, number)).count("child.kept") == 1
    await handled(federation, LANGFANG, child)
    assert (await copy_of(federation, TIANJIN, child)).state is TicketState.CLOSED
    parent = await copy_of(federation, TIANJIN, number)
    assert parent.followed
    assert (await events_of(federation, TIANJIN, number))[-1] == "child.closed"
