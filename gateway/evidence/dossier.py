"""The values in an evidence file, and the verdict on one.

A file holds what one authority has of the custody of some tickets: ledger rows, the exact bytes of
statements with receipts, entries of the authority's ledger with Merkle paths, time stamps. These
are claims of whoever wrote the file; `verify.py` says which of them hold (docs/evidence.md).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

from gateway.custody.model import Opened
from gateway.delivery.model import SignedBytes
from gateway.evidence.verdict import FlawOf, PassedOf, VerdictOf
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant

EVIDENCE_FORMAT = 1
EVIDENCE_BYTES_MAX = 256 * 1024 * 1024  # a busy province's day; a laptop must open it
TICKET_BYTES_MAX = 16 * 1024 * 1024  # thirty-two offers of an era with all that is attached
TICKETS_MAX = 20_000  # with the bytes: whatever the file, a reader's memory is bounded
ENTRIES_MAX = 100_000  # a fortnight of entries, one every ten seconds
ROSTERS_MAX = 16
STAMPS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class ChainName:
    """A chain of a ticket, whoever tells of it."""

    ticket: TicketNumber
    scope: AuthorityCode
    number: int

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{self.ticket} {self.scope}-{self.number}"


@dataclass(frozen=True, slots=True)
class Row:
    """A ledger row as the file claims it; `entry` 0: under no signed entry yet."""

    chain: ChainName
    sequence: int
    kind: str
    epoch: Epoch
    subject: bytes
    state: bytes
    recorded: Instant
    digest: bytes
    entry: int = 0
    index: int = 0
    path: tuple[bytes, ...] = ()

    @property
    def is_statement(self) -> bool:
        """Whether the row stands for a statement and not for a local act."""
        return self.kind[:1].isupper()


@dataclass(frozen=True, slots=True)
class Kept:
    """A statement that the authority keeps, with the signed receipts for it."""

    signed: SignedBytes
    receipts: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class TicketEvidence:
    """What the file holds of one ticket."""

    ticket: TicketNumber
    rows: tuple[Row, ...]
    kept: tuple[Kept, ...]
    contents: tuple[Opened, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A signed entry of the authority's ledger."""

    sequence: int
    previous: bytes
    root: bytes
    rows: int
    recorded: Instant
    digest: bytes
    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time stamp over the digest of an entry, with the roots that the exporter trusted."""

    entry: int
    response: bytes
    roots: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Seal:
    """The signature over everything before it; `covered` is the digest of what was read."""

    digest: bytes
    key_id: str
    signature: bytes
    covered: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """An evidence file that was read and not verified."""

    authority: AuthorityCode
    exported: Instant
    subject: str
    rosters: tuple[bytes, ...]
    tickets: tuple[TicketEvidence, ...]
    entries: tuple[Entry, ...]
    stamps: tuple[Stamp, ...]
    seal: Seal


class Check(Enum):
    """The steps of a verification, in their order."""

    FILE = 1
    SIGNATURES = 2
    KEYS = 3
    RECORDS = 4
    RULINGS = 5
    TAKEN = 6
    EPOCHS = 7
    ROWS = 8
    PATHS = 9
    ENTRIES = 10
    TAILS = 11
    RECEIPTS = 12
    TIMESTAMPS = 13
    CONTENT = 14
    SEAL = 15
    SIDES = 16


class Flaw(FlawOf[Check]):
    """The first thing in an evidence file that does not hold."""

    __slots__ = ()


class Passed(PassedOf[Check]):
    """A step of the verification of evidence that holds."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Term:
    """One authority's custody at one epoch, established by statements."""

    chain: ChainName
    epoch: Epoch
    holder: AuthorityCode
    record: bytes
    how: str  # Genesis, Offer or Ruling
    source: AuthorityCode | None  # who offered it
    first: bytes
    second: bytes
    since: Instant  # when the holder recorded it, or else said so
    prior: bytes = b""


@dataclass(frozen=True, slots=True)
class Verdict(VerdictOf[Check]):
    """What a verification of evidence found, with the terms that it established."""

    terms: tuple[Term, ...] = ()


class Broken(Exception):
    """Something does not hold; carries the flaw to whoever runs the steps."""

    def __init__(self, flaw: Flaw) -> None:
        """Carry `flaw`."""
        super().__init__(flaw.what.english)
        self.flaw = flaw


def parts_digest(*parts: bytes) -> bytes:
    """Return SHA-256 over parts that are each preceded by their length, four bytes."""
    content = hashlib.sha256()
    for part in parts:
        content.update(len(part).to_bytes(4, "big") + part)
    return content.digest()
