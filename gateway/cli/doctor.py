"""`lubiao doctor`: examine a node and say what to do."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.checks import Finding, Level, Patient, examine, is_serving
from gateway.cli.node import Directory
from gateway.cli.output import AsJson, Exit, pick, print_json, print_table
from gateway.config import ConfigInvalid, load_settings
from gateway.kernel.time import SystemClock

WAIT_SECONDS_MAX = 600.0
LOOK_SECONDS = 0.2


def doctor(
    *,
    directory: Directory,
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            max=WAIT_SECONDS_MAX,
            help="先等节点开始服务，最多多少秒 / seconds to wait for it",
        ),
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """检查节点，逐项给出结论与处理办法 / examine a node; exit code 1 if anything FAILs."""
    late = _late(directory, seconds=wait) if wait else []
    findings = _examine(directory) + late
    if as_json:
        print_json(
            [
                {
                    "check": each.check,
                    "level": each.level.value,
                    "text": each.text,
                    "action": each.action,
                }
                for each in findings
            ]
        )
    else:
        print_table(
            (pick("检查", "check"), "", pick("结论", "finding"), pick("处理", "what to do")),
            [(each.check, each.level.value, each.text, each.action) for each in findings],
        )
    if any(each.level is Level.FAIL for each in findings):
        raise typer.Exit(Exit.NO)


def _late(directory: Path, *, seconds: float) -> list[Finding]:
    """Wait until the node serves; return what to say when the time was not enough."""
    try:
        settings = load_settings(directory)
    except ConfigInvalid:
        return []  # the examination says so
    end = time.monotonic() + seconds
    while not is_serving(settings):
        if time.monotonic() >= end:
            text = pick(f"{seconds:g} 秒内未开始服务", f"it does not serve after {seconds:g} s")
            action = pick("查看节点日志", "look into the node's log")
            return [Finding("serving", Level.FAIL, text, action)]
        time.sleep(LOOK_SECONDS)
    return []


def _examine(directory: Directory) -> list[Finding]:
    try:
        settings = load_settings(directory)
    except ConfigInvalid as error:
        return [
            Finding("config", Level.FAIL, pick(problem.chinese(), problem.english()))
            for problem in error.problems
        ]
    patient = Patient(settings=settings, now=SystemClock().now())
    found = [Finding("config", Level.OK, pick("配置有效", "valid"))]
    return found + asyncio.run(examine(patient))
