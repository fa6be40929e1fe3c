"""Wiring of the room: one place for the composition root and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.arbitration.casebook import PRECEDENT_TIMER
from gateway.arbitration.cases import Cases
from gateway.arbitration.copies import Copies
from gateway.arbitration.custodians import CustodyRuler
from gateway.arbitration.exchange import Exchange
from gateway.arbitration.ports import RulingSigner
from gateway.arbitration.precedents import Within
from gateway.arbitration.proceedings import Proceedings
from gateway.arbitration.service import Arbitration
from gateway.arbitration.servicer import ArbitrationServicer, Context
from gateway.arbitration.watching import DUE_TIMER, STAGE_TIMER, DueHandler, StageHandler
from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.timers import TimerHandler
from gateway.database.uow import Database
from gateway.delivery.outbox import Outbox
from gateway.delivery.ports import StatementHandler
from gateway.kernel.codes import CaseLevel
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
    """Serve `servicer`, run `timers`, register `handlers` with the inbox.

    Tell `arbitration` what custody's arbiter learns.
    """

    arbitration: Arbitration
    servicer: ArbitrationServicer
    timers: Mapping[str, TimerHandler]
    handlers: Mapping[str, StatementHandler]


def build_arbitration(
    *,
    database: Database,
    ruler: RulingSigner,
    keys: KeyRing,
    ids: Ids,
    roster: Callable[[], Roster],
    calendar: Callable[[], Calendar],
    audit: AuditLog,
    business_clock: Clock,
    principal_of: Callable[[Context], Principal],
    is_within: Within,
    outbox: Outbox | None = None,
    machine_clock: Clock | None = None,
) -> ArbitrationRoom:
    """Return the room of a node: a province's, or the nation's arbiter node, without tickets.

    Without `outbox` nobody on another node is told, and nobody is heard.
    """
    vault = ContentVault(keys=keys, ids=ids)
    custody = CustodyRuler(signer=ruler, roster=roster)
    cases, copies = Cases(vault=vault), Copies(vault=vault)
    token_key = vault.token_key()
    once = Once(database=database, clock=business_clock, key=token_key)
    arbitration = Arbitration(
        database=database,
        cases=cases,
        copies=copies,
        rulers=dict.fromkeys((CaseLevel.AUTHORITIES, CaseLevel.PROVINCES), custody),
        calendar=calendar,
        audit=audit,
        once=once,
        tokens=Tokens(token_key),
        clock=business_clock,
        is_within=is_within,
    )
    proceedings = Proceedings(
        database=database, cases=cases, copies=copies, calendar=calendar, audit=audit, once=once
    )
    handlers: Mapping[str, StatementHandler] = {}
    if outbox is not None:
        exchange = Exchange(
            keys=keys,
            ids=ids,
            roster=roster,
            outbox=outbox,
            cases=cases,
            copies=copies,
            audit=audit,
            machine_clock=machine_clock or business_clock,
            business_clock=business_clock,
        )
        exchange.speak, proceedings.exchange = proceedings.heard, exchange
        cases.changed, handlers = exchange.tell, exchange.handlers()
    servicer = ArbitrationServicer(
        arbitration=arbitration,
        proceedings=proceedings,
        principal_of=principal_of,
        clock=business_clock,
    )
    timers: dict[str, TimerHandler] = {
        DUE_TIMER: DueHandler(cases=cases, audit=audit, rule=arbitration.rule_by_default),
        STAGE_TIMER: StageHandler(cases=cases, calendar=calendar),
        PRECEDENT_TIMER: arbitration.casebook,
    }
    return ArbitrationRoom(arbitration, servicer, timers, handlers)
