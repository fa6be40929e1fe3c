"""The values in a case dossier, and the verdict on one.

A dossier holds what one authority has of a case: the case as its arbiter signed it, what parties
signed, the custody of the ticket with every ruling and who took it. These are claims of whoever
wrote the file; `dossier_verify.py` says which of them hold (docs/arbitration.md#dossier).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.delivery.model import SignedBytes
from gateway.evidence.verdict import FlawOf, PassedOf, VerdictOf
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant

DOSSIER_FORMAT = 1
DOSSIER_BYTES_MAX = 48 * 1024 * 1024  # the custody of one ticket and a hundred pages besides
DOSSIERS_MAX = 64  # more than a case has parties
CASE_PAYLOAD_TYPE = "application/vnd.lubiao.case.v1+protobuf"
DOSSIER_PAYLOAD_TYPE = "application/vnd.lubiao.case-dossier.v1"


@dataclass(frozen=True, slots=True)
class OwnCase:
    """A case that the exporter, its arbiter, signed for the file: the body of a CaseFile."""

    file: bytes
    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class EntrySalt:
    """What opens the commitment to the words in a party's own statement, named by its digest."""

    statement: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class OpenedWords:
    """The words of a case with the salt that opens the commitment to them.

    `entries` are the salts of the parties: their words are those that they signed.
    """

    salt: bytes
    block: bytes
    entries: tuple[EntrySalt, ...] = ()


@dataclass(frozen=True, slots=True)
class DossierSeal:
    """The signature over everything before it; `covered` is the digest of what was read."""

    digest: bytes
    key_id: str
    signature: bytes
    covered: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """A dossier that was read and not verified."""

    authority: AuthorityCode
    exported: Instant
    case_id: str
    rosters: tuple[bytes, ...]
    told: SignedBytes | OwnCase
    entries: tuple[SignedBytes, ...]
    custody: bytes
    words: OpenedWords | None
    seal: DossierSeal


class CaseCheck(Enum):
    """The steps of a verification, in their order."""

    FILE = 1
    CASE = 2
    KEYS = 3
    ARBITER = 4
    COURSE = 5
    ENTRIES = 6
    CUSTODY = 7
    RULINGS = 8
    TERM = 9
    TAKEN = 10
    WORDS = 11
    SEAL = 12
    SIDES = 13


class CaseFlaw(FlawOf[CaseCheck]):
    """The first thing in a dossier that does not hold."""

    __slots__ = ()


class CasePassed(PassedOf[CaseCheck]):
    """A step of the verification of a dossier that holds."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """One ruling, for the table at the end."""

    case_id: str
    number: int
    kind: str
    target: str
    issued: Instant
    taken: Instant | None


@dataclass(frozen=True, slots=True)
class CaseVerdict(VerdictOf[CaseCheck]):
    """What a verification of dossiers found, with the rulings that it established."""

    rulings: tuple[Ruled, ...] = ()


class CaseBroken(Exception):
    """Something does not hold; carries the flaw to whoever runs the steps."""

    def __init__(self, flaw: CaseFlaw) -> None:
        """Carry `flaw`."""
        super().__init__(flaw.what.english)
        self.flaw = flaw
