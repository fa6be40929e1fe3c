"""Audit entries and the chain of digests that seals them.

An entry names who (principal, role) did what (act) to what (subject) on which basis, for a reading
of personal fields for which purpose, and with which outcome. It is made of names and codes; free
text has no place in it, because free text may be personal (I11, docs/security.md#audit).

A *seal* is a digest over the entries since the seal before and over that seal's own digest. Whoever
holds one seal's digest can later prove that no entry up to it was changed, added or removed. The
digest is over length-prefixed bytes, so no two different lists of entries give the same bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from gateway.kernel.errors import FieldInvalid
from gateway.kernel.time import Instant, to_microseconds
from gateway.kernel.values import dataclass

OUTCOME_DONE = "DONE"  # else the reason of the error
GENESIS_DIGEST = bytes(32)
NAME_LENGTH_MAX = 200  # the longest resource name
_DOMAIN = b"lubiao audit seal v1"
_CODE = re.compile(r"^[A-Za-z][A-Za-z0-9_.:/-]{0,99}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act or reading.

    `subject` is a resource name (`tickets/…`), `basis` a rule, grant or legal citation, `purpose`
    a code of the access matrix, `outcome` is `DONE` or the reason of the error.
    """

    time: Instant
    principal: str
    role: str
    act: str
    subject: str
    basis: str
    purpose: str | None = None
    outcome: str = OUTCOME_DONE

    def __post_init__(self) -> None:
        """Refuse free text."""
        for name in ("role", "act", "purpose", "outcome"):
            value = getattr(self, name)
            if value is not None and not _CODE.match(value):
                raise FieldInvalid(field=name, got="free text", expected="a code")
        for name in ("principal", "subject", "basis"):
            if not 0 < len(getattr(self, name)) <= NAME_LENGTH_MAX:
                expected = f"1 to {NAME_LENGTH_MAX} characters"
                raise FieldInvalid(field=name, got=len(getattr(self, name)), expected=expected)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an entry stands in the log: its transaction, then its position."""

    txid: int
    position: int


@dataclass(frozen=True, slots=True)
class PlacedEntry:
    """An entry with its place."""

    place: Place
    entry: AuditEntry


def seal_digest(*, number: int, previous: bytes, entries: Iterable[PlacedEntry]) -> bytes:
    """Return the digest of seal `number` over `entries` and the previous seal's digest."""
    digest = hashlib.sha256(_DOMAIN)
    digest.update(number.to_bytes(8, "big") + previous)
    for placed in entries:
        encoded = _encoded(placed)
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()


def _encoded(placed: PlacedEntry) -> bytes:
    place, entry = placed.place, placed.entry
    numbers = (place.txid, place.position, to_microseconds(entry.time))
    texts = (
        entry.principal,
        entry.role,
        entry.act,
        entry.subject,
        entry.basis,
        entry.purpose,
        entry.outcome,
    )
    return b"".join(
        [*(number.to_bytes(8, "big", signed=True) for number in numbers), *map(_text, texts)]
    )


def _text(value: str | None) -> bytes:
    if value is None:
        return b"\xff\xff\xff\xff"
    encoded = value.encode()
    return len(encoded).to_bytes(4, "big") + encoded
