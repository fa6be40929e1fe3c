"""Precedents (先例): the same quarrel is not ruled twice. Pure.

A ruling that sets one says who has such a ticket in words of roles: whose area the place is in, the
present custodian, the first receiver, whoever was proposed. The key of a case is its matter, its
type, whose area the place is in, and the levels of its parties; only codes, never a text. An active
precedent with the same key decides a new case at once and says so; one that differs in something is
shown to the panel with the difference. It ends by a newer one with the same key, by revocation, or
by itself after a year.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import Enum

from gateway.arbitration.model import Case, CaseKey, Party
from gateway.kernel.codes import TicketType
from gateway.kernel.ids import NATION
from gateway.kernel.time import Instant

VALIDITY = timedelta(days=365)  # an order of duties is reviewed yearly
Within = Callable[[str, str], bool]
"""Tells whether a region lies inside an authority's area."""


class Relation(Enum):
    """Whose area the place is in; the value is the word at rest."""

    CUSTODIAN = "custodian"
    PROPOSED = "proposed"  # of whoever a failed hand-over was meant for
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


class Role(Enum):
    """Who has the ticket, in words that fit another case; the value is the word at rest."""

    PLACE = "place"
    CUSTODIAN = "custodian"
    FIRST_RECEIVER = "first_receiver"
    PROPOSED = "proposed"


@dataclass(frozen=True, slots=True)
class PrecedentKey:
    """What two cases must have in common for one ruling to hold for both."""

    scope: str
    matter: str
    type: TicketType
    relation: Relation
    levels: str


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
    role: Role
    legal_basis: str
    state: PrecedentState
    since: Instant
    expires: Instant
    applied: int = 0
    ended: Instant | None = None
    ended_by: str = ""

    def decides(self, now: Instant) -> bool:
        """Tell whether it decides cases that are filed at `now`."""
        return self.state is PrecedentState.ACTIVE and self.since <= now < self.expires


def key_of(case: Case, *, custodian: Party, is_within: Within) -> PrecedentKey:
    """Return the key of a case."""
    return PrecedentKey(
        scope=case.key.scope,
        matter=case.facts.matter,
        type=case.facts.type,
        relation=_relation(case, custodian, is_within),
        levels=",".join(sorted(_level(code) for code in case.parties)),
    )


def role_of(case: Case, target: Party, *, custodian: Party, is_within: Within) -> Role | None:
    """Return as what a target has the ticket; None: in no word that fits another case."""
    return next(
        (
            role
            for role in Role
            if target_of(case, role, custodian=custodian, is_within=is_within) == target
        ),
        None,
    )


def target_of(case: Case, role: Role, *, custodian: Party, is_within: Within) -> Party | None:
    """Return who has a role in a case; None when nobody certainly has it."""
    match role:
        case Role.PLACE:
            homes = [code for code in case.parties if is_within(case.facts.region, code)]
            return homes[0] if len(homes) == 1 else None
        case Role.CUSTODIAN:
            return custodian
        case Role.FIRST_RECEIVER:
            return case.path[0] if case.path else None
        case Role.PROPOSED:
            return case.proposed_targets[0] if len(case.proposed_targets) == 1 else None


def differences(one: PrecedentKey, other: PrecedentKey) -> tuple[str, ...]:
    """Return the names of what two keys differ in."""
    return tuple(
        each.name
        for each in fields(PrecedentKey)
        if getattr(one, each.name) != getattr(other, each.name)
    )


def _relation(case: Case, custodian: Party, is_within: Within) -> Relation:
    region = case.facts.region
    if not region:
        return Relation.UNKNOWN
    if is_within(region, custodian):
        return Relation.CUSTODIAN
    is_proposed = any(is_within(region, code) for code in case.proposed_targets)
    return Relation.PROPOSED if is_proposed else Relation.ELSEWHERE


def _level(code: Party) -> str:
    if code == NATION:
        return "nation"
    return "province" if code.endswith("0000") else "city"
