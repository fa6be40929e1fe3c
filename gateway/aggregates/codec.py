"""Protobuf ↔ values of reports: the body of the statement `Report` and the resource of staff."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from gateway.aggregates.model import CONTRIBUTION_MAX, Cell, DayReport, Pushed
from gateway.delivery.codec import instant_to_pb, statement_from_bytes
from gateway.kernel.errors import FieldInvalid, StatementMalformed, VersionTooNew
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.validation import validate
from hotline.aggregate.v1alpha1 import aggregate_pb2 as pb
from hotline.aggregate.v1alpha1 import aggregate_service_pb2 as service_pb

KIND = "Report"
BODY_CHECK = 7  # the inbox makes the checks 1 to 6


def report_to_pb(report: DayReport) -> pb.Report:
    """Return the message of a report."""
    return pb.Report(
        province=report.province,
        day=report.day,
        sequence=report.sequence,
        epsilon_micro=report.epsilon_micro,
        unit=pb.PRIVACY_UNIT_TICKET,
        contribution_max=CONTRIBUTION_MAX,
        threshold=report.threshold,
        cells=[
            pb.Cell(matter=cell.matter, suppressed=True)
            if cell.count is None
            else pb.Cell(matter=cell.matter, count=cell.count)
            for cell in report.cells
        ],
    )


def report_to_bytes(report: DayReport) -> bytes:
    """Serialise a report once, before it is signed; it keeps the limits of its schema."""
    message = report_to_pb(report)
    validate(message)
    return message.SerializeToString(deterministic=True)


def report_from_bytes(body: bytes) -> DayReport:
    """Return the report of a statement's body.

    A body with a byte beyond the fields that this version knows, each once and in order, is not
    taken: what cannot be read could be anything, and the hub may keep numbers only (I7).

    Raises:
        StatementMalformed: it does not parse or breaks its limits.
        VersionTooNew: it has more than this version knows.
    """
    message = pb.Report()
    try:
        message.ParseFromString(body)
        validate(message)
    except DecodeError as error:
        raise StatementMalformed(check=BODY_CHECK, got="bytes", expected="a Report") from error
    except FieldInvalid as error:
        raise StatementMalformed(
            check=BODY_CHECK,
            got=f"{error.metadata['field']}: {error.metadata['got']}",
            expected=error.metadata["expected"],
        ) from error
    if _known_only(message) != body:
        raise VersionTooNew(kind=KIND, got="further bytes", expected="the fields of v1alpha1")
    return report_from_pb(message)


def report_from_pb(message: pb.Report) -> DayReport:
    """Return the value of a valid message."""
    return DayReport(
        province=AuthorityCode(message.province),
        day=message.day,
        sequence=message.sequence,
        epsilon_micro=message.epsilon_micro,
        threshold=message.threshold,
        cells=tuple(
            Cell(cell.matter, None if cell.suppressed else cell.count) for cell in message.cells
        ),
    )


def report_of_statement(statement: bytes) -> DayReport:
    """Return the report of a statement that was verified before."""
    return report_from_bytes(statement_from_bytes(statement).body)


def pushed_to_pb(pushed: Pushed) -> service_pb.PushedReport:
    """Return the resource of a report that left."""
    return service_pb.PushedReport(
        name=f"reports/{pushed.report.province}-{pushed.report.day}",
        report=report_to_pb(pushed.report),
        statement_digest=pushed.digest.hex(),
        push_time=instant_to_pb(pushed.created),
        posted=pushed.posted,
    )


def _known_only(message: pb.Report) -> bytes:
    copy = pb.Report()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return copy.SerializeToString(deterministic=True)
