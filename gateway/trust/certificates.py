"""Certificates: the federation root issues nodes, each authority's own CA everybody else.

Certificates are ECDSA P-256, directly under their CA, and name one principal as a URI (see
`principal`). Nodes also carry `localhost`, 127.0.0.1 and `{node}.node.lubiao`, and may be server
and client; all others are clients only. A client trusts the federation root alone, so no
authority's CA can pose as a node. There are no URI name constraints: RFC 5280 §4.2.1.10 rejects
URIs without a host under one, and role URIs have none. Which CA may speak for whom is decided by
`authentication`.

A CA is a folder:

    ca.pem         its certificate, to be handed out
    ca-key.pem     its private key, mode 0600; the federation root's stays offline
    issued.json    what it issued: serial, principal, roles, last instant
    revoked.json   serials it revoked; copy it to every node that trusts this CA (`revocation`)

A federation root has path length 0 like every CA here: it issues leaves, no further CAs.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.kernel.errors import FieldInvalid, KeyRevoked, SignatureInvalid
from gateway.kernel.values import dataclass
from gateway.trust.key_files import (
    FILE_BYTES_MAX,
    load_private_key,
    private_pem,
    read_bounded,
    save_private_key,
)
from gateway.trust.keys import PrivateKey, Purpose, generate
from gateway.trust.principal import (
    AUTHORITY_CODE,
    FLAG_SCHEME,
    OUTSOURCED,
    ROLE_SCHEME,
    Principal,
    PrincipalKind,
    Role,
    check_separation,
)
from gateway.trust.revocation import FEDERATION, RevocationList

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.kernel.time import Instant

CA_VALIDITY = timedelta(days=3650)
LEAF_VALIDITY = timedelta(days=397)  # a year and a month's grace; what browsers accept too
CLOCK_SKEW = timedelta(minutes=5)  # a node whose clock is a little behind accepts a new leaf
NODE_DOMAIN = "node.lubiao"
EXTENSION_ERRORS = (  # what the library raises for extensions that are missing or malformed
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as a value; rooms above never see the library's type."""

    pem: bytes
    handle: x509.Certificate = field(repr=False, compare=False)

    @classmethod
    def parse(cls, pem: bytes) -> Certificate:
        """Return the one certificate of some PEM bytes.

        Raises:
            SignatureInvalid: the bytes are too long, no certificate, or more than one.
        """
        if len(pem) > FILE_BYTES_MAX or pem.count(b"-----BEGIN") != 1:
            raise SignatureInvalid(signer="certificate", got="not one PEM certificate")
        try:
            handle = x509.load_pem_x509_certificate(pem)
        except (ValueError, x509.InvalidVersion) as error:
            raise SignatureInvalid(signer="certificate", got="no PEM certificate") from error
        return cls(pem=handle.public_bytes(Encoding.PEM), handle=handle)

    @classmethod
    def load(cls, path: Path) -> Certificate:
        """Return the certificate in a file."""
        return cls.parse(read_bounded(path))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER bytes, hex."""
        return self.handle.fingerprint(SHA256()).hex()

    @property
    def serial(self) -> int:
        """The serial number, unique for its CA."""
        return self.handle.serial_number

    @property
    def valid_from(self) -> Instant:
        """First instant of validity."""
        return self.handle.not_valid_before_utc

    @property
    def valid_to(self) -> Instant:
        """Last instant of validity."""
        return self.handle.not_valid_after_utc

    @property
    def uris(self) -> tuple[str, ...]:
        """Every URI among the subject's alternative names; empty if there is no such list."""
        try:
            names = self.handle.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except EXTENSION_ERRORS:
            return ()
        return tuple(names.value.get_values_for_type(x509.UniformResourceIdentifier))

    @property
    def is_client_leaf(self) -> bool:
        """Whether it may be used by a client and is no CA."""
        try:
            extensions = self.handle.extensions
            constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
            uses = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except EXTENSION_ERRORS:
            return False
        return not constraints.ca and ExtendedKeyUsageOID.CLIENT_AUTH in uses

    def is_issued_by(self, issuer: Certificate) -> bool:
        """Tell whether `issuer` signed this certificate directly."""
        try:
            self.handle.verify_directly_issued_by(issuer.handle)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def is_of_key(self, key: PrivateKey) -> bool:
        """Tell whether `key` is the private half of the key in this certificate."""
        return self.handle.public_key() == key.handle.public_key()

    def is_valid_at(self, now: Instant) -> bool:
        """Tell whether `now` lies within the validity."""
        return self.valid_from <= now <= self.valid_to


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A fresh leaf with its private key: the one moment when both are together."""

    certificate: Certificate
    key: PrivateKey
    principal: Principal

    @property
    def certificate_pem(self) -> bytes:
        """The certificate for gRPC credentials."""
        return self.certificate.pem

    @property
    def key_pem(self) -> bytes:
        """The private key for gRPC credentials; never to a log."""
        return private_pem(self.key)

    def save(self, directory: Path, stem: str) -> None:
        """Write `{stem}.pem` and, owner only, `{stem}-key.pem`."""
        save_private_key(directory / f"{stem}-key.pem", self.key)
        (directory / f"{stem}.pem").write_bytes(self.certificate.pem)


def node_host(node: str) -> str:
    """Return the name that a client expects in a node's certificate."""
    return f"{node}.{NODE_DOMAIN}"


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A CA on disk: the federation's root, or the CA of exactly one authority."""

    directory: Path
    owner: str
    certificate: Certificate
    key: PrivateKey

    @classmethod
    def create(cls, directory: Path, owner: str, *, now: Instant) -> CertificateAuthority:
        """Create a CA folder for `owner`: `federation` or an authority code.

        Raises:
            FieldInvalid: `owner` is neither.
            ResourceExists: the folder holds a CA already.
        """
        if owner != FEDERATION and not AUTHORITY_CODE.fullmatch(owner):
            raise FieldInvalid(
                field="owner", got=owner, expected=f"{FEDERATION} or an authority code"
            )
        key = generate(Purpose.TLS)
        save_private_key(directory / "ca-key.pem", key)
        certificate = _self_signed(owner, key, now)
        (directory / "ca.pem").write_bytes(certificate.pem)
        (directory / "issued.json").write_text("[]\n", encoding="utf-8")
        empty = RevocationList(issuer=owner, serials=frozenset())
        empty.save(directory / "revoked.json")
        return cls(directory=directory, owner=owner, certificate=certificate, key=key)

    @classmethod
    def load(cls, directory: Path) -> CertificateAuthority:
        """Read a CA folder with its private key."""
        return cls(
            directory=directory,
            owner=RevocationList.load(directory / "revoked.json").issuer,
            certificate=Certificate.load(directory / "ca.pem"),
            key=load_private_key(directory / "ca-key.pem", Purpose.TLS),
        )

    def issue_node(
        self,
        authority: str,
        node: str,
        *,
        now: Instant,
        hosts: tuple[str, ...] = (),
        validity: timedelta = LEAF_VALIDITY,
    ) -> IssuedCertificate:
        """Issue a node's server and client certificate; federation root only.

        Args:
            authority: the authority that runs the node.
            node: its id in the roster.
            now: first instant of validity, less a clock skew.
            hosts: further DNS names or IP addresses under which it is dialled.
            validity: how long it is good.
        """
        principal = Principal.parse(f"lubiao://{authority}/node/{node}")
        return self._issue(principal, _node_names(node, hosts), now=now, validity=validity)

    def issue_platform(
        self, platform: str, *, now: Instant, validity: timedelta = LEAF_VALIDITY
    ) -> IssuedCertificate:
        """Issue a client certificate for a platform of this authority."""
        principal = Principal.parse(f"lubiao://{self.owner}/platform/{platform}")
        return self._issue(principal, (), now=now, validity=validity)

    def issue_staff(
        self,
        person: str,
        roles: frozenset[Role],
        *,
        now: Instant,
        is_outsourced: bool = False,
        validity: timedelta = LEAF_VALIDITY,
    ) -> IssuedCertificate:
        """Issue a client certificate for a person of this authority with these roles."""
        check_separation(roles)
        named = Principal.parse(f"lubiao://{self.owner}/staff/{person}")
        principal = Principal(named.authority, named.kind, named.id, roles, is_outsourced)
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(ROLE_SCHEME + role)
            for role in sorted(role.value for role in roles)
        ]
        if is_outsourced:
            names.append(x509.UniformResourceIdentifier(FLAG_SCHEME + OUTSOURCED))
        return self._issue(principal, tuple(names), now=now, validity=validity)

    def issue_auditor(
        self, auditor: str, *, now: Instant, validity: timedelta = LEAF_VALIDITY
    ) -> IssuedCertificate:
        """Issue a client certificate for an audit tool of this authority."""
        principal = Principal.parse(f"lubiao://{self.owner}/auditor/{auditor}")
        return self._issue(principal, (), now=now, validity=validity)

    def revoke(self, serial: int) -> RevocationList:
        """Revoke a serial and return the list to copy to every node that trusts this CA."""
        path = self.directory / "revoked.json"
        revoked = RevocationList.load(path).with_serial(serial)
        revoked.save(path)
        return revoked

    def issued(self) -> list[dict[str, str]]:
        """Return what this CA issued, oldest first."""
        text = (self.directory / "issued.json").read_text(encoding="utf-8")
        return [{str(key): str(value) for key, value in row.items()} for row in json.loads(text)]

    def _issue(
        self,
        principal: Principal,
        names: tuple[x509.GeneralName, ...],
        *,
        now: Instant,
        validity: timedelta,
    ) -> IssuedCertificate:
        is_node = principal.kind is PrincipalKind.NODE
        if is_node != (self.owner == FEDERATION):
            raise FieldInvalid(
                field="principal",
                got=f"{principal.name} from the CA of {self.owner}",
                expected="nodes from the federation root, all others from their authority's CA",
            )
        if not self.certificate.is_valid_at(now):
            raise KeyRevoked(
                key_id=f"certificate {self.certificate.serial:x}",
                signer=f"CA of {self.owner}",
                hint="create a new CA and hand out its ca.pem before issuing",
            )
        key = generate(Purpose.TLS)
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if is_node:
            uses.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
        subject_names = [x509.UniformResourceIdentifier(principal.name), *names]
        builder = (
            _builder(
                subject=_name(f"{principal.authority} {principal.kind.value} {principal.id}"),
                issuer=self.certificate.handle.subject,
                key=key,
                now=now,
                validity=min(validity, self.certificate.valid_to - now),
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.SubjectAlternativeName(subject_names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    _elliptic(self.key).public_key()
                ),
                critical=False,
            )
        )
        certificate = _signed(builder, self.key)
        self._remember(certificate, principal)
        return IssuedCertificate(certificate=certificate, key=key, principal=principal)

    def _remember(self, certificate: Certificate, principal: Principal) -> None:
        row = {
            "serial": f"{certificate.serial:x}",
            "principal": principal.name,
            "roles": " ".join(sorted(role.value for role in principal.roles)),
            "valid_to": certificate.valid_to.isoformat(),
        }
        rows = [*self.issued(), row]
        text = json.dumps(rows, ensure_ascii=False, indent=2) + "\n"
        (self.directory / "issued.json").write_text(text, encoding="utf-8")


def _self_signed(owner: str, key: PrivateKey, now: Instant) -> Certificate:
    name = _name(f"Lubiao CA {owner}")
    builder = (
        _builder(subject=name, issuer=name, key=key, now=now, validity=CA_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_ca=True), critical=True)
    )
    return _signed(builder, key)


def _builder(
    *, subject: x509.Name, issuer: x509.Name, key: PrivateKey, now: Instant, validity: timedelta
) -> x509.CertificateBuilder:
    public: EllipticCurvePublicKey = _elliptic(key).public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: PrivateKey) -> Certificate:
    handle = builder.sign(_elliptic(key), SHA256())
    return Certificate(pem=handle.public_bytes(Encoding.PEM), handle=handle)


def _elliptic(key: PrivateKey) -> EllipticCurvePrivateKey:
    if not isinstance(key.handle, EllipticCurvePrivateKey):
        raise FieldInvalid(field="key.purpose", got=key.purpose.value, expected=Purpose.TLS.value)
    return key.handle


def _node_names(node: str, hosts: tuple[str, ...]) -> tuple[x509.GeneralName, ...]:
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys((node_host(node), "localhost", "127.0.0.1", *hosts)):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return tuple(names)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )
