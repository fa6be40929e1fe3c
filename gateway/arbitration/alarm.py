"""The alarm of a case whose ruling is late: it tells, and moves nothing."""

from __future__ import annotations

import structlog

from gateway.arbitration.cases import Cases
from gateway.arbitration.model import CaseKey
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.uow import UnitOfWork
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.trust.principal import Principal

log = structlog.get_logger()


class DueHandler:
    """A `TimerHandler` for `service.DUE_TIMER`; a key is `{ticket}/{scope}/{case}`."""

    def __init__(self, *, cases: Cases, audit: AuditLog) -> None:
        """Read `cases`, tell `audit` and the log."""
        self._cases = cases
        self._audit = audit

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the ticket."""
        return (f"ticket/{key.partition('/')[0]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Tell that a ruling is late, once; lists show it from then on anyway."""
        _, scope, case_id = key.split("/", 2)
        case = await self._cases.find(uow, CaseKey(AuthorityCode(scope), case_id))
        if case is None or case.due is None or case.due.instant > now:
            return  # ruled meanwhile
        log.warning("case.overdue", case=case_id, scope=scope)
        self._audit.append(
            uow,
            AuditEntry(
                time=now,
                principal=Principal.system(scope, "arbitration").name,
                role="system",
                act="case.overdue",
                subject=case.name,
                basis="deadline",
            ),
        )
