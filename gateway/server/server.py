"""The gRPC server of a node: mutual TLS, the gate, health, a clean stop.

Services are registered whole or not at all. `build_server` refuses to start when

* a configured service is not registered, or a registered one is not configured,
* an RPC of a registered service has no row in the access matrix,
* a servicer leaves an RPC of its service unimplemented.

To stop: refuse new work with NODE_DRAINING and say NOT_SERVING, end the streams, let what is in
flight finish up to a bound, then close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from gateway.kernel.errors import InvariantViolated, PeerUnreachable
from gateway.kernel.values import dataclass
from gateway.server.access import HEALTH, MATRIX, REFLECTION
from gateway.server.health import NodeHealth
from gateway.server.interceptors import Gate

HARD_LIMIT_FACTOR = 4  # a request between the bound and gRPC's own gets a typed error
ANSWER_BYTES_MAX = 17 * 1024 * 1024  # a signed roster of 16 MiB
CONCURRENT_RPCS_MAX = 1024  # more only wait for the database
CLOSE_GRACE = timedelta(milliseconds=200)  # for health watchers to read the last word
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Service:
    """A servicer and the generated function that registers it."""

    add: Callable[[Any, Any], None]
    servicer: object


class Server:
    """A built server; `start`, then `drain`."""

    def __init__(
        self,
        *,
        server: grpc.aio.Server,
        gate: Gate,
        health: NodeHealth,
        services: frozenset[str],
        port: int,
    ) -> None:
        """Made by `build_server`."""
        self._server = server
        self._traffic = gate.traffic
        self._health = health
        self.services = services
        self.port = port

    async def start(self) -> None:
        """Begin to serve."""
        await self._server.start()
        for service in ("", *sorted(self.services)):
            await self.set_serving(service, is_serving=True)
        log.info("server.started", port=self.port, services=sorted(self.services))

    async def set_serving(self, service: str, *, is_serving: bool) -> None:
        """Tell the health of one service, or with an empty name of the node."""
        await self._health.set_serving(service, is_serving=is_serving)

    async def drain(self, *, within: timedelta) -> bool:
        """Stop cleanly; return whether everything in flight ended within the bound."""
        in_flight = self._traffic.in_flight
        log.info("server.draining", in_flight=in_flight)
        self._traffic.begin_drain()
        await self._health.enter_graceful_shutdown()
        is_clean = False
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                await self._traffic.drained()
                is_clean = True
        await self._server.stop(CLOSE_GRACE.total_seconds())
        log.info("server.stopped", clean=is_clean)
        return is_clean

    async def stop(self) -> None:
        """Stop at once; what is in flight is cancelled and will be asked for again."""
        await self._server.stop(None)

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._server.wait_for_termination()


def build_server(
    *,
    bind: str,
    credentials: grpc.ServerCredentials,
    services: Sequence[Service],
    configured: Iterable[str],
    gate: Gate,
    concurrent_rpcs_max: int = CONCURRENT_RPCS_MAX,
    with_reflection: bool = False,
    is_port_shared: bool = False,
) -> Server:
    """Build the server of a node; nothing is served before `start`.

    Args:
        bind: `host:port`; port 0 takes a free one.
        credentials: see `CredentialHolder.server`.
        services: what to register, without health and reflection.
        configured: full names of the services that this node's roles call for (`services_of`).
        gate: the interceptor; it also knows the bound of a request.
        concurrent_rpcs_max: how many RPCs are served at once.
        with_reflection: whether callers may list the services; in development only.
        is_port_shared: whether other processes of the node listen on the same address.

    Raises:
        InvariantViolated: the services are not those configured, or not whole.
        PeerUnreachable: the address cannot be bound.
    """
    server = grpc.aio.server(
        interceptors=(gate,),
        options=_options(gate.request_bytes_max, is_port_shared=is_port_shared),
        maximum_concurrent_rpcs=concurrent_rpcs_max,
    )
    registry = _Registry(server)
    for service in services:
        service.add(service.servicer, registry)
        _check_whole(service.servicer, registry.newest)
    _check_configured(frozenset(registry.rpcs), frozenset(configured))
    names = frozenset(registry.rpcs)
    health = NodeHealth()
    add_health: Callable[[Any, Any], None] = health_pb2_grpc.add_HealthServicer_to_server
    add_health(health, registry)
    if with_reflection:
        shown = (*sorted(names), HEALTH, REFLECTION)
        add_reflection: Callable[[Any, Any], None] = (
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server
        )
        make_reflection: Callable[[Any], object] = ReflectionServicer
        add_reflection(make_reflection(shown), registry)
    _check_matrix(registry)
    try:
        port = server.add_secure_port(bind, credentials)
    except RuntimeError as error:
        raise PeerUnreachable(
            peer=f"address {bind}",
            got="it cannot be bound",
            hint="another process may listen there; choose another `bind` in node.toml",
        ) from error
    return Server(server=server, gate=gate, health=health, services=names, port=port)


def _options(request_bytes_max: int, *, is_port_shared: bool) -> tuple[tuple[str, int], ...]:
    return (
        ("grpc.max_receive_message_length", HARD_LIMIT_FACTOR * request_bytes_max),
        ("grpc.max_send_message_length", ANSWER_BYTES_MAX),
        # Two nodes on one port are a mistake; the kernel balances between workers of one node.
        ("grpc.so_reuseport", int(is_port_shared)),
        # Municipal firewalls forget idle connections; watchers keep theirs for an hour.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
    )


class _Registry:
    """Stands before the server while services are registered and remembers what was."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.rpcs: dict[str, frozenset[str]] = {}
        self.newest = ""

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Pass on handlers that a generated function registers."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Pass on and remember the RPCs of a service."""
        if service in self.rpcs:
            raise InvariantViolated(invariant="a service is registered once", got=service)
        self.rpcs[service] = frozenset(handlers)
        self.newest = service
        self._server.add_registered_method_handlers(service, handlers)


def _check_configured(registered: frozenset[str], configured: frozenset[str]) -> None:
    if registered != configured:
        missing = ", ".join(sorted(configured - registered)) or "none"
        surplus = ", ".join(sorted(registered - configured)) or "none"
        raise InvariantViolated(
            invariant="registered services are those of the node's roles",
            got=f"missing {missing}; not configured {surplus}",
        )


def _check_matrix(registry: _Registry) -> None:
    methods = {f"/{service}/{rpc}" for service, rpcs in registry.rpcs.items() for rpc in rpcs}
    lacking = sorted(methods - MATRIX.keys())
    if lacking:
        raise InvariantViolated(
            invariant="every RPC has a row in the access matrix", got=", ".join(lacking)
        )


def _check_whole(servicer: object, service: str) -> None:
    """Refuse a servicer that inherits an RPC from the generated base class."""
    bases = [base for base in type(servicer).__mro__ if base.__module__.endswith("_pb2_grpc")]
    inherited = sorted(
        name
        for base in bases
        for name, member in vars(base).items()
        if callable(member) and getattr(type(servicer), name) is member
    )
    if inherited:
        raise InvariantViolated(
            invariant=f"service {service} is implemented whole", got=", ".join(inherited)
        )
