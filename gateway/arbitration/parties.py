"""Who reads a case, who speaks in it, and for whom.

A case of authorities is read by the staff of the arbiter and of the parties, and a party's
dispatchers and supervisors speak for it. A case of units is read by the staff of their authority,
handlers too, and by the platforms that serve its units, which may speak for them. For a unit whose
platform serves others too, or that has none, and for the desk, own staff may speak as well and
names it; a platform of a unit's own is the only one who speaks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.arbitration.model import UNIT_PREFIX, Case, Party, is_unit
from gateway.kernel.codes import CaseLevel
from gateway.kernel.errors import FieldInvalid, ResourceNotFound, RoleMissing
from gateway.kernel.ids import AuthorityCode
from gateway.reference.units import Unit, Units
from gateway.trust.principal import Principal, PrincipalKind, Role

SPEAKERS = (Role.DISPATCHER, Role.SUPERVISOR)
SPEAKERS_OF_UNITS = (Role.HANDLER, *SPEAKERS)
READERS = (Role.PANEL_MEMBER, *SPEAKERS)
"""Whoever has none of these sees cases of units only, whatever other roles it has."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The cases a principal sees: all of its authority, those of units, or of its own units."""

    authority: AuthorityCode
    is_confined: bool = False  # to cases of units
    units: tuple[Party, ...] | None = None  # None: of all units of the authority

    def sees(self, case: Case) -> bool:
        """Tell whether a case that its authority sees is for this reader too."""
        if not self.is_confined:
            return True
        if case.level is not CaseLevel.UNITS or case.key.scope != self.authority:
            return False
        return self.units is None or not set(self.units).isdisjoint(case.audience)

    def require(self, case: Case) -> Case:
        """Return a case that this reader sees.

        Raises:
            ResourceNotFound: it is not for this reader; none can tell that it is there.
        """
        if self.sees(case):
            return case
        raise ResourceNotFound(kind="case", name=case.name)


class Parties:
    """Knows the units of this node's authorities; the nation's arbiter node has none."""

    def __init__(self, units: Callable[[], Units] | None = None) -> None:
        """Look units up in what is in force now."""
        self._units = units

    def reader_of(self, principal: Principal) -> Reader:
        """Return what a principal sees; the access matrix has let it ask."""
        if principal.kind is PrincipalKind.PLATFORM:
            return Reader(principal.authority, is_confined=True, units=self.served_by(principal))
        return Reader(principal.authority, is_confined=not principal.has_role(*READERS))

    def served_by(self, principal: Principal) -> tuple[Party, ...]:
        """Return the units whose platform this is."""
        found = self._on_platform(principal.id)
        return tuple(_name(unit) for unit in found if unit.authority == principal.authority)

    def find(self, scope: AuthorityCode, party: Party) -> Unit | None:
        """Return the unit or desk of an authority that a party is, or None."""
        if self._units is None or not is_unit(party):
            return None
        unit = self._units().find(party.removeprefix(UNIT_PREFIX))
        return unit if unit is not None and unit.authority == scope else None

    def speaker(self, principal: Principal, method: str, case: Case, *, named: Party) -> Party:
        """Return the party that a principal speaks for.

        Raises:
            RoleMissing: it speaks for no party of this case.
            FieldInvalid: it has to name one, or named somebody else's.
        """
        if case.level is CaseLevel.UNITS:
            return self.unit_speaking(
                principal, method, scope=case.key.scope, named=named, among=case.audience
            )
        _require_staff(principal, method, SPEAKERS)
        if named not in ("", principal.authority):
            raise FieldInvalid(field="party", got=named, expected=str(principal.authority))
        return principal.authority

    def unit_speaking(
        self,
        principal: Principal,
        method: str,
        *,
        scope: AuthorityCode,
        named: Party,
        among: tuple[Party, ...],
    ) -> Party:
        """Return the unit that a principal speaks for; errors as in `speaker`."""
        if principal.kind is PrincipalKind.PLATFORM:
            served = tuple(unit for unit in self.served_by(principal) if unit in among)
            return _one_of(served, named, principal, method)
        _require_staff(principal, method, SPEAKERS_OF_UNITS)
        unit = self.find(scope, named)
        if unit is None:
            expected = f"one of {', '.join(among)}"
            raise FieldInvalid(field="party", got=named or "empty", expected=expected)
        if not unit.is_desk and len(self._on_platform(unit.platform or "")) == 1:
            raise RoleMissing(
                principal=principal.name,
                method=method,
                got="staff",
                expected=f"platform {unit.platform}, through which {named} speaks",
            )
        return named

    def _on_platform(self, platform: str) -> tuple[Unit, ...]:
        """Return the units that a platform serves; at a desk people work, not platforms."""
        if self._units is None or not platform:
            return ()
        return tuple(unit for unit in self._units().on_platform(platform) if not unit.is_desk)


def require_speaker(principal: Principal, method: str) -> None:
    """Return if somebody may speak in some case at all: a platform, or own staff of these roles.

    Raises:
        RoleMissing: it may not.
    """
    if principal.kind is not PrincipalKind.PLATFORM:
        _require_staff(principal, method, SPEAKERS_OF_UNITS)


def _one_of(served: tuple[Party, ...], named: Party, principal: Principal, method: str) -> Party:
    if not served:
        raise RoleMissing(
            principal=principal.name, method=method, got="platform", expected="that of a party"
        )
    if named in served or (not named and len(served) == 1):
        return named or served[0]
    expected = f"one of {', '.join(served)}"
    raise FieldInvalid(field="party", got=named or "empty", expected=expected)


def _require_staff(principal: Principal, method: str, roles: tuple[Role, ...]) -> None:
    is_staff = principal.kind is PrincipalKind.STAFF
    if is_staff and principal.has_role(*roles) and not principal.is_outsourced:
        return
    raise RoleMissing(
        principal=principal.name,
        method=method,
        got=", ".join(sorted(role.value for role in principal.roles)) or principal.kind.value,
        expected=f"{', '.join(role.value for role in roles)} (not outsourced)",
    )


def _name(unit: Unit) -> Party:
    return f"{UNIT_PREFIX}{unit.unit_id}"
