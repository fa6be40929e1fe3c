"""The private keys of one node: its storage key and the keys of every authority it hosts.

    keys/storage/0001.key                          the node's storage key, by version
    keys/authorities/{code}/statement/0001.pem     signs statements and receipts
    keys/authorities/{code}/sealing/0001.pem       opens sealed blocks
    keys/authorities/{code}/pseudonym/0001.key     reports only; never leaves the authority

The greatest version is current. Older ones stay as long as something needs them: a sealing key
while blocks sealed to it may still arrive, a storage key while it wraps a data key. A city that
moves to a node of its own takes its folder along. A ring does not change after loading; a node
loads it again after a rotation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from gateway.kernel.errors import FieldInvalid, KeyUnknown
from gateway.kernel.ids import AuthorityCode, Ids, SystemIds
from gateway.kernel.values import dataclass
from gateway.trust.key_files import (
    load_private_key,
    load_secret_key,
    save_private_key,
    save_secret_key,
)
from gateway.trust.keys import (
    KeyId,
    PrivateKey,
    Purpose,
    SecretKey,
    generate,
    generate_secret,
)
from gateway.trust.principal import AUTHORITY_CODE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

AnyKey = TypeVar("AnyKey", PrivateKey, SecretKey)
_SYSTEM_IDS = SystemIds()


@dataclass(frozen=True, slots=True)
class AuthorityKeys:
    """The private keys of one authority, each by version."""

    code: AuthorityCode
    statement: Mapping[int, PrivateKey]
    sealing: Mapping[int, PrivateKey]
    pseudonym: Mapping[int, SecretKey]


@dataclass(frozen=True, slots=True)
class KeyRing:
    """What a node signs, opens and stores with."""

    storage: Mapping[int, SecretKey]
    authorities: Mapping[AuthorityCode, AuthorityKeys]

    @classmethod
    def load(cls, directory: Path) -> KeyRing:
        """Read every key below `directory`.

        Raises:
            FieldInvalid: a file may be read by others or is not the key its name says, or a
                purpose has no key.
        """
        folders = sorted((directory / "authorities").glob("*"))
        codes = [
            AuthorityCode(each.name) for each in folders if AUTHORITY_CODE.fullmatch(each.name)
        ]
        return cls(
            storage=_secrets(directory / "storage", Purpose.STORAGE),
            authorities={code: _load_authority(directory, code) for code in codes},
        )

    @classmethod
    def in_memory(cls, codes: Iterable[str], ids: Ids = _SYSTEM_IDS) -> KeyRing:
        """Return a ring that is on no disk, for tests and the simulation."""
        authorities = {
            AuthorityCode(code): AuthorityKeys(
                code=AuthorityCode(code),
                statement={1: generate(Purpose.STATEMENT, ids)},
                sealing={1: generate(Purpose.SEALING, ids)},
                pseudonym={1: generate_secret(Purpose.PSEUDONYM, ids=ids)},
            )
            for code in codes
        }
        storage = {1: generate_secret(Purpose.STORAGE, ids=ids)}
        return cls(storage=storage, authorities=authorities)

    def codes(self) -> tuple[AuthorityCode, ...]:
        """Return the authorities whose keys are here."""
        return tuple(self.authorities)

    def signing_key(self, authority: str) -> PrivateKey:
        """Return the statement key that `authority` signs with now."""
        return _current(self._keys(authority, Purpose.STATEMENT).statement)

    def sealing_key(self, authority: str) -> PrivateKey:
        """Return the sealing key of `authority` that its roster entry should name."""
        return _current(self._keys(authority, Purpose.SEALING).sealing)

    def sealing_keys(self, authority: str) -> Mapping[KeyId, PrivateKey]:
        """Return every sealing key of `authority`, also earlier ones, by key id."""
        keys = self._keys(authority, Purpose.SEALING).sealing.values()
        return {key.key_id: key for key in keys}

    def pseudonym_key(self, authority: str) -> SecretKey:
        """Return the pseudonym key of `authority`."""
        return _current(self._keys(authority, Purpose.PSEUDONYM).pseudonym)

    def storage_key(self) -> SecretKey:
        """Return the storage key that wraps new data keys."""
        return _current(self.storage)

    def storage_keys(self) -> Mapping[int, SecretKey]:
        """Return every version of the storage key, for `storage.unwrap`."""
        return self.storage

    def _keys(self, authority: str, purpose: Purpose) -> AuthorityKeys:
        keys = self.authorities.get(AuthorityCode(authority))
        if keys is None:
            raise KeyUnknown(
                key_id="none",
                signer=authority,
                kind=purpose.value,
                hint=f"this node holds keys of {', '.join(self.authorities) or 'nobody'}",
            )
        return keys


def generate_storage_key(directory: Path) -> SecretKey:
    """Write the next version of the node's storage key and return it."""
    folder = directory / "storage"
    key = generate_secret(Purpose.STORAGE, version=_next_version(folder))
    save_secret_key(folder / f"{key.version:04d}.key", key)
    return key


def generate_authority(directory: Path, code: str) -> AuthorityKeys:
    """Write the first keys of an authority and return them.

    Raises:
        FieldInvalid: `code` is no authority code.
        ResourceExists: the authority has keys already.
    """
    if not AUTHORITY_CODE.fullmatch(code):
        raise FieldInvalid(field="authority", got=code, expected="a six-digit region code")
    folder = _authority_folder(directory, code)
    save_private_key(folder / "statement" / "0001.pem", generate(Purpose.STATEMENT))
    save_private_key(folder / "sealing" / "0001.pem", generate(Purpose.SEALING))
    save_secret_key(folder / "pseudonym" / "0001.key", generate_secret(Purpose.PSEUDONYM))
    return _load_authority(directory, AuthorityCode(code))


def rotate_key(directory: Path, code: str, purpose: Purpose) -> PrivateKey:
    """Write the next version of an authority's statement or sealing key and return it."""
    if purpose not in {Purpose.STATEMENT, Purpose.SEALING}:
        raise FieldInvalid(field="key.purpose", got=purpose.value, expected="statement or sealing")
    folder = _authority_folder(directory, code) / purpose.value
    key = generate(purpose)
    save_private_key(folder / f"{_next_version(folder):04d}.pem", key)
    return key


def _authority_folder(directory: Path, code: str) -> Path:
    return directory / "authorities" / code


def _load_authority(directory: Path, code: AuthorityCode) -> AuthorityKeys:
    folder = _authority_folder(directory, code)
    return AuthorityKeys(
        code=code,
        statement=_privates(folder / "statement", Purpose.STATEMENT),
        sealing=_privates(folder / "sealing", Purpose.SEALING),
        pseudonym=_secrets(folder / "pseudonym", Purpose.PSEUDONYM),
    )


def _privates(folder: Path, purpose: Purpose) -> Mapping[int, PrivateKey]:
    files = _versions(folder, "pem")
    return {version: load_private_key(path, purpose) for version, path in files.items()}


def _secrets(folder: Path, purpose: Purpose) -> Mapping[int, SecretKey]:
    files = _versions(folder, "key")
    return {
        version: load_secret_key(path, purpose, version=version) for version, path in files.items()
    }


def _versions(folder: Path, suffix: str) -> dict[int, Path]:
    files = sorted(folder.glob(f"[0-9][0-9][0-9][0-9].{suffix}"))
    if not files:
        raise FieldInvalid(
            field=folder, got="no key file", expected=f"0001.{suffix}", hint="run `lubiao init`"
        )
    return {int(path.stem): path for path in files}


def _next_version(folder: Path) -> int:
    return 1 + max((int(path.stem) for path in folder.glob("[0-9][0-9][0-9][0-9].*")), default=0)


def _current(versions: Mapping[int, AnyKey]) -> AnyKey:
    return versions[max(versions)]
