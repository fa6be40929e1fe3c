"""Chunks of a file open only at their place, whole, and for whom they were sealed."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.errors import CommitmentMismatch
from gateway.trust.chunks import CHUNK_BYTES, ChunkCipher

KEY = bytes(range(32))
SIZES = st.sampled_from([1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7])


def a_file(size: int) -> bytes:
    return hashlib.shake_256(b"file").digest(size)


def sealed(size: int, *, key: bytes = KEY) -> tuple[ChunkCipher, list[bytes]]:
    content = a_file(size)
    cipher = ChunkCipher(key, hashlib.sha256(content).hexdigest(), size)
    offsets = range(0, size, CHUNK_BYTES)
    return cipher, [cipher.seal(at, content[at : at + CHUNK_BYTES]) for at in offsets]


def opened(cipher: ChunkCipher, chunks: list[bytes]) -> bytes:
    return b"".join(cipher.open(n * CHUNK_BYTES, chunk) for n, chunk in enumerate(chunks))


@given(SIZES)
def test_what_was_sealed_opens(size: int) -> None:
    cipher, chunks = sealed(size)
    assert opened(cipher, chunks) == a_file(size)


@given(st.permutations(range(4)))
def test_chunks_in_another_order_do_not_open(order: list[int]) -> None:
    cipher, chunks = sealed(3 * CHUNK_BYTES + 7)
    if order == sorted(order):
        return
    with pytest.raises(CommitmentMismatch):
        opened(cipher, [chunks[n] for n in order])


@given(SIZES, st.data())
def test_a_flipped_bit_does_not_open(size: int, data: st.DataObject) -> None:
    cipher, chunks = sealed(size)
    which = data.draw(st.integers(0, len(chunks) - 1))
    place = data.draw(st.integers(0, len(chunks[which]) - 1))
    broken = bytearray(chunks[which])
    broken[place] ^= 1 << data.draw(st.integers(0, 7))
    chunks[which] = bytes(broken)
    with pytest.raises(CommitmentMismatch):
        opened(cipher, chunks)


@given(st.integers(1, 2))
def test_a_file_that_was_cut_off_does_not_pass_as_a_shorter_one(kept: int) -> None:
    _, chunks = sealed(3 * CHUNK_BYTES)
    digest = hashlib.sha256(a_file(3 * CHUNK_BYTES)).hexdigest()
    shorter = ChunkCipher(KEY, digest, kept * CHUNK_BYTES)
    with pytest.raises(CommitmentMismatch):
        opened(shorter, chunks[:kept])


def test_a_chunk_of_another_file_or_call_does_not_open() -> None:
    cipher, chunks = sealed(CHUNK_BYTES)
    other_file = ChunkCipher(KEY, hashlib.sha256(b"other").hexdigest(), CHUNK_BYTES)
    other_call = ChunkCipher(bytes(32), cipher.digest, CHUNK_BYTES)
    for stranger in (other_file, other_call):
        with pytest.raises(CommitmentMismatch):
            stranger.open(0, chunks[0])


def test_a_sealed_piece_of_another_size_than_its_place_is_refused() -> None:
    cipher, _ = sealed(2 * CHUNK_BYTES)
    short = cipher.seal(0, b"too short")
    with pytest.raises(CommitmentMismatch):
        cipher.open(0, short)
