"""The responsibility list: who answers for a matter in a place on a day.

Routing asks this only when no rule has decided, so the answer must be total and the same every
time. Two passes, first hit wins:

1. **Entries** of the list whose matter, region and dates fit: the smallest region first, then the
   most exact matter, then the newest entry, then the id. An entry points at a unit, or at a kind;
   a kind is sought from the place upwards, beginning on the entry's level if it has one.
2. **The catalogue**: the kinds that lead the matter and the matters above it, the matter's own
   first; each is sought from the place upwards: county → city → province.

Nothing found, or a matter whose lead depends on more than its code: `NotFound`, and the caller
gives the ticket to the triage desk (研判), never silently to the place's government. Only units of
the given authorities count, so a city never assigns to its province's bodies or the other way
round. Dates are half-open: from the first day on, until before the last.
See docs/reference.md#responsibility.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from enum import Enum

from gateway.kernel.values import dataclass
from gateway.reference.matters import Kind, Management, Matter, Matters, matter_path
from gateway.reference.regions import Level, Regions
from gateway.reference.tables import Findings, Row, parse_day
from gateway.reference.units import Unit, UnitRef, Units, parse_unit_ref

ENTRY_COLUMNS = (
    "entry_id",
    "matter",
    "region",
    "level",
    "effective_from",
    "effective_to",
    "lead",
    "assisting",
    "source",
)
EMERGENCY_KIND = "JJD"  # 110, 119, 120, 122: referred live by a rule, never assigned as a ticket
CATALOGUE = "catalogue"  # prefix of the entry id when the catalogue itself decides


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list: in `region`, for `matter` and below, `lead` answers."""

    entry_id: str
    matter: str
    region: str
    lead: UnitRef
    effective_from: date
    effective_to: date | None = None
    level: Level | None = None
    assisting: tuple[UnitRef, ...] = ()
    source: str = ""

    def is_effective(self, on: date) -> bool:
        """Tell whether the entry holds on a day."""
        return self.effective_from <= on and (self.effective_to is None or on < self.effective_to)


@dataclass(frozen=True, slots=True)
class Rung:
    """One place where nobody was found: what was sought there, and for which entry."""

    entry_id: str
    region: str
    wanted: str


class Reason(Enum):
    """Why nobody was found."""

    NO_UNIT = "no unit of the kind in the place or above it"
    BY_RULE = "the lead depends on facts beyond the matter code"
    OTHER_WAY = "a court, an arbitration board or an emergency service, not a unit"
    MATTER_UNKNOWN = "the catalogue has neither the matter nor one above it"
    REGION_UNKNOWN = "the region was never assigned"


@dataclass(frozen=True, slots=True)
class Found:
    """The answering unit, those that assist, the entry that says so and the way there."""

    unit: Unit
    entry_id: str
    climbed: tuple[Rung, ...] = ()
    assisting: tuple[Unit, ...] = ()


@dataclass(frozen=True, slots=True)
class NotFound:
    """Nobody: the triage desk decides."""

    reason: Reason
    climbed: tuple[Rung, ...] = ()


Answer = Found | NotFound


class Responsibility:
    """The list over the catalogue, the regions and the units."""

    def __init__(
        self,
        entries: Iterable[Entry],
        *,
        regions: Regions,
        matters: Matters,
        kinds: Mapping[str, Kind],
        units: Units,
    ) -> None:
        """Index the entries by matter."""
        self._regions, self._matters, self._kinds, self._units = regions, matters, kinds, units
        self._entries: dict[str, list[Entry]] = {}
        for entry in entries:
            self._entries.setdefault(entry.matter, []).append(entry)

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over all entries."""
        return (entry for entries in self._entries.values() for entry in entries)

    def responsible_unit(
        self, matter: str, *, region: str, on: date, authorities: Collection[str] | None = None
    ) -> Answer:
        """Return who answers; `region` is in use today, `authorities` None means everyone."""
        if region not in self._regions:
            return NotFound(Reason.REGION_UNKNOWN)
        climbed: list[Rung] = []
        search = _Search(self._regions, self._units, region, authorities)
        for entry in self._fitting(matter, region=region, on=on):
            if unit := search.seek(entry.lead, entry.entry_id, level=entry.level, climbed=climbed):
                assisting = search.seek_helpers(entry, lead=unit)
                return Found(unit, entry.entry_id, tuple(climbed), assisting)
        return self._by_catalogue(matter, search, climbed)

    def _fitting(self, matter: str, *, region: str, on: date) -> list[Entry]:
        regions, matters = self._regions.path(region), matter_path(matter)
        fitting = [
            entry
            for code in matters
            for entry in self._entries.get(code, ())
            if entry.region in regions and entry.is_effective(on)
        ]
        return sorted(
            fitting,
            key=lambda entry: (
                regions.index(entry.region),
                matters.index(entry.matter),
                -entry.effective_from.toordinal(),
                entry.entry_id,
            ),
        )

    def _by_catalogue(self, matter: str, search: _Search, climbed: list[Rung]) -> Answer:
        known = [found for code in matter_path(matter) if (found := self._matters.find(code))]
        if not known:
            return NotFound(Reason.MATTER_UNKNOWN, tuple(climbed))
        if (reason := self._no_body(known[0])) is not None:
            return NotFound(reason, tuple(climbed))
        sought: set[str] = set()
        for entry in known:
            if entry.lead_kind in sought:
                continue
            sought.add(entry.lead_kind)
            entry_id = f"{CATALOGUE}:{entry.code}"
            ref = UnitRef(kind=entry.lead_kind)
            if unit := search.seek(ref, entry_id, level=None, climbed=climbed):
                return Found(unit, entry_id, tuple(climbed))
        return NotFound(Reason.NO_UNIT, tuple(climbed))

    def _no_body(self, matter: Matter) -> Reason | None:
        """Return why the catalogue itself names no body for the matter, if so."""
        if matter.lead_kind == EMERGENCY_KIND:
            return Reason.OTHER_WAY
        match self._kinds[matter.lead_kind].management:
            case Management.BY_RULE:
                return Reason.BY_RULE
            case Management.JUDICIAL:
                return Reason.OTHER_WAY
            case _:
                return None


@dataclass(frozen=True, slots=True)
class _Search:
    """A search from one place upwards among the units of some authorities."""

    regions: Regions
    units: Units
    region: str
    authorities: Collection[str] | None

    def seek(
        self, ref: UnitRef, entry_id: str, *, level: Level | None, climbed: list[Rung]
    ) -> Unit | None:
        """Return the unit that `ref` means here, noting every place where there was none."""
        if ref.unit_id is not None:
            unit = self.units.find(ref.unit_id)
            if unit is not None and self._may_take(unit):
                return unit
            climbed.append(Rung(entry_id, self.region, str(ref)))
            return None
        for region in self._path(level):
            for unit in self.units.of_kind(region=region, kind=ref.kind):
                if ref.number in {None, unit.number} and self._may_take(unit):
                    return unit
            climbed.append(Rung(entry_id, region, str(ref)))
        return None

    def seek_helpers(self, entry: Entry, *, lead: Unit) -> tuple[Unit, ...]:
        """Return the assisting units of an entry that exist here, each once, never the lead."""
        helpers: dict[Unit, None] = {}
        for ref in entry.assisting:
            helper = self.seek(ref, entry.entry_id, level=entry.level, climbed=[])
            if helper is not None and helper != lead:
                helpers[helper] = None
        return tuple(helpers)

    def _may_take(self, unit: Unit) -> bool:
        return self.authorities is None or unit.authority in self.authorities

    def _path(self, level: Level | None) -> tuple[str, ...]:
        """Return the place and what is above it, from `level` on, without the nation."""
        lowest = Level.COUNTY if level is None else level
        return tuple(
            code
            for code in self.regions.path(self.region)
            if Level.NATION < self.regions.level(code) <= lowest
        )


def explain(answer: Answer) -> tuple[str, ...]:
    """Return the climb in Chinese lines for a trace or a person."""
    lines = [
        f"{rung.region} 无可派的 {rung.wanted}（依据 {rung.entry_id}）" for rung in answer.climbed
    ]
    if isinstance(answer, NotFound):
        lines.append(f"转研判席：{_REASON_TEXTS[answer.reason]}")
    else:
        unit, names = answer.unit, "、".join(each.unit_id for each in answer.assisting)
        helpers = f"，协办 {names}" if names else ""
        lines.append(f"主办 {unit.unit_id} {unit.name}（依据 {answer.entry_id}）{helpers}")
    return tuple(lines)


_REASON_TEXTS = {
    Reason.NO_UNIT: "所在地及其上级均无对应承办单位",
    Reason.BY_RULE: "主办单位须结合事实判定",
    Reason.OTHER_WAY: "应走司法、仲裁或紧急救助途径",
    Reason.MATTER_UNKNOWN: "事项目录中无此事项",
    Reason.REGION_UNKNOWN: "区划代码从未启用",
}


def parse_entries(rows: Iterable[Row], findings: Findings) -> tuple[Entry, ...]:
    """Return the entries of `responsibility.csv`, noting rows that cannot be used."""
    entries: dict[str, Entry] = {}
    for row in rows:
        entry = _parse_entry(row, findings)
        if entry is None:
            continue
        if entry.entry_id in entries:
            findings.note(
                location=row.location,
                problem=f"entry {entry.entry_id} is there twice",
                advice="Give every entry an id of its own and never reuse one",
            )
            continue
        entries[entry.entry_id] = entry
    return tuple(entries.values())


def _parse_entry(row: Row, findings: Findings) -> Entry | None:
    lead = parse_unit_ref(row["lead"])
    assisting = [parse_unit_ref(text) for text in row["assisting"].split(";") if text]
    level_text = row["level"]
    is_level = not level_text or level_text in Level.__members__
    starts = parse_day(row["effective_from"], location=row.location, findings=findings)
    ends_text = row["effective_to"]
    ends = parse_day(ends_text, location=row.location, findings=findings) if ends_text else date.max
    if not row["entry_id"] or lead is None or None in assisting or not is_level:
        findings.note(
            location=row.location,
            problem=f"entry {row['entry_id']!r}: lead {row['lead']!r}, assisting "
            f"{row['assisting']!r} or level {level_text!r} does not parse",
            advice="Point at 131000-JT-1, JT or GY-2; the level is empty, PROVINCE, CITY or COUNTY",
        )
        return None
    if starts is None or ends is None:
        return None
    return Entry(
        entry_id=row["entry_id"],
        matter=row["matter"],
        region=row["region"],
        lead=lead,
        effective_from=starts,
        effective_to=ends if ends_text else None,
        level=Level[level_text] if level_text else None,
        assisting=tuple(ref for ref in assisting if ref is not None),
        source=row["source"],
    )
