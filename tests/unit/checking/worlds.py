"""A world so small that all its tickets can be looked at one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product

from hypothesis import strategies as st

from gateway.kernel.codes import Channel, EmergencyLine, TicketType, Urgency
from gateway.kernel.ids import AuthorityCode, UnitId
from gateway.reference.calendar import Calendar, PublishedDays
from gateway.reference.data import ReferenceData
from gateway.reference.matters import Kind, Management, Matter, Matters
from gateway.reference.regions import Level, Region, Regions
from gateway.reference.responsibility import Entry, Responsibility
from gateway.reference.service_levels import ServiceLevels
from gateway.reference.units import Unit, UnitRef, Units
from gateway.reference.zones import Zones
from gateway.routing.model import (
    Assign,
    DayKind,
    External,
    Hours,
    Offer,
    Pack,
    Refer,
    RoutingFacts,
    Rule,
    RuleAction,
    Selectors,
    Stage,
    Triage,
    Witness,
)

NOW = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)  # a Friday, 09:30 in Shanghai
TODAY = date(2026, 11, 20)
NORTH, NORTH_CITY, SOUTH = "130000", "131000", "320000"
REGIONS = (
    (NORTH, Level.PROVINCE),
    (NORTH_CITY, Level.CITY),
    ("131002", Level.COUNTY),
    ("131003", Level.COUNTY),
    ("130100", Level.CITY),
    ("130102", Level.COUNTY),
    (SOUTH, Level.PROVINCE),
    ("320100", Level.CITY),
    ("320102", Level.COUNTY),
)
CODES = tuple(code for code, _ in REGIONS)
MATTERS = ("040000", "040100", "040101", "050000")
TYPES = (TicketType.COMPLAINT, TicketType.REPORT, TicketType.HELP)
URGENCIES = (Urgency.NORMAL, Urgency.EMERGENCY, Urgency.URGENT)  # no rule names the last
CUTS = (TODAY, date(2026, 11, 21), date(2026, 11, 30), date(2026, 12, 1))
# Of every stretch between the cuts a working day, a day of rest and one of a year without calendar.
DAYS = (
    TODAY,
    date(2026, 11, 21),
    date(2026, 11, 23),
    *CUTS[2:],
    date(2026, 12, 5),
    date(2027, 1, 4),
)
MINUTES = (570, 1380)
KINDS = ("JT", "GA", "JJ")


def a_world() -> ReferenceData:
    """Two provinces; the north has a city of its own that takes part, and units for JT only."""
    records = [
        Region(
            code=code,
            name=code,
            level=level,
            parent=_parent(code, level),
            since=1981,
        )
        for code, level in REGIONS
    ]
    regions = Regions(records)
    kinds = {kind: Kind(kind, kind, Management.LOCAL_GOVERNMENT) for kind in KINDS}
    matters = Matters(
        Matter(
            code=code,
            name=code,
            parent=None
            if code.endswith("0000")
            else code[:4] + "00"
            if code[4:] != "00"
            else code[:2] + "0000",
            level=3 - (code[4:] == "00") - (code[2:] == "0000"),
            lead_kind="JT" if code == "040101" else "GA",
        )
        for code in MATTERS
    )
    units = Units(
        [
            _unit("131002-JT-1", NORTH_CITY),
            _unit("131000-JJ-1", NORTH_CITY),
            _unit("130000-JT-1", NORTH),
            _unit("320000-JT-1", SOUTH),
            _unit("320100-GA-1", SOUTH),
        ]
    )
    entries = (Entry("e.1", "050000", NORTH, UnitRef(kind="JJ"), date(2026, 1, 1)),)
    return ReferenceData(
        version="tiny",
        regions=regions,
        matters=matters,
        kinds=kinds,
        units=units,
        responsibility=Responsibility(
            entries, regions=regions, matters=matters, kinds=kinds, units=units
        ),
        calendar=Calendar(published=PublishedDays(years=frozenset({2026}))),
        service_levels=ServiceLevels({}, regions=regions),
        zones=Zones(),
    )


def _parent(code: str, level: Level) -> str:
    if level is Level.PROVINCE:
        return "100000"
    return code[:2] + "0000" if level is Level.CITY else code[:4] + "00"


def _unit(unit_id: str, authority: str) -> Unit:
    region, kind, _ = unit_id.split("-")
    return Unit(
        unit_id=UnitId(unit_id),
        name=unit_id,
        region=region,
        level=Level.COUNTY,
        kind=kind,
        platform=None,
        authority=AuthorityCode(authority),
    )


def tickets(
    authority: str,
    *,
    codes: tuple[str, ...] = ("", *CODES),
    days: tuple[date, ...] = DAYS,
    minutes: tuple[int, ...] = MINUTES,
) -> Iterator[Witness]:
    """Yield every ticket of the world that some rule could tell from another."""
    for region, matter, kind, urgency, day, minute in product(
        codes, ("", *MATTERS), TYPES, URGENCIES, days, minutes
    ):
        facts = RoutingFacts(
            region=region,
            matter=matter,
            type=int(kind),
            urgency=int(urgency),
            channel=int(Channel.PHONE),
        )
        yield Witness(facts, authority, at(day, minute))


def at(day: date, minute: int) -> datetime:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=8)
    return midnight + timedelta(minutes=minute)


def is_leaf(witness: Witness) -> bool:
    """Tell whether a ticket names the smallest region and matter."""
    region, matter = witness.facts.region, witness.facts.matter
    return region in {"131002", "131003", "130102", "320102"} and matter in {"040101", "050000"}


HOURS: tuple[tuple[Hours, ...], ...] = ((), (), (Hours(480, 1080),), (Hours(1320, 360),))
DAY_KINDS: tuple[frozenset[DayKind], ...] = (
    frozenset(),
    frozenset(),
    frozenset({DayKind.WORKING}),
)
ACTIONS: tuple[RuleAction, ...] = (
    Assign(UnitRef(kind="JT")),
    Assign(UnitRef(kind="GA")),
    Assign(UnitRef(kind="JJ")),
    Triage("谁的"),
    External("法院"),
    Refer(EmergencyLine.FIRE_119),
    Assign(UnitRef(kind="JT"), level=Level.PROVINCE),
)


@st.composite
def rules(
    draw: st.DrawFn,
    *,
    owner: str = NORTH_CITY,
    actions: tuple[RuleAction, ...] = ACTIONS,
    is_timeless: bool = False,
) -> Rule:
    """Any rule over the small world, mostly wide ones that meet each other."""
    inside = [
        code
        for code in CODES
        if owner in {"100000", code}
        or (code[:2] == owner[:2] and (owner.endswith("0000") or code[:4] == owner[:4]))
    ]
    starts = draw(st.sampled_from((TODAY - timedelta(days=30), *CUTS[:3])))
    ends = draw(st.none() | st.sampled_from(CUTS[1:]).filter(lambda day: day > starts))
    if is_timeless:
        starts, ends = TODAY, None
    return Rule(
        id="small.rule",
        owner="测试",
        legal_basis="测试",
        effective_from=starts,
        effective_to=ends,
        selectors=Selectors(
            regions=tuple(draw(st.lists(st.sampled_from(inside), max_size=2, unique=True))),
            matters=tuple(draw(st.lists(st.sampled_from(MATTERS), max_size=2, unique=True))),
            types=draw(st.frozensets(st.sampled_from(TYPES[:2]), max_size=2)),
            urgencies=draw(st.frozensets(st.sampled_from(URGENCIES[:2]), max_size=1)),
            hours=() if is_timeless else draw(st.sampled_from(HOURS)),
            day_kinds=frozenset() if is_timeless else draw(st.sampled_from(DAY_KINDS)),
        ),
        action=draw(st.sampled_from(actions)),
        explanation="测试",
    )


def a_small_pack(found: list[Rule], *, owner: str = NORTH_CITY, name: str = "small") -> Pack:
    """Return a pack of the rules, each with an id and line of its own."""
    return Pack(
        pack=f"{owner}.{name}",
        owner=AuthorityCode(owner),
        title="小包",
        version=owner + "0" * 58,
        source="",
        rules=tuple(
            replace(rule, id=f"r{owner}.n{number}", line=number + 1)
            for number, rule in enumerate(found)
        ),
        guards=(),
    )


def in_order(pack: Pack) -> list[Rule]:
    """Return the rules that say where a ticket goes, in the order in which they are asked."""
    ranks = {Stage.AT_ONCE: 0, Stage.ANYWHERE: 1, Stage.HERE: 2}
    return sorted(
        (rule for rule in pack.rules if rule.stage in ranks), key=lambda rule: ranks[rule.stage]
    )


def offer(authority: str) -> Offer:
    return Offer(AuthorityCode(authority))
