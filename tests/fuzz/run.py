"""Fuzz what reads a peer's bytes: `python -m tests.fuzz.run [--seconds 60] [--target NAME]…`.

Each target runs in a process of its own under atheris (libFuzzer): coverage of our Python code
leads it, and the seeds are real bytes of a told story. The seconds are those of all targets
together, dealt out evenly; as many run at once as there are cores. A finding ends its target, is
printed with its bytes, and is kept below `tests/fuzz/found/TARGET/` when `--keep` is given: from
then on the tests read it in every run. Exit code 1 if there was one, or if a target ran nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target

FOUND = Path(__file__).with_name("found")
ITEM_SECONDS_MAX = 10  # one input; longer is a finding: a peer could hold a node with it
MEMORY_MIB_MAX = 1500
SPARE_SECONDS = 60.0  # to start, to write down a finding
DONE = re.compile(r"^#(\d+)\s+DONE|stat::number_of_executed_units:\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one target."""

    name: str
    inputs: int
    finding: bytes | None
    output: str


def main() -> int:
    """Fuzz what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of all targets together")
    parser.add_argument("--target", action="append", default=[], help="only these")
    parser.add_argument("--keep", action="store_true", help="keep findings as regressions")
    given = parser.parse_args()
    chosen = [target for target in TARGETS if not given.target or target.name in given.target]
    if not chosen:
        parser.error(f"no such target; there are {', '.join(target.name for target in TARGETS)}")
    seconds = max(given.seconds / len(chosen), 1.0)
    is_clean = True
    for result in _results(chosen, seconds):
        is_clean &= result.finding is None and result.inputs > 0
        sys.stdout.write(f"{result.name:<12} {result.inputs:>9,} inputs\n")
        if result.inputs == 0 or result.finding is not None:
            sys.stdout.write(result.output[-4000:] + "\n")
        if result.finding is not None:
            sys.stdout.write(f"finding of {result.name}: {result.finding.hex()}\n")
            if given.keep:
                _keep(result.name, result.finding)
    return 0 if is_clean else 1


def _results(chosen: list[Target], seconds: float) -> Iterator[Result]:
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        yield from pool.map(lambda target: _fuzz(target, seconds * min(cores, len(chosen))), chosen)


def _fuzz(target: Target, seconds: float) -> Result:
    with tempfile.TemporaryDirectory(prefix="lubiao-fuzz-") as name:
        folder = Path(name)
        corpus, findings = folder / "corpus", folder / "findings"
        corpus.mkdir()
        findings.mkdir()
        for index, seed in enumerate(target.seeds()):
            (corpus / f"seed-{index}").write_bytes(seed)
        command = [
            *(sys.executable, "-m", "tests.fuzz.process", target.name, str(corpus)),
            f"-max_total_time={max(int(seconds), 1)}",
            f"-artifact_prefix={findings}/",
            f"-max_len={target.bytes_max}",
            f"-timeout={ITEM_SECONDS_MAX}",
            f"-rss_limit_mb={MEMORY_MIB_MAX}",
            "-print_final_stats=1",
            "-verbosity=1",
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds + SPARE_SECONDS,
        )
        output = done.stdout + done.stderr
        counts = [int(a or b) for a, b in DONE.findall(output)]
        kept = sorted(findings.iterdir())
        finding = kept[0].read_bytes() if kept else None
        if done.returncode != 0 and finding is None:
            return Result(target.name, 0, None, output)
        return Result(target.name, max(counts, default=0), finding, output)


def _keep(name: str, finding: bytes) -> None:
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{len(list(folder.iterdir())):03}.bin").write_bytes(finding)


if __name__ == "__main__":
    raise SystemExit(main())
