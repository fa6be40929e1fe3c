"""A server that is not whole does not start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
import pytest

from gateway.kernel.errors import InvariantViolated
from gateway.server.access import FEDERATION, PEER, AccessCheck
from gateway.server.interceptors import Gate
from gateway.server.server import Server, Service, build_server
from gateway.server.traffic import Traffic
from gateway.telemetry.metrics import Metrics
from gateway.trust.principal import Principal
from hotline.federation.v1 import federation_service_pb2_grpc as federation_grpc


class Whole(federation_grpc.FederationServiceServicer):
    """Implements every RPC."""

    async def GetRoster(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def WatchRoster(self, request: Any, context: Any) -> Any:
        yield NotImplemented


def a_server(servicer: object, configured: Iterable[str]) -> Server:
    metrics = Metrics()
    gate = Gate(
        authenticate=lambda pem: Principal.system("130000"),
        access=AccessCheck(hosts=lambda code: True, knows_node=lambda node: True),
        traffic=Traffic(node="hebei"),
        metrics=metrics,
    )
    metrics.close()
    add = federation_grpc.add_FederationServiceServicer_to_server
    return build_server(
        bind="127.0.0.1:0",
        credentials=grpc.local_server_credentials(),
        services=(Service(add, servicer),),
        configured=configured,
        gate=gate,
    )


async def test_a_whole_and_configured_service_is_built() -> None:
    assert a_server(Whole(), {FEDERATION}).services == {FEDERATION}


async def test_a_half_implemented_service_is_refused() -> None:
    lacking = type(
        "Lacking",
        (federation_grpc.FederationServiceServicer,),
        {"GetRoster": Whole.GetRoster},
    )
    with pytest.raises(InvariantViolated, match="WatchRoster"):
        a_server(lacking(), {FEDERATION})


@pytest.mark.parametrize("configured", [(), (FEDERATION, PEER)])
async def test_a_difference_to_the_configuration_is_refused(configured: tuple[str, ...]) -> None:
    with pytest.raises(InvariantViolated, match="registered services"):
        a_server(Whole(), configured)
