"""What the people of a unit do about a ticket, step by step. Pure.

Usually they sign, call the citizen, handle the matter, and call back. A child ticket is help for
another body: nobody calls a citizen about it, and it ends when it is done. The behaviours of a
platform (`samples/behaviours.yaml`) make some tickets go otherwise: a unit returns its assignment,
asks something first, or takes care of the place and waits for a ruling before it says what it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

LEAD = "主办"
NUMBER, MATTER, TITLE, ROLE, PARENT = "全国工单编号", "事项编码", "诉求标题", "承办角色", "父单编号"
EVENT, TAKEN_OVER = "事件", "签收"
UNIT, ASSIGNMENT = "承办单位编号", "派单序号"
ANSWERED, RULED = "information.answered", "case.ruled"
WATCHED = frozenset({ANSWERED, RULED})  # events that a step may wait for
WAIT_SECONDS_MAX = 60.0  # then the unit goes on without an answer
RULING_SECONDS_MAX = 180.0  # or without a ruling


@dataclass(frozen=True, slots=True)
class Delays:
    """How long the simulated people take, in seconds."""

    sign: float = 0.5
    contact: float = 0.5
    done: float = 1.0
    rating: float = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done about a ticket: after how long, and what is written about it.

    A refused step is tried again up to `attempts` times in all: the call-back waits until the
    child tickets have ended. A step with `until` is done as soon as news of that event came.
    """

    delay_seconds: float
    cells: Mapping[str, str]
    attempts: int = 3
    until: str = ""


def plan_for(
    row: Mapping[str, str],
    *,
    delays: Delays,
    behaviours: Sequence[Mapping[str, Any]],
    is_first: bool,
) -> tuple[Step, ...]:
    """Return the steps about an assignment as its row reads.

    Args:
        row: the assignment as the adapter wrote it.
        delays: how long people take.
        behaviours: how the people of this platform behave about some tickets.
        is_first: whether the unit sees the ticket for the first time.
    """
    if row.get(ROLE, LEAD) not in {LEAD, ""}:
        return ()  # the lead answers for those who assist
    chosen = next((each for each in behaviours if _selects(each, row, is_first=is_first)), {})
    if "return" in chosen:
        return (Step(delays.sign, {"操作": "退单", **chosen["return"]}),)
    sign = Step(delays.sign, {"操作": TAKEN_OVER})
    if row.get(PARENT):
        return (sign, _done(delays))
    contact = Step(delays.contact, {"操作": "联系", "联系方式": "电话"})
    question: tuple[Step, ...] = ()
    if "ask" in chosen:
        question = (Step(delays.contact, {"操作": "询问", "补充问题": str(chosen["ask"])}),)
        contact = replace(contact, delay_seconds=WAIT_SECONDS_MAX, until=ANSWERED)
    if chosen.get("contact_only"):
        return (sign, contact)
    done = _done(delays)
    if chosen.get("until_ruled"):
        done = replace(done, delay_seconds=RULING_SECONDS_MAX, until=RULED)
    return (sign, *question, contact, done, _rating(delays))


def answer_to_question(number: str) -> Step:
    """Return what the citizen says when asked, written by the platform that took the message."""
    return Step(
        1.0, {"操作": "答复", "问题序号": number, "说明": "诉求人答复：参保起止为示例年月。"}
    )


def ring_again() -> Step:
    """Return what is written when the citizen rings again."""
    return Step(0.5, {"操作": "催办", "说明": "诉求人来电催办。（演示数据）"}, attempts=1)


def _selects(behaviour: Mapping[str, Any], row: Mapping[str, str], *, is_first: bool) -> bool:
    when = behaviour.get("when", {})
    return (
        when.get("matter", "") in {"", row.get(MATTER, "")}
        and when.get("title", "") in row.get(TITLE, "")
        and when.get("unit", "") in {"", row.get(UNIT, "").removeprefix("units/")}
        and (is_first or not behaviour.get("once", False))
    )


def _done(delays: Delays) -> Step:
    cells = {
        "操作": "办结",
        "是否解决": "已解决",
        "办理情况": "经核实已处理，并向诉求人说明。（演示数据）",
        "公开答复内容": "已处理。（演示数据）",
    }
    return Step(delays.done, cells, attempts=20)


def _rating(delays: Delays) -> Step:
    cells = {
        "操作": "评价",
        "满意度": "满意",
        "是否响应": "是",
        "诉求人认为解决": "是",
        "联系方式": "电话",
    }
    return Step(delays.rating, cells, attempts=400)
