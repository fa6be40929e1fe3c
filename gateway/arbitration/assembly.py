"""Wiring of the room: one place for the composition root and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.arbitration.cases import Cases
from gateway.arbitration.copies import Copies
from gateway.arbitration.custodians import CustodyRuler
from gateway.arbitration.exchange import Exchange
from gateway.arbitration.filing_units import UnitRequests
from gateway.arbitration.learning.assembly import Learning, build_learning
from gateway.arbitration.learning.backing import Backing
from gateway.arbitration.parties import Parties
from gateway.arbitration.ports import Ruler, RulingSigner
from gateway.arbitration.precedents.casebook import PRECEDENT_TIMER
from gateway.arbitration.precedents.model import Within
from gateway.arbitration.proceedings import Proceedings
from gateway.arbitration.service import Arbitration
from gateway.arbitration.servicer import ArbitrationServicer, Context
from gateway.arbitration.sight.assembly import Basis, Sources, build_views
from gateway.arbitration.sight.retention import CHANGES_TIMER, Forgetting
from gateway.arbitration.unit_level import UnitLevel
from gateway.arbitration.watching import (
    AGAIN_TIMER,
    DUE_TIMER,
    STAGE_TIMER,
    DueHandler,
    StageHandler,
)
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
    learning: Learning


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
    incarnation: int = 1,
    unit_level: UnitLevel | None = None,
    backing: Backing | None = None,
    sources: Sources | None = None,
) -> ArbitrationRoom:
    """Return the room of a node: a province's, or the nation's arbiter node, without tickets.

    Without `outbox` nobody on another node is told, and nobody is heard; without `unit_level` there
    are no units, as at the nation's arbiter node.
    """
    vault = ContentVault(keys=keys, ids=ids)
    tools = _Tools(
        database=database,
        keys=keys,
        ids=ids,
        roster=roster,
        calendar=calendar,
        audit=audit,
        clock=business_clock,
        machine_clock=machine_clock or business_clock,
        cases=Cases(vault=vault, incarnation=incarnation),
        copies=Copies(vault=vault),
        once=Once(database=database, clock=business_clock, key=vault.token_key()),
        tokens=Tokens(vault.token_key()),
        parties=Parties(unit_level.units if unit_level is not None else None),
    )
    arbitration = _arbitration(tools, _rulers(tools, ruler, unit_level), is_within)
    proceedings = _proceedings(tools)
    exchange = _exchange(tools, outbox, proceedings) if outbox is not None else None
    learning = build_learning(
        arbitration.casebook,
        backing=backing,
        database=database,
        once=tools.once,
        audit=audit,
        tokens=tools.tokens,
        clock=business_clock,
    )
    views, kept = build_views(
        tools.basis(arbitration), learning=learning, backing=backing, sources=sources
    )
    if exchange is not None:
        exchange.kept = kept
    servicer = ArbitrationServicer(
        arbitration=arbitration,
        views=views,
        proposals=learning.proposals,
        proceedings=proceedings,
        requests=_requests(tools, arbitration, unit_level),
        principal_of=principal_of,
        clock=business_clock,
    )
    handlers = exchange.handlers() if exchange is not None else {}
    return ArbitrationRoom(arbitration, servicer, _timers(tools, arbitration), handlers, learning)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tools:
    """What every part of the room works with."""

    database: Database
    keys: KeyRing
    ids: Ids
    roster: Callable[[], Roster]
    calendar: Callable[[], Calendar]
    audit: AuditLog
    clock: Clock
    machine_clock: Clock
    cases: Cases
    copies: Copies
    once: Once
    tokens: Tokens
    parties: Parties

    def basis(self, arbitration: Arbitration) -> Basis:
        """Return what the views of cases are made from."""
        return Basis(
            database=self.database,
            cases=self.cases,
            copies=self.copies,
            casebook=arbitration.casebook,
            keys=self.keys,
            ids=self.ids,
            calendar=self.calendar,
            audit=self.audit,
            tokens=self.tokens,
            clock=self.clock,
            machine_clock=self.machine_clock,
        )


def _rulers(
    tools: _Tools, signer: RulingSigner, unit_level: UnitLevel | None
) -> Mapping[CaseLevel, Ruler]:
    custody = CustodyRuler(signer=signer, roster=tools.roster)
    rulers: dict[CaseLevel, Ruler] = dict.fromkeys(
        (CaseLevel.AUTHORITIES, CaseLevel.PROVINCES), custody
    )
    if unit_level is not None:
        rulers[CaseLevel.UNITS] = unit_level.ruler(tools.cases)
    return rulers


def _arbitration(
    tools: _Tools, rulers: Mapping[CaseLevel, Ruler], is_within: Within
) -> Arbitration:
    return Arbitration(
        database=tools.database,
        cases=tools.cases,
        copies=tools.copies,
        rulers=rulers,
        calendar=tools.calendar,
        audit=tools.audit,
        once=tools.once,
        tokens=tools.tokens,
        clock=tools.clock,
        is_within=is_within,
        parties=tools.parties,
    )


def _proceedings(tools: _Tools) -> Proceedings:
    return Proceedings(
        database=tools.database,
        cases=tools.cases,
        copies=tools.copies,
        calendar=tools.calendar,
        audit=tools.audit,
        once=tools.once,
        parties=tools.parties,
    )


def _exchange(tools: _Tools, outbox: Outbox, proceedings: Proceedings) -> Exchange:
    """Let parties on other nodes be told and heard."""
    exchange = Exchange(
        keys=tools.keys,
        ids=tools.ids,
        roster=tools.roster,
        outbox=outbox,
        cases=tools.cases,
        copies=tools.copies,
        audit=tools.audit,
        machine_clock=tools.machine_clock,
        business_clock=tools.clock,
    )
    exchange.speak, proceedings.exchange = proceedings.heard, exchange
    tools.cases.changed = exchange.tell
    return exchange


def _requests(
    tools: _Tools, arbitration: Arbitration, unit_level: UnitLevel | None
) -> UnitRequests | None:
    """Let dispatch file disputes of units, and people ask for their ruling."""
    if unit_level is None:
        return None
    return unit_level.join(
        arbitration=arbitration,
        cases=tools.cases,
        parties=tools.parties,
        calendar=tools.calendar,
        audit=tools.audit,
        once=tools.once,
    )


def _timers(tools: _Tools, arbitration: Arbitration) -> dict[str, TimerHandler]:
    cases, audit, rule = tools.cases, tools.audit, arbitration.rule_by_default
    return {
        DUE_TIMER: DueHandler(cases=cases, audit=audit, rule=rule),
        AGAIN_TIMER: DueHandler(cases=cases, audit=audit, rule=rule),
        STAGE_TIMER: StageHandler(cases=cases, calendar=tools.calendar),
        PRECEDENT_TIMER: arbitration.casebook,
        CHANGES_TIMER: Forgetting(),
    }
