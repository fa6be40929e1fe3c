"""`lubiao ticket`: hand in, show, list and watch tickets through a node.

Files to hand in: JSON (one ticket or a list), JSON Lines, or CSV whose columns are paths of fields
(`matter`, `content.title`, `content.place.region`). The request
id of each ticket is derived from its content and place in the file, so the same file handed in
again after a broken connection creates nothing twice.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.rpc import status_pb2

from gateway.cli import attachment
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import (
    AsJson,
    Exit,
    beijing,
    pick,
    print_fields,
    print_json,
    print_line,
    print_table,
)
from gateway.cli.ticket_life import print_life
from gateway.kernel.codes import AssignmentState, Code, TicketState, Urgency
from gateway.kernel.errors import FieldInvalid, ResourceNotFound
from gateway.server.status import error_of
from hotline.ticket.v1 import ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc

app = typer.Typer(no_args_is_help=True, help="工单 / tickets")
app.command()(attachment.attach)
app.command()(attachment.fetch)
CALL_SECONDS = 15
BATCH_SECONDS = 60
BATCH_MAX = 500  # of the standard
BATCH_BYTES_MAX = 3 * 1024 * 1024  # a node takes 4 MiB
PAGE_MAX = 500
FILE_BYTES_MAX = 256 * 1024 * 1024
_NAMESPACE = uuid.UUID("6c756269-616f-5000-8000-7469636b6574")  # "lubiao", "ticket"
Number = Annotated[str, typer.Argument(help="工单编号 / number of the ticket")]


class Format(Enum):
    """How a file to hand in is written."""

    JSON = "json"
    CSV = "csv"


@app.command()
def submit(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="文件或标准输入 / file or stdin")],
    form: Annotated[
        Format | None, typer.Option("--format", help="默认按扩展名 / default: by suffix")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="以流方式提交，适合大批量 / as a stream, for many")
    ] = False,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """提交工单 / hand in tickets; exit code 1 if any was refused."""
    tickets = read_tickets(file, form)
    target = Target.of(node, cert, host)

    async def send(channel: grpc.aio.Channel) -> list[ticket_pb.BatchCreateTicketsResult]:
        stub = ticket_grpc.TicketServiceStub(channel)
        results: list[ticket_pb.BatchCreateTicketsResult] = []
        for batch in batches(_requests(tickets)):
            request = ticket_pb.BatchCreateTicketsRequest(requests=batch)
            response = await stub.BatchCreateTickets(request, timeout=BATCH_SECONDS)
            results += response.results
        return results

    async def send_stream(
        channel: grpc.aio.Channel,
    ) -> list[ticket_pb.StreamCreateTicketsResult]:
        return await attachment.submit_stream(channel, _requests(tickets))

    if stream:
        rows = [attachment.stream_row(each, refusal=_refusal) for each in target.ask(send_stream)]
    else:
        results = target.ask(send)
        rows = [_result_row(index, result) for index, result in enumerate(results, start=1)]
    if as_json:
        print_json(rows)
    else:
        columns = ("#", pick("编号", "number"), pick("状态", "state"), pick("说明", "remarks"))
        print_table(
            columns,
            [(row["index"], row["number"], _of_name(row["state"]), row["text"]) for row in rows],
        )
    if any(row["reason"] for row in rows):
        raise typer.Exit(Exit.NO)


@app.command()
def show(
    *,
    number: Number,
    purpose: Annotated[
        str, typer.Option(help="查看个人信息的用途 / why personal fields are read")
    ] = "",
    events: Annotated[bool, typer.Option(help="同时列出事件 / with its events")] = False,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """查看工单 / show one ticket."""
    name = f"tickets/{number}"

    async def fetch(
        channel: grpc.aio.Channel,
    ) -> tuple[ticket_pb2.Ticket, list[ticket_pb2.TicketEvent]]:
        stub = ticket_grpc.TicketServiceStub(channel)
        request = ticket_pb.GetTicketRequest(name=name, purpose=purpose)
        ticket = (await stub.GetTicket(request, timeout=CALL_SECONDS)).ticket
        found = [event async for event in _events(stub, name)] if events else []
        return ticket, found

    ticket, found = Target.of(node, cert, host).ask(fetch)
    if as_json:
        print_json({"ticket": as_dict(ticket), "events": [as_dict(event) for event in found]})
        return
    print_fields(_fields(ticket))
    print_life(ticket, with_texts=bool(purpose))
    if found:
        print_table(
            (
                pick("时间", "time"),
                pick("事件", "event"),
                pick("执行者", "actor"),
                pick("依据", "basis"),
            ),
            [(beijing(event.event_time), event.kind, event.actor, event.basis) for event in found],
        )


@app.command(name="list")
def list_tickets(
    *,
    where: Annotated[
        str, typer.Option("--filter", help='筛选，如 state = "RESOLVED" / AIP-160 filter')
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="最多条数 / how many at most")] = 50,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """列出工单，新的在前 / list tickets, newest first."""

    async def fetch(channel: grpc.aio.Channel) -> list[ticket_pb2.Ticket]:
        stub = ticket_grpc.TicketServiceStub(channel)
        found: list[ticket_pb2.Ticket] = []
        token = ""
        while len(found) < limit:
            response = await stub.ListTickets(
                ticket_pb.ListTicketsRequest(
                    page_size=min(limit - len(found), PAGE_MAX), page_token=token, filter=where
                ),
                timeout=CALL_SECONDS,
            )
            found += response.tickets
            token = response.next_page_token
            if not token:
                break
        return found[:limit]

    tickets = Target.of(node, cert, host).ask(fetch)
    if as_json:
        print_json([as_dict(ticket) for ticket in tickets])
        return
    columns = (
        pick("编号", "number"),
        pick("状态", "state"),
        pick("事项", "matter"),
        pick("保管方", "custodian"),
        pick("办结时限", "due"),
        pick("关注", "followed"),
    )
    print_table(columns, [_list_row(ticket) for ticket in tickets])


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
    """持续查看变更，每行一条 / show changes as they happen, one a line; Ctrl-C ends it."""

    async def follow(channel: grpc.aio.Channel) -> None:
        stub = ticket_grpc.TicketServiceStub(channel)
        token, count = resume, 0
        while not limit or count < limit:  # a stream that ends at its bound is resumed
            stream = stub.WatchTickets(ticket_pb.WatchTicketsRequest(resume_token=token))
            async for change in stream:
                token = change.resume_token or token
                if not change.HasField("event"):
                    continue
                _print_change(change, as_json=as_json)
                count += 1
                if count == limit:
                    return

    Target.of(node, cert, host).ask(follow)


def read_tickets(file: str, form: Format | None) -> list[ticket_pb2.Ticket]:
    """Return the tickets in a file, or with `-` in standard input.

    Raises:
        FieldInvalid: it is malformed; the line or item is named, its content never.
    """
    try:
        text = sys.stdin.read(FILE_BYTES_MAX) if file == "-" else Path(file).read_text("utf-8-sig")
    except FileNotFoundError as error:
        raise ResourceNotFound(kind="file", name=file) from error
    except UnicodeDecodeError as error:
        raise FieldInvalid(
            field=file, got=pick("其他编码", "other bytes"), expected="UTF-8"
        ) from error
    is_csv = form is Format.CSV if form is not None else file.lower().endswith(".csv")
    rows = list(_csv_rows(text) if is_csv else _json_rows(file, text))
    if not rows:
        raise FieldInvalid(
            field=file, got=pick("没有工单", "no ticket"), expected=pick("至少一张", "at least one")
        )
    return [_ticket_of(index, row) for index, row in enumerate(rows, start=1)]


def as_dict(message: Any) -> dict[str, Any]:
    """Return a message of the standard for JSON, with the standard's field names."""
    return MessageToDict(message, preserving_proto_field_name=True)


def _ticket_of(index: int, row: Any) -> ticket_pb2.Ticket:
    try:
        return ParseDict(row, ticket_pb2.Ticket())
    except (ParseError, TypeError, AttributeError) as error:
        # The parser's text may quote the value; the path before it is enough to find the place.
        place = str(error).partition(":")[0].partition("\n")[0][:120]
        raise FieldInvalid(
            field=f"ticket {index}", got=place, expected=pick("一张工单（Ticket）", "a Ticket")
        ) from error


def _json_rows(file: str, text: str) -> list[Any]:
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        return [_json_line(file, number, line) for number, line in lines]
    return whole if isinstance(whole, list) else [whole]


def _json_line(file: str, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise FieldInvalid(
            field=f"{file}:{number}", got=f"{error.msg} at column {error.colno}", expected="JSON"
        ) from error


def _csv_rows(text: str) -> Iterator[dict[str, Any]]:
    for row in csv.DictReader(io.StringIO(text)):
        ticket: dict[str, Any] = {}
        for path, value in row.items():
            if path and value:
                _put(ticket, path.strip().split("."), value)
        yield ticket


def _put(ticket: dict[str, Any], path: Sequence[str], value: str) -> None:
    *outer, last = path
    for name in outer:
        ticket = ticket.setdefault(name, {})
    ticket[last] = value


def _requests(tickets: Iterable[ticket_pb2.Ticket]) -> Iterator[ticket_pb.CreateTicketRequest]:
    for index, ticket in enumerate(tickets):
        content = f"{index}:{ticket.SerializeToString(deterministic=True).hex()}"
        yield ticket_pb.CreateTicketRequest(
            ticket=ticket, request_id=str(uuid.uuid5(_NAMESPACE, content))
        )


def batches(
    requests: Iterable[ticket_pb.CreateTicketRequest],
) -> Iterator[list[ticket_pb.CreateTicketRequest]]:
    """Yield requests in order, in batches that a node takes."""
    batch: list[ticket_pb.CreateTicketRequest] = []
    size = 0
    for request in requests:
        size += request.ByteSize()
        if batch and (len(batch) == BATCH_MAX or size > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], request.ByteSize()
        batch.append(request)
    if batch:
        yield batch


def _result_row(index: int, result: ticket_pb.BatchCreateTicketsResult) -> dict[str, Any]:
    if result.HasField("ticket"):
        ticket = result.ticket
        return {
            "index": index,
            "number": _number(ticket.name),
            "state": _state(ticket),
            "reason": "",
            "text": "; ".join(f"{each.field}: {each.message}" for each in ticket.findings),
        }
    reason, text = _refusal(result.error)
    return {"index": index, "number": "", "state": "", "reason": reason, "text": text}


def _refusal(status: status_pb2.Status) -> tuple[str, str]:
    error = error_of(status)
    if error is None:
        return "UNKNOWN", status.message
    return error.reason, pick(error.chinese_text(), error.text())


async def _events(
    stub: ticket_grpc.TicketServiceAsyncStub, name: str
) -> AsyncIterator[ticket_pb2.TicketEvent]:
    token = ""
    while True:
        request = ticket_pb.ListTicketEventsRequest(
            parent=name, page_size=PAGE_MAX, page_token=token
        )
        response = await stub.ListTicketEvents(request, timeout=CALL_SECONDS)
        for event in response.events:
            yield event
        token = response.next_page_token
        if not token:
            return


def _fields(ticket: ticket_pb2.Ticket) -> dict[str, object]:
    fields: dict[str, object] = {
        pick("编号", "number"): _number(ticket.name),
        pick("状态", "state"): _word(TicketState(ticket.state)),
        pick("标题", "title"): ticket.content.title,
        pick("事项", "matter"): ticket.matter,
        pick("区划", "region"): ticket.content.place.region,
        pick("机构", "authority"): ticket.authority,
        pick("来源机构", "origin"): ticket.origin,
        pick("保管方", "custodian"): ticket.custody.custodian,
        pick("路径", "path"): " → ".join(ticket.custody.path),
        pick("紧急程度", "urgency"): _word(Urgency(ticket.urgency)),
        pick("办结时限", "due"): _time(ticket, "due_time"),
        pick("逾期", "overdue"): pick("是", "yes") if ticket.overdue else "",
        pick("派单规则", "rule"): ticket.decision.rule,
        pick("派单依据", "explanation"): ticket.decision.explanation,
    }
    for assignment in ticket.assignments:
        state = _word(AssignmentState(assignment.state))
        fields[f"{pick('承办', 'assignment')} {assignment.number}"] = (
            f"{assignment.unit} {assignment.unit_name} {state}"
        )
    for index, finding in enumerate(ticket.findings, start=1):
        fields[f"{pick('提示', 'finding')} {index}"] = f"{finding.field}: {finding.message}"
    return fields


def _list_row(ticket: ticket_pb2.Ticket) -> tuple[str, ...]:
    return (
        _number(ticket.name),
        _word(TicketState(ticket.state)),
        ticket.matter,
        ticket.custody.custodian,
        _time(ticket, "due_time") + (" !" if ticket.overdue else ""),
        pick("是", "yes") if ticket.followed else "",
    )


def _print_change(change: ticket_pb.WatchTicketsResponse, *, as_json: bool) -> None:
    if as_json:
        print_line(json.dumps(as_dict(change), ensure_ascii=False))
        return
    event, ticket = change.event, change.ticket
    print_line(
        f"{beijing(event.event_time)}  {_number(ticket.name)}  {event.kind}  "
        f"{_word(TicketState(ticket.state))}  {event.actor}"
    )


def _number(name: str) -> str:
    return name.removeprefix("tickets/")


def _word(code: Code) -> str:
    """Return a code as people read it; `--json` shows the names of the standard."""
    return pick(code.zh, code.name)


def _of_name(name: str) -> str:
    return _word(TicketState[name]) if name in TicketState.__members__ else name


def _state(ticket: ticket_pb2.Ticket) -> str:
    return ticket_pb2.Ticket.State.Name(ticket.state).removeprefix("STATE_")


def _time(ticket: ticket_pb2.Ticket, field: str) -> str:
    return beijing(getattr(ticket, field)) if ticket.HasField(field) else ""  # type: ignore[arg-type] # a name of the message
