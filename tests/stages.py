"""Run the stages of `make test` one after another: `python -m tests.stages [STAGE …]`.

All stages run even if one fails, so that one run shows everything that is wrong; the exit code is 1
if any failed. The end says how many seconds each took, which test was the slowest, and the last
lines of each command that failed: whoever sees only the end of the output sees why. A stage whose
folder of tests is missing or empty fails: nothing is skipped silently.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import IO

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PYTHON = sys.executable
WORKERS = "2"  # the smallest machine that must finish in ten minutes has two cores

LAST_LINES, LINE_CHARACTERS_MAX = 12, 400  # of a command that failed, repeated at the end
LEFT_BEHIND_SECONDS = 10.0
FUZZ_SECONDS = 60  # of all targets together; `make fuzz` goes on for longer

Command = Sequence[str]


def lint(folder: Path) -> list[Command]:
    """Return the checks that read files only."""
    image = str(folder / "hotline.binpb")
    return [
        (f"{BIN}/ruff", "format", "--check", "--output-format", "concise", "."),
        (f"{BIN}/ruff", "check", "--output-format", "concise", "."),
        (f"{BIN}/lint-imports", "--no-logo"),
        (PYTHON, "proto/generate.py", "--check"),
        (PYTHON, "proto/generate.py", "--image", image),
        (f"{BIN}/buf", "lint", image, "--config", "buf.yaml", "--path", "hotline"),
        (PYTHON, "proto/baseline.py"),
        (f"{BIN}/buf", "format", "proto", "--diff", "--exit-code"),
        (PYTHON, "docs/tables.py"),
        (PYTHON, "docs/check.py"),
    ]


def types(folder: Path) -> list[Command]:
    """Return the type check."""
    del folder
    return [(f"{BIN}/mypy",)]


def unit(folder: Path) -> list[Command]:
    """Return the tests without any process, port or database, properties among them."""
    return [_pytest(folder, "tests/unit", "tests/golden", "tests/tidy")]


def simulation(folder: Path) -> list[Command]:
    """Return the seeded simulation in its short form, and the planted faults it must catch."""
    return [_pytest(folder, "tests/simulation")]


def fuzz(folder: Path) -> list[Command]:
    """Return the fuzzers of whatever reads a peer's bytes, a minute of them, and their seeds."""
    return [
        _pytest(folder, "tests/fuzz"),
        (PYTHON, "-m", "tests.fuzz.run", "--seconds", str(FUZZ_SECONDS)),
    ]


def integration(folder: Path) -> list[Command]:
    """Return the tests that need PostgreSQL or a port."""
    return [_pytest(folder, "tests/contract", "tests/integration")]


def e2e(folder: Path) -> list[Command]:
    """Return the tests with real processes, foreign clients among them."""
    return [_pytest(folder, "tests/e2e", "tests/peers")]


def chaos(folder: Path) -> list[Command]:
    """Return the short form of `make chaos`: kills, partitions, a full disk, a peer away."""
    return [_pytest(folder, "tests/chaos")]


STAGES: dict[str, Callable[[Path], list[Command]]] = {
    "lint": lint,
    "types": types,
    "unit": unit,
    "simulation": simulation,
    "fuzz": fuzz,
    "integration": integration,
    "e2e": e2e,
    "chaos": chaos,
}


def _pytest(timings: Path, *folders: str) -> Command:
    target = str(timings / f"{folders[0].rpartition('/')[2]}.json")
    shared = ("-n", WORKERS, "--dist", "worksteal")
    options = ("-q", *shared, "-m", "not chaos", "--timings-to", target)
    return (PYTHON, "-m", "pytest", *options, *folders)


def run(names: Sequence[str], *, installed_in: float | None) -> int:
    """Run the stages; return 1 if any command failed."""
    seconds = {} if installed_in is None else {"install": installed_in}
    failed: list[str] = []
    # Results must not depend on the machine's luck; a nightly run sets another profile.
    environment = {"HYPOTHESIS_PROFILE": "ci"} | os.environ
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stage in names:
            start = time.monotonic()
            for command in STAGES[stage](folder):
                shown = " ".join([Path(command[0]).name, *command[1:]])
                _say(f"--- {stage}: {shown}")
                code, last_lines = _watched(command, environment)
                if code != 0:
                    failed += [*last_lines, f"FAILED {stage}: {shown} ended with {code}"]
            seconds[stage] = time.monotonic() - start
        timings = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")]
    _report(seconds, timings, failed)
    return 1 if failed else 0


def _watched(command: Command, environment: dict[str, str]) -> tuple[int, list[str]]:
    """Run a command; show what it prints as it comes, and return its code and its last lines."""
    last: deque[str] = deque(maxlen=LAST_LINES)

    def show(lines: IO[str]) -> None:
        with lines:
            for line in lines:
                _say(line.rstrip("\n"))
                last.append(line.rstrip("\n")[:LINE_CHARACTERS_MAX])

    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    reader = Thread(target=show, args=(process.stdout,), daemon=True)
    reader.start()
    code = process.wait()
    # Whatever a command leaves behind may hold its output open for ever: it is not waited for.
    reader.join(LEFT_BEHIND_SECONDS)
    return code, list(last)


def _report(
    seconds: dict[str, float], timings: Sequence[dict[str, float]], failed: Sequence[str]
) -> None:
    _say("--- seconds by stage")
    for stage, taken in seconds.items():
        _say(f"{taken:8.1f}  {stage}")
    slowest_stage = max(seconds, key=seconds.__getitem__)
    _say(f"{sum(seconds.values()):8.1f}  in all; slowest stage: {slowest_stage}")
    tests = {name: taken for found in timings for name, taken in found.items()}
    if tests:
        slowest = max(tests, key=tests.__getitem__)
        _say(f"slowest test: {tests[slowest]:.1f} s {slowest}")
    for line in failed:
        _say(line)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}")
    parser.add_argument("--installed-in", type=float, help="seconds that the installation took")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.stages if name not in STAGES]:
        parser.error(f"no stage {', '.join(unknown)}; there are {', '.join(STAGES)}")
    return run(options.stages or list(STAGES), installed_in=options.installed_in)


if __name__ == "__main__":
    sys.exit(main())
