"""`lubiao ticket sign|contact|resolve|rate|close`: the handling of a ticket, step by step.

Each call has a fresh request id, as those of `handling` have; `--request-id` repeats one.
"""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.citizen import RequestId, Words, asked, request_id_of, tell_act, words_of
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.handling import Etag, code_named, moment_of, tell
from gateway.cli.output import AsJson
from gateway.cli.ticket import CALL_SECONDS, Number
from gateway.kernel.codes import Code, ContactMethod, Satisfaction, Solved
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as pb

app = typer.Typer()  # its commands stand among those of `lubiao ticket`


def _names(table: type[Code]) -> str:
    return ", ".join(f"{code.name} {code.zh}" for code in table if code)


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
