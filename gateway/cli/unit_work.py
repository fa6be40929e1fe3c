"""`lubiao ticket sign|contact|resolve|rate|close`: the handling of a ticket, step by step.

Beside them what units and the desk say to a return (`answer-return`, `respond-return`, `claim`) and
what is asked of vertically managed bodies (`request`, `answer-request`).

Each call has a fresh request id, as those of `handling` have; `--request-id` repeats one.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import grpc
import typer

from gateway.cli.citizen import RequestId, Words, asked, request_id_of, tell_act, words_of
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.handling import RETURN_REASONS, Basis, Etag, Which, code_named, moment_of, tell
from gateway.cli.output import AsJson, beijing, pick, print_fields, print_json
from gateway.cli.ticket import CALL_SECONDS, Number, as_dict
from gateway.kernel.codes import (
    Code,
    ContactMethod,
    ReturnReason,
    Satisfaction,
    Solved,
    UnitRequestState,
)
from gateway.kernel.errors import FieldInvalid
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as pb_grpc

app = typer.Typer()  # its commands stand among those of `lubiao ticket`


def _names(table: type[Code]) -> str:
    return ", ".join(f"{code.name} {code.zh}" for code in table if code)


class Reply(Enum):
    """What a vertically managed body answers."""

    ACCEPT = "accept"
    DECLINE = "decline"


Unit = Annotated[str, typer.Option("--unit", help="单位，如 370102-SWU-1 / unit")]
Clause = Annotated[str, typer.Option(help="依据条款 / legal or catalogue clause")]
METHODS, OUTCOMES, RATINGS = _names(ContactMethod), _names(Solved), _names(Satisfaction)


@app.command()
def sign(
    *,
    number: Number,
    etag: Etag = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """签收工单 / sign for a ticket: the unit handles it from here on."""
    request = pb.SignForTicketRequest(
        name=f"tickets/{number}", etag=etag, request_id=request_id_of(request_id)
    )
    ticket = asked(
        Target.of(node, cert, host),
        lambda stub: stub.SignForTicket(request, timeout=CALL_SECONDS),
    )
    tell(ticket, as_json=as_json)


@app.command()
def contact(
    *,
    number: Number,
    method: Annotated[str, typer.Option(help=f"联系方式：{METHODS}")],
    at: Annotated[
        str,
        typer.Option("--at", help="联系时间，北京时间，默认现在 / when, e.g. 2026-04-01T17:30"),
    ] = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """登记已联系诉求人 / record that the citizen was contacted."""
    request = pb.RecordContactRequest(
        name=f"tickets/{number}",
        method=codes_pb2.ContactMethod.ValueType(
            code_named(ContactMethod, method, option="--method")
        ),
        request_id=request_id_of(request_id),
    )
    if at:
        request.contact_time.FromDatetime(moment_of(at, option="--at"))
    ticket = asked(
        Target.of(node, cert, host),
        lambda stub: stub.RecordContact(request, timeout=CALL_SECONDS),
    )
    tell(ticket, as_json=as_json)


@app.command()
def resolve(
    *,
    number: Number,
    solved: Annotated[str, typer.Option(help=f"解决情况：{OUTCOMES}")],
    text: Words,
    reply: Annotated[str, typer.Option(help="可公开的答复 / reply that may be published")] = "",
    etag: Etag = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """填报办理结果 / tell what came out."""
    request = pb.ResolveTicketRequest(
        name=f"tickets/{number}",
        resolution=ticket_pb2.Resolution(
            solved=codes_pb2.Solved.ValueType(code_named(Solved, solved, option="--solved")),
            result=words_of(text),
            public_reply=reply,
        ),
        etag=etag,
        request_id=request_id_of(request_id),
    )
    ticket = asked(
        Target.of(node, cert, host),
        lambda stub: stub.ResolveTicket(request, timeout=CALL_SECONDS),
    )
    tell(ticket, as_json=as_json)


@app.command()
def rate(
    *,
    number: Number,
    satisfaction: Annotated[str, typer.Option(help=f"满意度：{RATINGS}")],
    responded: Annotated[
        bool, typer.Option("--responded", help="已得到答复 / the citizen was answered")
    ] = False,
    solved: Annotated[
        bool, typer.Option("--solved", help="诉求人认为已解决 / solved, says the citizen")
    ] = False,
    method: Annotated[str, typer.Option(help=f"回访方式：{METHODS}")] = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """登记诉求人评价 / record what the citizen thinks; exit code 1 if it is refused."""
    rating = ticket_pb2.Rating(
        satisfaction=codes_pb2.Satisfaction.ValueType(
            code_named(Satisfaction, satisfaction, option="--satisfaction")
        ),
        responded=responded,
        solved=solved,
    )
    if method:
        code = code_named(ContactMethod, method, option="--method")
        rating.method = codes_pb2.ContactMethod.ValueType(code)
    request = pb.RateTicketRequest(
        name=f"tickets/{number}", rating=rating, request_id=request_id_of(request_id)
    )
    ticket = asked(
        Target.of(node, cert, host), lambda stub: stub.RateTicket(request, timeout=CALL_SECONDS)
    )
    if ticket.followed and ticket.citizen_acts:  # it goes to the custodian as an act
        tell_act(ticket, as_json=as_json)
    else:
        tell(ticket, as_json=as_json)


@app.command()
def close(
    *,
    number: Number,
    basis: Annotated[str, typer.Option(help="办结依据 / why it is closed")] = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """办结归档 / close a ticket."""
    request = pb.CloseTicketRequest(
        name=f"tickets/{number}", basis=basis, request_id=request_id_of(request_id)
    )
    ticket = asked(
        Target.of(node, cert, host), lambda stub: stub.CloseTicket(request, timeout=CALL_SECONDS)
    )
    tell(ticket, as_json=as_json)


# --- returns ----------------------------------------------------------------------------------


@app.command()
def answer_return(
    *,
    number: Number,
    which: Which,
    basis: Basis,
    stand_by: Annotated[
        bool, typer.Option("--stand-by", help="待定：有人正在研究 / a person is deciding")
    ] = False,
    until: Annotated[
        str, typer.Option(help="待定至，北京时间，默认最长 / until when, default: the longest")
    ] = "",
    propose: Annotated[str, typer.Option(help="另提承办单位 / another unit that is proposed")] = "",
    question: Annotated[
        str, typer.Option("--ask", help="向退单单位提问 / what the unit is asked")
    ] = "",
    etag: Etag = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """以待定、另提建议或提问回应退单 / answer a return neither by yes nor by no."""
    if sum((stand_by, bool(propose), bool(question))) != 1:
        raise FieldInvalid(
            field="--stand-by, --propose, --ask",
            got=pick("未给出或多于一项", "none or several"),
            expected=pick("其中一项", "one of them"),
        )
    request = pb.AnswerReturnRequest(
        name=f"tickets/{number}",
        return_number=which,
        basis=basis,
        etag=etag,
        request_id=request_id_of(request_id),
    )
    if stand_by:
        request.stand_by.SetInParent()
        if until:
            request.stand_by.until_time.FromDatetime(moment_of(until, option="--until"))
    elif propose:
        request.counter_proposal = _unit_name(propose)
    else:
        request.question = question
    ticket = asked(
        Target.of(node, cert, host), lambda stub: stub.AnswerReturn(request, timeout=CALL_SECONDS)
    )
    tell(ticket, as_json=as_json)


@app.command()
def respond_return(
    *,
    number: Number,
    which: Which,
    agree: Annotated[str, typer.Option(help="同意的单位 / the unit that agrees")] = "",
    text: Words = "",
    etag: Etag = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """同意另提建议，或答复提问 / agree to the desk's proposal, or answer its question."""
    if bool(agree) == bool(text):
        raise FieldInvalid(
            field="--agree, --text",
            got=pick("未给出或两项", "none or both"),
            expected=pick("其中一项", "one of them"),
        )
    request = pb.RespondToReturnRequest(
        name=f"tickets/{number}",
        return_number=which,
        etag=etag,
        request_id=request_id_of(request_id),
    )
    if agree:
        request.agreed_by = _unit_name(agree)
    else:
        request.information = words_of(text)
    ticket = asked(
        Target.of(node, cert, host),
        lambda stub: stub.RespondToReturn(request, timeout=CALL_SECONDS),
    )
    tell(ticket, as_json=as_json)


@app.command()
def claim(
    *,
    number: Number,
    unit: Unit,
    clause: Clause,
    etag: Etag = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """认领他人申请退单的工单 / say that a ticket which another unit returns is your unit's own."""
    request = pb.ClaimTicketRequest(
        name=f"tickets/{number}",
        unit=_unit_name(unit),
        clause=clause,
        etag=etag,
        request_id=request_id_of(request_id),
    )
    ticket = asked(
        Target.of(node, cert, host), lambda stub: stub.ClaimTicket(request, timeout=CALL_SECONDS)
    )
    tell(ticket, as_json=as_json)


# --- vertically managed bodies ----------------------------------------------------------------


@app.command(name="request")
def request_unit(
    *,
    number: Number,
    unit: Unit,
    basis: Basis,
    etag: Etag = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """商请垂直管理机构 / ask a vertically managed body; the lead stays until it accepts."""
    request = pb.RequestUnitRequest(
        name=f"tickets/{number}",
        unit=_unit_name(unit),
        basis=basis,
        etag=etag,
        request_id=request_id_of(request_id),
    )
    ticket = asked(
        Target.of(node, cert, host), lambda stub: stub.RequestUnit(request, timeout=CALL_SECONDS)
    )
    if as_json:
        tell(ticket, as_json=True)
        return
    tell(ticket, as_json=False)
    print_fields(_shown(ticket.unit_requests[-1]))


@app.command()
def answer_request(
    *,
    number: Number,
    which: Which,
    reply: Annotated[Reply, typer.Argument(help="承接或不予承接 / accept or decline")],
    clause: Clause,
    reason: Annotated[str, typer.Option(help=f"不予承接理由：{RETURN_REASONS}")] = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """垂直管理机构答复商请 / answer a request for the body, or for its superior."""
    request = pb.AnswerUnitRequestRequest(
        name=f"tickets/{number}",
        unit_request_number=which,
        accepted=reply is Reply.ACCEPT,
        clause=clause,
        request_id=request_id_of(request_id),
    )
    if reason:
        request.reason = codes_pb2.ReturnReason.ValueType(code_named(ReturnReason, reason))

    async def send(channel: grpc.aio.Channel) -> ticket_pb2.UnitRequest:
        stub = pb_grpc.TicketServiceStub(channel)
        return (await stub.AnswerUnitRequest(request, timeout=CALL_SECONDS)).unit_request

    answered = Target.of(node, cert, host).ask(send)
    if as_json:
        print_json(as_dict(answered))
    else:
        print_fields(_shown(answered))


def _unit_name(text: str) -> str:
    return f"units/{text.removeprefix('units/')}"


def _shown(item: ticket_pb2.UnitRequest) -> dict[str, object]:
    state = UnitRequestState(item.state)
    name = f"{pick('商请', 'request')} {item.number}"
    due = f"{pick('时限', 'due')} {beijing(item.due_time)}"
    return {name: f"{item.unit} ← {item.asked} {pick(state.zh, state.name)} {due}"}
