"""Ways of handing tickets in: one by one, by the hundred, as a stream, at a fixed rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc

from benchmarks import load
from hotline.ticket.v1 import ticket_service_pb2 as pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc

BATCH = 100
BATCH_CALLERS = 4
CALLERS_OF_A_PLATFORM = 64  # a node serves so many calls of one platform at once
STREAM_SECONDS = 300.0
SHARES = (0.5, 0.99)
TOO_BUSY = (
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,  # the node's own end of the deadline, when it comes first
)

Request = pb.CreateTicketRequest
Call = Callable[[Request], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Latency:
    """What callers waited at an offered rate, in milliseconds, and what became of the calls."""

    offered: float
    reached: float  # tickets a second that were taken
    refused: int  # calls that the node was too busy for
    p50: float  # of all, where a refused one waited to the end of its call
    p99: float


class Platforms:
    """Two platforms of one authority that hand in messages; `numbers` are the tickets made."""

    def __init__(self, stubs: Sequence[ticket_grpc.TicketServiceAsyncStub]) -> None:
        """Hand in through these stubs."""
        self._stubs = tuple(stubs)
        self.numbers: list[str] = []

    async def one_by_one(self, requests: Sequence[Request], *, callers: int) -> float:
        """Hand in with CreateTicket; return tickets a second."""
        return await spread(requests, [self._create(stub) for stub in self._stubs], callers=callers)

    async def in_batches(self, requests: Sequence[Request]) -> float:
        """Hand in with BatchCreateTickets, a hundred a call; return tickets a second."""
        batches = iter(
            [requests[first : first + BATCH] for first in range(0, len(requests), BATCH)]
        )

        async def caller(stub: ticket_grpc.TicketServiceAsyncStub) -> None:
            for batch in batches:
                whole = pb.BatchCreateTicketsRequest(requests=batch)
                answer = await stub.BatchCreateTickets(whole, timeout=load.CALL_SECONDS)
                for result in answer.results:
                    self._note(result.ticket.name)

        began = time.monotonic()
        turns = range(BATCH_CALLERS)
        await asyncio.gather(*(caller(self._stubs[turn % len(self._stubs)]) for turn in turns))
        return len(requests) / (time.monotonic() - began)

    async def as_streams(self, requests: Sequence[Request]) -> float:
        """Hand in with StreamCreateTickets, one stream a platform; return tickets a second."""
        count = len(self._stubs)
        began = time.monotonic()
        await asyncio.gather(
            *(self._stream(stub, requests[place::count]) for place, stub in enumerate(self._stubs))
        )
        return len(requests) / (time.monotonic() - began)

    async def at_rate(self, requests: Sequence[Request], rate: float) -> Latency:
        """Hand in `rate` tickets a second whatever the answers take (an open loop).

        One that the node is too busy for counts as having waited to the end of its call.
        """
        creates = [self._create(stub) for stub in self._stubs]
        began = time.monotonic()
        refused = 0

        async def send(place: int, request: Request) -> float:
            nonlocal refused
            due = began + place / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            try:
                await creates[place % len(creates)](request)
            except grpc.aio.AioRpcError as error:
                if error.code() not in TOO_BUSY:
                    raise
                refused += 1
                return load.CALL_SECONDS * 1000
            return (time.monotonic() - due) * 1000

        waited = sorted(await asyncio.gather(*(send(*item) for item in enumerate(requests))))
        p50, p99 = (waited[min(len(waited) - 1, int(len(waited) * share))] for share in SHARES)
        reached = (len(requests) - refused) / (time.monotonic() - began)
        return Latency(offered=rate, reached=reached, refused=refused, p50=p50, p99=p99)

    def _create(self, stub: ticket_grpc.TicketServiceAsyncStub) -> Call:
        async def create(request: Request) -> None:
            answer = await stub.CreateTicket(request, timeout=load.CALL_SECONDS)
            self._note(answer.ticket.name)

        return create

    async def _stream(
        self, stub: ticket_grpc.TicketServiceAsyncStub, requests: Sequence[Request]
    ) -> None:
        async def messages() -> AsyncIterator[pb.StreamCreateTicketsRequest]:
            for sequence, request in enumerate(requests, start=1):
                yield pb.StreamCreateTicketsRequest(sequence=sequence, request=request)

        async for response in stub.StreamCreateTickets(messages(), timeout=STREAM_SECONDS):
            for result in response.results:
                self._note(result.name)

    def _note(self, name: str) -> None:
        if not name:
            raise RuntimeError("a ticket was refused")
        self.numbers.append(name.removeprefix("tickets/"))


async def spread(requests: Sequence[Request], calls: Sequence[Call], *, callers: int) -> float:
    """Make every call, `callers` at once in all, dealt out over `calls`; return calls a second."""
    if callers < len(calls):
        return await load.drive(requests, calls[0], callers=callers)
    began = time.monotonic()
    share = min(callers // len(calls), CALLERS_OF_A_PLATFORM)
    await asyncio.gather(
        *(
            load.drive(requests[place :: len(calls)], call, callers=share)
            for place, call in enumerate(calls)
        )
    )
    return len(requests) / (time.monotonic() - began)
