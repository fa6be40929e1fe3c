"""Running the command inside the test, and a small federation made by it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from gateway.cli.main import main


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str


@dataclass
class Command:
    """The command with captured output."""

    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Answer:
        """Run `lubiao` with these arguments."""
        code = main([str(argument) for argument in arguments])
        captured = self.capture.readouterr()
        return Answer(code, captured.out, captured.err)

    def ok(self, *arguments: object) -> str:
        """Run and return the answer; it must succeed."""
        answer = self(*arguments)
        assert answer.code == 0, answer.err
        return answer.out


def a_node_folder(run: Command, base: Path, *, version: int = 1) -> Path:
    """Make root, CA of Hebei, roster key, node folder and a signed roster; return the folder."""
    folder = base / "hebei"
    run.ok("ca", "init", base / "root")
    run.ok("ca", "init", base / "ca-130000", "--name", "130000")
    run.ok("roster", "keygen", base / "roster")
    run.ok(
        *("init", folder, "--authority", "130000", "--hosts", "130000,131000"),
        *("--endpoint", "127.0.0.1:17443", "--node", "hebei", "--ca", base / "root"),
        *("--trust", base / "ca-130000", "--roster-key", base / "roster" / "roster-key.pem"),
    )
    sign_roster(run, base, version=version)
    return folder


def sign_roster(run: Command, base: Path, *, version: int, public: str = "public.yaml") -> None:
    """Sign a roster of the node in `base/hebei` and put it there."""
    keys = f"hebei/{public}"
    description = {
        "version": version,
        "nodes": [{"id": "hebei", "endpoint": "127.0.0.1:17443", "roles": ["custodian"]}],
        "authorities": [
            {"code": "130000", "name": "河北省", "node": "hebei", "public": keys},
            {"code": "131000", "name": "廊坊市", "node": "hebei", "public": keys},
        ],
    }
    (base / "roster.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    private = base / "roster" / "roster-key-private.pem"
    out = base / "hebei" / "roster.binpb"
    run.ok("roster", "sign", base / "roster.yaml", "--key", private, "--out", out)
