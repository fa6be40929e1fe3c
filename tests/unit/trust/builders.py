"""Builders of this room's tests; every key here is a throw-away, good for nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.kernel.ids import AuthorityCode, Epoch, NodeId, SystemIds
from gateway.trust.certificates import Certificate, CertificateAuthority
from gateway.trust.keys import PublicKey, Purpose, generate
from gateway.trust.revocation import FEDERATION
from gateway.trust.roster import AuthorityEntry, KeyEntry, NodeEntry, NodeRole, Roster
from gateway.trust.sealing import SealingContext

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
DAY = timedelta(days=1)
IDS = SystemIds()
TICKET = "12000020260302000000017"


def a_context(**changes: object) -> SealingContext:
    """Return where a sample block belongs, with `changes`."""
    fields: dict[str, object] = {
        "ticket": TICKET,
        "scope": "100000",
        "chain": 1,
        "epoch": Epoch(0, 1),
        "source": "120000",
        "target": "130000",
        "kind": "case_block",
    }
    return SealingContext(**(fields | changes))  # type: ignore[arg-type] # a builder of tests


def a_key_entry(public: PublicKey, **changes: object) -> KeyEntry:
    """Return a roster line for a public key, valid for a year around NOW."""
    entry = KeyEntry.of(public, valid_from=NOW - 180 * DAY, valid_to=NOW + 180 * DAY)
    return replace(entry, **changes)  # type: ignore[arg-type] # a builder of tests


def an_authority(code: str, node: str, **changes: object) -> AuthorityEntry:
    """Return a roster entry with one fresh statement key and one fresh sealing key."""
    fields: dict[str, object] = {
        "code": AuthorityCode(code),
        "name": f"测试机构{code}",
        "hosted_on": NodeId(node),
        "statement_keys": (a_key_entry(generate(Purpose.STATEMENT).public),),
        "sealing_keys": (a_key_entry(generate(Purpose.SEALING).public),),
    }
    return AuthorityEntry(**(fields | changes))  # type: ignore[arg-type] # a builder of tests


def a_node(node: str, *roles: NodeRole) -> NodeEntry:
    """Return a node, a custodian unless told otherwise."""
    return NodeEntry(
        id=NodeId(node),
        endpoint=f"{node}.invalid:7443",
        roles=frozenset(roles or (NodeRole.CUSTODIAN,)),
    )


def a_roster(
    *authorities: AuthorityEntry,
    nodes: tuple[NodeEntry, ...] = (),
    version: int = 7,
    demo: bool = False,
) -> Roster:
    """Return Tianjin on its own node, Hebei hosting Langfang, and whoever else is given."""
    standard = (
        an_authority("120000", "tianjin"),
        an_authority("130000", "hebei"),
        an_authority("131000", "hebei"),
    )
    return Roster.of(
        (*standard, *authorities),
        (a_node("tianjin"), a_node("hebei"), *nodes),
        version=version,
        issued=NOW,
        demo=demo,
    )


def a_leaf(
    ca: CertificateAuthority, *uris: str, is_ca: bool = False, is_client: bool = True
) -> Certificate:
    """Return what a careless or hostile holder of a CA key could sign; valid for two years."""
    key = ec.generate_private_key(ec.SECP256R1())
    use = ExtendedKeyUsageOID.CLIENT_AUTH if is_client else ExtendedKeyUsageOID.SERVER_AUTH
    names = [x509.UniformResourceIdentifier(uri) for uri in uris]
    signer = ca.key.handle
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    handle = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")]))
        .issuer_name(ca.certificate.handle.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 365 * DAY)
        .not_valid_after(NOW + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, SHA256())
    )
    return Certificate.parse(handle.public_bytes(Encoding.PEM))


def a_federation_root(directory: Path, now: datetime = NOW) -> CertificateAuthority:
    """Create the CA that issues nodes."""
    return CertificateAuthority.create(directory / "root", FEDERATION, now=now)


def an_authority_ca(directory: Path, code: str, now: datetime = NOW) -> CertificateAuthority:
    """Create the CA of one authority."""
    return CertificateAuthority.create(directory / f"ca-{code}", code, now=now)
