"""`lubiao aggregates`: what leaves a province for the hub, for the province's own staff."""

from __future__ import annotations

import uuid
from typing import Annotated

import grpc
import typer

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, beijing, pick, print_json, print_line, print_table, say
from gateway.cli.ticket import CALL_SECONDS, PAGE_MAX, as_dict
from gateway.kernel.codes import BudgetEntryOutcome
from hotline.aggregate.v1alpha1 import aggregate_service_pb2 as pb
from hotline.aggregate.v1alpha1 import aggregate_service_pb2_grpc as pb_grpc

app = typer.Typer(no_args_is_help=True, help="向国家枢纽报送的统计 / reports to the national hub")
MICRO = 1_000_000
Day = Annotated[int, typer.Option("--day", help="业务日，如 20260302 / business day")]


@app.command()
def preview(
    *,
    day: Day = 0,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """预览将报送的内容（真实数不外送，不消耗预算）/ show what would leave; spends nothing."""
    request = pb.PreviewReportRequest(day=day)

    async def ask(channel: grpc.aio.Channel) -> pb.PreviewReportResponse:
        return await pb_grpc.AggregateServiceStub(channel).PreviewReport(
            request, timeout=CALL_SECONDS
        )

    answer = Target.of(node, cert, host).ask(ask)
    if as_json:
        print_json(as_dict(answer))
        return
    open_mark = "" if answer.closed else pick("（未结束）", " (still open)")
    print_line(
        pick(
            f"{answer.province}　{answer.day}{open_mark}　ε={_epsilon(answer.epsilon_micro)}　"
            f"误差 ±{answer.error_bar}（95%）　低于 {answer.threshold} 的加噪值不报送",
            f"{answer.province} {answer.day}{open_mark} ε={_epsilon(answer.epsilon_micro)} "
            f"noise ±{answer.error_bar} (95 %), noisy values below {answer.threshold} are withheld",
        )
    )
    _print_preview(answer)
    say(
        "“真实”一列不离开本省；“示例”只为本次预览抽取，绝不报送，实际报送值另行抽取。",
        "The exact column never leaves; the example is drawn for this preview, never pushed.",
    )


def _print_preview(answer: pb.PreviewReportResponse) -> None:
    left = {cell.matter: cell for cell in answer.pushed.report.cells}
    columns = [
        pick("事项", "matter"),
        "",
        pick("真实", "exact"),
        pick("示例", "example"),
        pick("抑制概率", "withheld"),
    ]
    if left:
        columns.append(pick("已报送", "pushed"))
    rows: list[list[object]] = []
    for cell in answer.cells:
        example = _withheld() if cell.example_suppressed else cell.example_count
        row: list[object] = [
            cell.matter,
            cell.matter_name,
            cell.exact_count,
            example,
            f"{cell.suppression_per_mille / 10:g} %",
        ]
        if left:
            pushed = left.get(cell.matter)
            row.append("" if pushed is None else _withheld() if pushed.suppressed else pushed.count)
        rows.append(row)
    print_table(columns, rows)


@app.command()
def push(
    *,
    day: Annotated[int, typer.Option("--day", help="已结束的业务日 / a closed day")],
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """报送一个已结束的业务日；重复则返回原件 / push a closed day; a repeat gets the first."""
    request = pb.PushReportRequest(day=day, request_id=str(uuid.uuid4()))

    async def ask(channel: grpc.aio.Channel) -> pb.PushReportResponse:
        return await pb_grpc.AggregateServiceStub(channel).PushReport(request, timeout=CALL_SECONDS)

    answer = Target.of(node, cert, host).ask(ask)
    if as_json:
        print_json(as_dict(answer))
        return
    _print_reports([answer.report])
    if answer.repeated:
        say("该日此前已报送，返回原件，未重新加噪。", "Pushed before: this is the stored report.")
    if not answer.report.posted:
        say("国家枢纽尚未接入，接入后自动投递。", "No hub has joined; it is sent when one has.")


@app.command()
def reports(
    *,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """列出最近的报送 / list the newest reports."""
    request = pb.ListReportsRequest(page_size=PAGE_MAX)

    async def ask(channel: grpc.aio.Channel) -> pb.ListReportsResponse:
        return await pb_grpc.AggregateServiceStub(channel).ListReports(
            request, timeout=CALL_SECONDS
        )

    answer = Target.of(node, cert, host).ask(ask)
    if as_json:
        print_json([as_dict(report) for report in answer.reports])
        return
    _print_reports(list(answer.reports))


@app.command()
def ledger(
    *,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """查看隐私预算台账 / show the privacy budget."""
    request = pb.ListBudgetEntriesRequest(page_size=PAGE_MAX)

    async def ask(channel: grpc.aio.Channel) -> pb.ListBudgetEntriesResponse:
        return await pb_grpc.AggregateServiceStub(channel).ListBudgetEntries(
            request, timeout=CALL_SECONDS
        )

    answer = Target.of(node, cert, host).ask(ask)
    if as_json:
        print_json(as_dict(answer))
        return
    for balance in answer.balances:
        spent, whole = _epsilon(balance.spent_micro), _epsilon(balance.budget_micro)
        print_line(
            pick(
                f"{balance.period}：已用 ε {spent} / {whole}",
                f"{balance.period}: ε {spent}/{whole}",
            )
        )
    print_table(
        (
            pick("业务日", "day"),
            "ε",
            pick("结果", "outcome"),
            pick("发起者", "actor"),
            pick("时间", "time"),
        ),
        [
            (
                entry.day,
                _epsilon(entry.epsilon_micro),
                pick(BudgetEntryOutcome(entry.outcome).zh, BudgetEntryOutcome(entry.outcome).name),
                entry.actor,
                beijing(entry.record_time),
            )
            for entry in answer.budget_entries
        ],
    )


def _print_reports(found: list[pb.PushedReport]) -> None:
    print_table(
        (
            pick("业务日", "day"),
            pick("序号", "number"),
            "ε",
            pick("报送单元格", "cells shown"),
            pick("抑制", "withheld"),
            pick("合计（加噪）", "noisy sum"),
            pick("投递", "posted"),
        ),
        [
            (
                item.report.day,
                item.report.sequence,
                _epsilon(item.report.epsilon_micro),
                sum(not cell.suppressed for cell in item.report.cells),
                sum(cell.suppressed for cell in item.report.cells),
                sum(cell.count for cell in item.report.cells),
                pick("是", "yes") if item.posted else pick("否", "no"),
            )
            for item in found
        ],
    )


def _withheld() -> str:
    return pick("（抑制）", "(withheld)")


def _epsilon(micro: int) -> str:
    return f"{micro / MICRO:g}"
