"""Routing as dispatch asks it: the decision for one ticket, and the guards for one unit."""

from __future__ import annotations

from collections.abc import Callable

from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant
from gateway.publishing.ports import Rules, Unchanging
from gateway.reference.data import ReferenceData
from gateway.reference.units import Unit
from gateway.rehearsal.model import Setting
from gateway.routing.evaluate import decide, find_guard
from gateway.routing.failures import Failures
from gateway.routing.model import Decision, Guard, RoutingFacts, States
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
        rules: Rules | None = None,
    ) -> None:
        """`hosted` are the authorities of this node, `joined` all that can take an offer.

        Without `rules` the packs are those of `packs`, which nobody publishes.
        """
        self._reference = reference
        self.rules: Rules = rules if rules is not None else Unchanging(packs)
        self.states: Callable[[str], States] = _nothing_declared
        self.failures = Failures()  # of conditions, until their owners are told
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
        """Return where the ticket goes from `authority`.

        Whoever acts on it waits for `rules.ready` before and calls `rules.hold` after.
        """
        decision = decide(
            facts,
            authority=authority,
            hosted=self._hosted(),
            joined=self._joined(),
            packs=self.rules.at(now),
            reference=self.reference,
            now=now,
            states=self.states(authority),
        )
        self.failures.report(decision.failures)
        return decision

    def setting(self, authority: AuthorityCode, *, now: Instant) -> Setting:
        """Return what decisions of an authority have in common now, besides their facts."""
        packs, hosted = self.rules.at(now), self._hosted()
        owners = packs.owners(authority=authority, hosted=hosted, regions=self.reference.regions)
        versions = tuple(f"{pack.pack}@{pack.version}" for pack in packs.of(owners))
        return Setting(hosted, self._joined(), versions, self.reference.version)

    def find_objection(
        self,
        authority: AuthorityCode,
        facts: RoutingFacts,
        unit: Unit,
        *,
        now: Instant,
        is_request: bool = False,
    ) -> Guard | None:
        """Return the guard that forbids a person's choice of unit, or None.

        With `is_request` the unit is asked (商请) and free to say no.
        """
        reference, hosted = self.reference, self._hosted()
        above = reference.regions.path(authority)
        owners = tuple(code for code in above if code == NATION or code in hosted)
        return find_guard(
            facts,
            unit,
            owners=owners,
            packs=self.rules.at(now),
            reference=reference,
            now=now,
            is_request=is_request,
        )


def _nothing_declared(_authority: str) -> States:
    """Know of no destination: all of them are normal."""
    return {}
