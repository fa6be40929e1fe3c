"""Wiring of the room: one place for the composition root and for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.uow import Database
from gateway.delivery.guard import Guard
from gateway.delivery.pump import Pump
from gateway.delivery.quotas import PeerQuotas
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Clock
from gateway.operation.machine import AlarmPolicy
from gateway.operation.monitor import Monitor
from gateway.operation.service import Operations, PageTokens
from gateway.operation.servicer import Context, OperationServicer
from gateway.operation.view import Observer, Seen
from gateway.trust.principal import Principal
from gateway.trust.roster import Roster


@dataclass(frozen=True, slots=True)
class OperationRoom:
    """Serve `servicer`, and run `monitor` beside the pump."""

    operations: Operations
    servicer: OperationServicer
    monitor: Monitor


def build_operation(
    *,
    node: NodeId,
    authority: str,
    database: Database,
    roster: Callable[[], Roster],
    pump: Pump,
    quotas: PeerQuotas,
    guard: Guard,
    policy: AlarmPolicy,
    audit: AuditLog,
    tokens: PageTokens,
    token_key: bytes,
    machine_clock: Clock,
    business_clock: Clock,
    principal_of: Callable[[Context], Principal],
    measured: Callable[[Seen], None] = lambda _seen: None,
) -> OperationRoom:
    """Return the room of a node that delivers anything."""
    observer = Observer(
        node=node,
        book=pump.book,
        quotas=quotas,
        roster=roster,
        clock=machine_clock,
        policy=policy,
    )
    operations = Operations(
        database=database,
        observer=observer,
        guard=guard,
        audit=audit,
        once=Once(database=database, clock=business_clock, key=token_key),
        tokens=tokens,
        clock=machine_clock,
        authority=authority,
        retry=pump.retry,
    )
    monitor = Monitor(
        database=database,
        observer=observer,
        guard=guard,
        clock=machine_clock,
        policy=policy,
        reason_of=pump.reason_of,
        measured=measured,
    )
    servicer = OperationServicer(operations=operations, principal_of=principal_of)
    return OperationRoom(operations, servicer, monitor)
