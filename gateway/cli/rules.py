"""`lubiao rules`: copy, check packs, run golden cases; the other commands have files of their own.

`copy` gives a folder of one's own to write packs and units in. `check` and `test` need files only;
`check` takes packs of any form, and names cells when they are sheets.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway.checking.check import check_cases, check_packs
from gateway.checking.model import Finding
from gateway.checking.solver import ProcessSolver
from gateway.cli.output import AsJson, Exit, print_json, print_line, say
from gateway.cli.rules_explain import explain, read_facts
from gateway.cli.rules_files import (
    RULES,
    PackFile,
    ReferenceFolder,
    RulesFolder,
    base_of,
    load_reference,
    present,
    print_findings,
    print_routing_findings,
    read_files,
)
from gateway.cli.rules_sheets import convert
from gateway.cli.rules_trying import diff, preview, simulate
from gateway.kernel.data import data_path
from gateway.kernel.errors import ResourceExists
from gateway.reference.data import ReferenceData
from gateway.routing.conditions import cel_conditions
from gateway.routing.model import Finding as RoutingFinding
from gateway.routing.model import Pack
from gateway.routing.packs import PackSet

__all__ = ["app", "read_facts"]

app = typer.Typer(no_args_is_help=True, help="派单规则 / distribution rules")


@app.command()
def copy(
    *, directory: Annotated[Path, typer.Argument(metavar="DIR", help="新目录 / new folder")]
) -> None:
    """复制随版本发布的规则与基础数据 / copy the release's rules, to write your own."""
    if directory.exists():
        raise ResourceExists(kind="file", name=directory)
    shutil.copytree(data_path(RULES), directory)
    say(
        f"已复制到 {directory}：packs 规则包、cases 用例、reference 基础数据。"
        f"在 node.toml 中设置 rules = {json.dumps(str(directory.resolve()))}，"
        "或创建节点时用 --rules。",
        f"Copied to {directory}: packs, cases, reference. Set rules = "
        f"{json.dumps(str(directory.resolve()))} in node.toml, or give --rules to `lubiao init`.",
    )


@app.command()
def check(
    *,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="规则包，YAML 或决策表；默认随版本发布的 / packs; default: all"),
    ] = None,
    rules: RulesFolder = None,
    reference: ReferenceFolder = None,
    shows_all: Annotated[
        bool, typer.Option("--all", help="列出全部提醒 / list all warnings")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """检查规则包 / check packs; exit code 1 if there is an error."""
    base = base_of(rules)
    data = load_reference(reference or base / "reference")
    packs = read_files(files or sorted((base / "packs").glob("*.yaml")), as_json=as_json)
    findings = _checked(packs, base, data)
    if as_json:
        print_json([finding.row() for finding in findings])
    else:
        by_name = {file.name: file for file in packs}
        print_findings(findings, files=by_name, reference=data, shows_all=shows_all)
    errors = sum(finding.is_error for finding in findings)
    if not findings:
        say(f"{len(packs)} 个规则包没有问题。", f"{len(packs)} packs, nothing to say.")
    else:
        warnings = len(findings) - errors
        say(
            f"{len(packs)} 个规则包：{errors} 个错误，{warnings} 条提醒。",
            f"{len(packs)} packs: {errors} errors, {warnings} warnings.",
        )
    if errors:
        raise typer.Exit(Exit.NO)


def _checked(files: Sequence[PackFile], base: Path, data: ReferenceData) -> list[Finding]:
    """Return what there is to say about each pack, among the others of the folder."""
    known = _known(base / "packs", data)
    with ProcessSolver() as solver:
        return list(
            check_packs(
                {file.name: file.source for file in files},
                reference=data,
                conditions=cel_conditions(),
                now=present(),
                packs=known,
                solver=solver,
            )
        )


def _known(folder: Path, data: ReferenceData) -> tuple[Pack, ...]:
    owners = {path.name.partition(".")[0] for path in folder.glob("*.yaml")}
    return PackSet.load(
        folder, authorities=owners, reference=data, conditions=cel_conditions()
    ).packs


@app.command(name="test")
def run_tests(
    *,
    rules: RulesFolder = None,
    packs: Annotated[Path | None, typer.Option(help="规则包目录 / folder of packs")] = None,
    cases: Annotated[Path | None, typer.Option(help="用例目录 / folder of cases")] = None,
    reference: ReferenceFolder = None,
    as_json: AsJson = False,
) -> None:
    """运行规则用例 / run the golden cases; exit code 1 if one fails or a rule has none."""
    base = base_of(rules)
    data = load_reference(reference or base / "reference")
    pack_folder, case_folder = packs or base / "packs", cases or base / "cases"
    owners = {path.name.partition(".")[0] for path in pack_folder.glob("*.yaml")}
    loaded = PackSet.load(
        pack_folder, authorities=owners, reference=data, conditions=cel_conditions()
    )
    sources = {path.stem: path.read_bytes() for path in sorted(case_folder.glob("*.yaml"))}
    results, findings = check_cases(sources, packs=loaded, reference=data)
    failed = [result for result in results if not result.ok]
    if as_json:
        print_json(
            {
                "cases": [
                    {
                        "file": result.case.file,
                        "line": result.case.line,
                        "name": result.case.name,
                        "ok": result.ok,
                        "differences": list(result.differences()),
                    }
                    for result in results
                ],
                "findings": [_finding_row(finding) for finding in findings],
            }
        )
    else:
        for result in failed:
            place = f"{result.case.file}:{result.case.line}"
            print_line(f"{place}: {result.case.name}: {'; '.join(result.differences())}")
        print_routing_findings(findings)
        say(
            f"{len(results)} 个用例，{len(failed)} 个未通过。",
            f"{len(results)} cases, {len(failed)} failed.",
        )
    if failed or any(finding.is_error for finding in findings):
        raise typer.Exit(Exit.NO)


for _command in (explain, convert, simulate, diff, preview):
    app.command()(_command)


def _finding_row(finding: RoutingFinding) -> dict[str, object]:
    return {
        "pack": finding.pack,
        "line": finding.line,
        "problem": finding.problem,
        "advice": finding.advice,
        "problem_zh": finding.problem_zh,
        "advice_zh": finding.advice_zh,
        "is_error": finding.is_error,
    }
