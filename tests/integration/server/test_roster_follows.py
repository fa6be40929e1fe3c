"""A node follows the directory over real mutual TLS, also after the directory was away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from gateway.directory.follower import RosterFollower
from gateway.directory.holder import RosterHolder
from gateway.directory.servicer import FederationServicer
from gateway.directory.store import RosterFile
from gateway.kernel.errors import ResourceNotFound
from gateway.server.client import error_of_call
from gateway.trust.keys import Purpose, generate
from gateway.trust.roster_file import sign_roster
from hotline.federation.v1 import federation_service_pb2 as federation_pb
from hotline.federation.v1 import federation_service_pb2_grpc as federation_grpc
from tests.integration.server.builders import CLOCK, a_node
from tests.unit.trust.builders import a_roster

pytestmark = pytest.mark.integration
KEY = generate(Purpose.STATEMENT)


def a_holder(path: Path) -> RosterHolder:
    return RosterHolder(file=RosterFile(path), roster_key=KEY.public, allow_demo=False, clock=CLOCK)


async def test_a_follower_gets_the_present_and_every_later_roster(tmp_path: Path) -> None:
    directory, own = a_holder(tmp_path / "directory"), a_holder(tmp_path / "own")
    first, second = (sign_roster(a_roster(version=version), KEY) for version in (1, 2))
    await directory.install(first)
    async with a_node(tmp_path, federation=FederationServicer(holder=directory)) as node:
        follower = RosterFollower(holder=own, open_channel=node.peer)
        task = asyncio.create_task(follower.run())
        assert await own.newer_than(0) == first
        await directory.install(second)
        assert await own.newer_than(1) == second
        task.cancel()
    assert (tmp_path / "own").read_bytes() == second


async def test_a_follower_waits_longer_each_time_and_never_gives_up(tmp_path: Path) -> None:
    own = a_holder(tmp_path / "own")
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            raise asyncio.CancelledError

    follower = RosterFollower(
        holder=own,
        open_channel=lambda: grpc.aio.insecure_channel("127.0.0.1:1"),
        sleep=sleep,
    )
    with pytest.raises(asyncio.CancelledError):
        await follower.run()
    assert pauses[0] <= 1
    assert 30 <= pauses[-1] <= 60


async def test_after_a_success_the_follower_is_quick_again(tmp_path: Path) -> None:
    directory, own = a_holder(tmp_path / "directory"), a_holder(tmp_path / "own")
    await directory.install(sign_roster(a_roster(version=1), KEY))
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 6:
            raise asyncio.CancelledError

    async with a_node(tmp_path, federation=FederationServicer(holder=directory)) as node:
        follower = RosterFollower(
            holder=own,
            open_channel=lambda: (
                node.peer() if len(pauses) == 5 else grpc.aio.insecure_channel("127.0.0.1:1")
            ),
            sleep=sleep,
        )
        task = asyncio.create_task(follower.run())
        await own.newer_than(0)
        await node.server.stop()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert pauses[4] > 4
    assert pauses[5] <= 1


async def test_a_node_without_a_roster_says_so(tmp_path: Path) -> None:
    servicer = FederationServicer(holder=a_holder(tmp_path / "none"))
    async with a_node(tmp_path, federation=servicer) as node:
        stub = federation_grpc.FederationServiceStub(node.peer())
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.GetRoster(federation_pb.GetRosterRequest(), timeout=5)
    assert isinstance(error_of_call(failure.value, peer="x"), ResourceNotFound)
