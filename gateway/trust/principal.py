"""Who acts: a principal, by the name that its certificate carries as a URI.

    lubiao://{authority}/node/{node}       a peer or a client of its own node
    lubiao://{authority}/platform/{id}     a city's platform, through its adapter
    lubiao://{authority}/staff/{id}        a person; roles are further URIs `lubiao-role:{role}`
    lubiao://{authority}/auditor/{id}      an audit tool outside the staff
    lubiao://{authority}/system/{id}       this program itself, or root on the node's socket

A role is not part of the name: a person who changes duties stays the same actor in every audit
row. Roles come only from a certificate of the authority's own CA (`authentication`). A system
principal has no certificate. `lubiao-flag:outsourced` marks hired staff.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from gateway.kernel.errors import FieldInvalid, PeerNotAllowed
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEME = "lubiao://"
ROLE_SCHEME = "lubiao-role:"
FLAG_SCHEME = "lubiao-flag:"
OUTSOURCED = "outsourced"
ROLES_MAX = 16  # more roles than exist is not a person
AUTHORITY_CODE = re.compile(r"[1-9][0-9]{5}")
_NAME = re.compile(
    r"lubiao://(?P<authority>[1-9][0-9]{5})/"
    r"(?P<kind>node|platform|staff|auditor|system)/"
    r"(?P<id>[a-z0-9][a-z0-9._-]{0,62})"
)


class PrincipalKind(Enum):
    """What sort of actor a principal is."""

    NODE = "node"
    PLATFORM = "platform"
    STAFF = "staff"
    AUDITOR = "auditor"
    SYSTEM = "system"


class Role(Enum):
    """What a person may do; the access matrix says which RPC needs which."""

    CLERK = "clerk"
    DISPATCHER = "dispatcher"
    HANDLER = "handler"
    SUPERVISOR = "supervisor"
    RULE_EDITOR = "rule-editor"
    RULE_APPROVER = "rule-approver"
    PANEL_MEMBER = "panel-member"
    DIRECTORY_ADMINISTRATOR = "directory-administrator"
    HUB_ANALYST = "hub-analyst"
    SYSTEM_ADMINISTRATOR = "system-administrator"
    SECURITY_ADMINISTRATOR = "security-administrator"
    AUDIT_ADMINISTRATOR = "audit-administrator"


# 三员分立: no person may hold two of these.
EXCLUSIVE_ROLES = frozenset(
    {Role.SYSTEM_ADMINISTRATOR, Role.SECURITY_ADMINISTRATOR, Role.AUDIT_ADMINISTRATOR}
)


@dataclass(frozen=True, slots=True)
class Principal:
    """An actor of one authority; every event and audit row names one."""

    authority: AuthorityCode
    kind: PrincipalKind
    id: str
    roles: frozenset[Role] = frozenset()
    is_outsourced: bool = False

    @classmethod
    def parse(cls, name: str) -> Principal:
        """Return the principal of a name, without roles.

        Raises:
            PeerNotAllowed: the text is no principal's name.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise PeerNotAllowed(
                principal=name, got="no principal name", expected="lubiao://{authority}/{kind}/{id}"
            )
        return cls(
            authority=AuthorityCode(match["authority"]),
            kind=PrincipalKind(match["kind"]),
            id=match["id"],
        )

    @classmethod
    def system(cls, authority: str, name: str = "gateway") -> Principal:
        """Return the principal of this program when it acts by itself, e.g. a timer."""
        return cls.parse(f"{SCHEME}{authority}/system/{name}")

    @property
    def name(self) -> str:
        """The URI of this principal."""
        return f"{SCHEME}{self.authority}/{self.kind.value}/{self.id}"

    @property
    def acting_role(self) -> str:
        """The role an act is recorded under: a person's first role, else the kind of actor."""
        roles = sorted(role.value for role in self.roles)
        return roles[0] if roles else self.kind.value

    def has_role(self, *roles: Role) -> bool:
        """Tell whether the principal has at least one of these roles."""
        return not self.roles.isdisjoint(roles)

    def __str__(self) -> str:
        """Return the URI of this principal."""
        return self.name


def parse_roles(texts: Iterable[str]) -> frozenset[Role]:
    """Return the roles of their texts, refusing an unknown one (for issuing certificates)."""
    found = set()
    for text in texts:
        try:
            found.add(Role(text))
        except ValueError as error:
            known = ", ".join(role.value for role in Role)
            raise FieldInvalid(field="role", got=text, expected=f"one of {known}") from error
    check_separation(frozenset(found))
    return frozenset(found)


def known_roles(texts: Iterable[str]) -> frozenset[Role]:
    """Return the roles this version knows; one from a newer version grants nothing here."""
    known = {role.value for role in Role}
    return frozenset(Role(text) for text in texts if text in known)


def check_separation(roles: frozenset[Role]) -> None:
    """Refuse two of the three administrators in one person (三员分立)."""
    both = roles & EXCLUSIVE_ROLES
    if len(both) > 1:
        raise FieldInvalid(
            field="role",
            got=" and ".join(sorted(role.value for role in both)),
            expected="at most one of the three administrators",
        )
