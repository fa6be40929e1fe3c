"""What the log keeps of an act or a reading: codes and names, never free text but as a basis."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.audit.acts import ACCESS_MATRIX, STATED, act_of, reading_of
from gateway.audit.model import NAME_LENGTH_MAX
from gateway.kernel.ids import AuthorityCode
from gateway.trust.principal import Principal, PrincipalKind, Role

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
WHO = Principal(AuthorityCode("120000"), PrincipalKind.STAFF, "s1", frozenset({Role.SUPERVISOR}))


def test_an_act_has_its_principal_and_a_basis_within_its_bound() -> None:
    entry = act_of(WHO, "case.rule", "cases/1", now=NOW, basis="依" * 300)
    assert (entry.principal, entry.role, entry.subject) == (WHO.name, "supervisor", "cases/1")
    assert entry.basis == "依" * NAME_LENGTH_MAX
    assert act_of(WHO, "case.read", "cases/1", now=NOW).basis == ACCESS_MATRIX


def test_a_purpose_that_is_a_code_is_kept_as_one() -> None:
    entry = reading_of(WHO, "case.read_ticket", "tickets/1", now=NOW, purpose="dispute")
    assert (entry.purpose, entry.basis) == ("dispute", "dispute")


def test_a_purpose_in_words_is_the_basis() -> None:
    entry = reading_of(WHO, "case.read_ticket", "tickets/1", now=NOW, purpose="核对案情")
    assert (entry.purpose, entry.basis) == (STATED, "核对案情")


def test_without_a_purpose_none_is_recorded() -> None:
    entry = reading_of(WHO, "case.sight", "cases/1", now=NOW, purpose="", basis="tickets/1")
    assert (entry.purpose, entry.basis) == (None, "tickets/1")
    bare = reading_of(WHO, "case.export", "cases/1", now=NOW, purpose="dispute", is_of_words=False)
    assert (bare.purpose, bare.basis) == (None, "dispute")
