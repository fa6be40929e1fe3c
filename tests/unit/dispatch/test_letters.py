"""Acts of the citizen find the custodian wherever it is, and are carried out once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from gateway.custody.letters import a_letter
from gateway.custody.model import ChainKey, LetterKind, LettersSaid, OfferReason
from gateway.kernel.codes import CitizenActKind, TicketState
from gateway.kernel.errors import QuotaExceeded, RoleMissing, TransitionNotAllowed
from gateway.kernel.ids import NATION
from gateway.tickets.model import CITIZEN_ACTS_MAX, letter_key
from gateway.trust.principal import Role
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.nodes import a_person, a_platform
from tests.unit.dispatch.letters import (
    FAR_HOSTED,
    FAR_SPLIT,
    HEBEI,
    JIANGSU,
    LANGFANG,
    SHIJIAZHUANG,
    SUZHOU,
    TIANJIN,
    Story,
    a_far_story,
    a_story,
)

BOTH = pytest.mark.parametrize("hosts", [FAR_HOSTED, FAR_SPLIT], ids=["hosted", "split"])
Kind = CitizenActKind


@BOTH
async def test_a_supplement_goes_from_city_to_city_over_both_provinces(
    hosts: Mapping[str, Sequence[str]],
) -> None:
    story = await a_far_story(hosts)
    due = (await story.copy(SHIJIAZHUANG)).due_time
    await story.take(Kind.SUPPLEMENT, "测试补充：门牌已更换")
    await story.take(Kind.URGE, "测试催办")

    at_unit = await story.copy(SUZHOU)
    assert [(item.number, item.kind, item.applied) for item in at_unit.citizen_acts] == [
        (1, Kind.SUPPLEMENT, True),
        (2, Kind.URGE, True),
    ]
    letters = (await story.texts(SUZHOU)).letters
    assert letters[letter_key("act", 1)] == "测试补充：门牌已更换"
    events = await story.events(SUZHOU)
    assert (events.count("citizen.supplemented"), events.count("citizen.urged")) == (1, 1)
    for authority in (SHIJIAZHUANG, HEBEI, JIANGSU):
        known = await story.copy(authority)
        assert [item.applied for item in known.citizen_acts] == [True, True], authority
        assert "citizen.supplemented" not in await story.events(authority)
    assert (await story.copy(SHIJIAZHUANG)).due_time == due
    assert story.federation.delivered.count("CitizenAct") <= 6


@BOTH
async def test_a_rating_of_the_origin_reopening_and_rating_again(
    hosts: Mapping[str, Sequence[str]],
) -> None:
    story = await a_far_story(hosts)
    await story.resolve(SUZHOU)
    await story.take(Kind.REOPEN, "测试：未解决")
    assert (await story.copy(SUZHOU)).state is TicketState.REOPENED
    assert (await story.copy(SHIJIAZHUANG)).state is TicketState.REOPENED

    await story.resolve(SUZHOU, signs=False)
    await story.rate()
    for authority in (SUZHOU, JIANGSU, HEBEI, SHIJIAZHUANG):
        copy = await story.copy(authority)
        assert copy.state is TicketState.CLOSED, authority
        assert copy.rating is not None


@BOTH
async def test_a_withdrawal_ends_the_ticket_at_its_custodian(
    hosts: Mapping[str, Sequence[str]],
) -> None:
    story = await a_far_story(hosts)
    await story.take(Kind.WITHDRAW)
    for authority in (SUZHOU, JIANGSU, HEBEI, SHIJIAZHUANG):
        assert (await story.copy(authority)).state is TicketState.WITHDRAWN, authority
    assert (await story.copy(SUZHOU)).lead is None


async def test_the_origin_carries_out_at_once_what_it_holds() -> None:
    story = await a_story(TIANJIN, "120101")
    await story.take(Kind.SUPPLEMENT, "测试补充")
    answer = await story.take(Kind.WITHDRAW)
    assert answer.state == ticket_pb2.Ticket.STATE_WITHDRAWN
    assert [act.applied for act in answer.citizen_acts] == [True, True]
    assert not story.federation.delivered


async def test_an_act_for_a_ticket_that_ended_is_refused_where_everybody_sees_it() -> None:
    story = await a_far_story(FAR_SPLIT)
    await story.take(Kind.REOPEN, "测试：还没有办")  # it is not resolved yet
    copy = await story.copy(SUZHOU)
    assert copy.citizen_acts[0].refusal == "TRANSITION_NOT_ALLOWED"
    at_origin = await story.copy(SHIJIAZHUANG)
    assert at_origin.citizen_acts[0].refusal == "TRANSITION_NOT_ALLOWED"
    assert "citizen.refused" in await story.events(SHIJIAZHUANG)

    await story.take(Kind.WITHDRAW)
    answer = await story.take(Kind.URGE, "测试催办")
    assert answer.citizen_acts[2].refusal == "TRANSITION_NOT_ALLOWED"
    assert len((await story.copy(SUZHOU)).citizen_acts) == 2


async def test_an_act_under_way_when_custody_moves_reaches_the_new_custodian_once() -> None:
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    assert not (await story.copy(HEBEI)).followed
    await story.offer(HEBEI, LANGFANG, settles=False)
    await story.take(Kind.URGE, "测试催办", settles=False)
    await story.take(Kind.WITHDRAW, "测试撤诉", settles=False)
    await story.federation.settle()
    # The offer waits for a person: care at once, the end of the ticket only when it is decided.
    held = await story.copy(HEBEI)
    assert not held.followed
    assert [item.applied for item in held.citizen_acts] == [True, False]
    assert held.state is not TicketState.WITHDRAWN
    await story.decide(LANGFANG, accepts=True)
    at_city = await story.copy(LANGFANG)
    assert at_city.state is TicketState.WITHDRAWN
    assert [item.applied for item in at_city.citizen_acts] == [True, True]
    assert (await story.copy(TIANJIN)).state is TicketState.WITHDRAWN
    assert (await story.events(LANGFANG)).count("ticket.withdrawn") == 1
    assert "ticket.withdrawn" not in await story.events(HEBEI)


async def test_what_waited_for_a_declined_offer_is_carried_out_by_the_sender() -> None:
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    await story.offer(HEBEI, LANGFANG)
    await story.take(Kind.WITHDRAW, "测试撤诉")
    assert not (await story.copy(HEBEI)).citizen_acts[0].applied
    await story.decide(LANGFANG, accepts=False)
    assert (await story.copy(HEBEI)).state is TicketState.WITHDRAWN
    assert (await story.copy(TIANJIN)).state is TicketState.WITHDRAWN


async def test_a_later_custodian_sees_earlier_supplements_and_repeats_nothing() -> None:
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    await story.take(Kind.SUPPLEMENT, "测试补充一")
    await story.offer(HEBEI, LANGFANG)
    await story.decide(LANGFANG, accepts=True)
    at_city = await story.copy(LANGFANG)
    assert [(item.kind, item.applied) for item in at_city.citizen_acts] == [(Kind.SUPPLEMENT, True)]
    assert (await story.texts(LANGFANG)).letters[letter_key("act", 1)] == "测试补充一"
    assert "citizen.supplemented" not in await story.events(LANGFANG)
    await story.take(Kind.SUPPLEMENT, "测试补充二")
    assert (await story.events(LANGFANG)).count("citizen.supplemented") == 1


async def test_letters_do_not_go_back_to_whom_they_came_through() -> None:
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    await story.take(Kind.SUPPLEMENT, "测试补充")
    await story.offer(HEBEI, LANGFANG)
    await story.decide(LANGFANG, accepts=True)
    sent = story.federation.delivered.count("CitizenAct")
    await story.offer(LANGFANG, HEBEI, reason=OfferReason.ESCALATE)
    assert not (await story.copy(HEBEI)).followed
    assert story.federation.delivered.count("CitizenAct") == sent + 1  # 天津 alone says it again
    await story.take(Kind.URGE)
    assert [item.applied for item in (await story.copy(HEBEI)).citizen_acts] == [True, True]


async def test_what_waits_at_a_province_is_carried_out_when_the_ticket_comes_home() -> None:
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    await story.offer(HEBEI, LANGFANG)
    await story.decide(LANGFANG, accepts=True)
    await story.offer(LANGFANG, HEBEI, reason=OfferReason.ESCALATE, settles=False)
    await story.take(Kind.WITHDRAW, settles=False)
    federation = story.federation
    await federation.carry(federation.node_of(TIANJIN))  # the act is at 河北 before the offer is
    await federation.carry(federation.node_of(LANGFANG))
    assert (await story.copy(HEBEI)).state is TicketState.WITHDRAWN
    await federation.settle()
    assert (await story.copy(LANGFANG)).state is TicketState.WITHDRAWN
    assert "ticket.withdrawn" not in await story.events(LANGFANG)


async def test_a_repeated_letter_changes_nothing() -> None:
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    await story.take(Kind.REOPEN, "测试：还没有办")
    await story.take(Kind.URGE, "测试催办")
    before, events = await story.copy(HEBEI), await story.events(HEBEI)
    node, now = story.federation.node_of(TIANJIN), story.federation.clock.now()
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{story.number}")
        for item in before.citizen_acts:
            letter = a_letter(LetterKind.ACT, item.number, at=now, text="测试", act=int(item.kind))
            target = await node.custody.letters.post(
                uow, authority=TIANJIN, ticket=story.number, letter=letter, now=now
            )
            assert target == HEBEI
    await story.federation.settle()
    assert await story.copy(HEBEI) == before
    assert await story.events(HEBEI) == events
    assert [item.refusal for item in before.citizen_acts] == ["TRANSITION_NOT_ALLOWED", ""]


async def test_letters_move_no_custody_and_are_no_rows_of_the_ledger() -> None:
    story = await a_far_story(FAR_SPLIT)
    before = ledger_of(story)
    await story.ask(SUZHOU, "测试问题")
    await story.answer(1, "测试答复")
    await story.take(Kind.SUPPLEMENT, "测试补充")
    added = ledger_of(story) - before
    assert added == Counter({"care.information.requested": 1, "care.citizen.supplement": 1})


def ledger_of(story: Story) -> Counter[str]:
    """Return how many rows of each kind all ledgers hold."""
    tables = [node.database.tables for node in story.federation.nodes.values()]  # type: ignore[attr-defined] # memory
    return Counter(row.kind for each in tables for row in each.get("custody_rows", {}).values())


async def test_only_who_handed_the_message_in_and_its_staff_speak_for_the_citizen() -> None:
    story = await a_far_story(FAR_SPLIT)
    with pytest.raises(RoleMissing):
        await story.take(Kind.URGE, by=a_person(SHIJIAZHUANG, Role.HANDLER))
    with pytest.raises(RoleMissing):
        await story.take(Kind.URGE, by=a_platform(SUZHOU), at=SUZHOU)
    with pytest.raises(TransitionNotAllowed, match=SHIJIAZHUANG):
        await story.take(Kind.URGE, by=a_person(SUZHOU), at=SUZHOU)
    await story.take(Kind.URGE, by=a_person(SHIJIAZHUANG, Role.CLERK))
    assert [item.number for item in (await story.copy(SUZHOU)).citizen_acts] == [1]


async def test_the_acts_of_a_citizen_are_numbered_up_to_a_bound() -> None:
    story = await a_story(TIANJIN, "120101")
    for _ in range(CITIZEN_ACTS_MAX):
        await story.take(Kind.URGE)
    with pytest.raises(QuotaExceeded):
        await story.take(Kind.URGE)


@pytest.mark.parametrize("kind", [Kind.SUPPLEMENT, Kind.URGE])
async def test_nobody_cares_for_a_ticket_that_ended_where_it_is_held(kind: CitizenActKind) -> None:
    story = await a_story(TIANJIN, "120101")
    await story.take(Kind.WITHDRAW)
    answer = await story.take(kind, "测试：还有一点")
    assert answer.citizen_acts[1].refusal == "TRANSITION_NOT_ALLOWED"
    assert not answer.citizen_acts[1].applied


async def test_a_rating_that_says_nothing_closes_nothing() -> None:
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    await story.resolve(HEBEI)
    node, now = story.federation.node_of(TIANJIN), story.federation.clock.now()
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{story.number}")
        letter = a_letter(LetterKind.ACT, 1, at=now, text="", act=int(Kind.RATE))
        await node.custody.letters.post(
            uow, authority=TIANJIN, ticket=story.number, letter=letter, now=now
        )
    await story.federation.settle()
    held = await story.copy(HEBEI)
    assert held.state is TicketState.RESOLVED
    assert held.citizen_acts[0].refusal == "FIELD_INVALID"


async def test_a_restored_origin_gives_no_number_of_an_act_again() -> None:
    """The custodian takes each number once: a second act would be lost, and told as done."""
    story = await a_story(TIANJIN, "120101")
    await story.take(Kind.SUPPLEMENT, "测试补充")
    node = story.federation.node_of(story.origin)
    said = LettersSaid(
        ChainKey(story.origin, story.number, NATION, 1),
        acts=3,
        questions=((1, story.federation.clock.now()),),
    )
    for _ in range(2):
        async with node.database.unit() as uow:
            await node.dispatch.reactions.react(uow, [said], now=story.federation.clock.now())
    await story.take(Kind.URGE, "测试催办")
    acts = (await story.copy(story.origin)).citizen_acts
    assert [item.number for item in acts] == [1, 2, 3, 4]
    assert [item.kind for item in acts][1:] == [Kind.UNSPECIFIED, Kind.UNSPECIFIED, Kind.URGE]
    assert len((await story.copy(story.origin)).questions) == 1
