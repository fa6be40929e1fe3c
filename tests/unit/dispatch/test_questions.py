"""Questions to the citizen go to the origin and come back; custody and clocks stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from gateway.custody.letters import a_letter
from gateway.custody.model import LetterKind
from gateway.kernel.errors import (
    QuotaExceeded,
    ResourceNotFound,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.tickets.codec import ticket_to_pb
from gateway.tickets.model import QUESTIONS_MAX, Question, letter_key
from gateway.trust.principal import Role
from tests.fixtures.nodes import a_call, a_person, a_platform
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


@BOTH
async def test_a_question_reaches_the_origin_and_its_answer_the_asker(
    hosts: Mapping[str, Sequence[str]],
) -> None:
    story = await a_far_story(hosts)
    await story.ask(SUZHOU, "测试问题：具体门牌号？")
    at_origin = await story.copy(SHIJIAZHUANG)
    [question] = at_origin.questions
    assert (question.asker, question.answer_time) == (SUZHOU, None)
    key = letter_key("question", 1, SUZHOU)
    assert (await story.texts(SHIJIAZHUANG)).letters[key] == "测试问题：具体门牌号？"
    assert (await story.events(SHIJIAZHUANG)).count("information.requested") == 1

    await story.answer(1, "测试答复：九号")
    [answered] = (await story.copy(SUZHOU)).questions
    assert answered.answer_time is not None
    key = letter_key("answer", 1, SUZHOU)
    assert (await story.texts(SUZHOU)).letters[key] == "测试答复：九号"
    assert (await story.events(SUZHOU)).count("information.answered") == 1
    for authority in (HEBEI, JIANGSU):
        assert len((await story.copy(authority)).questions) == 1


@BOTH
async def test_a_question_changes_neither_custody_nor_window_nor_clock(
    hosts: Mapping[str, Sequence[str]],
) -> None:
    story = await a_far_story(hosts)
    before = await story.copy(SUZHOU)
    story.federation.clock.advance(timedelta(days=2))
    await story.ask(SUZHOU, "测试问题")
    after = await story.copy(SUZHOU)
    assert (after.due_time, after.dispatch_due_time) == (before.due_time, before.dispatch_due_time)
    assert (after.state, after.custodian) == (before.state, before.custodian)
    assert after.assignments == before.assignments
    assert after.is_overdue(before.due_time + timedelta(seconds=1))


async def test_a_question_while_an_offer_is_out_leaves_its_window_alone() -> None:
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    await story.offer(HEBEI, LANGFANG)
    node = story.federation.node_of(HEBEI)
    before = list(node.database.tables["offers_made"].values())  # type: ignore[attr-defined] # memory
    await story.ask(HEBEI, "测试问题")
    assert list(node.database.tables["offers_made"].values()) == before  # type: ignore[attr-defined] # memory
    assert len((await story.copy(TIANJIN)).questions) == 1


async def test_the_answer_to_an_earlier_custodian_reaches_the_present_one_with_the_question() -> (
    None
):
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    await story.ask(HEBEI, "测试问题")
    [asked] = (await story.copy(HEBEI)).questions
    await story.offer(HEBEI, LANGFANG)
    await story.decide(LANGFANG, accepts=True)
    story.federation.clock.advance(timedelta(minutes=5))
    await story.answer(1, "测试答复")
    await knows_both(story, LANGFANG, asked)


async def test_a_later_custodian_gets_an_earlier_answer_with_its_question() -> None:
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    await story.ask(HEBEI, "测试问题")
    [asked] = (await story.copy(HEBEI)).questions
    story.federation.clock.advance(timedelta(minutes=5))
    await story.answer(1, "测试答复")
    await story.offer(HEBEI, LANGFANG)
    await story.decide(LANGFANG, accepts=True)
    await knows_both(story, LANGFANG, asked)


async def knows_both(story: Story, authority: str, asked: Question) -> None:
    """Check that a copy which did not know the question shows it whole, with its answer."""
    [known] = (await story.copy(authority)).questions
    assert (known.asker, known.ask_time) == (asked.asker, asked.ask_time)
    assert known.answer_time is not None
    assert known.answer_time > known.ask_time
    letters = (await story.texts(authority)).letters
    assert letters[letter_key("question", 1, asked.asker)] == "测试问题"
    assert letters[letter_key("answer", 1, asked.asker)] == "测试答复"


async def test_an_answer_of_an_older_version_brings_no_question() -> None:
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    node, now = story.federation.node_of(TIANJIN), story.federation.clock.now()
    letter = a_letter(LetterKind.ANSWER, 1, at=now, text="测试答复", asker=LANGFANG)
    async with node.database.unit() as uow:
        await node.custody.letters.post(
            uow, authority=TIANJIN, ticket=story.number, letter=letter, now=now
        )
    await story.federation.settle()
    [known] = (await story.copy(HEBEI)).questions
    assert (known.ask_time, known.answer_time) == (now, now)
    letters = (await story.texts(HEBEI)).letters
    assert letters == {letter_key("answer", 1, LANGFANG): "测试答复"}


async def test_what_the_origin_itself_asks_it_answers_itself() -> None:
    story = await a_story(TIANJIN, "120101")
    await story.ask(TIANJIN, "测试问题")
    await story.answer(1, "测试答复")
    reader = story.federation.node_of(TIANJIN).dispatch.reader
    shown = await reader.get(a_platform(TIANJIN), story.number, purpose="")
    message = ticket_to_pb(
        shown.ticket, now=story.federation.clock.now(), custody=shown.custody, texts=shown.texts
    )
    [request] = message.information_requests
    assert (request.question, request.answer) == ("测试问题", "测试答复")
    assert not story.federation.delivered


async def test_nobody_else_asks_or_answers() -> None:
    story = await a_far_story(FAR_SPLIT)
    with pytest.raises(TransitionNotAllowed):
        await story.ask(SHIJIAZHUANG, "测试问题")
    asking = story.federation.node_of(SUZHOU).dispatch.citizens.asking
    call = a_call(a_person(SUZHOU, Role.CLERK), "RequestInformation")
    with pytest.raises(RoleMissing):
        await asking.ask(call, story.target, question="测试问题")
    await story.ask(SUZHOU, "测试问题")
    with pytest.raises(TransitionNotAllowed, match=SHIJIAZHUANG):
        await asking.answer(
            a_call(a_person(SUZHOU), "AnswerInformation"), story.target, number=1, answer="测试"
        )
    with pytest.raises(ResourceNotFound):
        await story.answer(2, "测试答复")
    await story.answer(1, "测试答复")
    with pytest.raises(TransitionNotAllowed, match="answered"):
        await story.answer(1, "测试答复二")


async def test_questions_are_few() -> None:
    story = await a_story(TIANJIN, "120101")
    for _ in range(QUESTIONS_MAX):
        await story.ask(TIANJIN, "测试问题")
    with pytest.raises(QuotaExceeded):
        await story.ask(TIANJIN, "测试问题")
