"""What the panel sees of a case in one call: all that helps it, bounded, and nothing that decides.

The ticket as far as its purpose allows: a copy of the arbiter's own gives header, state and
findings, and its text only for a stated purpose, with an audit row of its own. The nation's arbiter
has no copy, so there it is the minimised facts of the case file (I7). Then the way of the ticket,
out of signed statements and out of the assignments of the copy; routing's stored decision; whom the
parties propose, with what lies with them and what would have moved to them; and advice, each item
with its source (`advice.py`). Every look is an audit row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from gateway.arbitration.cases import Cases
from gateway.arbitration.learning.advice import Advice
from gateway.arbitration.learning.recommending import Recommendation
from gateway.arbitration.model import Case, Party, is_unit
from gateway.arbitration.precedents.casebook import Casebook
from gateway.arbitration.precedents.model import Comparable
from gateway.arbitration.sight.hops import HOPS_MAX, Hop, hops_of_statements, hops_of_ticket
from gateway.arbitration.sight.looks import Looks
from gateway.arbitration.sight.store import STATEMENTS_OF_WAY
from gateway.arbitration.sight.trying import Moves, Trying
from gateway.audit.acts import act_of, reading_of
from gateway.audit.service import AuditLog
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.model import SignedBytes
from gateway.dispatch.destinations import DECLARED_OF
from gateway.kernel.codes import CaseEntryKind, DestinationCondition
from gateway.kernel.errors import PeerNotAllowed
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Clock, Instant
from gateway.tickets.loads import UNIT_LOADS
from gateway.tickets.model import Ticket
from gateway.tickets.service import Tickets
from gateway.trust.principal import Principal

STATEMENTS_READ_MAX = 400  # of one ticket; a way of more statements is shown from its beginning
CANDIDATES_MAX = 16


@dataclass(frozen=True, slots=True)
class Load:
    """What lies with somebody: open tickets, and those of them that are overdue."""

    open: int
    overdue: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who may get the ticket, and who proposes it."""

    party: Party
    proposed_by: tuple[Party, ...]
    load: Load | None = None
    availability: str = ""
    moves: Moves | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSight:
    """All of one look; `content` are the bytes of the ticket's text, for a purpose."""

    case: Case
    comparable: tuple[Comparable, ...]
    ticket: Ticket | None
    content: bytes
    hops: tuple[Hop, ...]
    candidates: tuple[Candidate, ...]
    advice: tuple[Recommendation, ...]


class Sight:
    """Gathers what the panels of one node see."""

    def __init__(
        self,
        *,
        database: Database,
        cases: Cases,
        casebook: Casebook,
        advice: Advice,
        audit: AuditLog,
        clock: Clock,
        looks: Looks,
        tickets: Tickets | None = None,
        hosted: Callable[[], frozenset[str]] = frozenset,
        trying: Trying | None = None,
    ) -> None:
        """Make it; `tickets` None: of a node that has none. `clock` is business time."""
        self._looks = looks
        self._database = database
        self._cases = cases
        self._casebook = casebook
        self._advice = advice
        self._audit = audit
        self._clock = clock
        self._tickets = tickets
        self._hosted = hosted
        self._trying = trying

    async def look(self, principal: Principal, case_id: str, *, purpose: str) -> CaseSight:
        """Return what helps the panel with a case.

        Raises:
            ResourceNotFound: no such case is visible to the caller.
            PeerNotAllowed: the caller is of a party, and not of the arbiter.
            QuotaExceeded: the caller looked too often, or at too much at once.
        """
        with self._looks.admit(principal.name):
            return await self._look(principal, case_id, purpose=purpose)

    # --- parts --------------------------------------------------------------------------------

    async def _look(self, principal: Principal, case_id: str, *, purpose: str) -> CaseSight:
        now = self._clock.now()
        await self._advice.ready()
        async with self._database.unit() as uow:
            case = await self._cases.visible(uow, principal.authority, case_id)
            if case.key.scope != principal.authority:
                raise PeerNotAllowed(
                    principal=principal.name,
                    got=f"staff of {principal.authority}, a party",
                    expected=f"the panel of {case.key.scope}, the arbiter",
                )
            self._audit.append(uow, act_of(principal, "case.sight", case.name, now=now))
            case = await self._cases.with_reasons(uow, case)
            ticket, content = await self._ticket(uow, principal, case, purpose, now)
            situation, comparable = await self._casebook.survey(uow, case, now=now)
            facts = await self._casebook.known(uow, case)
            hops = await self._hops(uow, case, ticket)
            candidates = await self._candidates(uow, case, now)
            advice = await self._advice.recommend(uow, case, now=now)
        moves: Mapping[Party, Moves] = {}
        if self._trying is not None:
            moves = await self._trying.moves(
                situation, [item.party for item in candidates], facts=facts, now=now
            )
        return CaseSight(
            case=case,
            comparable=tuple(comparable),
            ticket=ticket,
            content=content,
            hops=hops,
            candidates=tuple(replace(item, moves=moves.get(item.party)) for item in candidates),
            advice=advice,
        )

    async def _ticket(
        self, uow: UnitOfWork, principal: Principal, case: Case, purpose: str, now: Instant
    ) -> tuple[Ticket | None, bytes]:
        if self._tickets is None:
            return None, b""
        ticket = await self._tickets.find(uow, case.key.scope, case.ticket)
        if ticket is None or not purpose:
            return ticket, b""
        entry = reading_of(principal, "case.read_ticket", ticket.name, now=now, purpose=purpose)
        self._audit.append(uow, entry)
        return ticket, (await self._tickets.texts(uow, case.key.scope, case.ticket)).content

    async def _hops(self, uow: UnitOfWork, case: Case, ticket: Ticket | None) -> tuple[Hop, ...]:
        kept = await uow.select(
            STATEMENTS_OF_WAY,
            authority=case.key.scope,
            ticket=case.ticket,
            limit=STATEMENTS_READ_MAX,
        )
        signed = [SignedBytes(row.statement, row.key_id, row.signature) for row in kept]
        found = [*hops_of_statements(signed), *(hops_of_ticket(ticket) if ticket else ())]
        return tuple(sorted(found, key=lambda hop: hop.time)[:HOPS_MAX])

    async def _candidates(self, uow: UnitOfWork, case: Case, now: Instant) -> tuple[Candidate, ...]:
        loads: dict[Party, Load] = {}
        declared: dict[str, DestinationCondition] = {}
        proposed = candidates_of(case)[:CANDIDATES_MAX]
        if self._tickets is not None:
            own = {case.key.scope, *(item.party for item in proposed)} & set(self._hosted())
            for authority in sorted(own):
                loads |= await _loads(uow, authority, now)
            for row in await uow.rows(DECLARED_OF, case.key.scope):
                if row.lease_until > now:
                    declared[row.target] = DestinationCondition(row.state)
        return tuple(
            Candidate(
                item.party,
                item.proposed_by,
                loads.get(item.party, _NOTHING if self._is_here(item.party) else None),
                _availability(declared, item.party),
            )
            for item in proposed
        )

    def _is_here(self, party: Party) -> bool:
        return self._tickets is not None and (is_unit(party) or party in self._hosted())


_NOTHING = Load(0, 0)


def candidates_of(case: Case) -> tuple[Candidate, ...]:
    """Return whom the ticket was meant for or a party proposes, and the present holder, by code."""
    found: dict[Party, list[Party]] = {party: [] for party in case.proposed_targets}
    found.setdefault(case.responsible, [])
    for entry in case.entries:
        if entry.kind is CaseEntryKind.POSITION and entry.proposed:
            found.setdefault(entry.proposed, []).append(entry.party)
    return tuple(Candidate(party, tuple(dict.fromkeys(by))) for party, by in sorted(found.items()))


async def _loads(uow: UnitOfWork, authority: str, now: Instant) -> dict[Party, Load]:
    rows = await uow.select(UNIT_LOADS, authority=AuthorityCode(authority), now=now)
    loads: dict[Party, Load] = {row.unit: Load(row.open, row.overdue) for row in rows}
    loads[authority] = Load(sum(row.open for row in rows), sum(row.overdue for row in rows))
    return loads


def _availability(declared: dict[str, DestinationCondition], party: Party) -> str:
    condition = declared.get(party) or declared.get(f"authorities/{party}")
    return condition.name.lower() if condition is not None else ""
