"""Values of delivery: signed bytes, sealed blocks, what was delivered, and the peer's answer.

Delivery carries statements and knows who signed them and for whom they are. What they mean is the
business of the rooms that register a `StatementHandler` for their kinds.
"""

from __future__ import annotations

from dataclasses import field
from datetime import timedelta
from enum import Enum

from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass

ENVELOPES_PER_BATCH_MAX = 100  # one batch must fit a 2 s deadline on a 1 Mbit/s county link
ENVELOPE_BYTES_MAX = 1_048_576  # four sealed blocks of 256 KiB: a batch stays below 4 MiB
STATEMENT_BYTES_MAX = 262_144  # the standard's bound of a body; a larger one is refused for ever
BATCH_BYTES_MAX = 3_500_000  # below the 4 MiB of a gRPC message, with room for framing
BACKOFF_FIRST = timedelta(milliseconds=500)  # a restart must not cost minutes (Synapse #9335)
BACKOFF_MAX = timedelta(seconds=4)  # a restarted peer is reached within 5 s
DEFER_MAX = timedelta(seconds=60)  # a peer's wish for one envelope; longer only hides it
PROTOCOL_VERSION_MAX = 1


@dataclass(frozen=True, slots=True)
class SignedBytes:
    """The exact bytes of a statement with the signature over them."""

    statement: bytes
    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class SealedBlock:
    """Content beside a statement, sealed to its receiver.

    `opened` is salt and block of what is said between two authorities of this node: it never
    travels and is never stored.
    """

    kind: str
    ciphertext: bytes = field(repr=False)
    suite: str
    key_id: str
    opened: bytes | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Statement:
    """A parsed statement; the body stays bytes of the kind's own message."""

    statement_id: str
    kind: str
    issuer: AuthorityCode
    audience: tuple[AuthorityCode, ...]
    ticket: TicketNumber
    scope: AuthorityCode
    chain: int
    epoch: Epoch
    previous_digest: bytes
    issued: Instant
    protocol_version: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Delivered:
    """A verified statement at the authority it was addressed to."""

    target: AuthorityCode
    statement: Statement
    signed: SignedBytes
    digest: bytes
    blocks: tuple[SealedBlock, ...]
    cause: str = ""  # trace context of the step that said it
    is_returned: bool = False  # a peer returned it after a restore: content may be missing

    def block(self, kind: str) -> SealedBlock | None:
        """Return the block of a kind, if it came along."""
        return next((block for block in self.blocks if block.kind == kind), None)

    def has_lost(self, kind: str) -> bool:
        """Tell whether a block is gone with a disk: the statement came back, and it did not."""
        return self.is_returned and self.block(kind) is None


class Mode(Enum):
    """How a person ordered a peer to be served."""

    OPEN = "open"
    PAUSED = "paused"  # nothing is sent; what the peer sends is taken as always
    DRAINING = "draining"  # what was posted before the order is sent; then it is paused


class Breaker(Enum):
    """Whether a peer is called as a matter of course."""

    CLOSED = "closed"
    OPEN = "open"  # not before the back-off is over
    HALF_OPEN = "half-open"  # one small batch tries whether it answers again


class Item(Enum):
    """Why a person must look; see `undelivered`."""

    OVERDUE = "overdue"
    STUCK = "stuck"
    REFUSED = "refused"
    SET_ASIDE = "set_aside"
    QUARANTINED = "quarantined"
    EVIDENCE = "evidence"


class ItemState(Enum):
    """What became of an item; only the first two wait for somebody."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    RESENT = "resent"
    DISCARDED = "discarded"


class Outcome(Enum):
    """The peer's answer to one envelope."""

    RECEIVED = "received"
    REFUSED = "refused"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as the sender reads it, after its signature was verified."""

    outcome: Outcome
    statement_digest: bytes
    reason: str = ""
    retry_delay: timedelta = BACKOFF_FIRST
