"""Commitments and sealing: content opens only for its receiver and at its place."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.errors import CommitmentMismatch, FieldInvalid, KeyUnknown
from gateway.kernel.ids import Epoch
from gateway.trust.commitments import SALT_BYTES, check_commitment, commit, is_committed, new_salt
from gateway.trust.keys import PublicKey, Purpose, Suite, generate
from gateway.trust.sealing import (
    OVERHEAD_BYTES,
    SealingContext,
    open_block,
    open_sealed,
    seal,
    seal_block,
)
from tests.unit.trust.builders import IDS, a_context

KEY = generate(Purpose.SEALING)  # throw-away test key
BLOCK = "噪音扰民，地点：测试路1号".encode()
CHANGES = {
    "ticket": "12000020260302000000025",
    "scope": "130000",
    "chain": 2,
    "epoch": Epoch(1, 1),
    "source": "310000",
    "target": "131000",
    "kind": "identity_block",
}


def test_commitment_is_the_hash_of_salt_and_block() -> None:
    salt = b"\x01" * SALT_BYTES
    assert commit(BLOCK, salt) == hashlib.sha256(salt + BLOCK).digest()


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_commitment_holds_for_its_block_only(block: bytes, other: bytes) -> None:
    salt = new_salt(IDS)
    committed = commit(block, salt)
    assert is_committed(block=block, salt=salt, commitment=committed)
    assert is_committed(block=other, salt=salt, commitment=committed) == (block == other)


def test_commitment_with_another_salt_is_refused() -> None:
    commitment = commit(BLOCK, new_salt(IDS))
    with pytest.raises(CommitmentMismatch, match="case_block"):
        check_commitment(kind="case_block", block=BLOCK, salt=new_salt(IDS), commitment=commitment)


def test_bytes_cannot_move_between_salt_and_block() -> None:
    salt = new_salt(IDS)
    assert not is_committed(block=salt[-1:] + BLOCK, salt=salt[:-1], commitment=commit(BLOCK, salt))
    with pytest.raises(FieldInvalid):
        commit(salt[-1:] + BLOCK, salt[:-1])


@given(st.binary(max_size=500))
def test_sealed_bytes_open_for_their_receiver(plaintext: bytes) -> None:
    sealed = seal(plaintext, KEY.public, a_context())
    assert open_sealed(sealed, KEY, a_context()) == plaintext
    assert len(sealed.ciphertext) == len(plaintext) + OVERHEAD_BYTES
    assert sealed.suite == "x25519-hkdf-sha256-aes256gcm"


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_sealed_bytes_do_not_open_at_another_place(name: str) -> None:
    sealed = seal(BLOCK, KEY.public, a_context())
    with pytest.raises(CommitmentMismatch):
        open_sealed(sealed, KEY, a_context(**{name: CHANGES[name]}))


def test_every_field_of_the_context_is_bound() -> None:
    assert set(CHANGES) == set(SealingContext.__slots__)


def test_bytes_cannot_move_between_fields_of_the_context() -> None:
    first = a_context(source="12", target="0000130000")
    second = a_context(source="120000", target="130000")
    assert first.canonical() != second.canonical()


def test_context_bytes_are_fixed() -> None:
    expected = b"lubiao/sealing/1" + b"".join(
        len(part).to_bytes(4, "big") + part
        for part in (
            b"12000020260302000000017",
            b"100000",
            b"1",
            b"0.1",
            b"120000",
            b"130000",
            b"case_block",
        )
    )
    assert a_context().canonical() == expected


def test_sealed_bytes_do_not_open_with_another_key() -> None:
    other = generate(Purpose.SEALING)
    sealed = seal(BLOCK, KEY.public, a_context())
    with pytest.raises(KeyUnknown):
        open_sealed(sealed, other, a_context())
    with pytest.raises(CommitmentMismatch):  # also when the label lies
        open_sealed(replace(sealed, key_id=other.key_id), other, a_context())


def test_unknown_suite_is_refused() -> None:
    sealed = replace(seal(BLOCK, KEY.public, a_context()), suite="sm2-sm3-sm4gcm")
    with pytest.raises(KeyUnknown, match="sm2"):
        open_sealed(sealed, KEY, a_context())


@given(st.data())
def test_any_flipped_bit_of_the_ciphertext_is_refused(data: st.DataObject) -> None:
    sealed = seal(b"short", KEY.public, a_context())
    bit = data.draw(st.integers(0, len(sealed.ciphertext) * 8 - 1))
    changed = bytearray(sealed.ciphertext)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CommitmentMismatch):
        open_sealed(replace(sealed, ciphertext=bytes(changed)), KEY, a_context())


@given(st.binary(max_size=100))
def test_bytes_that_were_never_sealed_are_refused(ciphertext: bytes) -> None:
    sealed = replace(seal(b"", KEY.public, a_context()), ciphertext=ciphertext)
    with pytest.raises(CommitmentMismatch):
        open_sealed(sealed, KEY, a_context())


def test_point_nobody_can_agree_a_key_with_is_refused() -> None:
    zero = PublicKey(Purpose.SEALING, Suite.HPKE_X25519, bytes(32))
    with pytest.raises(FieldInvalid):
        seal(BLOCK, zero, a_context())


def test_only_sealing_keys_seal_and_open() -> None:
    statement_key = generate(Purpose.STATEMENT)
    with pytest.raises(FieldInvalid):
        seal(BLOCK, statement_key.public, a_context())
    with pytest.raises(FieldInvalid):
        open_sealed(seal(BLOCK, KEY.public, a_context()), statement_key, a_context())


def test_block_opens_with_its_salt_and_its_commitment() -> None:
    salt = new_salt(IDS)
    sealed = seal_block(block=BLOCK, salt=salt, recipient=KEY.public, context=a_context())
    opened = open_block(sealed, {KEY.key_id: KEY}, a_context(), commitment=commit(BLOCK, salt))
    assert (opened.block, opened.salt) == (BLOCK, salt)
    assert "噪音" not in repr(opened)


def test_block_can_be_sealed_again_for_another_receiver_under_the_same_commitment() -> None:
    salt, other = new_salt(IDS), generate(Purpose.SEALING)
    commitment = commit(BLOCK, salt)
    sealed = seal_block(block=BLOCK, salt=salt, recipient=KEY.public, context=a_context())
    opened = open_block(sealed, {KEY.key_id: KEY}, a_context(), commitment=commitment)
    onward = a_context(target="131000")
    again = seal_block(block=opened.block, salt=opened.salt, recipient=other.public, context=onward)
    read = open_block(again, {other.key_id: other}, onward, commitment=commitment)
    assert read.block == BLOCK


def test_block_other_than_the_signed_one_is_refused() -> None:
    salt = new_salt(IDS)
    sealed = seal_block(block=b"swapped", salt=salt, recipient=KEY.public, context=a_context())
    with pytest.raises(CommitmentMismatch, match="case_block"):
        open_block(sealed, {KEY.key_id: KEY}, a_context(), commitment=commit(BLOCK, salt))


def test_sealed_bytes_shorter_than_a_salt_are_refused() -> None:
    sealed = seal(b"tiny", KEY.public, a_context())
    with pytest.raises(CommitmentMismatch):
        open_block(sealed, {KEY.key_id: KEY}, a_context(), commitment=bytes(32))


def test_block_sealed_to_a_key_we_lack_is_refused() -> None:
    sealed = seal(BLOCK, KEY.public, a_context())
    with pytest.raises(KeyUnknown, match=KEY.key_id):
        open_block(sealed, {}, a_context(), commitment=bytes(32))
