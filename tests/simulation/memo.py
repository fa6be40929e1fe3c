"""What was proved once in this process is not proved a second time: signatures and schemas.

Signing is real, and so is verification. A signature made in this process, or verified once, is
remembered as (public key, signature, signed bytes); the same three again are the same answer.
Anything else (a flipped bit, another key, other bytes) is really verified, and refused. So it is
with the schema: bytes that kept the bounds of their message keep them when they come again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.message import Message

from gateway.kernel import validation
from gateway.trust import statements
from gateway.trust.keys import PrivateKey, statement_handle

if TYPE_CHECKING:
    from cryptography.utils import Buffer

KNOWN_MAX = 100_000  # some 30 MB; a run signs far less

_known: dict[tuple[bytes, bytes, bytes], None] = {}
_sound: dict[tuple[str, bytes], None] = {}
_validator = validation._validator


def install() -> None:
    """Let `gateway.trust.statements` ask this memory first."""
    validation._validator = _remembering_schema  # type: ignore[assignment] # has what is called
    statements.statement_handle = _remembering  # type: ignore[assignment,attr-defined] # as above


def forget() -> None:
    """Begin a run with an empty memory."""
    _known.clear()
    _sound.clear()


def remembering(key: PrivateKey) -> PrivateKey:
    """Return a statement key that remembers what it signs."""
    assert isinstance(key.handle, Ed25519PrivateKey)
    return PrivateKey(public=key.public, handle=_Signer(key.handle))


def _remember(raw: bytes, signature: bytes, data: bytes) -> None:
    if len(_known) >= KNOWN_MAX:
        _known.clear()
    _known[raw, signature, data] = None


class _Validator:
    """The one method that the product needs of the schema's validator."""

    def validate(self, message: Message) -> None:
        seen = (message.DESCRIPTOR.full_name, message.SerializePartialToString())
        if seen in _sound:
            return
        _validator().validate(message)
        if len(_sound) >= KNOWN_MAX:
            _sound.clear()
        _sound[seen] = None


_ONE = _Validator()


def _remembering_schema() -> _Validator:
    return _ONE


class _Verifier:
    """The one method that verification needs of a public key."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def verify(self, signature: bytes, data: bytes) -> None:
        if (self._raw, signature, data) in _known:
            return
        statement_handle(self._raw).verify(signature, data)
        _remember(self._raw, signature, data)


def _remembering(raw: bytes) -> _Verifier:
    return _Verifier(raw)


class _Signer(Ed25519PrivateKey):
    """A private key of the library that remembers its signatures."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._raw = key.public_key().public_bytes_raw()

    def sign(self, data: Buffer) -> bytes:
        signature = self._key.sign(data)
        _remember(self._raw, signature, bytes(data))
        return signature

    def public_key(self) -> Ed25519PublicKey:
        return self._key.public_key()

    def private_bytes_raw(self) -> bytes:
        return self._key.private_bytes_raw()

    def private_bytes(
        self,
        encoding: serialization.Encoding,
        format: serialization.PrivateFormat,  # noqa: A002 - the library's name
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> bytes:
        return self._key.private_bytes(encoding, format, encryption_algorithm)

    def __copy__(self) -> _Signer:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> _Signer:
        return self
