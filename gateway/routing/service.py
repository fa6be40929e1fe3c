"""Use cases of routing: decide, explain, ask the guards, show packs.

Holds what a decision needs besides the facts: packs, reference data, who has joined, which
authorities live here, and the business clock. It never writes; `dispatch` acts on what it says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.kernel.errors import FieldInvalid, GuardViolated, PageTokenInvalid
from gateway.kernel.time import Clock, Instant
from gateway.routing.evaluate import NO_STATES, decide, find_guard
from gateway.routing.failures import Failures
from gateway.routing.model import Decision, Guard, Pack, Reference, RoutingFacts, States
from gateway.routing.packs import PackSet

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500  # the standard's bound for every list
_PAGE_PREFIX = "rule-packs:"


@dataclass(frozen=True, slots=True)
class PackPage:
    """Some packs in order of evaluation, and where to go on; empty at the end."""

    packs: tuple[Pack, ...]
    next_page_token: str


class RoutingService:
    """Decisions of the authorities that this node hosts."""

    def __init__(
        self,
        *,
        packs: PackSet | Callable[[], PackSet],
        reference: Reference,
        hosted: frozenset[str],
        joined: Callable[[], frozenset[str]],
        clock: Clock,
        failures: Failures | None = None,
        states: Callable[[str], States] = lambda _authority: NO_STATES,
    ) -> None:
        """Make the service.

        `packs` are those in force, or return them; `joined` returns the authorities of the current
        roster, `states` how destinations stand for an authority.
        """
        self._in_force = packs if callable(packs) else (lambda: packs)
        self._reference = reference
        self._hosted, self._joined, self._clock = hosted, joined, clock
        self.failures, self._states = failures or Failures(), states

    @property
    def _packs(self) -> PackSet:
        return self._in_force()

    def decide(
        self,
        facts: RoutingFacts,
        *,
        authority: str,
        now: Instant | None = None,
        packs: PackSet | None = None,
    ) -> Decision:
        """Return where a ticket of `authority` goes.

        `now` defaults to the business clock, `packs` to those in force.
        """
        self._check_hosted(authority)
        decision = decide(
            facts,
            authority=authority,
            hosted=self._hosted,
            joined=self._joined(),
            packs=packs or self._packs,
            reference=self._reference,
            now=now or self._clock.now(),
            states=self._states(authority),
        )
        self.failures.report(decision.failures)
        return decision

    def find_objection(
        self, facts: RoutingFacts, *, authority: str, unit: str, mandate: str = ""
    ) -> Guard | None:
        """Return the guard that forbids a unit that a person chose, or None.

        `unit` is an id or `units/{unit}`; raise `ResourceNotFound` when there is no such unit.
        """
        self._check_hosted(authority)
        owners = self._packs.owners(
            authority=authority, hosted=self._hosted, regions=self._reference.regions
        )
        return find_guard(
            facts,
            self._reference.units.get(unit.removeprefix("units/")),
            owners=owners,
            packs=self._packs,
            reference=self._reference,
            now=self._clock.now(),
            mandate=mandate,
        )

    def check_unit(
        self, facts: RoutingFacts, *, authority: str, unit: str, ticket: str, mandate: str = ""
    ) -> None:
        """Raise `GuardViolated` when a guard forbids a unit that a person chose."""
        guard = self.find_objection(facts, authority=authority, unit=unit, mandate=mandate)
        if guard is not None:
            raise GuardViolated(guard=guard.id, unit=unit, ticket=ticket, hint=guard.explanation)

    def get_pack(self, pack: str) -> Pack:
        """Return the pack of a name; raise `ResourceNotFound` if this node has none."""
        return self._packs.get(pack)

    def list_packs(self, *, page_size: int = 0, page_token: str = "") -> PackPage:
        """Return a page of the packs that this node evaluates, in order of evaluation."""
        packs = self._packs.packs
        size = min(page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        start = 0
        if page_token:
            names = [pack.pack for pack in packs]
            last = page_token.removeprefix(_PAGE_PREFIX)
            if last == page_token or last not in names:
                raise PageTokenInvalid(field="page_token")
            start = names.index(last) + 1
        page = packs[start : start + size]
        is_last = start + size >= len(packs)
        return PackPage(page, "" if is_last else _PAGE_PREFIX + page[-1].pack)

    def _check_hosted(self, authority: str) -> None:
        if authority not in self._hosted:
            raise FieldInvalid(
                field="authority",
                got=authority,
                expected=f"an authority of this node: {', '.join(sorted(self._hosted))}",
            )
