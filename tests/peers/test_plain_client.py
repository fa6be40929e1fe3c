"""A client that knows nothing but `proto/` takes a ticket from 天津 to a unit of 廊坊."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from gateway.cli.ca import write_folder
from tests.fixtures.federations import CLOCK, Running
from tests.fixtures.golden import ROOT

CLIENT = ROOT / "docs" / "examples" / "plain_client.py"
FOREIGN = {"google", "grpc", "hotline"}  # what a vendor has: gRPC, protobuf, the generated code
SECONDS_MAX = 25


def run_client(
    federation: Running, folder: Path, *further: str, node: str = "tianjin"
) -> subprocess.CompletedProcess[str]:
    """Run the client with a certificate of a platform of 天津 and `proto/` alone."""
    certificates = folder / "platform"
    if not certificates.exists():
        issued = federation.ca("120000").issue_platform("120000-p1", now=CLOCK.now())
        write_folder(issued, certificates, root=federation.root().certificate)
    endpoint = federation.federation.endpoints[node]
    return subprocess.run(
        [
            *(sys.executable, str(CLIENT), "--node", endpoint),
            *("--certificates", str(certificates), "--seconds", str(SECONDS_MAX), *further),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "proto")},
    )


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return what the client printed."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_plain_client_hands_in_a_ticket_and_sees_a_unit_of_langfang_get_it(
    federation: Running, tmp_path: Path
) -> None:
    done = run_client(federation, tmp_path)

    assert done.returncode == 0, done.stderr
    created, *changes = lines(done)
    assert created["event"] == "created"
    assert {change["ticket"] for change in changes} == {created["ticket"]}
    last = changes[-1]
    assert last["custodian"] == "131000"
    assert last["path"] == ["120000", "130000", "131000"]
    assert last["units"][0] == "units/131082-JT-1"
    assert last["followed"]
    # The custodian says the same of itself.
    assert federation.until_held_by("131000", created["ticket"]).state


def test_the_same_message_again_is_the_same_ticket(federation: Running, tmp_path: Path) -> None:
    number = f"PLAIN-{uuid.uuid4()}"

    first = lines(run_client(federation, tmp_path, "--external-id", number))
    again = lines(run_client(federation, tmp_path, "--external-id", number))

    assert first[0]["ticket"] == again[0]["ticket"]


def test_a_refused_client_is_told_reason_and_metadata(federation: Running, tmp_path: Path) -> None:
    done = run_client(federation, tmp_path, "--external-id", "X" * 81)

    assert done.returncode == 3
    assert done.stderr.startswith("FIELD_INVALID")
    assert "ticket.external_id" in done.stderr


def test_the_client_imports_nothing_of_the_gateway() -> None:
    found: set[str] = set()
    for node in ast.walk(ast.parse(CLIENT.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add((node.module or "").partition(".")[0])
    assert "hotline" in found
    assert found <= FOREIGN | sys.stdlib_module_names
