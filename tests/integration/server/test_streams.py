"""Streams of requests behind the gate: access, drain, deadline and the bound of one message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import grpc

from gateway.delivery.codec import error_to_status
from gateway.dispatch.streaming import WINDOW
from gateway.dispatch.streaming_servicer import (
    MESSAGE_BYTES_MAX,
    StreamingRoom,
    StreamingServicer,
)
from gateway.kernel.errors import (
    BatchTooLarge,
    KeyRevoked,
    LubiaoError,
    NodeDraining,
    RoleMissing,
)
from gateway.server.context import principal_of
from gateway.server.status import error_of, from_status
from gateway.trust.principal import Role
from hotline.ticket.v1 import ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc
from tests.integration.server.builders import CLOCK, a_node

COUNT = 40


class Streams(StreamingServicer):
    """Takes every message once the test lets it."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.begun = asyncio.Event()
        self.streaming = StreamingRoom(self.create, cast("Any", None), principal_of)

    async def create(
        self, request: ticket_pb.CreateTicketRequest, principal: object
    ) -> ticket_pb2.Ticket:
        self.begun.set()
        await self.release.wait()
        return ticket_pb2.Ticket(name=f"tickets/{request.request_id}")


def a_servicer() -> Streams:
    async def unused(*_: object) -> None:
        raise NotImplementedError

    methods = ticket_pb.DESCRIPTOR.services_by_name["TicketService"].methods
    own = vars(StreamingServicer)
    members = {method.name: unused for method in methods if method.name not in own}
    return cast("Streams", type("Whole", (Streams,), members)())


async def messages(
    count: int,
    *,
    keep_open: asyncio.Event | None = None,
    sent: asyncio.Event | None = None,
    size: int = 0,
) -> AsyncIterator[ticket_pb.StreamCreateTicketsRequest]:
    for sequence in range(1, count + 1):
        request = ticket_pb.CreateTicketRequest(
            request_id=str(sequence), ticket=ticket_pb2.Ticket(external_id="x" * size)
        )
        yield ticket_pb.StreamCreateTicketsRequest(request=request, sequence=sequence)
    if sent is not None:  # a client that still sends when it is refused may miss why (grpc.aio)
        sent.set()
    if keep_open is not None:
        await keep_open.wait()


async def read_all(call: Any) -> tuple[list[int], LubiaoError | None]:
    results: list[int] = []
    try:
        async for response in call:
            results += [result.sequence for result in response.results]
    except grpc.aio.AioRpcError as error:
        return results, from_status(error)
    return results, None


async def test_a_drain_acknowledges_what_was_read_and_then_says_so(tmp_path: Path) -> None:
    servicer, closing, sent = a_servicer(), asyncio.Event(), asyncio.Event()
    async with a_node(tmp_path, tickets=servicer) as node:
        stub = ticket_grpc.TicketServiceStub(node.platform())
        given = messages(COUNT, keep_open=closing, sent=sent)
        reading = asyncio.create_task(read_all(stub.StreamCreateTickets(given, timeout=20)))
        await sent.wait()
        await servicer.begun.wait()
        drain = asyncio.create_task(node.server.drain(within=timedelta(seconds=9)))
        await asyncio.sleep(0)
        servicer.release.set()
        assert await drain
        results, error = await reading
        closing.set()
    assert isinstance(error, NodeDraining)
    assert results
    assert sorted(results) == list(range(1, len(results) + 1)), "no gap in what was acknowledged"


async def test_a_stream_that_reaches_its_deadline_is_acknowledged_and_ends(tmp_path: Path) -> None:
    servicer, closing = a_servicer(), asyncio.Event()
    servicer.release.set()
    async with a_node(tmp_path, tickets=servicer) as node:
        stub = ticket_grpc.TicketServiceStub(node.platform())
        call = stub.StreamCreateTickets(messages(COUNT, keep_open=closing), timeout=0.6)
        results, error = await read_all(call)
        closing.set()
    assert error is None
    assert sorted(results) == list(range(1, COUNT + 1))


async def test_a_revoked_caller_is_cut_off_and_the_others_go_on(tmp_path: Path) -> None:
    servicer, closing, sent = a_servicer(), asyncio.Event(), asyncio.Event()
    servicer.release.set()
    async with a_node(tmp_path, tickets=servicer) as node:
        issued = node.hebei.issue_platform("p1", now=CLOCK.now())
        readings = []
        for channel in (node.channel(issued), node.platform("p2")):
            sent.clear()
            stub = ticket_grpc.TicketServiceStub(channel)
            given = messages(COUNT, keep_open=closing, sent=sent)
            call = stub.StreamCreateTickets(given, timeout=20)
            readings.append(asyncio.create_task(read_all(call)))
            await sent.wait()

        node.traffic.judge_streams()
        node.revoke(issued)
        node.traffic.judge_streams()

        results, error = await readings[0]
        assert isinstance(error, KeyRevoked)
        assert sorted(results) == list(range(1, len(results) + 1))
        assert not readings[1].done()
        closing.set()
        assert await readings[1] == (list(range(1, COUNT + 1)), None)


async def test_who_may_not_create_opens_no_stream(tmp_path: Path) -> None:
    closing = asyncio.Event()
    async with a_node(tmp_path, tickets=a_servicer()) as node:
        stub = ticket_grpc.TicketServiceStub(node.staff(Role.SUPERVISOR))
        call = stub.StreamCreateTickets(messages(0, keep_open=closing), timeout=9)
        results, error = await read_all(call)
        closing.set()
    assert results == []
    assert isinstance(error, RoleMissing)


async def test_a_message_beyond_its_bound_ends_the_stream(tmp_path: Path) -> None:
    servicer, closing = a_servicer(), asyncio.Event()
    servicer.release.set()
    async with a_node(tmp_path, tickets=servicer) as node:
        stub = ticket_grpc.TicketServiceStub(node.platform())
        call = stub.StreamCreateTickets(
            messages(1, keep_open=closing, size=MESSAGE_BYTES_MAX), timeout=9
        )
        results, error = await read_all(call)
        closing.set()
    assert results == []
    assert isinstance(error, BatchTooLarge)


async def test_a_window_is_enough_for_many(tmp_path: Path) -> None:
    servicer = a_servicer()
    servicer.release.set()
    async with a_node(tmp_path, tickets=servicer) as node:
        stub = ticket_grpc.TicketServiceStub(node.platform())
        results, error = await read_all(stub.StreamCreateTickets(messages(3 * WINDOW), timeout=20))
    assert error is None
    assert sorted(results) == list(range(1, 3 * WINDOW + 1))


def test_an_error_of_one_message_reads_as_the_typed_error() -> None:
    found = error_of(error_to_status(BatchTooLarge(got="2", expected="1")))
    assert isinstance(found, BatchTooLarge)
