"""What does not fit together in reference files that all parse: the second half of `check`.

Each check looks at one kind of mistake that would not stop a node but would send tickets astray:
a unit in a place that is no more, an authority without a desk, an entry that can never match or
that competes with another. Checks only add findings; they never change or refuse anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise

from gateway.kernel.ids import NATION
from gateway.kernel.values import dataclass
from gateway.reference.matters import Matters
from gateway.reference.regions import Level, Regions
from gateway.reference.responsibility import Entry
from gateway.reference.service_levels import (
    TICKET_TYPES,
    URGENCIES,
    URGENT,
    Profile,
    Scope,
    Step,
)
from gateway.reference.tables import Findings
from gateway.reference.units import UnitRef, Units
from gateway.reference.zones import Zone, Zones


@dataclass(frozen=True, slots=True)
class Parts:
    """The parsed parts that are checked against each other."""

    regions: Regions
    matters: Matters
    units: Units
    entries: Sequence[Entry]
    profiles: Sequence[Profile]
    zones: Zones


def check_parts(parts: Parts, findings: Findings) -> None:
    """Note everything that does not fit together."""
    check_regions(parts.regions, findings)
    check_matters(parts.matters, findings)
    check_units(parts, findings)
    for entry in parts.entries:
        check_entry(entry, parts, findings)
    check_overlaps(parts.entries, findings)
    for profile in parts.profiles:
        check_profile(profile, parts, findings)
    for zone in parts.zones:
        check_zone(zone, parts.regions, findings)


def check_regions(regions: Regions, findings: Findings) -> None:
    """Note lives of one code that overlap in time."""
    for code in regions.codes():
        for earlier, later in pairwise(regions.lives(code)):
            if earlier.until is None or earlier.until > later.since:
                findings.note(
                    location=f"region {code}",
                    problem=f"{earlier.name} and {later.name} hold the code in the same year",
                    advice="End the earlier row in or before the year the later one begins",
                )


def check_matters(matters: Matters, findings: Findings) -> None:
    """Note matters whose parent is missing."""
    for matter in matters:
        if matter.parent is not None and matter.parent not in matters:
            findings.note(
                location=f"matter {matter.code}",
                problem=f"its parent {matter.parent} has no row",
                advice="Add the parent",
            )


def check_units(parts: Parts, findings: Findings) -> None:
    """Note units in retired regions and authorities without a desk."""
    for unit in parts.units:
        if parts.regions.current(unit.region) is None:
            findings.note(
                location=f"unit {unit.unit_id}",
                problem=f"region {unit.region} is retired",
                advice="Give the unit an id in the region that took over",
            )
        if unit.platform is None:
            findings.note(
                location=f"unit {unit.unit_id}",
                problem="no platform fetches its work",
                advice="Name the platform, or the unit's tickets wait for a person",
            )
    desks = {unit.authority for unit in parts.units if unit.is_desk}
    for authority in sorted(parts.units.authorities() - desks):
        findings.note(
            location=f"authority {authority}",
            problem="it has units but no triage desk",
            advice=f"Add the unit {authority}-desk of kind RX",
        )


def check_entry(entry: Entry, parts: Parts, findings: Findings) -> None:
    """Note an entry that can never match or points at nobody."""
    location = f"entry {entry.entry_id}"
    if entry.matter not in parts.matters:
        findings.note(
            location=location,
            problem=f"matter {entry.matter} is not in the catalogue",
            advice="Use a code of matters.csv",
        )
    if parts.regions.current(entry.region) is None:
        findings.note(
            location=location,
            problem=f"region {entry.region} is retired or was never assigned",
            advice="Use a code that is in use",
        )
    if entry.effective_to is not None and entry.effective_to <= entry.effective_from:
        findings.note(
            location=location,
            problem="it ends before it begins",
            advice="effective_to is the first day on which it no longer holds",
        )
    if not entry.source:
        findings.note(
            location=location,
            problem="it has no source",
            advice="Name the law, list or decision that it rests on",
        )
    known_kinds = {unit.kind for unit in parts.units}
    for ref in (entry.lead, *entry.assisting):
        if not _points_at_somebody(ref, parts.units, known_kinds):
            findings.note(
                location=location,
                problem=f"{ref} is no unit and no unit has that kind",
                advice="Add the unit, or point at another",
            )


def _points_at_somebody(ref: UnitRef, units: Units, kinds: set[str]) -> bool:
    return units.find(ref.unit_id) is not None if ref.unit_id is not None else ref.kind in kinds


def check_overlaps(entries: Sequence[Entry], findings: Findings) -> None:
    """Note entries for the same matter and region that hold on the same day."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.matter, entry.region), []).append(entry)
    for group in groups.values():
        by_start = sorted(group, key=lambda entry: entry.effective_from)
        holder = by_start[0]  # of those that began so far, the one that ends last
        for entry in by_start[1:]:
            if (holder.effective_to or date.max) > entry.effective_from:
                findings.note(
                    location=f"entry {entry.entry_id}",
                    problem=f"{holder.entry_id} holds on the same days for the same place",
                    advice="End the earlier entry on the day the later one begins",
                )
            holder = max(holder, entry, key=lambda each: each.effective_to or date.max)


def check_zone(zone: Zone, regions: Regions, findings: Findings) -> None:
    """Note a zone whose host cannot answer for it."""
    host = regions.current(zone.host)
    if host is None:
        findings.note(
            location=f"zone {zone.zone_id}",
            problem=f"its host {zone.host} is retired or was never assigned",
            advice="Name the district that answers for it today",
        )
    elif host.level in {Level.PROVINCE, Level.NATION}:
        findings.note(
            location=f"zone {zone.zone_id}",
            problem=f"its host {zone.host} is no district or city",
            advice="Name the district that answers for it, or its city",
        )


def check_profile(profile: Profile, parts: Parts, findings: Findings) -> None:
    """Note a profile that can never match, has no source or binds whom it may not."""
    problems: list[tuple[str, str]] = []
    if parts.regions.current(profile.region) is None:
        problems.append((f"region {profile.region} is not in use", "Use a code that is in use"))
    if profile.matter is not None and profile.matter not in parts.matters:
        problems.append((f"matter {profile.matter} is unknown", "Use a code of matters.csv"))
    if not set(profile.ticket_types) <= set(TICKET_TYPES):
        problems.append((f"ticket types are {profile.ticket_types}", "Use 1 to 7"))
    if not set(profile.urgencies) <= set(URGENCIES):
        problems.append((f"urgencies are {profile.urgencies}", "Use 1 to 4"))
    if profile.region != NATION and profile.scope is not Scope.LOCAL:
        problems.append(
            ("one region's row would bind another province", "Only national rows leave a province")
        )
    starts, ends = profile.effective_from, profile.effective_to
    if ends is not None and starts is not None and ends <= starts:
        problems.append(
            (
                "it ends before it begins",
                "effective_to is the first day on which it no longer holds",
            )
        )
    if not profile.limits:
        problems.append(("it states no limit", "State at least one"))
    problems.extend(_slow_urgent_limits(profile))
    for problem, advice in problems:
        findings.note(location=f"profile {profile.profile_id}", problem=problem, advice=advice)


def _slow_urgent_limits(profile: Profile) -> list[tuple[str, str]]:
    if not profile.urgencies or not URGENT.issuperset(profile.urgencies):
        return []
    return [
        (f"urgent limit {step.value} is {limit}", "Count urgent limits in natural time")
        for step, limit in profile.limits.items()
        if not limit.is_natural and step is not Step.EXTENSION
    ]
