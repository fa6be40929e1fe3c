"""A running server behind real mutual TLS, and people who call it. All keys are throw-away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import SystemClock
from gateway.server.access import FEDERATION, TICKETS, AccessCheck
from gateway.server.client import open_channel
from gateway.server.interceptors import REQUEST_BYTES_MAX, Gate, Refused
from gateway.server.server import (
    Server,
    Service,
    build_server,
)
from gateway.server.traffic import Quota, Traffic
from gateway.telemetry.metrics import Metrics
from gateway.trust.authentication import Authenticator
from gateway.trust.certificates import CertificateAuthority, IssuedCertificate, node_host
from gateway.trust.principal import Role
from gateway.trust.revocation import RevocationList, Revocations
from hotline.federation.v1 import federation_service_pb2 as federation_pb
from hotline.federation.v1 import federation_service_pb2_grpc as federation_grpc
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc

CLOCK = SystemClock()
NODE = "hebei"
Behaviour = Callable[[Any], Awaitable[Any]]


class FakeFederation(federation_grpc.FederationServiceServicer):
    """Answers as the test says to GetRoster, and once and then never to WatchRoster."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour
        self.began = asyncio.Event()

    async def GetRoster(
        self, request: federation_pb.GetRosterRequest, context: Any
    ) -> federation_pb.GetRosterResponse:
        self.began.set()
        if self.behaviour is not None:
            await self.behaviour(context)
        return federation_pb.GetRosterResponse()

    async def WatchRoster(
        self, request: federation_pb.WatchRosterRequest, context: Any
    ) -> AsyncIterator[federation_pb.WatchRosterResponse]:
        yield federation_pb.WatchRosterResponse()
        await asyncio.Event().wait()


def a_ticket_servicer(**answers: Behaviour) -> object:
    """Return a servicer of TicketService whose RPCs answer emptily, or as told."""

    async def empty(kind: Any, request: Any) -> Any:
        return kind()

    members: dict[str, Any] = {}
    for method in ticket_pb.DESCRIPTOR.services_by_name["TicketService"].methods:
        kind = getattr(ticket_pb, method.output_type.name)
        behaviour = answers.get(method.name) or partial(empty, kind)

        async def rpc(self: Any, request: Any, context: Any, behaviour: Any = behaviour) -> Any:
            return await behaviour(request)

        members[method.name] = rpc
    return type("FakeTickets", (ticket_grpc.TicketServiceServicer,), members)()


@dataclass
class Node:
    """A federation of one node, with its server running."""

    root: CertificateAuthority
    hebei: CertificateAuthority
    server: Server
    metrics: Metrics
    traffic: Traffic
    authenticator: Authenticator
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    def channel(self, client: IssuedCertificate) -> grpc.aio.Channel:
        """Return a channel with the certificate of `client`."""
        credentials = grpc.ssl_channel_credentials(
            self.root.certificate.pem, client.key_pem, client.certificate_pem
        )
        endpoint = f"127.0.0.1:{self.server.port}"
        channel = open_channel(endpoint, credentials, host=node_host(NODE))
        self.channels.append(channel)
        return channel

    def revoke(self, issued: IssuedCertificate) -> None:
        """Refuse a certificate of Hebei from now on."""
        serials = frozenset({issued.certificate.serial})
        self.authenticator.revoked = Revocations.of([RevocationList("130000", serials)])
        self.authenticator._known.clear()

    def staff(self, *roles: Role, person: str = "p1", outsourced: bool = False) -> grpc.aio.Channel:
        """Return a channel of a person of Hebei."""
        issued = self.hebei.issue_staff(
            person, frozenset(roles), now=CLOCK.now(), is_outsourced=outsourced
        )
        return self.channel(issued)

    def platform(self, name: str = "lf") -> grpc.aio.Channel:
        """Return a channel of a platform of Hebei."""
        return self.channel(self.hebei.issue_platform(name, now=CLOCK.now()))

    def peer(self, node: str = "tianjin") -> grpc.aio.Channel:
        """Return a channel of another node of the federation."""
        return self.channel(self.root.issue_node("120000", node, now=CLOCK.now()))


@asynccontextmanager
async def a_node(
    folder: Path,
    *,
    federation: object | None = None,
    tickets: object | None = None,
    quota: Quota | None = None,
    request_bytes_max: int = REQUEST_BYTES_MAX,
    refused: Refused | None = None,
    hosted: frozenset[str] = frozenset({"130000"}),
    more: Mapping[str, Service] | None = None,
    with_reflection: bool = False,
) -> AsyncIterator[Node]:
    """Run a server with FederationService, TicketService and what else a test names."""
    now = CLOCK.now()
    root = CertificateAuthority.create(folder / "root", "federation", now=now)
    hebei = CertificateAuthority.create(folder / "130000", "130000", now=now)
    issued = root.issue_node("130000", NODE, now=now)
    authenticator = Authenticator(
        root.certificate,
        {AuthorityCode("130000"): hebei.certificate},
        Revocations.none(),
    )
    metrics, traffic = Metrics(node=NODE), Traffic(node=NODE, quota=quota)
    gate = Gate(
        authenticate=lambda pem: authenticator.authenticate(pem, now=CLOCK.now()),
        access=AccessCheck(
            hosts=hosted.__contains__, knows_node=frozenset({NODE, "tianjin"}).__contains__
        ),
        traffic=traffic,
        metrics=metrics,
        refused=refused,
        request_bytes_max=request_bytes_max,
    )
    server = build_server(
        bind="127.0.0.1:0",
        credentials=grpc.ssl_server_credentials(
            [(issued.key_pem, issued.certificate_pem)],
            root_certificates=authenticator.trust_bundle(),
            require_client_auth=True,
        ),
        services=(
            Service(
                federation_grpc.add_FederationServiceServicer_to_server,
                federation or FakeFederation(),
            ),
            Service(
                ticket_grpc.add_TicketServiceServicer_to_server, tickets or a_ticket_servicer()
            ),
            *(more or {}).values(),
        ),
        configured={FEDERATION, TICKETS, *(more or {})},
        gate=gate,
        with_reflection=with_reflection,
    )
    await server.start()
    node = Node(root, hebei, server, metrics, traffic, authenticator)
    try:
        yield node
    finally:
        for channel in node.channels:
            await channel.close()
        await server.stop()
        metrics.close()
