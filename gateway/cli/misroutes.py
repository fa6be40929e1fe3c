"""`lubiao rules misroutes`: tickets that came wrongly, and what the owner of the rule did."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, Exit, beijing, pick, print_fields, print_json, print_table
from gateway.cli.rule_calls import ask_rules, request_id
from gateway.cli.ticket import CALL_SECONDS, PAGE_MAX, as_dict
from gateway.kernel.codes import MisrouteReason, MisrouteResolution, MisrouteState
from gateway.kernel.errors import FieldInvalid
from hotline.routing.v1 import publication_pb2 as pb
from hotline.routing.v1 import routing_service_pb2_grpc as pb_grpc

app = typer.Typer(no_args_is_help=True, help="错派报告 / reports of misrouted tickets")


@app.command(name="report")
def report(
    *,
    ticket: Annotated[str, typer.Argument(help="全国统一工单编号 / ticket number")],
    reason: Annotated[
        str,
        typer.Option(help="原因 / why: gap, overlap, conflicting-rule, loop, stale-unit, …"),
    ],
    offered: Annotated[
        bool, typer.Option("--offered", help="针对移交方的规则 / the rule that offered it here")
    ] = False,
    rule: Annotated[str, typer.Option(help="规则编号 / rule, with --pack")] = "",
    pack: Annotated[str, typer.Option(help="规则包@版本 / pack, with --rule")] = "",
    target: Annotated[
        str, typer.Option(help="建议对象 / who should have got it: units/…, authorities/…")
    ] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """报告工单派错，送达规则所有机构 / tell a rule's owner that it sent a ticket wrongly."""
    request = pb.ReportMisrouteRequest(
        ticket=f"tickets/{ticket}",
        reason=pb.MisrouteReason.ValueType(_code(MisrouteReason, reason, "--reason")),
        offered=offered,
        rule=rule,
        pack=pack,
        proposed_target=target,
        request_id=request_id(),
    )
    answer = ask_rules(
        Target.of(node, cert, host),
        lambda stub: stub.ReportMisroute(request, timeout=CALL_SECONDS),
    )
    _print_misroute(answer.misroute, as_json=as_json)


@app.command(name="list")
def list_misroutes(
    *,
    everything: Annotated[bool, typer.Option("--all", help="含已答复 / answered ones too")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="仅超期 / overdue only")] = False,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """列出错派报告与各规则计数 / list reports, and counts of your rules; 1 if one is overdue."""

    async def ask(
        stub: pb_grpc.RoutingServiceAsyncStub,
    ) -> tuple[list[pb.Misroute], list[pb.MisrouteCount]]:
        found: list[pb.Misroute] = []
        counts: list[pb.MisrouteCount] = []
        token = ""
        while True:
            request = pb.ListMisroutesRequest(
                show_answered=everything,
                overdue_only=overdue,
                page_size=PAGE_MAX,
                page_token=token,
            )
            answer = await stub.ListMisroutes(request, timeout=CALL_SECONDS)
            found += answer.misroutes
            counts += answer.counts
            token = answer.next_page_token
            if not token:
                return found, counts

    found, counts = ask_rules(Target.of(node, cert, host), ask)
    if as_json:
        print_json(
            {
                "misroutes": [as_dict(misroute) for misroute in found],
                "counts": [as_dict(count) for count in counts],
            }
        )
    else:
        _print_misroutes(found, counts)
    if any(misroute.overdue for misroute in found):
        raise typer.Exit(Exit.NO)


@app.command(name="answer")
def answer_misroute(
    *,
    misroute: Annotated[str, typer.Argument(help="报告编号 / report")],
    resolution: Annotated[
        str,
        typer.Option(help="处理结果 / what was done: rule-changed, no-discrepancy, per-policy, …"),
    ],
    version: Annotated[str, typer.Option(help="更正后的完整版本号 / full version")] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """答复错派报告 / answer a report about one of your rules."""
    request = pb.AnswerMisrouteRequest(
        name=f"misroutes/{misroute}",
        resolution=pb.MisrouteResolution.ValueType(
            _code(MisrouteResolution, resolution, "--resolution")
        ),
        version=version,
        request_id=request_id(),
    )
    answer = ask_rules(
        Target.of(node, cert, host),
        lambda stub: stub.AnswerMisroute(request, timeout=CALL_SECONDS),
    )
    _print_misroute(answer.misroute, as_json=as_json)


def _code(codes: type[MisrouteReason | MisrouteResolution], word: str, option: str) -> int:
    known = {code.name.lower().replace("_", "-"): int(code) for code in codes if code}
    if word not in known:
        raise FieldInvalid(field=option, got=word, expected=", ".join(known))
    return known[word]


def _print_misroute(misroute: pb.Misroute, *, as_json: bool) -> None:
    if as_json:
        print_json(as_dict(misroute))
        return
    print_fields(
        {
            pick("报告", "report"): misroute.name.removeprefix("misroutes/"),
            pick("状态", "state"): _misroute_state(misroute),
            pick("原因", "reason"): _word(MisrouteReason(misroute.reason)),
            pick("规则", "rule"): f"{misroute.rule} ({misroute.pack})",
            pick("规则所有机构", "owner"): misroute.owner,
            pick("答复期限", "due"): beijing(misroute.due_time),
            pick("处理结果", "resolution"): _resolution(misroute),
        }
    )


def _print_misroutes(found: list[pb.Misroute], counts: list[pb.MisrouteCount]) -> None:
    print_table(
        (
            pick("报告", "report"),
            pick("状态", "state"),
            pick("原因", "reason"),
            pick("规则", "rule"),
            pick("报告机构", "reporter"),
            pick("答复期限", "due"),
            pick("处理结果", "resolution"),
        ),
        [
            (
                misroute.name.removeprefix("misroutes/"),
                _misroute_state(misroute),
                _word(MisrouteReason(misroute.reason)),
                f"{misroute.rule} ({misroute.pack})",
                misroute.reporter,
                beijing(misroute.due_time),
                _resolution(misroute),
            )
            for misroute in found
        ],
    )
    if counts:
        print_table(
            (
                pick("规则", "rule"),
                pick("报告数", "reported"),
                pick("待处理", "open"),
                pick("超期", "overdue"),
                pick("规则变更", "rule changed"),
            ),
            [
                (
                    f"{count.rule} ({count.pack})",
                    count.reported,
                    count.open,
                    count.overdue,
                    count.rule_changed,
                )
                for count in counts
            ],
        )


def _misroute_state(misroute: pb.Misroute) -> str:
    state = MisrouteState(misroute.state)
    late = pick("（超期）", " (overdue)") if misroute.overdue else ""
    return pick(state.zh, state.name.lower()) + late


def _word(code: MisrouteReason | MisrouteResolution) -> str:
    return pick(code.zh, code.name.lower().replace("_", "-"))


def _resolution(misroute: pb.Misroute) -> str:
    return _word(MisrouteResolution(misroute.resolution)) if misroute.resolution else ""
