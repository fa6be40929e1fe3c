"""Load: synthetic messages, handed in by a bounded number of callers at once."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence

from hotline.ticket.v1 import codes_pb2, ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as pb

CALLERS = 32
CALL_SECONDS = 30.0
TEXT = (
    "虚构诉求：培训机构拒绝退还课程费用，希望核实并协调退款。" * 6
)  # 500 bytes and more, as calls are


def a_request(index: int, *, region: str) -> pb.CreateTicketRequest:
    """Return the request of one made-up message."""
    return pb.CreateTicketRequest(
        request_id=str(uuid.uuid4()),
        ticket=ticket_pb2.Ticket(
            external_id=f"BENCH-{uuid.uuid4()}",
            channel=codes_pb2.CHANNEL_PHONE,
            type=codes_pb2.TICKET_TYPE_COMPLAINT,
            matter="041200",
            urgency=codes_pb2.URGENCY_NORMAL,
            content=ticket_pb2.TicketContent(
                title=f"虚构诉求 {index}",
                content=TEXT,
                expectation="退还剩余费用",
                place=ticket_pb2.Place(region=region, address="虚构街道一号"),
            ),
            citizen=ticket_pb2.Citizen(display_name="测试人员甲", phones=["13900000001"]),
        ),
    )


async def drive(
    requests: Sequence[pb.CreateTicketRequest],
    call: Callable[[pb.CreateTicketRequest], Awaitable[object]],
    *,
    callers: int = CALLERS,
) -> float:
    """Make every call, `callers` at once; return calls per second."""
    waiting = iter(requests)

    async def caller() -> None:
        for request in waiting:
            await call(request)

    began = time.monotonic()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return len(requests) / (time.monotonic() - began)
