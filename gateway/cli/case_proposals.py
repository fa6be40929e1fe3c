"""`lubiao case proposals` and `lubiao case proposal show|accept|decline`: rules out of rulings.

The request id is derived from what is said, as for rulings: the same command again gets the first
answer. What is shown of a trial is what `lubiao rules simulate` shows.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import grpc
import typer

from gateway.cli.case import request_id_for
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import (
    AsJson,
    beijing,
    pick,
    print_fields,
    print_json,
    print_line,
    print_table,
    say,
)
from gateway.cli.rules_trying import print_report
from gateway.cli.ticket import CALL_SECONDS, as_dict
from gateway.rehearsal.wire import report_from_pb
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as pb_grpc
from hotline.arbitration.v1 import proposal_pb2 as pb

app = typer.Typer()  # its commands stand among those of `lubiao case`
one = typer.Typer(no_args_is_help=True, help="规则建议 / a rule that a ruling proposes")
app.add_typer(one, name="proposal")
PAGE_MAX = 200
ACCEPT_SECONDS = 60.0  # the whole pack is read again
Proposal = Annotated[
    str, typer.Argument(metavar="PROPOSAL", help="建议编号：争议编号.裁定序号 / its number")
]


class State(Enum):
    """Where a proposal stands, as an option says it."""

    PREPARING = "preparing"
    OPEN = "open"
    IMPOSSIBLE = "impossible"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"

    @property
    def code(self) -> pb.RuleProposal.State.ValueType:
        """The code of the standard."""
        return pb.RuleProposal.State.Value(f"STATE_{self.name}")


_ZH = {
    State.PREPARING: "准备中",
    State.OPEN: "待处理",
    State.IMPOSSIBLE: "不能成为规则",
    State.ACCEPTED: "已采纳",
    State.DECLINED: "未采纳",
    State.WITHDRAWN: "已失效",
}


@app.command()
def proposals(
    *,
    state: Annotated[State | None, typer.Option(help="建议状态 / only those in a state")] = None,
    limit: Annotated[int, typer.Option(min=1, help="最多条数 / how many at most")] = 50,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """列出裁定提出的规则建议，新的在前 / list the rules that rulings propose, newest first."""

    async def fetch(channel: grpc.aio.Channel) -> list[pb.RuleProposal]:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        found: list[pb.RuleProposal] = []
        token = ""
        while len(found) < limit:
            request = pb.ListProposalsRequest(
                page_size=min(limit - len(found), PAGE_MAX),
                page_token=token,
                state=state.code if state is not None else pb.RuleProposal.STATE_UNSPECIFIED,
            )
            response = await stub.ListProposals(request, timeout=CALL_SECONDS)
            found += response.proposals
            token = response.next_page_token
            if not token:
                break
        return found

    found = Target.of(node, cert, host).ask(fetch)
    if as_json:
        print_json([as_dict(each) for each in found])
        return
    print_table(
        (
            pick("建议", "proposal"),
            pick("状态", "state"),
            pick("规则包", "pack"),
            pick("回放", "tried"),
            pick("改派", "moved"),
            pick("提出时间", "proposed"),
        ),
        [
            (
                each.name.removeprefix("proposals/"),
                _said(each),
                each.pack,
                each.examined_count,
                each.moved_count,
                beijing(each.propose_time),
            )
            for each in found
        ],
    )


@one.command()
def show(
    *,
    number: Proposal,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """查看规则建议、回放和检查结果 / show a proposal with its trial and findings."""

    async def fetch(channel: grpc.aio.Channel) -> pb.RuleProposal:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        request = pb.GetProposalRequest(name=_name(number))
        return (await stub.GetProposal(request, timeout=CALL_SECONDS)).proposal

    _print(Target.of(node, cert, host).ask(fetch), as_json=as_json)


@one.command()
def accept(
    *,
    number: Proposal,
    etag: Annotated[str, typer.Option(help="所见版本 / etag of the proposal as you saw it")] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """采纳为规则草案，再经检查、审核、签发生效 / make a draft of it (rule editor)."""
    request = pb.AcceptProposalRequest(name=_name(number), etag=etag)
    request.request_id = request_id_for(request)

    async def send(channel: grpc.aio.Channel) -> pb.RuleProposal:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        return (await stub.AcceptProposal(request, timeout=ACCEPT_SECONDS)).proposal

    accepted = Target.of(node, cert, host).ask(send)
    _print(accepted, as_json=as_json)
    if not as_json:
        say(
            "草案尚未生效：先检查，再由另一人审核（lubiao rules approve），然后发布。",
            "The draft decides nothing yet: check it, let another person approve it, publish it.",
        )


@one.command()
def decline(
    *,
    number: Proposal,
    reason: Annotated[str, typer.Option("--reason", help="理由，勿含个人信息 / why")],
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """不采纳，须说明理由 / say why it shall be no rule (rule staff)."""
    request = pb.DeclineProposalRequest(name=_name(number), reason=reason)
    request.request_id = request_id_for(request)

    async def send(channel: grpc.aio.Channel) -> pb.RuleProposal:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        return (await stub.DeclineProposal(request, timeout=CALL_SECONDS)).proposal

    _print(Target.of(node, cert, host).ask(send), as_json=as_json)


def _print(found: pb.RuleProposal, *, as_json: bool) -> None:
    if as_json:
        print_json(as_dict(found))
        return
    print_fields(
        {
            pick("建议", "proposal"): found.name.removeprefix("proposals/"),
            pick("状态", "state"): _said(found),
            pick("版本", "etag"): found.etag,
            pick("争议", "case"): found.case.removeprefix("cases/"),
            pick("裁定", "ruling"): found.ruling,
            pick("裁定人", "ruled by"): found.ruler,
            pick("规则包", "pack"): found.pack,
            pick("规则编号", "rule"): found.rule,
            pick("回放工单", "tickets tried"): found.examined_count,
            pick("去向改变", "would move"): found.moved_count,
            pick("障碍", "obstacle"): found.obstacle,
            pick("草案", "draft"): found.draft,
            pick("处理人", "decided by"): found.decided_by,
            pick("理由", "reason"): found.reason,
            pick("提出时间", "proposed"): beijing(found.propose_time),
        }
    )
    for line in found.text.splitlines():
        print_line(line)
    for simulation in found.evidence.simulations:
        print_line(simulation.authority)
        print_report(report_from_pb(simulation))
    for finding in found.evidence.findings:
        mark = pick("错误", "error") if finding.error else pick("提醒", "warning")
        print_line(f"{mark} {found.pack}:{finding.line} {finding.problem}。{finding.advice}。")


def _said(found: pb.RuleProposal) -> str:
    word = pb.RuleProposal.State.Name(found.state).removeprefix("STATE_").lower()
    state = State(word)
    return pick(_ZH[state], state.value)


def _name(number: str) -> str:
    return f"proposals/{number.removeprefix('proposals/')}"
