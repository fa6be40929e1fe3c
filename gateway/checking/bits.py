"""Which rules meet, contain or lie in an area: bit vectors over rules, one per atom.

`cover[dim][atom]` is the set of rules whose area has the atom, as an integer with a bit per rule,
in the order in which rules are asked. All questions are a few `and`s of such integers:

* rules that *meet* a mask: the union of `cover` over its atoms;
* rules that *contain* a mask: the intersection;
* rules that *lie in* an area are few, and looked at one by one.

Each answer is kept per mask, and rules share their masks, so a check of a hundred thousand rules
costs a dozen `and`s a rule (the bit-vector scheme of packet classification).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.checking.space import DIMS, Area, bits, numbers


class Bits:
    """The areas of rules in their order, ready to be asked about."""

    def __init__(self, areas: Sequence[Area], full: Sequence[int]) -> None:
        """Index the areas; `full` are all atoms of each dimension."""
        self.areas = areas
        self.all = (1 << len(areas)) - 1
        self._full = tuple(full)
        self._cover = [
            _cover((area.masks[dim] for area in areas), full[dim].bit_length(), full[dim])
            for dim in DIMS
        ]
        self._meeting: list[dict[int, int]] = [{} for _ in DIMS]
        self._containing: list[dict[int, int]] = [{} for _ in DIMS]
        self._tags = _grouped(area.tags for area in areas)
        self._kinds = _grouped(area.kinds for area in areas)
        self._conditions = _grouped(area.condition for area in areas)
        self._states = _grouped(area.states for area in areas)
        self._subsets: dict[object, tuple[int, int]] = {}

    def at(self, dim: int, atom: int) -> int:
        """Return the rules that have an atom."""
        return self._cover[dim][atom]

    def meeting(self, masks: Sequence[int]) -> int:
        """Return the rules whose masks meet these; what is no mask may still part them."""
        found = self.all
        for dim in DIMS:
            mask = masks[dim]
            if mask == self._full[dim]:
                continue
            known = self._meeting[dim].get(mask)
            if known is None:
                known = self._meeting[dim][mask] = self._union(dim, mask)
            found &= known
            if not found:
                break
        return found

    def containing(self, area: Area) -> int:
        """Return the rules whose areas certainly contain this one."""
        found = self.all
        for dim in DIMS:
            mask = area.masks[dim]
            known = self._containing[dim].get(mask)
            if known is None:
                known = self._containing[dim][mask] = self._intersection(dim, mask)
            found &= known
        return found & self._others(area)[0]

    def inside(self, area: Area, among: int) -> int:
        """Return those `among` the rules whose areas certainly lie in this one."""
        found = 0
        for number in numbers(among & self._others(area)[1] if among else 0):
            masks = self.areas[number].masks
            if all(not one & ~other for one, other in zip(masks, area.masks, strict=True)):
                found |= 1 << number
        return found

    def _union(self, dim: int, mask: int) -> int:
        found = 0
        for atom in bits(mask):
            found |= self._cover[dim][atom]
        return found

    def _intersection(self, dim: int, mask: int) -> int:
        found = self.all
        for atom in bits(mask):
            found &= self._cover[dim][atom]
        return found

    def _others(self, area: Area) -> tuple[int, int]:
        """Return the rules that contain and that lie in an area in what is no mask."""
        key = (area.tags, area.kinds, area.condition, area.states)
        known = self._subsets.get(key)
        if known is None:
            wider = narrower = self.all
            for groups, own in (
                (self._tags, area.tags),
                (self._kinds, area.kinds),
                (self._states, area.states),
            ):
                wider &= _sum(rules for each, rules in groups.items() if _is_within(own, each))
                narrower &= _sum(rules for each, rules in groups.items() if _is_within(each, own))
            same, text = self._conditions, area.condition
            wider &= same.get(None, 0) | same.get(text, 0)
            narrower &= self.all if text is None else same.get(text, 0)
            known = self._subsets[key] = (wider, narrower)
        return known


def _is_within(inner: object, outer: object) -> bool:
    """Tell whether one choice lies in another; None chooses everything."""
    if not isinstance(outer, frozenset):
        return True
    return isinstance(inner, frozenset) and inner <= outer


def _cover(masks: Iterable[int], atoms: int, full: int) -> list[int]:
    by_mask: dict[int, list[int]] = {}
    for number, mask in enumerate(masks):
        by_mask.setdefault(mask, []).append(number)
    everywhere = 0
    cover = [0] * atoms
    for mask, holders in by_mask.items():
        rules = _number_bits(holders)
        if mask == full:
            everywhere |= rules
        else:
            for atom in bits(mask):
                cover[atom] |= rules
    return [rules | everywhere for rules in cover] if everywhere else cover


def _grouped(values: Iterable[object]) -> dict[object, int]:
    groups: dict[object, list[int]] = {}
    for number, value in enumerate(values):
        groups.setdefault(value, []).append(number)
    return {value: _number_bits(holders) for value, holders in groups.items()}


def _number_bits(holders: Sequence[int]) -> int:
    """Return the integer with these bits; by bytes, because shifting long integers is quadratic."""
    raw = bytearray(holders[-1] // 8 + 1)
    for number in holders:
        raw[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(raw, "little")


def _sum(parts: Iterable[int]) -> int:
    found = 0
    for part in parts:
        found |= part
    return found
