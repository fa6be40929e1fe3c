"""Identifiers: authority codes, ticket numbers, epochs, UUIDv7 and the entropy they need.

A ticket number is region 6 + Asia/Shanghai date 8 + sequence 8 + check 1; the check character is
ISO 7064 MOD 11-2 over the 22 digits and may be `X` (docs/standard.md#ticket-number).
An epoch is the pair `era.count` of the custody protocol, compared first by era.
"""

from __future__ import annotations

import re
import secrets
from datetime import date
from typing import NewType, Protocol

from gateway.kernel.time import Instant, to_microseconds
from gateway.kernel.values import dataclass

AuthorityCode = NewType("AuthorityCode", str)
"""Six-digit region code of a hotline body: nation `100000`, province `370000`, city `370100`."""
NodeId = NewType("NodeId", str)
TicketNumber = NewType("TicketNumber", str)
UnitId = NewType("UnitId", str)

NATION = AuthorityCode("100000")
UUID_ENTROPY_BYTES = 10  # 74 random bits, filled into whole bytes
CHECK_TEN = 10  # the one check value that needs a letter
TICKET_SEQUENCE_MAX = 99_999_999  # eight digits
EPOCH_COUNT_BITS = 20  # a count stays below 32 by the protocol's bound; the key leaves room
_TICKET_NUMBER = re.compile(r"^[1-9][0-9]{21}[0-9X]$")


class Ids(Protocol):
    """A source of fresh identifiers and entropy; the simulation replaces it."""

    def uuid7(self, now: Instant) -> str:
        """Return a fresh time-ordered UUID (RFC 9562 version 7) as text."""
        ...

    def entropy(self, size: int) -> bytes:
        """Return `size` unpredictable bytes."""
        ...


class SystemIds:
    """Identifiers from the operating system's entropy."""

    def uuid7(self, now: Instant) -> str:
        """Return a fresh UUIDv7 for `now`."""
        return uuid7(now, secrets.token_bytes(UUID_ENTROPY_BYTES))

    def entropy(self, size: int) -> bytes:
        """Return `size` bytes of operating-system entropy."""
        return secrets.token_bytes(size)


def uuid7(now: Instant, entropy: bytes) -> str:
    """Compose a UUIDv7 (RFC 9562 §5.7) from an instant and ten random bytes."""
    if len(entropy) != UUID_ENTROPY_BYTES:
        raise ValueError(f"a UUIDv7 takes {UUID_ENTROPY_BYTES} random bytes, got {len(entropy)}")
    milliseconds = to_microseconds(now) // 1000
    raw = bytearray(milliseconds.to_bytes(6, "big") + entropy)
    raw[6] = (raw[6] & 0x0F) | 0x70
    raw[8] = (raw[8] & 0x3F) | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def mod_11_2(digits: str) -> str:
    """Return the ISO 7064 MOD 11-2 check character of a string of digits.

    The same system protects resident ID numbers (GB 11643) and ticket numbers.
    """
    value = 0
    for digit in digits:
        value = (value + int(digit)) * 2 % 11
    check = (12 - value) % 11
    return "X" if check == CHECK_TEN else str(check)


def mint_ticket_number(region: AuthorityCode, day: date, sequence: int) -> TicketNumber:
    """Compose the ticket number of `region`, an Asia/Shanghai `day` and a sequence number."""
    if not 0 <= sequence <= TICKET_SEQUENCE_MAX:
        raise ValueError(f"ticket sequence must be 0..{TICKET_SEQUENCE_MAX}, got {sequence}")
    body = f"{region}{day.year:04d}{day.month:02d}{day.day:02d}{sequence:08d}"
    return TicketNumber(body + mod_11_2(body))


def is_ticket_number(text: str) -> bool:
    """Tell whether `text` has the form and the check character of a ticket number."""
    return bool(_TICKET_NUMBER.match(text)) and mod_11_2(text[:-1]) == text[-1]


def province_of_number(number: TicketNumber) -> AuthorityCode:
    """Return the province whose region code begins the ticket number."""
    return AuthorityCode(number[:2] + "0000")


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """Place in a chain of custody: `era` counts rulings, `count` the offers within an era."""

    era: int
    count: int

    def key(self) -> int:
        """Return the database key, which sorts like the epoch."""
        return (self.era << EPOCH_COUNT_BITS) + self.count

    @classmethod
    def from_key(cls, key: int) -> Epoch:
        """Return the epoch of a database key."""
        return cls(key >> EPOCH_COUNT_BITS, key & ((1 << EPOCH_COUNT_BITS) - 1))

    def __str__(self) -> str:
        """Return the text form `era.count`."""
        return f"{self.era}.{self.count}"


GENESIS = Epoch(0, 0)
