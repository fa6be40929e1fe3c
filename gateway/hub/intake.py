"""Taking reports: the `StatementHandler` of the kind `Report` on the hub.

The inbox has verified who signed and that it may sign reports (checks 1 to 6). Here, in order:
(7) the frame: to the nation, about no ticket, in the scope of the nation, nothing beside it and no
byte beyond the known fields; the body is a `Report` of its issuer, a province; (8) what it says:
a day that exists, a loss that the policy takes, first-level matters that the catalogue knows;
(9) the series: the next sequence number, resting on the digest of the one before, and a day that
has begun by our clock.

A report that came before its predecessor is deferred and comes again. One of a sequence or a day
that was taken with other bytes, or that rests on another predecessor, is a fork: the province
signed two histories, and both are kept. What speaks of more than this version knows is deferred and
nothing of it is kept, so no text can come to lie here that way (I7).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from gateway.aggregates.codec import BODY_CHECK, KIND, report_from_bytes
from gateway.aggregates.machine import date_of, today
from gateway.aggregates.model import DayReport
from gateway.audit.service import AuditLog
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered, Statement
from gateway.delivery.ports import StatementHandler
from gateway.hub.model import HubPolicy
from gateway.hub.store import HUB_REPORTS, NEWEST, OF_DAY, HubReportRow
from gateway.kernel.errors import (
    ChainForked,
    FieldInvalid,
    ResourceNotFound,
    StatementMalformed,
    TransitionNotAllowed,
    VersionTooNew,
)
from gateway.kernel.ids import GENESIS, NATION
from gateway.kernel.time import Instant
from gateway.reference.data import ReferenceData
from hotline.type.v1 import statement_pb2 as type_pb

CONTENT_CHECK = 8


class ReportIntake:
    """Takes the reports of provinces."""

    def __init__(
        self,
        *,
        reference: Callable[[], ReferenceData],
        policy: HubPolicy,
        audit: AuditLog,
        taken: Callable[[], None] = lambda: None,
    ) -> None:
        """Take with these; `taken` is called after the commit of each report."""
        self._reference = reference
        self._policy = policy
        self._audit = audit
        self._taken = taken

    def handlers(self) -> dict[str, StatementHandler]:
        """Return the handler by kind, for `Inbox.register`."""
        return {KIND: self.handle}

    async def handle(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        """Take one report; see `StatementHandler`."""
        statement = delivered.statement
        _check_frame(delivered)
        report = report_from_bytes(statement.body)
        self._check_content(statement, report)
        if not await _is_next(uow, delivered, report):
            return
        _check_begun(report, now)
        row = HubReportRow(
            province=report.province,
            day=report.day,
            sequence=report.sequence,
            digest=delivered.digest,
            statement=delivered.signed.statement,
            key_id=delivered.signed.key_id,
            signature=delivered.signed.signature,
            received=now,
        )
        uow.insert(HUB_REPORTS, row)
        self._audit.statement_taken(
            uow,
            issuer=statement.issuer,
            kind=KIND,
            subject=f"reports/{report.province}-{report.day}",
            statement_id=statement.statement_id,
            now=now,
        )
        uow.after_commit(self._taken)

    def _check_content(self, statement: Statement, report: DayReport) -> None:
        if report.province != statement.issuer or report.province == NATION:
            raise _malformed(f"a report of {report.province}", f"of {statement.issuer}")
        try:
            date_of(report.day)
        except FieldInvalid as error:
            raise _malformed(f"day {report.day}", "a day such as 20260302") from error
        if report.epsilon_micro > self._policy.epsilon_micro_max:
            expected = f"at most {self._policy.epsilon_micro_max} millionths"
            raise _malformed(f"ε of {report.epsilon_micro} millionths", expected)
        for cell in report.cells:
            if cell.count is not None and cell.count < report.threshold:
                raise _malformed("a count below the threshold", "a suppressed cell")
        known = {item.code for item in self._reference().matters if item.level == 1}
        if unknown := [cell.matter for cell in report.cells if cell.matter not in known]:
            raise VersionTooNew(kind=KIND, got=f"matter {unknown[0]}", expected="a known matter")


def _check_begun(report: DayReport, now: Instant) -> None:
    """Let a day wait that is still to come here: one province must not stretch everybody's map."""
    if report.day > today(now):
        raise TransitionNotAllowed(
            name=f"reports/{report.province}-{report.day}",
            state="to come",
            event=KIND,
            allowed=f"days up to {today(now)}",
        )


def _check_frame(delivered: Delivered) -> None:
    statement = delivered.statement
    frame = (statement.ticket, statement.scope, statement.chain, statement.epoch)
    if delivered.target != NATION or frame != ("", NATION, 1, GENESIS) or delivered.blocks:
        raise StatementMalformed(
            check=BODY_CHECK,
            got="a ticket, a chain or a block",
            expected="a report to the nation about no ticket, alone",
        )
    message = type_pb.Statement.FromString(delivered.signed.statement)
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) != delivered.signed.statement:
        raise VersionTooNew(kind=KIND, got="further bytes", expected="the fields of this version")


async def _is_next(uow: UnitOfWork, delivered: Delivered, report: DayReport) -> bool:
    """Tell whether a report goes on its series; False for one that was taken already (9).

    Raises:
        ChainForked: its place or its day is taken by another, or it rests on another.
        ResourceNotFound: the one before has not come yet.
    """
    known = await uow.get(HUB_REPORTS, report.province, report.sequence)
    if known is None:
        same_day = await uow.select(OF_DAY, province=report.province, day=report.day)
        known = same_day[0] if same_day else None
    if known is not None:
        if hmac.compare_digest(known.digest, delivered.digest):
            return False
        raise _forked(report)
    newest = await uow.select(NEWEST, province=report.province)
    sequence, head = (newest[0].sequence, newest[0].digest) if newest else (0, b"")
    if report.sequence != sequence + 1:
        raise ResourceNotFound(kind="report", name=f"{report.province} number {sequence + 1}")
    if not hmac.compare_digest(delivered.statement.previous_digest, head):
        raise _forked(report)
    return True


def _malformed(got: str, expected: str) -> StatementMalformed:
    return StatementMalformed(check=CONTENT_CHECK, got=got, expected=expected)


def _forked(report: DayReport) -> ChainForked:
    epoch = f"number {report.sequence}, day {report.day}"
    return ChainForked(signer=report.province, kind=KIND, epoch=epoch)
