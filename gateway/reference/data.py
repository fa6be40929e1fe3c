"""Loading: `ReferenceData.load(directory)` turns the files into one immutable, versioned value.

This is the room's only file that reads. The version is a SHA-256 over the names and bytes of every
data file and over the published working days that come with `chinesecalendar`, so equal versions
mean equal answers (invariant I8). Anything malformed refuses the load with all problems at once;
what is well-formed but doubtful (a unit in a retired region, overlapping entries) is for `check`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import chinese_calendar.constants  # type: ignore[import-untyped] # the package ships no types
import yaml

from gateway.kernel.errors import FieldInvalid
from gateway.kernel.values import dataclass
from gateway.reference import matters as matter_tables
from gateway.reference import regions as region_tables
from gateway.reference import zones as zone_tables
from gateway.reference.calendar import Calendar, PublishedDays, parse_calendar
from gateway.reference.checks import Parts, check_parts
from gateway.reference.generation import (
    AUTHORITY_COLUMNS,
    KIND_COLUMNS,
    generate_units,
    parse_declaration,
    render_units,
)
from gateway.reference.matters import Kind, Matters, parse_kinds, parse_matters
from gateway.reference.regions import Regions, parse_regions
from gateway.reference.responsibility import ENTRY_COLUMNS, Responsibility, parse_entries
from gateway.reference.service_levels import ServiceLevels, parse_service_levels
from gateway.reference.tables import Finding, Findings, Row, read_table
from gateway.reference.units import UNIT_COLUMNS, Units, parse_units
from gateway.reference.zones import Zones, parse_zones

REGIONS_FILE = "areacodes.csv"
MATTERS_FILE = "matters.csv"
KINDS_FILE = "org_kinds.csv"
RESPONSIBILITY_FILE = "responsibility.csv"
CALENDAR_FILE = "calendar.yaml"
SERVICE_LEVELS_FILE = "service_levels.yaml"
SERVICE_LEVELS_FOLDER = "service_levels"  # one file per authority
ZONES_FILE = "zones.csv"
UNITS_FOLDER = "units"
DEMO_AUTHORITIES_FILE = "demo_authorities.csv"
DEMO_KINDS_FILE = "demo_kinds.csv"
SHOWN_PER_FILE_MAX = 5  # one broken table makes thousands of lines that refer to it fail
_FILE = re.compile(r".*?\.(?:csv|yaml)")  # a finding's location begins with its file
_SUFFIXES = frozenset({".csv", ".yaml"})


@dataclass(frozen=True, slots=True)
class ReferenceData:
    """Everything a node agrees on before it routes or times a ticket."""

    version: str
    regions: Regions
    matters: Matters
    kinds: Mapping[str, Kind]
    units: Units
    responsibility: Responsibility
    calendar: Calendar
    service_levels: ServiceLevels
    zones: Zones

    @classmethod
    def load(cls, directory: Path) -> ReferenceData:
        """Load a directory of reference files; raise `FieldInvalid` naming every problem."""
        return cls.of_files(_files(directory), name=directory.name)

    @classmethod
    def of_files(cls, files: Mapping[str, bytes], *, name: str) -> ReferenceData:
        """Return the data of files by their path; raise `FieldInvalid` naming every problem."""
        findings = Findings()
        data, _ = _read(files, name, findings)
        if data is None or findings.items:
            raise _refusal(name, findings)
        return data


def check(directory: Path) -> tuple[Finding, ...]:
    """Return every problem of a directory: what does not parse and what does not fit together."""
    findings = Findings()
    data, parts = _read(_files(directory), directory.name, findings)
    if data is not None and parts is not None:
        check_parts(parts, findings)
    return tuple(findings.items)


def demo_unit_files(directory: Path) -> dict[str, str]:
    """Return what `units/*.csv` must hold according to the demo tables, by file name."""
    findings = Findings()
    files = _files(directory)
    regions = parse_regions(_rows(files, REGIONS_FILE, region_tables.COLUMNS, findings), findings)
    declaration = parse_declaration(
        _rows(files, DEMO_AUTHORITIES_FILE, AUTHORITY_COLUMNS, findings),
        _rows(files, DEMO_KINDS_FILE, KIND_COLUMNS, findings),
        regions=regions,
        findings=findings,
    )
    if findings.items:
        raise _refusal(directory.name, findings)
    return render_units(generate_units(declaration, regions), regions)


def published_days() -> PublishedDays:
    """Return the published working-day tables that come with `chinesecalendar`."""
    constants = chinese_calendar.constants
    days_off: frozenset[date] = frozenset(constants.holidays)
    make_up_days: frozenset[date] = frozenset(constants.workdays)
    years = frozenset(day.year for day in days_off)
    return PublishedDays(years=years, days_off=days_off, make_up_days=make_up_days)


def _refusal(name: str, findings: Findings) -> FieldInvalid:
    """Return the error that names every file with its first problems."""
    by_file: dict[str, list[str]] = {}
    for finding in findings.items:
        found = _FILE.match(finding.location)
        by_file.setdefault(found[0] if found else "", []).append(str(finding))
    lines: list[str] = []
    for file, problems in by_file.items():
        lines += problems[:SHOWN_PER_FILE_MAX]
        if (hidden := len(problems) - SHOWN_PER_FILE_MAX) > 0:
            lines.append(f"{file}: and {hidden} more")
    return FieldInvalid(
        field="reference",
        got=f"{len(findings.items)} problems in {name}",
        expected="files that parse",
        hint=" | ".join([*lines, "see all with `lubiao reference check`"]),
    )


def _files(directory: Path) -> dict[str, bytes]:
    """Return the bytes of every data file by its path below `directory`, sorted."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.suffix in _SUFFIXES and path.is_file()
    }


def _version(files: Mapping[str, bytes], published: PublishedDays) -> str:
    digest = hashlib.sha256()
    for name, content in (*files.items(), ("published-days", published.canonical().encode())):
        # Lengths go in, so no two sets of files share one stream of bytes.
        digest.update(f"{len(name)}:{name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def _text(files: Mapping[str, bytes], file: str, findings: Findings) -> str:
    if file not in files:
        findings.note(location=file, problem="the file is missing", advice="Restore or create it")
        return ""
    try:
        return files[file].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        findings.note(
            location=file,
            problem=f"byte {error.start} is not UTF-8",
            advice="Save the file as UTF-8 (not GBK)",
        )
        return ""


def _rows(
    files: Mapping[str, bytes], file: str, columns: tuple[str, ...], findings: Findings
) -> tuple[Row, ...]:
    text = _text(files, file, findings)
    return read_table(text, file=file, columns=columns, findings=findings) if text else ()


def _yaml(files: Mapping[str, bytes], file: str, findings: Findings) -> object:
    try:
        return yaml.safe_load(_text(files, file, findings)) or {}
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        findings.note(location=file, problem=problem, advice="Correct the YAML syntax")
        return {}


def _read(
    files: Mapping[str, bytes], name: str, findings: Findings
) -> tuple[ReferenceData | None, Parts | None]:
    """Return the data and its parts as far as they can be read; None without any file."""
    if not files:
        findings.note(
            location=name,
            problem="there is no reference file here",
            advice="Point at a directory like routing_rules/reference",
        )
        return None, None
    published = published_days()
    regions = parse_regions(_rows(files, REGIONS_FILE, region_tables.COLUMNS, findings), findings)
    kinds = parse_kinds(_rows(files, KINDS_FILE, matter_tables.KIND_COLUMNS, findings), findings)
    matters = parse_matters(
        _rows(files, MATTERS_FILE, matter_tables.MATTER_COLUMNS, findings),
        kinds=kinds,
        findings=findings,
    )
    unit_rows = (
        row
        for file in files
        if file.startswith(f"{UNITS_FOLDER}/")
        for row in _rows(files, file, UNIT_COLUMNS, findings)
    )
    units = parse_units(unit_rows, regions=regions, kinds=kinds, findings=findings)
    entries = parse_entries(_rows(files, RESPONSIBILITY_FILE, ENTRY_COLUMNS, findings), findings)
    calendar = parse_calendar(
        _yaml(files, CALENDAR_FILE, findings),
        published=published,
        file=CALENDAR_FILE,
        findings=findings,
    )
    own_levels = (file for file in files if file.startswith(f"{SERVICE_LEVELS_FOLDER}/"))
    profiles = parse_service_levels(
        {file: _yaml(files, file, findings) for file in (SERVICE_LEVELS_FILE, *own_levels)},
        regions=regions,
        findings=findings,
    )
    zones = parse_zones(_rows(files, ZONES_FILE, zone_tables.COLUMNS, findings), findings)
    data = ReferenceData(
        version=_version(files, published),
        regions=regions,
        matters=matters,
        kinds=kinds,
        units=units,
        responsibility=Responsibility(
            entries, regions=regions, matters=matters, kinds=kinds, units=units
        ),
        calendar=calendar,
        service_levels=ServiceLevels(profiles, regions=regions),
        zones=zones,
    )
    return data, Parts(regions, matters, units, entries, profiles, zones)
