"""Signing statements about packs: for an authority that lives here, about no ticket."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.delivery.codec import statement_to_bytes
from gateway.delivery.model import SignedBytes, Statement
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode, Ids, TicketNumber
from gateway.kernel.time import Instant
from gateway.trust.key_ring import KeyRing
from gateway.trust.statements import sign

PROTOCOL_VERSION = 1
NO_TICKET = TicketNumber("")


class Signer:
    """Signs with the statement keys of the hosted authorities."""

    def __init__(self, *, keys: KeyRing, ids: Ids) -> None:
        """Sign with `keys`."""
        self._keys = keys
        self._ids = ids

    def sign(
        self,
        kind: str,
        body: bytes,
        *,
        issuer: str,
        audience: Iterable[str] = (),
        now: Instant,
    ) -> SignedBytes:
        """Return the statement of an authority, signed.

        Raises:
            KeyUnknown: its keys are not here.
        """
        key = self._keys.signing_key(issuer)
        statement = Statement(
            statement_id=self._ids.uuid7(now),
            kind=kind,
            issuer=AuthorityCode(issuer),
            audience=tuple(AuthorityCode(code) for code in audience),
            ticket=NO_TICKET,
            scope=NATION,
            chain=1,
            epoch=GENESIS,
            previous_digest=b"",
            issued=now,
            protocol_version=PROTOCOL_VERSION,
            body=body,
        )
        raw = statement_to_bytes(statement)
        return SignedBytes(raw, key.key_id, sign(key, raw))
