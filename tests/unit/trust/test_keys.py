"""Keys: ids, purposes, files and the ring of a node."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gateway.kernel.errors import FieldInvalid, KeyUnknown, ResourceExists, ResourceNotFound
from gateway.trust.key_files import (
    load_private_key,
    load_public_key,
    load_secret_key,
    save_private_key,
    save_public_key,
    save_secret_key,
    write_private,
)
from gateway.trust.key_ring import (
    KeyRing,
    generate_authority,
    generate_storage_key,
    rotate_key,
)
from gateway.trust.keys import PublicKey, Purpose, SecretKey, Suite, generate, generate_secret

if TYPE_CHECKING:
    from pathlib import Path

P384 = ec.generate_private_key(ec.SECP384R1())
ASYMMETRIC = [Purpose.TLS, Purpose.STATEMENT, Purpose.SEALING]
SYMMETRIC = [Purpose.STORAGE, Purpose.PSEUDONYM]


def test_key_id_is_fixed_for_a_throw_away_test_vector() -> None:
    # SHA-256("lubiao/key/1/statement/ed25519" 00 || 00 01 02 … 1f), first 16 bytes.
    key = PublicKey(Purpose.STATEMENT, Suite.ED25519, bytes(range(32)))
    assert key.key_id == "b851b08df5610ca3b4ac77dba544dcdf"


def test_equal_bytes_for_another_purpose_are_another_key() -> None:
    raw = bytes(range(32))
    statement = PublicKey(Purpose.STATEMENT, Suite.ED25519, raw)
    sealing = PublicKey(Purpose.SEALING, Suite.HPKE_X25519, raw)
    assert statement.key_id != sealing.key_id


def test_suite_must_fit_the_purpose() -> None:
    with pytest.raises(FieldInvalid, match="a suite for statement"):
        PublicKey(Purpose.STATEMENT, Suite.HPKE_X25519, bytes(32))


def test_public_key_must_have_the_size_of_its_suite() -> None:
    with pytest.raises(FieldInvalid, match="32 bytes for ed25519"):
        PublicKey(Purpose.STATEMENT, Suite.ED25519, bytes(31))


@pytest.mark.parametrize("purpose", SYMMETRIC)
def test_symmetric_purpose_has_no_asymmetric_key(purpose: Purpose) -> None:
    with pytest.raises(FieldInvalid):
        generate(purpose)


@pytest.mark.parametrize("purpose", ASYMMETRIC)
def test_asymmetric_purpose_has_no_secret_key(purpose: Purpose) -> None:
    with pytest.raises(FieldInvalid):
        generate_secret(purpose)


def test_secret_never_appears_in_repr() -> None:
    secret = SecretKey(purpose=Purpose.STORAGE, version=1, secret=b"S" * 32)
    assert "SSSS" not in repr(secret)
    assert "handle" not in repr(generate(Purpose.STATEMENT))


@pytest.mark.parametrize("purpose", ASYMMETRIC)
def test_private_key_survives_its_file(tmp_path: Path, purpose: Purpose) -> None:
    key = generate(purpose)
    save_private_key(tmp_path / "k.pem", key)
    assert load_private_key(tmp_path / "k.pem", purpose) == key
    assert stat.S_IMODE((tmp_path / "k.pem").stat().st_mode) == 0o600


@pytest.mark.parametrize("purpose", SYMMETRIC)
def test_secret_key_survives_its_file(tmp_path: Path, purpose: Purpose) -> None:
    key = generate_secret(purpose, version=3)
    save_secret_key(tmp_path / "k.key", key)
    assert load_secret_key(tmp_path / "k.key", purpose, version=3) == key


@pytest.mark.parametrize("purpose", [Purpose.STATEMENT, Purpose.SEALING])
def test_public_key_survives_its_file(tmp_path: Path, purpose: Purpose) -> None:
    key = generate(purpose).public
    save_public_key(tmp_path / "k.pub", key)
    assert load_public_key(tmp_path / "k.pub", purpose) == key


def test_public_key_file_of_another_purpose_is_refused(tmp_path: Path) -> None:
    save_public_key(tmp_path / "k.pub", generate(Purpose.SEALING).public)
    with pytest.raises(FieldInvalid):
        load_public_key(tmp_path / "k.pub", Purpose.STATEMENT)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o777])
def test_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "k.pem"
    save_private_key(path, generate(Purpose.STATEMENT))
    path.chmod(mode)
    with pytest.raises(FieldInvalid, match="chmod 600"):
        load_private_key(path, Purpose.STATEMENT)


def test_key_file_is_never_overwritten(tmp_path: Path) -> None:
    save_private_key(tmp_path / "k.pem", generate(Purpose.STATEMENT))
    with pytest.raises(ResourceExists):
        save_private_key(tmp_path / "k.pem", generate(Purpose.STATEMENT))


def test_missing_key_file_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceNotFound):
        load_private_key(tmp_path / "none.pem", Purpose.STATEMENT)


def test_private_key_of_another_purpose_is_refused(tmp_path: Path) -> None:
    save_private_key(tmp_path / "k.pem", generate(Purpose.SEALING))
    with pytest.raises(FieldInvalid, match="a statement key"):
        load_private_key(tmp_path / "k.pem", Purpose.STATEMENT)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAA==\n"])
def test_damaged_key_file_is_a_typed_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(FieldInvalid):
        load_private_key(path, Purpose.STATEMENT)
    with pytest.raises(FieldInvalid):
        load_secret_key(path, Purpose.STORAGE, version=1)


@pytest.mark.parametrize("other", [rsa.generate_private_key(65537, 2048), P384])
def test_key_of_an_algorithm_without_a_purpose_is_refused(
    tmp_path: Path, other: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    private, public = tmp_path / "k.pem", tmp_path / "k.pub"
    write_private(private, other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(FieldInvalid):
        load_private_key(private, Purpose.TLS)
    with pytest.raises(FieldInvalid):
        load_public_key(public, Purpose.TLS)


def test_damaged_public_key_file_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "k.pub").write_bytes(b"nonsense")
    with pytest.raises(FieldInvalid):
        load_public_key(tmp_path / "k.pub", Purpose.STATEMENT)
    with pytest.raises(ResourceNotFound):
        load_public_key(tmp_path / "none.pub", Purpose.STATEMENT)
    with pytest.raises(FieldInvalid):
        save_public_key(tmp_path / "tls.pub", generate(Purpose.TLS).public)


def test_damaged_secret_key_file_is_a_typed_error(tmp_path: Path) -> None:
    path = tmp_path / "k.key"
    armour = b"-----BEGIN LUBIAO STORAGE KEY-----\n%b\n-----END LUBIAO STORAGE KEY-----\n"
    write_private(path, armour % b"?")
    with pytest.raises(FieldInvalid):
        load_secret_key(path, Purpose.STORAGE, version=1)


@pytest.mark.parametrize(("size", "version"), [(31, 1), (32, 0), (32, 10_000)])
def test_secret_key_has_a_size_and_a_version_that_can_be_written(size: int, version: int) -> None:
    with pytest.raises(FieldInvalid):
        SecretKey(purpose=Purpose.STORAGE, version=version, secret=bytes(size))


def test_only_statement_and_sealing_keys_rotate_as_files(tmp_path: Path) -> None:
    with pytest.raises(FieldInvalid):
        rotate_key(tmp_path, "130000", Purpose.TLS)


def test_ring_signs_for_every_authority_it_hosts(tmp_path: Path) -> None:
    generate_storage_key(tmp_path)
    hebei = generate_authority(tmp_path, "130000")
    generate_authority(tmp_path, "131000")
    ring = KeyRing.load(tmp_path)
    assert ring.codes() == ("130000", "131000")
    assert ring.signing_key("130000") == hebei.statement[1]
    assert ring.signing_key("131000") != hebei.statement[1]
    assert ring.pseudonym_key("130000").purpose is Purpose.PSEUDONYM


def test_ring_refuses_an_authority_it_does_not_host(tmp_path: Path) -> None:
    generate_storage_key(tmp_path)
    with pytest.raises(KeyUnknown, match="120000"):
        KeyRing.load(tmp_path).signing_key("120000")


def test_ring_opens_with_earlier_sealing_keys_after_a_rotation(tmp_path: Path) -> None:
    generate_storage_key(tmp_path)
    first = generate_authority(tmp_path, "130000").sealing[1]
    second = rotate_key(tmp_path, "130000", Purpose.SEALING)
    ring = KeyRing.load(tmp_path)
    assert ring.sealing_key("130000") == second
    assert dict(ring.sealing_keys("130000")) == {first.key_id: first, second.key_id: second}


def test_newest_storage_key_is_current_and_the_old_one_stays(tmp_path: Path) -> None:
    first = generate_storage_key(tmp_path)
    second = generate_storage_key(tmp_path)
    ring = KeyRing.load(tmp_path)
    assert ring.storage_key() == second
    assert dict(ring.storage_keys()) == {1: first, 2: second}


def test_ring_without_a_storage_key_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(FieldInvalid, match="lubiao init"):
        KeyRing.load(tmp_path)


def test_authority_keys_are_generated_once(tmp_path: Path) -> None:
    generate_authority(tmp_path, "130000")
    with pytest.raises(ResourceExists):
        generate_authority(tmp_path, "130000")


@pytest.mark.parametrize("code", ["", "13000", "130000/../x", "013000"])
def test_keys_are_generated_for_authority_codes_only(tmp_path: Path, code: str) -> None:
    with pytest.raises(FieldInvalid):
        generate_authority(tmp_path, code)


def test_keys_in_memory_repeat_with_the_same_entropy() -> None:
    class Fixed:
        def uuid7(self, now: object) -> str:
            raise NotImplementedError

        def entropy(self, size: int) -> bytes:
            return b"\x07" * size

    first = KeyRing.in_memory(["120000"], Fixed())
    assert first == KeyRing.in_memory(["120000"], Fixed())
