"""Values of arbitration: a case, the rulings in it, and when the next one is due.

A case is known by its scope and the number that its filer minted. It holds codes and authorities,
never a text of the ticket and nothing of a person (I7); only the panel's own reasons are text, and
they are sealed at rest. While a case is open the present custodian goes on caring for the citizen
(首接负责): that is `responsible`, and no clock of the ticket stops (I9).

Limits, as practice has them: an ordinary dispute is ruled within three working days; in an urgent
one somebody is named within two hours, by day and night, and the ruling proper follows within the
three working days.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeAlias

from gateway.custody.model import RulingPart
from gateway.kernel.codes import (
    CaseEntryKind,
    CaseGround,
    CaseLevel,
    CaseRulingForm,
    CaseState,
    RulingKind,
    TicketType,
    Urgency,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant

Party: TypeAlias = str
"""Who a case is about: an authority's code, or between units of one authority `units/{unit}`."""
Part: TypeAlias = RulingPart
"""What another than the target of a ruling does; `matter` only of a split."""
UNIT_PREFIX = "units/"
RULING_DAYS = 3  # working days from the filing; a usual limit of city rules for 裁定
ORDER_HOURS = 2  # natural hours until somebody is named in an urgent case: fire does not wait
FILINGS_PER_CASE_MAX = 32  # as many as authorities on a path; a case file stays one page
RULINGS_PER_CASE_MAX = 16  # a case that needs more is no longer this case
URGENT = frozenset({Urgency.EMERGENCY, Urgency.URGENT})
DECIDED = frozenset({CaseState.RULED, CaseState.OBJECTED})
"""States in which a ruling proper waits for its target, or for the answer to an objection."""
OPEN = frozenset({CaseState.FILED, CaseState.REVIEW, CaseState.CONFERENCE})
"""States in which a ruling is due, so that whoever files joins the case.

RULED waits for the target, not for the panel, and OBJECTED for an answer that decides nothing new.
"""
ENTRIES_PER_PARTY_MAX = 5  # a party that needs more words asks for a conference
ENTRIES_PER_CASE_MAX = 48  # of all parties; with the panel's and the rulings below a statement
CASE_NUMBER = re.compile(r"[^/\s]{1,64}")  # minted by the filer; must fit into a resource name
CASE_ORDER = re.compile(r"(.*)-(\d{1,9})(?:\.(\d{1,9}))?")
"""What a case comes after, as custody numbers it: a ruling, and a hand-over by consent since."""
OBJECTION_DAYS = 1  # working days after a ruling, and as many for its answer
PANEL_PROPER = frozenset({RulingKind.UPHOLD, RulingKind.REASSIGN})
PANEL_KINDS = PANEL_PROPER | {RulingKind.INTERIM}


@dataclass(frozen=True, slots=True)
class CaseKey:
    """A case by its arbiter's scope and its number."""

    scope: AuthorityCode
    case: str

    @property
    def name(self) -> str:
        """The resource name."""
        return f"cases/{self.case}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketFacts:
    """What the panel knows of the ticket before it asks: codes, never a text."""

    matter: str = ""
    region: str = ""
    urgency: Urgency = Urgency.UNSPECIFIED
    type: TicketType = TicketType.UNSPECIFIED
    due_time: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """One party's filing, as custody told it."""

    key: CaseKey
    ticket: TicketNumber
    chain: int
    cause: str
    filer: Party
    proposed_target: Party | None
    path: tuple[Party, ...]
    facts: TicketFacts
    custodian: Party | None = None  # as the filing proves
    refused_by: tuple[Party, ...] = ()  # parties that the failed hand-overs were meant for
    level: CaseLevel = CaseLevel.AUTHORITIES
    ground: CaseGround | None = None  # None: what the level tells
    involved: tuple[str, ...] = ()  # people who filed, asked or judged before: no panel of theirs


@dataclass(frozen=True, slots=True)
class RulingDue:
    """Until when the next ruling is due; provisional when an unpublished year was counted."""

    instant: Instant
    provisional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the panel decides."""

    kind: RulingKind
    target: Party
    legal_basis: str
    reasons: str
    offers_allowed: bool = False
    mandates: tuple[Party, ...] = ()
    sets_precedent: bool = False
    form: CaseRulingForm = CaseRulingForm.UNSPECIFIED
    parts: tuple[Part, ...] = ()
    merge_into: str = ""  # number of the earlier ticket
    precedent_facts: tuple[str, ...] = ()  # names of the facts that count; none: all


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRuling:
    """One ruling of a case; `reasons` are empty unless somebody opened them."""

    number: int
    kind: RulingKind
    target: Party
    legal_basis: str
    offers_allowed: bool
    mandates: tuple[Party, ...]
    ruler: str
    issued: Instant
    taken: Instant | None = None
    reasons: str = ""
    form: CaseRulingForm = CaseRulingForm.UNSPECIFIED
    parts: tuple[Part, ...] = ()
    merge_into: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a party or the panel said; `words` are empty unless somebody opened them.

    `proposed` is whose the ticket is in the eyes of a party; `evidence` are digests (SHA-256,
    hexadecimal) of files that the party keeps. `upheld` is of an answer: the ruling stands.
    """

    number: int
    kind: CaseEntryKind
    party: Party
    author: str
    said: Instant
    proposed: Party | None = None
    legal_basis: str = ""
    attendees: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    upheld: bool | None = None
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One dispute, as its arbiter keeps it."""

    key: CaseKey
    revision: int
    ticket: TicketNumber
    chain: int
    state: CaseState
    ground: CaseGround
    cause: str
    filers: tuple[Party, ...]
    path: tuple[Party, ...]
    proposed_targets: tuple[Party, ...]
    responsible: Party
    filed: Instant
    due: RulingDue | None
    closed: Instant | None
    facts: TicketFacts
    rulings: tuple[CaseRuling, ...] = ()
    stage_due: RulingDue | None = None
    level: CaseLevel = CaseLevel.AUTHORITIES
    entries: tuple[Entry, ...] = ()
    involved: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The resource name."""
        return self.key.name

    @property
    def etag(self) -> str:
        """The mark that changes with every change of the case."""
        return str(self.revision)

    @property
    def parties(self) -> tuple[Party, ...]:
        """Everybody the case is about: who filed, who held, who was to take it, each once."""
        return tuple(dict.fromkeys((*self.filers, *self.path, *self.proposed_targets)))

    @property
    def audience(self) -> tuple[Party, ...]:
        """Everybody who is told the case: the parties, and whom a ruling names besides."""
        named = [
            party
            for ruling in self.rulings
            for party in (ruling.target, *(part.party for part in ruling.parts))
            if ruling.form is not CaseRulingForm.REFER_OUT  # whom it goes to is in another scope
        ]
        return tuple(dict.fromkeys((*self.parties, *named)))

    @property
    def is_urgent(self) -> bool:
        """Tell whether somebody must be named within hours."""
        return self.facts.urgency in URGENT

    def is_overdue(self, now: Instant) -> bool:
        """Tell whether a ruling is due and late."""
        return self.due is not None and now > self.due.instant

    @property
    def ruling_proper(self) -> CaseRuling | None:
        """The newest ruling that decides; an interim order does not."""
        proper = [item for item in self.rulings if item.kind is not RulingKind.INTERIM]
        return proper[-1] if proper else None

    def has_spoken(self, party: Party) -> bool:
        """Tell whether a party filed, or stated its position."""
        stated = any(
            item.party == party and item.kind is CaseEntryKind.POSITION for item in self.entries
        )
        return stated or party in self.filers

    def find_ruling(self, number: int) -> CaseRuling | None:
        """Return the ruling of this number, or None."""
        return next((item for item in self.rulings if item.number == number), None)

    def with_ruling(self, changed: CaseRuling) -> Case:
        """Return the case with one ruling replaced or added."""
        others = tuple(item for item in self.rulings if item.number != changed.number)
        ordered = sorted((*others, changed), key=lambda item: item.number)
        return replace(self, rulings=tuple(ordered))


def is_unit(party: Party) -> bool:
    """Tell whether a party is a unit of the ruling authority, and no authority itself."""
    return party.startswith(UNIT_PREFIX)


def is_later(case: str, than: str) -> bool:
    """Tell whether a case of a chain was filed after what ended another: both by their numbers."""
    one, other = CASE_ORDER.fullmatch(case), CASE_ORDER.fullmatch(than)
    if one is None or other is None or one[1] != other[1]:
        return False
    return (int(one[2]), int(one[3] or 0)) > (int(other[2]), int(other[3] or 0))


def ground_of(level: CaseLevel) -> CaseGround:
    """Return what a dispute of a level is about when its filing does not tell (code DG)."""
    if level is CaseLevel.PROVINCES:
        return CaseGround.CROSS_REGION
    return CaseGround.FUNCTION if level is CaseLevel.UNITS else CaseGround.PLACE
