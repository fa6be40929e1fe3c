"""`lubiao demo` as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

UP_SECONDS_MAX = 120.0
KEYS = {
    "tickets", "children", "completed", "referred", "merged", "withdrawn", "in_triage", "in_case",
    "lost", "duplicated", "seconds", "cases", "nodes", "variations", "hub", "rules",
}  # fmt: skip
CASES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 11, 12, 13, 14, 14, 15, 16, 17, 18, 20, 21, 23, 24, 25]

DISPUTES = {  # how those that a panel ruled on are told, beside what their rows say
    7: "国家裁定维持·共同办理：河北承办，天津同办，均须答复",
    11: "石家庄裁定改派·主办协办",
    15: "临时指定 无锡市梁溪区城市管理委员会",
    20: "国家裁定维持·独办：河北承办",
    24: "江苏裁定改派·独办：江苏省邮政管理局承办",
}


@pytest.mark.slow
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
    disputes = {case["id"]: "\n".join(case["dispute"]) for case in summary["cases"]}
    for number, words in DISPUTES.items():
        assert words in disputes[number]
    [rule] = summary["rules"]
    assert rule["state"] == "ACTIVE"
    assert rule["moved"] >= 1
    assert 'kind: "SWJ"' in rule["text"]
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_demo_starts_a_killed_node_again_and_ends_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "gateway", "demo", "--once", "--json", "--tickets", "20"]
    with subprocess.Popen(
        [*command, "--authorities", "120000,130000", "--dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        submitted = folder / "logs" / "adapter-120000-p1.log"
        end = time.monotonic() + UP_SECONDS_MAX
        while not submitted.exists():  # the nodes are up when the parties are started
            assert demo.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        time.sleep(2)  # tickets are on their way
        _, _, pid = (folder / "nodes" / "hebei" / "serving").read_text().split()
        os.kill(int(pid), signal.SIGKILL)
        output, errors = demo.communicate(timeout=240)
    assert demo.returncode == 0, errors[-4000:]
    assert "hebei" in errors
    summary = json.loads(output)
    assert summary["lost"] == summary["duplicated"] == 0
    assert [case for case in summary["cases"] if not case["ok"]] == []
