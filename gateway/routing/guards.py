"""Guards: filters on outcomes that nothing overrides, first of all not a rule.

A guard is asked about one unit that is about to get a ticket (as lead or as assisting). It forbids
the unit when the unit is complained about, or is of a forbidden kind or management, unless an
exception that the guard itself names holds. A unit that is complained about is not even told. From
whom a guard withholds who calls is beside.py's. Which guards exist is data (`guards:` of the
national and provincial packs); this file only says what their words mean. See
docs/routing.md#guards.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.reference.regions import Regions
from gateway.reference.units import Unit
from gateway.routing.model import Guard, Reference, RoutingFacts, UnitKey, Unless


@dataclass(frozen=True, slots=True)
class Watch:
    """The guards that are in force for one ticket."""

    guards: tuple[Guard, ...]
    facts: RoutingFacts
    reference: Reference

    def find_objection(self, unit: Unit, *, mandate: str, is_request: bool = False) -> Guard | None:
        """Return the first guard that forbids the unit, or None when it may get the ticket."""
        return next(
            (guard for guard in self.guards if self._forbids(guard, unit, mandate, is_request)),
            None,
        )

    def find_objection_to_telling(self, unit: Unit) -> Guard | None:
        """Return the first guard for which the unit may not even be told, or None."""
        regions = self.reference.regions
        return next(
            (
                guard
                for guard in self.guards
                if guard.forbids_reported and is_reported(unit, self.facts, regions)
            ),
            None,
        )

    def _forbids(self, guard: Guard, unit: Unit, mandate: str, is_request: bool) -> bool:
        if guard.forbids_reported and is_reported(unit, self.facts, self.reference.regions):
            return True
        kind = self.reference.kinds.get(unit.kind)
        is_listed = unit.kind in guard.forbidden_kinds or (
            kind is not None and kind.management in guard.forbidden_managements
        )
        return is_listed and not self._is_excepted(guard, unit, mandate, is_request)

    def _is_excepted(self, guard: Guard, unit: Unit, mandate: str, is_request: bool) -> bool:
        if Unless.MANDATE in guard.unless and mandate:
            return True
        if Unless.REQUEST in guard.unless and is_request:
            return True
        if Unless.MATTER_OF_KIND not in guard.unless:
            return False
        matter = self.reference.matters.nearest(self.facts.matter)
        return matter is not None and matter.lead_kind == unit.kind


def is_reported(unit: Unit, facts: RoutingFacts, regions: Regions) -> bool:
    """Tell whether the unit is complained about, or is a subordinate of one that is.

    A subordinate is a unit of the same kind and number inside the region of the reported one: it
    would judge its superior. The superior of a reported unit may get the ticket, and a sibling of
    the same kind (the gas company beside the water company) is another body.
    """
    for name in facts.reported_units:
        reported = UnitKey.parse(name)
        if reported is None:
            continue
        same_line = (unit.kind, unit.number) == (reported.kind, reported.number)
        if same_line and regions.is_within(unit.region, reported.region):
            return True
    return False
