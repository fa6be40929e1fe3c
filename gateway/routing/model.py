"""The values of routing: what rules are and what comes out.

A *rule* selects tickets by `Selectors` and has one action (actions.py). One that looks at the state
of the destination is a *diversion*: an exception to the normal answer. A *guard* limits outcomes
and cannot be overridden by any rule. Both belong to a *pack*, an immutable text of one owner whose
version is the SHA-256 of its bytes. A `Decision` is always made, and its trace says why, with the
losers. What rules look at is in facts.py; both files' values can also be had from here. See
docs/routing.md.
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
    DestinationCondition,
    OfferReason,
    RiskTag,
    RouteDecisionAction,
    SubjectKind,
    TicketType,
    Urgency,
)
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant
from gateway.reference.calendar import Calendar
from gateway.reference.matters import Kind, Management, Matters
from gateway.reference.regions import Regions
from gateway.reference.responsibility import Responsibility
from gateway.reference.units import UnitRef, Units
from gateway.reference.zones import Zones
from gateway.routing.actions import (
    Assign,
    External,
    Fallback,
    Help,
    Lead,
    Legal,
    Merge,
    Next,
    Offer,
    Refer,
    RuleAction,
    Split,
    Triage,
)
from gateway.routing.facts import (
    Condition,
    ConditionFault,
    Conditions,
    DayKind,
    DestinationState,
    Hours,
    Moment,
    RegionFact,
    RoutingFacts,
    States,
    Verdict,
)

__all__ = [
    "DESK",
    "PLACE",
    "RESPONSIBILITY_LIST",
    "Action",
    "Assign",
    "Condition",
    "ConditionFault",
    "Conditions",
    "DayKind",
    "Decision",
    "DestinationCondition",
    "DestinationState",
    "External",
    "Fallback",
    "FallbackPlan",
    "Finding",
    "Guard",
    "Help",
    "Hours",
    "Lead",
    "Legal",
    "Merge",
    "Moment",
    "Next",
    "Offer",
    "Outcome",
    "Pack",
    "Refer",
    "Reference",
    "RegionFact",
    "RoutingFacts",
    "Rule",
    "RuleAction",
    "RuleFailure",
    "Selectors",
    "Split",
    "Stage",
    "States",
    "Template",
    "Told",
    "TraceStep",
    "Triage",
    "UnitKey",
    "Unless",
    "Verdict",
    "Witness",
    "is_effective",
    "province_of",
]

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

    @property
    def calendar(self) -> Calendar:
        """Working days."""
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
    hours: tuple[Hours, ...] = ()
    day_kinds: frozenset[DayKind] = frozenset()
    destinations: frozenset[DestinationCondition] = frozenset()
    condition: Condition | None = None

    @property
    def names_destination(self) -> bool:
        """Whether the state of the destination decides: the rule is a diversion."""
        condition = self.condition
        return bool(self.destinations) or (condition is not None and condition.names_destination)


class Stage(Enum):
    """When a rule is asked; rules of two stages never compete."""

    __hash__ = object.__hash__  # there is one of each; the library's is slower

    LEAD = 0  # whose place leads
    AT_ONCE = 1  # before everything else: emergency lines
    ANYWHERE = 2  # before the question whose place it is
    HERE = 3
    DIVERT = 4  # after the normal answer, against the state of its destination
    HELP = 5  # beside an assignment
    SPLIT = 6  # beside an assignment


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
    notify: tuple[UnitRef, ...] = ()  # told of the decision, hold nothing
    fallback: Fallback | None = None
    template: str = ""  # that it was made from, with `use`

    @property
    def stage(self) -> Stage:
        """When it is asked."""
        if self.selectors.names_destination:
            return Stage.DIVERT
        match self.action:
            case Lead():
                return Stage.LEAD
            case Help():
                return Stage.HELP
            case Split():
                return Stage.SPLIT
            case Refer():
                return Stage.AT_ONCE
            case Merge() | Legal():
                return Stage.ANYWHERE
            case Offer() as offer if offer.is_to_place:
                return Stage.ANYWHERE
            case Assign(level=level) if level is not None:
                return Stage.ANYWHERE
            case _:
                return Stage.HERE


class Unless(Enum):
    """When a guard lets an outcome pass all the same; the value is its word in a pack."""

    __hash__ = object.__hash__  # there is one of each; the library's is slower

    MATTER_OF_KIND = "matter-of-kind"  # the catalogue gives the matter to that kind of body
    MANDATE = "mandate"  # the rule names a legal or delegated basis
    REQUEST = "request"  # a person asks the body, which is free to say no


class Told(Enum):
    """Whom else a decision tells; a guard may withhold from them who calls."""

    __hash__ = object.__hash__  # there is one of each; the library's is slower

    ASSISTING = "assisting"  # units that assist
    HELPING = "helping"  # authorities that are asked for help
    NOTIFIED = "notified"  # units that are told


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A filter on outcomes: which units may not get a ticket, and who may not know who calls."""

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
    withholds_identity: frozenset[Told] = frozenset()
    line: int = 0


def is_effective(clause: Rule | Guard, on: date) -> bool:
    """Tell whether a rule or guard holds on a day; the last day is the first it no longer does."""
    ends = clause.effective_to
    return clause.effective_from <= on and (ends is None or on < ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A rule with parameters; `rule` are its plain values, in which `$name` may stand for one."""

    id: str
    title: str
    parameters: Mapping[str, str]  # with what each means
    rule: Mapping[str, object]
    line: int = 0


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
    templates: tuple[Template, ...] = ()

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


@dataclass(frozen=True, slots=True)
class FallbackPlan:
    """Whom to ask, as targets in order, when nobody accepts in time."""

    hours: int
    is_working: bool
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFailure:
    """A condition that could not be evaluated for a ticket; the rule's owner is to mend it.

    `error` is in Chinese and names no value of the ticket.
    """

    pack: str
    version: str
    rule: str
    owner: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where a ticket goes and why.

    `target` is `units/{unit}` (ASSIGN, TRIAGE), `authorities/{code}` (OFFER; EXTERNAL by place), a
    body's name (EXTERNAL by a rule), an emergency line's name (REFER), `tickets/{number}` (MERGE)
    or the name of an `InadmissibleReason` (LEGAL). `offer_reason` is UNSPECIFIED unless the action
    is OFFER. `objections` are the guards that forbade a unit on the way, and `requestable` the
    units among those that a person may ask by request. `leading_region` is the place unless
    `lead_rule` says otherwise; empty: not certain. Beside an assignment `help_regions` are asked
    for help, by `help_rules`, and `split_matters` become child tickets, by `split_rules`. `notify`
    are told. `identity_withheld` are those of them (`units/…`, `regions/…`) that do not learn who
    calls. `diverted_from` is the target of the normal answer that its state led away from.
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
    split_matters: tuple[str, ...] = ()
    split_rules: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()
    fallback: FallbackPlan | None = None
    diverted_from: str = ""
    identity_withheld: tuple[str, ...] = ()
    requestable: tuple[str, ...] = ()
    failures: tuple[RuleFailure, ...] = ()
    states: tuple[DestinationState, ...] = ()  # of the snapshot, as far as they were looked at


def province_of(code: str) -> AuthorityCode | None:
    """Return the province of an authority's code by its digits; None for the nation."""
    return None if code == NATION else AuthorityCode(code[:2] + "0000")


@dataclass(frozen=True, slots=True)
class Witness:
    """A ticket, who decides about it and when, that shows what a finding says."""

    facts: RoutingFacts
    authority: str
    now: Instant


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check has to say about a pack or its cases, and where.

    `code` is the kind of finding in kebab-case, `lines` are all lines involved. The Chinese texts
    are empty where nobody wrote them.
    """

    pack: str
    line: int
    problem: str
    advice: str
    is_error: bool = True
    code: str = ""
    lines: tuple[int, ...] = ()
    witness: Witness | None = None
    problem_zh: str = ""
    advice_zh: str = ""

    def __str__(self) -> str:
        """Return the finding on one line."""
        return f"{self.pack}:{self.line}: {self.problem}. {self.advice}."
