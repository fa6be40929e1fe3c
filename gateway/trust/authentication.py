"""From a client certificate to a principal: the checks that TLS does not make.

TLS has proved possession of the key and that *some* CA known to this node signed the leaf. Which
CA may speak for whom is decided here, in this order; the first failure refuses the call:

    1  the bytes are one certificate
    2  `now` lies within its validity
    3  it is a client leaf and names exactly one `lubiao://` principal of a kind that has one
    4  it was issued directly by the one CA that may: the federation root for a node, for all
       others the CA of exactly the authority in the name; that CA is itself valid
    5  that CA has not revoked it
    6  roles: only staff have any, and no two of the three administrators

The caller must still check that a node is the one the roster says hosts the source of what it
sends, and that the principal may do what it asks (the access matrix).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.kernel.errors import FieldInvalid, KeyRevoked, PeerNotAllowed
from gateway.trust.certificates import Certificate
from gateway.trust.principal import (
    FLAG_SCHEME,
    OUTSOURCED,
    ROLE_SCHEME,
    ROLES_MAX,
    SCHEME,
    Principal,
    PrincipalKind,
    check_separation,
    known_roles,
)
from gateway.trust.revocation import FEDERATION, Revocations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.kernel.time import Instant

PRINCIPALS_CACHED_MAX = 4096  # more callers than a province has platforms, staff and peers at once


@dataclass(slots=True)
class Authenticator:
    """The CAs and revocations of one node, with a memory of certificates already checked.

    A remembered answer is the answer of the same bytes under the same CAs and lists, within the
    validity; after a reload make a new authenticator.
    """

    federation_root: Certificate
    authority_cas: Mapping[str, Certificate]
    revoked: Revocations
    _known: OrderedDict[bytes, tuple[Instant, Instant, Principal]] = field(
        default_factory=OrderedDict, repr=False
    )

    def authenticate(self, leaf_pem: bytes, *, now: Instant) -> Principal:
        """Return the principal of a client certificate that TLS accepted.

        Raises:
            SignatureInvalid: the bytes are no certificate.
            PeerNotAllowed: the certificate does not entitle anybody here.
            KeyRevoked: it was revoked or is outside its validity.
        """
        fingerprint = hashlib.sha256(leaf_pem).digest()
        known = self._known.get(fingerprint)
        if known is not None and known[0] <= now <= known[1]:
            self._known.move_to_end(fingerprint)
            return known[2]
        leaf, issuer, principal = _checked(leaf_pem, now, self)
        valid_from = max(leaf.valid_from, issuer.valid_from)
        self._known[fingerprint] = (valid_from, min(leaf.valid_to, issuer.valid_to), principal)
        if len(self._known) > PRINCIPALS_CACHED_MAX:
            self._known.popitem(last=False)
        return principal

    def trust_bundle(self) -> bytes:
        """Return all CAs as PEM, for a gRPC server that requires client certificates."""
        cas = {ca.fingerprint: ca for ca in (self.federation_root, *self.authority_cas.values())}
        return b"".join(ca.pem for ca in cas.values())


def authenticate(
    leaf_pem: bytes,
    *,
    now: Instant,
    federation_root: Certificate,
    authority_cas: Mapping[str, Certificate],
    revoked: Revocations,
) -> Principal:
    """Return the principal of a client certificate; `Authenticator` does the same with a cache."""
    authenticator = Authenticator(federation_root, authority_cas, revoked)
    return authenticator.authenticate(leaf_pem, now=now)


def _checked(
    leaf_pem: bytes, now: Instant, trusted: Authenticator
) -> tuple[Certificate, Certificate, Principal]:
    leaf = Certificate.parse(leaf_pem)  # 1
    _check_validity(leaf, now, "client certificate")  # 2
    named = _named_principal(leaf)  # 3
    issuer = _check_issuer(leaf, named, trusted)  # 4
    _check_validity(issuer, now, "CA of the client certificate")  # 4
    owner = FEDERATION if named.kind is PrincipalKind.NODE else named.authority
    if trusted.revoked.is_revoked(issuer=owner, serial=leaf.serial):  # 5
        raise KeyRevoked(key_id=f"certificate {leaf.serial:x}", signer=named.name)
    return leaf, issuer, _with_roles(named, leaf)  # 6


def _check_validity(certificate: Certificate, now: Instant, what: str) -> None:
    if not certificate.is_valid_at(now):
        raise KeyRevoked(
            key_id=f"certificate {certificate.serial:x}",
            signer=what,
            valid_from=certificate.valid_from.isoformat(),
            valid_to=certificate.valid_to.isoformat(),
            hint="check the clocks of both sides, then issue a new certificate",
        )


def _named_principal(leaf: Certificate) -> Principal:
    names = [uri for uri in leaf.uris if uri.startswith(SCHEME)]
    if len(names) != 1:
        raise PeerNotAllowed(
            principal=" ".join(names) or "without a name",
            got=f"{len(names)} lubiao URIs",
            expected="exactly one",
        )
    principal = Principal.parse(names[0])
    if principal.kind is PrincipalKind.SYSTEM:
        raise PeerNotAllowed(
            principal=principal.name, got="system", expected="a kind that has certificates"
        )
    if not leaf.is_client_leaf:
        raise PeerNotAllowed(
            principal=principal.name, got="no client certificate", expected="client, not a CA"
        )
    return principal


def _check_issuer(leaf: Certificate, named: Principal, trusted: Authenticator) -> Certificate:
    if named.kind is PrincipalKind.NODE:
        issuer, expected = trusted.federation_root, "a certificate of the federation root"
    else:
        found = trusted.authority_cas.get(named.authority)
        if found is None:
            raise PeerNotAllowed(
                principal=named.name,
                got=f"authority {named.authority}",
                expected="an authority whose CA this node trusts",
            )
        issuer, expected = found, f"a certificate of the CA of {named.authority}"
    if not leaf.is_issued_by(issuer):
        raise PeerNotAllowed(
            principal=named.name, got="a certificate of another CA", expected=expected
        )
    return issuer


def _with_roles(named: Principal, leaf: Certificate) -> Principal:
    roles = _suffixes(leaf, ROLE_SCHEME)
    flags = _suffixes(leaf, FLAG_SCHEME)
    if named.kind is not PrincipalKind.STAFF:
        if roles or flags:
            raise PeerNotAllowed(
                principal=named.name, got="roles in the certificate", expected="roles of staff only"
            )
        return named
    if len(roles) > ROLES_MAX:
        raise PeerNotAllowed(
            principal=named.name, got=f"{len(roles)} roles", expected=f"{ROLES_MAX} at most"
        )
    found = known_roles(roles)
    try:
        check_separation(found)
    except FieldInvalid as error:
        raise PeerNotAllowed(
            principal=named.name, got=error.metadata["got"], expected=error.metadata["expected"]
        ) from error
    return Principal(named.authority, named.kind, named.id, found, OUTSOURCED in flags)


def _suffixes(leaf: Certificate, scheme: str) -> tuple[str, ...]:
    return tuple(uri.removeprefix(scheme) for uri in leaf.uris if uri.startswith(scheme))
