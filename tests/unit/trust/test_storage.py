"""Encryption at rest: a key per ticket, wrapped by the node's storage key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.errors import FieldInvalid, InvariantViolated, KeyUnknown
from gateway.trust.keys import Purpose, generate_secret
from gateway.trust.storage import (
    decrypt_field,
    encrypt_field,
    new_data_key,
    unwrap,
    wrap,
    wrapped_version,
)
from tests.unit.trust.builders import IDS, TICKET

STORAGE_1 = generate_secret(Purpose.STORAGE, version=1)  # throw-away test keys
STORAGE_2 = generate_secret(Purpose.STORAGE, version=2)
PLACE = f"tickets/{TICKET}#caller_name"


@given(st.binary(max_size=300))
def test_field_decrypts_at_its_place(plaintext: bytes) -> None:
    key = new_data_key(IDS)
    stored = encrypt_field(key, plaintext, context=PLACE, ids=IDS)
    assert decrypt_field(key, stored, context=PLACE) == plaintext


def test_equal_values_are_stored_differently() -> None:
    key = new_data_key(IDS)
    first = encrypt_field(key, b"same", context=PLACE, ids=IDS)
    assert first != encrypt_field(key, b"same", context=PLACE, ids=IDS)


def test_field_copied_to_another_column_does_not_decrypt() -> None:
    key = new_data_key(IDS)
    stored = encrypt_field(key, b"value", context=PLACE, ids=IDS)
    with pytest.raises(InvariantViolated):
        decrypt_field(key, stored, context=f"tickets/{TICKET}#caller_phone")


def test_field_of_another_ticket_does_not_decrypt() -> None:
    stored = encrypt_field(new_data_key(IDS), b"value", context=PLACE, ids=IDS)
    with pytest.raises(InvariantViolated):
        decrypt_field(new_data_key(IDS), stored, context=PLACE)


@given(st.data())
def test_any_flipped_bit_of_a_field_is_noticed(data: st.DataObject) -> None:
    key = new_data_key(IDS)
    stored = bytearray(encrypt_field(key, b"value", context=PLACE, ids=IDS))
    bit = data.draw(st.integers(0, len(stored) * 8 - 1))
    stored[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvariantViolated):
        decrypt_field(key, bytes(stored), context=PLACE)


@pytest.mark.parametrize("stored", [b"", b"\x01", b"\x02" + bytes(60)])
def test_bytes_of_no_known_format_are_noticed(stored: bytes) -> None:
    with pytest.raises(InvariantViolated):
        decrypt_field(new_data_key(IDS), stored, context=PLACE)
    with pytest.raises(InvariantViolated):
        unwrap(stored, {1: STORAGE_1}, context=TICKET)


def test_data_key_unwraps_with_the_version_that_wrapped_it() -> None:
    key = new_data_key(IDS)
    wrapped = wrap(key, STORAGE_1, context=TICKET, ids=IDS)
    assert wrapped_version(wrapped) == 1
    assert unwrap(wrapped, {1: STORAGE_1, 2: STORAGE_2}, context=TICKET) == key


def test_storage_key_rotation_touches_no_field() -> None:
    key = new_data_key(IDS)
    stored = encrypt_field(key, b"value", context=PLACE, ids=IDS)
    old = wrap(key, STORAGE_1, context=TICKET, ids=IDS)
    new = wrap(unwrap(old, {1: STORAGE_1}, context=TICKET), STORAGE_2, context=TICKET, ids=IDS)
    assert decrypt_field(unwrap(new, {2: STORAGE_2}, context=TICKET), stored, context=PLACE)


def test_missing_storage_key_version_says_which() -> None:
    wrapped = wrap(new_data_key(IDS), STORAGE_2, context=TICKET, ids=IDS)
    with pytest.raises(KeyUnknown, match="storage/2"):
        unwrap(wrapped, {1: STORAGE_1}, context=TICKET)


def test_wrapped_key_of_another_ticket_does_not_unwrap() -> None:
    wrapped = wrap(new_data_key(IDS), STORAGE_1, context=TICKET, ids=IDS)
    with pytest.raises(InvariantViolated):
        unwrap(wrapped, {1: STORAGE_1}, context="12000020260302000000025")


def test_wrapped_key_does_not_unwrap_under_another_version_number() -> None:
    wrapped = bytearray(wrap(new_data_key(IDS), STORAGE_1, context=TICKET, ids=IDS))
    wrapped[4] = 2
    with pytest.raises(InvariantViolated):
        unwrap(bytes(wrapped), {2: STORAGE_1}, context=TICKET)


def test_only_storage_keys_wrap() -> None:
    pseudonym = generate_secret(Purpose.PSEUDONYM)
    with pytest.raises(FieldInvalid):
        wrap(new_data_key(IDS), pseudonym, context=TICKET, ids=IDS)


def test_data_key_never_appears_in_repr() -> None:
    assert new_data_key(IDS).secret.hex()[:8] not in repr(new_data_key(IDS))
    assert "secret" not in repr(new_data_key(IDS))
