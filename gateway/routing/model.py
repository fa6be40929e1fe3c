"""The values of routing: what rules look at, what they are, what comes out.

A *rule* selects tickets by `Selectors` and says what to do (`Assign`, `Offer`, `Refer`, `External`,
`Triage`), which region leads (`Lead`) or who is asked for help (`Help`). A *guard* forbids outcomes
and cannot be overridden by any rule. Both belong to a *pack*, an immutable text of one owner whose
version is the SHA-256 of its bytes. A `Decision` is always made, and its trace says why, with the
losers. See docs/routing.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Protocol

from gateway.kernel.codes import (
    Channel,
    EmergencyLine,
    OfferReason,
    RiskTag,
    RouteDecisionAction,
    SubjectKind,
    TicketType,
    Urgency,
)
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.reference.matters import Kind, Management, Matters
from gateway.reference.regions import Level, Regions
from gateway.reference.responsibility import Responsibility
from gateway.reference.units import UnitRef, Units
from gateway.reference.zones import Zones

Action = RouteDecisionAction
VERSION_SHOWN_LENGTH = 12  # enough to tell versions of one pack apart in a trace
RESPONSIBILITY_LIST = "responsibility-list"  # pack and rule of what the list decided
PLACE = "place"  # pack and rule of an offer or referral that follows from the place alone
DESK = "desk"  # pack and rule of what nothing decided
_UNIT_ID = re.compile(r"([1-9][0-9]{5})-([A-Z]+(?:_[A-Z]+)*)-([1-9][0-9]{0,3})")


class Reference(Protocol):
    """What routing needs of the reference data; `ReferenceData` is one."""

    @property
    def version(self) -> str:
        """Digest of the data."""
        ...

    @property
    def regions(self) -> Regions:
        """Regions with their succession."""
        ...

    @property
    def matters(self) -> Matters:
        """The catalogue of matters."""
        ...

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Kinds of body by code."""
        ...

    @property
    def units(self) -> Units:
        """Units and desks."""
        ...

    @property
    def responsibility(self) -> Responsibility:
        """Who answers for what."""
        ...

    @property
    def zones(self) -> Zones:
        """Functional zones with their hosts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingFacts:
    """What rules may look at; there is no personal field. Region empty: not certain."""

    region: str
    matter: str
    type: int
    urgency: int
    channel: int = 0
    subject_kind: int = 0
    risk_tags: tuple[int, ...] = ()
    reported_units: tuple[str, ...] = ()
    zone: str = ""
    on_boundary: bool = False
    origin: str = ""
    secrecy_required: bool = False
    registration_region: str = ""
    seller_region: str = ""
    insured_region: str = ""
    receiving_region: str = ""
    agency_region: str = ""
    passing_regions: tuple[str, ...] = ()
    noise_source: int = 0
    industry: str = ""
    at_night: bool = False
    owner_unknown: bool = False
    parent: bool = False  # it is itself a child ticket: help for another one


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a condition; `error` says in Chinese why it could not be evaluated."""

    holds: bool
    error: str = ""


class Condition(Protocol):
    """A compiled condition over the facts; equal when their texts are."""

    @property
    def text(self) -> str:
        """The expression as written."""
        ...

    def test(self, facts: RoutingFacts) -> Verdict:
        """Evaluate it; total: an error is a verdict."""
        ...


@dataclass(frozen=True, slots=True)
class ConditionFault:
    """Why an expression is no condition; `line` counts from 1 within the expression."""

    line: int
    column: int
    problem: str
    advice: str


class Conditions(Protocol):
    """Compiles the conditions of packs."""

    def compile(self, text: str) -> Condition | ConditionFault:
        """Return the condition of a text, type-checked and bounded, or what is wrong with it."""
        ...


@dataclass(frozen=True, slots=True)
class UnitKey:
    """The parts of a unit id, also of a unit that is not in our reference data."""

    region: str
    kind: str
    number: int

    @classmethod
    def parse(cls, name: str) -> UnitKey | None:
        """Return the parts of `units/131082-GA-1` or `131082-GA-1`; None when it is neither."""
        found = _UNIT_ID.fullmatch(name.removeprefix("units/"))
        return cls(found[1], found[2], int(found[3])) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selectors:
    """Which tickets a rule or guard is about; an empty selector selects everything."""

    regions: tuple[str, ...] = ()
    matters: tuple[str, ...] = ()
    types: frozenset[TicketType] = frozenset()
    channels: frozenset[Channel] = frozenset()
    urgencies: frozenset[Urgency] = frozenset()
    subject_kinds: frozenset[SubjectKind] = frozenset()
    risk_tags: frozenset[RiskTag] = frozenset()
    zones: frozenset[str] = frozenset()
    reported_kinds: frozenset[str] = frozenset()
    reported_unit: bool | None = None
    secrecy_required: bool | None = None
    on_boundary: bool | None = None
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Assign:
    """Assign to a unit, or to a kind sought from the place upwards.

    With level PROVINCE the province itself keeps the ticket, whichever of its cities the place is
    in, and a city that decides offers it home. `mandate` names the legal or delegated basis that
    lets a unit of the grass roots do a functional body's task.
    """

    lead: UnitRef
    level: Level | None = None
    assisting: tuple[UnitRef, ...] = ()
    mandate: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """Offer custody to an authority, or (None) to the authority of the place."""

    authority: AuthorityCode | None


@dataclass(frozen=True, slots=True)
class Refer:
    """Hand to an emergency line at once."""

    line: EmergencyLine


@dataclass(frozen=True, slots=True)
class External:
    """Refer to a body outside the federation and outside the responsibility list."""

    body: str


@dataclass(frozen=True, slots=True)
class Triage:
    """Put before a person, with the question that only a person can answer."""

    question: str


class RegionFact(Enum):
    """A fact that names a region; the value is the field's name, with its Chinese name."""

    REGISTRATION = "registration_region", "登记注册地"
    SELLER = "seller_region", "商家所在地"
    INSURED = "insured_region", "参保地"
    RECEIVING = "receiving_region", "转入地"
    AGENCY = "agency_region", "组团地"
    PASSING = "passing_regions", "途经地"

    def __init__(self, word: str, zh: str) -> None:
        """Keep the word of the packs and the Chinese name."""
        self.word, self.zh = word, zh

    def codes(self, facts: RoutingFacts) -> tuple[str, ...]:
        """Return the regions that the facts give, as stated."""
        value: str | tuple[str, ...] = getattr(facts, self.word)
        given = value if isinstance(value, tuple) else (value,)
        return tuple(code for code in given if code)


@dataclass(frozen=True, slots=True)
class Lead:
    """The region of a fact leads instead of the place; without that fact the rule says nothing."""

    region: RegionFact


@dataclass(frozen=True, slots=True)
class Help:
    """Whoever assigns asks the authorities of a fact's regions for help (child tickets)."""

    region: RegionFact


RuleAction = Assign | Offer | Refer | External | Triage | Lead | Help


class Stage(Enum):
    """When a rule is asked; rules of two stages never compete."""

    LEAD = 0  # whose place leads
    ANYWHERE = 1  # before the question whose place it is
    HERE = 2
    HELP = 3  # beside an assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: who keeps it, why it is lawful, when it holds, whom it selects, what it does."""

    id: str
    owner: str
    legal_basis: str
    effective_from: date
    effective_to: date | None
    selectors: Selectors
    action: RuleAction
    explanation: str
    line: int = 0

    @property
    def stage(self) -> Stage:
        """When it is asked."""
        match self.action:
            case Lead():
                return Stage.LEAD
            case Help():
                return Stage.HELP
            case Refer() | Offer(authority=None):
                return Stage.ANYWHERE
            case Assign(level=level) if level is not None:
                return Stage.ANYWHERE
            case _:
                return Stage.HERE


class Unless(Enum):
    """When a guard lets an outcome pass all the same; the value is its word in a pack."""

    MATTER_OF_KIND = "matter-of-kind"  # the catalogue gives the matter to that kind of body
    MANDATE = "mandate"  # the rule names a legal or delegated basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A filter on outcomes: which units may not get a ticket."""

    id: str
    owner: str
    legal_basis: str
    effective_from: date
    effective_to: date | None
    selectors: Selectors
    explanation: str
    forbids_reported: bool = False
    forbidden_kinds: frozenset[str] = frozenset()
    forbidden_managements: frozenset[Management] = frozenset()
    unless: frozenset[Unless] = frozenset()
    line: int = 0


def is_effective(clause: Rule | Guard, on: date) -> bool:
    """Tell whether a rule or guard holds on a day; the last day is the first it no longer does."""
    ends = clause.effective_to
    return clause.effective_from <= on and (ends is None or on < ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """One immutable version of an owner's rules."""

    pack: str
    owner: AuthorityCode
    title: str
    version: str
    source: str = field(repr=False)
    rules: tuple[Rule, ...]
    guards: tuple[Guard, ...]

    @property
    def label(self) -> str:
        """`{pack}@{version}`, as a decision names it."""
        return f"{self.pack}@{self.version[:VERSION_SHOWN_LENGTH]}"

    def clause_lines(self) -> tuple[tuple[str, int], ...]:
        """Return the id and line of every guard and rule."""
        guards = tuple((guard.id, guard.line) for guard in self.guards)
        return guards + tuple((rule.id, rule.line) for rule in self.rules)


class Outcome(Enum):
    """What became of one step."""

    WON = "won"
    LOST = "lost"
    GUARDED = "guarded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One thing that was looked at, and what became of it."""

    pack: str
    rule: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where a ticket goes and why.

    `target` is `units/{unit}` (ASSIGN, TRIAGE), `authorities/{code}` (OFFER; EXTERNAL by place), a
    body's name (EXTERNAL by a rule) or an emergency line's name (REFER). `offer_reason` is
    UNSPECIFIED unless the action is OFFER. `objections` are the guards that forbade a unit on the
    way. `leading_region` is the place unless `lead_rule` says otherwise; empty: not certain.
    `help_regions` are asked for help beside an assignment, by `help_rules`.
    """

    action: Action
    target: str
    rule: str
    pack: str
    legal_basis: str
    explanation: str
    offer_reason: OfferReason
    assisting: tuple[str, ...]
    objections: tuple[str, ...]
    trace: tuple[TraceStep, ...]
    trace_digest: bytes
    reference_version: str
    decide_time_microseconds: int
    leading_region: str = ""
    lead_rule: str = ""
    help_regions: tuple[str, ...] = ()
    help_rules: tuple[str, ...] = ()


def province_of(code: str) -> AuthorityCode | None:
    """Return the province of an authority's code by its digits; None for the nation."""
    return None if code == NATION else AuthorityCode(code[:2] + "0000")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check has to say about a pack or its cases, and where."""

    pack: str
    line: int
    problem: str
    advice: str
    is_error: bool = True

    def __str__(self) -> str:
        """Return the finding on one line."""
        return f"{self.pack}:{self.line}: {self.problem}. {self.advice}."
