"""`lubiao case panel|figures|watch|export|verify` over real mutual TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gateway.server.access import ARBITRATION
from gateway.server.server import Service
from gateway.trust.principal import Role
from gateway.trust.roster_file import sign_roster
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as arbitration_grpc
from tests.fixtures import dossiers
from tests.fixtures.nodes import a_person
from tests.integration.arbitration.test_case_command import CASE, RULE, a_command, a_panel
from tests.integration.arbitration.test_dossiers import ruled
from tests.integration.arbitration.test_parties_elsewhere import a_dispute
from tests.integration.arbitration.test_the_nation_rules import HEBEI
from tests.integration.server.builders import a_node

DAYS = ("--from", "2026-03-01", "--to", "2026-03-31")


@pytest.fixture(autouse=True)
def _no_log_lines() -> Iterator[None]:
    with structlog.testing.capture_logs():  # the server's, which lives in the same process
        yield


async def test_a_panel_member_sees_what_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_panel(tmp_path, capsys) as (run, _):
        code, out, err = await run("case", "panel", CASE)
        assert code == 0, err
        assert "最小案情" in out
        assert "候选" in out
        code, out, _ = await run("case", "panel", CASE, "--json")
        assert json.loads(out)["ticket"]["extent"] == "EXTENT_MINIMISED"


async def test_a_dispatcher_sees_no_panel_view_and_no_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_panel(tmp_path, capsys, Role.DISPATCHER) as (run, _):
        for command in (("case", "panel", CASE), ("case", "figures", *DAYS)):
            code, _, err = await run(*command)
            assert (code, "ROLE_MISSING" in err) == (1, True)


async def test_figures_say_what_they_are_and_withhold_what_is_few(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_panel(tmp_path, capsys, Role.SUPERVISOR) as (run, _):
        code, out, err = await run("case", "figures", *DAYS)
        assert code == 0, err
        assert "130100" in out
        assert "–" in out
        assert "威尔逊" in err
        code, out, _ = await run("case", "figures", *DAYS, "--json")
        assert json.loads(out)["threshold"] == 10
        code, _, err = await run("case", "figures", "--from", "2026-03-02", "--to", "2026-03-01")
        assert (code, "FIELD_INVALID" in err) == (2, True)


async def test_changes_are_watched_and_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_panel(tmp_path, capsys) as (run, _):
        code, out, err = await run("case", "watch", "--limit", "1", "--json")
        assert code == 0, err
        first = json.loads(out)
        assert first["case"]["state"] == "STATE_FILED"
        await run(*RULE, "--yes")
        token = first["resume_token"]
        _, out, _ = await run("case", "watch", "--resume", token, "--limit", "1")
        assert "已裁定" in out


async def test_a_case_is_exported_and_verified_without_the_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dispute = await a_dispute()
    name = await ruled(dispute)
    dispute.caller = a_person(HEBEI, Role.SUPERVISOR)  # as the certificate says, too
    servicer = dispute.rooms[HEBEI].servicer
    service = Service(arbitration_grpc.add_ArbitrationServiceServicer_to_server, servicer)
    file, roster = tmp_path / "case.dossier", tmp_path / "roster.binpb"
    roster.write_bytes(sign_roster(dispute.federation.roster, dossiers.ROSTER_KEY))
    async with a_node(tmp_path, more={ARBITRATION: service}) as node:
        run = a_command(node, tmp_path, capsys, Role.SUPERVISOR)
        code, out, err = await run("case", "export", name, "--out", str(file))
        assert (code, out.strip()) == (0, str(file)), err
        code, _, err = await run("case", "export", name, "--out", str(file))
        assert (code, "FIELD_INVALID" in err) == (2, True)  # never over another file
        code, _, err = await run("case", "export", name, "--out", f"{file}2", "--with-words")
        assert (code, "PURPOSE_MISSING" in err) == (1, True)
        assert left_in(tmp_path, "case.dossier*") == ["case.dossier"]  # no half of the second
    verified = dossiers.check(file.read_bytes(), rosters=(dispute.federation.roster,))
    assert verified.flaw is None


def left_in(folder: Path, pattern: str) -> list[str]:
    return [path.name for path in folder.glob(pattern)]
