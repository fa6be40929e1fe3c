"""Whether selectors select a ticket: the whole test (guards, the index's oracle) and its rest.

The index answers for region, matter, type, channel, urgency, dates, hours, kind of day and the
yes-or-no facts; `judge` answers for what is not told by those, the condition (`if`) last, and names
what does not hold, never a value. `region` is the one that leads: the place, unless a rule with
`lead` says otherwise; a condition sees the facts as stated. The state of the destination is known
only to a diversion, which is asked after the normal answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.reference.matters import matter_path
from gateway.reference.regions import Regions
from gateway.routing.model import (
    DestinationState,
    Moment,
    RoutingFacts,
    Rule,
    Selectors,
    UnitKey,
)

CONDITION = "条件式"  # how a trace names `if`
UNPUBLISHED = "工作日或休息日（该年日历未公布）"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What does not hold, in Chinese; `error` says why a condition could not be evaluated."""

    missing: tuple[str, ...] = ()
    error: str = ""


_HOLDS = Judgement()
_CONDITION_FALSE = Judgement((CONDITION,))


def selects(
    selectors: Selectors,
    facts: RoutingFacts,
    regions: Regions,
    moment: Moment,
    destination: DestinationState | None = None,
) -> bool:
    """Tell whether all selectors hold; an uncertain region is in no region."""
    above = matter_path(facts.matter)
    return (
        (
            not selectors.regions
            or any(regions.is_within(facts.region, area) for area in selectors.regions)
        )
        and (not selectors.matters or any(code in above for code in selectors.matters))
        and (not selectors.types or facts.type in selectors.types)
        and (not selectors.channels or facts.channel in selectors.channels)
        and (not selectors.urgencies or facts.urgency in selectors.urgencies)
        and not unmet(selectors, facts, moment, destination)
    )


def unmet(
    selectors: Selectors,
    facts: RoutingFacts,
    moment: Moment,
    destination: DestinationState | None = None,
) -> tuple[str, ...]:
    """Return the Chinese names of the conditions outside the index that do not hold."""
    return judge(selectors, facts, moment, destination).missing


def judge(
    selectors: Selectors,
    facts: RoutingFacts,
    moment: Moment,
    destination: DestinationState | None = None,
) -> Judgement:
    """Return what outside the index does not hold, and what could not be evaluated."""
    conditions = (
        ("诉求主体", not selectors.subject_kinds or facts.subject_kind in selectors.subject_kinds),
        ("风险标签", not selectors.risk_tags or bool(selectors.risk_tags & set(facts.risk_tags))),
        ("功能区", not selectors.zones or facts.zone in selectors.zones),
        ("被反映单位类别", _reports_kind(selectors, facts)),
        ("被反映承办单位", _is(selectors.reported_unit, bool(facts.reported_units))),
        ("要求保密", _is(selectors.secrecy_required, facts.secrecy_required)),
        ("交界或权属不清", _is(selectors.on_boundary, facts.on_boundary)),
        ("时段", not selectors.hours or any(h.contains(moment.minute) for h in selectors.hours)),
        (
            "工作日或休息日" if moment.day_kind else UNPUBLISHED,
            not selectors.day_kinds or moment.day_kind in selectors.day_kinds,
        ),
        (
            "去向状态",
            not selectors.names_destination
            or (
                destination is not None
                and (not selectors.destinations or destination.state in selectors.destinations)
            ),
        ),
    )
    missing = tuple(name for name, holds in conditions if not holds)
    if missing:
        return Judgement(missing)
    if selectors.condition is None:
        return _HOLDS
    verdict = selectors.condition.test(facts, destination)  # the dearest, so it comes last
    if verdict.error:
        return Judgement((f"{CONDITION}（{verdict.error}）",), verdict.error)
    return _HOLDS if verdict.holds else _CONDITION_FALSE


def held(rule: Rule) -> str:
    """Return what a trace adds about a rule whose condition holds; nothing without a condition."""
    return f"（{CONDITION}成立）" if rule.selectors.condition is not None else ""


def _is(wanted: bool | None, got: bool) -> bool:
    return wanted is None or wanted is got


def _reports_kind(selectors: Selectors, facts: RoutingFacts) -> bool:
    if not selectors.reported_kinds:
        return True
    reported = (UnitKey.parse(name) for name in facts.reported_units)
    return any(key is not None and key.kind in selectors.reported_kinds for key in reported)
