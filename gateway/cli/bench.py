"""`lubiao bench`: starts the benchmarks of a checkout as a subprocess (docs/benchmarks.md)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Annotated

import typer

from gateway.cli.output import AsJson
from gateway.kernel.errors import ResourceNotFound


def bench(
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="submit、federate、rules、backlog、memory、arbitration；默认全部 / which, or all",
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="重复次数，取中位数 / repeats, medians")] = 3,
    tickets: Annotated[int, typer.Option(min=0, help="每次的工单数 / tickets a run")] = 0,
    as_json: AsJson = False,
) -> None:
    """性能测量，与同机对照项之比 / measure, as ratios against peers in the same run."""
    if importlib.util.find_spec("benchmarks") is None:
        raise ResourceNotFound(
            kind="benchmark", name="benchmarks", hint="run it in a checkout of the project"
        )
    command = [sys.executable, "-m", "benchmarks", *(names or ()), "--runs", str(runs)]
    command += ["--tickets", str(tickets), *(["--json"] if as_json else [])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)  # noqa: S603 (our own)
