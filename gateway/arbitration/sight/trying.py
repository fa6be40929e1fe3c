"""What the rule simulator says each proposal would move: bounded, for the panel's view.

For each candidate the rule that a ruling for it would become is put where it would stand
(`placing.py`), and decisions of the last month about the case's matter are made again, with guards
and all. Where no rule can say it (a role that differs from case to case, two provinces) there is no
number.
The whole replay with all findings comes with the proposal after a ruling (`proposals.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

from gateway.arbitration.learning.backing import Backing
from gateway.arbitration.learning.placing import Place, facts_of_key, place_for
from gateway.arbitration.learning.proposing import Obstacle, Ruled, propose
from gateway.arbitration.model import Party
from gateway.arbitration.precedents import model as precedents
from gateway.arbitration.precedents.casebook import Situation
from gateway.arbitration.precedents.model import Places, Precedent, PrecedentState
from gateway.kernel.codes import CaseLevel
from gateway.kernel.errors import FieldInvalid, RulePackInvalid
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant, day_of
from gateway.rehearsal.model import Past
from gateway.rehearsal.service import Trial
from gateway.routing.model import RoutingFacts

PAST = timedelta(days=30)
READ_MAX = 4_000  # decisions that are looked through for the matter; some 200 ms
TRIED_MAX = 300  # decided twice for each candidate
CANDIDATES_TRIED_MAX = 4  # each rule is compiled; a panel rarely has more to choose between


@dataclass(frozen=True, slots=True)
class Moves:
    """How many past decisions were made again, and how many of them would go elsewhere."""

    examined: int
    moved: int
    is_cut: bool


class Trying:
    """Tries what candidates would get, on the node's own history."""

    def __init__(self, *, backing: Backing, places: Places) -> None:
        """Use the rules, units and history of `backing`."""
        self._backing = backing
        self._places = places

    async def moves(
        self,
        found: Situation,
        candidates: Sequence[Party],
        *,
        facts: RoutingFacts | None = None,
        now: Instant,
    ) -> dict[Party, Moves]:
        """Return what would move to each candidate, as far as a rule can say that it has it.

        `facts` are those of the arbiter's own copy; None without one.
        """
        case = found.case
        if case.level is CaseLevel.PROVINCES or not case.facts.matter:
            return {}
        facts = facts or facts_of_key(found.key, region=case.facts.region)
        place = place_for(self._backing, case.key.scope, facts, now=now)
        sources = {
            party: source
            for party in candidates[:CANDIDATES_TRIED_MAX]
            if (source := self._source(found, party, place, now)) is not None
        }
        if not sources:
            return {}
        past, is_cut = await self._past(case.key.scope, case.facts.matter, now)
        tried: dict[Party, Moves] = {}
        for party, source in sources.items():
            trial = Trial(authority=case.key.scope, sources=(source,))
            try:
                moved = await self._backing.rehearsal.try_on(trial, past)
            except (FieldInvalid, RulePackInvalid):
                continue  # the authority's rules do not load with it
            tried[party] = Moves(len(past), moved, is_cut)
        return tried

    def _source(self, found: Situation, party: Party, place: Place, now: Instant) -> bytes | None:
        case = found.case
        seat = precedents.seat_of(case, party, custodian=found.custodian, places=self._places)
        if seat is None:
            return None
        # The rule of a trial must have an id that no rule of the pack has.
        number = int.from_bytes(hashlib.sha256(party.encode()).digest()[:3], "big") + 1
        precedent = Precedent(
            case=case.key,
            ruling=number,
            key=found.key,
            seat=seat,
            legal_basis="试算",
            state=PrecedentState.ACTIVE,
            since=now,
            expires=now + PAST,
        )
        ruled = Ruled(
            precedent=precedent,
            level=case.level,
            region=case.facts.region,
            target=party,
            today=day_of(now),
            has_finer=self._backing.has_finer(case.facts.matter),
        )
        made = propose(ruled, pack=place.pack, source=place.source, before=place.before)
        return None if isinstance(made, Obstacle) else made.source

    async def _past(self, authority: str, matter: str, now: Instant) -> tuple[list[Past], bool]:
        """Return decisions about a matter, oldest first, and whether more exist."""
        found: list[Past] = []
        read = 0
        history = self._backing.history
        async with aclosing(
            history.between(AuthorityCode(authority), start=now - PAST, end=now)
        ) as pages:
            async for page in pages:
                read += len(page)
                found += [past for past in page if past.facts.matter == matter]
                if read >= READ_MAX or len(found) > TRIED_MAX:
                    return found[:TRIED_MAX], True
        return found[:TRIED_MAX], len(found) > TRIED_MAX
