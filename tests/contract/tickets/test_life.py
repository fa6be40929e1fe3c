"""Letters and children are kept alike on both engines."""

from __future__ import annotations

import pytest

from gateway.database.uow import Database
from gateway.dispatch.handling import Target
from gateway.kernel.codes import CitizenActKind, TicketPurpose, TicketState
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.tickets.children import Wanted
from gateway.tickets.model import letter_key
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.nodes import (
    HOSTED,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
)
from tests.unit.dispatch.letters import Story

TIANJIN, HEBEI, LANGFANG = (AuthorityCode(code) for code in ("120000", "130000", "131000"))


@pytest.fixture
async def story(database: Database) -> Story:
    """Give 天津's ticket that 廊坊 handles, on a node with the engine under test."""
    federation = a_federation(HOSTED, databases={"hebei": database})
    ticket = await federation.create(a_platform(TIANJIN), a_message())
    await federation.settle()
    return Story(federation, TIANJIN, TicketNumber(ticket.name.removeprefix("tickets/")))


async def test_acts_questions_and_their_texts_are_kept(story: Story) -> None:
    await story.take(CitizenActKind.SUPPLEMENT, "测试补充")
    await story.ask(LANGFANG, "测试问题")
    await story.answer(1, "测试答复")
    await story.take(CitizenActKind.REOPEN, "测试：还没有办")
    for authority in (HEBEI, LANGFANG):
        copy = await story.copy(authority)
        assert [(item.applied, item.refusal) for item in copy.citizen_acts] == [
            (True, ""),
            (False, "TRANSITION_NOT_ALLOWED"),
        ]
        assert [item.answer_time is None for item in copy.questions] == [False]
        letters = (await story.texts(authority)).letters
        assert letters[letter_key("act", 1)] == "测试补充"
        assert letters[letter_key("question", 1, LANGFANG)] == "测试问题"
        assert letters[letter_key("answer", 1, LANGFANG)] == "测试答复"


async def test_children_are_found_by_their_parent(story: Story) -> None:
    wanted = Wanted(
        purpose=TicketPurpose.ASSIST,
        region="120101",
        matter="",
        title="协办测试",
        content="测试协办内容",
    )
    dispatch = story.federation.node_of(LANGFANG).dispatch
    answer = await dispatch.citizens.splitting.split(
        a_call(a_person(LANGFANG), "SplitTicket"),
        Target(number=story.number),
        wanted=[wanted, wanted],
    )
    await story.federation.settle()
    named = [child.name for child in ticket_pb2.Ticket.FromString(answer).children]
    shown = await dispatch.reader.get(a_person(LANGFANG), story.number, purpose="")
    assert [f"tickets/{child.number}" for child in shown.children] == named
    assert {child.custodian for child in shown.children} == {TIANJIN}

    first = Story(story.federation, LANGFANG, shown.children[0].number)
    await first.resolve(TIANJIN)
    assert (await first.copy(LANGFANG)).state is TicketState.CLOSED
    assert "child.closed" in await story.events(LANGFANG)
    page, _ = await dispatch.reader.page(
        a_person(LANGFANG), page_size=0, page_token="", filter_text=""
    )
    assert {item.ticket.number: len(item.children) for item in page}[story.number] == 2
