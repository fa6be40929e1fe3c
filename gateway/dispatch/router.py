"""Routing as dispatch asks it: the decision for one ticket, and the guards for one unit."""

from __future__ import annotations

from collections.abc import Callable

from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant
from gateway.reference.data import ReferenceData
from gateway.reference.units import Unit
from gateway.routing.evaluate import decide, find_guard
from gateway.routing.model import Decision, Guard, RoutingFacts
from gateway.routing.packs import PackSet


class Router:
    """Decides with what is in force now; packs, data and roster may change while it runs."""

    def __init__(
        self,
        *,
        reference: Callable[[], ReferenceData],
        packs: Callable[[], PackSet],
        hosted: Callable[[], frozenset[str]],
        joined: Callable[[], frozenset[str]],
    ) -> None:
        """`hosted` are the authorities of this node, `joined` all that can take an offer."""
        self._reference = reference
        self._packs = packs
        self._hosted = hosted
        self._joined = joined

    @property
    def reference(self) -> ReferenceData:
        """The reference data in force."""
        return self._reference()

    @property
    def hosted(self) -> frozenset[str]:
        """The authorities of this node."""
        return self._hosted()

    def has_joined(self, authority: str) -> bool:
        """Tell whether an authority can take an offer."""
        return authority in self._joined()

    def decide(self, authority: AuthorityCode, facts: RoutingFacts, *, now: Instant) -> Decision:
        """Return where the ticket goes from `authority`."""
        return decide(
            facts,
            authority=authority,
            hosted=self._hosted(),
            joined=self._joined(),
            packs=self._packs(),
            reference=self.reference,
            now=now,
        )

    def find_objection(
        self, authority: AuthorityCode, facts: RoutingFacts, unit: Unit, *, now: Instant
    ) -> Guard | None:
        """Return the guard that forbids a person's choice of unit, or None."""
        reference, hosted = self.reference, self._hosted()
        above = reference.regions.path(authority)
        owners = tuple(code for code in above if code == NATION or code in hosted)
        return find_guard(
            facts, unit, owners=owners, packs=self._packs(), reference=reference, now=now
        )
