"""The metrics of several workers as one text."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.merging import merged
from gateway.telemetry.metrics import Metrics, ReceiptOutcome


def exposition(*, calls: int) -> str:
    metrics = Metrics(node="tianjin")
    for _ in range(calls):
        metrics.rpc_began("/a")
        metrics.rpc_ended("/a", code="OK", latency=timedelta(milliseconds=3))
    metrics.receipt("hebei", ReceiptOutcome.RECEIVED)
    metrics.outbox("hebei", depth=7, oldest=timedelta(seconds=2))
    text = metrics.exposition().decode()
    metrics.close()
    return text


def test_each_sample_names_its_worker_and_what_is_the_nodes_is_shown_once() -> None:
    text = merged({0: exposition(calls=1), 1: exposition(calls=2)})

    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    calls = {
        dict(labels)["worker"]: value
        for (name, labels), value in samples.items()
        if name == "lubiao_rpc_calls_total"
    }
    assert calls == {"0": 1, "1": 2}
    waiting = {key: value for key, value in samples.items() if key[0] == "lubiao_outbox_envelopes"}
    assert waiting == {("lubiao_outbox_envelopes", (("peer", "hebei"),)): 7}
    assert text.count("# TYPE lubiao_rpc_calls_total counter") == 1


def test_no_worker_gives_an_empty_text() -> None:
    assert merged({}) == ""
