"""Opaque page and resume tokens: a position, bound to the request it was issued for, with a MAC.

A token of another principal, request or node does not open. It reveals nothing but a position, yet
it is no interface: clients must not build one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json

from gateway.kernel.errors import PageTokenInvalid
from gateway.kernel.values import dataclass

MAC_BYTES = 16


@dataclass(frozen=True, slots=True)
class Tokens:
    """Issues and opens the tokens of one node."""

    key: bytes

    def issue(self, binding: tuple[str, ...], *position: int | str) -> str:
        """Return the token of a position for a request."""
        payload = json.dumps(position, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._mac(binding, payload) + payload).decode()

    def open(self, binding: tuple[str, ...], token: str, *, field: str) -> tuple[int | str, ...]:
        """Return the position of a token.

        Raises:
            PageTokenInvalid: it was not issued here for this request.
        """
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error) as error:
            raise PageTokenInvalid(field=field) from error
        mac, payload = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(binding, payload)):
            raise PageTokenInvalid(field=field)
        return tuple(json.loads(payload))

    def _mac(self, binding: tuple[str, ...], payload: bytes) -> bytes:
        bound = json.dumps(binding, ensure_ascii=False).encode() + b"\0" + payload
        return hmac.digest(self.key, bound, hashlib.sha256)[:MAC_BYTES]
