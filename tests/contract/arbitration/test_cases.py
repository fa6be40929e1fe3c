"""Cases are filed, read, listed, ruled and closed alike on both engines, through the servicer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.arbitration.model import CaseKey, Filing, TicketFacts
from gateway.arbitration.store import CASES, RULINGS
from gateway.custody.model import CaseVoid, ChainKey
from gateway.database.timers import TIMERS, TimerRunner
from gateway.database.uow import Database
from gateway.kernel.codes import CaseState, Urgency
from gateway.kernel.errors import (
    DestinationNotJoined,
    EtagMismatch,
    FieldInvalid,
    LubiaoError,
    PageTokenInvalid,
    PeerNotAllowed,
    RequestIdReused,
    ResourceNotFound,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.trust.principal import Principal, PrincipalKind, Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2
from tests.contract.arbitration.builders import IDS, PANEL, Desk, a_desk
from tests.unit.arbitration.builders import (
    BAODING,
    HEBEI,
    LANGFANG,
    NATION,
    NOW,
    SHIJIAZHUANG,
    TICKET,
    a_filing,
)

CONTEXT: Any = None
NAME = f"cases/{a_filing().key.case}"
UPHOLD = custody_pb2.Ruling.KIND_UPHOLD
REASSIGN = custody_pb2.Ruling.KIND_REASSIGN
INTERIM = custody_pb2.Ruling.KIND_INTERIM
DUE_TIMER = "arbitration.due"


@pytest.fixture
def desk(database: Database) -> Desk:
    return a_desk(database)


def a_request(**changes: Any) -> pb.IssueRulingRequest:
    given: dict[str, Any] = {
        "name": NAME,
        "kind": REASSIGN,
        "target": LANGFANG,
        "legal_basis": "属地管理原则（测试）",
        "reasons": "事发地在该市辖区内（测试）。",
        "request_id": IDS.uuid7(NOW),
    }
    return pb.IssueRulingRequest(**(given | changes))


async def issued(desk: Desk, **changes: Any) -> case_pb2.Case:
    return (await desk.room.servicer.IssueRuling(a_request(**changes), CONTEXT)).case


async def got(desk: Desk, name: str = NAME) -> case_pb2.Case:
    return (await desk.room.servicer.GetCase(pb.GetCaseRequest(name=name), CONTEXT)).case


async def listed(desk: Desk, **given: Any) -> pb.ListCasesResponse:
    return await desk.room.servicer.ListCases(pb.ListCasesRequest(**given), CONTEXT)


def staff(authority: str, *roles: Role, outsourced: bool = False) -> Principal:
    return Principal(
        AuthorityCode(authority), PrincipalKind.STAFF, "s1", frozenset(roles), outsourced
    )


def another(number: int, **changes: Any) -> Filing:
    ticket = TicketNumber(f"1301002026030200000{number:03d}1")
    key = CaseKey(HEBEI, f"{ticket}-130000-1-0")
    return replace(a_filing(key=key, ticket=ticket), **changes)


# --- filing -----------------------------------------------------------------------------------


async def test_a_filing_makes_a_case_file_of_codes(desk: Desk) -> None:
    await desk.file(a_filing())
    case = await got(desk)
    assert (case.scope, case.ticket, case.chain) == (HEBEI, TICKET, 1)
    assert case.state == case_pb2.Case.STATE_FILED
    assert case.ground == case_pb2.Case.GROUND_PLACE
    assert (list(case.filers), list(case.path)) == ([SHIJIAZHUANG], [BAODING, SHIJIAZHUANG])
    assert list(case.proposed_targets) == [BAODING]
    assert case.responsible == SHIJIAZHUANG
    assert (case.facts.matter, case.facts.region) == ("041200", "131082")
    assert case.facts.due_time.ToJsonString() == "2026-03-20T09:30:00Z"
    assert case.ruling_due_time.ToJsonString() == "2026-03-05T09:30:00Z"
    assert not case.rulings


async def test_a_second_party_joins_the_case_and_a_repeat_does_not(desk: Desk) -> None:
    await desk.file(a_filing())
    first = await got(desk)
    await desk.file(a_filing())
    assert (await got(desk)).etag == first.etag
    await desk.file(a_filing(filer=LANGFANG, proposed_target=None, path=()))
    joined = await got(desk)
    assert list(joined.filers) == [SHIJIAZHUANG, LANGFANG]
    assert joined.etag != first.etag
    assert [row.act for row in await desk.audited()].count("case.filed") == 1


async def test_one_chain_has_one_open_case_whatever_number_a_filing_has(desk: Desk) -> None:
    await desk.file(a_filing())
    again = CaseKey(HEBEI, f"{TICKET}-130000-1-0-2")
    await desk.file(a_filing(key=again, filer=LANGFANG, proposed_target=None, path=()))
    [case] = (await listed(desk)).cases
    assert case.name == NAME
    assert list(case.filers) == [SHIJIAZHUANG, LANGFANG]


async def test_a_case_that_was_joined_under_another_number_ends_with_its_chain(desk: Desk) -> None:
    await desk.file(a_filing())
    other = f"{TICKET}-130000-1-0-2"
    await desk.file(a_filing(key=CaseKey(HEBEI, other), filer=LANGFANG))
    event = CaseVoid(ChainKey(HEBEI, TICKET, HEBEI, 1), other)
    async with desk.database.unit() as uow:
        await uow.lock(f"ticket/{TICKET}")
        await desk.room.arbitration.react(uow, [event], now=desk.clock.now())
    [case] = (await listed(desk)).cases
    assert case.state == case_pb2.Case.STATE_WITHDRAWN


async def test_what_ended_an_earlier_dispute_ends_no_later_one(desk: Desk) -> None:
    """Its own case was never opened here: the ticket had moved by consent before it was heard."""
    later = f"{TICKET}-130000-1-1.1"  # by the one that took the ticket at 1.1
    await desk.file(a_filing(key=CaseKey(HEBEI, later)))
    event = CaseVoid(ChainKey(HEBEI, TICKET, HEBEI, 1), f"{TICKET}-130000-1-1")
    async with desk.database.unit() as uow:
        await uow.lock(f"ticket/{TICKET}")
        await desk.room.arbitration.react(uow, [event], now=desk.clock.now())
    [case] = (await listed(desk)).cases
    assert case.state == case_pb2.Case.STATE_FILED


async def test_a_ruling_of_a_later_case_ends_what_an_earlier_one_ruled(desk: Desk) -> None:
    await desk.file(a_filing())
    await issued(desk)  # and its target is down
    later = CaseKey(HEBEI, f"{TICKET}-130000-1-1")
    await desk.file(a_filing(key=later))
    await issued(desk, name=later.name, target=BAODING)
    assert (await got(desk)).state == case_pb2.Case.STATE_CLOSED
    assert (await got(desk, later.name)).state == case_pb2.Case.STATE_RULED


async def test_a_new_dispute_after_the_ruling_is_another_case(desk: Desk) -> None:
    await desk.file(a_filing())
    await issued(desk)
    await desk.take(a_filing(), 1)
    await desk.file(a_filing(key=CaseKey(HEBEI, f"{TICKET}-130000-1-1")))
    assert len((await listed(desk)).cases) == 2


@pytest.mark.parametrize(
    "filing",
    [
        a_filing(ticket=TicketNumber("13010020260302000000021")),
        a_filing(key=CaseKey(HEBEI, "no name/at all")),
    ],
    ids=["of another ticket", "no resource name"],
)
async def test_a_misnamed_filing_opens_nothing_and_is_noted(desk: Desk, filing: Filing) -> None:
    await desk.file(a_filing())
    await desk.file(filing)
    assert [case.name for case in (await listed(desk)).cases] == [NAME]
    assert [row.outcome for row in await desk.audited() if row.act == "case.misnamed"] == [
        "FIELD_INVALID"
    ]


async def test_nobody_takes_the_number_of_another_ticket_s_case(desk: Desk) -> None:
    own = a_filing()
    other = TicketNumber("13010020260302000000021")
    await desk.file(a_filing(ticket=other))  # names the case that the other ticket will have
    await desk.file(own)
    [case] = (await listed(desk)).cases
    assert (case.name, case.ticket) == (NAME, own.ticket)


# --- reading ----------------------------------------------------------------------------------


async def test_every_reading_is_an_audit_row(desk: Desk) -> None:
    await desk.file(a_filing())
    await got(desk)
    await listed(desk)
    rows = [row for row in await desk.audited() if row.act in {"case.read", "case.list"}]
    assert [(row.act, row.subject, row.principal) for row in rows] == [
        ("case.read", NAME, PANEL.name),
        ("case.list", "cases/-", PANEL.name),
    ]


async def test_parties_see_their_case_and_strangers_do_not_learn_of_it(desk: Desk) -> None:
    await desk.file(a_filing())
    for authority in (SHIJIAZHUANG, BAODING):
        desk.caller = staff(authority, Role.SUPERVISOR)
        assert (await got(desk)).name == NAME
        assert [case.name for case in (await listed(desk)).cases] == [NAME]
    desk.caller = staff(LANGFANG, Role.PANEL_MEMBER)
    assert not (await listed(desk)).cases
    with pytest.raises(ResourceNotFound):
        await got(desk)
    with pytest.raises(ResourceNotFound):
        await issued(desk)


async def test_lists_are_newest_first_paged_and_narrowed(desk: Desk) -> None:
    for number in range(5):
        await desk.file(another(number))
        desk.clock.advance(timedelta(seconds=1))
    await issued(desk, name=another(2).key.name)
    names: list[str] = []
    token, pages = "", 0
    while pages == 0 or token:
        page = await listed(desk, page_size=2, page_token=token)
        names += [case.name for case in page.cases]
        token, pages = page.next_page_token, pages + 1
    assert names == [another(number).key.name for number in (4, 3, 2, 1, 0)]
    assert pages == 3
    filed = (await listed(desk, filter='state = "FILED"')).cases
    assert another(2).key.name not in [case.name for case in filed]
    assert len(filed) == 4
    assert not (await listed(desk, filter="overdue = true")).cases
    desk.clock.advance(timedelta(days=7))
    late = (await listed(desk, filter="overdue = true AND state = FILED")).cases
    assert [case.overdue for case in late] == [True] * 4
    assert len((await listed(desk, filter="overdue = false")).cases) == 1


async def test_a_page_token_is_good_for_its_list_only(desk: Desk) -> None:
    for number in range(2):
        await desk.file(another(number))
    token = (await listed(desk, page_size=1)).next_page_token
    with pytest.raises(PageTokenInvalid):
        await listed(desk, page_token=token, filter="overdue = false")
    desk.caller = staff(BAODING, Role.SUPERVISOR)
    with pytest.raises(PageTokenInvalid):
        await listed(desk, page_token=token)


# --- ruling -----------------------------------------------------------------------------------


async def test_a_ruling_is_given_to_custody_and_recorded(desk: Desk) -> None:
    await desk.file(a_filing())
    answer = await issued(desk, mandates=[BAODING])
    [told] = desk.ruler.told
    assert (told["scope"], told["ticket"], told["number"]) == (HEBEI, TICKET, 1)
    assert (told["kind"], told["target"], told["offers_allowed"]) == (REASSIGN, LANGFANG, False)
    assert told["mandates"] == (BAODING,)
    assert told["case"] == a_filing().key.case
    assert answer.state == case_pb2.Case.STATE_RULED
    assert not answer.HasField("ruling_due_time")
    assert answer.responsible == SHIJIAZHUANG
    [row] = [row for row in await desk.audited() if row.act == "case.rule"]
    assert (row.principal, row.role, row.subject) == (PANEL.name, "panel-member", NAME)
    assert row.basis == "属地管理原则（测试）"


async def test_reasons_are_sealed_at_rest_and_shown_in_the_case_file_only(desk: Desk) -> None:
    await desk.file(a_filing())
    reasons = a_request().reasons
    assert [ruling.reasons for ruling in (await issued(desk)).rulings] == [""]
    assert [ruling.reasons for ruling in (await got(desk)).rulings] == [reasons]
    [case] = (await listed(desk)).cases
    assert [ruling.reasons for ruling in case.rulings] == [""]
    async with desk.database.unit() as uow:
        row = await uow.get(RULINGS, HEBEI, a_filing().key.case, 1)
    assert row is not None
    assert reasons.encode() not in row.reasons


async def test_the_same_request_again_gets_the_first_answer(desk: Desk) -> None:
    await desk.file(a_filing())
    request = a_request()
    servicer = desk.room.servicer
    first = await servicer.IssueRuling(request, CONTEXT)
    assert await servicer.IssueRuling(request, CONTEXT) == first
    assert len(desk.ruler.told) == 1
    request.target = BAODING
    with pytest.raises(RequestIdReused):
        await servicer.IssueRuling(request, CONTEXT)


async def test_the_case_closes_when_the_target_has_the_ticket(desk: Desk) -> None:
    await desk.file(a_filing())
    await issued(desk)
    desk.clock.advance(timedelta(minutes=5))
    await desk.take(a_filing(), 1)
    await desk.take(a_filing(), 1)
    await desk.take(a_filing(), 7)  # a HOME ruling has no case
    case = await got(desk)
    assert case.state == case_pb2.Case.STATE_CLOSED
    assert case.responsible == LANGFANG
    assert case.close_time.ToJsonString() == "2026-03-02T02:05:00Z"
    assert case.rulings[0].take_time == case.close_time
    with pytest.raises(TransitionNotAllowed):
        await issued(desk, target=BAODING)


async def test_a_case_whose_chain_went_home_or_closed_is_withdrawn_and_rings_no_alarm(
    desk: Desk,
) -> None:
    await desk.file(a_filing())
    key = ChainKey(HEBEI, TICKET, HEBEI, 1)
    events = (CaseVoid(key, a_filing().key.case), CaseVoid(key, "one-that-nobody-knows"))
    for _ in range(2):
        async with desk.database.unit() as uow:
            await uow.lock(f"ticket/{TICKET}")
            await desk.room.arbitration.react(uow, events, now=desk.clock.now())
    case = await got(desk)
    assert case.state == case_pb2.Case.STATE_WITHDRAWN
    assert not case.HasField("ruling_due_time")
    with pytest.raises(TransitionNotAllowed):
        await issued(desk, target=BAODING)


async def test_an_interim_order_leaves_the_ruling_proper_due(desk: Desk) -> None:
    urgent = a_filing(facts=TicketFacts(urgency=Urgency.URGENT))
    await desk.file(urgent)
    assert (await got(desk)).ruling_due_time.ToJsonString() == "2026-03-02T04:00:00Z"
    case = await issued(desk, kind=INTERIM, target=SHIJIAZHUANG)
    assert case.state == case_pb2.Case.STATE_FILED
    assert case.ruling_due_time.ToJsonString() == "2026-03-05T09:30:00Z"
    await desk.take(urgent, 1)
    closed = await issued(desk, kind=UPHOLD, target=SHIJIAZHUANG)
    assert closed.state == case_pb2.Case.STATE_RULED
    assert [ruling.number for ruling in closed.rulings] == [1, 2]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"target": "120000"}, FieldInvalid),
        ({"target": "100000"}, FieldInvalid),
        ({"target": "130200"}, DestinationNotJoined),
        ({"mandates": ["120000"]}, FieldInvalid),
        ({"mandates": ["130200"]}, DestinationNotJoined),
        ({"kind": UPHOLD, "target": BAODING}, FieldInvalid),
        ({"kind": REASSIGN, "target": SHIJIAZHUANG}, FieldInvalid),
        ({"kind": custody_pb2.Ruling.KIND_HOME}, FieldInvalid),
        ({"reasons": ""}, FieldInvalid),
        ({"legal_basis": ""}, FieldInvalid),
        ({"etag": "7"}, EtagMismatch),
        ({"name": "cases/none"}, ResourceNotFound),
    ],
)
async def test_a_ruling_that_cannot_be_is_refused_and_changes_nothing(
    desk: Desk, changes: dict[str, Any], error: type[LubiaoError]
) -> None:
    await desk.file(a_filing())
    with pytest.raises(error):
        await issued(desk, **changes)
    assert not desk.ruler.told
    assert (await got(desk)).state == case_pb2.Case.STATE_FILED


@pytest.mark.parametrize(
    ("caller", "error"),
    [
        (staff(HEBEI, Role.SUPERVISOR), RoleMissing),
        (staff(HEBEI, Role.PANEL_MEMBER, outsourced=True), RoleMissing),
        (Principal(HEBEI, PrincipalKind.PLATFORM, "p1"), RoleMissing),
        (staff(SHIJIAZHUANG, Role.PANEL_MEMBER), PeerNotAllowed),
    ],
)
async def test_only_the_panel_of_the_arbiter_rules(
    desk: Desk, caller: Principal, error: type[LubiaoError]
) -> None:
    await desk.file(a_filing())
    desk.caller = caller
    with pytest.raises(error):
        await issued(desk)
    assert not desk.ruler.told


async def test_provinces_are_ruled_between_by_the_nation(desk: Desk) -> None:
    key = CaseKey(NATION, f"{a_filing().ticket}-100000-1-0")
    filing = a_filing(key=key, filer=HEBEI, path=(HEBEI,), proposed_target="120000")
    await desk.file(filing)
    desk.caller = staff(NATION, Role.PANEL_MEMBER)
    for target in (BAODING, NATION):
        with pytest.raises(FieldInvalid):
            await issued(desk, name=key.name, target=target)
    case = await issued(desk, name=key.name, target="120000")
    assert case.rulings[0].target == "120000"


# --- the alarm --------------------------------------------------------------------------------


async def alarms(desk: Desk) -> list[str]:
    runner = TimerRunner(database=desk.database, clock=desk.clock, handlers=dict(desk.room.timers))
    await runner.run_due()
    return [row.subject for row in await desk.audited() if row.act == "case.overdue"]


async def test_a_late_ruling_raises_the_alarm_once(desk: Desk) -> None:
    await desk.file(a_filing())
    assert await alarms(desk) == []
    desk.clock.advance(timedelta(days=4))
    assert await alarms(desk) == [NAME]
    assert await alarms(desk) == [NAME]


async def test_a_ruled_case_raises_none(desk: Desk) -> None:
    await desk.file(a_filing())
    await issued(desk)
    async with desk.database.unit() as uow:
        key = f"{TICKET}/{HEBEI}/{a_filing().key.case}"
        assert await uow.get(TIMERS, DUE_TIMER, key) is None
    desk.clock.advance(timedelta(days=9))
    assert await alarms(desk) == []


async def test_an_alarm_that_an_interim_order_put_off_is_not_given_yet(desk: Desk) -> None:
    await desk.file(a_filing(facts=TicketFacts(urgency=Urgency.URGENT)))
    await issued(desk, kind=INTERIM, target=SHIJIAZHUANG)
    key = f"{TICKET}/{HEBEI}/{a_filing().key.case}"
    async with desk.database.unit() as uow:
        await desk.room.timers[DUE_TIMER].handle(uow, key=key, now=NOW + timedelta(hours=3))
    assert await alarms(desk) == []
    desk.clock.advance(timedelta(days=4))
    assert await alarms(desk) == [NAME]


async def test_an_alarm_that_was_on_its_way_when_the_ruling_came_is_not_given(desk: Desk) -> None:
    await desk.file(a_filing())
    await issued(desk)
    key = f"{TICKET}/{HEBEI}/{a_filing().key.case}"
    async with desk.database.unit() as uow:
        await desk.room.timers[DUE_TIMER].handle(uow, key=key, now=NOW + timedelta(days=9))
    assert await alarms(desk) == []


async def test_no_state_is_stored_that_the_standard_does_not_have(desk: Desk) -> None:
    await desk.file(a_filing())
    async with desk.database.unit() as uow:
        row = await uow.get(CASES, HEBEI, a_filing().key.case)
    assert row is not None
    assert CaseState(row.state) is CaseState.FILED
