"""Signatures, digests and records over exact bytes."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.errors import FieldInvalid, SignatureInvalid
from gateway.trust.keys import Purpose, generate, private_key
from gateway.trust.statements import (
    RECEIPT_PAYLOAD_TYPE,
    STATEMENT_PAYLOAD_TYPE,
    digest,
    pae,
    record,
    sign,
    verify,
)

# Throw-away test key: its private bytes are public, it must never be in a roster.
TEST_KEY = private_key(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_KEY = private_key(Ed25519PrivateKey.from_private_bytes(bytes(32)))


def test_encoding_is_that_of_the_dsse_specification() -> None:
    encoded = pae("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_in_the_encoding_count_bytes_not_characters() -> None:
    assert pae("x", "路标".encode()) == b"DSSEv1 1 x 6 \xe8\xb7\xaf\xe6\xa0\x87"


def test_signature_is_fixed_for_a_throw_away_test_vector() -> None:
    # The same bytes come from `openssl pkeyutl -sign -rawin` over the encoding.
    signature = sign(TEST_KEY, b"throw-away test vector")
    assert signature.hex() == (
        "fd3181c95301f69dd9f30fe18b0ae67aaf49e9e1baf907e236693ac7884fca0e"
        "cd7cf28e707cf91a23e7fd7993ffc778b8ad222d03ff35fc571872c88e7b4604"
    )


@given(st.binary(max_size=300))
def test_signed_bytes_verify(payload: bytes) -> None:
    signature = sign(TEST_KEY, payload)
    verify(TEST_KEY.public, payload, signature)
    assert sign(TEST_KEY, payload) == signature


@given(st.binary(min_size=1, max_size=60), st.data())
def test_any_flipped_bit_of_the_payload_is_refused(payload: bytes, data: st.DataObject) -> None:
    signature = sign(TEST_KEY, payload)
    with pytest.raises(SignatureInvalid):
        verify(TEST_KEY.public, _flipped(payload, data), signature)


@given(st.binary(max_size=60), st.data())
def test_any_flipped_bit_of_the_signature_is_refused(payload: bytes, data: st.DataObject) -> None:
    signature = sign(TEST_KEY, payload)
    with pytest.raises(SignatureInvalid):
        verify(TEST_KEY.public, payload, _flipped(signature, data))


def test_every_flipped_bit_of_one_signature_is_refused() -> None:
    signature = sign(TEST_KEY, b"payload")
    for bit in range(len(signature) * 8):
        with pytest.raises(SignatureInvalid):
            verify(TEST_KEY.public, b"payload", _with_bit_flipped(signature, bit))


@given(st.binary(max_size=80))
def test_bytes_that_are_no_signature_are_refused(signature: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify(TEST_KEY.public, b"payload", signature)


def test_signature_of_another_key_is_refused() -> None:
    with pytest.raises(SignatureInvalid, match="120000"):
        verify(OTHER_KEY.public, b"payload", sign(TEST_KEY, b"payload"), signer="120000")


def test_statement_does_not_verify_as_a_receipt() -> None:
    signature = sign(TEST_KEY, b"payload")
    with pytest.raises(SignatureInvalid):
        verify(TEST_KEY.public, b"payload", signature, payload_type=RECEIPT_PAYLOAD_TYPE)


def test_payload_type_of_statements_never_changes() -> None:
    assert STATEMENT_PAYLOAD_TYPE == "application/vnd.lubiao.statement.v1+protobuf"


@pytest.mark.parametrize("purpose", [Purpose.TLS, Purpose.SEALING])
def test_only_statement_keys_sign_and_verify(purpose: Purpose) -> None:
    key = generate(purpose)
    with pytest.raises(FieldInvalid):
        sign(key, b"payload")
    with pytest.raises(FieldInvalid):
        verify(key.public, b"payload", bytes(64))


def test_digest_is_plain_sha256_of_the_exact_bytes() -> None:
    assert digest(b"abc").hex() == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_record_is_the_hash_of_label_and_three_digests() -> None:
    parts = b"P" * 32, b"F" * 32, b"S" * 32
    expected = hashlib.sha256(b"lubiao/custody/1" + b"".join(parts)).digest()
    assert (
        record(previous_record=parts[0], first_digest=parts[1], second_digest=parts[2]) == expected
    )


def test_record_of_a_genesis_has_zeros_for_what_it_lacks() -> None:
    expected = hashlib.sha256(b"lubiao/custody/1" + bytes(32) + b"G" * 32 + bytes(32)).digest()
    assert record(previous_record=None, first_digest=b"G" * 32, second_digest=None) == expected


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_record_takes_whole_digests_only(size: int) -> None:
    with pytest.raises(FieldInvalid):
        record(previous_record=None, first_digest=b"x" * size, second_digest=None)


def _flipped(value: bytes, data: st.DataObject) -> bytes:
    return _with_bit_flipped(value, data.draw(st.integers(0, len(value) * 8 - 1)))


def _with_bit_flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
