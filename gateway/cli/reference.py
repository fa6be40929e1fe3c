"""`lubiao reference`: check the files of reference data, look a region code up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import AsJson, Exit, print_json, print_line, print_table, say
from gateway.kernel.data import data_path
from gateway.kernel.time import SystemClock, day_of
from gateway.reference.data import ReferenceData
from gateway.reference.data import check as check_files
from gateway.reference.regions import Candidates, Resolved

app = typer.Typer(no_args_is_help=True, help="基础数据 / reference data")
Folder = Annotated[Path | None, typer.Argument(help="目录；默认随版本发布的 / folder")]


@app.command()
def check(*, folder: Folder = None, as_json: AsJson = False) -> None:
    """检查基础数据文件 / check the files; exit code 1 if there is a problem."""
    findings = check_files(folder or data_path("routing_rules/reference"))
    if as_json:
        print_json(
            [
                {"location": each.location, "problem": each.problem, "advice": each.advice}
                for each in findings
            ]
        )
    elif findings:
        rows = [(each.location, each.problem, each.advice) for each in findings]
        print_table(("位置 / where", "问题 / problem", "建议 / advice"), rows)
    else:
        say("基础数据没有问题。", "The reference data has no problem.")
    if findings:
        raise typer.Exit(Exit.NO)


@app.command()
def region(
    code: Annotated[str, typer.Argument(help="六位区划代码 / region code")],
    *,
    year: Annotated[
        int | None, typer.Option(help="代码年份，默认今年 / year whose code table it is from")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """解析区划代码 / resolve a region code; exit code 1 unless it means one region."""
    regions = ReferenceData.load(data_path("routing_rules/reference")).regions
    as_of = year or day_of(SystemClock().now()).year
    match regions.resolve(code, as_of_year=as_of):
        case Resolved(code=current):
            found: tuple[str, ...] = (current,)
        case Candidates(codes=codes):
            found = tuple(codes)
        case _:
            found = ()
    if as_json:
        print_json([{"code": each, "name": regions.name(each)} for each in found])
    elif found:
        for each in found:
            print_line(f"{each} {regions.name(each)}")
    else:
        say(f"从未使用过代码 {code}。", f"Code {code} was never assigned.")
    if len(found) != 1:
        raise typer.Exit(Exit.NO)
