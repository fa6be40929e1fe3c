"""Calls that survive a restarting node: a deadline each, and the same request again when in doubt.

After UNAVAILABLE or DEADLINE_EXCEEDED nobody knows whether the node committed. The client then
sends the *same* request, with the same request id, so a repeat is answered with the first answer;
the natural key (platform, external id) guards even a lost request id. Back-off starts in fractions
of a second, doubles, is jittered, and respects the node's `RetryInfo`.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from adapters.kit.status import error_of_rpc, is_transient
from gateway.kernel.errors import LubiaoError
from hotline.custody.v1 import custody_service_pb2_grpc
from hotline.ticket.v1 import ticket_service_pb2_grpc

DEADLINE = timedelta(seconds=10)
RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
_REQUEST_IDS = uuid.UUID("6f1d6f0e-59c5-5d1c-9a31-1c9a3f0b7a12")  # namespace; never changes


def request_id_of(*parts: str) -> str:
    """Return the request id of an act: the same act has the same id, also after a crash."""
    return str(uuid.uuid5(_REQUEST_IDS, "\x1f".join(parts)))


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before attempt number n: doubling, jittered, bounded."""

    first: timedelta = timedelta(milliseconds=200)
    longest: timedelta = timedelta(seconds=5)  # a restarted node is found within seconds
    attempts_max: int = 6  # about ten seconds; the caller's own loop goes on after that
    jitter: Callable[[], float] = field(default=random.random)

    def delay(self, attempt: int, error: LubiaoError | None = None) -> timedelta:
        """Return the pause after the failed attempt `attempt`, counted from 0."""
        doubled = self.first * (1 << min(attempt, 16))
        bounded = min(doubled, self.longest) * (0.5 + self.jitter() / 2)
        wish = error.retry_delay if error is not None else None
        return max(bounded, wish) if wish is not None else bounded


class Client:
    """Calls to one node as one principal."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        peer: str,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take an open channel; `peer` names the node in errors."""
        self.tickets = ticket_service_pb2_grpc.TicketServiceStub(channel)
        self.custody = custody_service_pb2_grpc.CustodyServiceStub(channel)
        self.peer = peer
        self.backoff = backoff or Backoff()
        self._sleep = sleep

    async def pause(self, attempt: int, error: LubiaoError | None = None) -> None:
        """Wait as long as the back-off says after a failed attempt."""
        await self._sleep(self.backoff.delay(attempt, error).total_seconds())

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        *,
        deadline: timedelta = DEADLINE,
    ) -> ResponseT:
        """Return the answer to `request`, sent again unchanged while the outcome is in doubt.

        Raises:
            LubiaoError: what the node answered; PeerUnreachable when it stays silent.
        """
        attempt = 0
        while True:
            try:
                return await method(request, timeout=deadline.total_seconds())
            except grpc.aio.AioRpcError as failure:
                error = error_of_rpc(failure, peer=self.peer)
                attempt += 1
                if not is_transient(error) or attempt >= self.backoff.attempts_max:
                    raise error from failure
            await self.pause(attempt - 1, error)
