"""Asking the sources of a recommendation: precedents, the responsibility list, both sides' rules.

What a ticket is like comes from the arbiter's own copy where it has one, else from the header that
the filer signed. Rules of parties on this node are those in force; of parties elsewhere only their
signed summaries are known, and where there is none that is said.
"""

from __future__ import annotations

from gateway.arbitration.learning.backing import Backing
from gateway.arbitration.learning.recommending import (
    Recommendation,
    Source,
    by_list,
    by_rules,
    compared,
    rules_unknown,
)
from gateway.arbitration.model import Case, is_unit
from gateway.arbitration.precedents.casebook import Casebook, Situation
from gateway.arbitration.precedents.model import Comparable, target_of
from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import CaseLevel
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant, day_of
from gateway.routing.evaluate import decide
from gateway.routing.model import RoutingFacts
from gateway.routing.packs import PackSet

PARTIES_MAX = 8  # whose rules are asked; a path is rarely longer than three


class Advice:
    """What a panel is told; without `backing` (the nation) precedents alone."""

    def __init__(self, *, casebook: Casebook, backing: Backing | None) -> None:
        """Ask these."""
        self._casebook = casebook
        self._books = _Books(backing) if backing is not None else None

    async def ready(self) -> None:
        """Learn which rules are in force here and at peers; call it outside of a unit of work.

        Raises:
            RulesUnknown: this process does not come to know it soon.
        """
        if self._books is not None:
            await self._books.ready()

    async def recommend(
        self, uow: UnitOfWork, case: Case, *, now: Instant
    ) -> tuple[Recommendation, ...]:
        """Return what each source says of a case, and where they disagree; it decides nothing.

        Raises:
            RulesUnknown: this process does not know its rules now: await `ready` before.
        """
        found, precedents = await self._casebook.survey(uow, case, now=now)
        items = [self._by_precedent(found, item) for item in precedents]
        if self._books is not None and case.level is not CaseLevel.PROVINCES:
            facts = await self._casebook.known(uow, case) or _facts_of_header(found.case)
            items += self._books.say(found.case, facts, now=now)
        return compared(items)

    def _by_precedent(self, found: Situation, item: Comparable) -> Recommendation:
        precedent = item.precedent
        party = target_of(
            found.case, precedent.seat, custodian=found.custodian, places=self._casebook.places
        )
        return Recommendation(
            source=Source.NEAR if item.differs else Source.PRECEDENT,
            reference=precedent.name,
            party=party or "",
            owner=precedent.key.scope,
            says=f"{precedent.seat.word}：{precedent.legal_basis}",
            differs=item.differs,
        )


class _Books:
    """The responsibility list, and the rules of both sides."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._peers: tuple[tuple[str, ...], PackSet] = ((), PackSet(()))

    async def ready(self) -> None:
        """Learn the rules in force; those of peers are compiled once a change."""
        await self._backing.rules.ready()
        nation = [pack for pack in self._backing.rules().packs if pack.owner == NATION]
        packs = [*nation, *await self._backing.peers()]
        names = tuple(sorted(pack.label for pack in packs))
        if self._peers[0] != names:
            self._peers = (names, PackSet(packs))

    def say(self, case: Case, facts: RoutingFacts, *, now: Instant) -> list[Recommendation]:
        """Return what the list says, and the rules of each party as if it decided now."""
        if case.level is CaseLevel.UNITS:
            scope = case.key.scope
            decided = self._decided(scope, facts, now, peers=None, between_units=True)
            return [self._listed(case, facts, now), decided]
        parties = [AuthorityCode(party) for party in case.parties if not is_unit(party)]
        items = [self._listed(case, facts, now)]
        for party in parties[:PARTIES_MAX]:
            _, peers = self._peers
            if party in self._backing.hosted():
                items.append(self._decided(party, facts, now, peers=None, between_units=False))
            elif any(pack.owner == party for pack in peers.packs):
                items.append(self._decided(party, facts, now, peers=peers, between_units=False))
            else:
                items.append(rules_unknown(party))
        return items

    def _listed(self, case: Case, facts: RoutingFacts, now: Instant) -> Recommendation:
        between_units = case.level is CaseLevel.UNITS
        answer = self._backing.reference().responsibility.responsible_unit(
            facts.matter,
            region=facts.region,
            on=day_of(now),
            authorities={case.key.scope} if between_units else set(case.parties),
        )
        return by_list(answer, owner=case.key.scope, between_units=between_units)

    def _decided(
        self,
        authority: AuthorityCode,
        facts: RoutingFacts,
        now: Instant,
        *,
        peers: PackSet | None,
        between_units: bool,
    ) -> Recommendation:
        is_peer = peers is not None
        decision = decide(
            facts,
            authority=authority,
            hosted=frozenset({str(authority)}) if is_peer else self._backing.hosted(),
            joined=self._backing.joined(),
            packs=peers if peers is not None else self._backing.rules.at(now),
            reference=self._backing.reference(),
            now=now,
            states={},
        )
        return by_rules(decision, owner=authority, between_units=between_units, is_peer=is_peer)


def _facts_of_header(case: Case) -> RoutingFacts:
    """Return what the filer signed of a ticket that the arbiter has no copy of."""
    facts = case.facts
    return RoutingFacts(
        region=facts.region,
        matter=facts.matter,
        type=int(facts.type),
        urgency=int(facts.urgency),
    )
