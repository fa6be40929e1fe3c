"""`lubiao case` talks to an arbiter's node over real mutual TLS, with a staff certificate."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from gateway.cli.ca import write_folder
from gateway.cli.main import main
from gateway.database.memory import MemoryDatabase
from gateway.server.access import ARBITRATION
from gateway.server.context import principal_of
from gateway.server.server import Service
from gateway.trust.certificates import node_host
from gateway.trust.principal import Role
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as arbitration_grpc
from tests.contract.arbitration.builders import Desk, a_desk
from tests.integration.server.builders import CLOCK, NODE, Node, a_node
from tests.unit.arbitration.builders import BAODING, LANGFANG, a_filing

CASE = a_filing().key.case
RULE = (
    *("case", "rule", CASE, "--kind", "reassign", "--to", LANGFANG),
    *("--basis", "属地管理原则（测试）", "--reasons", "事发地在该市辖区内（测试）。"),
)
Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture(autouse=True)
def _no_log_lines() -> Iterator[None]:
    with structlog.testing.capture_logs():  # the server's, which lives in the same process
        yield


@asynccontextmanager
async def a_panel(
    folder: Path, capture: pytest.CaptureFixture[str], *roles: Role
) -> AsyncIterator[tuple[Run, Desk]]:
    """Run an arbiter's node with one case; commands come from a person with these roles."""
    desk = a_desk(MemoryDatabase(), principal_of=principal_of)
    await desk.file(a_filing())
    service = Service(arbitration_grpc.add_ArbitrationServiceServicer_to_server, desk.room.servicer)
    async with a_node(folder, more={ARBITRATION: service}) as node:
        yield a_command(node, folder, capture, *(roles or (Role.PANEL_MEMBER,))), desk


def a_command(node: Node, folder: Path, capture: pytest.CaptureFixture[str], *roles: Role) -> Run:
    """Return a function that runs `lubiao` as a person of Hebei, in a thread of its own."""
    issued = node.hebei.issue_staff("panel1", frozenset(roles), now=CLOCK.now())
    write_folder(issued, folder / "panel1", root=node.root.certificate)

    async def run(*arguments: str) -> tuple[int, str, str]:
        options = (
            *("--node", f"127.0.0.1:{node.server.port}"),
            *("--cert", str(folder / "panel1"), "--host", node_host(NODE)),
        )
        code = await asyncio.to_thread(main, [*arguments, *options])
        captured = capture.readouterr()
        return code, captured.out, captured.err

    return run


async def test_a_panel_member_lists_shows_and_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_panel(tmp_path, capsys) as (run, desk):
        code, out, _ = await run("case", "list", "--filter", 'state = "FILED"', "--json")
        assert code == 0
        assert [case["name"] for case in json.loads(out)] == [f"cases/{CASE}"]
        _, out, _ = await run("case", "list")
        assert "已提请" in out
        _, out, _ = await run("case", "show", CASE)
        assert "首接负责: 130100" in out
        code, out, err = await run(*RULE, "--yes", "--json")
        assert code == 0, err
        assert json.loads(out)["state"] == "STATE_RULED"
        [told] = desk.ruler.told
        assert told["target"] == LANGFANG
        _, out, _ = await run("case", "show", CASE)
        assert "事发地在该市辖区内" in out
        assert "130000/staff/panel1" in out


async def test_the_same_command_again_makes_no_second_ruling(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_panel(tmp_path, capsys) as (run, desk):
        first = await run(*RULE, "--yes", "--json")
        assert await run(*RULE, "--yes", "--json") == first
        assert len(desk.ruler.told) == 1


async def test_a_person_who_does_not_confirm_rules_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_panel(tmp_path, capsys) as (run, desk):
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
        code, out, err = await run(*RULE)
        assert (code, out) == (1, "")
        assert "签署后不可撤回" in err
        assert not desk.ruler.told
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        code, _, _ = await run(*RULE)
        assert (code, len(desk.ruler.told)) == (0, 1)


async def test_refusals_have_exit_codes_and_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_panel(tmp_path, capsys) as (run, desk):
        code, _, err = await run("case", "show", "none")
        assert code == 1
        assert "RESOURCE_NOT_FOUND" in err
        code, _, err = await run(*RULE[:-1], " ", "--yes")
        assert (code, "FIELD_INVALID" in err) == (2, True)
        code, _, err = await run(*RULE[:-1], "-")
        assert (code, "--yes" in err) == (2, True)
        code, _, err = await run("case", "list", "--filter", "citizen = x")
        assert (code, "FILTER_INVALID" in err) == (2, True)
        assert not desk.ruler.told


async def test_a_dispatcher_may_read_and_not_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_panel(tmp_path, capsys, Role.DISPATCHER) as (run, desk):
        code, _, _ = await run("case", "show", CASE)
        assert code == 0
        code, _, err = await run(*RULE, "--yes")
        assert code == 1
        assert "ROLE_MISSING" in err
        assert not desk.ruler.told


async def test_the_form_of_a_ruling_is_given_confirmed_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    joint = ("--form", "joint", "--part", BAODING)
    async with a_panel(tmp_path, capsys) as (run, desk):
        code, _, err = await run(*RULE, "--form", "joint", "--part", "保定", "--yes")
        assert code == 2
        assert "130600=041200" in err  # how a part is written
        code, _, err = await run(*RULE, "--form", "joint", "--yes")
        assert code == 2
        assert "parts" in err
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        code, _, err = await run(*RULE, *joint)
        assert code == 0, err
        assert f"共同办理 {BAODING}" in err
        [told] = desk.ruler.told
        assert [part.party for part in told["parts"]] == [BAODING]
        _, out, _ = await run("case", "show", CASE)
        assert "形式: 共同办理" in out
        assert f"分工: {BAODING}" in out
