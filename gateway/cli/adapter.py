"""`lubiao adapter`: starts an adapter as a subprocess; it shares no code with the gateway."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import AsJson
from gateway.kernel.errors import ResourceNotFound

app = typer.Typer(no_args_is_help=True, help="适配器 / adapters")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,40}")
Kind = Annotated[str, typer.Argument(help="种类，如 file_drop / kind, like file_drop")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="适配器目录 / folder of the adapter")]


@app.command()
def run(*, kind: Kind, directory: Folder) -> None:
    """运行适配器 / run an adapter in the place of this process."""
    command = _command(kind, "run", directory)
    os.execv(command[0], command)  # noqa: S606 # signals and exit code are the adapter's own


@app.command()
def check(*, kind: Kind, directory: Folder, as_json: AsJson = False) -> None:
    """检查映射覆盖程度 / tell how completely a mapping covers the standard."""
    command = [*_command(kind, "check", directory), *(["--json"] if as_json else [])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)  # noqa: S603 # our own


def _command(kind: str, verb: str, directory: Path) -> list[str]:
    module = f"adapters.{kind}"
    if not _KIND.fullmatch(kind) or not _is_runnable(module):
        raise ResourceNotFound(kind="adapter", name=kind, hint="see `ls adapters`")
    return [sys.executable, "-m", module, verb, str(directory)]


def _is_runnable(module: str) -> bool:
    try:
        return importlib.util.find_spec(f"{module}.__main__") is not None
    except ModuleNotFoundError:  # of the package before the dot
        return False
