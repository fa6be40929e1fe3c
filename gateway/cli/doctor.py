"""`lubiao doctor`: examine a node and say what to do."""

from __future__ import annotations

import asyncio

import typer

from gateway.cli.checks import Finding, Level, Patient, examine
from gateway.cli.node import Directory
from gateway.cli.output import AsJson, Exit, pick, print_json, print_table
from gateway.config import ConfigInvalid, load_settings
from gateway.kernel.time import SystemClock


def doctor(*, directory: Directory, as_json: AsJson = False) -> None:
    """检查节点，逐项给出结论与处理办法 / examine a node; exit code 1 if anything FAILs."""
    findings = _examine(directory)
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
