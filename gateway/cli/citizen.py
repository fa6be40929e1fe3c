"""`lubiao ticket supplement|urge|withdraw|reopen|ask|answer|split`.

Each call has a fresh request id: to urge twice with the same words is two acts. Whoever repeats a
call after a broken connection gives the same `--request-id` and gets the first answer.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Annotated, Protocol

import grpc
import typer

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, Exit, beijing, pick, print_fields, print_json, print_table
from gateway.cli.ticket import CALL_SECONDS, Number, as_dict
from gateway.cli.ticket_life import advice, outcome
from gateway.kernel.codes import CitizenActKind, TicketPurpose, TicketState
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as pb_grpc

app = typer.Typer()  # its commands stand among those of `lubiao ticket`
STDIN = "-"
RequestId = Annotated[
    str,
    typer.Option(
        "--request-id", help="请求号（UUID），重试时给同一个 / of the first try, to repeat a call"
    ),
]
Words = Annotated[str, typer.Option("--text", help="内容；- 为标准输入 / text, or - for stdin")]
Ask = Callable[["pb_grpc.TicketServiceAsyncStub"], Awaitable["Answered"]]


class Answered(Protocol):
    """A response that holds the ticket."""

    @property
    def ticket(self) -> ticket_pb2.Ticket:
        """The ticket as it is now."""
        ...


class Purpose(Enum):
    """What a child is for."""

    ASSIST = "assist"
    ISSUE = "issue"


@app.command()
def supplement(
    *,
    number: Number,
    text: Words,
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """补充诉求内容 / add to a message."""
    request = pb.SupplementTicketRequest(
        name=f"tickets/{number}", text=words_of(text), request_id=request_id_of(request_id)
    )
    ticket = asked(
        Target.of(node, cert, host),
        lambda stub: stub.SupplementTicket(request, timeout=CALL_SECONDS),
    )
    tell_act(ticket, as_json=as_json)


@app.command()
def urge(
    *,
    number: Number,
    text: Words = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """催办 / urge the custodian."""
    request = pb.UrgeTicketRequest(
        name=f"tickets/{number}", text=words_of(text), request_id=request_id_of(request_id)
    )
    ticket = asked(
        Target.of(node, cert, host), lambda stub: stub.UrgeTicket(request, timeout=CALL_SECONDS)
    )
    tell_act(ticket, as_json=as_json)


@app.command()
def withdraw(
    *,
    number: Number,
    text: Words = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """撤回诉求 / take a message back."""
    request = pb.WithdrawTicketRequest(
        name=f"tickets/{number}", text=words_of(text), request_id=request_id_of(request_id)
    )
    ticket = asked(
        Target.of(node, cert, host), lambda stub: stub.WithdrawTicket(request, timeout=CALL_SECONDS)
    )
    tell_act(ticket, as_json=as_json)


@app.command()
def reopen(
    *,
    number: Number,
    text: Words,
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """要求重办 / have a resolved ticket handled again."""
    request = pb.ReopenTicketRequest(
        name=f"tickets/{number}", text=words_of(text), request_id=request_id_of(request_id)
    )
    ticket = asked(
        Target.of(node, cert, host), lambda stub: stub.ReopenTicket(request, timeout=CALL_SECONDS)
    )
    tell_act(ticket, as_json=as_json)


@app.command()
def ask(
    *,
    number: Number,
    text: Words,
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """向诉求人询问 / ask the citizen through the origin."""
    request = pb.RequestInformationRequest(
        name=f"tickets/{number}", question=words_of(text), request_id=request_id_of(request_id)
    )
    ticket = asked(
        Target.of(node, cert, host),
        lambda stub: stub.RequestInformation(request, timeout=CALL_SECONDS),
    )
    _tell_questions(ticket, as_json=as_json)


@app.command()
def answer(
    *,
    number: Number,
    question: Annotated[int, typer.Option(min=1, help="问题序号 / number of the question")],
    text: Words,
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """答复询问 / answer a question at the origin."""
    request = pb.AnswerInformationRequest(
        name=f"tickets/{number}",
        request_number=question,
        answer=words_of(text),
        request_id=request_id_of(request_id),
    )
    ticket = asked(
        Target.of(node, cert, host),
        lambda stub: stub.AnswerInformation(request, timeout=CALL_SECONDS),
    )
    _tell_questions(ticket, as_json=as_json)


@app.command()
def split(
    *,
    number: Number,
    region: Annotated[
        list[str], typer.Option(help="子单区划，可重复 / region of a child, one each")
    ],
    title: Annotated[str, typer.Option(help="标题 / title")],
    text: Words,
    purpose: Annotated[Purpose, typer.Option(help="用途 / what for")] = Purpose.ASSIST,
    matter: Annotated[
        str, typer.Option(help="事项代码，默认同父单 / matter; default: the parent's")
    ] = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """拆出子单 / split child tickets off."""
    content = words_of(text)
    kind = codes_pb2.TicketPurpose.ValueType(TicketPurpose[purpose.name])
    children = [
        pb.SplitChild(purpose=kind, region=each, matter=matter, title=title, content=content)
        for each in region
    ]
    request = pb.SplitTicketRequest(
        name=f"tickets/{number}", children=children, request_id=request_id_of(request_id)
    )
    ticket = asked(
        Target.of(node, cert, host), lambda stub: stub.SplitTicket(request, timeout=CALL_SECONDS)
    )
    if as_json:
        print_json(as_dict(ticket))
        return
    print_table(
        (pick("子单", "child"), pick("状态", "state"), pick("保管方", "custodian")),
        [
            (each.name.removeprefix("tickets/"), _state(each.state), each.custodian)
            for each in ticket.children
        ],
    )


# --- parts ------------------------------------------------------------------------------------


def asked(target: Target, ask: Ask) -> ticket_pb2.Ticket:
    """Ask the node and return the ticket of its answer."""

    async def call(channel: grpc.aio.Channel) -> ticket_pb2.Ticket:
        return (await ask(pb_grpc.TicketServiceStub(channel))).ticket

    return target.ask(call)


def request_id_of(given: str) -> str:
    """Return the request id that was given, or a fresh one."""
    return given or str(uuid.uuid4())


def words_of(text: str) -> str:
    """Return what a person wrote, which may be in standard input."""
    return sys.stdin.read().strip() if text == STDIN else text


def _state(number: int) -> str:
    code = TicketState(number)
    return pick(code.zh, code.name)


def tell_act(ticket: ticket_pb2.Ticket, *, as_json: bool) -> None:
    """Show what became of the newest act; exit code 1 if it is refused."""
    newest = ticket.citizen_acts[-1]
    if as_json:
        print_json(as_dict(ticket))
    else:
        kind = CitizenActKind(newest.kind)
        print_fields(
            {
                pick("编号", "number"): ticket.name.removeprefix("tickets/"),
                pick("状态", "state"): _state(ticket.state),
                pick("诉求人行为", "act"): f"{newest.number} {pick(kind.zh, kind.name)}",
                pick("结果", "outcome"): outcome(newest),
            }
        )
    if newest.refusal:
        typer.echo(advice(newest.refusal), err=True)
        raise typer.Exit(Exit.NO)


def _tell_questions(ticket: ticket_pb2.Ticket, *, as_json: bool) -> None:
    if as_json:
        print_json(as_dict(ticket))
        return
    print_table(
        ("#", pick("询问机构", "asker"), pick("询问时间", "asked"), pick("答复时间", "answered")),
        [
            (
                each.number,
                each.asker,
                beijing(each.ask_time),
                beijing(each.answer_time),
            )
            for each in ticket.information_requests
        ],
    )
