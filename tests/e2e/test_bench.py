"""`lubiao bench` runs, compares with real peers, and prints rows that a program can read."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.fixtures.golden import ROOT

KEYS = {"name", "value", "unit", "goal", "met", "baseline", "runs", "note"}
# A figure of every part of the cost sheet that the issue on first figures names.
PARTS = {"parse", "validate", "decide", "rows", "seal", "sign", "grpc and loop", "postgresql"}


def bench(*arguments: str) -> dict[str, dict[str, Any]]:
    """Run the command and return its rows by name."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "bench", *arguments, "--runs", "1", "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert all(set(row) == KEYS for row in rows)
    return {row["name"]: row for row in rows}


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_rules_are_compared_with_an_engine_that_finds_the_same_rules() -> None:
    rows = bench("rules", "--tickets", "100")
    ratio = rows["rules.1000.of_fastest"]
    assert ratio["baseline"].startswith("the faster of zen-engine and CLIPS")
    assert ratio["value"] > 0
    assert rows["rules.1000.mismatches"]["value"] == 0
    assert rows["rules.10000.decide"]["value"] > rows["rules.10000.select"]["value"]
    assert rows["rules.10000.checks"]["value"] > 0


@pytest.mark.timeout(300)  # also hands some hundred tickets over
@pytest.mark.slow
def test_every_way_of_submission_has_a_peer_and_the_main_ones_a_cost_sheet() -> None:
    rows = bench("submit", "--tickets", "150")
    assert rows["submit.rows_per_ticket"]["value"] >= 10
    for way in ("batch", "unary", "single", "stream"):
        peer = rows[f"submit.{way}.of_peer"]
        assert peer["baseline"]
        assert 0 < peer["value"] < 2
    for way in ("batch", "unary"):
        sheet = f"submit.{way}.cpu."
        assert {name.removeprefix(sheet) for name in rows if name.startswith(sheet)} >= PARTS
        assert rows[f"submit.{way}.memory.node"]["value"] > 20
    assert rows["submit.fixed.offered"]["value"] == 1000
    assert rows["submit.fixed.reached"]["value"] > 0
    parts = [row["value"] for name, row in rows.items() if ".cpu." in name]
    assert all(value is not None and value >= 0 for value in parts)


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_disputes_have_a_time_and_what_must_never_happen_a_count() -> None:
    rows = bench("arbitration", "--tickets", "60")
    for name in ("ruling.p50", "ruling.p99", "ruling.max", "interim.max"):
        assert rows[f"arbitration.{name}"]["goal"] is not None
    nevers = {"irresponsible", "against_guards", "cycles", "bodiless", "unruled", "overdue"}
    nevers |= {"repeats", "differing", "routed_differently", "moved_wrongly"}
    assert {rows[f"arbitration.{name}"]["value"] for name in nevers} == {0}
    assert rows["arbitration.mix.nobody.never"]["value"] == 0
    assert rows["arbitration.cost.ticket"]["value"] > 0


def test_an_unknown_benchmark_is_a_wrong_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "bench", "nothing"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert "submit" in done.stderr


_BARE = """
import importlib, sys
from benchmarks import bare
bare.strip()
app = importlib.import_module("gateway.app")
from gateway.custody import codec, enclosing
from gateway.delivery import checks
assert codec.validate is checks.validate is bare._validate
assert sys.modules["gateway.trust.sealing"].seal is bare._seal
try:
    bare.strip()
except RuntimeError:
    print("bare")
"""


def test_only_a_process_that_the_benchmark_starts_can_leave_out_validation_and_sealing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BARE], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout == "bare\n", done.stderr
    product = (path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    assert not any("bare.strip" in text or "benchmarks.bare" in text for text in product)
