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
def init(
    *,
    kind: Kind,
    directory: Folder,
    platform: Annotated[str, typer.Option(help="平台编号，如证书所载 / id of the platform")],
    authority: Annotated[str, typer.Option(help="平台所属机构 / authority of the platform")],
    endpoint: Annotated[str, typer.Option(help="节点地址 / host:port of the node")],
    cert: Annotated[Path, typer.Option(help="平台证书目录 / certificate folder of the platform")],
) -> None:
    """创建适配器目录，含可修改的映射 / make a folder, with a mapping to start from."""
    given = {
        "--platform": platform,
        "--authority": authority,
        "--endpoint": endpoint,
        "--cert": str(cert),
    }
    _run(kind, "init", directory, *(text for option in given.items() for text in option))


@app.command()
def check(
    *,
    kind: Kind,
    directory: Folder,
    file: Annotated[
        Path | None,
        typer.Option(help="试读一个导出文件，不提交 / try an export file, hand nothing in"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """检查映射覆盖程度或试读文件 / tell how completely a mapping covers the standard, or a file."""
    tried = ("--file", str(file)) if file is not None else ()
    _run(kind, "check", directory, *tried, *(("--json",) if as_json else ()))


def _run(kind: str, verb: str, directory: Path, *options: str) -> None:
    command = [*_command(kind, verb, directory), *options]
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
