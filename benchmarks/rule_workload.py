"""Synthetic rules and tickets for `lubiao bench rules`, from one seed and the real catalogues.

Rules use every selector there is, each about as often as administrators do (`SHARES`); a rule's
places lie in its own province and the narrow ones come first. Four tickets in five are drawn under
a rule at random, the others anywhere. The oracle reads every rule of the ticket's province with
`selects`, the definition; rules of other provinces are not its authority's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from gateway.kernel.codes import Channel, NoiseSource, RiskTag, SubjectKind, TicketType, Urgency
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.values import replace
from gateway.reference.data import ReferenceData
from gateway.reference.regions import Level
from gateway.reference.units import UnitRef
from gateway.routing.conditions import cel_conditions
from gateway.routing.model import (
    Assign,
    Condition,
    ConditionFault,
    DayKind,
    Hours,
    Moment,
    Pack,
    RoutingFacts,
    Rule,
    Selectors,
    is_effective,
)
from gateway.routing.moment import moment_of
from gateway.routing.selecting import selects

Item = TypeVar("Item")
SEED = 20261121
ONE_PACK_MAX = 10_000  # rules; a greater set is shared by the provinces
PROVINCES = 31  # packs of the greatest set
FIRST_DAY = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW_MINUTES = 30 * 24 * 60  # tickets come within these thirty days
DRAWN_UNDER_A_RULE = 0.8
SHARES = {
    "types": 0.7,
    "urgencies": 0.2,
    "channels": 0.1,
    "subject_kinds": 0.1,
    "risk_tags": 0.08,
    "hours": 0.06,
    "day_kinds": 0.06,
    "dates": 0.1,
    "condition": 0.05,
    "reported_kinds": 0.04,
    "zones": 0.03,
    "reported_unit": 0.03,
    "secrecy_required": 0.03,
    "on_boundary": 0.03,
}
HOURS = (Hours(22 * 60, 6 * 60), Hours(8 * 60, 18 * 60), Hours(12 * 60, 14 * 60))
KINDS = ("CG", "GA", "JT", "SJ", "ZJ")
ZONES_PER_PROVINCE = 3


@dataclass(frozen=True, slots=True)
class Text:
    """One condition in the three languages."""

    cel: str
    zen: str
    clips: str


CONDITIONS = (
    Text(
        "facts.noise_source == NoiseSource.NOISE_SOURCE_CONSTRUCTION && facts.at_night",
        f"noise_source == {int(NoiseSource.CONSTRUCTION)} and at_night",
        f"(noise_source {int(NoiseSource.CONSTRUCTION)}) (at_night TRUE)",
    ),
    Text(
        "facts.industry == 'catering' || facts.industry == 'retail'",
        "industry == 'catering' or industry == 'retail'",
        '(industry "catering"|"retail")',
    ),
    Text(
        "!facts.owner_unknown && facts.insured_region != ''",
        "not(owner_unknown) and insured_region != ''",
        '(owner_unknown FALSE) (insured_region ~"")',
    ),
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as it comes: its facts, who decides, and when."""

    facts: RoutingFacts
    owners: tuple[str, ...]
    moment: Moment
    now: datetime


class Workload:
    """Rules and tickets of one size."""

    def __init__(self, size: int, *, tickets: int, reference: ReferenceData) -> None:
        """Make them; equal arguments give equal values."""
        self.size, self._reference = size, reference
        self._chance = chance = random.Random(SEED + size)  # noqa: S311 (synthetic)
        self._trees = _trees(reference)
        self._matters = [
            [matter.code for matter in reference.matters if matter.level == level]
            for level in (1, 2, 3)
        ]
        self._owners: dict[str, tuple[str, ...]] = {}
        self._texts = {text.cel: text for text in CONDITIONS}
        self._conditions = [_condition(text.cel) for text in CONDITIONS]
        provinces = sorted(self._trees)[:PROVINCES] if size > ONE_PACK_MAX else ["130000"]
        shares = [size // len(provinces)] * len(provinces)
        shares[0] += size - sum(shares)
        self.packs = [
            _pack(province, sorted(self._rules(province, share), key=self._breadth))
            for province, share in zip(provinces, shares, strict=True)
        ]
        self.rules = [rule for pack in self.packs for rule in pack.rules]
        self.tickets = [self._ticket(chance.choice(self.rules)) for _ in range(tickets)]

    def text_of(self, condition: Condition) -> Text:
        """Return a condition in all languages."""
        return self._texts[condition.text]

    def oracle(self, *, reads_all: bool = False) -> Callable[[Ticket], list[str]]:
        """Return the naive engine: the ids of all rules that select a ticket, in order.

        It asks `selects`, of every rule of the ticket's province or of those whose area the
        ticket's place is in.
        """
        regions = self._reference.regions
        by_owner = {pack.owner: list(enumerate(pack.rules)) for pack in self.packs}
        by_area: dict[str, dict[str, list[tuple[int, Rule]]]] = {}
        for owner, ordered in by_owner.items():
            areas = by_area[owner] = {}
            for order, rule in ordered:
                for area in rule.selectors.regions:
                    areas.setdefault(area, []).append((order, rule))

        def within(owner: AuthorityCode, place: str) -> list[tuple[int, Rule]]:
            areas = by_area[owner]
            inside = (areas[area] for area in areas if regions.is_within(place, area))
            return sorted({order: rule for found in inside for order, rule in found}.items())

        def answer(ticket: Ticket) -> list[str]:
            facts, moment = ticket.facts, ticket.moment
            owner = AuthorityCode(ticket.owners[0])
            read = by_owner[owner] if reads_all else within(owner, facts.region)
            return [
                rule.id
                for _, rule in read
                if is_effective(rule, moment.day)
                and selects(rule.selectors, facts, regions, moment)
            ]

        return answer

    # --- rules ---------------------------------------------------------------------------------

    def _rules(self, province: str, count: int) -> list[Rule]:
        return [self._rule(province, number) for number in range(count)]

    def _rule(self, province: str, number: int) -> Rule:
        chance = self._chance
        starts, ends = date(2026, 1, 1), None
        if self._is("dates"):
            starts += timedelta(days=chance.randrange(250, 340))
            ends = starts + timedelta(days=chance.randrange(10, 60))
        return Rule(
            id=f"p{province[:2]}.rule-{number}",
            owner="测试",
            legal_basis="测试",
            effective_from=starts,
            effective_to=ends,
            selectors=self._selectors(province),
            action=Assign(UnitRef(kind=chance.choice(KINDS))),
            explanation="测试",
            line=number,
        )

    def _selectors(self, province: str) -> Selectors:
        chance, some = self._chance, self._some
        cities, counties = self._trees[province]
        level = chance.choices(("province", "city", "county"), weights=(5, 35, 60))[0]
        if level == "province":
            regions = [province]
        elif level == "city":
            regions = [chance.choice(cities or counties)]
        else:
            regions = chance.sample(counties, k=2 if self._falls_in(0.05) else 1)
        matters = chance.choices(self._matters, weights=(10, 35, 55))[0]
        return Selectors(
            regions=tuple(regions),
            matters=(chance.choice(matters),),
            types=some("types", list(TicketType)[1:], at_most=3),
            channels=some("channels", list(Channel)[1:], at_most=2),
            urgencies=some("urgencies", list(Urgency)[1:], at_most=2),
            subject_kinds=some("subject_kinds", list(SubjectKind)[1:], at_most=1),
            risk_tags=some("risk_tags", list(RiskTag)[1:], at_most=2),
            zones=some("zones", _zones(province), at_most=1),
            reported_kinds=some("reported_kinds", KINDS, at_most=2),
            reported_unit=self._flag("reported_unit"),
            secrecy_required=self._flag("secrecy_required"),
            on_boundary=self._flag("on_boundary"),
            hours=tuple(some("hours", HOURS, at_most=1)),
            day_kinds=some("day_kinds", list(DayKind), at_most=1),
            condition=chance.choice(self._conditions) if self._is("condition") else None,
        )

    def _is(self, name: str) -> bool:
        return self._falls_in(SHARES[name])

    def _falls_in(self, share: float) -> bool:
        return self._chance.random() < share

    def _flag(self, name: str) -> bool | None:
        return self._falls_in(0.5) if self._is(name) else None

    def _some(self, name: str, values: Sequence[Item], *, at_most: int) -> frozenset[Item]:
        if not self._is(name):
            return frozenset()
        return frozenset(self._chance.sample(values, k=self._chance.randint(1, at_most)))

    def _breadth(self, rule: Rule) -> tuple[int, int]:
        """Return how wide a rule is; the narrow ones come first in a pack."""
        region, matter = rule.selectors.regions[0], rule.selectors.matters[0]
        regions, matters = self._reference.regions, self._reference.matters
        found = matters.find(matter)
        return -regions.level(region), -(found.level if found else 0)

    # --- tickets -------------------------------------------------------------------------------

    def _ticket(self, rule: Rule) -> Ticket:
        chance = self._chance
        now = FIRST_DAY + timedelta(minutes=chance.randrange(WINDOW_MINUTES))
        province = rule.selectors.regions[0][:2] + "0000"
        facts = self._anywhere(province)
        if self._falls_in(DRAWN_UNDER_A_RULE):
            facts = self._under(rule, facts)
        owners = self._owners.setdefault(province, (province,))
        return Ticket(facts, owners, moment_of(now, self._reference), now)

    def _anywhere(self, province: str) -> RoutingFacts:
        chance = self._chance
        counties = self._trees[province][1]
        tags = chance.sample(list(RiskTag)[1:], k=chance.choices((0, 1, 2), (85, 12, 3))[0])
        reported = self._falls_in(0.06)
        place = chance.choice(counties)
        return RoutingFacts(
            region=place,
            matter=chance.choice(self._matters[2]),
            type=int(chance.choice(list(TicketType)[1:])),
            urgency=int(chance.choices(list(Urgency)[1:], k=1)[0]),
            channel=int(chance.choice(list(Channel)[1:])),
            subject_kind=int(chance.choice(list(SubjectKind)[1:])),
            risk_tags=tuple(map(int, tags)),
            reported_units=(f"units/{place}-{chance.choice(KINDS)}-1",) if reported else (),
            zone=chance.choice(_zones(province)) if self._falls_in(0.05) else "",
            on_boundary=self._falls_in(0.04),
            secrecy_required=self._falls_in(0.05),
            insured_region=chance.choice(("", place)),
            noise_source=int(chance.choice(list(NoiseSource))),
            industry=chance.choice(("", "catering", "retail", "transport")),
            at_night=self._falls_in(0.3),
            owner_unknown=self._falls_in(0.3),
        )

    def _under(self, rule: Rule, facts: RoutingFacts) -> RoutingFacts:
        """Return facts that the selectors of a rule for place, matter, type and tags select."""
        chance, selectors = self._chance, rule.selectors
        regions = self._reference.regions
        area = selectors.regions[0]
        below = [c for c in self._trees[area[:2] + "0000"][1] if regions.is_within(c, area)]
        matter = selectors.matters[0]
        level = sum(1 for part in (matter[2:4], matter[4:]) if part != "00")
        digits = 2 * level + 2
        narrower = [code for code in self._matters[2] if code[:digits] == matter[:digits]]
        tags = tuple(sorted(map(int, selectors.risk_tags)))[:1]
        return replace(
            facts,
            region=chance.choice(below or [area]),
            matter=chance.choice(narrower or [matter]),
            type=int(chance.choice(sorted(selectors.types or [TicketType(facts.type)]))),
            risk_tags=tags or facts.risk_tags,
            zone=next(iter(selectors.zones), facts.zone),
        )


def _zones(province: str) -> list[str]:
    return [f"zone-{province[:2]}-{number}" for number in range(ZONES_PER_PROVINCE)]


def _condition(text: str) -> Condition:
    found = cel_conditions().compile(text)
    if isinstance(found, ConditionFault):
        raise TypeError(found.problem)
    return found


def _trees(reference: ReferenceData) -> dict[str, tuple[list[str], list[str]]]:
    """Return the cities and the counties of each province that has counties."""
    regions = reference.regions
    trees: dict[str, tuple[list[str], list[str]]] = {}
    for code in regions.codes():
        if regions.current(code) is None:
            continue
        level, province = regions.level(code), regions.province_of(code)
        if province is None:
            continue
        cities, counties = trees.setdefault(province, ([], []))
        if level is Level.CITY:
            cities.append(code)
        elif level is Level.COUNTY:
            counties.append(code)
    return {code: tree for code, tree in trees.items() if tree[1]}


def _pack(province: str, rules: Sequence[Rule]) -> Pack:
    return Pack(
        pack=f"{province}.bench",
        owner=AuthorityCode(province),
        title="测试",
        version=f"{int(province):064x}",
        source="",
        rules=tuple(rules),
        guards=(),
    )
