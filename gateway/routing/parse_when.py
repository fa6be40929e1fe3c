"""`when` → `Selectors`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import TypeVar

from gateway.kernel.codes import (
    Channel,
    Code,
    DestinationCondition,
    RiskTag,
    SubjectKind,
    TicketType,
    Urgency,
)
from gateway.routing.document import Part
from gateway.routing.facts import Condition, ConditionFault, DayKind, Hours, RoutingFacts
from gateway.routing.model import Selectors
from gateway.routing.scope import Scope

# What is wrong with a condition, in Chinese, with what to do; else CEL's own words are shown.
_FAULTS_ZH: tuple[tuple[str, str, str], ...] = (
    (
        r"undefined field '(.*)' not found in struct '.*'",
        "没有名为 {0} 的要素",
        "改用有的要素{near}",
    ),
    (
        r"undeclared reference to '(.*)'",
        "不认识 {0}",
        "要素写成 facts.名称，去向写成 destination.名称，文字加引号",
    ),
    (r"Syntax error: mismatched input '<EOF>'.*", "没有写完", "补全，或删去多余的符号"),
    (
        r"Syntax error: token recognition error at: '(.*)",
        "此处不能写 {0}",
        "相等写成 ==，文字加引号，引号要成对，代码用英文名称",
    ),
    (r"Syntax error: (.*)", "语法有误（{0}）", "改正写法"),
    (
        r"found no matching overload for '(.*)' applied to '(.*)'",
        "{0} 两边的类型不合：{1}",
        "文字加引号，数字不加，是否直接写要素名",
    ),
    (r"it gives (\w+), not bool", "结果是 {0}，不是“是”或“否”", "写成比较，如 facts.zone == 'x'"),
    (r"it may take (\d+) steps", "可能要算 {0} 步，上限 1000", "少用循环，缩短模式"),
    (r"it is nested too deeply", "嵌套太深", "拆成几条规则，或少用括号"),
    (r"it makes a message or a map", "构造了消息或映射", "用要素与写定的值比较"),
    (r"it loops over something without a bound", "循环的对象没有上限", "只对 facts 中的列表循环"),
    (r"matches with a pattern that is computed", "matches 的模式不是写定的", "把模式写在引号里"),
    (r"a pattern of (\d+) characters", "模式有 {0} 个字符，上限 100", "缩短模式"),
    (r"a pattern that repeats too often", "模式重复太多，上限 64 次", "减少重复"),
    (r"a pattern that is no regular expression", "模式不是正则表达式", "按 RE2 的写法改正"),
)
PAIRS_MAX = 500  # regions x matters of one rule; keeps the index small
_DAY_KINDS: Mapping[str, DayKind] = {kind.word: kind for kind in DayKind}
Member = TypeVar("Member", bound=Code)


def selectors_of(part: Part | None, scope: Scope) -> Selectors:
    """Return which tickets a rule or guard is about."""
    if part is None:
        return Selectors()
    regions = scope.kept(part.texts("regions"), scope.is_area)
    matters = scope.kept(part.texts("matters"), scope.is_matter)
    if len(regions) * len(matters) > PAIRS_MAX:
        scope.note(
            part.line,
            f"{len(regions)} regions x {len(matters)} matters",
            f"Stay within {PAIRS_MAX} pairs; name a region or matter above them",
            f"{len(regions)} 个区划 × {len(matters)} 个事项|"
            f"不超过 {PAIRS_MAX} 对，可改用上级区划或事项",
            code="too-big",
        )
    return Selectors(
        regions=regions,
        matters=matters,
        types=_members(part, "types", TicketType),
        channels=_members(part, "channels", Channel),
        urgencies=_members(part, "urgencies", Urgency),
        subject_kinds=_members(part, "subject_kinds", SubjectKind),
        risk_tags=_members(part, "risk_tags", RiskTag),
        zones=frozenset(scope.kept(part.texts("zones"), scope.is_zone)),
        reported_kinds=frozenset(scope.kept(part.texts("reported_kinds"), scope.is_kind)),
        reported_unit=part.flag("reported_unit"),
        secrecy_required=part.flag("secrecy_required"),
        on_boundary=part.flag("on_boundary"),
        hours=_hours(part, scope),
        day_kinds=frozenset(_DAY_KINDS[word] for word, _ in part.texts("day_kinds")),
        destinations=_members(part, "destination", DestinationCondition),
        condition=_condition(part, scope),
    )


def _members(part: Part, key: str, table: type[Member]) -> frozenset[Member]:
    return frozenset(table[word.upper()] for word, _ in part.texts(key))


def _hours(part: Part, scope: Scope) -> tuple[Hours, ...]:
    found: list[Hours] = []
    for text, line in part.texts("hours"):
        start, _, end = text.partition("-")
        hours = Hours(_minute(start), _minute(end))
        if hours.start_minute == hours.end_minute:
            scope.note(
                line,
                f"hours {text} have no length",
                "Leave `hours` out for the whole day",
                f"时段 {text} 首尾相同|全天不必写时段",
            )
        found.append(hours)
    return tuple(found)


def _minute(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def _condition(part: Part, scope: Scope) -> Condition | None:
    text = part.text("if")
    if not text:
        return None
    compiled = scope.conditions.compile(text)
    if not isinstance(compiled, ConditionFault):
        return compiled
    place = f"if, character {compiled.column}"
    place_zh = f"条件式第 {compiled.column} 个字符"
    if compiled.line > 1:
        place = f"if, line {compiled.line}, character {compiled.column}"
        place_zh = f"条件式第 {compiled.line} 行第 {compiled.column} 个字符"
    scope.note(
        part.line_of("if") + compiled.line - 1,
        f"{place}: {compiled.problem}",
        compiled.advice,
        f"{place_zh}：{'|'.join(_in_chinese(compiled))}",
        code="condition",
    )
    return None


def _in_chinese(fault: ConditionFault) -> tuple[str, str]:
    """Return what is wrong with a condition and what to do, as far as there are words for it."""
    for pattern, problem, advice in _FAULTS_ZH:
        found = re.fullmatch(pattern, fault.problem, re.DOTALL)
        if found is None:
            continue
        words = [group.replace("|", "｜") for group in found.groups()]
        names = [each.name for each in fields(RoutingFacts)]
        near = get_close_matches(words[0], names) if words else []
        hint = f"，如 {'、'.join(near)}" if near else ""
        return problem.format(*words), advice.format(near=hint)
    return fault.problem, fault.advice
