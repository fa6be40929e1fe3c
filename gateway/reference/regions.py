"""Regions and their succession: which place does a six-digit code mean, and whose is it today?

A code alone is ambiguous in time (359 codes had more than one holder), so `resolve` takes the year
in which the code was valid for the speaker. The years of the file mean "as of 31 December": a
record holds for `since <= year < until`, and a partial transfer stamped `[1996]` concerns only
those who speak as of 1995 or earlier. The walk follows a record to its successors, each judged in
the year of the change, until it meets records that are in use:

* one target: `Resolved`; several: `Candidates`, unless one of them contains all the others;
* a prefecture that ended without a named successor is derived: the common holder of what its
  counties became; when they went to several prefectures these are the candidates. Never a guess;
* a code that was never assigned: `UnknownRegion`.

A year outside a code's life means the nearest year in which it lived. `resolve` is total.
Provinces directly above counties (直辖: 天津, 上海; 仙桃, 五家渠) have no level between, and a
prefecture may have no counties (东莞). See docs/reference.md#regions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from enum import IntEnum

from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.ids import NATION
from gateway.kernel.values import dataclass
from gateway.reference.tables import Findings, Row

COLUMNS = (
    "代码",
    "一级行政区",
    "二级行政区",
    "名称",
    "级别",
    "状态",
    "启用时间",
    "变更/弃用时间",
    "新代码",
)
_CODE = re.compile(r"[1-9][0-9]{5}")
_SUCCESSOR = re.compile(r"([1-9][0-9]{5})(?:\[([0-9]{4})\])?")
_YEAR = re.compile(r"[0-9]{4}")


class Level(IntEnum):
    """Administrative level; a greater value is a smaller place."""

    NATION = 0
    PROVINCE = 1
    CITY = 2
    COUNTY = 3


_LEVELS = {"省级": Level.PROVINCE, "地级": Level.CITY, "县级": Level.COUNTY}


@dataclass(frozen=True, slots=True)
class Successor:
    """Where a region's territory went: all that was left of it, or in `year` a part of it."""

    code: str
    year: int | None


@dataclass(frozen=True, slots=True)
class Region:
    """One life of a code: who held it from `since` until before `until` (None: in use)."""

    code: str
    name: str
    level: Level
    parent: str
    since: int
    until: int | None = None
    successors: tuple[Successor, ...] = ()

    def holds_in(self, year: int) -> bool:
        """Tell whether the code meant this region on 31 December of `year`."""
        return self.since <= year and (self.until is None or year < self.until)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The one region of today; `via` are the codes passed on the way, given code first."""

    code: str
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidates:
    """Several regions of today are possible; a person or the address must decide."""

    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnknownRegion:
    """The code was never assigned to a county or anything above it."""

    code: str


Resolution = Resolved | Candidates | UnknownRegion

_NATION_RECORD = Region(code=NATION, name="全国", level=Level.NATION, parent="", since=0)


class Regions:
    """All regions of county level and above since 1981, by code."""

    def __init__(self, records: Iterable[Region]) -> None:
        """Index the records; every successor's code must be among them (see `parse_regions`)."""
        lives: dict[str, list[Region]] = {NATION: [_NATION_RECORD]}
        below: dict[str, list[str]] = {}
        for record in records:
            lives.setdefault(record.code, []).append(record)
        for code, held in lives.items():
            held.sort(key=lambda record: record.since)
            for parent in dict.fromkeys(record.parent for record in held):
                below.setdefault(parent, []).append(code)
        self._lives = {code: tuple(held) for code, held in lives.items()}
        self._below = {code: tuple(sorted(codes)) for code, codes in below.items()}
        self._ancestors = {code: self._climb(code) for code in self._lives}
        self._paths = {code: (code, *above) for code, above in self._ancestors.items()}

    def __contains__(self, code: object) -> bool:
        """Tell whether the code is or ever was assigned."""
        return code in self._lives

    def resolve(self, code: str, *, as_of_year: int) -> Resolution:
        """Return what the code, as valid in `as_of_year`, is today."""
        if code not in self._lives:
            return UnknownRegion(code)
        ends = self._follow(code, year=as_of_year, via=(), seen=set())
        for end, via in ends.items():
            if all(self.is_within(other, end) for other in ends):
                return Resolved(end, via)
        return Candidates(tuple(sorted(ends)))

    def find(self, code: str) -> Region | None:
        """Return the newest record of a code, in use or not, or None if never assigned."""
        lives = self._lives.get(code)
        return lives[-1] if lives else None

    def get(self, code: str) -> Region:
        """Return the newest record of a code; raise `ResourceNotFound` if never assigned."""
        if (record := self.find(code)) is None:
            raise ResourceNotFound(kind="region", name=code)
        return record

    def current(self, code: str) -> Region | None:
        """Return the record in use, or None if the code is retired or was never assigned."""
        record = self.find(code)
        return record if record is not None and record.until is None else None

    def lives(self, code: str) -> tuple[Region, ...]:
        """Return every record of a code, oldest first."""
        return self._lives.get(code, ())

    def codes(self) -> tuple[str, ...]:
        """Return every code that was ever assigned, the nation first."""
        return tuple(self._lives)

    def name(self, code: str, *, as_of_year: int | None = None) -> str:
        """Return the region's own name, of today or as of a year."""
        if as_of_year is None:
            return self.get(code).name
        self.get(code)
        return self._life(code, as_of_year).name

    def level(self, code: str) -> Level:
        """Return the administrative level of a code."""
        return self.get(code).level

    def parent(self, code: str) -> str | None:
        """Return the region directly above, None for the nation."""
        return self.get(code).parent or None

    def ancestors(self, code: str) -> tuple[str, ...]:
        """Return the regions above, nearest first, the nation last; retired codes as they were."""
        self.get(code)
        return self._ancestors[code]

    def path(self, code: str) -> tuple[str, ...]:
        """Return the code itself and its ancestors; for one code always the same object."""
        if (path := self._paths.get(code)) is None:
            raise ResourceNotFound(kind="region", name=code)
        return path

    def children(self, code: str) -> tuple[str, ...]:
        """Return the regions in use directly below."""
        below = self._below.get(code, ())
        return tuple(c for c in below if (r := self.current(c)) is not None and r.parent == code)

    def province_of(self, code: str) -> str | None:
        """Return the province of a code (itself for a province), None for the nation."""
        return next((c for c in self.path(code) if self.level(c) is Level.PROVINCE), None)

    def is_within(self, code: str, area: str) -> bool:
        """Tell whether the region `code` is `area` or lies in it; false for unknown codes."""
        return code in self._lives and (code == area or area in self._ancestors[code])

    def nearest(self, code: str, *, among: Collection[str]) -> str | None:
        """Return the first of the code and its ancestors that is in `among`, if any."""
        return next((c for c in self.path(code) if c in among), None)

    def _climb(self, code: str) -> tuple[str, ...]:
        above: list[str] = []
        while parent := self._lives[code][-1].parent:
            above.append(parent)
            code = parent
        return tuple(above)

    def _life(self, code: str, year: int) -> Region:
        """Return the newest record that had begun by `year`, else the oldest."""
        lives = self._lives[code]
        return next((life for life in reversed(lives) if life.since <= year), lives[0])

    def _follow(
        self, code: str, *, year: int, via: tuple[str, ...], seen: set[tuple[str, int, int]]
    ) -> dict[str, tuple[str, ...]]:
        """Return the codes in use that `code` of `year` became, each with the way there.

        `seen` bounds the walk: a record is left once per year of arrival, so even a file with a
        circle of successors ends.
        """
        record = self._life(code, year)
        year = max(year, record.since)
        if record.until is not None:
            year = min(year, record.until - 1)
        if (code, record.since, year) in seen:
            return {}
        seen.add((code, record.since, year))
        ends: dict[str, tuple[str, ...]] = {}
        if record.until is None:
            ends[code] = via
        elif self._is_silent(record):
            ends |= self._derive(record, year=year, via=via, seen=seen)
        for successor in record.successors:
            if successor.year is not None and successor.year <= year:
                continue  # that part had left before the speaker's year
            then = successor.year if successor.year is not None else record.until or year
            way = via if successor.code == code else (*via, code)
            for end, found in self._follow(successor.code, year=then, via=way, seen=seen).items():
                ends.setdefault(end, found)
        return ends

    def _is_silent(self, record: Region) -> bool:
        """Tell whether an ended record names nobody who took over what was left."""
        return all(successor.year is not None for successor in record.successors)

    def _derive(
        self, record: Region, *, year: int, via: tuple[str, ...], seen: set[tuple[str, int, int]]
    ) -> dict[str, tuple[str, ...]]:
        """Return who took over a region that ended without saying so."""
        until = record.until or year
        if any(life.since == until for life in self._lives[record.code]):
            return self._follow(record.code, year=until, via=via, seen=seen)  # only renamed
        way = (*via, record.code)
        ends: dict[str, None] = {}
        for child in self._below.get(record.code, ()):
            if self._life(child, year).holds_in(year):
                ends |= dict.fromkeys(self._follow(child, year=year, via=way, seen=set()))
        if not ends and record.parent:
            return self._follow(record.parent, year=until, via=way, seen=seen)
        return dict.fromkeys(self._holders(ends), way)

    def _holders(self, ends: Collection[str]) -> tuple[str, ...]:
        """Return the one region that holds all `ends`, else the prefecture of each."""
        above = {end: self._above_county(end) for end in ends}
        if len(holders := set(above.values())) == 1:
            return tuple(holders)
        # A county directly below its province stands for itself: the province would hide the rest.
        return tuple(
            holder if self.level(holder) is Level.CITY else end for end, holder in above.items()
        )

    def _above_county(self, code: str) -> str:
        record = self.get(code)
        return record.parent if record.level is Level.COUNTY else code


def parse_regions(rows: Iterable[Row], findings: Findings) -> Regions:
    """Return the regions of `areacodes.csv`, noting rows that cannot be used."""
    records: list[tuple[str, Region]] = []
    for row in rows:
        record = _parse_region(row, findings)
        if record is not None:
            records.append((row.location, record))
    codes = {record.code for _, record in records} | {NATION}
    usable: list[Region] = []
    for location, record in records:
        named = [record.parent, *(successor.code for successor in record.successors)]
        if missing := [code for code in named if code not in codes]:
            findings.note(
                location=location,
                problem=f"{record.code} refers to {', '.join(missing)}, which have no row",
                advice="Add their rows or correct the code",
            )
        else:
            usable.append(record)
    return Regions(usable)


def _parse_region(row: Row, findings: Findings) -> Region | None:
    code, since, until = row["代码"], row["启用时间"], row["变更/弃用时间"]
    level = _LEVELS.get(row["级别"])
    parts = [_SUCCESSOR.fullmatch(part) for part in row["新代码"].split(";") if part]
    years_fit = _YEAR.fullmatch(since) and (not until or _YEAR.fullmatch(until))
    if not _CODE.fullmatch(code) or level is None or not years_fit or None in parts:
        findings.note(
            location=row.location,
            problem=f"code {code!r}, level {row['级别']!r}, years {since!r}..{until!r} or "
            f"successors {row['新代码']!r} do not parse",
            advice="Give a six-digit code, 省级, 地级 or 县级, years, and codes like 330102[1996]",
        )
        return None
    return Region(
        code=code,
        name=row["名称"],
        level=level,
        parent=_parent_code(code, level=level, is_direct=row["二级行政区"] == "直辖"),
        since=int(since),
        until=int(until) if until else None,
        successors=tuple(
            Successor(part[1], int(part[2]) if part[2] else None) for part in parts if part
        ),
    )


def _parent_code(code: str, *, level: Level, is_direct: bool) -> str:
    if level is Level.PROVINCE:
        return NATION
    if level is Level.CITY or is_direct:
        return code[:2] + "0000"
    return code[:4] + "00"
