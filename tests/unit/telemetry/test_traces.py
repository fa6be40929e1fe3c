"""A ticket's trace: one id in every node, sampled by the id alone, no text in any span."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from gateway.kernel.errors import FieldInvalid
from gateway.telemetry import traces

TICKET = "1201012026110200000001X"
OTHER = "13010020261102000000028"


class Kept(SpanExporter):
    """Keeps spans in memory."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


@pytest.fixture(name="kept")
def _kept() -> Iterator[Kept]:
    kept = Kept()
    traces.start(node="tianjin", ratio=1.0, exporters=[kept])
    yield kept
    traces.stop()


def _ids(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def test_two_nodes_put_a_ticket_into_one_trace_with_the_cause_as_parent(kept: Kept) -> None:
    with traces.ticket_span(TICKET, "ticket.create"):
        cause = traces.traceparent()
    with traces.ticket_span(TICKET, "statement.take", parent=cause, kind="Offer"):
        pass
    traces.stop()
    first, second = kept.spans
    assert _ids(first)[0] == _ids(second)[0] == traces.trace_id_of(TICKET)
    assert second.parent is not None
    assert second.parent.span_id == _ids(first)[1]


def test_what_nobody_caused_hangs_under_the_tickets_root(kept: Kept) -> None:
    for name in ("ticket.sign", "ticket.contact"):
        with traces.ticket_span(TICKET, name):
            pass
    traces.stop()
    parents = [span.parent.span_id for span in kept.spans if span.parent is not None]
    assert len(parents) == 2
    assert len(set(parents)) == 1


def test_the_trace_of_another_ticket_is_no_cause(kept: Kept) -> None:
    with traces.ticket_span(OTHER, "ticket.create"):
        foreign = traces.traceparent()
    with traces.ticket_span(TICKET, "statement.take", parent=foreign):
        pass
    traces.stop()
    assert _ids(kept.spans[1])[0] == traces.trace_id_of(TICKET)


def test_an_rpc_keeps_the_callers_trace_and_the_ticket_links_to_it(kept: Kept) -> None:
    caller = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    method = "/hotline.ticket.v1.TicketService/CreateTicket"
    with traces.rpc_span(method, caller), traces.ticket_span(TICKET, "ticket.create"):
        pass
    traces.stop()
    ticket, rpc = kept.spans
    assert f"{_ids(rpc)[0]:032x}" == "ab" * 16
    assert [link.context.span_id for link in ticket.links] == [_ids(rpc)[1]]


def test_an_error_leaves_its_reason_and_no_text(kept: Kept) -> None:
    with pytest.raises(FieldInvalid), traces.ticket_span(TICKET, "ticket.resolve"):
        raise FieldInvalid(field="result", got="张三 13800000000", expected="a result")
    traces.stop()
    [span] = kept.spans
    assert span.status.description == "FIELD_INVALID"
    assert not span.events
    assert "13800000000" not in span.to_json()


def test_what_is_about_no_ticket_is_not_recorded(kept: Kept) -> None:
    with traces.ticket_span("", "statement.take", kind="Report"):
        pass
    traces.stop()
    assert kept.spans == []


def test_nodes_with_one_ratio_keep_the_same_tickets_and_always_the_late_ones() -> None:
    kept = Kept()
    numbers = [f"120101202611020{number:07d}X" for number in range(400)]
    seen = []
    for node in ("tianjin", "hebei"):
        kept.spans.clear()
        traces.start(node=node, ratio=0.1, exporters=[kept])
        for number in numbers:
            with traces.ticket_span(number, "ticket.sign"):
                pass
        with traces.ticket_span(TICKET, "ticket.sign", is_late=True):
            pass
        traces.stop()
        seen.append({_ids(span)[0] for span in kept.spans})
    assert seen[0] == seen[1]
    assert traces.trace_id_of(TICKET) in seen[0]
    assert 10 < len(seen[0]) < 90


def test_no_peer_keeps_a_ticket_from_being_recorded() -> None:
    kept = Kept()
    traces.start(node="tianjin", ratio=0.5, exporters=[kept])
    numbers = [f"120101202611020{number:07d}X" for number in range(40)]
    low = (1 << 64) - 1
    expected = {trace for each in numbers if (trace := traces.trace_id_of(each)) & low < 1 << 63}
    for number in numbers:
        forged = f"00-{traces.trace_id_of(number):032x}-{'cd' * 8}-00"
        with traces.ticket_span(number, "statement.take", parent=forged):
            pass
    traces.stop()
    assert {_ids(span)[0] for span in kept.spans} == expected


def test_a_late_step_below_one_that_is_not_recorded_is_recorded() -> None:
    kept = Kept()
    traces.start(node="tianjin", ratio=0.0, exporters=[kept])
    with (
        traces.ticket_span(TICKET, "ticket.take"),
        traces.ticket_span(TICKET, "ticket.sign", is_late=True),
        traces.ticket_span(TICKET, "ticket.route"),
    ):
        pass
    traces.stop()
    assert [span.name for span in kept.spans] == ["ticket.route", "ticket.sign"]


def test_an_rpc_whose_caller_has_no_trace_is_recorded_by_the_ratio(kept: Kept) -> None:
    with traces.rpc_span("/hotline.ticket.v1.TicketService/GetTicket", traces.new_traceparent()):
        pass
    traces.stop()
    assert len(kept.spans) == 1


def test_without_a_taker_a_span_costs_nothing_and_changes_nothing() -> None:
    with traces.ticket_span(TICKET, "ticket.create"):
        assert traces.traceparent() == ""


@given(st.text(max_size=64))
def test_a_peers_trace_context_can_be_any_text(text: str) -> None:
    kept = Kept()
    traces.start(node="tianjin", ratio=1.0, exporters=[kept])
    with traces.ticket_span(TICKET, "statement.take", parent=text):
        assert f"{traces.trace_id_of(TICKET):032x}" in traces.traceparent()
    traces.stop()
