"""Whether selectors select a ticket: the whole test (guards, the index's oracle) and its rest.

The index answers for region, matter, type, channel, urgency, dates and the yes-or-no facts; `unmet`
answers for what is not told by those, the condition (`if`) last, and names what does not hold,
never a value. `region` is the one that leads: the place, unless a rule with `lead` says otherwise;
a condition sees the facts as stated.
"""

from __future__ import annotations

from gateway.reference.matters import matter_path
from gateway.reference.regions import Regions
from gateway.routing.model import RoutingFacts, Rule, Selectors, UnitKey

CONDITION = "条件式"  # how a trace names `if`


def selects(selectors: Selectors, facts: RoutingFacts, regions: Regions) -> bool:
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
        and not unmet(selectors, facts)
    )


def unmet(selectors: Selectors, facts: RoutingFacts) -> tuple[str, ...]:
    """Return the Chinese names of the conditions outside the index that do not hold."""
    conditions = (
        ("诉求主体", not selectors.subject_kinds or facts.subject_kind in selectors.subject_kinds),
        ("风险标签", not selectors.risk_tags or bool(selectors.risk_tags & set(facts.risk_tags))),
        ("功能区", not selectors.zones or facts.zone in selectors.zones),
        ("被反映单位类别", _reports_kind(selectors, facts)),
        ("被反映承办单位", _is(selectors.reported_unit, bool(facts.reported_units))),
        ("要求保密", _is(selectors.secrecy_required, facts.secrecy_required)),
        ("交界或权属不清", _is(selectors.on_boundary, facts.on_boundary)),
    )
    missing = tuple(name for name, holds in conditions if not holds)
    if missing or selectors.condition is None:
        return missing  # the condition is the dearest, so it comes last
    verdict = selectors.condition.test(facts)
    if verdict.error:
        return (f"{CONDITION}（{verdict.error}）",)
    return () if verdict.holds else (CONDITION,)


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
