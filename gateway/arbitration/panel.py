"""Who sits on the panel of an arbiter: panel members of its own staff, never hired ones.

Nobody decides what they brought about: who filed, judged a return of it or spoke for a party sits
on no panel of that case.
"""

from __future__ import annotations

from gateway.arbitration.model import Case
from gateway.kernel.codes import CaseEntryKind
from gateway.kernel.errors import RoleMissing
from gateway.trust.principal import Principal, PrincipalKind, Role

OF_PARTIES = frozenset({CaseEntryKind.POSITION, CaseEntryKind.OBJECTION})


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


def check_impartial(principal: Principal, method: str, case: Case) -> None:
    """Return if a panel member had no part in a case before (回避).

    Raises:
        RoleMissing: it filed, judged a return, or spoke for a party.
    """
    authors = {entry.author for entry in case.entries if entry.kind in OF_PARTIES}
    if principal.name in authors | set(case.involved):
        raise RoleMissing(
            principal=principal.name,
            method=method,
            got=f"{Role.PANEL_MEMBER.value}, who had a part in {case.name}",
            expected=f"{Role.PANEL_MEMBER.value} who had none",
        )
