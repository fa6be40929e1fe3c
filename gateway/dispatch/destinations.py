"""How destinations stand (承办状态), declared for a while and counted, for diversions of rules.

A unit or authority says that it is overloaded or closed until a lease ends; then it is normal again
by itself. The load of the authority's own units is counted every few seconds, and only while a rule
in force looks at it. Decisions read a snapshot in memory; what they used of it stands in their
trace. Another process of the node sees a declaration within `REFRESH`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta

import structlog

from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.table import Group, Table
from gateway.database.uow import Database, UnitOfWork
from gateway.dispatch.router import Router
from gateway.kernel.codes import DestinationCondition
from gateway.kernel.errors import FieldInvalid, LubiaoError
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import dataclass
from gateway.routing.model import DestinationState, Stage, States
from gateway.tickets.loads import UNIT_LOADS
from gateway.trust.call import Call

REFRESH = timedelta(seconds=5)
LEASE_DEFAULT = timedelta(hours=12)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredRow:
    """What was declared about a destination last."""

    authority: str
    target: str
    state: int
    lease_until: Instant
    normal_next_hop: str
    reason: str
    declared_by: str
    declare_time: Instant


DECLARED = Table("destination_states", DeclaredRow, key=("authority", "target"))
DECLARED_OF = Group(DECLARED, ("authority",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a caller declares."""

    authority: str
    target: str
    state: DestinationCondition
    lease: timedelta | None
    normal_next_hop: str
    reason: str


class Destinations:
    """The board of one node: takes declarations, counts loads, shows snapshots."""

    def __init__(
        self,
        *,
        database: Database,
        router: Router,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        """Wire it; `clock` is the business clock, as leases are deadlines."""
        self._database = database
        self._router = router
        self._audit = audit
        self._clock = clock
        self._states: Mapping[str, States] = {}
        self._looked: tuple[int, bool] = (0, False)

    def states(self, authority: str) -> States:
        """Return the snapshot that decisions of an authority look at now."""
        return self._states.get(authority, {})

    async def declare(self, uow: UnitOfWork, call: Call, said: Declaration) -> DeclaredRow:
        """Take a declaration into the caller's unit of work.

        Raises:
            FieldInvalid: another authority's board, no such destination, or itself as the next.
        """
        if call.principal.authority != said.authority:
            raise FieldInvalid(
                field="authority", got=said.authority, expected=str(call.principal.authority)
            )
        self._check(said)
        now = self._clock.now()
        row = DeclaredRow(
            authority=said.authority,
            target=said.target,
            state=int(said.state),
            lease_until=now + (said.lease or LEASE_DEFAULT),
            normal_next_hop=said.normal_next_hop,
            reason=said.reason,
            declared_by=call.principal.name,
            declare_time=now,
        )
        uow.put(DECLARED, row)
        self._audit.append(
            uow,
            AuditEntry(
                time=now,
                principal=call.principal.name,
                role=call.principal.acting_role,
                act="destination.declared",
                subject=said.target,
                basis=said.state.name,
            ),
        )
        return row

    async def declared(self, authority: str) -> list[tuple[DeclaredRow, DestinationState]]:
        """Return what is declared for an authority, by target, with the state as rules see it."""
        async with self._database.unit() as uow:
            rows = await uow.rows(DECLARED_OF, authority)
        known = self.states(authority)
        return [
            (row, known.get(row.target) or state_of(row))
            for row in sorted(rows, key=lambda row: row.target)
        ]

    async def refresh(self) -> None:
        """Read declarations and loads anew."""
        found: dict[str, dict[str, DestinationState]] = defaultdict(dict)
        now = self._clock.now()
        async with self._database.unit() as uow:
            for authority in sorted(self._router.hosted):
                if self._has_diversions():
                    for load in await uow.select(UNIT_LOADS, authority=authority, now=now):
                        found[authority][load.unit] = DestinationState(
                            target=load.unit,
                            open_load=load.open,
                            overdue_share=load.overdue / load.open,
                        )
                for row in await uow.rows(DECLARED_OF, authority):
                    counted = found[authority].get(row.target)
                    found[authority][row.target] = state_of(row, counted)
        self._states = found

    async def run(self, stopping: asyncio.Event) -> None:
        """Refresh every few seconds until `stopping` is set; a failure is tried again."""
        while not stopping.is_set():
            try:
                await self.refresh()
            except LubiaoError as error:
                log.warning("destinations.not_refreshed", reason=error.reason)
            try:
                async with asyncio.timeout(REFRESH.total_seconds()):
                    await stopping.wait()
            except TimeoutError:
                continue

    def _has_diversions(self) -> bool:
        """Tell whether a rule in force looks at states; asked anew for each set of packs."""
        packs = self._router.rules.at(self._clock.now())
        if self._looked[0] != id(packs):
            rules = (rule for pack in packs.packs for rule in pack.rules)
            self._looked = (id(packs), any(rule.stage is Stage.DIVERT for rule in rules))
        return self._looked[1]

    def _check(self, said: Declaration) -> None:
        if said.target == said.normal_next_hop:
            raise FieldInvalid(
                field="normal_next_hop", got=said.target, expected="another destination"
            )
        for field, target in (("target", said.target), ("normal_next_hop", said.normal_next_hop)):
            if target and not self._is_known(target, said.authority):
                raise FieldInvalid(
                    field=field,
                    got=target,
                    expected=f"a unit of {said.authority} or an authority of the federation",
                )

    def _is_known(self, target: str, authority: str) -> bool:
        kind, _, name = target.partition("/")
        if kind == "authorities":
            return self._router.has_joined(name)
        unit = self._router.reference.units.find(name)
        return kind == "units" and unit is not None and unit.authority == authority


def state_of(row: DeclaredRow, counted: DestinationState | None = None) -> DestinationState:
    """Return a declaration as rules see it, with the load that was counted."""
    return DestinationState(
        target=row.target,
        state=DestinationCondition(row.state),
        open_load=counted.open_load if counted else 0,
        overdue_share=counted.overdue_share if counted else 0.0,
        lease_until=row.lease_until,
        normal_next_hop=row.normal_next_hop,
    )
