"""`lubiao custody offer|waiting|accept|decline|stand-by|ask|recall|assume`: what people decide.

Rules hand over by themselves; these are for the desk. Each call has a fresh request id, as those of
`handling` have; `--request-id` repeats one.
"""

from __future__ import annotations

import uuid
from typing import Annotated

import grpc
import typer

from gateway.cli.citizen import RequestId
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.handling import code_named, moment_of
from gateway.cli.output import AsJson, beijing, pick, print_fields, print_json, print_table, say
from gateway.cli.ticket import CALL_SECONDS, PAGE_MAX, Number, as_dict
from gateway.kernel.codes import ReturnReason, TransferState
from hotline.custody.v1 import custody_pb2
from hotline.custody.v1 import custody_service_pb2 as pb
from hotline.custody.v1 import custody_service_pb2_grpc as pb_grpc
from hotline.ticket.v1 import codes_pb2

app = typer.Typer()  # its commands stand among those of `lubiao custody`
TransferName = Annotated[
    str,
    typer.Argument(metavar="TRANSFER", help="移交，tickets/…/transfers/… / name of the transfer"),
]


@app.command()
def offer(
    *,
    number: Number,
    to: Annotated[str, typer.Option("--to", help="移交给哪个机构 / authority that is offered it")],
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """移交给另一机构；不得再移交的转为争议 / offer a ticket on, or file a case instead."""
    target = Target.of(node, cert, host)
    request = pb.CreateTransferRequest(
        parent=f"tickets/{number}",
        target=to,
        reason=custody_pb2.OFFER_REASON_MANUAL,
        request_id=request_id or str(uuid.uuid4()),
    )

    async def send(channel: grpc.aio.Channel) -> pb.CreateTransferResponse:
        return await pb_grpc.CustodyServiceStub(channel).CreateTransfer(
            request, timeout=CALL_SECONDS
        )

    answer = target.ask(send)
    if as_json:
        print_json(as_dict(answer))
        return
    if answer.case:
        print_fields({pick("争议", "case"): answer.case.removeprefix("cases/")})
        say(
            "不再移交：已提请裁定，裁定前由现保管机构负责（lubiao case show）。",
            "It was not moved again: a case was filed, and the custodian stays responsible.",
        )
        return
    _print(answer.transfer)


@app.command()
def waiting(
    *,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """列出等待人工答复的移交 / list the offers that wait for a person."""

    async def fetch(channel: grpc.aio.Channel) -> list[pb.Transfer]:
        request = pb.ListTransfersRequest(parent="tickets/-", page_size=PAGE_MAX)
        stub = pb_grpc.CustodyServiceStub(channel)
        return list((await stub.ListTransfers(request, timeout=CALL_SECONDS)).transfers)

    found = Target.of(node, cert, host).ask(fetch)
    if as_json:
        print_json([as_dict(each) for each in found])
        return
    print_table(
        (
            pick("移交", "transfer"),
            pick("来自", "from"),
            pick("移交给", "to"),
            pick("状态", "state"),
            pick("答复时限", "answer by"),
        ),
        [
            (each.name, each.source, each.target, _waiting(each), beijing(each.window_end))
            for each in found
        ],
    )


@app.command()
def accept(
    *,
    transfer: TransferName,
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """接收移交 / accept an offer: from then on this authority is responsible."""
    request = pb.AcceptTransferRequest(name=transfer, request_id=request_id or str(uuid.uuid4()))

    async def send(channel: grpc.aio.Channel) -> pb.Transfer:
        stub = pb_grpc.CustodyServiceStub(channel)
        return (await stub.AcceptTransfer(request, timeout=CALL_SECONDS)).transfer

    _show(Target.of(node, cert, host).ask(send), as_json=as_json)


@app.command()
def decline(
    *,
    transfer: TransferName,
    reason: Annotated[str, typer.Option(help="拒收理由，如 WRONG_REGION 属地不符 / why")],
    clause: Annotated[str, typer.Option(help="依据条款 / legal or catalogue clause")],
    owner: Annotated[str, typer.Option(help="建议承办机构代码 / authority whose it is")],
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """拒收移交 / decline an offer: it stays with who offered it."""
    request = pb.DeclineTransferRequest(
        name=transfer,
        reason=codes_pb2.ReturnReason.ValueType(code_named(ReturnReason, reason)),
        clause=clause,
        proposed_owner=owner,
        request_id=request_id or str(uuid.uuid4()),
    )

    async def send(channel: grpc.aio.Channel) -> pb.Transfer:
        stub = pb_grpc.CustodyServiceStub(channel)
        return (await stub.DeclineTransfer(request, timeout=CALL_SECONDS)).transfer

    _show(Target.of(node, cert, host).ask(send), as_json=as_json)


@app.command("stand-by")
def stand_by(
    *,
    transfer: TransferName,
    until: Annotated[
        str,
        typer.Option(
            help="待定至，如 2026-03-02T17:30；最多再一个答复时限 / until when it will be decided"
        ),
    ] = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """告知正在人工研判（每次移交一次，时限照走）/ say that a person is deciding, once an offer."""
    request = pb.StandByRequest(name=transfer, request_id=request_id or str(uuid.uuid4()))
    if until:
        request.until_time.FromDatetime(moment_of(until, option="--until"))

    async def send(channel: grpc.aio.Channel) -> pb.Transfer:
        stub = pb_grpc.CustodyServiceStub(channel)
        return (await stub.StandBy(request, timeout=CALL_SECONDS)).transfer

    told = Target.of(node, cert, host).ask(send)
    _show(told, as_json=as_json)
    if as_json:
        return
    end = beijing(told.window_end)
    say(
        f"已告知对方正在人工研判，请于 {end} 前接收或拒收；工单仍由移交方负责，办理时限照走。",
        f"They are told that a person is deciding. Accept or decline until {end}; the ticket stays"
        " with who offers it, and its clock runs.",
    )


@app.command()
def ask(
    *,
    transfer: TransferName,
    text: Annotated[str, typer.Option(help="问题 / what is asked")],
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """接收前向移交方询问（不是答复，时限照走）/ ask who offers, before the offer is answered."""
    request = pb.AskAboutTransferRequest(
        name=transfer, question=text, request_id=request_id or str(uuid.uuid4())
    )

    async def send(channel: grpc.aio.Channel) -> pb.Transfer:
        stub = pb_grpc.CustodyServiceStub(channel)
        return (await stub.AskAboutTransfer(request, timeout=CALL_SECONDS)).transfer

    _show(Target.of(node, cert, host).ask(send), as_json=as_json)


@app.command()
def inform(
    *,
    transfer: TransferName,
    number: Annotated[
        int, typer.Option("--number", "-n", help="询问序号 / number of the question")
    ],
    text: Annotated[str, typer.Option(help="答复 / what is answered")],
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """答复接收方的询问 / answer the question of whom the ticket is offered to."""
    request = pb.AnswerInquiryRequest(
        name=transfer, number=number, answer=text, request_id=request_id or str(uuid.uuid4())
    )

    async def send(channel: grpc.aio.Channel) -> pb.Transfer:
        stub = pb_grpc.CustodyServiceStub(channel)
        return (await stub.AnswerInquiry(request, timeout=CALL_SECONDS)).transfer

    _show(Target.of(node, cert, host).ask(send), as_json=as_json)


@app.command()
def question(
    *,
    transfer: TransferName,
    purpose: Annotated[str, typer.Option(help="查阅目的代码，如 dispute / why it is read")],
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """查看移交询问及答复（留痕）/ read the newest question about an offer, and its answer."""
    request = pb.GetInquiryRequest(name=transfer, purpose=purpose)

    async def fetch(channel: grpc.aio.Channel) -> pb.GetInquiryResponse:
        stub = pb_grpc.CustodyServiceStub(channel)
        return await stub.GetInquiry(request, timeout=CALL_SECONDS)

    found = Target.of(node, cert, host).ask(fetch)
    if as_json:
        print_json(as_dict(found))
        return
    print_fields(
        {pick("询问", "question"): found.question, pick("答复", "answer"): found.answer or "-"}
    )


@app.command()
def recall(
    *,
    transfer: TransferName,
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """撤回尚未答复的移交 / take an offer back that nobody answered yet."""
    request = pb.RevokeTransferRequest(name=transfer, request_id=request_id or str(uuid.uuid4()))

    async def send(channel: grpc.aio.Channel) -> pb.Transfer:
        stub = pb_grpc.CustodyServiceStub(channel)
        return (await stub.RevokeTransfer(request, timeout=CALL_SECONDS)).transfer

    _show(Target.of(node, cert, host).ask(send), as_json=as_json)


@app.command()
def assume(
    *,
    number: Number,
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """向现保管机构索要工单，承诺必接 / ask for a ticket, and promise to accept it."""
    request = pb.AssumeTicketRequest(
        name=f"tickets/{number}", request_id=request_id or str(uuid.uuid4())
    )

    async def send(channel: grpc.aio.Channel) -> pb.AssumeTicketResponse:
        stub = pb_grpc.CustodyServiceStub(channel)
        return await stub.AssumeTicket(request, timeout=CALL_SECONDS)

    answer = Target.of(node, cert, host).ask(send)
    if as_json:
        print_json(as_dict(answer))
        return
    until = beijing(answer.expire_time)
    say(
        f"已向 {answer.custodian} 索要，{until} 前移交来的必接。",
        f"Asked {answer.custodian}; an offer that comes until {until} is accepted.",
    )


@app.command()
def dispute(
    *,
    number: Number,
    owner: Annotated[str, typer.Option("--to", help="建议归属机构代码 / whose it should be")],
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """就工单归属提请上级裁定，工单不动 / ask the arbiter to rule; the ticket stays."""
    request = pb.FileCaseRequest(
        name=f"tickets/{number}", proposed_owner=owner, request_id=request_id or str(uuid.uuid4())
    )

    async def send(channel: grpc.aio.Channel) -> pb.FileCaseResponse:
        stub = pb_grpc.CustodyServiceStub(channel)
        return await stub.FileCase(request, timeout=CALL_SECONDS)

    answer = Target.of(node, cert, host).ask(send)
    if as_json:
        print_json(as_dict(answer))
        return
    say(
        f"已提请裁定，争议 {answer.case}。请用 lubiao case position 陈述意见。",
        f"Filed as case {answer.case}. State a position with `lubiao case position`.",
    )


def _show(transfer: pb.Transfer, *, as_json: bool) -> None:
    if as_json:
        print_json(as_dict(transfer))
    else:
        _print(transfer)


def _print(transfer: pb.Transfer) -> None:
    print_fields(
        {
            pick("移交", "transfer"): transfer.name,
            pick("来自", "from"): transfer.source,
            pick("移交给", "to"): transfer.target,
            pick("状态", "state"): _state(transfer),
            pick("答复时限", "answer by"): beijing(transfer.window_end),
        }
        | _standing_by(transfer)
        | _asked(transfer)
    )


def _asked(transfer: pb.Transfer) -> dict[str, str]:
    """Return the line that says where the newest question stands, if there is one."""
    if not transfer.inquiries:
        return {}
    at = beijing(transfer.inquiry_time)
    if transfer.HasField("inquiry_answer_time"):
        told = beijing(transfer.inquiry_answer_time)
        state = pick(f"{at} 询问，{told} 已答复", f"asked {at}, answered {told}")
    else:
        state = pick(f"{at} 询问，待答复", f"asked {at}, not answered yet")
    return {pick(f"询问 {transfer.inquiries}", f"question {transfer.inquiries}"): state}


def _standing_by(transfer: pb.Transfer) -> dict[str, str]:
    """Return the line that says who decides and until when, if that was said."""
    if not transfer.HasField("stand_by_until_time"):
        return {}
    until = beijing(transfer.stand_by_until_time)
    told = pick(f"{transfer.decider} 正在研判，至 {until}", f"{transfer.decider}, until {until}")
    return {pick("待定", "stand-by"): told}


def _waiting(transfer: pb.Transfer) -> str:
    if transfer.HasField("stand_by_until_time"):
        return f"{_state(transfer)} · {pick('待定', 'stand-by')}"
    return _state(transfer)


def _state(transfer: pb.Transfer) -> str:
    code = TransferState(transfer.state)
    return pick(code.zh, code.name)
