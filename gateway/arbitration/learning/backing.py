"""What an arbiter that holds tickets itself knows beyond its cases: tickets, rules, history.

The nation's arbiter node has none of it: there a case rests on what its filer signed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.arbitration.model import UNIT_PREFIX, Case, Party
from gateway.database.uow import UnitOfWork
from gateway.dispatch.codec import facts_of
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.publishing.drafts import Drafts
from gateway.publishing.force import RulesInForce
from gateway.publishing.ports import Check
from gateway.reference.data import ReferenceData
from gateway.reference.units import parse_unit_ref
from gateway.rehearsal.history import History
from gateway.rehearsal.service import Rehearsal
from gateway.routing.model import Pack, RoutingFacts
from gateway.tickets.service import Tickets


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """The rooms below that precedents, proposals and advice lean on.

    `peers` gives the packs of peers as far as their signed summaries say them.
    """

    tickets: Tickets
    reference: Callable[[], ReferenceData]
    hosted: Callable[[], frozenset[str]]
    joined: Callable[[], frozenset[str]]
    rules: RulesInForce
    peers: Callable[[], Awaitable[Sequence[Pack]]]
    drafts: Drafts
    check: Check
    rehearsal: Rehearsal
    history: History

    async def known(self, uow: UnitOfWork, case: Case) -> RoutingFacts | None:
        """Return the facts of the arbiter's own copy of a ticket, or None without one.

        Another authority's copy does not count, also when it lies on this node: what a ruling rests
        on must not depend on where a city is hosted.
        """
        return await self.facts_of(uow, AuthorityCode(case.key.scope), case.ticket)

    async def facts_of(
        self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber
    ) -> RoutingFacts | None:
        """Return the facts of an authority's own copy of a ticket, or None without one."""
        ticket = await self.tickets.find(uow, authority, number)
        if ticket is None:
            return None
        texts = await self.tickets.texts(uow, authority, number)
        return facts_of(ticket, texts.content)

    def unit_of(self, authority: str, kind: str, region: str) -> Party | None:
        """Return the unit of a kind that a region belongs to: in the place, else above it."""
        reference, ref = self.reference(), parse_unit_ref(kind)
        if ref is None or region not in reference.regions:
            return None
        for code in reference.regions.path(region):
            for unit in reference.units.of_kind(region=code, kind=ref.kind):
                if unit.authority == authority and ref.number in {None, unit.number}:
                    return f"{UNIT_PREFIX}{unit.unit_id}"
        return None

    def has_finer(self, matter: str) -> bool:
        """Tell whether the catalogue has matters below one."""
        return any(each.parent == matter for each in self.reference().matters)
