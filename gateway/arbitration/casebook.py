"""The precedents of an arbiter: set with a ruling, applied to new cases, ended by people.

A new case with the key of an active precedent is decided a moment after its filing, by a timer of
its own, so that custody's step of the filing ends first. The ruling says which precedent it rests
on, and binds and can be objected to like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway.arbitration import precedents
from gateway.arbitration.cases import Cases
from gateway.arbitration.model import OPEN, Case, CaseKey, CaseRuling, Order, Party
from gateway.arbitration.panel import check_panel
from gateway.arbitration.precedents import (
    VALIDITY,
    Precedent,
    PrecedentKey,
    PrecedentState,
    Relation,
    Role,
    Within,
)
from gateway.arbitration.watching import CANNOT_RULE, Clocked
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.table import Group, Query, RowsOf, Table, load_queries
from gateway.database.timers import schedule
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.codes import RulingKind, TicketType
from gateway.kernel.errors import FieldInvalid, ResourceNotFound, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.trust.call import Call
from gateway.trust.principal import Principal

PRECEDENT_TIMER = "arbitration.precedent"
NEAR_MAX = 10  # shown beside a case
_SQL = load_queries(Path(__file__).with_name("queries.sql"))
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PrecedentRow:
    """A `Precedent`, flat."""

    scope: str
    case_id: str
    ruling: int
    matter: str
    type: int
    relation: str
    levels: str
    role: str
    legal_basis: str
    state: str
    since: Instant
    expires: Instant
    applied: int
    ended: Instant | None
    ended_by: str


PRECEDENTS = Table("precedents", PrecedentRow, key=("scope", "case_id"))
PRECEDENTS_OF_MATTER = Group(PRECEDENTS, ("scope", "matter"))


def _newest(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[PrecedentRow]:
    found = [row for row in rows(PRECEDENTS) if row.scope == given["scope"]]
    found.sort(key=lambda row: (row.since, row.case_id), reverse=True)
    return found[: given["limit"]]


PRECEDENTS_NEWEST = Query("precedents_newest", PrecedentRow, _SQL["precedents_newest"], _newest)


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
class Comparable:
    """A precedent beside a case, and what the two differ in; nothing: it is the same quarrel."""

    precedent: Precedent
    differs: tuple[str, ...]


class Casebook(Clocked):
    """The precedents of the arbiters of one node; a `TimerHandler` for `PRECEDENT_TIMER`."""

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
        self._is_within = is_within
        self._custodian = custodian
        self._decide = decide

    # --- set ----------------------------------------------------------------------------------

    async def set(self, uow: UnitOfWork, case: Case, ruling: CaseRuling, *, now: Instant) -> None:
        """Let a ruling hold for all cases with the key of this one; an older one ends.

        Raises:
            FieldInvalid: the target has the ticket in no role that fits another case, or nobody
                knows what the case is about, so that it would fit all such.
        """
        await uow.lock(_lock(case.key.scope))  # of two for one key the newer stays
        if not case.facts.matter:
            raise FieldInvalid(
                field="sets_precedent",
                got="a case of no known matter",
                expected="one with a matter",
            )
        custodian = ruling.target if ruling.kind is RulingKind.UPHOLD else case.responsible
        key = precedents.key_of(case, custodian=custodian, is_within=self._is_within)
        role = precedents.role_of(
            case, ruling.target, custodian=custodian, is_within=self._is_within
        )
        if role is None:
            raise FieldInvalid(
                field="sets_precedent",
                got=f"{ruling.target}, of no role that another case has too",
                expected="who has the place, holds it, had it first or was proposed",
            )
        for known in await self._of_matter(uow, key):
            if known.key == key and known.state is PrecedentState.ACTIVE:
                self._put(uow, _ended(known, PrecedentState.SUPERSEDED, case.name, now))
        made = Precedent(
            case=case.key,
            ruling=ruling.number,
            key=key,
            role=role,
            legal_basis=ruling.legal_basis,
            state=PrecedentState.ACTIVE,
            since=now,
            expires=now + VALIDITY,
        )
        self._put(uow, made)

    async def drop(self, uow: UnitOfWork, case: Case, *, now: Instant) -> None:
        """End the precedent that an earlier ruling of a case set: it was ruled again."""
        await uow.lock(_lock(case.key.scope))
        row = await uow.get(PRECEDENTS, case.key.scope, case.key.case)
        if row is not None and row.state == PrecedentState.ACTIVE.value:
            known = _precedent_of(row)
            self._put(uow, _ended(known, PrecedentState.SUPERSEDED, case.name, now))

    # --- applied ------------------------------------------------------------------------------

    async def compare(self, uow: UnitOfWork, case: Case, *, now: Instant) -> list[Comparable]:
        """Return the active precedents of a case's matter, the most alike first."""
        custodian = await self._custodian(uow, case)
        key = precedents.key_of(case, custodian=custodian, is_within=self._is_within)
        found = [
            Comparable(known, precedents.differences(key, known.key))
            for known in await self._of_matter(uow, key)
            if known.decides(now) and known.case != case.key
        ]
        found.sort(key=lambda item: (len(item.differs), item.precedent.case.case))
        return found[:NEAR_MAX]

    def consider(self, uow: UnitOfWork, case: Case, *, now: Instant) -> None:
        """Look for a precedent in a moment, when the filing is through."""
        schedule(uow, kind=PRECEDENT_TIMER, key=self.key_of(case), due=now)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Decide a new case as the precedent with its very key says, if there is one."""
        case = await self.case_at(uow, key)
        if case is None or case.state not in OPEN or case.rulings:
            return
        await uow.lock(_lock(case.key.scope))  # or what is counted brings back what ended meanwhile
        same = next(
            (item for item in await self.compare(uow, case, now=now) if not item.differs), None
        )
        if same is None:
            return
        custodian = await self._custodian(uow, case)
        target = precedents.target_of(
            case, same.precedent.role, custodian=custodian, is_within=self._is_within
        )
        if target is None:
            return
        order = Order(
            kind=RulingKind.UPHOLD if target == custodian else RulingKind.REASSIGN,
            target=target,
            legal_basis=f"先例 {same.precedent.case.case}：{same.precedent.legal_basis}"[:400],
            reasons=f"与先例 {same.precedent.case.case} 的事项、类型、属地关系和当事层级相同",
        )
        try:
            await self._decide(uow, case, order, now=now)
        except CANNOT_RULE as error:
            log.warning("precedent.not_applied", case=case.key.case, reason=error.reason)
            return
        self._put(uow, replace(same.precedent, applied=same.precedent.applied + 1))

    # --- people -------------------------------------------------------------------------------

    async def listed(self, scope: str, *, limit: int) -> list[Precedent]:
        """Return the precedents of a scope, newest first."""
        async with self._database.unit() as uow:
            rows = await uow.select(PRECEDENTS_NEWEST, scope=scope, limit=limit)
        return [_precedent_of(row) for row in rows]

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
            known = _precedent_of(row)
            if known.state is not PrecedentState.ACTIVE:
                raise TransitionNotAllowed(
                    name=f"precedents/{case_id}",
                    state=known.state.value,
                    event="revoke",
                    allowed="none",
                )
            ended = _ended(known, PrecedentState.REVOKED, call.principal.name, now)
            self._put(uow, ended)
            self._audit.append(
                uow,
                AuditEntry(
                    time=now,
                    principal=call.principal.name,
                    role=call.principal.acting_role,
                    act="precedent.revoke",
                    subject=f"precedents/{case_id}",
                    basis=reason,
                ),
            )
            return answer(ended)

        return await self._once.run(call, step, locks=(_lock(call.principal.authority),))

    # --- parts --------------------------------------------------------------------------------

    async def _of_matter(self, uow: UnitOfWork, key: PrecedentKey) -> list[Precedent]:
        rows = await uow.rows(PRECEDENTS_OF_MATTER, key.scope, key.matter)
        return [_precedent_of(row) for row in rows]

    def _put(self, uow: UnitOfWork, made: Precedent) -> None:
        uow.put(PRECEDENTS, _row_of(made))


def _lock(scope: str) -> str:
    return f"precedents/{scope}"


def by_precedent(scope: str) -> Principal:
    """Return who signs for a ruling that rests on a precedent."""
    return Principal.system(AuthorityCode(scope), "precedent")


def _ended(known: Precedent, state: PrecedentState, by: str, now: Instant) -> Precedent:
    return replace(known, state=state, ended=now, ended_by=by)


def _precedent_of(row: PrecedentRow) -> Precedent:
    key = PrecedentKey(
        scope=row.scope,
        matter=row.matter,
        type=TicketType(row.type),
        relation=Relation(row.relation),
        levels=row.levels,
    )
    return Precedent(
        case=CaseKey(AuthorityCode(row.scope), row.case_id),
        ruling=row.ruling,
        key=key,
        role=Role(row.role),
        legal_basis=row.legal_basis,
        state=PrecedentState(row.state),
        since=row.since,
        expires=row.expires,
        applied=row.applied,
        ended=row.ended,
        ended_by=row.ended_by,
    )


def _row_of(made: Precedent) -> PrecedentRow:
    return PrecedentRow(
        scope=made.key.scope,
        case_id=made.case.case,
        ruling=made.ruling,
        matter=made.key.matter,
        type=int(made.key.type),
        relation=made.key.relation.value,
        levels=made.key.levels,
        role=made.role.value,
        legal_basis=made.legal_basis,
        state=made.state.value,
        since=made.since,
        expires=made.expires,
        applied=made.applied,
        ended=made.ended,
        ended_by=made.ended_by,
    )
