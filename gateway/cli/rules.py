"""`lubiao rules`: check packs, run golden cases, explain where a ticket would go.

`check` and `test` need files only; `explain` asks a node, because the answer depends on who has
joined and what the node hosts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
import yaml
from google.protobuf.json_format import ParseDict, ParseError

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, Exit, pick, print_json, print_line, print_table, say
from gateway.cli.ticket import CALL_SECONDS, as_dict
from gateway.kernel.data import data_path
from gateway.kernel.errors import FieldInvalid, ResourceNotFound
from gateway.reference.data import ReferenceData
from gateway.routing.check import check_cases, check_pack
from gateway.routing.model import Finding
from gateway.routing.packs import PackSet
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc

app = typer.Typer(no_args_is_help=True, help="派单规则 / distribution rules")
ReferenceFolder = Annotated[
    Path | None, typer.Option("--reference", help="基础数据目录 / folder of reference data")
]


@app.command()
def check(
    *,
    files: Annotated[
        list[Path] | None, typer.Argument(help="规则包；默认随版本发布的 / packs; default: all")
    ] = None,
    reference: ReferenceFolder = None,
    as_json: AsJson = False,
) -> None:
    """检查规则包 / check packs; exit code 1 if there is an error."""
    data = _reference(reference)
    paths = files or sorted(data_path("routing_rules/packs").glob("*.yaml"))
    findings = [
        finding
        for path in paths
        for finding in check_pack(_bytes(path), name=path.stem, reference=data)
    ]
    _report(findings, as_json=as_json)
    if not findings:
        say(f"{len(paths)} 个规则包没有问题。", f"{len(paths)} packs, nothing to say.")
    if any(finding.is_error for finding in findings):
        raise typer.Exit(Exit.NO)


@app.command(name="test")
def run_tests(
    *,
    packs: Annotated[Path | None, typer.Option(help="规则包目录 / folder of packs")] = None,
    cases: Annotated[Path | None, typer.Option(help="用例目录 / folder of cases")] = None,
    reference: ReferenceFolder = None,
    as_json: AsJson = False,
) -> None:
    """运行规则用例 / run the golden cases; exit code 1 if one fails or a rule has none."""
    data = _reference(reference)
    pack_folder = packs or data_path("routing_rules/packs")
    case_folder = cases or data_path("routing_rules/cases")
    owners = {path.name.partition(".")[0] for path in pack_folder.glob("*.yaml")}
    loaded = PackSet.load(pack_folder, authorities=owners, reference=data)
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
        for finding in findings:
            print_line(str(finding))
        say(
            f"{len(results)} 个用例，{len(failed)} 个未通过。",
            f"{len(results)} cases, {len(failed)} failed.",
        )
    if failed or any(finding.is_error for finding in findings):
        raise typer.Exit(Exit.NO)


@app.command()
def explain(
    *,
    facts: Annotated[
        Path, typer.Argument(help="派单要素 JSON 或 YAML / facts of a ticket, JSON or YAML")
    ],
    authority: Annotated[str, typer.Option(help="决定机构 / authority that decides")],
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """说明工单会派往何处及原因 / tell where such a ticket would go, and why."""
    request = routing_pb.ExplainRouteRequest(authority=authority, facts=_facts(facts))

    async def ask(channel: grpc.aio.Channel) -> routing_pb.ExplainRouteResponse:
        stub = routing_grpc.RoutingServiceStub(channel)
        return await stub.ExplainRoute(request, timeout=CALL_SECONDS)

    answer = Target.of(node, cert, host).ask(ask)
    if as_json:
        print_json(as_dict(answer))
        return
    decision = answer.decision
    action = type(decision).Action.Name(decision.action).removeprefix("ACTION_")
    print_line(f"{action} → {decision.target}")
    print_line(f"{decision.rule} ({decision.pack})  {decision.legal_basis}")
    print_line(decision.explanation)
    print_table(
        (pick("规则包", "pack"), pick("规则", "rule"), "", pick("理由", "reason")),
        [(step.pack, step.rule, step.outcome, step.reason) for step in answer.trace],
    )


def _facts(path: Path) -> routing_pb.RoutingFacts:
    try:
        values: Any = yaml.safe_load(_bytes(path))
        return ParseDict(values, routing_pb.RoutingFacts())
    except (yaml.YAMLError, json.JSONDecodeError, ParseError, AttributeError) as error:
        raise FieldInvalid(
            field=path, got=str(error).partition("\n")[0], expected="RoutingFacts of the standard"
        ) from error


def _reference(folder: Path | None) -> ReferenceData:
    return ReferenceData.load(folder or data_path("routing_rules/reference"))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResourceNotFound(kind="file", name=path) from error


def _report(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json([_finding_row(finding) for finding in findings])
        return
    for finding in findings:
        mark = pick("错误", "error") if finding.is_error else pick("提醒", "warning")
        print_line(f"{mark} {finding}")


def _finding_row(finding: Finding) -> dict[str, object]:
    return {
        "pack": finding.pack,
        "line": finding.line,
        "problem": finding.problem,
        "advice": finding.advice,
        "is_error": finding.is_error,
    }
