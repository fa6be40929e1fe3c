"""`lubiao case` about units, over real mutual TLS: asked, heard, decided, objected to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from gateway.cli.ca import write_folder
from gateway.cli.main import main
from gateway.kernel.ids import AuthorityCode
from gateway.server.access import ARBITRATION
from gateway.server.context import principal_of
from gateway.server.server import Service
from gateway.trust.certificates import node_host
from gateway.trust.principal import Role
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as arbitration_grpc
from tests.fixtures.unit_panel import Court, a_court
from tests.integration.server.builders import CLOCK, NODE, Node, a_node

HEBEI = AuthorityCode("130000")
SECOND = "130000-SW-1"
BASIS = ("--basis", "职责清单第一条（测试）")
Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture(autouse=True)
def _no_log_lines() -> Iterator[None]:
    with structlog.testing.capture_logs():  # the server's, which lives in the same process
        yield


def a_command(node: Node, folder: Path, capture: pytest.CaptureFixture[str], *roles: Role) -> Run:
    """Return a function that runs `lubiao` as a person of Hebei, in a thread of its own."""
    who = "-".join(role.value for role in roles)
    issued = node.hebei.issue_staff(who, frozenset(roles), now=CLOCK.now())
    write_folder(issued, folder / who, root=node.root.certificate)

    async def run(*arguments: str) -> tuple[int, str, str]:
        options = (
            *("--node", f"127.0.0.1:{node.server.port}"),
            *("--cert", str(folder / who), "--host", node_host(NODE)),
        )
        code = await asyncio.to_thread(main, ["case", *arguments, *options])
        captured = capture.readouterr()
        return code, captured.out, captured.err

    return run


@asynccontextmanager
async def a_hotline(folder: Path) -> AsyncIterator[tuple[Node, Court]]:
    """Run Hebei's node, which rules about its own units, with one ticket."""
    court = a_court(authority=HEBEI, principal_of=principal_of)
    await court.receive()
    service = Service(
        arbitration_grpc.add_ArbitrationServiceServicer_to_server, court.room.servicer
    )
    async with a_node(folder, more={ARBITRATION: service}) as node:
        yield node, court


async def test_a_dispute_of_units_from_the_first_word_to_the_objection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_hotline(tmp_path) as (node, court):
        desk = a_command(node, tmp_path, capsys, Role.DISPATCHER)
        unit = a_command(node, tmp_path, capsys, Role.HANDLER)
        panel = a_command(node, tmp_path, capsys, Role.PANEL_MEMBER)
        holder = (await court.lead()).removeprefix("units/")
        opened = ("open", court.number, "--owner", SECOND, *BASIS, "--words", "职责交叉（测试）")
        code, out, err = await desk(*opened, "--json")
        assert code == 0, err
        case = json.loads(out)["name"].removeprefix("cases/")
        assert case == f"{court.number}-130000-0-0"
        assert (await desk(*opened, "--json"))[1] == out  # the same command, the first answer

        _, out, _ = await unit("list")
        assert "本级承办单位之间" in out
        _, out, _ = await panel("show", case)
        assert f"首接负责: units/{holder}" in out
        assert "职责交叉（测试）" in out
        code, _, err = await panel("take-up", case)
        assert code == 0, err
        position = ("position", case, "--owner", holder, *BASIS, "--words", "不归我单位（测试）")
        code, _, err = await unit(*position)
        assert (code, "party" in err) == (2, True)
        code, _, err = await unit(*position, "--party", SECOND)
        assert code == 0, err
        code, _, err = await panel("convene", case)
        assert code == 0, err
        minutes = (
            "minutes",
            case,
            "--attended",
            SECOND,
            "--attended",
            "BB",
            "--words",
            "纪要（测试）",
        )
        code, _, err = await panel(*minutes)
        assert code == 0, err

        rule = ("rule", case, "--kind", "reassign", "--target", SECOND, *BASIS)
        code, out, err = await panel(*rule, "--reasons", "其主管（测试）", "--yes", "--json")
        assert code == 0, err
        assert json.loads(out)["state"] == "STATE_CLOSED"
        assert await court.lead() == f"units/{SECOND}"
        objection = ("object", case, *BASIS, "--words", "不服（测试）", "--party", SECOND)
        code, out, err = await unit(*objection, "--json")
        assert (code, json.loads(out)["state"]) == (0, "STATE_OBJECTED"), err
        code, out, err = await panel("answer", case, "--words", "维持（测试）", "--json")
        assert (code, json.loads(out)["state"]) == (0, "STATE_CLOSED"), err


async def test_a_party_that_is_no_name_is_refused_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_hotline(tmp_path) as (node, court):
        desk = a_command(node, tmp_path, capsys, Role.DISPATCHER)
        asked = ("open", court.number, *BASIS, "--words", "测试", "--owner", "公安局")
        code, _, err = await desk(*asked)
        assert (code, "130100-GA-1" in err) == (2, True)
        code, _, err = await desk("open", "12", *BASIS, "--words", "测试")
        assert (code, "RESOURCE_NOT_FOUND" in err) == (1, True)
        assert not (await court.copy()).case
