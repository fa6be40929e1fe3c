"""`lubiao rules`: copy, check packs, run golden cases, explain where a ticket would go.

`copy` gives a folder of one's own to write packs and units in. `check` and `test` need files only;
`explain` asks a node, because the answer depends on who has joined and what the node hosts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, Exit, pick, print_json, print_line, print_table, say
from gateway.cli.ticket import CALL_SECONDS, as_dict
from gateway.kernel.data import data_path
from gateway.kernel.errors import FieldInvalid, ResourceExists, ResourceNotFound
from gateway.reference.data import ReferenceData
from gateway.routing.check import check_cases, check_pack
from gateway.routing.conditions import cel_conditions
from gateway.routing.model import Finding
from gateway.routing.packs import PackSet
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from hotline.ticket.v1 import ticket_pb2 as ticket_pb

app = typer.Typer(no_args_is_help=True, help="派单规则 / distribution rules")
RULES = "routing_rules"  # of the release
ReferenceFolder = Annotated[
    Path | None, typer.Option("--reference", help="基础数据目录 / folder of reference data")
]
RulesFolder = Annotated[
    Path | None,
    typer.Option("--rules", help="规则目录，含 packs、cases、reference / folder with all of them"),
]


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
        list[Path] | None, typer.Argument(help="规则包；默认随版本发布的 / packs; default: all")
    ] = None,
    rules: RulesFolder = None,
    reference: ReferenceFolder = None,
    as_json: AsJson = False,
) -> None:
    """检查规则包 / check packs; exit code 1 if there is an error."""
    base = rules or data_path(RULES)
    data = _reference(reference or base / "reference")
    paths = files or sorted((base / "packs").glob("*.yaml"))
    findings = [
        finding
        for path in paths
        for finding in check_pack(
            _bytes(path), name=path.stem, reference=data, conditions=cel_conditions()
        )
    ]
    _report(findings, as_json=as_json)
    if not findings:
        say(f"{len(paths)} 个规则包没有问题。", f"{len(paths)} packs, nothing to say.")
    if any(finding.is_error for finding in findings):
        raise typer.Exit(Exit.NO)


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
    base = rules or data_path(RULES)
    data = _reference(reference or base / "reference")
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
    file: Annotated[
        Path | None,
        typer.Argument(help="派单要素 JSON 或 YAML / facts of a ticket, JSON or YAML"),
    ] = None,
    fact: Annotated[
        list[str] | None,
        typer.Option(
            help="单个要素，优先于文件 / one fact, before the file's: "
            "--fact region=131082 --fact type=complaint --fact at_night=true"
        ),
    ] = None,
    authority: Annotated[str, typer.Option(help="决定机构 / authority that decides")],
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """说明工单会派往何处及原因 / tell where such a ticket would go, and why."""
    facts = read_facts(file, fact or [])
    request = routing_pb.ExplainRouteRequest(authority=authority, facts=facts)

    async def ask(channel: grpc.aio.Channel) -> routing_pb.ExplainRouteResponse:
        stub = routing_grpc.RoutingServiceStub(channel)
        return await stub.ExplainRoute(request, timeout=CALL_SECONDS)

    answer = Target.of(node, cert, host).ask(ask)
    if as_json:
        print_json(as_dict(answer))
        return
    _print_decision(answer.decision)
    print_table(
        (pick("规则包", "pack"), pick("规则", "rule"), "", pick("理由", "reason")),
        [(step.pack, step.rule, step.outcome, step.reason) for step in answer.trace],
    )


def _print_decision(decision: ticket_pb.RouteDecision) -> None:
    action = type(decision).Action.Name(decision.action).removeprefix("ACTION_")
    reason = f" ({decision.offer_reason})" if decision.offer_reason else ""
    print_line(f"{action} → {decision.target}{reason}")
    print_line(f"{decision.rule} ({decision.pack})  {decision.legal_basis}")
    print_line(decision.explanation)
    for label, values in (
        (pick("主办属地", "leading region"), [decision.leading_region]),
        (pick("协办单位", "assisting"), decision.assisting),
        (pick("协助地", "asked for help"), decision.help_regions),
    ):
        if any(values):
            print_line(f"{label}: {', '.join(values)}")


def read_facts(file: Path | None, options: Sequence[str]) -> routing_pb.RoutingFacts:
    """Return the facts of a file and of `name=value` options, which come first.

    Codes may be written as in packs (`complaint`) or as in the standard
    (`TICKET_TYPE_COMPLAINT`), lists in options with commas.
    """
    values = {} if file is None else _facts_of_file(file)
    for option in options:
        name, equals, value = option.partition("=")
        field = routing_pb.RoutingFacts.DESCRIPTOR.fields_by_name.get(name)
        if not equals or field is None:
            known = ", ".join(routing_pb.RoutingFacts.DESCRIPTOR.fields_by_name)
            raise FieldInvalid(field="--fact", got=option, expected=f"name=value, of {known}")
        values[name] = _plain(field, value)
    try:
        return ParseDict(
            {name: _with_codes(name, value) for name, value in values.items()},
            routing_pb.RoutingFacts(),
        )
    except (ParseError, AttributeError, TypeError) as error:
        raise FieldInvalid(
            field=file or "--fact",
            got=str(error).partition("\n")[0],
            expected="RoutingFacts of the standard",
        ) from error


def _facts_of_file(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(_bytes(file))
    except yaml.YAMLError as error:
        values = str(error).partition("\n")[0]
    if not isinstance(values, dict):
        raise FieldInvalid(field=file, got=str(values)[:80], expected="a mapping of facts")
    return {str(name): value for name, value in values.items()}


def _plain(field: FieldDescriptor, text: str) -> Any:
    if field.is_repeated:
        return [each for each in text.split(",") if each]
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    return text


def _with_codes(name: str, value: Any) -> Any:
    """Return a value with the short words of packs turned into names of the standard."""
    field = routing_pb.RoutingFacts.DESCRIPTOR.fields_by_name.get(name)
    if field is None or field.enum_type is None:
        return value
    if isinstance(value, list):
        return [_with_codes(name, each) for each in value]
    prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
    longer = f"{prefix}{str(value).upper()}"
    return longer if longer in field.enum_type.values_by_name else value


def _reference(folder: Path) -> ReferenceData:
    if not folder.is_dir():
        raise ResourceNotFound(kind="file", name=folder)
    return ReferenceData.load(folder)


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
