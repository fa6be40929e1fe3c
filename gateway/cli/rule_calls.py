"""Calling RoutingService from the command."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from gateway.cli.connection import Target
from hotline.routing.v1 import routing_service_pb2_grpc as pb_grpc

Answer = TypeVar("Answer")


def ask_rules(
    target: Target, work: Callable[[pb_grpc.RoutingServiceAsyncStub], Awaitable[Answer]]
) -> Answer:
    """Run `work` with a stub of the node's RoutingService."""

    async def ask(channel: grpc.aio.Channel) -> Answer:
        return await work(pb_grpc.RoutingServiceStub(channel))

    return target.ask(ask)


def request_id() -> str:
    """Return a fresh request id."""
    return str(uuid.uuid4())
