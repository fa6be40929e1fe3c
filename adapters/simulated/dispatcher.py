"""A simulated dispatcher at the triage desk, with a staff certificate and nothing but RPCs.

It does what only a person may do in the demonstration: when a ticket was referred to a place
outside the federation, it records the answer that came back by letter and closes the ticket. It
judges no dispatch and touches no other ticket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import structlog

from adapters.kit.client import Client, request_id_of
from adapters.kit.watcher import Change, Watcher
from gateway.kernel.errors import EtagMismatch, TransitionNotAllowed
from hotline.ticket.v1 import codes_pb2, ticket_pb2, ticket_service_pb2

TOKEN_FILE = "resume-token"  # noqa: S105 (a position in a stream, no secret)
_OPEN = frozenset(
    {
        ticket_pb2.Ticket.STATE_RECEIVED,
        ticket_pb2.Ticket.STATE_DISPATCHED,
        ticket_pb2.Ticket.STATE_HANDLING,
        ticket_pb2.Ticket.STATE_REOPENED,
    }
)
log = structlog.get_logger()


class SimulatedDispatcher:
    """Records the answers to external referrals of one authority."""

    def __init__(
        self,
        client: Client,
        *,
        folder: Path,
        authority: str,
        delay: timedelta,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Work for `authority` through `client`, keeping the resume token in `folder`."""
        self._client = client
        self._authority = authority
        self._delay = delay
        self._sleep = sleep
        self._watcher = Watcher(client, folder / TOKEN_FILE, self.handle)

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set."""
        await self._watcher.run(stopping)

    async def handle(self, change: Change) -> None:
        """Record the answer and close, if the ticket waits for that; safe to repeat."""
        ticket = change.ticket
        if ticket.followed or not ticket.HasField("external_referral"):
            return
        number = ticket.name.removeprefix("tickets/")
        try:
            if ticket.state in _OPEN:
                await self._sleep(self._delay.total_seconds())
                await self._client.call(
                    self._client.tickets.ResolveTicket,
                    ticket_service_pb2.ResolveTicketRequest(
                        name=ticket.name,
                        resolution=ticket_pb2.Resolution(
                            solved=codes_pb2.SOLVED_EXPLAINED,
                            result="对方书面答复：已受理并向诉求人说明。（演示数据）",
                        ),
                        request_id=self._request_id("resolve", number),
                    ),
                )
            elif ticket.state == ticket_pb2.Ticket.STATE_RESOLVED:
                await self._client.call(
                    self._client.tickets.CloseTicket,
                    ticket_service_pb2.CloseTicketRequest(
                        name=ticket.name,
                        basis="外部转送已收到答复",
                        request_id=self._request_id("close", number),
                    ),
                )
        except (TransitionNotAllowed, EtagMismatch) as error:
            # An older change of a ticket that has moved on; the newer change follows.
            log.info("dispatcher.superseded", ticket=number, reason=error.reason)

    def _request_id(self, act: str, number: str) -> str:
        return request_id_of("dispatcher", self._authority, act, number)
