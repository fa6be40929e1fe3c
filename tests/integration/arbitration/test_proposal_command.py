"""`lubiao case proposals` talks to a node over real mutual TLS, with certificates of its staff."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gateway.database.memory import MemoryDatabase
from gateway.server.access import ARBITRATION
from gateway.server.context import principal_of
from gateway.server.server import Service
from gateway.trust.principal import Role
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as arbitration_grpc
from tests.contract.arbitration.builders import NumberingRuler
from tests.contract.arbitration.court import Court, a_court, a_judge
from tests.fixtures.nodes import NOW
from tests.integration.arbitration.test_case_command import a_command
from tests.integration.server.builders import a_node
from tests.unit.arbitration.builders import LANGFANG, SHIJIAZHUANG, a_filing

FILING = a_filing(path=(SHIJIAZHUANG,), proposed_target=LANGFANG)
PROPOSAL = f"{FILING.key.case}.1"


@pytest.fixture(autouse=True)
def _no_log_lines() -> Iterator[None]:
    with structlog.testing.capture_logs():  # the server's, which lives in the same process
        yield


async def a_proposal() -> Court:
    """Return the rooms of 河北's node with a rule that a ruling between two cities proposes."""
    court = await a_court(MemoryDatabase(), ruler=NumberingRuler())
    async with court.office.database.unit() as uow:
        await court.room.arbitration.filed(uow, FILING, now=NOW)
    judge = a_judge(authority="130000")
    await court.ruled(await court.read(FILING.key.name, judge), target=LANGFANG, judge=judge)
    await court.proposals.prepare()
    return court


async def test_a_rule_editor_lists_reads_and_accepts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    court = await a_proposal()
    court.room.servicer._principal_of = principal_of
    service = Service(
        arbitration_grpc.add_ArbitrationServiceServicer_to_server, court.room.servicer
    )
    async with a_node(tmp_path, more={ARBITRATION: service}) as node:
        run = a_command(node, tmp_path, capsys, Role.RULE_EDITOR)
        code, out, _ = await run("case", "proposals", "--state", "open", "--json")
        assert code == 0
        assert [each["name"] for each in json.loads(out)] == [f"proposals/{PROPOSAL}"]
        _, out, _ = await run("case", "proposals")
        assert "待处理" in out
        _, out, _ = await run("case", "proposal", "show", PROPOSAL)
        assert "移交" in out or 'to: "place"' in out
        assert "重新派单" in out
        code, _, err = await run("case", "proposal", "accept", PROPOSAL, "--etag", "9")
        assert code != 0
        assert "已变更" in err
        code, out, _ = await run("case", "proposal", "accept", PROPOSAL)
        assert code == 0
        assert "已采纳" in out
        assert "130000.hebei" in out
        code, _, err = await run("case", "proposal", "decline", PROPOSAL, "--reason", "测试")
        assert code == 1
        assert "accepted" in err
        _, out, _ = await run("--lang", "en", "case", "proposals")
        assert "accepted" in out


async def test_a_panel_member_reads_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    court = await a_proposal()
    court.room.servicer._principal_of = principal_of
    service = Service(
        arbitration_grpc.add_ArbitrationServiceServicer_to_server, court.room.servicer
    )
    async with a_node(tmp_path, more={ARBITRATION: service}) as node:
        run = a_command(node, tmp_path, capsys, Role.PANEL_MEMBER)
        code, out, _ = await run("case", "proposal", "show", PROPOSAL, "--json")
        assert code == 0
        assert json.loads(out)["rule"].startswith("ruling.")
        code, _, err = await run("case", "proposal", "accept", PROPOSAL)
        assert code != 0
        assert "无权" in err
