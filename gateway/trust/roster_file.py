"""The signed roster: exact bytes with signatures (DSSE), verified before parsed.

Whoever signs holds the online roster key; the offline root keys (m of n) vouch for that key out of
band now. The file has room for their signatures; those of other keys are neither needed nor
counted. Checks of a received roster, in this order:

    1  size and outer form
    2  a signature of the roster key over the exact bytes
    3  the bytes parse and keep the limits
    4  it is consistent in itself (`roster.roster_problems`)
    5  its version does not fall: an old roster could bring back a revoked key
    6  a demonstration's roster is refused by a production node

A stale or early roster is returned: the caller must ask `Roster.freshness` and raise the alarm. It
must also keep the version as the next minimum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.kernel.errors import FieldInvalid, SignatureInvalid, StatementMalformed
from gateway.trust.codec import (
    roster_from_bytes,
    roster_to_bytes,
    signed_roster_from_bytes,
    signed_roster_to_bytes,
)
from gateway.trust.roster import Roster, roster_problems
from gateway.trust.statements import ROSTER_PAYLOAD_TYPE, sign, verify

if TYPE_CHECKING:
    from gateway.trust.keys import PrivateKey, PublicKey

SIGNATURES_MAX = 8  # the roster key and a root of seven; the bound of SignedRoster


def sign_roster(roster: Roster, *keys: PrivateKey) -> bytes:
    """Return the signed file of a roster.

    Raises:
        FieldInvalid: the roster has problems, all of them named, or there is no key.
    """
    problems = roster_problems(roster)
    if problems:
        raise FieldInvalid(field="roster", got="; ".join(problems), expected="no problem")
    if not 1 <= len(keys) <= SIGNATURES_MAX:
        raise FieldInvalid(field="keys", got=len(keys), expected=f"1 to {SIGNATURES_MAX}")
    payload = roster_to_bytes(roster)
    signatures = tuple(
        (key.key_id, sign(key, payload, payload_type=ROSTER_PAYLOAD_TYPE)) for key in keys
    )
    return signed_roster_to_bytes(payload, signatures)


def verify_roster(
    signed: bytes, roster_public_key: PublicKey, *, minimum_version: int, allow_demo: bool
) -> Roster:
    """Return the roster of a signed file after the checks above.

    Args:
        signed: the serialised `SignedRoster`.
        roster_public_key: the online roster key that this node was given at `init`.
        minimum_version: the greatest version this node has ever used; 0 for the first.
        allow_demo: whether this node is part of a demonstration.

    Raises:
        StatementMalformed: check 1, 3 or 4 failed.
        SignatureInvalid: check 2 failed.
        FieldInvalid: check 5 or 6 failed.
    """
    payload, signatures = signed_roster_from_bytes(signed)  # 1
    _check_signature(payload, signatures, roster_public_key)  # 2
    roster = roster_from_bytes(payload)  # 3
    problems = roster_problems(roster)  # 4
    if problems:
        raise StatementMalformed(check="roster", got="; ".join(problems), expected="no problem")
    if roster.version < minimum_version:  # 5
        raise FieldInvalid(
            field="roster.version",
            got=roster.version,
            expected=f"at least {minimum_version}",
            hint="an older roster may list revoked keys; fetch the newest from the directory",
        )
    if roster.demo and not allow_demo:  # 6
        raise FieldInvalid(
            field="roster.demo",
            got="true",
            expected="false on a production node",
            hint="get the federation's roster from the directory",
        )
    return roster


def _check_signature(
    payload: bytes, signatures: tuple[tuple[str, bytes], ...], key: PublicKey
) -> None:
    for key_id, signature in signatures:
        if key_id == key.key_id:
            verify(
                key, payload, signature, payload_type=ROSTER_PAYLOAD_TYPE, signer="the directory"
            )
            return
    raise SignatureInvalid(signer="the directory", got=f"no signature of roster key {key.key_id}")
