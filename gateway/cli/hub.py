"""`lubiao hub`: what left the provinces, as the national hub sees it."""

from __future__ import annotations

from typing import Annotated

import grpc
import typer

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, Exit, pick, print_json, print_line, print_table, say
from gateway.cli.ticket import CALL_SECONDS, as_dict
from hotline.hub.v1alpha1 import hub_service_pb2 as pb
from hotline.hub.v1alpha1 import hub_service_pb2_grpc as pb_grpc

app = typer.Typer(no_args_is_help=True, help="国家枢纽 / the national hub")


@app.callback()
def group() -> None:
    """Make `map` a subcommand even while it is the only one."""


@app.command(name="map")
def show_map(
    *,
    first: Annotated[int, typer.Option("--from", help="起始业务日 / first day")] = 0,
    last: Annotated[int, typer.Option("--to", help="结束业务日 / last day")] = 0,
    province: Annotated[str, typer.Option(help="只看一省 / one province only")] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """国家民意地图：各省报送的加噪计数 / the map of noisy counts; exit code 1 if there is none."""
    request = pb.QueryMapRequest(first_day=first, last_day=last, province=province)

    async def ask(channel: grpc.aio.Channel) -> pb.QueryMapResponse:
        return await pb_grpc.HubServiceStub(channel).QueryMap(request, timeout=CALL_SECONDS)

    answer = Target.of(node, cert, host).ask(ask)
    if as_json:
        print_json(as_dict(answer))
    else:
        for reports in answer.provinces:
            _print_province(reports, answer)
    if not answer.provinces:
        say("该时段没有报送。", "There is no report in that time.")
        raise typer.Exit(Exit.NO)
    if not as_json:
        say(
            "所有数字均为加噪值；“抑制”表示低于阈值而未公布，不等于零。",
            "All numbers are noisy; withheld means below the threshold, not zero.",
        )


def _print_province(reports: pb.ProvinceReports, answer: pb.QueryMapResponse) -> None:
    cells = [cell for cell in answer.cells if cell.province == reports.province]
    days = len(reports.days)
    print_line(
        pick(
            f"{reports.province} {reports.province_name}　{answer.first_day}–{answer.last_day}　"
            f"报送 {days} 天",
            f"{reports.province} {reports.province_name} {answer.first_day} to {answer.last_day}: "
            f"{days} reports",
        )
    )
    print_table(
        (
            pick("事项", "matter"),
            "",
            pick("加噪计数", "noisy count"),
            pick("误差（95%）", "error (95 %)"),
            pick("公布天数", "days shown"),
            pick("抑制天数", "days withheld"),
        ),
        [
            (
                cell.matter,
                cell.matter_name,
                pick("（抑制）", "(withheld)") if cell.suppressed else cell.count,
                "" if cell.suppressed else f"±{cell.error_bar}",
                cell.shown_days,
                cell.suppressed_days,
            )
            for cell in cells
        ],
    )
