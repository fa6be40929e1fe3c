"""Bodies of the custody statements as values; `codec.py` maps them to the standard's messages."""

from __future__ import annotations

from enum import Enum

from gateway.custody.model import OfferReason, RulingPart, Verdict
from gateway.delivery.model import SignedBytes
from gateway.kernel.codes import RulingKind
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass


@dataclass(frozen=True, slots=True)
class Commitment:
    """A promise about a block that travels beside the statement."""

    kind: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Act:
    """An exclusive act inside a chain, identified by (chain, epoch, row)."""

    row: int
    epoch: Epoch
    kind: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Genesis:
    """First term `0.0` of a chain at its signer."""

    origin: AuthorityCode
    ticket_uid: str
    outer_record: bytes = b""
    attached: tuple[SignedBytes, ...] = ()
    closed_row: bytes = b""
    header: bytes = b""
    commitments: tuple[Commitment, ...] = ()
    parent: str = ""
    split_epoch: Epoch | None = None
    split_index: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """Say "take it"; the signer stays custodian until an acceptance."""

    target: AuthorityCode
    prior_record: bytes
    path: tuple[str, ...]
    hops: int
    refusals: int
    case: str
    window_end: Instant
    reason: OfferReason
    rule: str
    trace_digest: bytes
    header: bytes
    commitments: tuple[Commitment, ...] = ()
    attached: tuple[SignedBytes, ...] = ()
    acts: tuple[Act, ...] = ()
    citizen_act_applied: int = 0
    assumption: SignedBytes | None = None
    mandated: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The one answer of an epoch."""

    verdict: Verdict
    offer_digest: bytes = b""
    reason: int = 0
    clause: str = ""
    proposed_owner: str = ""
    attached: tuple[SignedBytes, ...] = ()


@dataclass(frozen=True, slots=True)
class StandBy:
    """Say "a person is deciding": nothing of custody changes, the window may move once."""

    offer_digest: bytes
    until: Instant
    decider: str


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question about an offer, from whom it was made to."""

    number: int
    offer_digest: bytes
    ask_time: Instant
    commitments: tuple[Commitment, ...] = ()


@dataclass(frozen=True, slots=True)
class InquiryAnswer:
    """What who offers answers to it."""

    number: int
    offer_digest: bytes
    answer_time: Instant
    commitments: tuple[Commitment, ...] = ()


@dataclass(frozen=True, slots=True)
class Revoke:
    """Say "give it back"; the reply is the Answer of that epoch."""

    offer_digest: bytes
    reason: str
    offer: SignedBytes | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """The old custodian recorded the acceptance and hands over who calls."""

    acceptance_digest: bytes
    commitments: tuple[Commitment, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseFiling:
    """Opens a case at the arbiter of the scope instead of a further move."""

    ground: int
    case: str
    last_record: bytes
    cause: str
    proposed_target: str
    header: bytes = b""
    path: tuple[str, ...] = ()
    attached: tuple[SignedBytes, ...] = ()
    refused_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assumption:
    """Say "offer it to me, I shall accept"."""

    case: str
    expire: Instant


@dataclass(frozen=True, slots=True)
class Ruling:
    """Decision `number` of the arbiter of the scope; opens an era of that number."""

    number: int
    previous: bytes
    target: AuthorityCode
    kind: RulingKind
    offers_allowed: bool
    mandates: tuple[str, ...]
    legal_basis: str
    effective: Instant
    last_record: bytes
    case: str
    ticket_uid: str
    form: int = 0  # of `CaseRulingForm`; one that is not known here is a person's
    parts: tuple[RulingPart, ...] = ()
    merge_into: str = ""


class Role(Enum):
    """What a statement about a ruling says its signer is; the numbers are the standard's."""

    TAKEN = 1
    YIELDING = 2
    RELEASED = 3
    NOT_HELD = 4
    OUTDATED = 5
    TOLD = 6


@dataclass(frozen=True, slots=True)
class RulingAck:
    """The answer to a ruling; `attached` holds the ruling, for whom it must be forwarded to."""

    number: int
    role: Role
    ruling_digest: bytes
    successor: str = ""
    attached: tuple[SignedBytes, ...] = ()


@dataclass(frozen=True, slots=True)
class StandDown:
    """What an overruled custodian did in its last term, with the ticket for the new one."""

    part: int
    final: bool
    last_epoch: Epoch
    acts: tuple[Act, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    header: bytes = b""
    attached: tuple[SignedBytes, ...] = ()
    citizen_act_applied: int = 0


@dataclass(frozen=True, slots=True)
class ChainClosed:
    """The province was released outside: nobody cares in this inner chain any more."""

    outer_record: bytes


@dataclass(frozen=True, slots=True)
class TicketUpdate:
    """The whole public state of a ticket at its custodian."""

    sequence: int
    state: int
    custodian: AuthorityCode
    acts: tuple[Act, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    attached: tuple[SignedBytes, ...] = ()
    citizen_act_applied: int = 0


class UpdateVerdict(Enum):
    """What became of an update; the numbers are those of the standard."""

    APPLIED = 1
    RECORDED_ONLY = 2
    STALE = 3


@dataclass(frozen=True, slots=True)
class UpdateAnswer:
    """What became of an update."""

    sequence: int
    verdict: UpdateVerdict
    update_digest: bytes
    attached: tuple[SignedBytes, ...] = ()


@dataclass(frozen=True, slots=True)
class CitizenAct:
    """What the citizen did since, on its way from the origin to the custodian."""

    number: int
    act: int
    act_time: Instant
    commitments: tuple[Commitment, ...] = ()


@dataclass(frozen=True, slots=True)
class InformationRequest:
    """A question to the citizen, on its way from the custodian to the origin."""

    number: int
    asker: AuthorityCode
    ask_time: Instant
    commitments: tuple[Commitment, ...] = ()


@dataclass(frozen=True, slots=True)
class InformationAnswer:
    """The answer, on its way from the origin to the custodian."""

    number: int
    asker: AuthorityCode
    answer_time: Instant
    commitments: tuple[Commitment, ...] = ()
    ask_time: Instant | None = None  # older versions do not tell it


Body = (
    Genesis
    | Offer
    | Answer
    | Revoke
    | Release
    | CaseFiling
    | Assumption
    | Ruling
    | RulingAck
    | StandDown
    | ChainClosed
    | TicketUpdate
    | UpdateAnswer
    | CitizenAct
    | InformationRequest
    | InformationAnswer
    | StandBy
    | Inquiry
    | InquiryAnswer
)
