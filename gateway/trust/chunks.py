"""A file in sealed chunks: each opens only at its place in this file and only under its key.

    nonce = number of the chunk, 12 bytes big-endian     (a key seals one file, once)
    aad   = "lubiao/blob/1" ‖ 0 ‖ digest 32 ‖ number 8 big-endian ‖ 1 if it is the last, else 0

Number and last mark come from where the receiver stands in the file, so a chunk that is moved,
repeated, left out or cut off does not open.
"""

from __future__ import annotations

from dataclasses import field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.kernel.errors import CommitmentMismatch
from gateway.kernel.values import dataclass

CHUNK_BYTES = 131_072  # part of the standard: offsets are multiples of it
_LABEL = b"lubiao/blob/1\0"
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class ChunkCipher:
    """Seals and opens the chunks of one file under one key; `digest` is hexadecimal."""

    key: bytes = field(repr=False)
    digest: str
    size: int

    def seal(self, offset: int, chunk: bytes) -> bytes:
        """Seal the chunk that begins at `offset`."""
        nonce, aad = self._place(offset)
        return AESGCM(self.key).encrypt(nonce, chunk, aad)

    def open(self, offset: int, sealed: bytes) -> bytes:
        """Open the chunk that must begin at `offset`.

        Raises:
            CommitmentMismatch: it is another one, or not whole.
        """
        nonce, aad = self._place(offset)
        try:
            chunk = AESGCM(self.key).decrypt(nonce, sealed, aad)
        except InvalidTag as error:
            raise CommitmentMismatch(block=f"blob/{self.digest}") from error
        if len(chunk) != min(CHUNK_BYTES, self.size - offset):
            raise CommitmentMismatch(block=f"blob/{self.digest}")
        return chunk

    def _place(self, offset: int) -> tuple[bytes, bytes]:
        number = offset // CHUNK_BYTES
        last = b"\1" if offset + CHUNK_BYTES >= self.size else b"\0"
        aad = _LABEL + bytes.fromhex(self.digest) + number.to_bytes(8, "big") + last
        return number.to_bytes(_NONCE_BYTES, "big"), aad
