"""`lubiao demo`: a small federation on this machine (`gateway.cli.demo`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import AsJson

TICKETS = 60


def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="全部处理完即结束并汇总 / end when all is settled")
    ] = False,
    tickets: Annotated[int, typer.Option(min=0, help="工单数 / how many tickets")] = TICKETS,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="保留数据的新目录 / new folder to keep")
    ] = None,
    authorities: Annotated[
        str, typer.Option(help="参与的省份，逗号分隔 / provinces that take part; default: all")
    ] = "",
    timeout: Annotated[
        float, typer.Option(min=0, help="最长秒数，0 为自动 / seconds at most; 0: by the number")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """在本机演示一个小型网络 / run a small federation here; exit code 0 only if all went well."""
    # Half of the command's start-up time, needed by nothing else.
    from gateway.cli.demo.command import Options, run_demo  # noqa: PLC0415 # as above

    options = Options(
        is_once=once,
        is_json=as_json,
        tickets=tickets,
        folder=folder,
        timeout_seconds=timeout,
        authorities=tuple(code.strip() for code in authorities.split(",") if code.strip()),
    )
    raise typer.Exit(run_demo(options))
