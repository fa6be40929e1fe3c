"""The room on a database of its own, with a ruler that only numbers what it is told to sign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.arbitration.assembly import ArbitrationRoom, build_arbitration
from gateway.arbitration.model import Filing
from gateway.arbitration.ports import RulingSigner
from gateway.arbitration.servicer import Context
from gateway.arbitration.sight.assembly import Sources
from gateway.audit.service import AuditLog
from gateway.audit.store import ENTRIES_AFTER, AuditRow
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.ids import AuthorityCode, NodeId, SystemIds
from gateway.kernel.time import ManualClock
from gateway.reference.calendar import Calendar
from gateway.trust.key_ring import KeyRing
from gateway.trust.principal import Principal, PrincipalKind, Role
from gateway.trust.roster import AuthorityEntry, NodeEntry, NodeRole, Roster
from tests.unit.arbitration.builders import HEBEI, NOW

NODE = NodeId("hebei")
JOINED = ("130000", "130100", "130600", "131000", "120000")
IDS = SystemIds()
PANEL = Principal(HEBEI, PrincipalKind.STAFF, "panel1", frozenset({Role.PANEL_MEMBER}))


@dataclass(slots=True)
class NumberingRuler(RulingSigner):
    """Gives each chain its next number and remembers what it was told."""

    told: list[dict[str, Any]] = field(default_factory=list)
    numbers: Counter[tuple[str, str, int]] = field(default_factory=Counter)

    async def rule(self, uow: UnitOfWork, **given: Any) -> int:
        """Number a ruling."""
        self.told.append(given)
        place = (given["scope"], given["ticket"], given["number"])
        self.numbers[place] += 1
        return self.numbers[place]


@dataclass(slots=True)
class Desk:
    """The room, its ruler and its clock; `caller` is who calls the servicer."""

    database: Database
    room: ArbitrationRoom
    ruler: NumberingRuler
    clock: ManualClock
    caller: Principal = PANEL

    async def file(self, filing: Filing) -> None:
        """Tell the room of a filing, as custody does."""
        async with self.database.unit() as uow:
            await uow.lock(f"ticket/{filing.ticket}")
            await self.room.arbitration.filed(uow, filing, now=self.clock.now())

    async def take(self, filing: Filing, number: int) -> None:
        """Tell the room that a ruling was taken, as custody does."""
        async with self.database.unit() as uow:
            await uow.lock(f"ticket/{filing.ticket}")
            await self.room.arbitration.taken(
                uow,
                scope=filing.key.scope,
                ticket=filing.ticket,
                chain=filing.chain,
                number=number,
                now=self.clock.now(),
            )

    async def audited(self) -> list[AuditRow]:
        """Return what is in the audit log."""
        async with self.database.unit() as uow:
            return await uow.select(ENTRIES_AFTER, txid=-1, position=-1, limit=1000)


def a_desk(
    database: Database,
    *,
    principal_of: Callable[[Context], Principal] | None = None,
    sources: Sources | None = None,
) -> Desk:
    """Return the room of Hebei's node; its callers are `desk.caller` unless a server tells."""
    clock, ruler, keys = ManualClock(NOW), NumberingRuler(), KeyRing.in_memory([HEBEI])
    roster = Roster.of(
        tuple(
            AuthorityEntry(code=AuthorityCode(code), name="测试机构", hosted_on=NODE)
            for code in JOINED
        ),
        (NodeEntry(id=NODE, endpoint="hebei.invalid:7443", roles=frozenset({NodeRole.CUSTODIAN})),),
        version=1,
        issued=NOW,
    )
    desk: Desk
    room = build_arbitration(
        database=database,
        ruler=ruler,
        keys=keys,
        ids=IDS,
        roster=lambda: roster,
        calendar=Calendar,
        is_within=lambda region, code: region.startswith(code.rstrip("0")),
        audit=AuditLog(),
        business_clock=clock,
        principal_of=principal_of or (lambda context: desk.caller),
        sources=sources,
    )
    desk = Desk(database, room, ruler, clock)
    return desk
