"""`lubiao destination`: say how a unit or authority stands, and see what is declared."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from gateway.cli.citizen import RequestId, request_id_of
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.handling import code_named
from gateway.cli.output import AsJson, beijing, pick, print_json, print_table, say
from gateway.cli.ticket import CALL_SECONDS, as_dict
from gateway.kernel.codes import DestinationCondition
from hotline.routing.v1 import destination_service_pb2 as pb
from hotline.routing.v1 import destination_service_pb2_grpc as pb_grpc
from hotline.ticket.v1 import codes_pb2

app = typer.Typer(no_args_is_help=True, help="承办状态 / how destinations stand")
STATES = ", ".join(f"{code.name} {code.zh}" for code in DestinationCondition if code)
Authority = Annotated[
    str, typer.Option("--authority", help="以哪个机构的名义 / whose decisions heed it")
]


@app.command()
def declare(
    *,
    target: Annotated[str, typer.Argument(help="units/… 或 authorities/…")],
    state: Annotated[str, typer.Argument(help=f"承办状态：{STATES}")],
    authority: Authority,
    reason: Annotated[str, typer.Option("--reason", help="原因，勿含个人信息 / why")],
    hours: Annotated[
        float, typer.Option("--hours", help="有效小时数，最长 168 / lease, at most 168 hours")
    ] = 12.0,
    next_hop: Annotated[
        str, typer.Option("--next", help="通常的下一去向 / whom it names instead")
    ] = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """声明承办状态，到期自动恢复 / say how a destination stands; it ends by itself."""
    lease = Duration()
    lease.FromTimedelta(timedelta(hours=hours))
    request = pb.DeclareDestinationStateRequest(
        authority=authority,
        target=target,
        state=codes_pb2.DestinationCondition.ValueType(
            code_named(DestinationCondition, state, option="STATE")
        ),
        lease=lease,
        normal_next_hop=next_hop,
        reason=reason,
        request_id=request_id_of(request_id),
    )
    answer = Target.of(node, cert, host).ask(
        lambda channel: pb_grpc.DestinationServiceStub(channel).DeclareDestinationState(
            request, timeout=CALL_SECONDS
        )
    )
    _print([answer.declared], as_json=as_json)


@app.command(name="list")
def list_states(
    *,
    authority: Authority,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """列出已声明的承办状态 / list what is declared."""
    request = pb.ListDestinationStatesRequest(authority=authority)
    answer = Target.of(node, cert, host).ask(
        lambda channel: pb_grpc.DestinationServiceStub(channel).ListDestinationStates(
            request, timeout=CALL_SECONDS
        )
    )
    _print(answer.declared, as_json=as_json)


def _print(declared: Sequence[pb.DeclaredState], *, as_json: bool) -> None:
    if as_json:
        print_json([as_dict(each) for each in declared])
        return
    if not declared:
        say("没有已声明的承办状态。", "Nothing is declared.")
        return
    print_table(
        (
            pick("去向", "destination"),
            pick("状态", "state"),
            pick("到期", "until"),
            pick("在办", "open"),
            pick("超期占比", "overdue"),
            pick("下一去向", "next"),
            pick("原因", "why"),
        ),
        [
            (
                each.destination.target,
                DestinationCondition(each.destination.state).zh,
                beijing(each.lease_end_time),
                str(each.destination.open_load),
                f"{each.destination.overdue_share:.0%}",
                each.destination.normal_next_hop,
                each.reason,
            )
            for each in declared
        ],
    )
