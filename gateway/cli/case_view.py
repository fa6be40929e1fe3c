"""`lubiao case panel|figures|watch|export`: what a panel sees, figures, changes, dossiers.

`lubiao case verify` (`case_verify.py`) checks dossiers without any node.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import grpc
import typer

from gateway.cli.case import CaseNumber, case_name, print_case
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.files import check_new, receive_file
from gateway.cli.output import (
    AsJson,
    beijing,
    harmless,
    pick,
    print_fields,
    print_json,
    print_line,
    print_table,
    say,
)
from gateway.cli.ticket import as_dict
from gateway.kernel.codes import (
    CaseState,
    Code,
    ReturnReason,
    RouteDecisionAction,
    TicketState,
)
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as pb_grpc
from hotline.arbitration.v1 import insight_pb2 as pb

app = typer.Typer()  # its commands stand among those of `lubiao case`
EXPORT_SECONDS = 600
LOOK_SECONDS = 60  # past decisions are made again, a year of cases is read
UNKNOWN = "–"
EVENTS = {
    "genesis": "受理",
    "offered": "移交",
    "accepted": "接收",
    "declined": "退回",
    "revoked": "收回",
    "ruled": "裁定",
    "taken": "承接",
    "assigned": "派单",
    "returned": "退单",
}
SOURCES = {
    "responsibility-list": "职责清单",
    "precedent": "先例",
    "near-precedent": "近似先例",
    "rule": "规则",
    "peer-rule": "对方规则",
}
Purpose = Annotated[str, typer.Option("--purpose", help="查阅内容的目的 / why content is read")]


@app.command()
def panel(
    *,
    number: CaseNumber,
    purpose: Purpose = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """裁定参考：工单、流转、决策、候选与建议；查看会留痕 / all that helps the panel (panel)."""
    request = pb.GetCaseSightRequest(name=case_name(number), purpose=purpose)

    async def fetch(channel: grpc.aio.Channel) -> pb.GetCaseSightResponse:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        return await stub.GetCaseSight(request, timeout=LOOK_SECONDS)

    seen = Target.of(node, cert, host).ask(fetch)
    if as_json:
        print_json(as_dict(seen))
        return
    print_case(seen.case, as_json=False)
    _print_ticket(seen)
    _print_hops(seen)
    _print_candidates(seen)
    _print_advice(seen)
    say("以上供参考，由合议成员裁定。", "This helps; the panel decides.")


@app.command()
def figures(
    *,
    first: Annotated[
        str, typer.Option("--from", help="起始日，月初，如 2026-03-01 / first day of a month")
    ],
    last: Annotated[str, typer.Option("--to", help="截止日（含），月末 / last day of a month")],
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """本机构及所辖争议指标，供诊断，不排名 / disputes as diagnosis, no league table."""
    request = pb.GetDisputeFiguresRequest(first_day=first, last_day=last)

    async def fetch(channel: grpc.aio.Channel) -> pb.GetDisputeFiguresResponse:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        return await stub.GetDisputeFigures(request, timeout=LOOK_SECONDS)

    found = Target.of(node, cert, host).ask(fetch)
    if as_json:
        print_json(as_dict(found))
        return
    _print_parties(found)
    _print_keys(found)
    say(
        f"占比为：值 [95 % 威尔逊区间] / 基数；少于 {found.threshold} 的不公布（{UNKNOWN}）。"
        "按代码排列，区间重叠时不可比较高低。",
        f"A share is: value [95 % Wilson interval] / weight; below {found.threshold} is withheld"
        f" ({UNKNOWN}). Ordered by code; overlapping intervals tell no difference.",
    )
    if found.cut:
        say("争议过多，仅计最近的一部分。", "Too many cases: only the newest were counted.")


@app.command()
def watch(
    *,
    resume: Annotated[str, typer.Option(help="续传标记 / resume token")] = "",
    limit: Annotated[int, typer.Option(min=0, help="收到多少条后结束，0 不限 / 0: no end")] = 0,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """持续查看争议变更，每行一条 / show changes of cases, one a line; Ctrl-C ends it."""

    async def follow(channel: grpc.aio.Channel) -> None:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        token, count = resume, 0
        while not limit or count < limit:  # a stream that ends at its bound is resumed
            async for change in stub.WatchCases(pb.WatchCasesRequest(resume_token=token)):
                token = change.resume_token or token
                if not change.HasField("case"):
                    continue
                _print_change(change, as_json=as_json)
                count += 1
                if count == limit:
                    return

    Target.of(node, cert, host).ask(follow)


@app.command()
def export(
    *,
    number: CaseNumber,
    out: Annotated[Path, typer.Option("--out", "-o", help="输出文件 / file to write")],
    with_words: Annotated[
        bool, typer.Option(help="包含内容，须有角色与目的 / also words: needs role and purpose")
    ] = False,
    purpose: Purpose = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
) -> None:
    """导出签名案卷，可离线核对；会留痕 / export a case as one signed file; it is recorded."""
    check_new(out, option="--out")
    request = pb.ExportCaseRequest(name=case_name(number), with_words=with_words, purpose=purpose)
    receive_file(
        Target.of(node, cert, host),
        out,
        lambda channel: pb_grpc.ArbitrationServiceStub(channel).ExportCase(
            request, timeout=EXPORT_SECONDS
        ),
    )


# --- the panel's view ---------------------------------------------------------------------------


def _print_ticket(seen: pb.GetCaseSightResponse) -> None:
    ticket, decision = seen.ticket, seen.decision
    extents = {
        pb.TicketSeen.EXTENT_MINIMISED: pick("最小案情（本级无工单）", "facts of the case only"),
        pb.TicketSeen.EXTENT_HEADER: pick(
            "工单要素（内容须说明目的）", "header; text needs a purpose"
        ),
        pb.TicketSeen.EXTENT_CONTENT: pick("含诉求内容", "with its text"),
    }
    print_fields(
        {
            pick("工单", "ticket"): ticket.number,
            pick("　可见程度", "  extent"): extents.get(ticket.extent, ""),
            pick("　状态", "  state"): _said(TicketState(ticket.state)),
            pick("　受理时间", "  received"): beijing(ticket.create_time),
            pick("　办理时限", "  due"): beijing(ticket.facts.due_time),
            pick("　承办单位", "  units"): ",".join(ticket.units),
            pick("　标准提示", "  findings"): "；".join(item.message for item in ticket.findings),
            pick("　标题", "  title"): ticket.title,
            pick("　诉求内容", "  text"): ticket.content,
        }
    )
    if seen.HasField("decision"):
        print_fields(
            {
                pick("派单决策", "decision"): _said(RouteDecisionAction(decision.action)),
                pick("　去向", "  target"): decision.target,
                pick("　规则", "  rule"): f"{decision.pack}#{decision.rule}",
                pick("　依据", "  basis"): decision.legal_basis,
                pick("　说明", "  why"): decision.explanation,
            }
        )


def _print_hops(seen: pb.GetCaseSightResponse) -> None:
    print_table(
        (
            pick("时间", "time"),
            pick("经过", "event"),
            pick("移出", "from"),
            pick("移入", "to"),
            pick("理由", "reason"),
            pick("条款", "clause"),
            pick("主张归属", "proposed"),
        ),
        [
            (
                beijing(hop.time),
                pick(EVENTS.get(hop.event, hop.event), hop.event),
                hop.source,
                hop.target,
                _said(ReturnReason(hop.reason)),
                hop.clause,
                hop.proposed_owner,
            )
            for hop in seen.hops
        ],
    )


def _print_candidates(seen: pb.GetCaseSightResponse) -> None:
    print_table(
        (
            pick("候选", "candidate"),
            pick("主张方", "proposed by"),
            pick("在办", "open"),
            pick("超期", "overdue"),
            pick("承接状态", "availability"),
            pick("试算改派", "would move"),
        ),
        [
            (
                item.party,
                ",".join(item.proposed_by),
                item.load.open if item.HasField("load") else UNKNOWN,
                item.load.overdue if item.HasField("load") else UNKNOWN,
                item.availability or UNKNOWN,
                _moves(item),
            )
            for item in seen.candidates
        ],
    )


def _moves(item: pb.CandidateSeen) -> str:
    made = item.moves
    if not item.HasField("moves"):
        return UNKNOWN
    return f"{made.moved}/{made.examined}{'+' if made.cut else ''}"


def _print_advice(seen: pb.GetCaseSightResponse) -> None:
    print_table(
        (
            pick("建议", "for"),
            pick("来源", "source"),
            pick("出处", "reference"),
            pick("所属", "owner"),
            pick("内容", "says"),
            pick("差异", "differs"),
            pick("相左", "against"),
        ),
        [
            (
                item.party or UNKNOWN,
                pick(SOURCES.get(item.source, item.source), item.source),
                item.reference,
                item.owner,
                item.says,
                ",".join(item.differs),
                ",".join(item.against),
            )
            for item in seen.advice
        ],
    )


# --- figures and changes ------------------------------------------------------------------------


def _print_parties(found: pb.GetDisputeFiguresResponse) -> None:
    print_table(
        (
            pick("机构或单位", "party"),
            pick("退单", "returns"),
            pick("争议", "cases"),
            pick("支持率", "upheld"),
            pick("时长 中位/九成（工作时）", "hours p50/p90"),
            pick("未陈述率", "silent"),
            pick("缺席失利率", "lost by silence"),
        ),
        [
            (
                item.party,
                item.returns.value if item.HasField("returns") else UNKNOWN,
                item.cases.value if item.HasField("cases") else UNKNOWN,
                _share(item.upheld, is_known=item.HasField("upheld")),
                _hours(item),
                _share(item.silent, is_known=item.HasField("silent")),
                _share(item.lost_by_silence, is_known=item.HasField("lost_by_silence")),
            )
            for item in found.parties
        ],
    )


def _print_keys(found: pb.GetDisputeFiguresResponse) -> None:
    if found.HasField("by_default"):
        print_fields({pick("默认裁定率", "by default"): _share(found.by_default, is_known=True)})
    print_table(
        (
            pick("先例", "precedent"),
            pick("事项", "matter"),
            pick("重复争议", "repeats"),
            pick("先例适用率", "by precedent"),
            pick("重复率", "rate"),
            pick("规则生效", "rule since"),
            pick("其后争议", "after it"),
        ),
        [
            (
                item.precedent.removeprefix("precedents/"),
                item.matter,
                item.disputes.value if item.HasField("disputes") else UNKNOWN,
                _share(item.by_precedent, is_known=item.HasField("by_precedent")),
                _share(item.rate, is_known=item.HasField("rate")),
                beijing(item.rule_since) if item.HasField("rule_since") else UNKNOWN,
                item.after_rule,
            )
            for item in found.keys
        ],
    )


def _share(share: pb.Share, *, is_known: bool) -> str:
    if not is_known:
        return UNKNOWN
    return f"{share.value:.1%} [{share.low:.1%}–{share.high:.1%}] / {share.weight}"


def _hours(item: pb.PartyFigures) -> str:
    spent = item.in_dispute
    if not item.HasField("in_dispute"):
        return UNKNOWN
    return f"{spent.p50:g}/{spent.p90:g} / {spent.weight}"


def _print_change(change: pb.WatchCasesResponse, *, as_json: bool) -> None:
    if as_json:
        print_line(harmless(json.dumps(as_dict(change), ensure_ascii=False)))
        return
    case = change.case
    number = case.name.removeprefix("cases/")
    state = _said(CaseState(case.state))
    due = beijing(case.ruling_due_time)
    print_line(f"{number}  {state}  {case.responsible}  {due}  {change.resume_token}")


def _said(code: Code) -> str:
    return pick(code.zh, code.name) if code else ""
