"""Who sits on the panel of an arbiter: panel members of its own staff, never hired ones."""

from __future__ import annotations

from gateway.kernel.errors import RoleMissing
from gateway.trust.principal import Principal, PrincipalKind, Role


def check_panel(principal: Principal, method: str) -> None:
    """Return if the caller sits on a panel (hired staff judge no dispatch, 国办函〔2025〕66号).

    Raises:
        RoleMissing: it does not.
    """
    is_staff = principal.kind is PrincipalKind.STAFF
    if is_staff and principal.has_role(Role.PANEL_MEMBER) and not principal.is_outsourced:
        return
    roles = ", ".join(sorted(role.value for role in principal.roles)) or principal.kind.value
    raise RoleMissing(
        principal=principal.name,
        method=method,
        got=f"{roles}, outsourced" if principal.is_outsourced else roles,
        expected=f"{Role.PANEL_MEMBER.value} (not outsourced)",
    )
