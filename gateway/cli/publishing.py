"""`lubiao rules draft|approve|publish|history|show|rollback|retire|misroutes`: rules that count.

A version is written `PACK@VERSION`; twelve characters of the version are enough. All of these ask a
node with the certificate of a member of the rule staff; who may do what is docs/publishing.md#who.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from google.protobuf.json_format import Parse

from gateway.cli import misroutes
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import (
    AsJson,
    Exit,
    beijing,
    pick,
    print_fields,
    print_json,
    print_line,
    print_table,
    say,
)
from gateway.cli.rule_calls import ask_rules, request_id
from gateway.cli.rules_files import (
    PackFile,
    base_of,
    facts_texts,
    load_reference,
    print_routing_findings,
    read_files,
)
from gateway.cli.ticket import CALL_SECONDS, PAGE_MAX, as_dict
from gateway.delivery.codec import instant_to_pb
from gateway.kernel.codes import RulePackState
from gateway.kernel.errors import FieldInvalid, RulePackInvalid
from gateway.kernel.time import SHANGHAI, Instant
from gateway.routing.codec import facts_from_pb
from gateway.routing.conditions import cel_conditions
from gateway.routing.model import Finding
from gateway.routing.packs import PackSet
from gateway.routing.parse import parse_pack
from gateway.routing.templates import templates_of
from hotline.routing.v1 import publication_pb2 as pb
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.routing.v1 import routing_service_pb2_grpc as pb_grpc

Answer = TypeVar("Answer")
PACK_SECONDS = 60.0  # a pack of 10 MB over a county's line, and its checks
VERSION_SHOWN = 12
Version = Annotated[str, typer.Argument(help="规则包@版本（前 12 位即可）/ PACK@VERSION")]
Pack = Annotated[str, typer.Argument(help="规则包，如 131000.langfang / pack")]
Reason = Annotated[str, typer.Option("--reason", help="理由，勿含个人信息 / why")]


def register(app: typer.Typer) -> None:
    """Add these commands to `lubiao rules`."""
    for command in (draft, approve, publish, history, show, rollback, retire):
        app.command()(command)
    app.add_typer(misroutes.app, name="misroutes")


# --- the life of a version ------------------------------------------------------------------------


def draft(
    *,
    file: Annotated[Path, typer.Argument(help="规则包，YAML 或决策表 / the pack, in any form")],
    pack: Annotated[
        str,
        typer.Option(help="规则包名，默认取文件名或表中所写 / name; default: file's or table's"),
    ] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """提交规则包草稿并检查 / hand in a draft and have it checked; exit code 1 if it has errors."""
    [form] = read_files([file], as_json=as_json)
    try:
        source = form.source.decode()
    except UnicodeDecodeError as error:
        raise FieldInvalid(
            field=file, got=pick("其他编码", "bytes"), expected=pick("UTF-8 文本", "UTF-8 text")
        ) from error
    name = f"rulePacks/{pack or form.name}"
    create = pb.CreateRulePackRequest(name=name, source=source, request_id=request_id())

    async def ask(stub: pb_grpc.RoutingServiceAsyncStub) -> pb.CheckRulePackResponse:
        kept = await stub.CreateRulePack(create, timeout=PACK_SECONDS)
        check = pb.CheckRulePackRequest(name=kept.version.name, request_id=request_id())
        return await stub.CheckRulePack(check, timeout=PACK_SECONDS)

    try:
        answer = ask_rules(Target.of(node, cert, host), ask)
    except RulePackInvalid:
        if not as_json:
            print_routing_findings(_form_errors(form))
        raise
    errors = sum(finding.error for finding in answer.findings)
    if as_json:
        print_json(as_dict(answer))
    else:
        for finding in answer.findings:
            mark = pick("错误", "error") if finding.error else pick("提醒", "warning")
            print_line(f"{mark} {form.place(finding.line)} {finding.problem}。{finding.advice}。")
            if finding.witness:
                print_line(f"    {pick('例', 'example')}: {_witness_text(finding.witness)}")
        print_version(answer.version, as_json=False)
    if errors:
        raise typer.Exit(Exit.NO)
    say("请另一人审核：lubiao rules approve", "Now another person approves it: rules approve.")


def _form_errors(form: PackFile) -> Sequence[Finding]:
    """Return all that is wrong with the form of a pack that a node refused.

    An answer has room for the first few only. Here the release's own data is looked at, which may
    be another version than the node's.
    """
    base = base_of(None)
    reference, conditions = load_reference(base / "reference"), cel_conditions()
    nation = PackSet.load(
        base / "packs", authorities=(), reference=reference, conditions=conditions
    )
    return parse_pack(
        form.source,
        name=form.name,
        reference=reference,
        conditions=conditions,
        templates=templates_of(nation.packs),
    ).errors


def _witness_text(witness: str) -> str:
    """Return the facts of a finding's ticket in words, with the names of the release's data."""
    facts = facts_from_pb(Parse(witness, routing_pb.RoutingFacts(), ignore_unknown_fields=True))
    return "；".join(facts_texts(facts, load_reference(base_of(None) / "reference")))


def approve(
    *,
    version: Version,
    etag: Annotated[str, typer.Option(help="所见实体标签 / etag that you saw")] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """审核通过他人的版本 / approve a version that another person wrote."""
    request = pb.ApproveRulePackRequest(
        name=version_name(version), etag=etag, request_id=request_id()
    )
    answer = ask_rules(
        Target.of(node, cert, host),
        lambda stub: stub.ApproveRulePack(request, timeout=CALL_SECONDS),
    )
    print_version(answer.version, as_json=as_json)


def publish(
    *,
    version: Version,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="生效时间（北京），默认即刻 / in force from; default: now",
        ),
    ] = "",
    reason: Annotated[str, typer.Option("--reason", help="理由 / why")] = "",
    etag: Annotated[str, typer.Option(help="所见实体标签 / etag that you saw")] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """签发已审核的版本 / publish an approved version, at once or from an instant on."""
    request = pb.PublishRulePackRequest(
        name=version_name(version), reason=reason, etag=etag, request_id=request_id()
    )
    if start:
        request.effective_time.CopyFrom(instant_to_pb(instant_of(start)))
    answer = ask_rules(
        Target.of(node, cert, host),
        lambda stub: stub.PublishRulePack(request, timeout=PACK_SECONDS),
    )
    print_version(answer.version, as_json=as_json)


def rollback(
    *,
    pack: Pack,
    reason: Reason,
    version: Annotated[str, typer.Option("--to", help="目标版本，默认上一版 / version")] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """立即恢复曾经生效的版本 / bring an earlier version into force again, at once."""
    request = pb.RollbackRulePackRequest(
        name=f"rulePacks/{pack}", version=version, reason=reason, request_id=request_id()
    )
    answer = ask_rules(
        Target.of(node, cert, host),
        lambda stub: stub.RollbackRulePack(request, timeout=CALL_SECONDS),
    )
    print_version(answer.version, as_json=as_json)


def retire(
    *,
    name: Annotated[
        str,
        typer.Argument(metavar="PACK[@VERSION]", help="规则包或其版本 / pack or version"),
    ],
    reason: Reason,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """停用规则包，或撤回未生效的版本 / take a pack out of force, or withdraw a version."""
    full = version_name(name) if "@" in name else f"rulePacks/{name}"
    request = pb.RetireRulePackRequest(name=full, reason=reason, request_id=request_id())
    answer = ask_rules(
        Target.of(node, cert, host),
        lambda stub: stub.RetireRulePack(request, timeout=CALL_SECONDS),
    )
    print_version(answer.version, as_json=as_json)


def history(
    *,
    pack: Annotated[str, typer.Argument(help="规则包，默认全部 / pack; default: all")] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """列出版本及其经历，新的在前 / list versions with their life, the newest first."""
    parent = f"rulePacks/{pack}" if pack else ""

    async def ask(stub: pb_grpc.RoutingServiceAsyncStub) -> list[pb.RulePackVersion]:
        found: list[pb.RulePackVersion] = []
        token = ""
        while True:
            request = pb.ListRulePackVersionsRequest(
                parent=parent, page_size=PAGE_MAX, page_token=token
            )
            answer = await stub.ListRulePackVersions(request, timeout=CALL_SECONDS)
            found += answer.versions
            token = answer.next_page_token
            if not token:
                return found

    versions = ask_rules(Target.of(node, cert, host), ask)
    if as_json:
        print_json([as_dict(version) for version in versions])
        return
    print_table(
        (
            pick("版本", "version"),
            pick("状态", "state"),
            pick("生效时间", "in force from"),
            pick("规则", "rules"),
            pick("编写", "editor"),
            pick("审核", "approver"),
            pick("理由", "reason"),
        ),
        [
            (
                _label(version),
                _state(version),
                beijing(version.effective_time),
                version.rule_count,
                _person(version.editor),
                _person(version.approver),
                version.reason,
            )
            for version in versions
        ],
    )


def show(
    *,
    name: Annotated[
        str, typer.Argument(metavar="PACK[@VERSION]", help="默认现行版本 / default: in force")
    ],
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """显示规则包源文本 / print the source of a pack."""
    full = version_name(name) if "@" in name else f"rulePacks/{name}"
    request = routing_pb.GetRulePackRequest(name=full)
    answer = ask_rules(
        Target.of(node, cert, host),
        lambda stub: stub.GetRulePack(request, timeout=PACK_SECONDS),
    )
    if as_json:
        print_json(as_dict(answer.rule_pack))
        return
    say(
        f"{answer.rule_pack.title}（{answer.rule_pack.rule_count} 条规则，版本 "
        f"{answer.rule_pack.version[:VERSION_SHOWN]}）",
        f"{answer.rule_pack.rule_count} rules, version {answer.rule_pack.version[:VERSION_SHOWN]}",
    )
    print_line(answer.rule_pack.source.rstrip("\n"))


# --- parts ----------------------------------------------------------------------------------------


def version_name(text: str) -> str:
    """Return the resource name of `PACK@VERSION`.

    Raises:
        FieldInvalid: it is not of that form.
    """
    pack, at, version = text.partition("@")
    if not at or not re.fullmatch(r"[0-9a-f]{12,64}", version):
        raise FieldInvalid(
            field="version",
            got=text,
            expected=pick(
                "规则包@版本，版本至少 12 位", "PACK@VERSION, at least 12 characters of it"
            ),
        )
    return f"rulePacks/{pack}/versions/{version}"


def instant_of(text: str) -> Instant:
    """Return the instant of a day, or of a day and time, in Beijing.

    Raises:
        FieldInvalid: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        expected = pick(
            "北京时间，如 2026-12-01 或 2026-12-01T08:00",
            "2026-12-01 or 2026-12-01T08:00, Beijing time",
        )
        raise FieldInvalid(field="--from", got=text, expected=expected) from error
    return (found if found.tzinfo else found.replace(tzinfo=SHANGHAI)).astimezone(UTC)


def _label(version: pb.RulePackVersion) -> str:
    pack, _, digest = version.name.removeprefix("rulePacks/").partition("/versions/")
    return f"{pack}@{digest[:VERSION_SHOWN]}"


def _state(version: pb.RulePackVersion) -> str:
    state = RulePackState(version.state)
    founding = pick("（初始）", " (founding)") if version.founding else ""
    return pick(state.zh, state.name.lower()) + founding


def _person(principal: str) -> str:
    return principal.rpartition("/")[2]


def print_version(version: pb.RulePackVersion, *, as_json: bool) -> None:
    """Print a version with its life."""
    if as_json:
        print_json(as_dict(version))
        return
    print_fields(
        {
            pick("版本", "version"): _label(version),
            pick("名称", "title"): version.title,
            pick("状态", "state"): _state(version),
            pick("规则条数", "rules"): version.rule_count,
            pick("编写人", "editor"): version.editor,
            pick("审核人", "approver"): version.approver,
            pick("生效时间", "in force from"): beijing(version.effective_time),
            pick("理由", "reason"): version.reason,
            pick("实体标签", "etag"): version.etag,
        }
    )
