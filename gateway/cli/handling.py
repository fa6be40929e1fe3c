"""`lubiao ticket assign|return|review-return|extend|review-extension`: units ask, the desk decides.

Each call has a fresh request id, as those of `citizen` have; `--request-id` repeats one.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import Enum
from typing import Annotated

import grpc
import typer

from gateway.cli.citizen import RequestId
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, beijing, pick, print_fields, print_json
from gateway.cli.ticket import CALL_SECONDS, Number, as_dict
from gateway.kernel.codes import (
    Code,
    ExtensionReason,
    ExtensionState,
    PlatformState,
    ReturnReason,
    ReturnState,
)
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.time import SHANGHAI
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as pb_grpc

app = typer.Typer()  # its commands stand among those of `lubiao ticket`
_OF_TRANSFERS = {ReturnReason.UNSPECIFIED, ReturnReason.LOOP, ReturnReason.HOPS}
Which = Annotated[int, typer.Option("--number", "-n", min=1, help="序号 / its number")]
Basis = Annotated[str, typer.Option(help="理由或意见 / why")]
Etag = Annotated[str, typer.Option(help="所见版本 / etag of the ticket as you saw it")]
RETURN_REASONS = ", ".join(
    f"{code.name} {code.zh}" for code in ReturnReason if code not in _OF_TRANSFERS
)
EXTENSION_REASONS = ", ".join(f"{code.name} {code.zh}" for code in ExtensionReason if code)


class Decision(Enum):
    """What the desk decides."""

    GRANT = "grant"
    REFUSE = "refuse"


@app.command()
def assign(
    *,
    number: Number,
    unit: Annotated[str, typer.Option(help="承办单位，如 370102-CG-1 / unit of this authority")],
    basis: Basis,
    etag: Etag = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """把研判席上的工单派给承办单位 / give a ticket that waits at the desk to a unit."""
    request = pb.AssignTicketRequest(
        name=f"tickets/{number}",
        unit=f"units/{unit.removeprefix('units/')}",
        basis=basis,
        etag=etag,
        request_id=request_id or str(uuid.uuid4()),
    )

    async def send(channel: grpc.aio.Channel) -> ticket_pb2.Ticket:
        stub = pb_grpc.TicketServiceStub(channel)
        return (await stub.AssignTicket(request, timeout=CALL_SECONDS)).ticket

    tell(Target.of(node, cert, host).ask(send), as_json=as_json)


@app.command(name="return")
def return_ticket(
    *,
    number: Number,
    reason: Annotated[str, typer.Option(help=f"退单理由：{RETURN_REASONS}")],
    clause: Annotated[str, typer.Option(help="依据条款 / legal or catalogue clause")],
    owner: Annotated[str, typer.Option(help="建议承办 / whose it is: units/… or authorities/…")],
    etag: Etag = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """申请退单 / ask to give the assignment back; the unit stays responsible until granted."""
    request = pb.ReturnTicketRequest(
        name=f"tickets/{number}",
        reason=codes_pb2.ReturnReason.ValueType(code_named(ReturnReason, reason)),
        clause=clause,
        proposed_owner=owner,
        etag=etag,
        request_id=request_id or str(uuid.uuid4()),
    )

    async def send(channel: grpc.aio.Channel) -> ticket_pb2.Ticket:
        stub = pb_grpc.TicketServiceStub(channel)
        return (await stub.ReturnTicket(request, timeout=CALL_SECONDS)).ticket

    tell(Target.of(node, cert, host).ask(send), as_json=as_json)


@app.command()
def review_return(
    *,
    number: Number,
    which: Which,
    decision: Annotated[Decision, typer.Argument(help="准予或驳回 / grant or refuse")],
    basis: Basis,
    etag: Etag = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """复核退单 / decide about a return."""
    request = pb.ReviewReturnRequest(
        name=f"tickets/{number}",
        return_number=which,
        granted=decision is Decision.GRANT,
        basis=basis,
        etag=etag,
        request_id=request_id or str(uuid.uuid4()),
    )

    async def send(channel: grpc.aio.Channel) -> ticket_pb2.Ticket:
        stub = pb_grpc.TicketServiceStub(channel)
        return (await stub.ReviewReturn(request, timeout=CALL_SECONDS)).ticket

    tell(Target.of(node, cert, host).ask(send), as_json=as_json)


@app.command()
def extend(
    *,
    number: Number,
    until: Annotated[
        str, typer.Option(help="申请时限，北京时间 / new due time, e.g. 2026-04-01T17:30")
    ],
    reason: Annotated[str, typer.Option(help=f"延期理由：{EXTENSION_REASONS}")],
    basis: Basis,
    etag: Etag = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """申请延期 / ask for more time; the due time moves only when it is granted."""
    request = pb.ExtendDeadlineRequest(
        name=f"tickets/{number}",
        reason=codes_pb2.ExtensionReason.ValueType(code_named(ExtensionReason, reason)),
        basis=basis,
        etag=etag,
        request_id=request_id or str(uuid.uuid4()),
    )
    request.new_due_time.FromDatetime(moment_of(until, option="--until"))

    async def send(channel: grpc.aio.Channel) -> ticket_pb2.Ticket:
        stub = pb_grpc.TicketServiceStub(channel)
        return (await stub.ExtendDeadline(request, timeout=CALL_SECONDS)).ticket

    tell(Target.of(node, cert, host).ask(send), as_json=as_json)


@app.command()
def review_extension(
    *,
    number: Number,
    which: Which,
    decision: Annotated[Decision, typer.Argument(help="准予或驳回 / grant or refuse")],
    basis: Basis,
    citizen_told: Annotated[
        bool, typer.Option("--citizen-told", help="已告知诉求人 / the citizen was told")
    ] = False,
    etag: Etag = "",
    request_id: RequestId = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """审批延期 / decide about a wish for more time."""
    request = pb.ReviewExtensionRequest(
        name=f"tickets/{number}",
        extension_number=which,
        granted=decision is Decision.GRANT,
        citizen_told=citizen_told,
        basis=basis,
        etag=etag,
        request_id=request_id or str(uuid.uuid4()),
    )

    async def send(channel: grpc.aio.Channel) -> ticket_pb2.Ticket:
        stub = pb_grpc.TicketServiceStub(channel)
        return (await stub.ReviewExtension(request, timeout=CALL_SECONDS)).ticket

    tell(Target.of(node, cert, host).ask(send), as_json=as_json)


def code_named(table: type[Code], name: str, *, option: str = "--reason") -> int:
    """Return the number of a code that a person wrote by its name.

    Raises:
        FieldInvalid: the table has no such code.
    """
    for code in table:
        if code and name.strip() in (code.zh, code.name.lower().replace("_", "-")):
            return int(code)
        if code and code.name == name.strip().upper().replace("-", "_"):
            return int(code)
    names = ", ".join(code.name for code in table if code)
    raise FieldInvalid(
        field=option, got=name[:40], expected=pick(f"以下之一：{names}", f"one of {names}")
    )


def moment_of(text: str, *, option: str) -> datetime:
    """Return an instant; without an offset it is Beijing time.

    Raises:
        FieldInvalid: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise FieldInvalid(
            field=option,
            got=text[:40],
            expected=pick("时间，如 2026-04-01T17:30", "a time such as 2026-04-01T17:30"),
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=SHANGHAI)


def tell(ticket: ticket_pb2.Ticket, *, as_json: bool) -> None:
    """Show where a ticket stands after a step."""
    if as_json:
        print_json(as_dict(ticket))
        return
    print_fields(
        {
            pick("编号", "number"): ticket.name.removeprefix("tickets/"),
            pick("状态", "state"): _word(PlatformState(ticket.platform_state)),
            pick("版本", "etag"): ticket.etag,
            pick("办结时限", "due"): beijing(ticket.due_time),
        }
    )
    for item in ticket.returns:
        state, reason = _word(ReturnState(item.state)), _word(ReturnReason(item.reason))
        name = f"{pick('退单', 'return')} {item.number}"
        print_fields({name: f"{item.unit} → {item.proposed_owner} {reason} {state}"})
    for wish in ticket.extensions:
        state, reason = _word(ExtensionState(wish.state)), _word(ExtensionReason(wish.reason))
        name = f"{pick('延期', 'extension')} {wish.number}"
        print_fields({name: f"{wish.unit} {beijing(wish.new_due_time)} {reason} {state}"})


def _word(code: Code) -> str:
    return pick(code.zh, code.name)
