"""The one place where errors become `google.rpc.Status`, and come back.

Every failure carries `ErrorInfo{reason, domain "lubiao", metadata}` and the Chinese text, and what
else helps: RetryInfo, BadRequest, ResourceInfo, PreconditionFailure, QuotaFailure. An exception
that is no `LubiaoError` is a defect: the caller learns its request id and nothing else, because
its text may quote what somebody wrote into a ticket.

A status travels in trailers, of which many clients accept 8 KiB in all: a large one is cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from gateway.kernel.errors import (
    BatchTooLarge,
    BudgetExceeded,
    CasePending,
    DestinationNotJoined,
    FieldInvalid,
    GrpcCode,
    InvariantViolated,
    LubiaoError,
    NotCustodian,
    QuotaExceeded,
    ResourceExists,
    ResourceNotFound,
    TransitionNotAllowed,
    all_errors,
)

DOMAIN = "lubiao"
LOCALE = "zh-CN"
DETAILS_KEY = "grpc-status-details-bin"
HINT_KEY = "hint"  # in the metadata beside what the texts name
STATUS_BYTES_MAX = 4096  # 5.5 KiB in base64; with the message it stays below 8 KiB of trailers
MESSAGE_BYTES_MAX = 1536  # percent-encoded on the wire: nine bytes for a Chinese character
HINT_LENGTH_MAX = 400
CUT_LENGTH = 40  # of each metadata value when a status is too large
INTERNAL_TEXT = "the request could not be served because of a defect"

_QUOTAS = (QuotaExceeded, BatchTooLarge, BudgetExceeded)
_PRECONDITIONS: Mapping[type[LubiaoError], str] = {
    TransitionNotAllowed: "name",
    NotCustodian: "ticket",
    CasePending: "ticket",
    DestinationNotJoined: "authority",
}


def to_status(error: BaseException) -> status_pb2.Status:
    """Return the status of an error; total, and silent about what is no `LubiaoError`."""
    if not isinstance(error, LubiaoError):
        error = InvariantViolated(invariant=INTERNAL_TEXT, got="an unexpected error")
    status = _status(error, dict(error.metadata))
    if status.ByteSize() > STATUS_BYTES_MAX:
        cut = {key: value[:CUT_LENGTH] for key, value in error.metadata.items()}
        shorter = type(error)(retry_delay=error.retry_delay, **cut)
        status = _status(shorter, cut)
    return status


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: BaseException) -> NoReturn:
    """End the RPC with the status of `error`."""
    status = to_status(error)
    trailers = ((DETAILS_KEY, status.SerializeToString()), *(context.trailing_metadata() or ()))
    await context.abort(_GRPC_CODES[status.code], status.message, trailers)
    raise AssertionError("abort always raises")  # for the type checker


def from_status(failure: grpc.aio.AioRpcError) -> LubiaoError | None:
    """Return the typed error that a Lubiao server sent, or None if it sent none."""
    for key, value in failure.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return error_of(status_pb2.Status.FromString(value))
            except DecodeError:
                return None
    return None


def error_of(status: status_pb2.Status) -> LubiaoError | None:
    """Return the typed error in a status, e.g. of one item of a batch; None if it has none."""
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.BadRequest()
    for detail in status.details:
        # Unpack compares the type first and says whether it fits.
        _ = detail.Unpack(info) or detail.Unpack(retry) or detail.Unpack(request)
    kind = all_errors().get(info.reason) if info.domain == DOMAIN else None
    if kind is None:
        return None
    delay = retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None
    metadata: dict[str, object] = {
        key: value
        for key, value in info.metadata.items()
        if key not in {HINT_KEY, "retry_delay", "self"}
    }
    error = kind(hint=info.metadata.get(HINT_KEY, ""), retry_delay=delay, **metadata)
    if isinstance(error, FieldInvalid):
        error.violations = tuple(
            (each.field, each.description) for each in request.field_violations
        )
    return error


def code_name(code: int) -> str:
    """Return the name of a gRPC code, for metrics and logs."""
    found = _GRPC_CODES.get(code)
    return found.name if found is not None else grpc.StatusCode.UNKNOWN.name


_GRPC_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def _status(error: LubiaoError, metadata: dict[str, str]) -> status_pb2.Status:
    if error.hint:
        metadata = metadata | {HINT_KEY: error.hint[:HINT_LENGTH_MAX]}
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata),
        error_details_pb2.LocalizedMessage(locale=LOCALE, message=error.chinese_text()),
        *_extra_details(error),
    ]
    status = status_pb2.Status(code=error.code.value, message=_fitting(error.text()))
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _extra_details(error: LubiaoError) -> list[Message]:
    """Return the details beside ErrorInfo that this error calls for."""
    details: list[Message] = []
    data = error.metadata
    if error.retry_delay is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=_duration(error.retry_delay)))
    if isinstance(error, FieldInvalid):
        details.append(_bad_request(error))
    if isinstance(error, ResourceNotFound | ResourceExists):
        details.append(
            error_details_pb2.ResourceInfo(
                resource_type=data["kind"], resource_name=data["name"], description=error.text()
            )
        )
    if isinstance(error, _QUOTAS):
        violation = error_details_pb2.QuotaFailure.Violation(
            subject=data.get("quota", "request"), description=error.text()
        )
        details.append(error_details_pb2.QuotaFailure(violations=[violation]))
    if error.code is GrpcCode.FAILED_PRECONDITION:
        subject = data.get(_PRECONDITIONS.get(type(error), ""), "")
        broken = error_details_pb2.PreconditionFailure.Violation(
            type=error.reason, subject=subject, description=error.text()
        )
        details.append(error_details_pb2.PreconditionFailure(violations=[broken]))
    return details


def _bad_request(error: FieldInvalid) -> error_details_pb2.BadRequest:
    pairs = error.violations or ((error.metadata["field"], error.metadata["expected"]),)
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=field, description=expected)
            for field, expected in pairs
        ]
    )


def _fitting(text: str) -> str:
    """Return as much of `text` as fits the trailer with the message."""
    left = MESSAGE_BYTES_MAX
    for index, character in enumerate(text):
        left -= 1 if character.isascii() else 3 * len(character.encode())
        if left < 0:
            return text[:index]
    return text


def _duration(delay: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(delay)
    return duration
