"""Precedents (先例): the same quarrel is not ruled twice. Pure.

A ruling that sets one says who has such a ticket in words of *seats*, which another case has too:
the unit of a kind for the place, whose area the place is in, the present custodian, the first
receiver, whoever was proposed. So it fits another district, and another city.

The *key* of a case is its matter, its type, whose area the place is in, the kinds of its parties
(levels of authorities, kinds of bodies of units) and the facts of the ticket that are known for
certain; only codes, never a text. The key of a precedent has those facts that the panel named, or
all of them. A case falls under a precedent when all of its key holds for it: then it is decided as
the precedent says, and the ruling says so. One that differs in something is shown to the panel with
the difference. Of several that fit, the one with the most facts decides, then the newest.

A precedent ends by a newer one with the same key, by another ruling in its own case, by revocation,
or by itself after a year.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import Enum

from gateway.arbitration.model import (
    UNIT_PREFIX,
    Case,
    CaseKey,
    CaseRuling,
    Order,
    Part,
    Party,
    is_unit,
)
from gateway.kernel.codes import CaseRulingForm, NoiseSource, RulingKind, TicketType
from gateway.kernel.ids import NATION
from gateway.kernel.time import Instant
from gateway.routing.model import RoutingFacts, UnitKey

VALIDITY = timedelta(days=365)  # an order of duties is reviewed yearly
BASIS_MAX = 400  # characters of a legal basis, as the standard bounds it
ANY = "any"  # named instead of facts: the precedent holds whatever they are
FACT_NAMES = (
    "at_night",
    "industry",
    "noise_source",
    "on_boundary",
    "owner_unknown",
    "reported_kinds",
    "zone",
)
"""The facts of a ticket that can tell two quarrels apart; all are codes and in every key."""
CANNOT_REPEAT = frozenset({CaseRulingForm.MERGE, CaseRulingForm.REFER_OUT})
"""Forms that are about this one ticket: a merge with another one, a step to the scope above."""
OF_HOLDER = frozenset({CaseRulingForm.LEGAL, CaseRulingForm.BEYOND_DUTY})
"""Forms by which the ticket stays with whoever holds it, whatever else it is."""
Within = Callable[[str, str], bool]
"""Tells whether a region lies inside an authority's area."""
UnitOf = Callable[[str, str, str], Party | None]
"""Gives the unit of an authority, of a kind (`SJ`, `GY-2`), that a region belongs to."""


def no_unit(_authority: str, _kind: str, _region: str) -> Party | None:
    """Know of no unit: of an arbiter between authorities only."""
    return None


@dataclass(frozen=True, slots=True)
class Places:
    """What precedents must know of regions and units."""

    is_within: Within
    unit_of: UnitOf = no_unit

    def is_in_area(self, region: str, party: Party) -> bool:
        """Tell whether a region lies in the area of an authority, or in that of a unit."""
        return bool(region) and self.is_within(region, _area(party))


class Relation(Enum):
    """Whose area the place is in; the value is the word at rest."""

    CUSTODIAN = "custodian"
    PROPOSED = "proposed"  # of whoever a failed hand-over was meant for
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


class Role(Enum):
    """Who has the ticket, in words that fit another case; the value is the word at rest."""

    DESK = "desk"  # of the ruling authority, between its units
    KIND = "kind"  # the unit of a kind that the place belongs to
    PLACE = "place"
    CUSTODIAN = "custodian"
    FIRST_RECEIVER = "first_receiver"
    PROPOSED = "proposed"


@dataclass(frozen=True, slots=True)
class Seat:
    """A role, with the kind of body of `KIND`: `kind:SJ`."""

    role: Role
    kind: str = ""

    @property
    def word(self) -> str:
        """How it is written at rest and in messages."""
        return f"{self.role.value}:{self.kind}" if self.kind else self.role.value

    @classmethod
    def of(cls, word: str) -> Seat:
        """Return the seat that a word means."""
        role, _, kind = word.partition(":")
        return cls(Role(role), kind)


@dataclass(frozen=True, slots=True)
class SeatPart:
    """What another than the target does, by its seat; `matter` only of a split."""

    seat: Seat
    matter: str = ""


@dataclass(frozen=True, slots=True)
class PrecedentKey:
    """What two cases must have in common for one ruling to hold for both.

    `levels` are the kinds of the parties. `facts` are `name=value` in order of their names; none:
    nobody knew them. That of a precedent has those that count, or `ANY`.
    """

    scope: str
    matter: str
    type: TicketType
    relation: Relation
    levels: str
    facts: tuple[str, ...] = ()


class PrecedentState(Enum):
    """Whether a precedent decides; expiry is no state, its time is over."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedent:
    """What a ruling said for all cases with its key."""

    case: CaseKey
    ruling: int
    key: PrecedentKey
    seat: Seat
    legal_basis: str
    state: PrecedentState
    since: Instant
    expires: Instant
    applied: int = 0
    ended: Instant | None = None
    ended_by: str = ""
    form: CaseRulingForm = CaseRulingForm.UNSPECIFIED
    parts: tuple[SeatPart, ...] = ()

    @property
    def name(self) -> str:
        """The resource name."""
        return f"precedents/{self.case.case}"

    def decides(self, now: Instant) -> bool:
        """Tell whether it decides cases that are filed at `now`."""
        return self.state is PrecedentState.ACTIVE and self.since <= now < self.expires


# --- keys -----------------------------------------------------------------------------------------


def facts_of(known: RoutingFacts) -> tuple[str, ...]:
    """Return the facts of a ticket as keys have them."""
    kinds = {key.kind for name in known.reported_units if (key := UnitKey.parse(name))}
    values = {
        "at_night": _yes(known.at_night),
        "industry": known.industry,
        "noise_source": _noise(known.noise_source),
        "on_boundary": _yes(known.on_boundary),
        "owner_unknown": _yes(known.owner_unknown),
        "reported_kinds": "+".join(sorted(kinds)),
        "zone": known.zone,
    }
    return tuple(f"{name}={values[name]}" for name in FACT_NAMES)


def named_facts(known: tuple[str, ...], names: Iterable[str]) -> tuple[str, ...]:
    """Return those facts that a panel says count; without names all, with `ANY` none."""
    wanted = frozenset(names)
    if ANY in wanted:
        return (ANY,)
    return tuple(fact for fact in known if not wanted or fact.partition("=")[0] in wanted)


def key_of(
    case: Case, *, custodian: Party, places: Places, facts: tuple[str, ...] = ()
) -> PrecedentKey:
    """Return the key of a case."""
    return PrecedentKey(
        scope=case.key.scope,
        matter=case.facts.matter,
        type=case.facts.type,
        relation=_relation(case, custodian, places),
        levels=",".join(sorted(_kind(party) for party in case.parties)),
        facts=facts,
    )


def differences(case: PrecedentKey, known: PrecedentKey) -> tuple[str, ...]:
    """Return the names of what a case differs in from the key of a precedent."""
    found = [
        each.name
        for each in fields(PrecedentKey)
        if each.name != "facts" and getattr(case, each.name) != getattr(known, each.name)
    ]
    if known.facts == (ANY,):
        return tuple(found)
    if not case.facts or not known.facts:  # nobody knows them of one of the two
        return (*found, *(("facts",) if case.facts != known.facts else ()))
    others = [fact.partition("=")[0] for fact in known.facts if fact not in case.facts]
    return (*found, *others)


@dataclass(frozen=True, slots=True)
class Comparable:
    """A precedent beside a case, and what the two differ in; nothing: it is the same quarrel."""

    precedent: Precedent
    differs: tuple[str, ...]


def ranked(
    case: CaseKey, key: PrecedentKey, known: Iterable[Precedent], *, now: Instant
) -> list[Comparable]:
    """Return the precedents that decide now beside a case, the most alike first.

    Equal inputs give equal order, whatever order they came in: fewest differences, most facts,
    newest, then the number.
    """
    found = [
        Comparable(each, differences(key, each.key))
        for each in known
        if each.decides(now) and each.case != case
    ]
    found.sort(key=lambda item: item.precedent.case.case)
    found.sort(key=lambda item: item.precedent.since, reverse=True)
    found.sort(key=lambda item: (len(item.differs), -_weight(item.precedent.key)))
    return found


def _weight(key: PrecedentKey) -> int:
    """Return how much a key says of the facts."""
    return 0 if key.facts == (ANY,) else len(key.facts)


# --- seats ----------------------------------------------------------------------------------------


def seat_of(case: Case, target: Party, *, custodian: Party, places: Places) -> Seat | None:
    """Return as what a target has the ticket; None: in no word that fits another case."""
    return next(
        (
            seat
            for seat in _seats(target)
            if target_of(case, seat, custodian=custodian, places=places) == target
        ),
        None,
    )


def seat_of_ruling(
    case: Case, ruling: CaseRuling, *, custodian: Party, places: Places
) -> Seat | None:
    """Return as what the target of a ruling has the ticket.

    One that tells the citizen of another way, or that nobody has the duty, leaves it where it is.
    """
    if ruling.form in OF_HOLDER:
        return Seat(Role.CUSTODIAN)
    return seat_of(case, ruling.target, custodian=custodian, places=places)


def target_of(case: Case, seat: Seat, *, custodian: Party, places: Places) -> Party | None:
    """Return who has a seat in a case; None when nobody certainly has it."""
    match seat.role:
        case Role.DESK:
            return desk_of(case.key.scope)
        case Role.KIND:
            return places.unit_of(case.key.scope, seat.kind, case.facts.region)
        case Role.PLACE:
            homes = [code for code in case.parties if places.is_in_area(case.facts.region, code)]
            return homes[0] if len(homes) == 1 else None
        case Role.CUSTODIAN:
            return custodian
        case Role.FIRST_RECEIVER:
            return case.path[0] if case.path else None
        case Role.PROPOSED:
            return case.proposed_targets[0] if len(case.proposed_targets) == 1 else None


def seats_of_parts(
    case: Case, parts: Iterable[Part], *, custodian: Party, places: Places
) -> tuple[SeatPart, ...] | None:
    """Return the parts of a ruling by their seats; None when one has none."""
    found: list[SeatPart] = []
    for part in parts:
        seat = seat_of(case, part.party, custodian=custodian, places=places)
        if seat is None:
            return None
        found.append(SeatPart(seat, part.matter))
    return tuple(found)


def order_by(case: Case, precedent: Precedent, *, custodian: Party, places: Places) -> Order | None:
    """Return what a precedent orders in a case that falls under it; None: nobody has a seat."""
    target = target_of(case, precedent.seat, custodian=custodian, places=places)
    parts: list[Part] = []
    for each in precedent.parts:
        party = target_of(case, each.seat, custodian=custodian, places=places)
        if party is None or party == target:
            return None
        parts.append(Part(party, each.matter))
    if target is None:
        return None
    name = precedent.case.case
    return Order(
        kind=RulingKind.UPHOLD if target == custodian else RulingKind.REASSIGN,
        target=target,
        legal_basis=f"先例 {name}：{precedent.legal_basis}"[:BASIS_MAX],
        reasons=f"与先例 {name} 的事项、类型、属地关系、当事方类别和要件相同",
        form=precedent.form,
        parts=tuple(parts),
    )


def desk_of(authority: str) -> Party:
    """Return the triage desk of an authority as a party."""
    return f"{UNIT_PREFIX}{authority}-desk"


# --- parts ----------------------------------------------------------------------------------------


def _seats(target: Party) -> Iterable[Seat]:
    """Yield the seats in which a target may have the ticket, the plainest first."""
    unit = UnitKey.parse(target) if is_unit(target) else None
    if unit is not None:
        yield Seat(Role.KIND, unit.kind)
        yield Seat(Role.KIND, f"{unit.kind}-{unit.number}")
    elif is_unit(target):
        yield Seat(Role.DESK)
    else:
        yield Seat(Role.PLACE)
    for role in (Role.CUSTODIAN, Role.FIRST_RECEIVER, Role.PROPOSED):
        yield Seat(role)


def _relation(case: Case, custodian: Party, places: Places) -> Relation:
    region = case.facts.region
    if not region:
        return Relation.UNKNOWN
    if places.is_in_area(region, custodian):
        return Relation.CUSTODIAN
    is_proposed = any(places.is_in_area(region, party) for party in case.proposed_targets)
    return Relation.PROPOSED if is_proposed else Relation.ELSEWHERE


def _kind(party: Party) -> str:
    """Return what sort of party it is: the kind of a unit, the level of an authority."""
    if is_unit(party):
        unit = UnitKey.parse(party)
        return unit.kind if unit is not None else Role.DESK.value
    if party == NATION:
        return "nation"
    return "province" if party.endswith("0000") else "city"


def _area(party: Party) -> str:
    """Return the region that a party answers for."""
    if not is_unit(party):
        return party
    unit = UnitKey.parse(party)
    return unit.region if unit is not None else party.removeprefix(UNIT_PREFIX).partition("-")[0]


def _noise(source: int) -> str:
    if not source:
        return ""
    is_known = source in NoiseSource._value2member_map_
    return NoiseSource(source).name.lower() if is_known else str(source)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
