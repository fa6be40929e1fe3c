"""What a rule editor wants to know before publishing: errors, and rules that can never win.

Pure functions behind `lubiao rules check` and `lubiao rules test`. A rule is *shadowed* when an
earlier rule of its pack selects every ticket that it selects, on every day on which it holds. That
is an error when the earlier rule always decides (refer, external, triage), else a warning: an
assignment may find no unit or meet a guard, and then the later rule has its turn. A condition
(`if`) hides only a rule with the same text, because what an expression implies is not computed.
Rules with `lead` compete only with each other, rules with `help` never. Shadowing by several rules
together is not found (docs/routing.md#check).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from gateway.kernel.ids import NATION
from gateway.reference.matters import matter_path
from gateway.reference.regions import Regions
from gateway.routing.cases import CaseResult, parse_cases, run_cases, uncovered
from gateway.routing.model import (
    Conditions,
    External,
    Finding,
    Lead,
    Pack,
    Refer,
    Reference,
    Rule,
    Selectors,
    Stage,
    Triage,
)
from gateway.routing.packs import PackSet
from gateway.routing.parse import parse_pack

__all__ = ["check_cases", "check_pack", "find_lone_leads", "find_shadowed"]


def check_pack(
    source: bytes, *, name: str, reference: Reference, conditions: Conditions
) -> tuple[Finding, ...]:
    """Return everything there is to say about a pack's text, in the order of its lines."""
    result = parse_pack(source, name=name, reference=reference, conditions=conditions)
    found = list(result.findings)
    if result.pack is not None:
        found += find_shadowed(result.pack, reference.regions)
        found += find_lone_leads(result.pack)
    return tuple(sorted(found, key=lambda finding: finding.line))


def check_cases(
    sources: Mapping[str, bytes], *, packs: PackSet, reference: Reference
) -> tuple[tuple[CaseResult, ...], tuple[Finding, ...]]:
    """Run all case files (`name: bytes`); return the results, and findings on files and cover."""
    results: list[CaseResult] = []
    findings: list[Finding] = []
    for name, source in sorted(sources.items()):
        cases, problems = parse_cases(source, name=name)
        findings += problems
        results += run_cases(cases, packs=packs, reference=reference)
    findings += uncovered(results, packs=packs)
    return tuple(results), tuple(findings)


def find_shadowed(pack: Pack, regions: Regions) -> tuple[Finding, ...]:
    """Return a finding for each rule that an earlier one hides, by the first that does."""
    by_pair = _by_pair(pack)
    found: list[Finding] = []
    for order, rule in enumerate(pack.rules):
        if rule.stage is Stage.HELP:
            continue  # all of them count
        region = (rule.selectors.regions or ("",))[0]
        matter = (rule.selectors.matters or ("",))[0]
        areas = (*regions.path(region), "") if region else ("",)
        earlier = (
            other
            for area in areas
            for above in (*matter_path(matter), "")
            for other in by_pair.get((area, above), ())
            if other < order and pack.rules[other].stage is rule.stage
        )
        for other in sorted(set(earlier)):
            if _hides(pack.rules[other], rule, regions):
                found.append(_shadow_finding(pack, pack.rules[other], rule))
                break
    return tuple(found)


def find_lone_leads(pack: Pack) -> tuple[Finding, ...]:
    """Return a warning for each rule with `lead` that other authorities do not know."""
    if pack.owner == NATION:
        return ()
    return tuple(
        Finding(
            pack.pack,
            rule.line,
            f"{rule.id} lets another region lead, and only nodes with this pack know it",
            "Put it in the national pack, or the authority there sends the ticket back",
            is_error=False,
        )
        for rule in pack.rules
        if rule.stage is Stage.LEAD
    )


def _by_pair(pack: Pack) -> dict[tuple[str, str], list[int]]:
    pairs: dict[tuple[str, str], list[int]] = {}
    for order, rule in enumerate(pack.rules):
        for region in rule.selectors.regions or ("",):
            for matter in rule.selectors.matters or ("",):
                pairs.setdefault((region, matter), []).append(order)
    return pairs


def _shadow_finding(pack: Pack, earlier: Rule, later: Rule) -> Finding:
    always_decides = isinstance(earlier.action, Refer | External | Triage) or (
        isinstance(earlier.action, Lead) and earlier.action == later.action
    )
    return Finding(
        pack.pack,
        later.line,
        f"{later.id} selects only what {earlier.id} (line {earlier.line}) selects before it",
        "Put the narrower rule first or remove it"
        if always_decides
        else "Keep it only for the case that the first cannot be carried out",
        is_error=always_decides,
    )


def _hides(earlier: Rule, later: Rule, regions: Regions) -> bool:
    starts, ends = later.effective_from, later.effective_to or date.max
    covers_days = earlier.effective_from <= starts and ends <= (earlier.effective_to or date.max)
    return covers_days and _is_wider(earlier.selectors, later.selectors, regions)


def _is_wider(wide: Selectors, narrow: Selectors, regions: Regions) -> bool:
    flags = (
        (wide.reported_unit, narrow.reported_unit),
        (wide.secrecy_required, narrow.secrecy_required),
        (wide.on_boundary, narrow.on_boundary),
    )
    sets: tuple[tuple[Collection[object], Collection[object]], ...] = (
        (wide.types, narrow.types),
        (wide.channels, narrow.channels),
        (wide.urgencies, narrow.urgencies),
        (wide.subject_kinds, narrow.subject_kinds),
        (wide.risk_tags, narrow.risk_tags),
        (wide.zones, narrow.zones),
        (wide.reported_kinds, narrow.reported_kinds),
    )
    return (
        wide.condition in {None, narrow.condition}
        and all(wanted is None or wanted is got for wanted, got in flags)
        and all(not some or (others and set(others) <= set(some)) for some, others in sets)
        and (
            not wide.regions
            or (
                bool(narrow.regions)
                and all(any(regions.is_within(n, w) for w in wide.regions) for n in narrow.regions)
            )
        )
        and (
            not wide.matters
            or (
                bool(narrow.matters)
                and all(any(w in matter_path(n) for w in wide.matters) for n in narrow.matters)
            )
        )
    )
