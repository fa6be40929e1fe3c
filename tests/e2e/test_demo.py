"""`lubiao demo` as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KEYS = {
    "tickets", "children", "completed", "referred", "merged", "withdrawn", "in_triage", "in_case",
    "lost", "duplicated", "seconds", "cases", "nodes", "variations", "hub",
}  # fmt: skip
CASES = [1, 2, 3, 4, 5, 6, 8, 9, 10, 10, 12, 13, 16, 17, 18, 20, 21, 23, 25]


@pytest.mark.timeout(420)
def test_demo_ends_every_case_as_its_row_says(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway", "demo", "--once", "--json"]

    done = subprocess.run(
        [*command, "--dir", str(tmp_path / "demo")], capture_output=True, text=True, check=False
    )

    assert done.stdout, done.stderr[-4000:]
    summary = json.loads(done.stdout)
    assert set(summary) == KEYS
    assert [case["id"] for case in summary["cases"]] == CASES
    assert [case for case in summary["cases"] if not case["ok"]] == []
    assert summary["lost"] == summary["duplicated"] == 0
    ends = ("completed", "referred", "merged", "withdrawn", "in_triage", "in_case")
    assert summary["tickets"] + summary["children"] == sum(summary[end] for end in ends)
    assert done.returncode == 0, done.stderr[-4000:]
