"""The precedents of an arbiter: set with a ruling, applied to new cases, ended by people.

A new case with the key of an active precedent is decided a moment after its filing, by a timer of
its own, so that custody's step of the filing ends first. The ruling says which precedent it rests
on, and binds and can be objected to like any other. The key that each case had then is kept, so
that it can be counted how often a quarrel comes again (`repeats.py`).

Keys rest on what is proven (`known`): where the arbiter has a copy of the ticket, on that copy;
else on the header that the filer signed, and then the ticket's facts count as unknown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from gateway.arbitration.cases import Cases
from gateway.arbitration.model import OPEN, Case, CaseRuling, Order, Party
from gateway.arbitration.panel import check_panel
from gateway.arbitration.precedents import model as precedents
from gateway.arbitration.precedents.model import (
    CANNOT_REPEAT,
    VALIDITY,
    Comparable,
    Places,
    Precedent,
    PrecedentKey,
    PrecedentState,
    Within,
)
from gateway.arbitration.precedents.store import (
    CASE_KEYS,
    PRECEDENTS,
    PRECEDENTS_NEWEST,
    PRECEDENTS_OF_MATTER,
    key_row,
    precedent_of,
    precedent_row,
)
from gateway.arbitration.watching import CANNOT_RULE, Clocked
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.timers import schedule
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.codes import RulingKind, TicketType, Urgency
from gateway.kernel.errors import FieldInvalid, ResourceNotFound, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.routing.model import RoutingFacts
from gateway.trust.call import Call
from gateway.trust.principal import Principal

PRECEDENT_TIMER = "arbitration.precedent"
NEAR_MAX = 10  # shown beside a case
Know = Callable[[UnitOfWork, Case], Awaitable[RoutingFacts | None]]
"""Gives the facts of a case's ticket out of the arbiter's own copy, or None without one."""
log = structlog.get_logger()


async def nothing_known(_uow: UnitOfWork, _case: Case) -> RoutingFacts | None:
    """Have no copy of any ticket, as the nation."""
    return None


class Decide(Protocol):
    """Gives a ruling that rests on a precedent."""

    async def __call__(self, uow: UnitOfWork, case: Case, order: Order, *, now: Instant) -> None:
        """Rule; raise one of `CANNOT_RULE` when it cannot be."""
        ...


class Custodian(Protocol):
    """Tells who holds the ticket of a case."""

    async def __call__(self, uow: UnitOfWork, case: Case) -> Party:
        """Return who does, as the arbiter knows."""
        ...


@dataclass(frozen=True, slots=True)
class Situation:
    """A case as the arbiter knows it for certain: its facts, who holds the ticket, its key."""

    case: Case
    custodian: Party
    key: PrecedentKey


class Casebook(Clocked):
    """The precedents of the arbiters of one node; a `TimerHandler` for `PRECEDENT_TIMER`.

    `places` and `known` are what the node knows of units and tickets. `made` is told of every new
    precedent and `over` of every one that ended, inside the same unit.
    """

    def __init__(
        self,
        *,
        database: Database,
        cases: Cases,
        audit: AuditLog,
        once: Once,
        is_within: Within,
        custodian: Custodian,
        decide: Decide,
    ) -> None:
        """Act with these."""
        super().__init__(cases=cases)
        self._database = database
        self._audit = audit
        self._once = once
        self._custodian = custodian
        self._decide = decide
        self.places = Places(is_within)
        self.known: Know = nothing_known
        self.made: Callable[[UnitOfWork, Case, CaseRuling, Precedent], None] = _nobody_is_told
        self.over: Callable[[UnitOfWork, Precedent, Instant], Awaitable[None]] = _nothing_follows

    # --- set ----------------------------------------------------------------------------------

    async def set(
        self,
        uow: UnitOfWork,
        case: Case,
        ruling: CaseRuling,
        *,
        now: Instant,
        named: tuple[str, ...] = (),
    ) -> None:
        """Let a ruling hold for all cases with the key of this one; an older one ends.

        `named` are the facts that count; without names all of them do.

        Raises:
            FieldInvalid: the target or a part has the ticket in no role that fits another case,
                or nobody knows what the case is about, so that it would fit all such, or the order
                is about this one ticket.
        """
        await self.drop(uow, case, now=now)  # which locks: of two for one key the newer stays
        custodian = ruling.target if ruling.kind is RulingKind.UPHOLD else case.responsible
        found = await self._situation(uow, case, custodian=custodian)
        if not found.case.facts.matter:
            raise _no_precedent("a case of no known matter", "one with a matter")
        if ruling.kind is RulingKind.INTERIM or ruling.form in CANNOT_REPEAT:
            raise _no_precedent(
                f"{ruling.kind.name} {ruling.form.name}", "a ruling that other tickets can have too"
            )
        seat = precedents.seat_of_ruling(
            found.case, ruling, custodian=custodian, places=self.places
        )
        parts = precedents.seats_of_parts(
            found.case, ruling.parts, custodian=custodian, places=self.places
        )
        if seat is None or parts is None:
            raise _no_precedent(
                f"{ruling.target}, or a part, of no role that another case has too",
                "who has the place, holds it, had it first, was proposed, or is of a kind",
            )
        key = replace(found.key, facts=precedents.named_facts(found.key.facts, named))
        for known in await self._of_matter(uow, key):
            if known.key == key and known.state is PrecedentState.ACTIVE:
                await self._end(uow, known, PrecedentState.SUPERSEDED, by=case.name, now=now)
        made = Precedent(
            case=case.key,
            ruling=ruling.number,
            key=key,
            seat=seat,
            legal_basis=ruling.legal_basis,
            state=PrecedentState.ACTIVE,
            since=now,
            expires=now + VALIDITY,
            form=ruling.form,
            parts=parts,
        )
        uow.put(PRECEDENTS, precedent_row(made))
        self.made(uow, found.case, ruling, made)

    async def drop(self, uow: UnitOfWork, case: Case, *, now: Instant) -> None:
        """End the precedent that an earlier ruling of a case set: it was ruled again."""
        await uow.lock(_lock(case.key.scope))
        row = await uow.get(PRECEDENTS, case.key.scope, case.key.case)
        if row is not None and row.state == PrecedentState.ACTIVE.value:
            known = precedent_of(row)
            await self._end(uow, known, PrecedentState.SUPERSEDED, by=case.name, now=now)

    # --- applied ------------------------------------------------------------------------------

    async def compare(self, uow: UnitOfWork, case: Case, *, now: Instant) -> list[Comparable]:
        """Return the active precedents of a case's matter, the most alike first."""
        return (await self.survey(uow, case, now=now))[1]

    async def survey(
        self, uow: UnitOfWork, case: Case, *, now: Instant
    ) -> tuple[Situation, list[Comparable]]:
        """Return a case as it is known for certain, and the precedents beside it."""
        found = await self._situation(uow, case)
        return found, await self._compared(uow, found, now=now)

    def consider(self, uow: UnitOfWork, case: Case, *, now: Instant) -> None:
        """Look for a precedent in a moment, when the filing is through."""
        schedule(uow, kind=PRECEDENT_TIMER, key=self.key_of(case), due=now)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Keep the key of a new case, and decide it as the precedent with that key says."""
        case = await self.case_at(uow, key)
        if case is None:
            return
        found = await self._situation(uow, case)
        row = key_row(case.key.case, found.key, filed=case.filed)
        applied = None
        if case.state in OPEN and not case.rulings:
            applied = await self._apply(uow, case, found, now=now)
        uow.put(CASE_KEYS, replace(row, precedent=applied.case.case) if applied else row)

    async def _apply(
        self, uow: UnitOfWork, case: Case, found: Situation, *, now: Instant
    ) -> Precedent | None:
        """Decide a case by precedent; return which one did."""
        await uow.lock(_lock(case.key.scope))  # or what is counted brings back what ended
        same = next(
            (item for item in await self._compared(uow, found, now=now) if not item.differs), None
        )
        if same is None:
            return None
        precedent = same.precedent
        order = precedents.order_by(
            found.case, precedent, custodian=found.custodian, places=self.places
        )
        if order is None:
            return None
        try:
            async with uow.attempt():  # what was done before it could not be is undone
                await self._decide(uow, case, order, now=now)
        except CANNOT_RULE as error:
            log.warning("precedent.not_applied", case=case.key.case, reason=error.reason)
            return None
        uow.put(PRECEDENTS, precedent_row(replace(precedent, applied=precedent.applied + 1)))
        return precedent

    # --- people -------------------------------------------------------------------------------

    async def listed(self, scope: str, *, limit: int) -> list[Precedent]:
        """Return the precedents of a scope, newest first."""
        async with self._database.unit() as uow:
            rows = await uow.select(PRECEDENTS_NEWEST, scope=scope, limit=limit)
        return [precedent_of(row) for row in rows]

    async def revoke(
        self, call: Call, case_id: str, *, reason: str, answer: Callable[[Precedent], bytes]
    ) -> bytes:
        """End a precedent.

        Raises:
            RoleMissing: the caller is no panel member of the arbiter's own staff.
            ResourceNotFound: there is none in its scope.
            TransitionNotAllowed: it has ended.
        """
        check_panel(call.principal, call.method)

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            row = await uow.get(PRECEDENTS, call.principal.authority, case_id)
            if row is None:
                raise ResourceNotFound(kind="precedent", name=f"precedents/{case_id}")
            known = precedent_of(row)
            if known.state is not PrecedentState.ACTIVE:
                raise TransitionNotAllowed(
                    name=known.name, state=known.state.value, event="revoke", allowed="none"
                )
            by = call.principal.name
            ended = await self._end(uow, known, PrecedentState.REVOKED, by=by, now=now)
            self._audit.append(
                uow,
                AuditEntry(
                    time=now,
                    principal=by,
                    role=call.principal.acting_role,
                    act="precedent.revoke",
                    subject=known.name,
                    basis=reason,
                ),
            )
            return answer(ended)

        return await self._once.run(call, step, locks=(_lock(call.principal.authority),))

    # --- parts --------------------------------------------------------------------------------

    async def _situation(
        self, uow: UnitOfWork, case: Case, *, custodian: Party | None = None
    ) -> Situation:
        """Return a case with the facts of the arbiter's own copy of the ticket, if it has one."""
        custodian = custodian or await self._custodian(uow, case)
        known = await self.known(uow, case)
        facts: tuple[str, ...] = ()
        if known is not None:
            proven = replace(
                case.facts,
                matter=known.matter,
                region=known.region,
                type=TicketType(known.type),
                urgency=Urgency(known.urgency),
            )
            case, facts = replace(case, facts=proven), precedents.facts_of(known)
        key = precedents.key_of(case, custodian=custodian, places=self.places, facts=facts)
        return Situation(case, custodian, key)

    async def _compared(
        self, uow: UnitOfWork, found: Situation, *, now: Instant
    ) -> list[Comparable]:
        known = await self._of_matter(uow, found.key)
        return precedents.ranked(found.case.key, found.key, known, now=now)[:NEAR_MAX]

    async def _of_matter(self, uow: UnitOfWork, key: PrecedentKey) -> list[Precedent]:
        rows = await uow.rows(PRECEDENTS_OF_MATTER, key.scope, key.matter)
        return [precedent_of(row) for row in rows]

    async def _end(
        self, uow: UnitOfWork, known: Precedent, state: PrecedentState, *, by: str, now: Instant
    ) -> Precedent:
        ended = replace(known, state=state, ended=now, ended_by=by)
        uow.put(PRECEDENTS, precedent_row(ended))
        await self.over(uow, ended, now)
        return ended


def _lock(scope: str) -> str:
    return f"precedents/{scope}"


def by_precedent(scope: str) -> Principal:
    """Return who signs for a ruling that rests on a precedent."""
    return Principal.system(AuthorityCode(scope), "precedent")


def _no_precedent(got: str, expected: str) -> FieldInvalid:
    return FieldInvalid(field="sets_precedent", got=got, expected=expected)


def _nobody_is_told(_uow: UnitOfWork, _case: Case, _ruling: CaseRuling, _made: Precedent) -> None:
    """Propose no rule."""


async def _nothing_follows(_uow: UnitOfWork, _ended: Precedent, _now: Instant) -> None:
    """Have no proposal that rests on it."""
