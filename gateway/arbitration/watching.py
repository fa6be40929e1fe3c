"""The clocks of a case: when its stage ends, when a ruling is due, and what happens then.

A stage that is over ends by itself. A ruling that is late raises the alarm, and then the ruling by
default is made (首接负责): no case waits for ever. Custody still moves by the signed ruling only.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from gateway.arbitration import procedure
from gateway.arbitration.cases import Cases
from gateway.arbitration.deadlines import ruling_due, stage_due
from gateway.arbitration.model import OPEN, Case, CaseKey, RulingDue
from gateway.arbitration.procedure import StageDue
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.timers import cancel, schedule
from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import CaseState
from gateway.kernel.errors import (
    DestinationNotJoined,
    FieldInvalid,
    GuardViolated,
    NotCustodian,
    QuotaExceeded,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.reference.calendar import Calendar
from gateway.trust.principal import Principal

DUE_TIMER = "arbitration.due"
STAGE_TIMER = "arbitration.stage"
AGAIN_TIMER = "arbitration.again"
AGAIN = timedelta(minutes=30)  # an offer that stood in the way has come back, or is answered
CANNOT_RULE = (
    DestinationNotJoined,
    FieldInvalid,
    GuardViolated,
    NotCustodian,
    QuotaExceeded,
    ResourceNotFound,
    TransitionNotAllowed,
)
"""Why a ruling by default cannot be given now; it is tried again, and the alarm has told so."""
log = structlog.get_logger()


class RuleByDefault(Protocol):
    """Gives the ruling that holds when nobody ruled in time."""

    async def __call__(self, uow: UnitOfWork, case: Case, *, now: Instant) -> None:
        """Rule; raise one of `CANNOT_RULE` when it cannot be."""
        ...


def stages_of(case: Case, *, entered: Instant, calendar: Calendar) -> StageDue:
    """Return until when a stage of a case lasts that begins at `entered`.

    A node may have been away for days; no stage before the ruling lasts beyond the ruling's time.
    """

    def until(state: CaseState) -> RulingDue | None:
        due = stage_due(state, case.facts, entered=entered, calendar=calendar)
        if due is None or state not in OPEN:
            return due
        last = ruling_due(filed=case.filed, calendar=calendar)
        return min(due, last, key=lambda each: each.instant)

    return until


def watch(uow: UnitOfWork, case: Case) -> None:
    """Set the clocks of a case to what it waits for, or take them away."""
    key = Clocked.key_of(case)
    for kind, due in ((DUE_TIMER, case.due), (STAGE_TIMER, case.stage_due)):
        if due is None:
            cancel(uow, kind=kind, key=key)
        else:
            schedule(uow, kind=kind, key=key, due=due.instant)
    cancel(uow, kind=AGAIN_TIMER, key=key)


class Clocked:
    """A `TimerHandler` whose keys are `{ticket}/{scope}/{case}`."""

    def __init__(self, *, cases: Cases) -> None:
        """Read `cases`."""
        self._cases = cases

    @staticmethod
    def key_of(case: Case) -> str:
        """Return the key of a case's timers."""
        return f"{case.ticket}/{case.key.scope}/{case.key.case}"

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the ticket."""
        return (f"ticket/{key.partition('/')[0]}",)

    async def case_at(self, uow: UnitOfWork, key: str) -> Case | None:
        """Return the case of a timer's key, or None."""
        _, scope, case_id = key.split("/", 2)
        return await self._cases.find(uow, CaseKey(AuthorityCode(scope), case_id))


class StageHandler(Clocked):
    """Ends a stage whose time is over."""

    def __init__(self, *, cases: Cases, calendar: Callable[[], Calendar]) -> None:
        """Read and write `cases`."""
        super().__init__(cases=cases)
        self._calendar = calendar

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Let the next stage begin; one that moved on meanwhile stays.

        Each begins when the one before ended: a clock that rings late lengthens nothing. So several
        may be over at once, and they end here, before the clock of the ruling rings.
        """
        case = await self.case_at(uow, key)
        if case is None:
            return
        changed = case
        while (end := changed.stage_due) is not None and end.instant <= now:
            stages = stages_of(changed, entered=end.instant, calendar=self._calendar())
            lapsed = procedure.lapse(changed, stage_due=stages, now=now)
            if lapsed is changed:
                break
            changed = lapsed
        if changed is not case:
            await self._cases.save(uow, changed)
            watch(uow, changed)
            log.info("case.stage", case=case.key.case, state=changed.state.name)


class DueHandler(Clocked):
    """Tells that a ruling is late, and then rules by default.

    What cannot be ruled now is tried again and again: while a province has an offer out it may not
    rule inside, and nobody asks for the case a second time.
    """

    def __init__(self, *, cases: Cases, audit: AuditLog, rule: RuleByDefault) -> None:
        """Read `cases`, tell `audit` and the log, and let `rule` rule."""
        super().__init__(cases=cases)
        self._audit = audit
        self._rule = rule

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Tell it once and rule; until that can be the case shows as overdue.

        Once for each time that a case is given: whatever else happens to the case meanwhile sets
        its clock again, to a time that is over and was told.
        """
        case = await self.case_at(uow, key)
        if case is None or case.due is None or case.due.instant > now:
            return  # ruled meanwhile
        if await self._cases.tell_once(uow, case.key, case.due.instant):
            self._tell(uow, case, now)
        try:
            async with uow.attempt():  # what was done before it could not be is undone
                await self._rule(uow, case, now=now)
        except CANNOT_RULE as error:
            log.warning("case.no_default", case=case.key.case, reason=error.reason)
            schedule(uow, kind=AGAIN_TIMER, key=key, due=now + AGAIN)

    def _tell(self, uow: UnitOfWork, case: Case, now: Instant) -> None:
        log.warning("case.overdue", case=case.key.case, scope=case.key.scope)
        self._audit.append(
            uow,
            AuditEntry(
                time=now,
                principal=Principal.system(case.key.scope, "arbitration").name,
                role="system",
                act="case.overdue",
                subject=case.name,
                basis="deadline",
            ),
        )
