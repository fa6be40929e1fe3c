"""Wiring of the room: one place for the composition root and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.arbitration.alarm import DueHandler
from gateway.arbitration.cases import Cases
from gateway.arbitration.ports import Ruler
from gateway.arbitration.service import DUE_TIMER, Arbitration
from gateway.arbitration.servicer import ArbitrationServicer, Context
from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.timers import TimerHandler
from gateway.database.uow import Database
from gateway.kernel.ids import Ids
from gateway.kernel.time import Clock
from gateway.privacy.vault import ContentVault
from gateway.reference.calendar import Calendar
from gateway.tickets.tokens import Tokens
from gateway.trust.key_ring import KeyRing
from gateway.trust.principal import Principal
from gateway.trust.roster import Roster


@dataclass(frozen=True, slots=True)
class ArbitrationRoom:
    """Serve `servicer`, run `timers`, and tell `arbitration` what custody's arbiter learns."""

    arbitration: Arbitration
    servicer: ArbitrationServicer
    timers: Mapping[str, TimerHandler]


def build_arbitration(
    *,
    database: Database,
    ruler: Ruler,
    keys: KeyRing,
    ids: Ids,
    roster: Callable[[], Roster],
    calendar: Callable[[], Calendar],
    audit: AuditLog,
    business_clock: Clock,
    principal_of: Callable[[Context], Principal],
) -> ArbitrationRoom:
    """Return the room of a node: a province's, or the nation's arbiter node, without tickets."""
    vault = ContentVault(keys=keys, ids=ids)
    cases = Cases(vault=vault)
    token_key = vault.token_key()
    arbitration = Arbitration(
        database=database,
        cases=cases,
        ruler=ruler,
        roster=roster,
        calendar=calendar,
        audit=audit,
        once=Once(database=database, clock=business_clock, key=token_key),
        tokens=Tokens(token_key),
        clock=business_clock,
    )
    servicer = ArbitrationServicer(
        arbitration=arbitration, principal_of=principal_of, clock=business_clock
    )
    return ArbitrationRoom(arbitration, servicer, {DUE_TIMER: DueHandler(cases=cases, audit=audit)})
