"""What rules look at: the ticket's facts, the moment of the decision, the state of destinations.

There is no personal field in any of them. All are values that the caller takes as a snapshot
before the decision is made, so that a decision can be replayed (invariant I8). A `Condition` is the
compiled `if` of a rule over the facts and, in a diversion, over the state of the destination.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Protocol

from gateway.kernel.codes import DestinationCondition
from gateway.kernel.time import Instant

MINUTES_OF_DAY = 24 * 60


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
    duplicate_of: str = ""  # `tickets/{number}` of an open ticket of the same matter
    other_matters: tuple[str, ...] = ()  # further matters of the same message


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


class DayKind(Enum):
    """What the calendar says about a day; the value is its word in a pack, with the Chinese one."""

    WORKING = "working", "工作日"
    REST = "rest", "休息日"

    def __init__(self, word: str, zh: str) -> None:
        """Keep the word of the packs and the Chinese one."""
        self.word, self.zh = word, zh


@dataclass(frozen=True, slots=True)
class Hours:
    """A stretch of every day, in minutes after midnight in Asia/Shanghai; the end is outside.

    One that begins after it ends goes on past midnight (22:00 to 06:00).
    """

    start_minute: int
    end_minute: int

    def contains(self, minute: int) -> bool:
        """Tell whether a minute of the day lies in it."""
        if self.start_minute < self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute

    def __str__(self) -> str:
        """Return it as a pack writes it."""
        ends = (self.start_minute, self.end_minute)
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in ends)


@dataclass(frozen=True, slots=True)
class Moment:
    """The day, minute and kind of day of a decision, in Asia/Shanghai; made once by `moment_of`.

    The kind is None when nobody has published the calendar of that year; then no rule about working
    days or days of rest selects.
    """

    day: date
    minute: int
    day_kind: DayKind | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationState:
    """How a destination stands: `units/{unit}` or `authorities/{code}`.

    A declared state ends by itself with its lease; `normal_next_hop` is whom it names for what it
    cannot take.
    """

    target: str
    state: DestinationCondition = DestinationCondition.NORMAL
    open_load: int = 0
    overdue_share: float = 0.0
    lease_until: Instant | None = None
    normal_next_hop: str = ""


States = Mapping[str, DestinationState]  # by target; who is not in it is NORMAL with load 0


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

    @property
    def names_destination(self) -> bool:
        """Whether it looks at the state of the destination: its rule is a diversion."""
        ...

    def test(self, facts: RoutingFacts, destination: DestinationState | None = None) -> Verdict:
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
