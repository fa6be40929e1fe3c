"""What a rule does: exactly one action, and what happens when nobody accepts in time.

Most actions say who gets the ticket. `Lead` says which region leads, `Help` who is asked for help
beside an assignment, `Split` that further matters become child tickets. See
docs/routing.md#actions.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.kernel.codes import EmergencyLine, InadmissibleReason
from gateway.kernel.ids import AuthorityCode
from gateway.reference.regions import Level
from gateway.reference.units import UnitRef
from gateway.routing.facts import RegionFact


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
    """Offer custody to an authority, to that of a fact's region, or (neither) to the place's."""

    authority: AuthorityCode | None
    fact: RegionFact | None = None

    @property
    def is_to_place(self) -> bool:
        """Tell whether it goes to the authority of the place."""
        return self.authority is None and self.fact is None


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


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge into the ticket that the fact `duplicate_of` names; without it nothing is said."""


@dataclass(frozen=True, slots=True)
class Legal:
    """Do not accept it, for this reason, and tell the legal way."""

    reason: InadmissibleReason


@dataclass(frozen=True, slots=True)
class Lead:
    """The region of a fact leads instead of the place; without that fact the rule says nothing."""

    region: RegionFact


@dataclass(frozen=True, slots=True)
class Help:
    """Whoever assigns asks the authorities of a fact's regions for help (child tickets)."""

    region: RegionFact


@dataclass(frozen=True, slots=True)
class Split:
    """Whoever assigns makes a child ticket of each further matter in `other_matters`."""


RuleAction = Assign | Offer | Refer | External | Triage | Merge | Legal | Lead | Help | Split
Next = Assign | Offer  # whom a fallback may ask


@dataclass(frozen=True, slots=True)
class Fallback:
    """Whom to ask, in order, when nobody accepts within some hours (or hours of business)."""

    hours: int
    is_working: bool
    targets: tuple[Next, ...]
