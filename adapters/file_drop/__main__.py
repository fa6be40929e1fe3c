"""`python -m adapters.file_drop run|check DIR [--json]`: run an adapter, or print its coverage.

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
from adapters.file_drop.settings import load_settings
from adapters.kit.mapping import Coverage, Mapping, load_mapping
from adapters.kit.status import is_transient
from gateway.kernel.errors import FieldInvalid, LubiaoError

DONE, NO, NOT_REACHABLE, INTERNAL = 0, 1, 3, 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m adapters.file_drop", description=__doc__)
    parser.add_argument("command", choices=("run", "check"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true", help="print machine-readable output")
    options = parser.parse_args(arguments)
    configure_logs()
    try:
        if options.command == "check":
            return check(options.folder, as_json=options.json)
        return asyncio.run(_run(options.folder))
    except LubiaoError as error:
        return report(error)
    except ExceptionGroup as group:
        typed, others = group.split(LubiaoError)
        if others is not None or typed is None:
            raise
        return max(report(error) for error in _leaves(typed))


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
    return NO if isinstance(error, FieldInvalid) else INTERNAL


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
