"""Templates of the national pack: rules with parameters, filled in where a pack uses them.

A use becomes an ordinary rule when its pack is parsed, so nothing else knows of templates. Every
value is that of a rule written out, with the line of the use. See docs/routing.md#templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import cast

from yaml.error import Mark
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.routing.document import Part
from gateway.routing.grammar import PLACEHOLDER, RULE
from gateway.routing.model import Pack, Template
from gateway.routing.reading import FormReader, Value
from gateway.routing.scope import Scope

_PLACEHOLDER = re.compile(PLACEHOLDER)
_NUMBERS = ("hours", "working_hours")
_OWN = ("id", "owner", "effective_from", "effective_to")
_TAG = "tag:yaml.org,2002:"
# A rule of an example is never in force; its own values only have to fit.
_EXAMPLE_CLAUSE: dict[str, Value] = {
    "id": "template.example",
    "owner": "模板示例",
    "effective_from": "2026-01-01",
    "effective_to": None,
}


def templates_of(packs: Iterable[Pack]) -> dict[str, Template]:
    """Return the templates of packs by id: what `parse_pack` wants to know of the nation's."""
    return {template.id: template for pack in packs for template in pack.templates}


def template_of(part: Part, scope: Scope) -> Template | None:
    """Return a template after checking that its parameters and its example fit."""
    rule, parameters, example = part.part("rule"), part.part("parameters"), part.part("example")
    if rule is None or parameters is None or example is None or not part.text("id"):
        return None
    names = {name: parameters.text(name) for name in parameters.values}
    template = Template(
        id=part.text("id"),
        title=part.text("title"),
        parameters=names,
        rule=dict(rule.values),
        line=part.line,
    )
    for name in sorted(set(names) - _used(rule.values)):
        scope.note(
            parameters.line,
            f"parameter {name} is not used",
            f"Write ${name} somewhere in `rule`, or remove it",
            f"参数 {name} 没有用到|在“规则”中写 ${name}，或删去",
            code="template",
        )
    return template


def example_of(template: Template, part: Part, scope: Scope) -> Part | None:
    """Return the rule that a template's own example makes, to be checked like any rule."""
    example = part.part("example")
    if example is None:
        return None
    return _expanded(template, example, dict(_EXAMPLE_CLAUSE), part.line, scope)


def rule_of_use(use: Part, templates: Mapping[str, Template], scope: Scope) -> Part | None:
    """Return the rule that a use makes, as if it had been written out; all on the use's line."""
    given = use.part("with")
    name = use.text("template")
    template = templates.get(name)
    if template is None:
        if name:
            known = ", ".join(sorted(templates)) or "none"
            scope.note(
                use.line_of("template"),
                f"template {name} is not known",
                f"Use a template of the national pack: {known}",
                f"没有模板 {name}|用国家规则包的模板：{known}",
                code="template",
            )
        return None
    if given is None:
        return None
    clause = {key: use.values[key] for key in _OWN if key in use.values}
    for key in ("legal_basis", "explanation"):
        if key in use.values:
            clause[key] = use.values[key]
    return _expanded(template, given, clause, use.line, scope)


def _expanded(
    template: Template, given: Part, clause: dict[str, Value], line: int, scope: Scope
) -> Part | None:
    missing = sorted(set(template.parameters) - set(given.values))
    extra = sorted(set(given.values) - set(template.parameters))
    if missing or extra:
        names, wrong = ", ".join(template.parameters), ", ".join(missing + extra)
        scope.note(
            given.line,
            f"template {template.id}: parameters {wrong} are missing or unknown",
            f"Give exactly {names}",
            f"模板 {template.id} 的参数 {wrong} 缺少或多余|恰好给出：{names}",
            code="template",
        )
        return None
    rule = cast("dict[str, Value]", template.rule)
    values: dict[str, Value] = {}
    for key, value in rule.items():
        values[key] = _filled(value, given.values)
    fallback = values.get("unless_accepted_within")
    if isinstance(fallback, dict):
        for key in _NUMBERS:
            number = fallback.get(key)
            if isinstance(number, str) and number.isdecimal():
                fallback[key] = int(number)
    values.update(clause)
    # The form is checked again: what was filled in may fit nowhere.
    read = FormReader(scope.notes).read(_node(values, Mark("", 0, line - 1, 0, None, 0)), RULE)
    if read is None or not isinstance(read.value, dict):
        return None
    return Part(read.value, read.place)


def _filled(value: Value, given: Mapping[str, Value]) -> Value:
    match value:
        case dict():
            return {key: _filled(each, given) for key, each in value.items()}
        case list():
            items: list[Value] = []
            for each in value:
                filled = _filled(each, given)
                if isinstance(filled, list) and not isinstance(each, list):
                    items += filled  # a list for one of its values
                else:
                    items.append(filled)
            return items
        case str():
            whole = _PLACEHOLDER.fullmatch(value)
            if whole is not None and whole[1] in given:
                return given[whole[1]]
            return _PLACEHOLDER.sub(lambda found: _word(found, given), value)
        case _:
            return value


def _word(found: re.Match[str], given: Mapping[str, Value]) -> str:
    value = given.get(found[1], found[0])
    return "、".join(str(each) for each in value) if isinstance(value, list) else str(value)


def _used(value: Value) -> set[str]:
    match value:
        case dict():
            return {name for each in value.values() for name in _used(each)}
        case list():
            return {name for each in value for name in _used(each)}
        case str():
            return set(_PLACEHOLDER.findall(value))
        case _:
            return set()


def _node(value: Value, mark: Mark) -> Node:
    match value:
        case dict():
            pairs = [(_node(key, mark), _node(each, mark)) for key, each in value.items()]
            return MappingNode(f"{_TAG}map", pairs, mark, mark)
        case list():
            return SequenceNode(f"{_TAG}seq", [_node(each, mark) for each in value], mark, mark)
        case bool():
            return ScalarNode(f"{_TAG}bool", "true" if value else "false", mark, mark)
        case int():
            return ScalarNode(f"{_TAG}int", str(value), mark, mark)
        case None:
            return ScalarNode(f"{_TAG}null", "null", mark, mark)
        case _:
            return ScalarNode(f"{_TAG}str", value, mark, mark)
