"""`python -m adapters.file_drop init|check|run DIR`: make a folder, try a mapping, run it.

`check` prints how completely the mapping covers the standard; with `--file` it tries an export file
against the mapping and hands nothing in.

Exit codes are those of `lubiao`: 0 done, 1 the answer is "no", 2 usage, 3 not reachable,
4 internal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from adapters.file_drop.adapter import run_adapter
from adapters.file_drop.formats import Format, parse
from adapters.file_drop.settings import load_settings
from adapters.file_drop.starting import start
from adapters.file_drop.trial import Trial, try_rows
from adapters.kit.mapping import Coverage, Mapping, load_mapping
from adapters.kit.status import is_transient
from gateway.kernel.errors import FieldInvalid, LubiaoError, ResourceExists

DONE, NO, NOT_REACHABLE, INTERNAL = 0, 1, 3, 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m adapters.file_drop", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("init", "check", "run"):
        commands.add_parser(name).add_argument("folder", type=Path)
    for option in ("--platform", "--authority", "--endpoint"):
        commands.choices["init"].add_argument(option, required=True)
    commands.choices["init"].add_argument("--cert", type=Path, required=True)
    commands.choices["check"].add_argument("--json", action="store_true")
    commands.choices["check"].add_argument("--file", type=Path, help="an export file to try")
    options = parser.parse_args(arguments)
    configure_logs()
    try:
        match options.command:
            case "init":
                return init(options)
            case "check" if options.file is not None:
                return try_file(options.folder, options.file, as_json=options.json)
            case "check":
                return check(options.folder, as_json=options.json)
            case _:
                return asyncio.run(_run(options.folder))
    except LubiaoError as error:
        return report(error)
    except ExceptionGroup as group:
        typed, others = group.split(LubiaoError)
        if others is not None or typed is None:
            raise
        return max(report(error) for error in _leaves(typed))


def init(options: argparse.Namespace) -> int:
    """Make the folder of an adapter and say what is next."""
    settings = start(
        options.folder,
        platform=options.platform,
        authority=options.authority,
        endpoint=options.endpoint,
        certificates=options.cert,
    )
    _say(f"已创建适配器目录 {settings.folder}。请修改 {settings.mapping.name} 中的列名与代码。")
    return DONE


def try_file(folder: Path, file: Path, *, as_json: bool) -> int:
    """Try an export file against the mapping; hand nothing in."""
    mapping = load_mapping(load_settings(folder).mapping)
    kind = Format.of(file)
    if kind is None or not file.is_file():
        raise FieldInvalid(field=file, got=file.suffix or "no file", expected="a .csv or .jsonl")
    trial = try_rows(mapping, parse(file.read_bytes(), kind, name=file.name), name=file.name)
    if as_json:
        rows = [
            {"row": n, "reason": e.reason, "message": e.chinese_text()} for n, e in trial.problems
        ]
        body = {
            "rows": trial.rows,
            "missing": trial.missing,
            "unread": trial.unread,
            "problems": rows,
        }
        _say(json.dumps(body, ensure_ascii=False, indent=2))
    else:
        for line in trial_lines(trial):
            _say(line)
    return DONE if trial.is_good else NO


def trial_lines(trial: Trial) -> list[str]:
    """Return what a trial found as lines of text."""
    lines = [f"缺少必填列 / missing column: {column}" for column in trial.missing]
    lines += [f"未使用的列 / nobody reads: {column}" for column in trial.unread]
    for number, error in trial.problems:
        hint = f"（{error.hint}）" if error.hint else ""
        lines.append(f"第 {number} 行 / row {number}: {error.chinese_text()}{hint}")
    good = trial.rows - len(trial.problems) if not trial.missing else 0
    return [
        *lines,
        f"{trial.rows} 行，其中 {good} 行可以提交 / {good} of {trial.rows} rows are ready",
    ]


def check(folder: Path, *, as_json: bool) -> int:
    """Print how completely the mapping of an adapter covers the standard."""
    mapping = load_mapping(load_settings(folder).mapping)
    coverage = mapping.coverage()
    if as_json:
        _say(json.dumps([_row(item) for item in coverage], ensure_ascii=False, indent=2))
    else:
        for line in coverage_lines(mapping):
            _say(line)
    return DONE


def coverage_lines(mapping: Mapping) -> list[str]:
    """Return the coverage as lines of text."""
    lines = ["table               standard  read  written"]
    for item in mapping.coverage():
        written = str(item.writable) if item.is_written else "-"
        lines.append(f"{item.table:<20}{item.standard_codes:>8}{item.readable:>6}{written:>9}")
        if item.unreadable:
            lines.append(f"    no local code is read as: {', '.join(item.unreadable)}")
    return lines


def report(error: LubiaoError) -> int:
    """Print a typed error and return the exit code for it."""
    sys.stderr.write(f"{error.reason}: {error}\n{error.chinese_text()}\n")
    if is_transient(error):
        return NOT_REACHABLE
    return NO if isinstance(error, FieldInvalid | ResourceExists) else INTERNAL


def configure_logs() -> None:
    """Write log events as JSON lines to standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


async def _run(folder: Path) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await run_adapter(load_settings(folder), stopping)
    return DONE


def _leaves(group: ExceptionGroup[LubiaoError]) -> list[LubiaoError]:
    found: list[LubiaoError] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, ExceptionGroup) else [error])
    return found


def _row(item: Coverage) -> dict[str, object]:
    return {
        "table": item.table,
        "standard_codes": item.standard_codes,
        "readable": item.readable,
        "writable": item.writable,
        "unreadable": list(item.unreadable),
        "unwritable": list(item.unwritable),
        "is_written": item.is_written,
    }


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
