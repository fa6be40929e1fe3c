"""Key files: PEM, owner only, written once.

A private key file that others may read is refused at load: a node must not start on a key that
may have been copied. Group reading is allowed only when root owns the file (mounted secrets).
Asymmetric keys are unencrypted PKCS #8; a symmetric key is 32 bytes in base64 between
`LUBIAO <PURPOSE> KEY` lines. A file is never overwritten: rotation writes the next version.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gateway.kernel.errors import FieldInvalid, ResourceExists, ResourceNotFound
from gateway.trust.keys import (
    PrivateKey,
    PublicKey,
    Purpose,
    SecretKey,
    private_key,
    public_key,
    sealing_handle,
    statement_handle,
)

if TYPE_CHECKING:
    from pathlib import Path

FILE_BYTES_MAX = 65_536  # a key or certificate file is a few KiB; anything else is not one
_PRIVATE_HANDLES = (Ed25519PrivateKey, X25519PrivateKey, EllipticCurvePrivateKey)
_PUBLIC_HANDLES = (Ed25519PublicKey, X25519PublicKey, EllipticCurvePublicKey)


def save_private_key(path: Path, key: PrivateKey) -> None:
    """Write a new PKCS #8 PEM file with mode 0600.

    Raises:
        ResourceExists: the file exists; keys are never overwritten.
    """
    write_private(path, private_pem(key))


def private_pem(key: PrivateKey) -> bytes:
    """Return the unencrypted PKCS #8 PEM of a key, e.g. for gRPC credentials."""
    return key.handle.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_private_key(path: Path, purpose: Purpose) -> PrivateKey:
    """Read an asymmetric key of exactly this purpose.

    Raises:
        FieldInvalid: the file may be read by others, is no PEM, or holds another kind of key.
        ResourceNotFound: there is no such file.
    """
    try:
        handle = load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _not_a_key(path, purpose) from error
    if not isinstance(handle, _PRIVATE_HANDLES):
        raise _not_a_key(path, purpose)
    key = private_key(handle)
    if key.purpose is not purpose:
        raise _not_a_key(path, purpose)
    return key


def save_public_key(path: Path, key: PublicKey) -> None:
    """Write a public key as SubjectPublicKeyInfo PEM; anyone may read it."""
    if key.purpose is Purpose.STATEMENT:
        handle = statement_handle(key.raw)
        pem = handle.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    elif key.purpose is Purpose.SEALING:
        pem = sealing_handle(key.raw).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    else:
        raise FieldInvalid(
            field="key.purpose", got=key.purpose.value, expected="statement or sealing"
        )
    path.write_bytes(pem)


def load_public_key(path: Path, purpose: Purpose) -> PublicKey:
    """Read a public key of exactly this purpose."""
    try:
        handle = load_pem_public_key(read_bounded(path))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _not_a_key(path, purpose) from error
    if not isinstance(handle, _PUBLIC_HANDLES):
        raise _not_a_key(path, purpose)
    key = public_key(handle)
    if key.purpose is not purpose:
        raise _not_a_key(path, purpose)
    return key


def save_secret_key(path: Path, key: SecretKey) -> None:
    """Write a new file with a symmetric key, mode 0600."""
    begin, end = _armour(key.purpose)
    write_private(path, begin + base64.b64encode(key.secret) + b"\n" + end)


def load_secret_key(path: Path, purpose: Purpose, *, version: int) -> SecretKey:
    """Read a symmetric key of exactly this purpose; `version` comes from the file's name."""
    begin, end = _armour(purpose)
    text = read_private(path)
    if not (text.startswith(begin) and text.endswith(end)):
        raise _not_a_key(path, purpose)
    try:
        secret = base64.b64decode(text[len(begin) : -len(end)].strip(), validate=True)
        return SecretKey(purpose=purpose, version=version, secret=secret)
    except binascii.Error as error:
        raise _not_a_key(path, purpose) from error


def write_private(path: Path, content: bytes) -> None:
    """Write a new owner-only file and force it to disk before returning."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ResourceExists(
            kind="key file", name=path, hint="keys are never overwritten; rotate to a new version"
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def read_private(path: Path) -> bytes:
    """Read an owner-only file.

    Raises:
        FieldInvalid: others than the owner may read it.
        ResourceNotFound: there is no such file.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno())
            allowed = 0o640 if mode.st_uid == 0 else 0o600
            if stat.S_IMODE(mode.st_mode) & ~allowed & 0o077:
                raise FieldInvalid(
                    field=path,
                    got=f"mode {stat.S_IMODE(mode.st_mode):04o}",
                    expected="mode 0600",
                    hint="chmod 600 the file; if others could read it, replace the key",
                )
            return file.read(FILE_BYTES_MAX)
    except FileNotFoundError as error:
        raise ResourceNotFound(kind="key file", name=path) from error


def read_bounded(path: Path) -> bytes:
    """Read a small public file.

    Raises:
        ResourceNotFound: there is no such file.
    """
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX)
    except FileNotFoundError as error:
        raise ResourceNotFound(kind="file", name=path) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)  # without it a power cut can lose the name of a synced file
    finally:
        os.close(descriptor)


def _armour(purpose: Purpose) -> tuple[bytes, bytes]:
    label = f"LUBIAO {purpose.name} KEY".encode()
    return b"-----BEGIN %b-----\n" % label, b"-----END %b-----\n" % label


def _not_a_key(path: Path, purpose: Purpose) -> FieldInvalid:
    return FieldInvalid(field=path, got="no such key", expected=f"a {purpose.value} key in PEM")
