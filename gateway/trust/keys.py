"""Five keys for five purposes, each with a suite id from day one (docs/security.md#keys).

A key is good for exactly one purpose: the purpose is part of its id, so the same bytes listed for
another purpose are another key. The suite is a property of the key as the roster lists it, never
of a message; another suite (SM2, a post-quantum hybrid) is a new entry of the tables below.

    key id = hex of the first 16 bytes of
             SHA-256("lubiao/key/1/" ‖ purpose ‖ "/" ‖ suite ‖ 0x00 ‖ public bytes)

Public bytes are the raw 32 bytes for Ed25519 and X25519, the uncompressed point for P-256. A
symmetric key has no public bytes; HMAC-SHA-256 of a fixed label under the key takes their place.
Secrets never appear in `repr`. Reading and writing files is the work of `key_files`.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import field
from enum import Enum
from functools import lru_cache
from typing import NewType

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import Ids, SystemIds
from gateway.kernel.values import dataclass

KeyId = NewType("KeyId", str)
"""32 lower-case hex digits that name a key in rosters, signatures and blocks."""

SECRET_BYTES = 32  # 256 bits: the size of every symmetric, Ed25519 and X25519 secret here
KEY_ID_BYTES = 16
VERSION_MAX = 9999  # four digits in a file name; monthly rotation lasts eight centuries
PUBLIC_HANDLES_MAX = 4096  # every authority of the nation with some rotation
_SYSTEM_IDS = SystemIds()

PrivateHandle = Ed25519PrivateKey | X25519PrivateKey | EllipticCurvePrivateKey


class Purpose(Enum):
    """What a key is for; no key serves two purposes."""

    TLS = "tls"
    STATEMENT = "statement"
    SEALING = "sealing"
    STORAGE = "storage"
    PSEUDONYM = "pseudonym"


class Suite(Enum):
    """Algorithm of a key by its id on the wire."""

    ECDSA_P256 = "ecdsa-p256"
    ED25519 = "ed25519"
    HPKE_X25519 = "x25519-hkdf-sha256-aes256gcm"
    AES_256_GCM = "aes-256-gcm"
    HMAC_SHA256 = "hmac-sha256"


SUITE_OF = {
    Purpose.TLS: Suite.ECDSA_P256,  # grpcio clients fail the handshake with Ed25519 certificates
    Purpose.STATEMENT: Suite.ED25519,
    Purpose.SEALING: Suite.HPKE_X25519,
    Purpose.STORAGE: Suite.AES_256_GCM,
    Purpose.PSEUDONYM: Suite.HMAC_SHA256,
}
ASYMMETRIC = frozenset({Purpose.TLS, Purpose.STATEMENT, Purpose.SEALING})
_PUBLIC_BYTES = {Suite.ECDSA_P256: 65, Suite.ED25519: 32, Suite.HPKE_X25519: 32}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The half of a key that the roster publishes."""

    purpose: Purpose
    suite: Suite
    raw: bytes

    def __post_init__(self) -> None:
        """Refuse a suite that does not fit the purpose, and a wrong number of bytes."""
        if self.purpose not in ASYMMETRIC or SUITE_OF[self.purpose] is not self.suite:
            raise FieldInvalid(
                field="key.suite",
                got=self.suite.value,
                expected=f"a suite for {self.purpose.value}",
            )
        if len(self.raw) != _PUBLIC_BYTES[self.suite]:
            raise FieldInvalid(
                field="key.public_key",
                got=f"{len(self.raw)} bytes",
                expected=f"{_PUBLIC_BYTES[self.suite]} bytes for {self.suite.value}",
            )

    @property
    def key_id(self) -> KeyId:
        """The id of this key; equal bytes for another purpose have another id."""
        return _key_id(self.purpose, self.suite, self.raw)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """An asymmetric private key; its bytes leave this room only through `key_files`."""

    public: PublicKey
    handle: PrivateHandle = field(repr=False, compare=False)

    @property
    def purpose(self) -> Purpose:
        """What this key is for."""
        return self.public.purpose

    @property
    def key_id(self) -> KeyId:
        """The id of this key, the same as that of its public half."""
        return self.public.key_id


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A symmetric key: storage or pseudonyms; `version` is written beside what it protects."""

    purpose: Purpose
    version: int
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a purpose that needs an asymmetric key, a wrong size, an unwritable version."""
        if self.purpose in ASYMMETRIC:
            raise FieldInvalid(
                field="key.purpose", got=self.purpose.value, expected="storage or pseudonym"
            )
        if len(self.secret) != SECRET_BYTES:
            raise FieldInvalid(
                field="key.secret",
                got=f"{len(self.secret)} bytes",
                expected=f"{SECRET_BYTES} bytes",
            )
        if not 1 <= self.version <= VERSION_MAX:
            raise FieldInvalid(
                field="key.version", got=self.version, expected=f"1 to {VERSION_MAX}"
            )

    @property
    def suite(self) -> Suite:
        """The algorithm of this key."""
        return SUITE_OF[self.purpose]

    @property
    def key_id(self) -> KeyId:
        """The id of this key, derived one way from the secret."""
        shadow = hmac.digest(self.secret, b"lubiao/key-id/1", "sha256")
        return _key_id(self.purpose, self.suite, shadow)


def generate(purpose: Purpose, ids: Ids = _SYSTEM_IDS) -> PrivateKey:
    """Generate a fresh asymmetric key; `ids` gives the entropy, except for TLS keys.

    Raises:
        FieldInvalid: `purpose` needs a symmetric key, see `generate_secret`.
    """
    if purpose is Purpose.TLS:
        return private_key(generate_private_key(SECP256R1()))
    if purpose is Purpose.STATEMENT:
        return private_key(Ed25519PrivateKey.from_private_bytes(ids.entropy(SECRET_BYTES)))
    if purpose is Purpose.SEALING:
        return private_key(X25519PrivateKey.from_private_bytes(ids.entropy(SECRET_BYTES)))
    raise FieldInvalid(field="key.purpose", got=purpose.value, expected="tls, statement or sealing")


def generate_secret(purpose: Purpose, *, version: int = 1, ids: Ids = _SYSTEM_IDS) -> SecretKey:
    """Generate a fresh symmetric key for storage or pseudonyms."""
    return SecretKey(purpose=purpose, version=version, secret=ids.entropy(SECRET_BYTES))


def private_key(handle: PrivateHandle) -> PrivateKey:
    """Wrap a key of the `cryptography` library; the algorithm fixes the purpose."""
    return PrivateKey(public=public_key(handle.public_key()), handle=handle)


def public_key(handle: Ed25519PublicKey | X25519PublicKey | EllipticCurvePublicKey) -> PublicKey:
    """Wrap a public key of the `cryptography` library; the algorithm fixes the purpose."""
    if isinstance(handle, Ed25519PublicKey):
        return PublicKey(Purpose.STATEMENT, Suite.ED25519, handle.public_bytes_raw())
    if isinstance(handle, X25519PublicKey):
        return PublicKey(Purpose.SEALING, Suite.HPKE_X25519, handle.public_bytes_raw())
    if not isinstance(handle.curve, SECP256R1):
        raise FieldInvalid(field="key.curve", got=handle.curve.name, expected="secp256r1")
    point = handle.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return PublicKey(Purpose.TLS, Suite.ECDSA_P256, point)


@lru_cache(maxsize=PUBLIC_HANDLES_MAX)
def statement_handle(raw: bytes) -> Ed25519PublicKey:
    """Return the library's key for raw Ed25519 public bytes."""
    return Ed25519PublicKey.from_public_bytes(raw)


@lru_cache(maxsize=PUBLIC_HANDLES_MAX)
def sealing_handle(raw: bytes) -> X25519PublicKey:
    """Return the library's key for raw X25519 public bytes."""
    return X25519PublicKey.from_public_bytes(raw)


@lru_cache(maxsize=PUBLIC_HANDLES_MAX)
def _key_id(purpose: Purpose, suite: Suite, public: bytes) -> KeyId:
    prefix = f"lubiao/key/1/{purpose.value}/{suite.value}".encode() + b"\0"
    return KeyId(hashlib.sha256(prefix + public).digest()[:KEY_ID_BYTES].hex())
