"""A ticket's trace over real nodes: from the submission at 天津 to the unit of 廊坊, one trace."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import load
from benchmarks.stage import Stage, running
from gateway.telemetry.traces import trace_id_of
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc

SECONDS_MAX = 30.0
# What is said about a ticket on its way, and which of it another statement causes.
SAID = {"Offer", "Answer", "Release", "TicketUpdate"}


async def _hand_in(stage: Stage) -> str:
    channel = stage.platform_channel("120000", "tianjin")
    stub = ticket_grpc.TicketServiceStub(channel)
    request = load.a_request(1, region="131082")
    answer = await stub.CreateTicket(request, timeout=load.CALL_SECONDS)
    await channel.close()
    return answer.ticket.name.removeprefix("tickets/")


def _spans(stage: Stage) -> list[dict[str, Any]]:
    files = [stage.federation.layout.node(node) / "traces.jsonl" for node in ("tianjin", "hebei")]
    return [
        json.loads(line)
        for file in files
        if file.exists()
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


def _of_ticket(spans: list[dict[str, Any]], number: str) -> list[dict[str, Any]]:
    return [span for span in spans if span["trace_id"] == f"{trace_id_of(number):032x}"]


def _answers(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the spans of answers that came back to where the ticket came in."""
    return [
        span
        for span in found
        if span["attributes"].get("kind") == "Answer" and span["node"] == "tianjin"
    ]


def _is_told(found: list[dict[str, Any]]) -> bool:
    said = {span["attributes"].get("kind") for span in found}
    return said >= SAID and bool(_answers(found))


@pytest.mark.timeout(180)  # three nodes start on a busy machine
def test_one_trace_follows_a_ticket_over_two_nodes() -> None:
    with running() as stage:
        number = asyncio.run(_hand_in(stage))
        end = time.monotonic() + SECONDS_MAX
        found: list[dict[str, Any]] = []
        while not _is_told(found):
            assert time.monotonic() < end, [span["attributes"] for span in found]
            time.sleep(0.2)
            found = _of_ticket(_spans(stage), number)
        raw = "".join(path.read_text() for path in Path(stage.folder).rglob("traces.jsonl"))
    assert {span["node"] for span in found} == {"tianjin", "hebei"}
    by_id = {span["span_id"]: span for span in found}
    [created] = [span for span in found if span["name"] == "ticket.create"]
    offers = [span for span in found if span["attributes"].get("kind") == "Offer"]
    first = min(offers, key=lambda span: span["start"])
    assert by_id[first["parent_id"]] is created
    assert first["node"] == "hebei"
    assert by_id[_answers(found)[0]["parent_id"]]["node"] == "hebei"
    for personal in ("测试人员甲", "13900000001", "虚构诉求", "虚构街道"):
        assert personal not in raw
        assert json.dumps(personal)[1:-1] not in raw
