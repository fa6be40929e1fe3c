"""`lubiao custody export|verify`: from a node's chunks to a file, and what people read about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.connection import Target
from gateway.cli.evidence import STEPS
from gateway.cli.main import main
from gateway.evidence.dossier import Check
from gateway.kernel.errors import PeerUnreachable
from gateway.trust.key_files import save_public_key
from gateway.trust.roster_file import sign_roster
from hotline.custody.v1 import custody_service_pb2 as pb
from hotline.custody.v1 import custody_service_pb2_grpc
from tests.simulation.stage import Stage
from tests.unit.evidence.evidence_files import ROSTER_KEY, export

NUMBER = "12000020260302000010012"
NODE = ("--node", "node.invalid:7443", "--cert", "certs")


@dataclass
class Wire:
    """A node that sends some chunks, and may break off."""

    chunks: list[bytes]
    breaks: bool = False
    asked: list[pb.ExportCustodyRequest] = field(default_factory=list)

    def ExportCustody(
        self, request: pb.ExportCustodyRequest, **options: float
    ) -> AsyncIterator[pb.ExportCustodyResponse]:
        assert options["timeout"] > 0
        self.asked.append(request)

        async def answer() -> AsyncIterator[pb.ExportCustodyResponse]:
            for chunk in self.chunks:
                yield pb.ExportCustodyResponse(chunk=chunk)
            if self.breaks:
                raise PeerUnreachable(peer="node.invalid", got="closed")

        return answer()


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire([b"first", b"second"])

    def ask(self: Target, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return asyncio.run(work(None))  # type: ignore[arg-type] # a coroutine

    monkeypatch.setattr(Target, "ask", ask)
    monkeypatch.setattr(custody_service_pb2_grpc, "CustodyServiceStub", lambda channel: made)
    return made


@dataclass
class Files:
    """A true file, the roster that it needs, and the key that signed it."""

    evidence: Path
    roster: Path
    key: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("evidence")

    async def make() -> tuple[Stage, bytes]:
        stage = Stage()
        ticket = await stage.create("120000")
        await stage.hand_over("120000", ticket, "130000")
        return stage, await export(stage, "130000", ticket)

    stage, raw = asyncio.run(make())
    made = Files(folder / "ticket.evidence", folder / "roster.binpb", folder / "roster-key.pem")
    made.evidence.write_bytes(raw)
    made.roster.write_bytes(sign_roster(stage.roster, ROSTER_KEY))
    save_public_key(made.key, ROSTER_KEY.public)
    return made


def test_the_chunks_become_one_file(wire: Wire, tmp_path: Path) -> None:
    out = tmp_path / "evidence"
    assert main(["custody", "export", NUMBER, "-o", str(out), *NODE]) == 0
    assert out.read_bytes() == b"firstsecond"
    assert wire.asked == [pb.ExportCustodyRequest(parent=f"tickets/{NUMBER}")]


def test_a_period_is_asked_for_by_its_days(wire: Wire, tmp_path: Path) -> None:
    out = str(tmp_path / "evidence")
    days = ("--from", "2026-03-01", "--to", "2026-03-31")
    assert main(["custody", "export", "-o", out, *days, *NODE]) == 0
    [asked] = wire.asked
    assert (asked.parent, asked.first_day, asked.last_day) == (
        "tickets/-",
        "2026-03-01",
        "2026-03-31",
    )


def test_content_is_asked_for_with_its_purpose(wire: Wire, tmp_path: Path) -> None:
    out = str(tmp_path / "evidence")
    wish = ("--with-content", "--purpose", "dispute")
    assert main(["custody", "export", NUMBER, "-o", out, *wish, *NODE]) == 0
    assert wire.asked[0].with_content
    assert wire.asked[0].purpose == "dispute"


def test_what_broke_off_leaves_no_file(wire: Wire, tmp_path: Path) -> None:
    wire.breaks = True
    assert main(["custody", "export", NUMBER, "-o", str(tmp_path / "evidence"), *NODE]) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given", [(), (NUMBER, "--from", "2026-03-01"), ("12000020260302000010013",)]
)
def test_either_a_number_or_a_period_is_exported(
    wire: Wire, tmp_path: Path, given: tuple[str, ...]
) -> None:
    assert main(["custody", "export", *given, "-o", str(tmp_path / "evidence"), *NODE]) == 2
    assert not wire.asked


def test_no_file_is_overwritten(wire: Wire, tmp_path: Path) -> None:
    out = tmp_path / "evidence"
    out.write_text("mine")
    assert main(["custody", "export", NUMBER, "-o", str(out), *NODE]) == 2
    assert out.read_text() == "mine"
    assert not wire.asked


def test_what_holds_is_shown_step_by_step_with_the_terms(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["custody", "verify", str(files.evidence), "--roster", str(files.roster)])
    captured = capsys.readouterr()
    assert code == 0
    assert all(text.chinese in captured.out for text in STEPS.values())
    assert "移交自 120000" in captured.out
    assert "全部成立" in captured.out
    assert not captured.err


def test_what_does_not_hold_is_named_in_both_languages(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bent = bytearray(files.evidence.read_bytes())
    bent[len(bent) // 2] ^= 1
    path = tmp_path / "bent"
    path.write_bytes(bytes(bent))
    arguments = ["custody", "verify", str(path), "--key", str(files.key)]
    assert main(arguments) == 1
    chinese = capsys.readouterr()
    assert "不成立" in chinese.out
    assert main(["--lang", "en", *arguments]) == 1
    assert "first flaw" in capsys.readouterr().out


def test_a_verdict_is_machine_readable(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["custody", "verify", str(files.evidence), "--key", str(files.key), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["holds"] is True
    assert [step["step"] for step in shown["steps"]] == [check.value for check in Check]
    assert {"120000", "130000"} <= {term["custodian"] for term in shown["terms"]}


def test_a_flaw_is_machine_readable(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut"
    path.write_bytes(files.evidence.read_bytes()[:1000])
    assert main(["custody", "verify", str(path), "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["flaw"]["step"] == Check.FILE.value
    assert shown["terms"] == []


def test_a_roster_that_its_key_did_not_sign_is_refused(files: Files, tmp_path: Path) -> None:
    bent = bytearray(files.roster.read_bytes())
    bent[100] ^= 1
    path = tmp_path / "roster"
    path.write_bytes(bytes(bent))
    given = ("--roster", str(path), "--key", str(files.key))
    assert main(["custody", "verify", str(files.evidence), *given]) != 0


def test_a_missing_file_is_a_matter_of_usage(tmp_path: Path) -> None:
    assert main(["custody", "verify", str(tmp_path / "nowhere")]) == 2


def test_two_files_are_verified_together(files: Files) -> None:
    both = [str(files.evidence), str(files.evidence)]
    assert main(["custody", "verify", *both, "--roster", str(files.roster)]) == 0
