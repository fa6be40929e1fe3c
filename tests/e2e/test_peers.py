"""Operators of a running node see its peers, hold one back, and let it go again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.ca import write_folder
from gateway.cli.main import main
from gateway.cli.output import Exit
from gateway.trust.certificates import node_host
from gateway.trust.principal import Role
from hotline.operation.v1alpha1 import operation_service_pb2 as pb
from hotline.operation.v1alpha1 import operation_service_pb2_grpc as pb_grpc
from tests.fixtures.federations import (
    CALL_SECONDS,
    CLOCK,
    Running,
    a_ticket,
    refusal,
    request_id,
)

TIANJIN, HEBEI, LANGFANG = "120000", "130000", "131000"
SOON_SECONDS = 20.0
Lubiao = Callable[..., Any]


@pytest.fixture
def lubiao(federation: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Lubiao:
    """Return a function that runs `lubiao peer` as a system administrator of 天津."""
    issued = federation.ca(TIANJIN).issue_staff(
        "ops", frozenset({Role.SYSTEM_ADMINISTRATOR}), now=CLOCK.now()
    )
    write_folder(issued, tmp_path / "ops", root=federation.root().certificate)

    def run(*arguments: str, code: Exit = Exit.DONE) -> Any:
        endpoint = federation.federation.endpoints["tianjin"]
        found = main(
            [
                *("peer", *arguments, "--json"),
                *("--node", endpoint, "--cert", str(tmp_path / "ops")),
                *("--host", node_host("tianjin")),
            ]
        )
        captured = capsys.readouterr()
        assert found == code, captured.err
        return json.loads(captured.out) if captured.out else captured.err

    return run


def test_a_peer_is_held_back_and_let_go_and_nothing_is_lost(
    federation: Running, lubiao: Lubiao
) -> None:
    before = _waiting_for_a_person(federation)  # other tests of this node send bad things
    federation.until_held_by(LANGFANG, federation.hand_in(a_ticket()).name)
    [hebei] = [peer for peer in lubiao("list") if peer["name"] == "peers/hebei"]
    assert hebei["breaker"] == "BREAKER_CLOSED"
    assert hebei["reach_time"]
    assert int(hebei["received"]) > 0

    paused = lubiao("pause", "hebei", "--reason", "maintenance")
    assert (paused["mode"], paused["mode_reason"]) == ("MODE_PAUSED", "maintenance")
    time.sleep(1.5)  # every process of the node reads the order each second
    name = federation.hand_in(a_ticket()).name
    end = time.monotonic() + SOON_SECONDS
    while int(lubiao("show", "hebei").get("waiting", "0")) == 0:
        assert time.monotonic() < end, "nothing waits for the paused peer"
    assert "lubiao_peer_paused" in federation.metrics("tianjin")

    assert lubiao("resume", "hebei")["mode"] == "MODE_OPEN"
    federation.until_held_by(LANGFANG, name)
    shown = lubiao("undelivered", code=Exit.NO if before else Exit.DONE)
    assert {item["name"] for item in shown} == before


def test_only_system_administrators_of_the_node_operate_it(federation: Running) -> None:
    pause = pb.PausePeerRequest(name="peers/tianjin", reason="x", request_id=request_id())
    for roles, authority, reason in (
        ((Role.DISPATCHER, Role.SUPERVISOR), HEBEI, "ROLE_MISSING"),
        ((Role.SYSTEM_ADMINISTRATOR,), LANGFANG, "PEER_NOT_ALLOWED"),
    ):
        stub = pb_grpc.OperationServiceStub(federation.channel(authority, *roles))
        refused = refusal(stub.PausePeer, pause)
        assert refused.reason == reason
    stub = pb_grpc.OperationServiceStub(federation.channel(HEBEI, Role.SYSTEM_ADMINISTRATOR))
    peers = stub.ListPeers(pb.ListPeersRequest(), timeout=CALL_SECONDS).peers
    assert "peers/tianjin" in {peer.name for peer in peers}


def test_bad_requests_of_operators_are_refused(federation: Running, lubiao: Lubiao) -> None:
    assert "RESOURCE_NOT_FOUND" in lubiao("show", "nobody", code=Exit.NO)
    assert "RESOURCE_NOT_FOUND" in lubiao("discard", "refused-x", "--note", "x", code=Exit.NO)
    stub = pb_grpc.OperationServiceStub(federation.channel(TIANJIN, Role.SYSTEM_ADMINISTRATOR))
    for request in (
        pb.PausePeerRequest(name="peers/hebei", reason="", request_id=request_id()),
        pb.PausePeerRequest(name="peers/../x", reason="x", request_id=request_id()),
        pb.PausePeerRequest(name="peers/hebei", reason="x" * 201, request_id=request_id()),
        pb.PausePeerRequest(name="peers/hebei", reason="x", request_id="1"),
    ):
        assert refusal(stub.PausePeer, request).reason == "FIELD_INVALID"
    page = pb.ListUndeliveredRequest(page_token="x" * 20)
    assert refusal(stub.ListUndelivered, page).reason == "PAGE_TOKEN_INVALID"


def _waiting_for_a_person(federation: Running) -> set[str]:
    stub = pb_grpc.OperationServiceStub(federation.channel(TIANJIN, Role.SYSTEM_ADMINISTRATOR))
    request = pb.ListUndeliveredRequest(page_size=100)
    return {each.name for each in stub.ListUndelivered(request, timeout=CALL_SECONDS).undelivered}
