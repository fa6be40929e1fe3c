"""Content at rest: one data key per copy of a ticket, wrapped by the node's storage key (I10).

Each sealed text knows its place (authority, ticket, field), so a value that is moved to another row
or column does not open. Destroying the wrapped key destroys all texts of that copy. Fingerprints
are keyed with the same data key: outside this copy they say nothing about the text.
"""

from __future__ import annotations

import hashlib
import hmac

from gateway.kernel.ids import Ids
from gateway.kernel.values import dataclass
from gateway.trust.key_ring import KeyRing
from gateway.trust.storage import (
    DataKey,
    decrypt_field,
    encrypt_field,
    new_data_key,
    unwrap,
    wrap,
)

_FINGERPRINT_LABEL = b"lubiao/content-fingerprint/1\0"
_TOKEN_LABEL = b"lubiao/token-key/1\0"


@dataclass(frozen=True, slots=True)
class ContentKey:
    """The opened key of one copy: seals, opens and fingerprints its texts."""

    data_key: DataKey
    place: str
    ids: Ids

    def seal(self, field: str, plaintext: bytes) -> bytes:
        """Return `plaintext` encrypted for the column `field` of this copy."""
        return encrypt_field(
            self.data_key, plaintext, context=f"{self.place}#{field}", ids=self.ids
        )

    def open(self, field: str, sealed: bytes) -> bytes:
        """Return what was sealed for the column `field` of this copy."""
        return decrypt_field(self.data_key, sealed, context=f"{self.place}#{field}")

    def fingerprint(self, content: bytes) -> bytes:
        """Return a digest of `content` that nobody without this key can recompute."""
        return hmac.digest(self.data_key.secret, _FINGERPRINT_LABEL + content, hashlib.sha256)


class ContentVault:
    """Makes and opens the content keys of one node."""

    def __init__(self, *, keys: KeyRing, ids: Ids) -> None:
        """Use the storage keys of `keys`."""
        self._keys = keys
        self._ids = ids

    def create(self, place: str) -> tuple[ContentKey, bytes]:
        """Return a fresh key for the copy at `place`, and its wrapped form for the row."""
        data_key = new_data_key(self._ids)
        wrapped = wrap(data_key, self._keys.storage_key(), context=place, ids=self._ids)
        return ContentKey(data_key, place, self._ids), wrapped

    def open(self, place: str, wrapped: bytes) -> ContentKey:
        """Return the key of the copy at `place`."""
        data_key = unwrap(wrapped, self._keys.storage_keys(), context=place)
        return ContentKey(data_key, place, self._ids)

    def token_key(self) -> bytes:
        """Return the key of page and resume tokens; the oldest storage key makes it last."""
        storage = self._keys.storage_keys()
        return hmac.digest(storage[min(storage)].secret, _TOKEN_LABEL, hashlib.sha256)
