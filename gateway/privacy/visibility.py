"""Who may see who calls: the rule over PERSONAL fields, as a pure function.

The handling unit's platform sees it, and so does the platform that handed the message in, as long
as its authority keeps a copy; the custodian's dispatchers, clerks and handlers see it unless the
citizen asked for secrecy, then only the handling unit does. Administrators and auditors never do.
Every such reading by a person or platform needs a purpose and leaves an audit row
(docs/privacy.md#visibility).
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.kernel.values import dataclass
from gateway.trust.principal import Principal, PrincipalKind, Role

STAFF_ROLES = (Role.DISPATCHER, Role.CLERK, Role.HANDLER)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What about a ticket decides who may see who calls.

    `submitted_by` is the platform that handed the message in at this very authority, or None;
    `handled_by` are the platforms of units that need to know it: the lead, and unless the citizen
    asked for secrecy those that help; never who only reads along.
    """

    authority: str
    is_followed: bool
    secrecy_required: bool
    submitted_by: str | None
    handled_by: Collection[str]


def may_see_citizen(principal: Principal, exposure: Exposure) -> bool:
    """Tell whether `principal` may see the PERSONAL fields of the ticket."""
    if principal.authority != exposure.authority:
        return False
    if principal.kind is PrincipalKind.PLATFORM:
        return principal.id == exposure.submitted_by or principal.id in exposure.handled_by
    if principal.kind is not PrincipalKind.STAFF or exposure.is_followed:
        return False
    if exposure.secrecy_required:
        return principal.has_role(Role.HANDLER)
    return principal.has_role(*STAFF_ROLES)
