"""Traces: one trace for the whole life of a ticket, across all nodes (docs/telemetry.md#traces).

The trace id of a ticket is the first 16 bytes of SHA-256 over its number, so every node computes
the same one without asking, and all nodes keep or drop the same tickets: sampling looks at the id
only, and a peer can add to that but not take away. A node continues under the span that caused its
step, whose id travels in the envelope's `traceparent`; what nobody caused hangs under the ticket's
root. An RPC has a trace of its own, the caller's, and its ticket spans link to it.

Rooms call `ticket_span`, `rpc_span` and `traceparent`; until `start` was called they cost nothing.
Attributes are codes, kinds and numbers: never a text, never who calls. Standards: W3C Trace
Context, OpenTelemetry.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from gateway.kernel.errors import FieldInvalid

FILE_BYTES_MAX = 64 * 1024 * 1024  # a demonstration's file; production sends to a collector
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_CURRENT: ContextVar[SpanContext | None] = ContextVar("lubiao_ticket_span", default=None)
_LOW_64 = (1 << 64) - 1

Value = str | int | bool


class _Tracing:
    """The tracer of this process; there is one, as there is one log."""

    provider: TracerProvider | None = None
    tracer: trace.Tracer | None = None
    bound: int = 0


def start(*, node: str, ratio: float, exporters: Sequence[SpanExporter]) -> None:
    """Begin to trace: `ratio` of all tickets and RPCs, from 0 to 1, to `exporters`."""
    sampler = ParentBased(root=TraceIdRatioBased(ratio))
    resource = Resource({"service.name": "lubiao", "lubiao.node": node})
    provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    _Tracing.provider = provider
    _Tracing.tracer = provider.get_tracer("lubiao")
    _Tracing.bound = TraceIdRatioBased.get_bound_for_rate(ratio)


def stop() -> None:
    """End the export of what is waiting, and tracing."""
    provider, _Tracing.provider, _Tracing.tracer = _Tracing.provider, None, None
    if provider is not None:
        provider.shutdown()


def trace_id_of(ticket: str) -> int:
    """Return the trace id of a ticket's number; the same in every node."""
    return int.from_bytes(hashlib.sha256(ticket.encode()).digest()[:16], "big")


def traceparent() -> str:
    """Return the present ticket span as W3C trace context, or an empty text."""
    span = _CURRENT.get()
    if span is None:
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"


def new_traceparent() -> str:
    """Return a trace of its own for a caller that brings none, recorded by the ratio."""
    trace_id = secrets.randbits(128) or 1
    is_sampled = _Tracing.tracer is not None and trace_id & _LOW_64 < _Tracing.bound
    return f"00-{trace_id:032x}-{secrets.token_hex(8)}-{int(is_sampled):02x}"


@contextmanager
def ticket_span(
    ticket: str, name: str, *, parent: str = "", is_late: bool = False, **attributes: Value
) -> Iterator[None]:
    """Record what is done to a ticket.

    Args:
        ticket: its number; empty for what is about none, which is not recorded.
        name: dotted, for example `ticket.create` or `statement.take`.
        parent: the envelope's `traceparent`; else the present span, else the ticket's root.
        is_late: an overdue ticket is recorded whatever the ratio.
        attributes: codes and numbers.
    """
    tracer = _Tracing.tracer
    if tracer is None or not ticket:
        yield
        return
    above = _span_above(ticket, parent, is_late=is_late)
    if not above.trace_flags.sampled:  # nearly all: whoever goes on only needs the ids
        token = _CURRENT.set(
            SpanContext(above.trace_id, secrets.randbits(64) or 1, False, above.trace_flags)
        )
        try:
            yield
        finally:
            _CURRENT.reset(token)
        return
    rpc = trace.get_current_span().get_span_context()
    links = [Link(rpc)] if rpc.is_valid and rpc.trace_id != above.trace_id else []
    context = set_span_in_context(NonRecordingSpan(above), Context())
    span = tracer.start_span(
        name, context=context, links=links, attributes={"lubiao.ticket": ticket, **attributes}
    )
    token = _CURRENT.set(span.get_span_context())
    try:
        yield
    except BaseException as error:
        span.set_status(StatusCode.ERROR, getattr(error, "reason", type(error).__name__))
        raise
    finally:
        _CURRENT.reset(token)
        span.end()


@contextmanager
def rpc_span(method: str, parent: str) -> Iterator[None]:
    """Record an RPC in its caller's trace."""
    tracer = _Tracing.tracer
    if tracer is None:
        yield
        return
    above = _parsed(parent)
    context = set_span_in_context(NonRecordingSpan(above), Context()) if above else Context()
    with tracer.start_as_current_span(
        method,
        context=context,
        kind=trace.SpanKind.SERVER,
        record_exception=False,  # its text could quote a request
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except BaseException as error:
            span.set_status(StatusCode.ERROR, getattr(error, "reason", type(error).__name__))
            raise


def _span_above(ticket: str, parent: str, *, is_late: bool) -> SpanContext:
    """Return what a span hangs under; nothing above it can keep it from being recorded."""
    trace_id = trace_id_of(ticket)
    is_sampled = is_late or trace_id & _LOW_64 < _Tracing.bound
    for known in (_parsed(parent), _CURRENT.get()):
        if known is not None and known.trace_id == trace_id:
            flags = SAMPLED if is_sampled else known.trace_flags
            return SpanContext(trace_id, known.span_id, is_remote=True, trace_flags=flags)
    root = (trace_id >> 64) & _LOW_64 or 1
    flags = SAMPLED if is_sampled else TraceFlags(TraceFlags.DEFAULT)
    return SpanContext(trace_id, root, is_remote=True, trace_flags=flags)


def _parsed(text: str) -> SpanContext | None:
    """Return the span of a W3C trace context; None for what is none."""
    parts = _TRACEPARENT.fullmatch(text)
    if parts is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in parts.groups())
    found = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return found if found.is_valid else None


_encode = json.JSONEncoder().encode  # one encoder for all spans


class FileExporter(SpanExporter):
    """Writes spans as JSON lines, for a demonstration and for tests; stops at a bound."""

    def __init__(self, path: Path) -> None:
        """Append to `path`."""
        self._path = path
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append one line a span."""
        lines = "".join(_encode(_plain(span)) + "\n" for span in spans)
        with self._lock:
            if self._path.exists() and self._path.stat().st_size > FILE_BYTES_MAX:
                return SpanExportResult.FAILURE
            with self._path.open("a", encoding="utf-8") as file:
                file.write(lines)
        return SpanExportResult.SUCCESS


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Return the exporter to an OpenTelemetry collector, `https://host:port` or `http://…`.

    Raises:
        FieldInvalid: the extra `tracing` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 # extra
            OTLPSpanExporter,
        )
    except ImportError as error:
        raise FieldInvalid(
            field="tracing.endpoint",
            got="no exporter installed",
            expected="lubiao[tracing]",
            hint="install lubiao[tracing], or leave tracing.endpoint empty",
        ) from error
    return OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"))


def _plain(span: ReadableSpan) -> dict[str, object]:
    context, above = span.get_span_context(), span.parent
    return {
        "trace_id": f"{context.trace_id:032x}" if context else "",
        "span_id": f"{context.span_id:016x}" if context else "",
        "parent_id": f"{above.span_id:016x}" if above else "",
        "name": span.name,
        "node": span.resource.attributes.get("lubiao.node", ""),
        "start": span.start_time,
        "end": span.end_time,
        "state": span.status.status_code.name,
        "attributes": dict(span.attributes or {}),
    }
