"""What is known about the RPC that the present task serves: caller, ids, time left.

The interceptor sets it before any servicer runs; a servicer reads it with `principal_of(context)`.
It travels with the task, so a service that starts subtasks hands it on by itself.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from datetime import timedelta
from typing import Any

import grpc

from gateway.kernel.errors import InvariantViolated
from gateway.kernel.values import dataclass
from gateway.trust.principal import Principal

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One RPC on its way through the server.

    Attributes:
        method: `/package.Service/Rpc`.
        principal: who calls.
        request_id: the caller's `x-request-id`, or one made here; in every log line and answer.
        traceparent: W3C trace context to hand on in envelopes; the caller's, or one made here.
        time_left: how long the work may take, from its beginning.
    """

    method: str
    principal: Principal
    request_id: str
    traceparent: str
    time_left: timedelta


_CALL: ContextVar[Call] = ContextVar("lubiao_call")


def enter_call(call: Call) -> Token[Call]:
    """Make `call` the present one; for the interceptor, and tests of servicers."""
    return _CALL.set(call)


def leave_call(token: Token[Call]) -> None:
    """Undo `enter_call`."""
    _CALL.reset(token)


def current_call() -> Call:
    """Return the RPC that this task serves."""
    call = _CALL.get(None)
    if call is None:
        raise InvariantViolated(invariant="a servicer runs behind the interceptor", got="no call")
    return call


def principal_of(_context: Context) -> Principal:
    """Return who calls; the argument says that only a servicer may ask."""
    return current_call().principal
