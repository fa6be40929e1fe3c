"""Units: the bodies that handle tickets, and the triage desk of every authority.

A unit belongs to one authority (whose hotline may assign to it) and to one platform (where it
fetches its work). Its id is `{region}-{kind}-{n}`, a desk's is `{authority}-desk`; the resource
name puts `units/` before it. A responsibility list points at units in three ways, see `UnitRef`.
See docs/reference.md#units.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.ids import AuthorityCode, UnitId
from gateway.kernel.values import dataclass
from gateway.reference.matters import Kind
from gateway.reference.regions import Level, Regions
from gateway.reference.tables import Findings, Row

UNIT_COLUMNS = ("unit_id", "name", "region", "kind", "authority", "platform")
DESK_KIND = "RX"  # a desk is part of the hotline body itself
_UNIT_ID = re.compile(r"([1-9][0-9]{5})-([A-Z]+(?:_[A-Z]+)*)-([1-9][0-9]{0,3})")
_DESK_ID = re.compile(r"([1-9][0-9]{5})-desk")
_KIND_REF = re.compile(r"([A-Z]+(?:_[A-Z]+)*)(?:-([1-9][0-9]{0,3}))?")


@dataclass(frozen=True, slots=True)
class Unit:
    """A handling body (承办单位) or a triage desk (研判席)."""

    unit_id: UnitId
    name: str
    region: str
    level: Level
    kind: str
    platform: str | None
    authority: AuthorityCode

    @property
    def is_desk(self) -> bool:
        """Tell whether this is its authority's triage desk."""
        return self.unit_id == desk_id(self.authority)

    @property
    def number(self) -> int:
        """Return the place among the units of one kind in one region; 0 for a desk."""
        found = _UNIT_ID.fullmatch(self.unit_id)
        return int(found[3]) if found else 0


@dataclass(frozen=True, slots=True)
class UnitRef:
    """How an entry points: at a unit (`131000-JT-1`), a kind (`JT`) or one of it (`GY-2`).

    A kind means that kind's body in whatever place is asked about, its first unit there.
    """

    unit_id: UnitId | None = None
    kind: str = ""
    number: int | None = None

    def __str__(self) -> str:
        """Return the text form."""
        return self.unit_id or (self.kind if self.number is None else f"{self.kind}-{self.number}")


class Units:
    """All units by id, by place and kind, by platform."""

    def __init__(self, units: Iterable[Unit]) -> None:
        """Index the units."""
        self._units = {unit.unit_id: unit for unit in units}
        by_place: dict[tuple[str, str], list[Unit]] = {}
        for unit in self._units.values():
            if not unit.is_desk:
                by_place.setdefault((unit.region, unit.kind), []).append(unit)
        self._by_place = {
            place: tuple(sorted(found, key=lambda unit: unit.number))
            for place, found in by_place.items()
        }

    def __iter__(self) -> Iterator[Unit]:
        """Iterate over all units, desks among them, in the order of the files."""
        return iter(self._units.values())

    def __len__(self) -> int:
        """Return the number of units and desks."""
        return len(self._units)

    def find(self, unit_id: str) -> Unit | None:
        """Return a unit by its id (without `units/`), or None."""
        return self._units.get(UnitId(unit_id))

    def get(self, unit_id: str) -> Unit:
        """Return a unit by its id; raise `ResourceNotFound` if there is none."""
        if (unit := self.find(unit_id)) is None:
            raise ResourceNotFound(kind="unit", name=unit_id)
        return unit

    def desk_of(self, authority: str) -> Unit:
        """Return the triage desk of an authority; raise `ResourceNotFound` if it has none."""
        return self.get(desk_id(authority))

    def authorities(self) -> frozenset[AuthorityCode]:
        """Return the authorities that have units here."""
        return frozenset(unit.authority for unit in self._units.values())

    def of_kind(self, *, region: str, kind: str) -> tuple[Unit, ...]:
        """Return the units of a kind in exactly this region, first the lowest number."""
        return self._by_place.get((region, kind), ())

    def on_platform(self, platform: str) -> tuple[Unit, ...]:
        """Return the units whose work this platform fetches, desks among them."""
        return tuple(unit for unit in self._units.values() if unit.platform == platform)


def desk_id(authority: str) -> UnitId:
    """Return the id of an authority's triage desk."""
    return UnitId(f"{authority}-desk")


def parse_unit_ref(text: str) -> UnitRef | None:
    """Return what a text of a responsibility list points at, or None when it does not parse."""
    if _UNIT_ID.fullmatch(text) or _DESK_ID.fullmatch(text):
        return UnitRef(unit_id=UnitId(text))
    found = _KIND_REF.fullmatch(text)
    if found is None:
        return None
    return UnitRef(kind=found[1], number=int(found[2]) if found[2] else None)


def parse_units(
    rows: Iterable[Row], *, regions: Regions, kinds: Mapping[str, Kind], findings: Findings
) -> Units:
    """Return the units of the tables `units/*.csv`, noting rows that cannot be used."""
    units: dict[str, Unit] = {}
    for row in rows:
        unit_id, region, kind = row["unit_id"], row["region"], row["kind"]
        found = _UNIT_ID.fullmatch(unit_id)
        fits = found is not None and found.group(1, 2) == (region, kind)
        is_desk = unit_id == desk_id(region) and kind == DESK_KIND
        problem = None
        if not fits and not is_desk:
            problem = f"unit id {unit_id!r} does not fit region {region!r} and kind {kind!r}"
        elif unit_id in units:
            problem = f"unit {unit_id} is there twice"
        elif region not in regions or kind not in kinds:
            problem = f"unit {unit_id}: region {region!r} or kind {kind!r} is not known"
        elif row["authority"] not in regions.path(region):
            problem = f"unit {unit_id}: authority {row['authority']!r} does not contain its region"
        if problem is not None:
            findings.note(
                location=row.location,
                problem=problem,
                advice="Write {region}-{kind}-{n} once, with an authority at or above the region",
            )
            continue
        units[unit_id] = Unit(
            unit_id=UnitId(unit_id),
            name=row["name"],
            region=region,
            level=regions.level(region),
            kind=kind,
            platform=row["platform"] or None,
            authority=AuthorityCode(row["authority"]),
        )
    return Units(units.values())
