"""For each check the smallest packs with its fault, as an administrator would write them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date

from gateway.checking.model import Check, History, Known
from gateway.kernel.codes import TicketType
from gateway.reference.units import UnitRef
from gateway.routing.model import Assign, Pack, Rule


def a_rule_text(
    number: int,
    when: str,
    then: str,
    *,
    name: str = "fault",
    starts: str = "2026-01-01",
    ends: str = "null",
) -> str:
    return (
        f"  - id: {name}.n{number}\n"
        "    owner: 测试规则管理\n"
        "    legal_basis: 测试依据\n"
        f"    effective_from: {starts}\n"
        f"    effective_to: {ends}\n"
        f"    when: {when}\n"
        f"    then: {then}\n"
        "    explanation: 测试说明\n"
    )


def a_pack_text(owner: str, *found: str, guards: str = "") -> str:
    head = f'pack: {owner}.fault\nowner: "{owner}"\ntitle: 有错的规则\n'
    return f"{head}{guards}rules:\n{''.join(found)}"


TRAFFIC, HOUSING, DESK_ = (
    "{assign: {kind: JT}}",
    "{assign: {kind: ZJ}}",
    "{triage: {question: 谁的}}",
)
GUARD = (
    "guards:\n"
    "  - id: fault.guard\n"
    "    owner: 测试规则管理\n"
    "    legal_basis: 测试依据\n"
    "    effective_from: 2026-01-01\n"
    "    effective_to: null\n"
    "    forbid: {managements: [vertical]}\n"
    "    unless: [mandate]\n"
    "    explanation: 垂直管理机构只能商请\n"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Packs with a fault; `owner` is whose pack is looked at."""

    code: Check
    texts: tuple[str, ...]
    history: History | None = None
    known: Known = field(default_factory=Known)


def city(*found: str) -> tuple[str, ...]:
    return (a_pack_text("131000", *found),)


WIDE = '{matters: ["041200"]}'
NARROW = '{matters: ["041200"], types: [complaint]}'
CHILDREN = (
    "131002",
    "131003",
    "131022",
    "131023",
    "131024",
    "131025",
    "131026",
    "131028",
    "131081",
    "131082",
)

FAULTS: tuple[Fault, ...] = (
    Fault(Check.PACK_INVALID, city(a_rule_text(1, '{matters: ["999999"]}', TRAFFIC))),
    Fault(
        Check.REPEATED_ID,
        (
            a_pack_text("131000", a_rule_text(1, WIDE, TRAFFIC)),
            a_pack_text("130600", a_rule_text(1, WIDE, TRAFFIC)),
        ),
    ),
    Fault(Check.SHADOWED, city(a_rule_text(1, WIDE, DESK_), a_rule_text(2, NARROW, HOUSING))),
    Fault(
        Check.SHADOWED_BY_UNION,
        city(
            a_rule_text(1, '{matters: ["041200"], hours: ["08:00-20:00"]}', DESK_),
            a_rule_text(2, '{matters: ["040000"], hours: ["19:00-09:00"]}', HOUSING),
            a_rule_text(3, NARROW, TRAFFIC),
        ),
    ),
    Fault(
        Check.ONLY_UNSPECIFIC,
        city(
            *(
                a_rule_text(n, f'{{regions: ["{code}"], matters: ["041200"]}}', TRAFFIC)
                for n, code in enumerate(CHILDREN, 1)
            ),
            a_rule_text(20, '{regions: ["131000"], matters: ["041200"]}', HOUSING),
        ),
    ),
    Fault(Check.DUPLICATE, city(a_rule_text(1, WIDE, TRAFFIC), a_rule_text(2, WIDE, TRAFFIC))),
    Fault(
        Check.OVERLAP,
        city(
            a_rule_text(1, '{regions: ["131082"], matters: ["040000"]}', TRAFFIC),
            a_rule_text(2, '{matters: ["041200"], risk_tags: [minor]}', HOUSING),
        ),
    ),
    Fault(
        Check.GAP,
        city(a_rule_text(1, '{matters: ["050000"]}', TRAFFIC)),
        history=History(
            days=30,
            cells={
                ("131082", "050100", int(TicketType.COMPLAINT)): 12,
                ("131002", "200600", int(TicketType.HELP)): 3,
            },
        ),
    ),
    Fault(
        Check.DEAD,
        city(
            a_rule_text(
                1, '{types: [complaint], if: "facts.type == TicketType.TICKET_TYPE_HELP"}', TRAFFIC
            ),
            a_rule_text(2, "{reported_unit: false, reported_kinds: [GA]}", HOUSING),
        ),
    ),
    Fault(
        Check.NEVER_HIT,
        city(a_rule_text(1, WIDE, TRAFFIC)),
        history=History(days=30, cells={("131082", "041200", 3): 9}, hits={"another.rule": 9}),
    ),
    Fault(Check.UNIT_UNKNOWN, city(a_rule_text(1, WIDE, TRAFFIC))),
    Fault(Check.UNIT_REGION_RETIRED, city(a_rule_text(1, WIDE, TRAFFIC))),
    Fault(
        Check.UNIT_LEAVES,
        city(a_rule_text(1, WIDE, '{assign: {unit: "131000-JT-1"}}')),
        known=Known(leaving={"131000-JT-1": date(2027, 3, 1)}),
    ),
    Fault(Check.KIND_WITHOUT_UNIT, city(a_rule_text(1, WIDE, "{assign: {kind: JJ}}"))),
    Fault(
        Check.GUARD_REFUSES,
        (
            a_pack_text("100000", guards=GUARD).replace("rules:\n", "rules: []\n"),
            *city(a_rule_text(1, WIDE, "{assign: {kind: XF}}")),
        ),
    ),
    Fault(Check.EXPIRED, city(a_rule_text(1, WIDE, TRAFFIC, ends="2026-06-01"))),
    Fault(Check.NOT_YET_VALID, city(a_rule_text(1, WIDE, TRAFFIC, starts="2027-06-01"))),
    Fault(
        Check.CALENDAR_UNKNOWN,
        city(a_rule_text(1, '{matters: ["041200"], day_kinds: [working]}', TRAFFIC)),
    ),
    Fault(Check.REGION_RETIRED, city(a_rule_text(1, WIDE, TRAFFIC))),
    Fault(Check.MATTER_UNKNOWN, city(a_rule_text(1, WIDE, TRAFFIC))),
    Fault(Check.ZONE_UNKNOWN, city(a_rule_text(1, WIDE, TRAFFIC))),
    Fault(Check.LONE_LEAD, city(a_rule_text(1, WIDE, "{lead: {region: insured_region}}"))),
    Fault(
        Check.PING_PONG,
        (
            a_pack_text("131000", a_rule_text(1, WIDE, '{offer: {to: "130000"}}', name="city")),
            a_pack_text("130000", a_rule_text(1, '{matters: ["050000"]}', TRAFFIC)),
        ),
    ),
    Fault(
        Check.BOTH_DISCLAIM,
        (
            a_pack_text(
                "131000",
                a_rule_text(
                    1, '{matters: ["200600"]}', "{lead: {region: insured_region}}", name="city"
                ),
            ),
            a_pack_text("120000", a_rule_text(1, '{matters: ["050000"]}', TRAFFIC)),
            a_pack_text("130000", a_rule_text(1, '{matters: ["050000"]}', TRAFFIC, name="home")),
        ),
    ),
    Fault(
        Check.BOTH_CLAIM,
        (
            a_pack_text("130000", a_rule_text(1, WIDE, "{assign: {kind: JT, level: province}}")),
            a_pack_text("131000", a_rule_text(1, WIDE, TRAFFIC, name="city")),
        ),
    ),
    Fault(
        Check.UNDECIDED,
        city(a_rule_text(1, "{if: \"facts.zone.matches('^[a-z]{3}$')\"}", TRAFFIC)),
    ),
)


def changed(fault: Fault, pack: Pack) -> Pack:
    """Return a pack as it is after the reference data changed under it."""
    if not pack.rules:
        return pack
    rule = pack.rules[0]
    after: dict[Check, Rule] = {
        Check.REGION_RETIRED: replace(rule, selectors=replace(rule.selectors, regions=("131021",))),
        Check.MATTER_UNKNOWN: replace(rule, selectors=replace(rule.selectors, matters=("049900",))),
        Check.ZONE_UNKNOWN: replace(
            rule, selectors=replace(rule.selectors, zones=frozenset({"old-zone"}))
        ),
        Check.UNIT_UNKNOWN: replace(rule, action=Assign(UnitRef(unit_id="131000-JT-9"))),  # type: ignore[arg-type] # an id
        Check.UNIT_REGION_RETIRED: replace(
            rule,
            action=Assign(UnitRef(unit_id="131021-JT-1")),  # type: ignore[arg-type] # an id
        ),
    }
    return replace(pack, rules=(after.get(fault.code, rule), *pack.rules[1:]))
