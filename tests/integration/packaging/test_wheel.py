"""The wheel holds all that a node needs: packages, SQL, the standard, the rules."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOOK = """
import adapters, buf.validate.validate_pb2, gateway, gateway.kernel.codes
import hotline.ticket.v1.ticket_pb2
from gateway.kernel.data import data_path
rules = data_path("routing_rules/reference/matters.csv")
print(gateway.__file__, hotline.__file__, rules, sep="\\n")
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    (found,) = folder.glob("lubiao-*.whl")
    return found


def test_an_installed_wheel_finds_packages_and_rules(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)

    command = [sys.executable, "-P", "-c", LOOK]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    answer = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert answer.returncode == 0, answer.stderr
    assert all(Path(line).is_relative_to(installed) for line in answer.stdout.split())


def test_a_wheel_carries_sql_protos_rules_and_the_command(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = [
        path
        for folder in ("adapters", "gateway", "proto/hotline", "routing_rules")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".csv", ".json", ".jsonl", ".proto", ".sql", ".yaml"}
    ]
    assert tracked
    expected = {
        path.relative_to(ROOT)
        .as_posix()
        .replace("proto/hotline", "hotline")
        .replace("routing_rules", "gateway/_data/routing_rules")
        for path in tracked
    }
    assert not expected - names
    entry_points = zipfile.ZipFile(wheel).read("lubiao-0.1.0.dist-info/entry_points.txt").decode()
    assert "lubiao = gateway.cli.main:main" in entry_points


def test_a_wheel_carries_nothing_of_development(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"adapters", "buf", "gateway", "hotline", "lubiao-0.1.0.dist-info"}
