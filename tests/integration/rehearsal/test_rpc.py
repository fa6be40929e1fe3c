"""Trials over real gRPC: progress comes as it happens; a call that is cancelled stops them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from gateway.database.memory import MemoryDatabase
from gateway.kernel.time import ManualClock
from gateway.reference.data import ReferenceData
from gateway.rehearsal.service import Rehearsal
from gateway.rehearsal.servicer import RehearsalServicer
from gateway.routing.packs import PackSet
from gateway.routing.service import RoutingService
from hotline.routing.v1 import rehearsal_pb2 as pb
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from tests.unit.rehearsal.builders import (
    HOSTED,
    JOINED,
    LANGFANG,
    NOW,
    a_rehearsal,
    an_editor,
    decided,
)
from tests.unit.rehearsal.conftest import packs, reference
from tests.unit.rehearsal.test_simulate import MOVED, a_draft

__all__ = ["packs", "reference"]
pytestmark = pytest.mark.integration
DECISIONS = 1_000


class Served:
    """A loopback server, its rehearsal, and the tickets that were decided."""

    def __init__(self, rehearsal: Rehearsal, numbers: list[str], port: int) -> None:
        self.rehearsal, self.numbers = rehearsal, numbers
        self.address = f"127.0.0.1:{port}"


@pytest.fixture
async def served(packs: PackSet, reference: ReferenceData) -> AsyncIterator[Served]:
    database = MemoryDatabase()
    numbers = await decided(database, [MOVED] * DECISIONS, packs=packs, reference=reference)
    rehearsal = a_rehearsal(database, packs=packs, reference=reference)
    routing = RoutingService(
        packs=packs,
        reference=reference,
        hosted=HOSTED,
        joined=lambda: JOINED,
        clock=ManualClock(NOW),
    )
    server = grpc.aio.server()
    servicer = RehearsalServicer(  # type: ignore[abstract] # what changes rules is not asked here
        routing, rehearsal=rehearsal, principal_of=lambda _: an_editor()
    )
    routing_grpc.add_RoutingServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield Served(rehearsal, numbers, port)
    await server.stop(None)


async def test_progress_comes_before_the_result(served: Served) -> None:
    async with grpc.aio.insecure_channel(served.address) as channel:
        stub = routing_grpc.RoutingServiceStub(channel)
        request = pb.SimulateRulePackRequest(authority=LANGFANG, sources=[a_draft()])
        answers = [answer async for answer in stub.SimulateRulePack(request, timeout=60)]
    steps = [answer.progress.done for answer in answers if answer.HasField("progress")]
    assert steps == sorted(steps)
    assert len(steps) >= DECISIONS // 200
    assert answers[-1].simulation.examined_count == DECISIONS
    assert answers[-1].simulation.flows[0].samples[0] == f"tickets/{served.numbers[0]}"


async def test_a_cancelled_call_stops_the_trial_and_makes_room(served: Served) -> None:
    async with grpc.aio.insecure_channel(served.address) as channel:
        stub = routing_grpc.RoutingServiceStub(channel)
        request = pb.SimulateRulePackRequest(authority=LANGFANG)
        call = stub.SimulateRulePack(request, timeout=60)
        async for answer in call:
            assert answer.HasField("progress")
            break
        call.cancel()
        # One trial runs at a time: the second one ends only because the first one stopped.
        answers = [answer async for answer in stub.SimulateRulePack(request, timeout=60)]
    assert answers[-1].simulation.examined_count == DECISIONS


async def test_a_stored_decision_is_replayed(served: Served) -> None:
    async with grpc.aio.insecure_channel(served.address) as channel:
        stub = routing_grpc.RoutingServiceStub(channel)
        request = routing_pb.ReplayRouteRequest(ticket=f"tickets/{served.numbers[7]}")
        answer = await stub.ReplayRoute(request, timeout=10)
    assert answer.is_identical
    assert answer.decision.trace_digest.value == answer.stored_trace_digest
    assert answer.stored.startswith("ASSIGN|units/")
