"""Bodies of the custody statements as values; `codec.py` maps them to the standard's messages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.custody.model import OfferReason, Verdict
from gateway.delivery.model import SignedBytes
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.time import Instant


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


Body = (
    Genesis
    | Offer
    | Answer
    | Revoke
    | Release
    | CaseFiling
    | ChainClosed
    | TicketUpdate
    | UpdateAnswer
)
