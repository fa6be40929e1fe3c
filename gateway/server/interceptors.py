"""What happens to every RPC before and after its servicer: one gate with its steps in order.

    1  observe       count, time and log it; metrics and log lines hold no content
    2  map errors    whatever is raised becomes a status with ErrorInfo (`status`)
    3  drain         a draining node begins nothing new
    4  authenticate  the principal of the client certificate (`gateway.trust.authentication`)
    5  access        the matrix (`access`)
    6  quota         a bound of RPCs in flight per principal (`traffic`)
    7  deadline      refuse what cannot be finished, bound what has no deadline, trim what has one
    8  size          the bound of a request; gRPC's own bound above it protects memory only
    9  validate      the schema's machine limits, unless each item is judged alone

All steps run in the task that serves the RPC, so the context variable of `context` and
`asyncio.timeout` reach the servicer, whatever the shape of the RPC. A stream that reaches its
bound ends normally: its caller resumes. One whose caller is nobody any more, because a certificate
was revoked or ran out, ends with the refusal (`Traffic.judge_streams`). A servicer just raises; it
never builds a status.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any, cast

import grpc
import structlog
from google.protobuf.message import Message

from gateway.kernel.errors import (
    BatchTooLarge,
    DeadlineTooShort,
    GrpcCode,
    LubiaoError,
    PeerNotAllowed,
)
from gateway.kernel.validation import validate
from gateway.kernel.values import dataclass
from gateway.server.access import MATRIX, Access, AccessCheck
from gateway.server.context import Call, Context, enter_call, leave_call
from gateway.server.status import abort, code_name
from gateway.server.traffic import Traffic
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.traces import new_traceparent, rpc_span
from gateway.trust.principal import Principal

REQUEST_BYTES_MAX = 4 * 1024 * 1024  # 500 tickets of 8 KiB, or 100 envelopes with their blocks
TRIM = timedelta(milliseconds=20)  # the answer must still travel back
REQUEST_ID_KEY = "x-request-id"
TRACE_KEY = "traceparent"
NO_DEADLINE_SECONDS = 10**8  # gRPC tells a missing deadline as a huge one on some paths
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
log = structlog.get_logger()

Behaviour = Callable[[Any, Context], Any]
Refused = Callable[[Principal, str, str, LubiaoError], Awaitable[None]]
Authenticate = Callable[[bytes], Principal]
"""From the PEM of the client certificate to the principal; raises when nobody stands behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate(grpc.aio.ServerInterceptor):
    """The interceptor of every Lubiao server.

    Attributes:
        authenticate: called for each RPC; it caches by fingerprint itself.
        access: the matrix, applied on this node.
        traffic: what is in flight.
        metrics: where to count.
        refused: told the principal, the method, the subject and the error of a refused RPC.
        request_bytes_max: the bound of one request.
    """

    authenticate: Authenticate
    access: AccessCheck
    traffic: Traffic
    metrics: Metrics
    refused: Refused | None = None
    request_bytes_max: int = REQUEST_BYTES_MAX

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the handler of an RPC behind the steps; an unknown RPC stays unimplemented."""
        handler = await continuation(handler_call_details)
        access = MATRIX.get(handler_call_details.method)
        if handler is None or access is None:
            return None
        metadata = _texts(handler_call_details.invocation_metadata)
        passage = _Passage(
            gate=self,
            method=handler_call_details.method,
            access=access,
            is_stream=bool(handler.response_streaming),
            takes_stream=bool(handler.request_streaming),
            request_id=_valid(metadata.get(REQUEST_ID_KEY), _REQUEST_ID) or secrets.token_hex(16),
            traceparent=_valid(metadata.get(TRACE_KEY), _TRACEPARENT) or new_traceparent(),
        )
        return passage.wrap(handler)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passage:
    """One RPC passing the gate."""

    gate: Gate
    method: str
    access: Access
    is_stream: bool
    takes_stream: bool
    request_id: str
    traceparent: str

    def wrap(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Return `handler` with its behaviour behind the steps."""
        match self.takes_stream, self.is_stream:
            case False, False:
                make, inner = grpc.unary_unary_rpc_method_handler, handler.unary_unary
            case False, True:
                make, inner = grpc.unary_stream_rpc_method_handler, handler.unary_stream
            case True, False:
                make, inner = grpc.stream_unary_rpc_method_handler, handler.stream_unary
            case _:
                make, inner = grpc.stream_stream_rpc_method_handler, handler.stream_stream
        behaviour = cast("Behaviour", inner)

        async def guarded(request: Any, context: Context) -> Any:
            return await self._observed(behaviour, request, context)

        return make(
            cast("Any", guarded),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _observed(self, behaviour: Behaviour, request: Any, context: Context) -> Any:
        """Steps 1 and 2 around the others."""
        began = time.monotonic()
        outcome = _Outcome()
        self.gate.metrics.rpc_began(self.method)
        context.set_trailing_metadata(((REQUEST_ID_KEY, self.request_id),))
        with structlog.contextvars.bound_contextvars(request_id=self.request_id):
            try:
                with rpc_span(self.method, self.traceparent):
                    return await self._admitted(behaviour, request, context, outcome)
            except asyncio.CancelledError:
                outcome.code = grpc.StatusCode.CANCELLED.name
                raise
            except (grpc.aio.AbortError, grpc.aio.BaseError):  # a servicer ended it itself
                outcome.code = code_name(_code_of(context))
                raise
            except Exception as error:  # the last place before the wire
                outcome.note(error)
                await self._tell(outcome, request, error)
                await abort(context, error)
            finally:
                latency = timedelta(seconds=time.monotonic() - began)
                self.gate.metrics.rpc_ended(self.method, code=outcome.code, latency=latency)
                self._log(outcome, latency)

    async def _tell(self, outcome: _Outcome, request: Any, error: Exception) -> None:
        """Tell the audit that somebody was refused; it must not hold up or change the answer."""
        told, who = self.gate.refused, outcome.principal
        if told is None or who is None or not isinstance(error, LubiaoError):
            return
        subject = getattr(request, "name", "") or getattr(request, "parent", "")
        await told(who, self.method, str(subject), error)

    async def _admitted(
        self, behaviour: Behaviour, request: Any, context: Context, outcome: _Outcome
    ) -> Any:
        """Steps 3 to 7."""
        traffic = self.gate.traffic
        if not self.access.while_draining:
            traffic.check_open()  # 3
        principal = self._caller(context)  # 4
        outcome.principal = principal
        self.gate.access.check(principal, self.method, self.access)  # 5
        if self.access.while_draining:
            return await self._bounded(behaviour, request, context, principal)
        with traffic.admit(principal, is_stream=self.is_stream):  # 6
            return await self._bounded(behaviour, request, context, principal)

    async def _bounded(
        self, behaviour: Behaviour, request: Any, context: Context, principal: Principal
    ) -> Any:
        """Steps 7 to 9, then the servicer."""
        time_left = self._time_left(context)
        call = Call(
            method=self.method,
            principal=principal,
            request_id=self.request_id,
            traceparent=self.traceparent,
            time_left=time_left,
        )
        if isinstance(request, Message):
            self._check_size(request)  # 8
            if self.access.is_validated:
                validate(request)  # 9
        token = enter_call(call)
        bound = asyncio.timeout(time_left.total_seconds())
        try:
            async with bound:
                if not self.is_stream:
                    return await behaviour(request, context)
                if self.access.while_draining:
                    return await _send_all(behaviour, request, context)
                with self.gate.traffic.streaming(bound, lambda: self._caller(context)):
                    return await _send_all(behaviour, request, context)
        except TimeoutError:
            if not bound.expired():  # the servicer's own, hence a defect
                raise
            return self._ran_out(time_left, context)
        finally:
            leave_call(token)

    def _check_size(self, request: Message) -> None:
        size = request.ByteSize()
        bound = max(self.gate.request_bytes_max, self.access.request_bytes_max)
        if size > bound:
            raise BatchTooLarge(got=f"{size} bytes", expected=f"{bound} bytes")

    def _time_left(self, context: Context) -> timedelta:
        """Return how long the work may take."""
        remaining: float | None = context.time_remaining()
        if remaining is None or remaining > NO_DEADLINE_SECONDS:
            return self.access.deadline
        trimmed = timedelta(seconds=remaining) - TRIM
        if trimmed < self.access.deadline_min or trimmed <= timedelta(0):
            raise DeadlineTooShort(
                method=self.method,
                got=_milliseconds(trimmed + TRIM),
                expected=_milliseconds(self.access.deadline_min + TRIM),
            )
        return min(trimmed, self.access.deadline)

    def _caller(self, context: Context) -> Principal:
        return self.gate.authenticate(_certificate_of(context))

    def _ran_out(self, time_left: timedelta, context: Context) -> None:
        """End a stream normally, so that its caller resumes; an unary RPC with an error."""
        if self.is_stream:
            self.gate.traffic.check_open()
            self._caller(context)
            return
        raise DeadlineTooShort(
            method=self.method,
            got=_milliseconds(time_left),
            expected=f"more than {_milliseconds(time_left)}",
            hint="the work was stopped; ask again with the same request id and a longer deadline",
        )

    def _log(self, outcome: _Outcome, latency: timedelta) -> None:
        fields: dict[str, object] = {
            "method": self.method,
            "code": outcome.code,
            "milliseconds": round(latency.total_seconds() * 1000, 1),
            "principal": outcome.principal.name if outcome.principal else "unknown",
            "trace": self.traceparent[3:35],
        }
        if outcome.reason:
            fields["reason"] = outcome.reason
        if outcome.defect is not None:
            log.error("rpc.failed", exc_info=outcome.defect, **fields)
        elif self.access.while_draining:
            log.debug("rpc.ended", **fields)  # a health check every second is no news
        else:
            log.info("rpc.ended", **fields)


@dataclass(slots=True)
class _Outcome:
    """How an RPC ended."""

    code: str = grpc.StatusCode.OK.name
    reason: str = ""
    principal: Principal | None = None
    defect: BaseException | None = None

    def note(self, error: Exception) -> None:
        """Take over what an error says."""
        if isinstance(error, LubiaoError):
            self.code, self.reason = code_name(error.code.value), error.reason
            self.defect = error if error.code is GrpcCode.INTERNAL else None
        else:
            self.code, self.reason = grpc.StatusCode.INTERNAL.name, "INVARIANT_VIOLATED"
            self.defect = error


async def _send_all(behaviour: Behaviour, request: Any, context: Context) -> None:
    """Run a streaming servicer in this task, whether it yields or writes by itself."""
    answers = behaviour(request, context)
    if inspect.isawaitable(answers):
        await answers
        return
    async with aclosing(cast("Any", answers)) as stream:
        async for answer in cast("AsyncIterator[Any]", stream):
            await context.write(answer)


def _certificate_of(context: Context) -> bytes:
    """Return the PEM of the client certificate.

    Raises:
        PeerNotAllowed: there is none, because the port is not served over mutual TLS.
    """
    found = context.auth_context().get("x509_pem_cert", ())
    for pem in found:
        return bytes(pem)
    raise PeerNotAllowed(
        principal="without a certificate", got="no certificate", expected="a client certificate"
    )


def _code_of(context: Context) -> int:
    code = context.code()
    return code if isinstance(code, int) else code.value[0]


def _texts(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def _valid(text: str | None, pattern: re.Pattern[str]) -> str:
    return text if text is not None and pattern.fullmatch(text) else ""


def _milliseconds(span: timedelta) -> str:
    return f"{max(0, round(span.total_seconds() * 1000))} ms"
