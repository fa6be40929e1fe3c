"""What a failed call says: that the peer is away, that it is busy, or that a batch is at fault."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from gateway.delivery.ports import REJECTED
from gateway.delivery.transport import _failure
from tests.unit.delivery.builders import AT_TIANJIN

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def failed(code: grpc.StatusCode, *, details: str = "", reason: str = "") -> str:
    """Return what the pump is told the failure is about."""
    trailers = grpc.aio.Metadata()
    if reason:
        status = status_pb2.Status(code=8)
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="lubiao"))
        trailers.add("grpc-status-details-bin", status.SerializeToString())
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details=details)
    return _failure(AT_TIANJIN, error).metadata.get("about", "")


@pytest.mark.parametrize("reason", ["QUOTA_EXCEEDED", "NODE_DRAINING"])
def test_a_busy_peer_says_nothing_about_the_batch(reason: str) -> None:
    assert failed(EXHAUSTED, reason=reason) != REJECTED


def test_a_server_with_no_room_for_any_call_says_nothing_about_the_batch() -> None:
    """Else good envelopes are set aside while their peer is overloaded."""
    assert failed(EXHAUSTED, details="Concurrent RPC limit exceeded!") != REJECTED


def test_a_batch_that_is_too_large_is_rejected_as_such() -> None:
    assert (
        failed(EXHAUSTED, details="SERVER: Received message larger than max (9 vs. 4)") == REJECTED
    )
    assert failed(EXHAUSTED, reason="BATCH_TOO_LARGE") == REJECTED
    assert failed(grpc.StatusCode.INVALID_ARGUMENT) == REJECTED


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_a_peer_that_is_away_says_nothing_about_the_batch(code: grpc.StatusCode) -> None:
    assert failed(code) != REJECTED
