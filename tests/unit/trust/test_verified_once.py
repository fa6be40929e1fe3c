"""What was verified in this process is not verified again; anything else is."""

from __future__ import annotations

import pytest

from gateway.kernel.errors import SignatureInvalid
from gateway.kernel.ids import AuthorityCode
from gateway.trust import statements
from gateway.trust.key_ring import KeyRing
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, VERIFIED_MAX, sign, verify

CODE = AuthorityCode("120000")
KEYS = KeyRing.in_memory((CODE,))
PAYLOAD = b"said once"


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    """Begin with an empty memory."""
    statements._verified.clear()


def test_a_good_signature_is_remembered_and_stays_good() -> None:
    key = KEYS.signing_key(CODE)
    signature = sign(key, PAYLOAD)
    assert len(statements._verified) == 1
    statements._verified.clear()
    verify(key.public, PAYLOAD, signature)
    verify(key.public, PAYLOAD, signature)
    assert len(statements._verified) == 1


def test_only_the_very_same_bytes_type_key_and_signature_are_known() -> None:
    key = KEYS.signing_key(CODE)
    other = KeyRing.in_memory((CODE,)).signing_key(CODE)
    signature = sign(key, PAYLOAD)
    verify(key.public, PAYLOAD, signature)
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    for public, payload, given, kind in (
        (key.public, PAYLOAD + b"!", signature, statements.STATEMENT_PAYLOAD_TYPE),
        (key.public, PAYLOAD, flipped, statements.STATEMENT_PAYLOAD_TYPE),
        (key.public, PAYLOAD, signature, RECEIPT_PAYLOAD_TYPE),
        (other.public, PAYLOAD, signature, statements.STATEMENT_PAYLOAD_TYPE),
    ):
        for _ in range(2):  # a bad one is never remembered
            with pytest.raises(SignatureInvalid):
                verify(public, payload, given, payload_type=kind)


def test_the_memory_is_bounded_and_loses_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert VERIFIED_MAX >= 1000
    monkeypatch.setattr(statements, "VERIFIED_MAX", 2)
    key = KEYS.signing_key(CODE)
    signatures = [sign(key, bytes([n])) for n in range(3)]
    assert [known[1] for known in statements._verified] == signatures[1:]
