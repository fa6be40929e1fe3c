"""The index: which rules select a ticket, at a cost that does not grow with their number.

A rule lies under every pair of its regions and matters (empty: any). A look-up walks the few
ancestors of the ticket's region and of its matter: at most 5 x 4 pairs. Under one pair rules are
told apart by type, channel, urgency, the yes-or-no facts and the day; each such cell is filtered
once, on first use, and kept. The code tables bound the number of cells; days are cut at the dates
on which something changes. The order of the pack is kept. `selecting.selects` is the slow
definition of the same answer, and a property test holds the two together. See
docs/routing.md#index.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import date

from gateway.reference.matters import matter_path
from gateway.routing.model import RoutingFacts, Rule, is_effective

ANY = ""
_Key = tuple[int, int, int, bool, bool, bool, int]


class RuleIndex:
    """The rules of one pack or several, in order, by what they select."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Index the rules; their order is the order of evaluation."""
        cells: dict[str, dict[str, list[tuple[int, Rule]]]] = {}
        for order, rule in enumerate(rules):
            for region in rule.selectors.regions or (ANY,):
                for matter in rule.selectors.matters or (ANY,):
                    cells.setdefault(region, {}).setdefault(matter, []).append((order, rule))
        self._buckets = {
            region: {matter: _Bucket(placed) for matter, placed in by_matter.items()}
            for region, by_matter in cells.items()
        }

    def candidates(
        self, facts: RoutingFacts, *, region_path: Sequence[str], on: date
    ) -> tuple[Rule, ...]:
        """Return the rules that the indexed selectors select, in order.

        `region_path` is the ticket's region and what is above it; empty when it is uncertain.
        """
        found: dict[int, Rule] = {}
        matters = (*matter_path(facts.matter), ANY)
        for region in (*region_path, ANY):
            by_matter = self._buckets.get(region)
            if by_matter is None:
                continue
            for matter in matters:
                bucket = by_matter.get(matter)
                if bucket is not None:
                    found.update(bucket.select(facts, on=on))
        return tuple(found[order] for order in sorted(found))


class _Bucket:
    """The rules under one pair of region and matter."""

    def __init__(self, placed: list[tuple[int, Rule]]) -> None:
        self._placed = tuple(placed)
        days = {rule.effective_from for _, rule in placed}
        days |= {rule.effective_to for _, rule in placed if rule.effective_to is not None}
        self._changes = sorted(days)
        self._cells: dict[_Key, tuple[tuple[int, Rule], ...]] = {}

    def select(self, facts: RoutingFacts, *, on: date) -> tuple[tuple[int, Rule], ...]:
        """Return the rules for this type, channel, urgency and day."""
        key = (
            facts.type,
            facts.channel,
            facts.urgency,
            bool(facts.reported_units),
            facts.secrecy_required,
            facts.on_boundary,
            bisect_right(self._changes, on),
        )
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = tuple(
                (order, rule) for order, rule in self._placed if _fits(rule, facts, on)
            )
        return cell


def _fits(rule: Rule, facts: RoutingFacts, on: date) -> bool:
    selectors = rule.selectors
    return (
        is_effective(rule, on)
        and (not selectors.types or facts.type in selectors.types)
        and (not selectors.channels or facts.channel in selectors.channels)
        and (not selectors.urgencies or facts.urgency in selectors.urgencies)
        and (not selectors.reported_kinds or bool(facts.reported_units))
        and selectors.reported_unit in {None, bool(facts.reported_units)}
        and selectors.secrecy_required in {None, facts.secrecy_required}
        and selectors.on_boundary in {None, facts.on_boundary}
    )
