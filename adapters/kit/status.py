"""What a gRPC failure means to an adapter: the typed error that the node sent, or the nearest one.

A node sends `google.rpc.Status` with `ErrorInfo{reason, domain: "lubiao"}`; the reason chooses the
class of `gateway.kernel.errors` and the metadata fills it, so an adapter handles the same classes
as the node raised. Without an `ErrorInfo` (a proxy, a lost connection, a newer node) the gRPC code
chooses. `is_transient` says which errors leave the outcome in doubt: the same request, with the
same request id, is to be sent again.
"""

from __future__ import annotations

from datetime import timedelta

import grpc
from google.rpc import error_details_pb2, status_pb2

from gateway.kernel.errors import (
    DeadlineTooShort,
    EtagMismatch,
    FieldInvalid,
    InvariantViolated,
    LubiaoError,
    NodeDraining,
    PeerNotAllowed,
    PeerUnreachable,
    QuotaExceeded,
    ResourceExists,
    ResourceNotFound,
    SignatureInvalid,
    TransitionNotAllowed,
    all_errors,
)

DOMAIN = "lubiao"
DETAILS_KEY = "grpc-status-details-bin"
TRANSIENT = (PeerUnreachable, NodeDraining, DeadlineTooShort, QuotaExceeded)
HINT_LENGTH_MAX = 200  # an error's hint is shown in a terminal, whatever the peer sent
_LOST = frozenset(  # the answer may have been lost on the way: the outcome is in doubt
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
    }
)


def is_transient(error: LubiaoError) -> bool:
    """Tell whether the same request should be sent again later."""
    return isinstance(error, TRANSIENT)


def error_of_rpc(error: grpc.aio.AioRpcError, *, peer: str) -> LubiaoError:
    """Return the typed error for a failed call to `peer`."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except ValueError:
                break
            typed = _typed(status)
            if typed is not None:
                return typed
    return _by_code(error.code(), error.details() or "", peer)


def error_of_status(status: status_pb2.Status, *, peer: str) -> LubiaoError:
    """Return the typed error for one item's status in a batch answer of `peer`."""
    typed = _typed(status)
    if typed is not None:
        return typed
    codes = {code.value[0]: code for code in grpc.StatusCode}
    return _by_code(codes.get(status.code, grpc.StatusCode.UNKNOWN), status.message, peer)


def _typed(status: status_pb2.Status) -> LubiaoError | None:
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if not detail.Unpack(info):  # Unpack looks at the type first and says whether it fits
            detail.Unpack(retry)
    kind = all_errors().get(info.reason) if info.domain == DOMAIN else None
    if kind is None:
        return None
    metadata: dict[str, object] = {
        key: value for key, value in info.metadata.items() if key not in {"hint", "retry_delay"}
    }
    delay: timedelta | None = None
    if retry.HasField("retry_delay"):
        delay = retry.retry_delay.ToTimedelta()
    return kind(hint=info.metadata.get("hint", ""), retry_delay=delay, **metadata)


def _by_code(code: grpc.StatusCode, details: str, peer: str) -> LubiaoError:
    got = f"{code.name}: {details}"[:HINT_LENGTH_MAX]
    if code in _LOST:
        return PeerUnreachable(peer=peer, got=got)
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.OUT_OF_RANGE:
            return FieldInvalid(field="request", got=got, expected="what the standard says")
        case grpc.StatusCode.NOT_FOUND | grpc.StatusCode.UNIMPLEMENTED:
            return ResourceNotFound(kind="resource", name=peer, got=got)
        case grpc.StatusCode.ALREADY_EXISTS:
            return ResourceExists(kind="resource", name=peer, got=got)
        case grpc.StatusCode.ABORTED:
            return EtagMismatch(name=peer, got=got, expected="the newest etag")
        case grpc.StatusCode.FAILED_PRECONDITION:
            return TransitionNotAllowed(name=peer, state=got, event="the request", allowed="?")
        case grpc.StatusCode.PERMISSION_DENIED:
            return PeerNotAllowed(principal="this adapter", got=got, expected="a permitted caller")
        case grpc.StatusCode.UNAUTHENTICATED:
            return SignatureInvalid(signer="this adapter", got=got)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return QuotaExceeded(quota="requests", got=got, expected="fewer")
        case _:
            return InvariantViolated(invariant="answer of the node", got=got)
