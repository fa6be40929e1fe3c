"""`python -m benchmarks NAME…`: run benchmarks and print their rows; `lubiao bench` starts it."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from importlib import import_module

from benchmarks.rows import Row, table

RUNS = 3
# By benchmark, which is a module here: how much is measured in a run.
TICKETS = {
    "submit": 1500,
    "federate": 400,
    "rules": 20_000,
    "backlog": 1_000_000,
    "memory": 1_000_000,
    "arbitration": 100_000,
}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="lubiao bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TICKETS))
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    parser.add_argument("--runs", type=int, default=RUNS, help="repeats; medians are shown")
    parser.add_argument("--tickets", type=int, default=0, help="tickets a run")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(TICKETS))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(TICKETS)}")
    _keep_standard_output()
    rows: list[Row] = []
    for name in given.names or list(TICKETS):
        tickets = given.tickets or TICKETS[name]
        found = asyncio.run(_measured(name, given.runs, tickets))
        rows += found
        if not given.json:
            print(f"# {name}: {given.runs} runs of {tickets} on {_machine()}")
            print(table(found), flush=True)
    if given.json:
        print(json.dumps([row.as_json() for row in rows], ensure_ascii=False))


def _keep_standard_output() -> None:
    """Leave standard output to the rows: libraries in C (CLIPS) print on it as they please."""
    sys.stdout.flush()
    kept = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = os.fdopen(kept, "w", encoding="utf-8")


async def _measured(name: str, runs: int, tickets: int) -> list[Row]:
    measure = import_module(f"benchmarks.{name}").measure
    found: list[Row] = await measure(runs=runs, tickets=tickets)
    return found


def _machine() -> str:
    cores = os.cpu_count()
    return f"{cores} cores, {platform.machine()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
