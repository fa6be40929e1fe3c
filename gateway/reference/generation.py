"""Demonstration units: one body of each declared kind in every place of the demo's authorities.

No real list of bodies can ship with the project, so this makes a plausible one from two small
tables: which authorities there are (with the platform that fetches their units' work) and which
kinds exist on which level under which name (an empty cell: none there, so the search climbs).
A place gets units when it is an authority, or a county directly below one. Same tables, same
result, byte for byte; a test keeps `units/*.csv` fresh. A real authority replaces its file.
Another province is added by a line in `demo_authorities.csv`. See docs/reference.md#demo-units.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from io import StringIO

from gateway.kernel.ids import AuthorityCode
from gateway.kernel.values import dataclass
from gateway.reference.regions import Level, Regions
from gateway.reference.tables import Findings, Row
from gateway.reference.units import DESK_KIND, UNIT_COLUMNS, Unit, desk_id, parse_unit_ref

AUTHORITY_COLUMNS = ("authority", "platform")
KIND_COLUMNS = ("kind", "number", "province", "municipality", "city", "county", "district")
# 直辖市: provinces whose districts have no prefecture above and bodies named like a city's.
MUNICIPALITIES = frozenset({"110000", "120000", "310000", "500000"})
_LEVEL_COLUMNS = {Level.PROVINCE: "province", Level.CITY: "city", Level.COUNTY: "county"}


@dataclass(frozen=True, slots=True)
class Declaration:
    """The two tables: platform by authority, and the names of each kind by column."""

    platforms: dict[str, str]
    kinds: tuple[Row, ...]


def parse_declaration(
    authorities: Iterable[Row], kinds: Iterable[Row], *, regions: Regions, findings: Findings
) -> Declaration:
    """Return the declaration, noting authorities and kinds that cannot be used."""
    platforms: dict[str, str] = {}
    for row in authorities:
        region = regions.current(row["authority"])
        if region is None or region.level is Level.COUNTY:
            findings.note(
                location=row.location,
                problem=f"authority {row['authority']!r} is no province or city in use",
                advice="Give a code of areacodes.csv",
            )
            continue
        platforms[region.code] = row["platform"]
    usable: list[Row] = []
    for row in kinds:
        if parse_unit_ref(f"{row['kind']}-{row['number']}") is None:
            findings.note(
                location=row.location,
                problem=f"kind {row['kind']!r} with number {row['number']!r} does not parse",
                advice="Give a kind of org_kinds.csv and a number from 1",
            )
            continue
        usable.append(row)
    return Declaration(platforms, tuple(usable))


def generate_units(declaration: Declaration, regions: Regions) -> tuple[Unit, ...]:
    """Return the desks and units of the declared authorities, in the order of their codes."""
    units: list[Unit] = []
    for authority in sorted(declaration.platforms):
        platform = declaration.platforms[authority]
        units.append(
            Unit(
                unit_id=desk_id(authority),
                name=f"{regions.name(authority)}12345研判席",
                region=authority,
                level=regions.level(authority),
                kind=DESK_KIND,
                platform=platform,
                authority=AuthorityCode(authority),
            )
        )
        counties = [c for c in regions.children(authority) if regions.level(c) is Level.COUNTY]
        for region in (authority, *counties):
            units.extend(
                _units_of(region, authority=authority, declaration=declaration, regions=regions)
            )
    return tuple(units)


def _units_of(
    region: str, *, authority: str, declaration: Declaration, regions: Regions
) -> Iterator[Unit]:
    column = _column(region, regions)
    place = _place_name(region, regions)
    for row in declaration.kinds:
        reference = parse_unit_ref(f"{region}-{row['kind']}-{row['number']}")
        if not row[column] or reference is None or reference.unit_id is None:
            continue
        yield Unit(
            unit_id=reference.unit_id,
            name=place + row[column],
            region=region,
            level=regions.level(region),
            kind=row["kind"],
            platform=declaration.platforms[authority],
            authority=AuthorityCode(authority),
        )


def _column(region: str, regions: Regions) -> str:
    if region in MUNICIPALITIES:
        return "municipality"
    if regions.level(region) is Level.COUNTY and regions.name(region).endswith("区"):
        return "district"
    return _LEVEL_COLUMNS[regions.level(region)]


def _place_name(region: str, regions: Regions) -> str:
    """Return the name, with the city before a district: there are many 和平区 and 桥西区."""
    name = regions.name(region)
    parent = regions.parent(region)
    if _column(region, regions) == "district" and parent is not None:
        return regions.name(parent) + name
    return name


def render_units(units: Iterable[Unit], regions: Regions) -> dict[str, str]:
    """Return the CSV text of each province's file by file name."""
    texts: dict[str, StringIO] = {}
    for unit in units:
        file = f"{regions.province_of(unit.region)}.csv"
        if file not in texts:
            texts[file] = StringIO()
            csv.writer(texts[file], lineterminator="\n").writerow(UNIT_COLUMNS)
        csv.writer(texts[file], lineterminator="\n").writerow(
            (unit.unit_id, unit.name, unit.region, unit.kind, unit.authority, unit.platform or "")
        )
    return {file: text.getvalue() for file, text in texts.items()}
