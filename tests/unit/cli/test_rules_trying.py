"""`lubiao rules simulate|diff|preview|explain|convert`: the command over the real service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.connection import Target
from gateway.database.memory import MemoryDatabase
from gateway.kernel.data import data_path
from gateway.kernel.time import ManualClock
from gateway.reference.data import ReferenceData
from gateway.rehearsal.servicer import RehearsalServicer
from gateway.routing.conditions import cel_conditions
from gateway.routing.document import load_document, write_document
from gateway.routing.packs import PackSet
from gateway.routing.service import RoutingService
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from tests.unit.cli.builders import Command
from tests.unit.rehearsal.builders import (
    HOSTED,
    JOINED,
    LANGFANG,
    NOW,
    a_rehearsal,
    an_editor,
    decided,
)
from tests.unit.rehearsal.test_simulate import KEPT, MOVED, a_draft

RULES = data_path("routing_rules")
NODE = ("--node", "node.invalid:7443", "--cert", "certs")
LANGFANG_PACK = RULES / "packs" / "131000.langfang.yaml"


@dataclass
class Wire:
    """A stub whose calls reach the real servicer, and what was asked of it."""

    servicer: RehearsalServicer
    asked: list[Any] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(request: Any, **options: float) -> Any:
            assert options["timeout"] > 0
            self.asked.append(request)
            # What crosses the wire is bytes.
            copy = type(request).FromString(request.SerializeToString())
            return getattr(self.servicer, name)(copy, None)

        return call


@dataclass
class Node:
    wire: Wire
    numbers: list[str]


async def a_servicer(numbers: list[str]) -> RehearsalServicer:
    reference = ReferenceData.load(RULES / "reference")
    packs = PackSet.load(
        RULES / "packs",
        authorities={"130000", LANGFANG},
        reference=reference,
        conditions=cel_conditions(),
    )
    database = MemoryDatabase()
    numbers += await decided(database, [MOVED] * 3 + [KEPT], packs=packs, reference=reference)
    routing = RoutingService(
        packs=packs,
        reference=reference,
        hosted=HOSTED,
        joined=lambda: JOINED,
        clock=ManualClock(NOW),
    )
    rehearsal = a_rehearsal(database, packs=packs, reference=reference)
    return RehearsalServicer(  # type: ignore[abstract] # what changes rules is not asked here
        routing, rehearsal=rehearsal, principal_of=lambda _: an_editor()
    )


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    numbers: list[str] = []
    wire = Wire(asyncio.run(a_servicer(numbers)))

    def ask(self: Target, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return asyncio.run(work(None))  # type: ignore[arg-type] # a coroutine

    monkeypatch.setattr(Target, "ask", ask)
    monkeypatch.setattr(routing_grpc, "RoutingServiceStub", lambda channel: wire)
    monkeypatch.setenv("COLUMNS", "300")
    return Node(wire, numbers)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    file = tmp_path / "131000.langfang.yaml"
    file.write_bytes(a_draft())
    return file


def test_simulate_tells_who_gains_and_who_loses(
    run: Command, node: Node, draft: Path, tmp_path: Path
) -> None:
    options = ("--authority", LANGFANG, "--until", "2026-11-21", "--days", 60, *NODE)
    html = tmp_path / "report.html"
    out = run.ok("rules", "simulate", draft, *options, "--html", html)
    assert "重新派单 4 件，去向改变 3 件（75.0%）" in out
    assert "units/131082-YB-1" in out
    assert node.numbers[0] in out
    assert "去向改变" in html.read_text(encoding="utf-8")
    found = json.loads(run.ok("rules", "simulate", draft, *options, "--json"))
    assert found["flows"][0]["count"] == 3
    assert "decided again" in run.ok("--lang", "en", "rules", "simulate", draft, *options)


def test_simulate_takes_a_decision_table(
    run: Command, node: Node, draft: Path, tmp_path: Path
) -> None:
    book = tmp_path / "draft.xlsx"
    run.ok("rules", "convert", draft, book)
    options = ("--authority", LANGFANG, "--until", "2026-11-21", "--days", 60, *NODE)
    assert "去向改变 3 件" in run.ok("rules", "simulate", book, *options)
    assert node.wire.asked[-1].sources == [write_document(load_document(draft.read_bytes()))]


def test_a_wrong_day_and_a_wrong_pack_are_told(run: Command, node: Node, draft: Path) -> None:
    wrong = run("rules", "simulate", draft, "--authority", LANGFANG, "--on", "soon", *NODE)
    assert (wrong.code, "--on" in wrong.err) == (2, True)
    draft.write_bytes(a_draft(kind="XX"))
    refused = run("rules", "simulate", draft, "--authority", LANGFANG, *NODE)
    assert refused.code == 2
    assert "XX" in refused.err


def test_preview_asks_about_tickets_in_flight(run: Command, node: Node) -> None:
    out = run.ok(
        *("rules", "preview", "--on", "2027-01-01", "--authority", LANGFANG, *NODE),
        *("--reference", RULES / "reference"),
    )
    assert "重新派单 0 件" in out
    request = node.wire.asked[-1]
    assert (request.in_flight, request.preview_on) == (True, "2027-01-01")
    assert 0 < len(request.reference_archive) < 3_145_728


def test_diff_tells_which_tickets_move(run: Command, node: Node, draft: Path) -> None:
    assert "工单改派" in run.ok("rules", "diff", LANGFANG_PACK, draft)
    out = run.ok(
        *("rules", "diff", LANGFANG_PACK, draft, "--authority", LANGFANG, "--days", 60, *NODE)
    )
    assert "重新派单" in out
    found = json.loads(run.ok("rules", "diff", LANGFANG_PACK, draft, "--json"))
    moves = {(move["before"], move["after"]) for move in found["moves"]}
    assert ("lf.driving-school", "lf.parking") in moves
    assert found["history"] is None


def test_versions_that_mean_the_same_differ_in_nothing(
    run: Command, node: Node, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.xlsx"
    run.ok("rules", "convert", LANGFANG_PACK, copy)
    answer = run("rules", "diff", LANGFANG_PACK, copy)
    assert (answer.code, "含义相同" in answer.err) == (0, True)


def test_packs_of_two_owners_are_not_compared(run: Command, node: Node) -> None:
    answer = run("rules", "diff", LANGFANG_PACK, RULES / "packs" / "130000.hebei.yaml")
    assert answer.code == 2


def test_explain_says_it_in_plain_words(run: Command, node: Node) -> None:
    facts = ("--fact", "region=131082", "--fact", "matter=041200", "--fact", "type=complaint")
    out = run.ok("rules", "explain", "--authority", LANGFANG, *facts, *NODE)
    assert "派单 → units/131000-JT-1" in out or "units/131082-JT-1" in out
    assert "法律依据：" in out
    assert "lf.driving-school" in out
    missing = run("rules", "explain", *facts, *NODE)
    assert (missing.code, "--ticket" in missing.err) == (2, True)


def test_a_decided_ticket_is_explained_and_verified(run: Command, node: Node) -> None:
    out = run.ok("rules", "explain", "--ticket", node.numbers[0], *NODE)
    assert "逐字节一致" in out
    assert "依据规则：" in out
    assert node.wire.asked[-1].ticket == f"tickets/{node.numbers[0]}"
    found = json.loads(run.ok("rules", "explain", "--ticket", node.numbers[0], "--json", *NODE))
    assert found["is_identical"] is True


def test_a_trace_that_differs_is_said_and_the_answer_is_no(run: Command, node: Node) -> None:
    rehearsal = node.wire.servicer.rehearsal
    data = rehearsal._reference()
    rehearsal._reference = lambda: replace(data, version="another")
    answer = run("rules", "explain", "--ticket", node.numbers[0], *NODE)
    assert answer.code == 1
    assert "不一致" in answer.err


# --- convert ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pack.xlsx", "pack.zip", "folder", "pack.yaml"])
def test_convert_goes_there_and_back(run: Command, tmp_path: Path, form: str) -> None:
    there, back = tmp_path / form, tmp_path / "back.yaml"
    run.ok("rules", "convert", LANGFANG_PACK, there)
    run.ok("rules", "convert", there, back)
    assert back.read_bytes() == write_document(load_document(LANGFANG_PACK.read_bytes()))
    again = run("rules", "convert", LANGFANG_PACK, there)
    assert (again.code, "不会覆盖" in again.err) == (1, True)


def test_convert_writes_nothing_while_there_are_errors(run: Command, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    run.ok("rules", "convert", LANGFANG_PACK, folder)
    rules = folder / "规则.csv"
    text = rules.read_bytes().decode("utf-8-sig")
    rules.write_bytes(text.replace("2026-01-01", "昨天").encode("gb18030"))
    answer = run("rules", "convert", folder, tmp_path / "back.yaml")
    assert answer.code == 1
    assert "规则!D2" in answer.out
    assert "'昨天' 不是日期。写成 2026-01-31" in answer.out
    assert not (tmp_path / "back.yaml").exists()
    english = run("--lang", "en", "rules", "convert", folder, tmp_path / "back.yaml")
    assert "is not a day" in english.out
    found = run("rules", "convert", folder, tmp_path / "back.yaml", "--json")
    assert json.loads(found.out)[0]["cell"] == "D2"


def test_check_takes_a_decision_table_and_names_its_cells(run: Command, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    run.ok("rules", "convert", LANGFANG_PACK, folder)
    rules = folder / "规则.csv"
    rules.write_bytes(rules.read_bytes().replace(b",041200,", b",999999,"))
    answer = run("rules", "check", folder)
    assert answer.code == 1
    assert "规则!" in answer.out
    assert "999999" in answer.out
