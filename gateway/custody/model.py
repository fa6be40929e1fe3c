"""Values of custody: chains, offers, invitations, and what a step tells the rest of the house.

The words are those of the protocol (docs/custody.md): a *chain* is the custody of one ticket in one
scope; an authority has at most one row for it. Rows hold all truth, memory holds none.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum

from gateway.kernel.ids import NATION, AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace

OFFERS_PENDING_MAX = 1  # two outstanding offers make two custodians in two steps (mutant 15)
HOPS_FREE_MAX = 2  # I5: the third hand-over of an era is a case
HOPS_CONSENTED_MAX = 6  # with case and Assumption; keeps attached records small
REFUSALS_FREE_MAX = 2  # the second substantive refusal opens a case
HOMEWARD_MAX = 2  # homeward offers per inner era, then a case
COUNTS_PER_ERA_MAX = 32  # bounds chain and tables
STAND_BYS_PER_OFFER_MAX = 1  # silence must surface: an offer has two windows at most
INQUIRIES_PER_OFFER_MAX = 3  # one at a time; who needs more declines, or rings up
RULINGS_PER_TICKET_MAX = 16  # beyond: a person, and a final ruling only; HOME rulings do not count
ACTS_PER_STATEMENT_MAX = 32  # the standard's bound; each act is told when it happens
OUTER_CHAIN_NUMBER = 1  # a ticket has one chain among provinces, for ever
PROTOCOL_VERSION = 1


class Holding(Enum):
    """What an authority has to do with a ticket in one chain."""

    ABSENT = "ABSENT"
    HELD = "HELD"
    OFFERED = "OFFERED"
    REVOKING = "REVOKING"
    YIELDING = "YIELDING"
    RELEASED = "RELEASED"


CARING = frozenset({Holding.HELD, Holding.OFFERED, Holding.REVOKING, Holding.YIELDING})
"""States in which the authority owes first contact, urging and emergency action."""


class Verdict(Enum):
    """The answer of an epoch, or PENDING while there is none."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"
    REVOKED = "REVOKED"
    SUPERSEDED = "SUPERSEDED"


class OfferReason(Enum):
    """Why custody is offered; the names are those of the standard."""

    PLACE = 1
    RULE = 2
    MANUAL = 3
    OUTBOUND = 4
    ESCALATE = 5


BY_CONSENT = "consent"  # cause of a filing that ends a case: its ticket moved by Assumption
BY_FORK = "fork"  # cause of the filing of a custodian that stops acting: its own term is forked
HOMEWARD_REASONS = frozenset({OfferReason.OUTBOUND, OfferReason.ESCALATE})
AUTOMATIC_DECLINES = frozenset({15, 16})  # LOOP and HOPS are not substantive refusals


@dataclass(frozen=True, slots=True)
class RulingPart:
    """What another than the target of a ruling does; `matter` only of a split.

    A custody ruling names authorities, one between units of an authority `units/{unit}`.
    """

    party: str
    matter: str = ""


@dataclass(frozen=True, slots=True)
class ChainKey:
    """One authority's row of one chain."""

    authority: AuthorityCode
    ticket: TicketNumber
    scope: AuthorityCode
    number: int

    @property
    def is_outer(self) -> bool:
        """Tell whether the chain runs among provinces."""
        return self.scope == NATION

    @property
    def is_home(self) -> bool:
        """Tell whether this row is that of the scope's own authority (a province inside)."""
        return self.scope == self.authority


@dataclass(frozen=True, slots=True)
class Chain:
    """All that an authority knows of a chain (docs/custody.md#state).

    `custodian` is who holds the ticket in the end, as known here; `contact` tells that who calls is
    known here, or known to be nobody; `release_due` names the new custodian whose Release waits
    for the contact; `filing_due` tells that the filing of `case` waits for an arbiter to join;
    `records` are the digests of the statements that establish the terms of this era, oldest first.
    """

    key: ChainKey
    origin: AuthorityCode
    genesis_digest: bytes
    holding: Holding
    term_epoch: Epoch | None
    floor: Epoch | None
    ruling: int = 0
    ruling_target: AuthorityCode | None = None
    ruling_statement: bytes = b""
    offers_allowed: bool = True
    mandates: tuple[str, ...] = ()
    pending_epoch: Epoch | None = None
    path: tuple[str, ...] = ()
    hops: int = 0
    refusals: int = 0
    homeward: int = 0
    case: str = ""
    desk: str | None = None
    chain_head: bytes = b""
    rows: int = 0
    record_digest: bytes = b""
    custodian: AuthorityCode | None = None
    contact: bool = False
    release_due: AuthorityCode | None = None
    filing_due: bool = False
    content_due: bool = False
    closed: bool = False
    parties: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    update_sequence: int = 0
    shown_epoch: Epoch | None = None
    shown_sequence: int = 0

    @property
    def is_caring(self) -> bool:
        """Tell whether this authority cares for the ticket in this chain."""
        return self.holding in CARING

    def raised(self, epoch: Epoch) -> Epoch:
        """Return the floor after `epoch` was seen; it never falls."""
        return epoch if self.floor is None else max(self.floor, epoch)

    def next_epoch(self) -> Epoch:
        """Return the next unused epoch of this term's era."""
        if self.term_epoch is None or self.floor is None:
            raise ValueError("only an authority with a term can offer")
        used = self.floor.count if self.floor.era == self.term_epoch.era else 0
        return Epoch(self.term_epoch.era, used + 1)

    def with_party(self, *authorities: str) -> Chain:
        """Return the chain with these authorities among the known parties."""
        known = dict.fromkeys((*self.parties, *authorities))
        known.pop(self.key.authority, None)
        return replace(self, parties=tuple(known))


@dataclass(frozen=True, slots=True)
class Split:
    """Of which act of which parent a ticket is the child; its Genesis cites it."""

    parent: TicketNumber
    epoch: Epoch
    index: int


@dataclass(frozen=True, slots=True)
class OfferMade:
    """An offer of this authority, kept as long as the ticket."""

    key: ChainKey
    epoch: Epoch
    target: AuthorityCode
    homeward: bool
    statement_digest: bytes
    window_end: Instant
    verdict: Verdict = Verdict.PENDING
    answer_digest: bytes = b""
    reason: int = 0
    clause: str = ""
    proposed_owner: str = ""
    stand_by_until: Instant | None = None  # a person there decides until then, said in time
    decider: str = ""  # in which role
    asked: int = 0  # number of the newest question about it
    asked_at: Instant | None = None
    told: Instant | None = None  # when that was answered
    sealed: bytes = field(default=b"", repr=False)  # that question, as it came


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """The one answer that this authority gave for an epoch, for ever."""

    key: ChainKey
    epoch: Epoch
    source: AuthorityCode
    offer_digest: bytes
    verdict: Verdict
    answer_digest: bytes


@dataclass(frozen=True, slots=True)
class Invitation:
    """An offer received and not yet decided; at most one per chain."""

    key: ChainKey
    epoch: Epoch
    source: AuthorityCode
    offer_digest: bytes
    received: Instant
    window_end: Instant
    stand_by_until: Instant | None = None  # a person here decides until then, as we said
    decider: str = ""
    asked: int = 0  # number of our newest question about it
    asked_at: Instant | None = None
    told: Instant | None = None  # when that was answered
    sealed: bytes = field(default=b"", repr=False)  # the answer, as it came


# --- what a step tells the rest of the house --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invited:
    """An offer waits for a decision by a rule or a person."""

    key: ChainKey
    epoch: Epoch
    source: AuthorityCode
    homeward: bool


@dataclass(frozen=True, slots=True)
class BecameCustodian:
    """This authority holds the ticket now: decide what to do with it."""

    key: ChainKey
    epoch: Epoch
    source: AuthorityCode | None


@dataclass(frozen=True, slots=True)
class Released:
    """A later custodian holds the ticket; this authority follows it."""

    key: ChainKey
    epoch: Epoch
    successor: AuthorityCode


@dataclass(frozen=True, slots=True)
class OfferSent:
    """A person offered the ticket; an offer by a rule is noted by whoever carried the rule out."""

    key: ChainKey
    epoch: Epoch
    target: AuthorityCode
    actor: str


@dataclass(frozen=True, slots=True)
class StoodBy:
    """A person decides our offer, in that role; the window of the offer ends at `end` now."""

    key: ChainKey
    epoch: Epoch
    target: AuthorityCode
    end: Instant
    decider: str


@dataclass(frozen=True, slots=True)
class Inquired:
    """Whom our offer was made to asks something about it; the desk answers."""

    key: ChainKey
    epoch: Epoch
    target: AuthorityCode
    number: int


@dataclass(frozen=True, slots=True)
class OfferReturned:
    """An offer came back without acceptance; the ticket is HELD here again."""

    key: ChainKey
    epoch: Epoch
    target: AuthorityCode
    verdict: Verdict
    reason: int
    clause: str
    proposed_owner: str


@dataclass(frozen=True, slots=True)
class CaseOpened:
    """A guard failed: the ticket stays HELD and waits for a ruling."""

    key: ChainKey
    case: str
    cause: str
    target: AuthorityCode


@dataclass(frozen=True, slots=True)
class IdentityArrived:
    """The old custodian handed over who calls; `identity_block` is the opened plaintext."""

    key: ChainKey
    identity_block: bytes


@dataclass(frozen=True, slots=True)
class ContentArrived:
    """The ticket without identity, opened.

    It is that of an accepted offer, and then comes before BecameCustodian, or was reported by the
    city that created it, and then is `followed`.
    """

    key: ChainKey
    source: AuthorityCode
    header: bytes
    case_block: bytes
    followed: bool = False
    citizen_act_applied: int = 0


@dataclass(frozen=True, slots=True)
class ProgressArrived:
    """A newer public state of the ticket from its custodian was applied here.

    `state` is the standard's Ticket.State number; `state_block` the opened plaintext.
    `custodian` is the authority that holds the ticket in the end, as the sender knows.
    """

    key: ChainKey
    epoch: Epoch
    state: int
    custodian: AuthorityCode
    state_block: bytes
    citizen_act_applied: int = 0


class LetterKind(Enum):
    """What goes between origin and custodian; the values are the statement kinds."""

    ACT = "CitizenAct"
    QUESTION = "InformationRequest"
    ANSWER = "InformationAnswer"


@dataclass(frozen=True, slots=True)
class Letter:
    """An act of the citizen, a question to the citizen, or its answer; `block` is the plaintext.

    An act is known by its number, a question and its answer by asker and number. `act` is the
    standard's number of the kind of act. `ask_time` is told by an answer, unless of an older
    version.
    """

    kind: LetterKind
    number: int
    at: Instant
    block: bytes
    act: int = 0
    asker: str = ""
    ask_time: Instant | None = None


@dataclass(frozen=True, slots=True)
class LetterArrived:
    """A letter came from the neighbour `source`; it may be a repeat."""

    key: ChainKey
    source: AuthorityCode
    letter: Letter


@dataclass(frozen=True, slots=True)
class Overruled:
    """A ruling gave the ticket to another: no exclusive act here any more, care until TAKEN."""

    key: ChainKey
    ruling: int
    target: AuthorityCode


@dataclass(frozen=True, slots=True)
class CaseRuled:
    """A ruling of this chain is known here; told to every party, once a ruling.

    `case` is empty for a HOME ruling; a case that was only ordered meanwhile stays open.
    """

    key: ChainKey
    case: str
    ruling: int
    target: AuthorityCode


@dataclass(frozen=True, slots=True)
class CaseFiled:
    """At the arbiter of a scope: a party filed a case; `header` is a serialised TicketHeader.

    `custodian` is who holds the ticket as the filing proves: a party that let go may file too.
    """

    key: ChainKey
    case: str
    cause: str
    filer: AuthorityCode
    proposed_target: AuthorityCode | None
    header: bytes
    path: tuple[AuthorityCode, ...]
    custodian: AuthorityCode | None = None
    refused_by: tuple[AuthorityCode, ...] = ()


@dataclass(frozen=True, slots=True)
class RulingTaken:
    """At the arbiter of a scope: the target of a ruling holds the ticket."""

    key: ChainKey
    case: str
    ruling: int
    target: AuthorityCode


@dataclass(frozen=True, slots=True)
class CaseVoid:
    """At the arbiter of a scope: nothing is left to rule.

    The chain of a case went home or closed, or the ticket moved by consent.

    It may be told again, and of a case that was ruled long ago.
    """

    key: ChainKey
    case: str


@dataclass(frozen=True, slots=True)
class LettersSaid:
    """Numbers that this authority gave to letters before it was restored from a backup."""

    key: ChainKey
    acts: int  # the greatest number of a citizen's act
    questions: tuple[tuple[int, Instant], ...] = ()  # number and time of each own question


CustodyEvent = (
    Invited
    | BecameCustodian
    | Released
    | OfferSent
    | StoodBy
    | Inquired
    | OfferReturned
    | CaseOpened
    | IdentityArrived
    | ContentArrived
    | ProgressArrived
    | LetterArrived
    | LettersSaid
    | Overruled
    | CaseRuled
    | CaseFiled
    | RulingTaken
    | CaseVoid
)


@dataclass(frozen=True, slots=True)
class Opened:
    """Content that a statement promised, and the salt that shows it."""

    statement: bytes
    kind: str
    salt: bytes = field(repr=False)
    block: bytes = field(repr=False)
