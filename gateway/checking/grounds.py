"""Which places of an authority are alike, and whether a rule can be carried out there.

Places with the same units of the authority and the same entries of the responsibility list above
them give the same answers without rules. So what would be asked of every county is asked of one of
each kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.checking.space import Dim, Land, Space, bits
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant, day_of
from gateway.kernel.values import replace
from gateway.reference.responsibility import NotFound
from gateway.reference.units import Unit, UnitRef
from gateway.routing.evaluate import decide
from gateway.routing.guards import Watch
from gateway.routing.model import (
    DESK,
    Assign,
    External,
    Guard,
    Legal,
    Offer,
    Pack,
    Refer,
    RoutingFacts,
    Rule,
    Triage,
    province_of,
)
from gateway.routing.moment import moment_of
from gateway.routing.packs import PackSet
from gateway.routing.selecting import selects

_BY_MATTER = "by matter"


@dataclass(frozen=True, slots=True)
class Ground:
    """Places of one atom that are alike; `likeness` numbers the kind of place."""

    atom: int
    likeness: int
    members: tuple[str, ...]


class Terrain:
    """The places of one authority."""

    def __init__(
        self,
        authority: AuthorityCode,
        *,
        space: Space,
        land: Land,
        packs: Sequence[Pack],
        joined: frozenset[str],
        hosted: frozenset[str],
        now: Instant,
    ) -> None:
        """Sort the authority's own places; `packs` are those whose guards count for it."""
        self.authority, self._land, self._now = authority, land, now
        self._joined, self._hosted = joined, hosted
        self._bare = PackSet(replace(pack, rules=()) for pack in packs)
        self._guards: tuple[Guard, ...] = tuple(guard for pack in packs for guard in pack.guards)
        self._kinds: dict[str, list[tuple[str, int]]] = {}
        for unit in land.reference.units:
            if unit.authority == authority and not unit.is_desk:
                self._kinds.setdefault(unit.region, []).append((unit.kind, unit.number))
        self.away = tuple(
            code
            for code in sorted(joined)
            if code != authority and land.regions.is_within(code, authority)
        )
        self.examples: list[str] = []  # a place of each likeness
        grounds = list(self._sorted(space))
        self.is_anywhere = bool(grounds)
        self.grounds: list[list[Ground]] = [[] for _ in self.examples]
        self.members: list[list[str]] = [[] for _ in self.examples]
        for ground in grounds:
            self.grounds[ground.likeness].append(ground)
            self.members[ground.likeness] += ground.members
        self._empty: dict[tuple[int, str, int], bool] = {}
        self._carried: dict[object, bool | str] = {}
        self.is_by_type = any(guard.selectors.types for guard in self._guards)

    def _sorted(self, space: Space) -> Iterable[Ground]:
        regions, land = self._land.regions, self._land
        taken = {code for city in self.away for code in land.below.get(city, ())}
        named = {entry.region for entry in land.reference.responsibility}
        named |= {region for guard in self._guards for region in guard.selectors.regions}
        alike: dict[object, int] = {}
        for atom in bits(space.home & space.full[Dim.REGION]):
            groups: dict[int, list[str]] = {}
            for code in space.regions.members[atom]:
                if code in taken or not code:
                    continue
                path = regions.path(code)
                key = (
                    tuple(tuple(self._kinds[place]) for place in path if place in self._kinds),
                    tuple(place for place in path if place in named),
                )
                number = alike.setdefault(key, len(alike))
                if number == len(self.examples):
                    self.examples.append(code)
                groups.setdefault(number, []).append(code)
            for number, members in groups.items():
                yield Ground(atom, number, tuple(members))

    def is_empty(self, likeness: int, facts: RoutingFacts, kind: int) -> bool:
        """Tell whether without rules such a ticket reaches the desk, because nothing decides."""
        key = (likeness, facts.matter, kind if self.is_by_type else 0)
        found = self._empty.get(key)
        if found is None:
            answer = self._land.reference.responsibility.responsible_unit(
                facts.matter,
                region=self.examples[likeness],
                on=day_of(self._now),
                authorities={self.authority},
            )
            if isinstance(answer, NotFound) or not self._may_forbid(answer.unit.kind):
                # The list's answer stands as it is; only a guard could make the desk of it.
                self._empty[key] = isinstance(answer, NotFound)
                return self._empty[key]
            decision = decide(
                replace(facts, region=self.examples[likeness], type=kind),
                authority=self.authority,
                hosted=self._hosted,
                joined=self._joined,
                packs=self._bare,
                reference=self._land.reference,
                now=self._now,
            )
            found = self._empty[key] = decision.rule == DESK
        return found

    def _may_forbid(self, kind: str) -> bool:
        """Tell whether some guard may forbid a unit of a kind to which nobody complains."""
        known = self._land.reference.kinds.get(kind)
        return any(
            kind in guard.forbidden_kinds
            or (known is not None and known.management in guard.forbidden_managements)
            for guard in self._guards
        )

    def carries(self, rule: Rule, likeness: int, facts: RoutingFacts) -> bool:
        """Tell whether a rule that selects such a ticket can be carried out here."""
        match rule.action:
            case Assign() as action:
                return self._assigns(action, likeness, facts)
            case Refer() | External() | Triage() | Legal():
                return True
            case Offer(authority=authority):
                return authority is not None and authority != self.authority
            case _:
                return False

    def _assigns(self, action: Assign, likeness: int, facts: RoutingFacts) -> bool:
        lead = action.lead
        key = (
            lead.unit_id,
            lead.kind,
            lead.number,
            action.level,
            bool(action.mandate),
            likeness,
        )
        found = self._carried.get(key)
        if found is None:
            found = self._carried[key] = self._finds(action, likeness)
        if found is _BY_MATTER:
            exact = (*key, facts.matter)
            found = self._carried.get(exact)
            if found is None:
                found = self._carried[exact] = self._is_free(action, likeness, facts)
        return found is True

    def _finds(self, action: Assign, likeness: int) -> bool | str:
        """Return whether it is carried out; `_BY_MATTER` when guards must be asked."""
        if action.level is not None and (own := province_of(self.authority)) != self.authority:
            return own in self._joined or own in self._hosted
        if next(iter(self._sought(action.lead, self._path(action, likeness))), None) is None:
            return False
        return _BY_MATTER if self._guards else True

    def _path(self, action: Assign, likeness: int) -> tuple[str, ...]:
        if action.level is not None:
            return (self.authority,)
        return self._land.regions.path(self.examples[likeness])

    def _is_free(self, action: Assign, likeness: int, facts: RoutingFacts) -> bool:
        """Tell whether no guard forbids all the units that the action means."""
        regions = self._land.regions
        placed = replace(facts, region=self.examples[likeness])
        moment = moment_of(self._now, self._land.reference)
        watch = Watch(
            tuple(g for g in self._guards if selects(g.selectors, placed, regions, moment)),
            placed,
            self._land.reference,
        )
        return any(
            watch.find_objection(unit, mandate=action.mandate) is None
            for unit in self._sought(action.lead, self._path(action, likeness))
        )

    def _sought(self, ref: UnitRef, path: Sequence[str]) -> Iterable[Unit]:
        units = self._land.reference.units
        if ref.unit_id is not None:
            unit = units.find(ref.unit_id)
            if unit is not None and unit.authority == self.authority:
                yield unit
            return
        for place in path:
            if place == NATION:
                continue
            for unit in units.of_kind(region=place, kind=ref.kind):
                if ref.number in {None, unit.number} and unit.authority == self.authority:
                    yield unit
                    break


def pieces(regions: frozenset[str], land: Land) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return places as few areas: (area, what lies in it and is not among them)."""
    full = {code for code in regions if regions.issuperset(land.below.get(code, ()))}
    found: list[tuple[str, tuple[str, ...]]] = []
    for code in sorted(regions):
        above = land.regions.parent(code)
        if code in full:
            if above not in full:
                found.append((code, ()))
        else:
            inner = tuple(each for each in land.regions.children(code))
            found.append((code, inner))
    return tuple(found)
