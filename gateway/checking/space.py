"""The tickets that rules can tell apart, cut into the fewest pieces (*atoms*).

Each selector is a *dimension*. Two tickets that no selector of the rules at hand distinguishes lie
in the same atom of each dimension, so that a set of values is a small bit mask:

* region and matter are trees. The atom of a named code is everything at or below it that is not at
  or below another named code; the last atom is what lies outside all of them. So an area is the
  union of the atoms named at or below it, exactly, and the code *itself* (a ticket that names no
  smaller place) lies in its own atom;
* days are cut where a rule begins or ends, and, when a rule asks for working or rest days, by the
  kind of day, as far as such days exist between the cuts. Minutes are cut where hours begin or end;
* code tables have an atom per value, zones one per named zone and one for everything else.

Risk tags and reported kinds are sets of which one suffices, and conditions are expressions: these
stay as they are (see `boxes`). Only days from the check on count: the past is not decided again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, date, timedelta
from enum import IntEnum
from functools import lru_cache

from gateway.checking.implied import condition_of
from gateway.kernel.codes import Channel, Code, SubjectKind, TicketType, Urgency
from gateway.kernel.ids import NATION
from gateway.reference.matters import matter_path
from gateway.reference.regions import Regions
from gateway.routing.facts import MINUTES_OF_DAY
from gateway.routing.model import DayKind, Reference, Rule, Selectors

SEARCH_DAYS_MAX = 800  # of a kind of day between two cuts: both kinds occur in any fortnight
OUTSIDE = ""  # the atom outside all named codes
MASKS_MAX = 65_536  # remembered: as many as rules of a province name


class Dim(IntEnum):
    """A dimension that is a bit mask."""

    REGION = 0
    MATTER = 1
    TYPE = 2
    CHANNEL = 3
    URGENCY = 4
    SUBJECT = 5
    ZONE = 6
    SECRECY = 7
    BOUNDARY = 8
    REPORTED = 9
    DAY = 10
    MINUTE = 11


DIMS = tuple(Dim)
_TABLES: Mapping[Dim, tuple[Code, ...]] = {
    Dim.TYPE: tuple(TicketType),
    Dim.CHANNEL: tuple(Channel),
    Dim.URGENCY: tuple(Urgency),
    Dim.SUBJECT: tuple(SubjectKind),
}
NO, YES = 1, 2  # masks of a yes-or-no fact


class Land:
    """The regions in use at or below each region, and matters likewise; made once for all packs."""

    def __init__(self, reference: Reference) -> None:
        """Walk all regions in use and the catalogue once."""
        self.reference = reference
        self.regions: Regions = reference.regions
        self.below: dict[str, list[str]] = {}
        for code in self.regions.codes():
            if code != NATION and self.regions.current(code) is not None:
                for above in self.regions.path(code):
                    self.below.setdefault(above, []).append(code)
        self.current = tuple(self.below.get(NATION, ()))
        self.in_use = frozenset(self.current)
        self.leaves = frozenset(code for code, below in self.below.items() if below == [code])
        parents = {matter.parent for matter in reference.matters}
        self.matter_leaves = frozenset(
            matter.code for matter in reference.matters if matter.code not in parents
        )


class Tree:
    """The atoms of a tree dimension: one per named code, and the last one for all others."""

    def __init__(self, named: Iterable[str], members: Mapping[str, Sequence[str]]) -> None:
        """Number the named codes; `members` are the values of each atom, `OUTSIDE` for the last."""
        self.codes = (*named, OUTSIDE)
        self.members = tuple(tuple(members.get(code, ())) for code in self.codes)
        self.numbers = {code: number for number, code in enumerate(self.codes)}
        self.full = (1 << len(self.codes)) - 1
        # An atom without any value (a code that is retired) cannot occur.
        empty = sum(1 << n for n, held in enumerate(self.members) if not held)
        self.possible = self.full & ~empty
        self.areas: dict[str, int] = {}
        self.reached: dict[str, int] = {}

    def held(self, mask: int) -> list[str]:
        """Return the values of some atoms."""
        return [member for atom in bits(mask) for member in self.members[atom]]

    def mask(self, codes: Iterable[str]) -> int:
        """Return the atoms of areas by their named codes; all of them for no code."""
        found = 0
        for code in codes:
            found |= self.areas.get(code, 0)
        return found


@dataclass(frozen=True, slots=True)
class Area:
    """What a rule selects: masks, and what is no mask."""

    masks: tuple[int, ...]
    tags: frozenset[int] | None = None
    kinds: frozenset[str] | None = None
    condition: str | None = None
    states: frozenset[int] | None = None  # of the destination; only diversions compete there

    @property
    def is_masks(self) -> bool:
        """Whether the masks say everything."""
        return not (self.tags or self.kinds or self.states) and self.condition is None


@dataclass(frozen=True, slots=True)
class DayAtom:
    """Days that no rule tells apart, by their first one."""

    day: date
    kind: DayKind | None


class Space:
    """The atoms of some rules, and how their selectors look in them."""

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        owner: str,
        land: Land,
        today: date,
        places: Iterable[str] = (),
    ) -> None:
        """Cut the dimensions at everything that the rules name; `owner` bounds its own place.

        Regions are cut at `places` too.
        """
        self.land, self.owner, self.today = land, owner, today
        chosen = [rule.selectors for rule in rules]
        named = {owner, *places, *(c for s in chosen for c in s.regions)}
        self.regions = _region_tree(named, land)
        self.matters = _matter_tree({c for s in chosen for c in s.matters}, land)
        self.zones = (OUTSIDE, *sorted({zone for s in chosen for zone in s.zones}))
        self._zone_bits = {zone: 1 << n for n, zone in enumerate(self.zones)}
        self.days = _days(rules, land.reference, today)
        self.minutes = _minutes(chosen)
        later = min(
            (d for r in rules for d in (r.effective_from, r.effective_to) if d and d > today),
            default=date.max,
        )
        self.present = sum(1 << n for n, atom in enumerate(self.days) if atom.day < later)
        self.full = self._full()
        self.home = self.regions.areas.get(owner, 0)
        self._seen: dict[tuple[Dim, object], int] = {}

    def _full(self) -> tuple[int, ...]:
        full = [NO | YES] * len(DIMS)
        for dim, table in _TABLES.items():
            full[dim] = (1 << len(table)) - 1
        full[Dim.REGION], full[Dim.MATTER] = self.regions.possible, self.matters.possible
        full[Dim.ZONE] = (1 << len(self.zones)) - 1
        full[Dim.DAY] = (1 << len(self.days)) - 1
        full[Dim.MINUTE] = (1 << len(self.minutes)) - 1
        return tuple(full)

    def area(self, rule: Rule, *, is_home: bool) -> Area:
        """Return what a rule selects; with `is_home` only in its owner's own place."""
        chosen, full = rule.selectors, self.full
        condition = condition_of(rule)
        regions = full[Dim.REGION]
        if chosen.regions:
            regions &= self._kept(Dim.REGION, chosen.regions, self.regions.mask)
        if is_home:
            regions &= self.home
        masks = (
            regions,
            full[Dim.MATTER] & self._kept(Dim.MATTER, chosen.matters, self.matters.mask)
            if chosen.matters
            else full[Dim.MATTER],
            _table_mask(Dim.TYPE, chosen.types),
            _table_mask(Dim.CHANNEL, chosen.channels),
            _table_mask(Dim.URGENCY, chosen.urgencies),
            _table_mask(Dim.SUBJECT, chosen.subject_kinds),
            sum(self._zone_bits[zone] for zone in chosen.zones) if chosen.zones else full[Dim.ZONE],
            _flag(chosen.secrecy_required),
            _flag(chosen.on_boundary),
            _flag(chosen.reported_unit) & (YES if chosen.reported_kinds else NO | YES),
            self._days_of(rule),
            self._minutes_of(chosen),
        )
        return Area(
            masks,
            frozenset(chosen.risk_tags) or None,
            chosen.reported_kinds or None,
            condition.text if condition else None,
            frozenset(chosen.destinations) or None,
        )

    def place(self, code: str) -> Area:
        """Return everything in a region that is named."""
        masks = list(self.full)
        masks[Dim.REGION] &= self.regions.areas[code]
        return Area(tuple(masks))

    def reach(self, selectors: Selectors) -> tuple[int, ...]:
        """Return the atoms that the selectors of a rule from elsewhere may meet."""
        masks = list(self.full)
        regions = self.land.regions
        if selectors.regions:
            masks[Dim.REGION] &= _reach(
                self.regions, selectors.regions, lambda c: regions.path(c) if c in regions else ()
            )
        if selectors.matters:
            masks[Dim.MATTER] &= _reach(self.matters, selectors.matters, matter_path)
        for dim, chosen in (
            (Dim.TYPE, selectors.types),
            (Dim.CHANNEL, selectors.channels),
            (Dim.URGENCY, selectors.urgencies),
            (Dim.SUBJECT, selectors.subject_kinds),
        ):
            masks[dim] &= _table_mask(dim, frozenset(chosen))
        return tuple(masks)

    def leaf(self) -> tuple[int, int]:
        """Return the atoms of region and of matter in which some value has nothing below it."""
        region = _mask_of(self.regions, self.land.leaves)
        matter = _mask_of(self.matters, self.land.matter_leaves)
        return region, matter

    def _kept(self, dim: Dim, codes: tuple[str, ...], mask: _Mask) -> int:
        key = (dim, codes)
        found = self._seen.get(key)
        if found is None:
            found = self._seen[key] = mask(codes)
        return found

    def _days_of(self, rule: Rule) -> int:
        key = (Dim.DAY, (rule.effective_from, rule.effective_to, rule.selectors.day_kinds))
        found = self._seen.get(key)
        if found is None:
            ends = rule.effective_to or date.max
            kinds = rule.selectors.day_kinds
            found = self._seen[key] = sum(
                1 << number
                for number, atom in enumerate(self.days)
                if rule.effective_from <= atom.day < ends and (not kinds or atom.kind in kinds)
            )
        return found

    def _minutes_of(self, selectors: Selectors) -> int:
        if not selectors.hours:
            return self.full[Dim.MINUTE]
        return sum(
            1 << number
            for number, minute in enumerate(self.minutes)
            if any(hours.contains(minute) for hours in selectors.hours)
        )


@lru_cache(maxsize=MASKS_MAX)
def bits(mask: int) -> tuple[int, ...]:
    """Return the numbers of the bits that are set, the lowest first; for masks, which repeat."""
    return tuple(numbers(mask))


def numbers(mask: int) -> list[int]:
    """Return the numbers of the bits that are set; for sets of rules, which do not repeat."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def members_of(dim: Dim) -> tuple[Code, ...]:
    """Return the values of a code table in the order of its bits."""
    return _TABLES[dim]


_Mask = Callable[[Iterable[str]], int]
_TABLE_MASKS: dict[tuple[Dim, frozenset[Code]], int] = {}
TABLE_MASKS_MAX = 4096  # subsets of code tables that rules name; a few dozen in practice


def _reach(tree: Tree, codes: Iterable[str], path_of: Callable[[str], Sequence[str]]) -> int:
    """Return the atoms that areas meet, also areas that the tree does not name."""
    found = 0
    for code in codes:
        known = tree.reached.get(code)
        if known is None:
            nearest = next((above for above in path_of(code) if above in tree.areas), OUTSIDE)
            known = 1 << tree.numbers[nearest]
            for inner in tree.areas:
                if code in path_of(inner):
                    known |= 1 << tree.numbers[inner]
            tree.reached[code] = known
        found |= known
    return found


def _table_mask(dim: Dim, chosen: frozenset[Code]) -> int:
    table = _TABLES[dim]
    if not chosen:
        return (1 << len(table)) - 1
    key = (dim, chosen)
    found = _TABLE_MASKS.get(key)
    if found is None:
        if len(_TABLE_MASKS) >= TABLE_MASKS_MAX:
            _TABLE_MASKS.clear()
        found = _TABLE_MASKS[key] = sum(1 << n for n, code in enumerate(table) if code in chosen)
    return found


def _flag(wanted: bool | None) -> int:
    return NO | YES if wanted is None else YES if wanted else NO


def _mask_of(tree: Tree, values: frozenset[str]) -> int:
    return sum(1 << n for n, held in enumerate(tree.members) if not values.isdisjoint(held))


def _region_tree(named: set[str], land: Land) -> Tree:
    members: dict[str, list[str]] = {code: [] for code in named}
    inside = {each for code in named for each in land.below.get(code, ())}
    for each in sorted(inside):
        nearest = next(code for code in land.regions.path(each) if code in named)
        members[nearest].append(each)
    # What is outside everything named: also a place that is not certain.
    members[OUTSIDE] = ["", *(code for code in land.current if code not in inside)]
    tree = Tree(sorted(named), members)
    for code in named:
        tree.areas[code] = 0
    for inner in named:
        above = land.regions.path(inner) if inner in land.regions else (inner,)
        for code in above:
            if code in tree.areas:
                tree.areas[code] |= 1 << tree.numbers[inner]
    return tree


def _matter_tree(named: set[str], land: Land) -> Tree:
    members: dict[str, list[str]] = {code: [code] for code in named}
    members[OUTSIDE] = []
    for matter in land.reference.matters:
        path = matter_path(matter.code)
        nearest = next((code for code in path if code in named), OUTSIDE)
        if matter.code not in named:
            members[nearest].append(matter.code)
    members[OUTSIDE].append("")
    tree = Tree(sorted(named), members)
    for code in named:
        tree.areas[code] = 0
    for inner in named:
        for code in matter_path(inner):
            if code in tree.areas:
                tree.areas[code] |= 1 << tree.numbers[inner]
    return tree


def _minutes(chosen: Iterable[Selectors]) -> tuple[int, ...]:
    cuts = {0}
    for selectors in chosen:
        for hours in selectors.hours:
            cuts |= {hours.start_minute % MINUTES_OF_DAY, hours.end_minute % MINUTES_OF_DAY}
    return tuple(sorted(cuts))


def _days(rules: Sequence[Rule], reference: Reference, today: date) -> tuple[DayAtom, ...]:
    cuts = {today}
    for rule in rules:
        cuts |= {day for day in (rule.effective_from, rule.effective_to) if day and day > today}
    ordered = sorted(cuts)
    if not any(rule.selectors.day_kinds for rule in rules):
        return tuple(DayAtom(day, None) for day in ordered)
    found: list[DayAtom] = []
    for number, first in enumerate(ordered):
        ends = ordered[number + 1] if number + 1 < len(ordered) else date.max
        found += _kinds_between(first, ends, reference)
    return tuple(found)


def _kinds_between(first: date, ends: date, reference: Reference) -> list[DayAtom]:
    """Return the first day of each kind from `first` until before `ends`."""
    calendar = reference.calendar
    found: dict[DayKind | None, date] = {}
    day = first
    for _ in range(SEARCH_DAYS_MAX):
        if day >= ends or day.year == MAXYEAR:
            break
        if calendar.is_known(day):
            kind = DayKind.WORKING if calendar.is_working_day(day) else DayKind.REST
            found.setdefault(kind, day)
            far = len(found) == len(DayKind)
            day = date(day.year + 1, 1, 1) if far and None not in found else day + _DAY
        else:
            found.setdefault(None, day)
            day = date(day.year + 1, 1, 1)
    return [DayAtom(day, kind) for kind, day in found.items()]


_DAY = timedelta(days=1)
