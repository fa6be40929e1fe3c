"""Errors become statuses and come back as themselves."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details_pb
from google.rpc import status_pb2

from gateway.kernel.errors import (
    FieldInvalid,
    InvariantViolated,
    LubiaoError,
    NodeDraining,
    QuotaExceeded,
    ResourceNotFound,
    TransitionNotAllowed,
    all_errors,
)
from gateway.server.status import DOMAIN, error_of, to_status


def detail_of(status: status_pb2.Status, kind: type[Message]) -> Message | None:
    found = kind()
    return found if any(detail.Unpack(found) for detail in status.details) else None


@pytest.mark.parametrize("kind", all_errors().values(), ids=lambda kind: str(kind.reason))
def test_every_error_comes_back_as_itself(kind: type[LubiaoError]) -> None:
    metadata: dict[str, object] = {key: f"value of {key}" for key in kind.metadata_keys()}
    error = kind(hint="do this", retry_delay=timedelta(seconds=2), **metadata)
    status = to_status(error)
    info = detail_of(status, details_pb.ErrorInfo)
    assert isinstance(info, details_pb.ErrorInfo)
    assert (info.reason, info.domain) == (kind.reason, DOMAIN)
    back = error_of(status)
    assert type(back) is kind
    assert back.text() == error.text()
    assert back.retry_delay == timedelta(seconds=2)
    text = detail_of(status, details_pb.LocalizedMessage)
    assert isinstance(text, details_pb.LocalizedMessage)
    assert text.message == error.chinese_text()


def test_the_details_that_help_are_there() -> None:
    invalid = FieldInvalid(field="a", got="b", expected="c")
    invalid.violations = (("a", "c"), ("d", "e"))
    bad = detail_of(to_status(invalid), details_pb.BadRequest)
    assert isinstance(bad, details_pb.BadRequest)
    assert [each.field for each in bad.field_violations] == ["a", "d"]
    missing = to_status(ResourceNotFound(kind="ticket", name="tickets/1"))
    assert detail_of(missing, details_pb.ResourceInfo)
    refused = to_status(TransitionNotAllowed(name="t", state="s", event="e", allowed="a"))
    assert detail_of(refused, details_pb.PreconditionFailure)
    assert detail_of(
        to_status(QuotaExceeded(quota="q", got=2, expected=1)), details_pb.QuotaFailure
    )
    assert not detail_of(to_status(NodeDraining(node="n")), details_pb.RetryInfo)


def test_a_foreign_exception_says_nothing() -> None:
    status = to_status(ValueError("13900000000"))
    assert "139" not in str(status)
    assert isinstance(error_of(status), InvariantViolated)


@pytest.mark.parametrize("length", [70, 100, 130, 500])
def test_the_largest_error_fits_the_trailers_of_any_client(length: int) -> None:
    text = "字" * length
    error = FieldInvalid(field=text, got=text, expected=text, hint=text[:10])
    if length == 500:
        error.violations = tuple((text, text) for _ in range(20))
    status = to_status(error)
    in_trailers = len(quote(status.message)) + len(status.SerializeToString()) * 4 // 3
    assert in_trailers < 7 * 1024
    assert isinstance(error_of(status), FieldInvalid)


def test_a_reason_of_a_newer_node_is_not_taken_for_another() -> None:
    status = status_pb2.Status(code=9)
    status.details.add().Pack(details_pb.ErrorInfo(reason="FROM_THE_FUTURE", domain=DOMAIN))
    assert error_of(status) is None
