"""`buf curl`, which nobody here wrote, asks a development node as docs/operations.md says."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.stage import Stage, running
from gateway.cli.ca import write_folder
from gateway.kernel.time import SystemClock
from gateway.trust.certificates import CertificateAuthority
from tests.fixtures.golden import ROOT

pytestmark = pytest.mark.timeout(180)  # three nodes start on a busy machine
BUF = Path(sys.executable).with_name("buf")
DOCUMENTED = "127.0.0.1:7443"


@pytest.fixture(name="stage", scope="module")
def _stage() -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUBIAO_DEVELOPMENT", "true")
        with running() as stage:
            yield stage


def documented_command() -> list[str]:
    """Return the words of the command in the chapter on operations."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    block = text.partition('<a id="by-hand">')[2].partition("```text\n")[2].partition("```")[0]
    return shlex.split(block.replace("\\\n", " "))


def ask(stage: Stage, command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with a platform's certificate against the real port."""
    if not folder.exists():
        layout = stage.federation.layout
        root = CertificateAuthority.load(layout.root_ca).certificate
        ca = CertificateAuthority.load(layout.ca("120000"))
        issued = ca.issue_platform("120000-p1", now=SystemClock().now())
        write_folder(issued, folder, root=root)
    endpoint = stage.federation.endpoints["tianjin"]
    words = [str(BUF), *(word.replace(DOCUMENTED, endpoint) for word in command[1:])]
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, timeout=30
    )


def test_the_documented_command_lists_tickets(stage: Stage, tmp_path: Path) -> None:
    done = ask(stage, documented_command(), tmp_path / "client")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_reflection_lists_the_services(stage: Stage, tmp_path: Path) -> None:
    command = documented_command()
    start = command.index("--data")
    command[start:] = ["--list-services", f"https://{DOCUMENTED}"]
    done = ask(stage, command, tmp_path / "client")
    assert done.returncode == 0, done.stderr
    assert "hotline.ticket.v1.TicketService" in done.stdout.split()


def test_a_refusal_carries_its_reason(stage: Stage, tmp_path: Path) -> None:
    command = [word.replace('"page_size": 5', '"page_size": 501') for word in documented_command()]
    done = ask(stage, command, tmp_path / "client")
    assert done.returncode != 0
    refused = json.loads(done.stderr)
    assert refused["code"] == "invalid_argument"
    assert "page_size" in refused["message"]
    assert "google.rpc.ErrorInfo" in {detail["type"] for detail in refused["details"]}
