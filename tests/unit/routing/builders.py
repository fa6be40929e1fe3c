"""Builders: facts, rules and packs with sensible defaults."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from textwrap import indent

from gateway.kernel.codes import Channel, TicketType, Urgency
from gateway.kernel.ids import AuthorityCode
from gateway.reference.units import UnitRef
from gateway.routing.conditions import cel_conditions
from gateway.routing.model import (
    Assign,
    Condition,
    ConditionFault,
    DayKind,
    Guard,
    Moment,
    Pack,
    RoutingFacts,
    Rule,
    RuleAction,
    Selectors,
)

RULES = Path(__file__).parents[3] / "routing_rules"
AUTHORITIES = ("120000", "130000", "130100", "130600", "131000")
NOW = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
FROM = date(2026, 1, 1)


def a_ticket(
    *,
    region: str = "131082",
    matter: str = "041200",
    type: TicketType = TicketType.COMPLAINT,  # noqa: A002 - the fact's own name
    urgency: Urgency = Urgency.NORMAL,
    channel: Channel = Channel.PHONE,
    reported_units: tuple[str, ...] = (),
    zone: str = "",
    on_boundary: bool = False,
) -> RoutingFacts:
    return RoutingFacts(
        region=region,
        matter=matter,
        type=type,
        urgency=urgency,
        channel=channel,
        reported_units=reported_units,
        zone=zone,
        on_boundary=on_boundary,
    )


def on_day(day: date, *, minute: int = 570, kind: DayKind | None = DayKind.WORKING) -> Moment:
    return Moment(day, minute, kind)


def a_condition(text: str) -> Condition:
    compiled = cel_conditions().compile(text)
    assert not isinstance(compiled, ConditionFault), compiled
    return compiled


def a_rule(
    rule_id: str = "test.rule",
    *,
    selectors: Selectors | None = None,
    action: RuleAction | None = None,
    effective_from: date = FROM,
    effective_to: date | None = None,
) -> Rule:
    return Rule(
        id=rule_id,
        owner="测试规则管理",
        legal_basis="测试依据",
        effective_from=effective_from,
        effective_to=effective_to,
        selectors=selectors or Selectors(),
        action=action or Assign(UnitRef(kind="JT")),
        explanation="测试说明",
    )


def a_pack(*rules: Rule, owner: str = "131000", guards: tuple[Guard, ...] = ()) -> Pack:
    return Pack(
        pack=f"{owner}.test",
        owner=AuthorityCode(owner),
        title="测试规则",
        version="0" * 64,
        source="",
        rules=rules,
        guards=guards,
    )


RULE_TEXT = """\
- id: test.rule
  owner: 测试规则管理
  legal_basis: 测试依据
  effective_from: 2026-01-01
  effective_to: null
  when: {matters: ["041200"]}
  then: {assign: {kind: JT}}
  explanation: 测试说明
"""


def pack_text(rules: str = RULE_TEXT, *, owner: str = "131000", guards: str = "") -> bytes:
    """Return a pack's YAML; on one rule, its id is on line 5."""
    head = f'pack: {owner}.test\nowner: "{owner}"\ntitle: 测试规则\n'
    extra = f"guards:\n{indent(guards, '  ')}" if guards else ""
    return f"{head}rules:\n{indent(rules, '  ')}{extra}".encode()
