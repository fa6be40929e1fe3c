"""`lubiao aggregates` and `lubiao hub` over real mutual TLS: from the tickets to the map."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.aggregates.drawing import NoiseProcess
from gateway.aggregates.model import ReportPolicy
from gateway.aggregates.servicer import AggregateServicer
from gateway.cli.ca import write_folder
from gateway.cli.main import main
from gateway.delivery.codec import numbered_envelope
from gateway.delivery.store import OUTBOX_DUE
from gateway.hub.servicer import HubServicer
from gateway.server.access import AGGREGATES, HUB
from gateway.server.context import principal_of
from gateway.server.server import Service
from gateway.tickets.tokens import Tokens
from gateway.trust.certificates import node_host
from gateway.trust.principal import Role
from hotline.aggregate.v1alpha1 import aggregate_service_pb2_grpc as aggregate_grpc
from hotline.hub.v1alpha1 import hub_service_pb2_grpc as hub_grpc
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.fixtures.nodes import reference
from tests.integration.server.builders import CLOCK, NODE, Node, a_node
from tests.unit.aggregates.builders import AT_HEBEI, AT_HUB, DAY, NOW, Province
from tests.unit.hub.builders import Hub

pytestmark = pytest.mark.integration
Run = Callable[..., Awaitable[tuple[int, str, str]]]
EXACT = 240  # far above the threshold: withheld with a chance below 10⁻⁴⁰


@pytest.fixture(autouse=True)
def _no_log_lines() -> Iterator[None]:
    with structlog.testing.capture_logs():  # the server's, which lives in the same process
        yield


def serving(folder: Path, province: Province, hub: Hub) -> AbstractAsyncContextManager[Node]:
    aggregates = AggregateServicer(
        reports=province.reports, tokens=Tokens(b"k" * 32), principal_of=principal_of
    )
    national = HubServicer(national_map=hub.map, reference=reference)
    return a_node(
        folder,
        more={
            AGGREGATES: Service(aggregate_grpc.add_AggregateServiceServicer_to_server, aggregates),
            HUB: Service(hub_grpc.add_HubServiceServicer_to_server, national),
        },
    )


def a_command(node: Node, folder: Path, capture: pytest.CaptureFixture[str], *roles: Role) -> Run:
    """Return a function that runs `lubiao` with these roles of Hebei, in a thread of its own."""
    name = "-".join(sorted(role.value for role in roles))
    issued = node.hebei.issue_staff("p1", frozenset(roles), now=CLOCK.now())
    write_folder(issued, folder / name, root=node.root.certificate)

    async def run(*arguments: object) -> tuple[int, str, str]:
        options = (
            *("--node", f"127.0.0.1:{node.server.port}"),
            *("--cert", str(folder / name), "--host", node_host(NODE)),
        )
        code = await asyncio.to_thread(main, [*map(str, arguments), *options])
        captured = capture.readouterr()
        return code, captured.out, captured.err

    return run


async def deliver(province: Province, hub: Hub) -> list[bytes]:
    """Carry what waits in the outbox to the hub, and return the envelopes."""
    async with province.database.unit() as uow:
        rows = await uow.select(OUTBOX_DUE, node=AT_HUB, now=NOW + DAY, limit=100)
    envelopes = [numbered_envelope(row.envelope, incarnation=1, sequence=1) for row in rows]
    for envelope in envelopes:
        await hub.inbox.take(peer_pb.Envelope.FromString(envelope), peer=AT_HEBEI)
    return envelopes


async def test_from_the_tickets_of_a_day_to_the_national_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    province, hub = Province(noise=NoiseProcess()), Hub(tmp_path / "hub")
    await hub.map.start()
    await province.receive(*range(EXACT), matter="041200")
    await province.receive(EXACT + 1, matter="050100")
    async with serving(tmp_path, province, hub) as node:
        staff = a_command(node, tmp_path, capsys, Role.SUPERVISOR)
        analyst = a_command(node, tmp_path, capsys, Role.HUB_ANALYST)

        code, out, _ = await staff("aggregates", "preview", "--day", 20260301, "--json")
        assert code == 0
        cells = {cell["matter"]: cell for cell in json.loads(out)["cells"]}
        assert cells["040000"]["exact_count"] == str(EXACT)
        assert cells["050000"]["exact_count"] == "1"
        assert (await analyst("hub", "map"))[0] == 1  # nothing has left

        code, out, _ = await staff("aggregates", "push", "--day", 20260301, "--json")
        assert code == 0
        first = json.loads(out)
        pushed = {cell["matter"]: cell for cell in first["report"]["report"]["cells"]}
        code, out, err = await staff("aggregates", "push", "--day", 20260301, "--json")
        assert json.loads(out) == first | {"repeated": True}
        code, out, err = await staff("aggregates", "push", "--day", 20260301)
        assert "返回原件" in err

        [envelope] = await deliver(province, hub)
        code, out, _ = await analyst("hub", "map", "--json")
        assert code == 0
        answer = json.loads(out)
        assert [item["days"] for item in answer["provinces"]] == [[20260301]]
        shown = {cell["matter"]: cell for cell in answer["cells"]}
        assert shown["040000"]["count"] == pushed["040000"]["count"]
        assert shown["040000"]["matter_name"] == "交通运输"
        assert len(shown) == len(reference_domain())
        withheld = [cell for cell in pushed.values() if cell.get("suppressed")]
        assert len(withheld) == sum(cell.get("suppressed", False) for cell in shown.values())

        for words in (
            ("hub", "map"),
            ("aggregates", "preview", "--day", "20260301"),
            ("aggregates", "ledger"),
            ("aggregates", "reports"),
        ):
            run = analyst if words[0] == "hub" else staff
            code, out, err = await run(*words)
            assert code == 0, err
            assert "Traceback" not in out + err
    await hub.map.close()
    # Nothing of a ticket is in what travelled: no number, no platform's id, no region.
    for text in (b"T-1", b"H-1", b"120101", b"130000-p1", b"12000020260302"):
        assert text not in envelope


def reference_domain() -> list[str]:
    return [matter.code for matter in reference().matters if matter.level == 1]


async def test_who_may_not_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    province, hub = Province(policy=ReportPolicy(year_micro=0)), Hub(tmp_path / "hub")
    async with serving(tmp_path, province, hub) as node:
        clerk = a_command(node, tmp_path, capsys, Role.CLERK)
        dispatcher = a_command(node, tmp_path, capsys, Role.DISPATCHER)
        supervisor = a_command(node, tmp_path, capsys, Role.SUPERVISOR)
        cases: list[tuple[Run, tuple[Any, ...], str]] = [
            (clerk, ("aggregates", "preview"), "ROLE_MISSING"),
            (dispatcher, ("aggregates", "push", "--day", 20260301), "ROLE_MISSING"),
            (supervisor, ("hub", "map"), "ROLE_MISSING"),
            (supervisor, ("aggregates", "push", "--day", 20260302), "TRANSITION_NOT_ALLOWED"),
            (supervisor, ("aggregates", "push", "--day", 20260301), "BUDGET_EXCEEDED"),
        ]
        for run, words, reason in cases:
            code, _, err = await run(*words)
            assert (code, reason in err) == (1, True), err
        assert (await dispatcher("aggregates", "preview"))[0] == 0
        code, out, _ = await supervisor("aggregates", "ledger", "--json")
        [entry] = json.loads(out)["budget_entries"]
        assert entry["outcome"] == "OUTCOME_REFUSED"
    await hub.map.close()
