"""The compiled rule book: which clauses select a ticket, at a cost that does not grow with them.

A `Section` is one pack in compiled form: its clauses under every pair of their regions and matters
(empty: any), each with what it forbids as one number (`masks.py`). A `Book` is the sections that a
chain of owners asks, in their order. For one ticket it looks at one *leaf*: the clauses under the
few pairs of its own ancestors (at most 5 x 4 in each section), already merged in order. A leaf is
made on first use and kept; the oldest are forgotten, so the whole has a bound.

On a set of 100,000 rules the time goes into fetching memory, not into computing. Hence the shape of
a leaf: one long number with a *lane* for each entry, which holds what the entry forbids. Two
operations compare a ticket with all lanes at once, a third carries every lane that shares a bit
with it into the lane's highest bit, its guard. Only entries whose guard stays empty are looked at,
and looked into only when dates, hours or lists are left to ask (`is_checked`). A clause without an
end that began before `_since`, the earliest day that the book was asked about, has no dates to ask.

`selecting.selects` is the slow definition of the same answer, and a property test holds the two
together. See docs/routing.md#index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Any, Generic, TypeVar

from gateway.reference.matters import matter_path
from gateway.reference.regions import Regions
from gateway.routing.masks import LANE_BITS, Rest, forbidden_by, mask_of, rest_of
from gateway.routing.model import (
    Condition,
    Guard,
    Moment,
    Pack,
    RoutingFacts,
    Rule,
    Selectors,
    Stage,
)

ANY = ""
LEAVES_MAX = 131_072  # kept by all books of a set: some 40 MB; a province has fewer pairs
CLAUSES_PER_STEP = 50  # compiled between two breaths of the event loop: well under a millisecond
PICKS_MAX = 4_096  # remembered of one number of lanes
SHAPES_MAX = 256  # numbers of lanes remembered; a leaf seldom has more than twenty
FORGOTTEN_AT_ONCE = 64  # leaves; a fraction of a millisecond

Clause = Rule | Guard


class _Doubts:
    """What is looked at of every entry that is found; first in memory, beside its head."""

    __slots__ = ("is_checked", "is_open")


class Entry(_Doubts):
    """A clause with what decides whether it selects; one for all pairs that it lies under."""

    __slots__ = ("ends", "forbidden", "order", "rest", "starts")

    def __init__(self, clause: Clause, order: int) -> None:
        """Compile a clause; `order` is its place in the pack."""
        selectors = clause.selectors
        self.order = order
        self.forbidden = forbidden_by(selectors)
        self.rest: Rest | None = rest_of(selectors)
        self.starts = clause.effective_from
        self.ends = clause.effective_to
        # The mask does not tell everything; a book that was asked about earlier days says so too.
        self.is_checked = self.rest is not None or self.ends is not None
        self.is_open = selectors.names_destination or bool(
            selectors.condition is not None or selectors.day_kinds
        )

    def holds(self, facts: RoutingFacts, moment: Moment) -> bool:
        """Tell whether dates, hours and lists select: what the mask cannot tell."""
        day, ends, rest = moment.day, self.ends, self.rest
        return (
            self.starts <= day
            and (ends is None or day < ends)
            and (rest is None or rest(facts, moment.minute))
        )


class Candidate(Entry):
    """A rule that selects the ticket, with its pack.

    `is_open`: the index could not tell everything, `selecting.judge` has the rest (a condition, the
    state of the destination, a kind of day in an unpublished year).
    """

    __slots__ = ("condition", "pack", "rule", "stage")

    def __init__(self, pack: Pack, rule: Rule, order: int = 0) -> None:
        """Compile a rule."""
        super().__init__(rule, order)
        selectors = rule.selectors
        self.pack, self.rule = pack, rule
        self.stage: Stage = rule.stage
        self.condition: Condition | None = selectors.condition

    def selects(self, facts: RoutingFacts, moment: Moment) -> bool:
        """Tell whether a rule that was found holds altogether, as far as facts alone can tell.

        A diversion never does: it asks for the state of a destination.
        """
        if not self.is_open:
            return True
        selectors, condition = self.rule.selectors, self.condition
        return (
            not selectors.names_destination
            and (moment.day_kind is not None or not selectors.day_kinds)
            and (condition is None or condition.test(facts).holds)
        )

    def __repr__(self) -> str:
        """Return what a person needs to know it again."""
        return f"Candidate({self.pack.label}, {self.rule.id})"


class Sentry(Entry):
    """A guard that selects the ticket."""

    __slots__ = ("guard",)

    def __init__(self, guard: Guard, order: int) -> None:
        """Compile a guard."""
        super().__init__(guard, order)
        self.guard = guard


E = TypeVar("E", bound=Entry)
_Cells = dict[str, dict[str, list[E]]]  # by region, then by matter


class Section(Generic[E]):
    """The rules of one pack, or its guards, in compiled form."""

    __slots__ = ("cells",)

    def __init__(self) -> None:
        """Begin empty; `add` the entries in their order."""
        self.cells: _Cells[E] = {}

    def add(self, entry: E, selectors: Selectors) -> None:
        """Put an entry under the pairs that it selects."""
        for region in selectors.regions or _ANYWHERE:
            by_matter = self.cells.get(region)
            if by_matter is None:
                by_matter = self.cells[region] = {}
            for matter in selectors.matters or _ANYWHERE:
                cell = by_matter.get(matter)
                if cell is None:
                    by_matter[matter] = [entry]
                else:
                    cell.append(entry)


class Compiled:
    """One pack in compiled form; whole after the last of its `steps`."""

    __slots__ = ("guards", "pack", "rules")

    def __init__(self, pack: Pack) -> None:
        """Begin with nothing compiled."""
        self.pack = pack
        self.rules: Section[Candidate] = Section()
        self.guards: Section[Sentry] = Section()

    def steps(self) -> Iterator[None]:
        """Compile, in steps that are short enough for an event loop."""
        pack = self.pack
        for order, guard in enumerate(pack.guards):
            self.guards.add(Sentry(guard, order), guard.selectors)
        for order, rule in enumerate(pack.rules, start=1):
            self.rules.add(Candidate(pack, rule, order), rule.selectors)
            if order % CLAUSES_PER_STEP == 0:
                yield


def compiled(pack: Pack) -> Compiled:
    """Return the compiled form of a pack."""
    whole = Compiled(pack)
    for _ in whole.steps():
        pass
    return whole


# What all entries forbid, lane by lane; the `_shape` of so many lanes; then the entries.
_Leaf = tuple[Any, ...]
_ENTRIES = 2  # where they begin in a leaf


class Book(Generic[E]):
    """The clauses that one chain of owners asks, in their order."""

    __slots__ = ("_leaves", "_leaves_max", "_regions", "_sections", "_since")

    def __init__(self, sections: Iterable[Section[E]], *, leaves_max: int = LEAVES_MAX) -> None:
        """Put sections together; nothing is merged before it is asked for."""
        self._sections = tuple(section for section in sections if section.cells)
        self._leaves: dict[tuple[str, str], _Leaf] = {}  # by region and matter, oldest first
        self._leaves_max = leaves_max
        self._regions: Regions | None = None  # that the leaves were made for
        self._since = date.max

    def find(
        self, facts: RoutingFacts, *, region: str, regions: Regions, moment: Moment
    ) -> list[E]:
        """Return the entries that the indexed selectors select, in order.

        `region` is the leading one; empty when it is uncertain.
        """
        if moment.day < self._since or regions is not self._regions:
            self._begin(moment.day, regions)
        leaf = self._leaves.get((region, facts.matter))
        if leaf is None:
            leaf = self._gather(region, facts.matter)
        if not leaf:
            return []
        mask, shape = mask_of(facts, moment), leaf[1]
        if shape is None:
            entry = leaf[_ENTRIES]
            is_found = not mask & leaf[0] and (not entry.is_checked or entry.holds(facts, moment))
            return [entry] if is_found else []
        ones, lows, guards, picks = shape
        left = (mask * ones & leaf[0]) + lows & guards ^ guards
        if not left:
            return []
        places = picks.get(left)
        if places is None:
            places = _pick(left, picks)
        found = []
        for place in places:
            entry = leaf[place]
            if not entry.is_checked or entry.holds(facts, moment):
                found.append(entry)
        return found

    def remembered(self) -> list[object]:
        """Return the leaves."""
        return [*self._leaves.values()]

    def _begin(self, day: date, regions: Regions) -> None:
        """Begin anew: with another tree of regions, or for days as early as `day`."""
        if self._regions is None:
            self._since = day
        elif day < self._since:  # some way further, so that this stays rare
            self._since = date.fromordinal(max(1, day.toordinal() - 366))
        self._regions = regions
        self._leaves = {}

    def _gather(self, region: str, matter: str) -> _Leaf:
        """Make the leaf of a region and a matter, and keep it."""
        if len(self._leaves) >= self._leaves_max:
            for oldest in [*islice(self._leaves, FORGOTTEN_AT_ONCE)]:
                del self._leaves[oldest]
        leaf = self._leaves[region, matter] = self._leaf(self._merge(region, matter))
        return leaf

    def _merge(self, region: str, matter: str) -> Iterator[E]:
        tree = self._regions
        path = tree.path(region) if tree is not None and region in tree else ()
        areas, matters = (*path, ANY), (*matter_path(matter), ANY)
        for section in self._sections:
            found: dict[int, E] = {}
            for area in areas:
                by_matter = section.cells.get(area)
                if by_matter is not None:
                    for each in matters:
                        for entry in by_matter.get(each, ()):
                            found[entry.order] = entry
            for order in sorted(found):
                yield found[order]

    def _leaf(self, merged: Iterable[E]) -> _Leaf:
        entries, lanes = tuple(merged), 0
        for number, entry in enumerate(entries):
            lanes |= entry.forbidden << number * LANE_BITS
            if entry.starts > self._since:
                entry.is_checked = True
        return (lanes, _shape(len(entries)), *entries) if entries else ()


@lru_cache(maxsize=SHAPES_MAX)
def _shape(count: int) -> tuple[int, int, int, dict[int, tuple[int, ...]]] | None:
    """Return one, all but the guard, and the guard, each in `count` lanes; and what was picked."""
    if count == 1:
        return None
    ones = sum(1 << number * LANE_BITS for number in range(count))
    return ones, ones * ((1 << LANE_BITS - 1) - 1), ones << LANE_BITS - 1, {}


def _pick(guards: int, picks: dict[int, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the places in a leaf of the lanes with these guards, and remember them."""
    places, left = [], guards
    while left:
        guard = left & -left
        places.append(_ENTRIES + guard.bit_length() // LANE_BITS - 1)
        left ^= guard
    if len(picks) >= PICKS_MAX:
        picks.clear()
    picks[guards] = found = tuple(places)
    return found


_ANYWHERE = (ANY,)
