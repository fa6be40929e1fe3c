"""Values of the ticket: one authority's copy, its assignments, decision, findings and events.

Every hosted authority has its own copy of a ticket, even when two of them share a node; copies are
never shared. A copy holds no text of the citizen: texts are sealed beside it (`store.Sealed`), so
the hot path carries codes and times only. A *followed* copy belongs to an origin or earlier
custodian and shows what the custodian told (`progress`).
"""

from __future__ import annotations

from dataclasses import field

from gateway.kernel.codes import (
    AssignmentRole,
    AssignmentState,
    Channel,
    CitizenActKind,
    ContactMethod,
    DispatchMode,
    EmergencyLine,
    ExtensionReason,
    ExtensionState,
    FindingCode,
    ReturnReason,
    ReturnState,
    RouteDecisionAction,
    Satisfaction,
    Solved,
    SubjectKind,
    TicketPurpose,
    TicketState,
    TicketType,
    UnitRequestState,
    Urgency,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace

ASSIGNMENTS_MAX = 20  # bound of the standard; more units than that is no assignment but a campaign

CHILDREN_MAX = 8  # a ruling must be able to follow all of them
DEPTH_MAX = 2  # a child of a child is refused: help is asked for, never passed on
RETURNS_MAX = EXTENSIONS_MAX = QUESTIONS_MAX = REQUESTS_MAX = 20  # bounds of the standard
CITIZEN_ACTS_MAX = 100

STANDING = frozenset(
    {
        AssignmentState.ASSIGNED,
        AssignmentState.SIGNED,
        AssignmentState.CONTACTED,
        AssignmentState.DONE,
    }
)
"""States of an assignment that makes its unit a party of the ticket."""
OPEN = STANDING - {AssignmentState.DONE}
RETURN_OPEN = frozenset({ReturnState.FILED, ReturnState.STANDING_BY, ReturnState.COUNTERED})
"""States of a return that waits: for the desk, or for a unit to agree with it."""
FINAL = frozenset(
    {TicketState.CLOSED, TicketState.MERGED, TicketState.REFERRED, TicketState.WITHDRAWN}
)


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something, in which role, on what basis, when (I11)."""

    actor: str
    role: str
    basis: str
    now: Instant


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the standard has to say about a ticket, with what to do; never a refusal."""

    code: FindingCode
    field: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What one unit, or the desk, has to do about the ticket.

    The delivery to the unit's platform is part of it: `receive_time` (fetched), `sign_time` (taken
    over) and `done_time`.
    """

    number: int
    unit: str
    unit_name: str
    platform: str
    role: AssignmentRole
    state: AssignmentState
    mode: DispatchMode
    assign_time: Instant
    sign_due_time: Instant | None = None
    contact_due_time: Instant | None = None
    platform_external_id: str = ""
    receive_time: Instant | None = None
    sign_time: Instant | None = None
    contact_time: Instant | None = None
    done_time: Instant | None = None

    @property
    def is_lead(self) -> bool:
        """Tell whether the unit leads and answers."""
        return self.role is AssignmentRole.LEAD

    @property
    def is_desk(self) -> bool:
        """Tell whether it waits at a triage desk."""
        return self.unit.endswith("-desk")

    @property
    def is_open(self) -> bool:
        """Tell whether the unit still has something to do."""
        return self.state in OPEN

    @property
    def is_standing(self) -> bool:
        """Tell whether the unit is a party of the ticket."""
        return self.state in STANDING


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDecision:
    """The outcome of routing, as the ticket shows it."""

    action: RouteDecisionAction
    target: str
    rule: str
    pack: str
    legal_basis: str
    explanation: str
    trace_digest: bytes
    decide_time: Instant | None
    reference_version: str
    leading_region: str = ""
    help_regions: tuple[str, ...] = ()
    offer_reason: str = ""  # OfferReason in lower case; custody's table is above this room
    assisting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExternalReferral:
    """The ticket was referred to a body outside the federation; its sheet is sealed beside it."""

    region: str
    region_name: str
    refer_time: Instant
    answer_time: Instant | None = None


@dataclass(frozen=True, slots=True)
class EmergencyReferral:
    """The ticket was handed to an emergency line."""

    line: EmergencyLine
    refer_time: Instant


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of the handling, without its texts."""

    solved: Solved
    resolve_time: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What the citizen said when called back."""

    satisfaction: Satisfaction
    responded: bool
    solved: bool
    method: ContactMethod
    rate_time: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """A unit's wish to give its assignment back; it stays responsible until it is granted."""

    number: int
    assignment: int
    unit: str
    state: ReturnState
    reason: ReturnReason
    clause: str
    proposed_owner: str
    file_time: Instant
    review_due_time: Instant
    review_time: Instant | None = None
    review_basis: str = ""
    filer: str = ""  # the principal, who may not review it
    stand_by_time: Instant | None = None
    counter_proposal: str = ""
    question: str = ""
    answer: str = ""
    answer_time: Instant | None = None
    judges: tuple[str, ...] = ()  # who answered or decided it for the desk

    @property
    def is_open(self) -> bool:
        """Tell whether nobody has decided it."""
        return self.state in RETURN_OPEN

    @property
    def successor(self) -> str:
        """Return whose it is by the newest proposal."""
        return self.counter_proposal or self.proposed_owner


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRequest:
    """A request to a vertically managed body; the bound unit keeps the lead until it accepts.

    `asked` is who is to answer now: the body itself, its superior, or a desk above.
    """

    number: int
    unit: str
    asked: str
    state: UnitRequestState
    bound: int  # number of the lead assignment that is bound meanwhile
    bound_unit: str
    ask_time: Instant
    due_time: Instant
    filer: str = ""  # the principal, who may not accept it for the body
    case: str = ""
    ruling: int = 0
    return_number: int = 0
    answer_time: Instant | None = None
    reason: ReturnReason = ReturnReason.UNSPECIFIED
    clause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A unit's wish for more time; only a granted one moves the due time (I9)."""

    number: int
    unit: str
    state: ExtensionState
    reason: ExtensionReason
    new_due_time: Instant
    ask_time: Instant
    review_time: Instant | None = None
    citizen_told: bool = False
    filer: str = ""  # the principal, who may not review it


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question to the citizen; its texts are sealed beside the copy (`letter_key`)."""

    number: int
    asker: str
    ask_time: Instant
    answer_time: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CitizenAct:
    """What the citizen did since, numbered by the origin; its text is sealed beside the copy.

    `applied` tells that the custodian carried it out, `refusal` why it could not.
    """

    number: int
    kind: CitizenActKind
    act_time: Instant
    applied: bool = False
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A ticket that was split off, as this authority's copy of it shows it."""

    number: TicketNumber
    purpose: TicketPurpose
    state: TicketState
    custodian: str


@dataclass(frozen=True, slots=True)
class UnitPlace:
    """A unit or desk as a ticket is assigned to it."""

    unit: str
    name: str
    platform: str


@dataclass(frozen=True, slots=True)
class Clocks:
    """When each step is due (I9)."""

    dispatch_due: Instant
    due: Instant
    provisional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One authority's copy of a ticket, without texts."""

    authority: AuthorityCode
    number: TicketNumber
    uid: str
    revision: int
    create_time: Instant
    update_time: Instant
    followed: bool
    origin: AuthorityCode
    platform: str | None
    external_id: str | None
    state: TicketState
    channel: Channel
    type: TicketType
    matter: str
    urgency: Urgency
    subject_kind: SubjectKind
    risk_tags: tuple[int, ...]
    region: str
    anonymous: bool
    secrecy_required: bool
    received_time: Instant
    dispatch_due_time: Instant
    due_time: Instant
    due_provisional: bool
    first_dispatch_time: Instant | None = None
    case: str = ""
    custodian: str = ""
    decision: RouteDecision | None = None
    assignments: tuple[Assignment, ...] = ()
    progress: tuple[Assignment, ...] = ()
    external_referral: ExternalReferral | None = None
    emergency_referral: EmergencyReferral | None = None
    outcome: Outcome | None = None
    rating: Rating | None = None
    findings: tuple[Finding, ...] = ()
    parent: TicketNumber | None = None
    purpose: TicketPurpose = TicketPurpose.UNSPECIFIED
    depth: int = 0
    returns: tuple[Return, ...] = ()
    extensions: tuple[Extension, ...] = ()
    questions: tuple[Question, ...] = ()
    citizen_acts: tuple[CitizenAct, ...] = ()
    unit_requests: tuple[UnitRequest, ...] = ()

    @property
    def name(self) -> str:
        """The resource name."""
        return f"tickets/{self.number}"

    @property
    def etag(self) -> str:
        """The mark that changes with every change of this copy."""
        return str(self.revision)

    @property
    def is_final(self) -> bool:
        """Tell whether nothing more can happen to it here."""
        return self.state in FINAL

    @property
    def lead(self) -> Assignment | None:
        """The standing lead assignment: the one unit or desk that is responsible."""
        return next((item for item in self.assignments if item.is_lead and item.is_standing), None)

    @property
    def shown_assignments(self) -> tuple[Assignment, ...]:
        """The assignments that readers see: the custodian's, when this copy follows."""
        return self.progress if self.followed and self.progress else self.assignments

    def is_overdue(self, now: Instant) -> bool:
        """Tell whether the dispatch or the handling clock has run out."""
        if self.is_final or self.state is TicketState.RESOLVED:
            return False
        waits = self.first_dispatch_time is None
        return now > self.due_time or (waits and now > self.dispatch_due_time)

    @property
    def open_return(self) -> Return | None:
        """The return that waits for the desk, if there is one."""
        return next((item for item in self.returns if item.is_open), None)

    @property
    def open_request(self) -> UnitRequest | None:
        """The request that waits for a vertically managed body, if there is one."""
        asked = UnitRequestState.ASKED
        return next((item for item in self.unit_requests if item.state is asked), None)

    @property
    def open_extension(self) -> Extension | None:
        """The wish for more time that waits for the desk, if there is one."""
        asked = ExtensionState.ASKED
        return next((item for item in self.extensions if item.state is asked), None)

    def with_assignment(self, changed: Assignment) -> Ticket:
        """Return the ticket with one assignment replaced."""
        items = tuple(
            changed if item.number == changed.number else item for item in self.assignments
        )
        return replace(self, assignments=items)


@dataclass(frozen=True, slots=True)
class TicketEvent:
    """A change of a ticket: who did what in which role, on what basis, when."""

    kind: str
    act: Act
    state: TicketState
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What a step of the machine came to: the new copy and what to record."""

    ticket: Ticket
    events: tuple[TicketEvent, ...] = field(default=())


def letter_key(kind: str, number: int, asker: str = "") -> str:
    """Return the key of a sealed letter of a copy: kinds `act`, `question`, `answer`."""
    return f"{kind}/{asker}/{number}"
