"""What is personal is not shown, and what is sealed opens only in its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.kernel.errors import InvariantViolated
from gateway.kernel.ids import AuthorityCode, SystemIds
from gateway.privacy.redaction import redacted
from gateway.privacy.vault import ContentVault
from gateway.privacy.visibility import Exposure, may_see_citizen
from gateway.trust.key_ring import KeyRing
from gateway.trust.principal import Principal, PrincipalKind, Role
from tests.fixtures.nodes import a_message, a_person, a_platform

IDS = SystemIds()
EXPOSURE = Exposure(
    authority="120000",
    is_followed=False,
    secrecy_required=False,
    submitted_by="120000-p1",
    handled_by={"120000-p2"},
)


def test_redaction_keeps_codes_and_hides_texts() -> None:
    message = a_message()
    message.citizen.phones.append("02212345678")
    hidden = redacted(message)
    text = str(hidden)
    for value in ("驾校", "测试人员甲", "13800138000", "02212345678", "示例路"):
        assert value not in text
    assert hidden.content.title == "‹redacted:CONTENT›"
    assert hidden.citizen.phones == ["‹redacted:PERSONAL›"] * 2
    assert hidden.matter == message.matter
    assert hidden.content.place.region == message.content.place.region
    assert message.citizen.phones[0] == "13800138000"  # the original is untouched


@pytest.mark.parametrize(
    ("principal", "changes", "expected"),
    [
        (a_platform("120000", "120000-p1"), {}, True),
        (a_platform("120000", "120000-p2"), {}, True),
        (a_platform("120000", "120000-p3"), {}, False),
        (a_platform("130000", "120000-p1"), {}, False),
        (a_person("120000"), {}, True),
        (a_person("120000"), {"is_followed": True}, False),
        (a_person("120000"), {"secrecy_required": True}, False),
        (a_person("120000", Role.HANDLER), {"secrecy_required": True}, True),
        (a_person("120000", Role.SYSTEM_ADMINISTRATOR), {}, False),
        (Principal(AuthorityCode("120000"), PrincipalKind.AUDITOR, "a1"), {}, False),
    ],
)
def test_who_may_see_who_calls(
    principal: Principal, changes: dict[str, bool], expected: bool
) -> None:
    assert may_see_citizen(principal, replace(EXPOSURE, **changes)) is expected  # type: ignore[arg-type] # flags


def test_sealed_text_opens_only_in_its_place() -> None:
    vault = ContentVault(keys=KeyRing.in_memory(["120000"]), ids=IDS)
    key, wrapped = vault.create("120000/tickets/1")
    sealed = key.seal("citizen", b"secret")
    again = vault.open("120000/tickets/1", wrapped)
    assert again.open("citizen", sealed) == b"secret"
    assert again.fingerprint(b"secret") == key.fingerprint(b"secret")
    with pytest.raises(InvariantViolated):
        again.open("content", sealed)
    with pytest.raises(InvariantViolated):
        vault.open("130000/tickets/1", wrapped)


def test_fingerprints_of_two_copies_cannot_be_compared() -> None:
    vault = ContentVault(keys=KeyRing.in_memory(["120000"]), ids=IDS)
    one, _ = vault.create("120000/tickets/1")
    other, _ = vault.create("130000/tickets/1")
    assert one.fingerprint(b"same") != other.fingerprint(b"same")
