"""Certificates, revocation and the checks from a certificate to a principal."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from gateway.kernel.errors import (
    FieldInvalid,
    KeyRevoked,
    PeerNotAllowed,
    ResourceExists,
    ResourceNotFound,
    SignatureInvalid,
)
from gateway.trust.authentication import Authenticator, authenticate
from gateway.trust.certificates import CA_VALIDITY, LEAF_VALIDITY, Certificate, CertificateAuthority
from gateway.trust.principal import Principal, PrincipalKind, Role, parse_roles
from gateway.trust.revocation import RevocationList, Revocations
from tests.unit.trust.builders import NOW, a_federation_root, a_leaf, an_authority_ca

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.kernel.time import Instant


class World:
    """A federation root and the CAs of Tianjin and Hebei, as one node trusts them."""

    def __init__(self, directory: Path) -> None:
        self.root = a_federation_root(directory)
        self.tianjin = an_authority_ca(directory, "120000")
        self.hebei = an_authority_ca(directory, "130000")

    @property
    def authority_cas(self) -> Mapping[str, Certificate]:
        return {"120000": self.tianjin.certificate, "130000": self.hebei.certificate}

    def principal(
        self, certificate: Certificate, *, now: Instant = NOW, revoked: Revocations | None = None
    ) -> Principal:
        return authenticate(
            certificate.pem,
            now=now,
            federation_root=self.root.certificate,
            authority_cas=self.authority_cas,
            revoked=revoked or Revocations.none(),
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_node_is_known_by_a_certificate_of_the_root(world: World) -> None:
    issued = world.root.issue_node("130000", "hebei", now=NOW)
    assert world.principal(issued.certificate).name == "lubiao://130000/node/hebei"


def test_platform_auditor_and_staff_are_known_by_their_authority(world: World) -> None:
    platform = world.tianjin.issue_platform("12345-main", now=NOW)
    auditor = world.tianjin.issue_auditor("desk-3", now=NOW)
    staff = world.tianjin.issue_staff(
        "li", frozenset({Role.DISPATCHER, Role.CLERK}), now=NOW, is_outsourced=True
    )
    assert world.principal(platform.certificate).name == "lubiao://120000/platform/12345-main"
    assert world.principal(auditor.certificate).kind is PrincipalKind.AUDITOR
    person = world.principal(staff.certificate)
    assert person == staff.principal
    assert person.roles == {Role.DISPATCHER, Role.CLERK}
    assert person.is_outsourced
    assert person.has_role(Role.CLERK, Role.SUPERVISOR)
    assert not person.has_role(Role.SUPERVISOR)


def test_roles_are_no_part_of_the_name(world: World) -> None:
    clerk = world.tianjin.issue_staff("li", frozenset({Role.CLERK}), now=NOW)
    supervisor = world.tianjin.issue_staff("li", frozenset({Role.SUPERVISOR}), now=NOW)
    first, second = world.principal(clerk.certificate), world.principal(supervisor.certificate)
    assert first.name == second.name == "lubiao://120000/staff/li"


def test_ca_of_one_authority_cannot_speak_for_another(tmp_path: Path, world: World) -> None:
    forger = CertificateAuthority(  # Tianjin's real CA key, asked to name Hebei
        directory=world.tianjin.directory,
        owner="130000",
        certificate=world.tianjin.certificate,
        key=world.tianjin.key,
    )
    forged = forger.issue_platform("stolen", now=NOW)
    with pytest.raises(PeerNotAllowed, match="CA of 130000"):
        world.principal(forged.certificate)


def test_ca_of_an_authority_cannot_make_a_node(world: World) -> None:
    forger = CertificateAuthority(
        directory=world.tianjin.directory,
        owner="federation",
        certificate=world.tianjin.certificate,
        key=world.tianjin.key,
    )
    forged = forger.issue_node("130000", "hebei", now=NOW)
    with pytest.raises(PeerNotAllowed, match="federation root"):
        world.principal(forged.certificate)
    with pytest.raises(FieldInvalid, match="nodes from the federation root"):
        world.tianjin.issue_node("120000", "tianjin", now=NOW)


def test_root_cannot_make_staff_of_an_authority(world: World) -> None:
    forger = CertificateAuthority(
        directory=world.root.directory,
        owner="130000",
        certificate=world.root.certificate,
        key=world.root.key,
    )
    forged = forger.issue_staff("zhang", frozenset({Role.CLERK}), now=NOW)
    with pytest.raises(PeerNotAllowed, match="CA of 130000"):
        world.principal(forged.certificate)


def test_ca_with_the_right_name_but_another_key_is_refused(tmp_path: Path, world: World) -> None:
    impostor = an_authority_ca(tmp_path / "elsewhere", "130000")
    forged = impostor.issue_platform("main", now=NOW)
    with pytest.raises(PeerNotAllowed, match="another CA"):
        world.principal(forged.certificate)


def test_authority_whose_ca_is_not_here_is_refused(tmp_path: Path, world: World) -> None:
    shanghai = an_authority_ca(tmp_path, "310000")
    issued = shanghai.issue_platform("main", now=NOW)
    with pytest.raises(PeerNotAllowed, match="authority 310000"):
        world.principal(issued.certificate)


@pytest.mark.parametrize("offset", [-timedelta(hours=1), LEAF_VALIDITY + timedelta(seconds=1)])
def test_certificate_outside_its_validity_is_refused(world: World, offset: timedelta) -> None:
    issued = world.tianjin.issue_platform("main", now=NOW)
    with pytest.raises(KeyRevoked):
        world.principal(issued.certificate, now=NOW + offset)


def test_certificate_never_outlives_its_ca(world: World) -> None:
    late = world.tianjin.certificate.valid_to - timedelta(days=1)
    issued = world.tianjin.issue_platform("main", now=late)
    assert issued.certificate.valid_to <= world.tianjin.certificate.valid_to
    with pytest.raises(KeyRevoked):
        world.tianjin.issue_platform("main", now=late + timedelta(days=2))


def test_revoked_certificate_is_refused_and_others_stay(world: World) -> None:
    lost = world.tianjin.issue_platform("lost", now=NOW)
    kept = world.tianjin.issue_platform("kept", now=NOW)
    revoked = Revocations.of([world.tianjin.revoke(lost.certificate.serial)])
    with pytest.raises(KeyRevoked, match="lubiao://120000/platform/lost"):
        world.principal(lost.certificate, revoked=revoked)
    assert world.principal(kept.certificate, revoked=revoked).id == "kept"


def test_list_of_one_ca_does_not_lock_out_people_of_another(world: World) -> None:
    issued = world.tianjin.issue_platform("main", now=NOW)
    hostile = RevocationList(issuer="130000", serials=frozenset({issued.certificate.serial}))
    assert world.principal(issued.certificate, revoked=Revocations.of([hostile])).id == "main"


def test_node_is_revoked_by_the_root_only(world: World) -> None:
    issued = world.root.issue_node("130000", "hebei", now=NOW)
    revoked = Revocations.of([world.root.revoke(issued.certificate.serial)])
    with pytest.raises(KeyRevoked):
        world.principal(issued.certificate, revoked=revoked)


@pytest.mark.parametrize(
    ("uris", "expected"),
    [
        (("lubiao://120000/platform/a", "lubiao://120000/platform/b"), "exactly one"),
        (("lubiao://120000/system/gateway",), "a kind that has certificates"),
        (("lubiao://120000/platform/a", "lubiao-role:clerk"), "roles of staff only"),
        (("lubiao://120000/auditor/a", "lubiao-flag:outsourced"), "roles of staff only"),
        (
            (
                "lubiao://120000/staff/a",
                "lubiao-role:system-administrator",
                "lubiao-role:audit-administrator",
            ),
            "three administrators",
        ),
        (("lubiao://120000/staff/a", *(f"lubiao-role:r{n}" for n in range(17))), "16 at most"),
        (("https://120000/platform/a",), "exactly one"),
    ],
)
def test_certificate_that_claims_too_much_is_refused(
    world: World, uris: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(PeerNotAllowed, match=expected):
        world.principal(a_leaf(world.tianjin, *uris))


@pytest.mark.parametrize("changes", [{"is_ca": True}, {"is_client": False}])
def test_certificate_for_another_use_is_refused(world: World, changes: dict[str, bool]) -> None:
    leaf = a_leaf(world.tianjin, "lubiao://120000/platform/a", **changes)
    with pytest.raises(PeerNotAllowed, match="no client certificate"):
        world.principal(leaf)


def test_role_of_a_newer_version_grants_nothing_and_harms_nothing(world: World) -> None:
    leaf = a_leaf(world.tianjin, "lubiao://120000/staff/a", "lubiao-role:x", "lubiao-role:clerk")
    assert world.principal(leaf).roles == {Role.CLERK}


def test_certificate_under_an_expired_ca_is_refused(tmp_path: Path, world: World) -> None:
    world.tianjin = an_authority_ca(tmp_path / "old", "120000", NOW - 2 * CA_VALIDITY)
    leaf = a_leaf(world.tianjin, "lubiao://120000/platform/a")
    with pytest.raises(KeyRevoked, match="CA of the client certificate"):
        world.principal(leaf)


def test_memory_of_certificates_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.trust.authentication.PRINCIPALS_CACHED_MAX", 2)
    authenticator = Authenticator(world.root.certificate, world.authority_cas, Revocations.none())
    for name in ("a", "b", "c"):
        leaf = a_leaf(world.tianjin, f"lubiao://120000/platform/{name}")
        assert authenticator.authenticate(leaf.pem, now=NOW).id == name
    assert len(authenticator._known) == 2


def test_ca_certificate_itself_is_nobody(world: World) -> None:
    with pytest.raises(PeerNotAllowed, match="0 lubiao URIs"):
        world.principal(world.tianjin.certificate)


@pytest.mark.parametrize("pem", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_bytes_that_are_no_certificate_are_refused(world: World, pem: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        authenticate(
            pem,
            now=NOW,
            federation_root=world.root.certificate,
            authority_cas=world.authority_cas,
            revoked=Revocations.none(),
        )


def test_two_certificates_in_one_are_refused(world: World) -> None:
    issued = world.tianjin.issue_platform("main", now=NOW)
    with pytest.raises(SignatureInvalid, match="not one"):
        Certificate.parse(issued.certificate_pem * 2)


def test_remembered_certificate_is_still_refused_after_its_end(world: World) -> None:
    authenticator = Authenticator(world.root.certificate, world.authority_cas, Revocations.none())
    issued = world.tianjin.issue_platform("main", now=NOW)
    first = authenticator.authenticate(issued.certificate_pem, now=NOW)
    assert authenticator.authenticate(issued.certificate_pem, now=NOW) is first
    with pytest.raises(KeyRevoked):
        authenticator.authenticate(issued.certificate_pem, now=NOW + 2 * LEAF_VALIDITY)


def test_no_person_holds_two_of_the_three_administrators(world: World) -> None:
    both = frozenset({Role.SYSTEM_ADMINISTRATOR, Role.AUDIT_ADMINISTRATOR})
    with pytest.raises(FieldInvalid, match="three administrators"):
        world.tianjin.issue_staff("li", both, now=NOW)
    with pytest.raises(FieldInvalid, match="three administrators"):
        parse_roles(["system-administrator", "security-administrator"])
    with pytest.raises(FieldInvalid, match="one of"):
        parse_roles(["king"])


@pytest.mark.parametrize(
    "name",
    [
        "lubiao://12000/staff/li",
        "lubiao://120000/king/li",
        "lubiao://120000/staff/",
        "lubiao://120000/staff/Li",
        "lubiao://120000/staff/li?roles=dispatcher",
        "lubiao://120000/staff/li/extra",
        "http://120000/staff/li",
    ],
)
def test_text_that_is_no_principal_name_is_refused(name: str) -> None:
    with pytest.raises(PeerNotAllowed):
        Principal.parse(name)


def test_system_principal_has_a_name_and_no_certificate(world: World) -> None:
    assert str(Principal.system("130000", "timer")) == "lubiao://130000/system/timer"


@pytest.mark.parametrize("owner", ["", "tianjin", "012000"])
def test_ca_belongs_to_the_federation_or_an_authority(tmp_path: Path, owner: str) -> None:
    with pytest.raises(FieldInvalid, match="federation or an authority code"):
        CertificateAuthority.create(tmp_path, owner, now=NOW)


def test_roles_are_read_from_their_texts() -> None:
    assert parse_roles(["clerk", "clerk", "handler"]) == {Role.CLERK, Role.HANDLER}


def test_ca_survives_its_folder(world: World) -> None:
    world.tianjin.issue_platform("main", now=NOW)
    again = CertificateAuthority.load(world.tianjin.directory)
    assert again == world.tianjin
    assert [row["principal"] for row in again.issued()] == ["lubiao://120000/platform/main"]
    with pytest.raises(ResourceExists):
        an_authority_ca(world.tianjin.directory.parent, "120000")


def test_issued_certificate_is_saved_with_an_owner_only_key(tmp_path: Path, world: World) -> None:
    issued = world.root.issue_node("130000", "hebei", now=NOW, hosts=("10.0.0.7", "hebei.invalid"))
    issued.save(tmp_path, "node")
    assert (tmp_path / "node-key.pem").stat().st_mode & 0o077 == 0
    assert Certificate.load(tmp_path / "node.pem") == issued.certificate


@pytest.mark.parametrize("text", ["", "[]", '{"issuer": "120000", "serials": ["zz"]}'])
def test_broken_revocation_list_is_never_read_as_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "revoked.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FieldInvalid):
        RevocationList.load(path)
    with pytest.raises(ResourceNotFound):
        RevocationList.load(tmp_path / "missing.json")
