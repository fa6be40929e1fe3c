"""Refused acts in the audit log: who wanted what of what, and why not (I11).

An act that is carried out leaves its row in its own transaction; a refused one rolled back, so its
row is written apart, after the refusal. Readings and what nodes deliver are not acts here: the
first leave rows of their own, the second evidence. A caller that is refused again and again fills
no disk: beyond a bound a minute only the log line of the RPC remains.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta

from gateway.audit.model import NAME_LENGTH_MAX, AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.uow import Database
from gateway.kernel.errors import GrpcCode, LubiaoError
from gateway.kernel.time import Clock, Instant
from gateway.trust.principal import Principal

ROWS_PER_MINUTE_MAX = 300
RECORDED = frozenset(
    {
        GrpcCode.INVALID_ARGUMENT,
        GrpcCode.NOT_FOUND,
        GrpcCode.PERMISSION_DENIED,
        GrpcCode.FAILED_PRECONDITION,
        GrpcCode.RESOURCE_EXHAUSTED,
        GrpcCode.UNAUTHENTICATED,  # what the caller handed in was not signed by whom it should be
    }
)
_READING = re.compile(r"(Get|List|Watch|Explain|Preview|Query|Download|Deliver|Fetch|Server)")
_SUBJECT = re.compile(rf"[A-Za-z0-9_./-]{{1,{NAME_LENGTH_MAX}}}")
_MINUTE = timedelta(minutes=1)


class RefusalLog:
    """Writes the rows of one node."""

    def __init__(self, *, database: Database, audit: AuditLog, clock: Clock) -> None:
        """Write with these; `clock` is business time."""
        self._database = database
        self._audit = audit
        self._clock = clock
        self._since: Instant | None = None
        self._rows = 0

    async def record(
        self, principal: Principal, method: str, *, subject: str, error: LubiaoError
    ) -> None:
        """Write the row of a refused act; a database that is away loses it, the log line stays."""
        verb = method.rpartition("/")[2]
        if error.code not in RECORDED or _READING.match(verb) or not self._has_room():
            return
        entry = AuditEntry(
            time=self._clock.now(),
            principal=principal.name,
            role=principal.acting_role,
            act=f"rpc.{verb}",
            subject=subject if _SUBJECT.fullmatch(subject) else "unnamed",
            basis=method,
            outcome=error.reason,
        )
        with suppress(LubiaoError):
            async with self._database.unit() as uow:
                self._audit.append(uow, entry)

    def _has_room(self) -> bool:
        now = self._clock.now()
        if self._since is None or now - self._since >= _MINUTE:
            self._since, self._rows = now, 0
        self._rows += 1
        return self._rows <= ROWS_PER_MINUTE_MAX
