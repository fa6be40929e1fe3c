"""How often a quarrel comes again: disputes of a key after somebody ruled about it.

For each precedent of a scope: the cases that were filed since with its key, how many of them the
precedent decided by itself, and how many came after the rule that the ruling proposed was in force.
That last number must be 0: then routing decides as the ruling did, and nobody has to quarrel.
Between units the tickets of the key are counted too, out of the decisions of the ruling authority,
and give the rate; elsewhere the arbiter does not see the tickets that nobody disputed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from gateway.arbitration.learning.backing import Backing
from gateway.arbitration.learning.store import PROPOSALS, ProposalRow
from gateway.arbitration.precedents import model as precedents
from gateway.arbitration.precedents.model import Precedent
from gateway.arbitration.precedents.store import (
    KEYS_BETWEEN,
    PRECEDENTS_NEWEST,
    key_of_row,
    precedent_of,
)
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.codes import CaseLevel
from gateway.kernel.time import Instant
from gateway.publishing.store import ACTIVATIONS_OF
from gateway.rehearsal.model import Past

PRECEDENTS_MAX = 500  # of a scope; one that has more has other worries
PAGE = 500  # keys in memory at a time
TICKETS_MAX = 20_000  # decisions that are looked through for one figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """The disputes of one key since it was ruled about.

    `tickets` are those of the key that were decided since, disputed or not; None: not known here.
    `rule_since` is when the rule out of the ruling came into force; None: it is not.
    """

    precedent: Precedent
    disputes: int
    by_precedent: int
    after_rule: int
    rule_since: Instant | None
    tickets: int | None

    @property
    def rate(self) -> float | None:
        """Disputes of the key for each ticket of it; None where tickets are not known."""
        return None if not self.tickets else self.disputes / self.tickets


@dataclass(frozen=True, slots=True)
class _Watched:
    """A precedent, what was proposed out of it, and since when its rule is in force."""

    precedent: Precedent
    proposal: ProposalRow | None
    rule_since: Instant | None

    @property
    def is_between_units(self) -> bool:
        return self.proposal is not None and self.proposal.key["level"] == int(CaseLevel.UNITS)


class Repeats:
    """Counts repeat disputes; without `backing` neither rules nor tickets are known."""

    def __init__(self, *, database: Database, backing: Backing | None) -> None:
        """Read these, in units of its own."""
        self._database = database
        self._backing = backing

    async def of(self, scope: str, *, start: Instant, end: Instant) -> tuple[Repeat, ...]:
        """Return the repeat disputes of each precedent of a scope in [start, end), newest first."""
        watched = await self._watched(scope)
        disputes, decided, after = Counter[str](), Counter[str](), Counter[str]()
        place = (start, "")
        while True:
            async with self._database.unit() as uow:
                rows = await uow.select(
                    KEYS_BETWEEN,
                    scope=scope,
                    before=end,
                    after_time=place[0],
                    after_case=place[1],
                    limit=PAGE,
                )
            for row in rows:
                for each in watched:
                    if not _repeats(each.precedent, row.case_id, row.filed):
                        continue
                    if precedents.differences(key_of_row(row), each.precedent.key):
                        continue
                    name = each.precedent.name
                    disputes[name] += 1
                    decided[name] += row.precedent == each.precedent.case.case
                    after[name] += each.rule_since is not None and row.filed >= each.rule_since
            if len(rows) < PAGE:
                break
            place = (rows[-1].filed, rows[-1].case_id)
        tickets = await self._tickets(scope, watched, start=start, end=end)
        return tuple(
            Repeat(
                precedent=each.precedent,
                disputes=disputes[each.precedent.name],
                by_precedent=decided[each.precedent.name],
                after_rule=after[each.precedent.name],
                rule_since=each.rule_since,
                tickets=tickets[each.precedent.name] if each.is_between_units else None,
            )
            for each in watched
        )

    async def _watched(self, scope: str) -> list[_Watched]:
        found: list[_Watched] = []
        async with self._database.unit() as uow:
            rows = await uow.select(PRECEDENTS_NEWEST, scope=scope, limit=PRECEDENTS_MAX)
            for row in rows:
                known = precedent_of(row)
                name = f"{known.case.case}.{known.ruling}"
                proposal = await uow.get(PROPOSALS, scope, name)
                since = await self._in_force_since(uow, proposal)
                found.append(_Watched(known, proposal, since))
        return found

    async def _in_force_since(
        self, uow: UnitOfWork, proposal: ProposalRow | None
    ) -> Instant | None:
        """Return when the rule of a proposal came into force, if it is in force now."""
        if proposal is None or self._backing is None or not proposal.version:
            return None
        pack = self._backing.rules().find(proposal.pack)
        if pack is None or all(rule.id != proposal.rule for rule in pack.rules):
            return None
        versions = (proposal.version.rpartition("/")[2], pack.version)
        for version in versions:  # the draft may have been mended before it was published
            lines = await uow.rows(ACTIVATIONS_OF, proposal.pack, version)
            if lines:
                return min(line.effective for line in lines)
        return None

    async def _tickets(
        self, scope: str, watched: list[_Watched], *, start: Instant, end: Instant
    ) -> Counter[str]:
        """Count the tickets of each key that the ruling authority decided since the precedent."""
        counted, looked = Counter[str](), 0
        between = [each.precedent for each in watched if each.is_between_units]
        if self._backing is None or not between:
            return counted
        async for page in self._backing.history.between(scope, start=start, end=end):
            looked += len(page)
            if looked > TICKETS_MAX:
                break
            for past in page:
                for known in between:
                    counted[known.name] += _is_of_key(past, known)
        return counted


def _repeats(known: Precedent, case_id: str, filed: Instant) -> bool:
    return filed >= known.since and case_id != known.case.case


def _is_of_key(past: Past, known: Precedent) -> bool:
    facts = past.facts
    key = known.key
    if past.now < known.since or (facts.matter, facts.type) != (key.matter, int(key.type)):
        return False
    have = precedents.facts_of(facts)
    return key.facts == (precedents.ANY,) or all(fact in have for fact in key.facts)
