"""A small TicketService over real loopback gRPC: commits, answers, loses answers when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2, ticket_service_pb2_grpc

Service = ticket_service_pb2
Context = grpc.aio.ServicerContext[Message, Message]
NUMBER = "1310002026110200000{:03d}X"


def a_status(reason: str, code: int = 3, **metadata: str) -> status_pb2.Status:
    """Return a status with the standard's ErrorInfo."""
    detail = AnyMessage()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="lubiao", metadata=metadata))
    return status_pb2.Status(code=code, message=reason, details=[detail])


@dataclass
class FakeNode(ticket_service_pb2_grpc.TicketServiceServicer):
    """What it committed, by the natural key; what it was asked; what it is to lose."""

    tickets: dict[str, ticket_pb2.Ticket] = field(default_factory=dict)
    by_request: dict[str, str] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    acts: list[tuple[str, str]] = field(default_factory=list)
    act_requests: set[str] = field(default_factory=set)
    answers_to_lose: int = 0
    is_down: bool = False
    refuse_titles: set[str] = field(default_factory=set)
    changes: list[Service.WatchTicketsResponse] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    unknown_tokens: set[str] = field(default_factory=set)
    watched_from: list[str] = field(default_factory=list)
    purposes: list[str] = field(default_factory=list)
    unknown_units: set[str] = field(default_factory=set)
    requests: list[Message] = field(default_factory=list)

    async def _maybe_down(self, context: Context) -> None:
        if self.is_down:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")

    async def _maybe_lose(self, context: Context) -> None:
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "committed, then silent")

    async def BatchCreateTickets(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._maybe_down(context)
        self.batches.append(len(request.requests))
        results = [self._create(item) for item in request.requests]
        await self._maybe_lose(context)
        return Service.BatchCreateTicketsResponse(results=results)

    def _create(self, item: Service.CreateTicketRequest) -> Service.BatchCreateTicketsResult:
        if item.ticket.content.title in self.refuse_titles:
            error = a_status("FIELD_INVALID", field="title", got="?", expected="another")
            return Service.BatchCreateTicketsResult(error=error)
        key = item.ticket.external_id
        if key not in self.tickets:
            ticket = ticket_pb2.Ticket()
            ticket.CopyFrom(item.ticket)
            ticket.name = "tickets/" + NUMBER.format(len(self.tickets) + 1)
            self.tickets[key] = ticket
            self.by_request[item.request_id] = key
        elif self.by_request.get(item.request_id) != key:
            error = a_status("RESOURCE_EXISTS", code=6, kind="ticket", name=key)
            return Service.BatchCreateTicketsResult(error=error)
        return Service.BatchCreateTicketsResult(ticket=self.tickets[key])

    async def GetTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._maybe_down(context)
        self.purposes.append(request.purpose)
        for ticket in self.tickets.values():
            if ticket.name == request.name:
                return Service.GetTicketResponse(ticket=ticket)
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")
        raise AssertionError

    async def WatchTickets(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._maybe_down(context)
        self.watched_from.append(request.resume_token)
        if request.resume_token in self.unknown_tokens:
            status = a_status("PAGE_TOKEN_INVALID", field="resume_token")
            context.set_trailing_metadata(
                (("grpc-status-details-bin", status.SerializeToString()),)
            )
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "token")
        position = int(request.resume_token or 0)
        while True:
            while position < len(self.changes):
                position += 1
                change = Service.WatchTicketsResponse()
                change.CopyFrom(self.changes[position - 1])
                change.resume_token = str(position)
                yield change
            self.changed.clear()
            await self.changed.wait()

    def change(
        self, ticket: ticket_pb2.Ticket, kind: str, actor: str = "lubiao://130000/system/x"
    ) -> None:
        """Tell watchers about a ticket."""
        event = ticket_pb2.TicketEvent(
            name=f"{ticket.name}/events/{len(self.changes) + 1}", kind=kind, actor=actor
        )
        shown = ticket_pb2.Ticket()
        shown.CopyFrom(ticket)
        shown.ClearField("content")
        shown.ClearField("citizen")
        self.changes.append(Service.WatchTicketsResponse(event=event, ticket=shown))
        self.changed.set()

    async def _act(self, name: str, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._maybe_down(context)
        if request.request_id not in self.act_requests:
            self.act_requests.add(request.request_id)
            self.acts.append((name, request.name))
            self.requests.append(request)
        await self._maybe_lose(context)

    async def AcknowledgeTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("acknowledge", request, context)
        return Service.AcknowledgeTicketResponse()

    async def SignForTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("sign", request, context)
        return Service.SignForTicketResponse()

    async def RecordContact(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("contact", request, context)
        return Service.RecordContactResponse()

    async def ResolveTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("resolve", request, context)
        return Service.ResolveTicketResponse()

    async def RateTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("rate", request, context)
        return Service.RateTicketResponse()

    async def CloseTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("close", request, context)
        return Service.CloseTicketResponse()

    async def ReturnTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("return", request, context)
        return Service.ReturnTicketResponse()

    async def ReviewReturn(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("review", request, context)
        return Service.ReviewReturnResponse()

    async def AnswerReturn(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("answer-return", request, context)
        return Service.AnswerReturnResponse()

    async def RespondToReturn(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("respond", request, context)
        return Service.RespondToReturnResponse()

    async def ClaimTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("claim", request, context)
        return Service.ClaimTicketResponse()

    async def RequestUnit(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("request-unit", request, context)
        return Service.RequestUnitResponse()

    async def AnswerUnitRequest(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("answer-request", request, context)
        return Service.AnswerUnitRequestResponse()

    async def RequestInformation(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("ask", request, context)
        return Service.RequestInformationResponse()

    async def AnswerInformation(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("answer", request, context)
        return Service.AnswerInformationResponse()

    async def ExtendDeadline(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("extend", request, context)
        return Service.ExtendDeadlineResponse()

    async def ReviewExtension(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("grant", request, context)
        return Service.ReviewExtensionResponse()

    async def SupplementTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("supplement", request, context)
        return Service.SupplementTicketResponse()

    async def UrgeTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("urge", request, context)
        return Service.UrgeTicketResponse()

    async def WithdrawTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("withdraw", request, context)
        return Service.WithdrawTicketResponse()

    async def ReopenTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        await self._act("reopen", request, context)
        return Service.ReopenTicketResponse()

    async def AssignTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        if request.unit in self.unknown_units:
            status = a_status("FIELD_INVALID", field="unit", got=request.unit, expected="a unit")
            context.set_trailing_metadata(
                (("grpc-status-details-bin", status.SerializeToString()),)
            )
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "unit")
        await self._act(f"assign {request.unit}", request, context)
        return Service.AssignTicketResponse()

    async def CreateTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        raise NotImplementedError

    async def SplitTicket(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        raise NotImplementedError

    async def StreamCreateTickets(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        nothing: tuple[Message, ...] = ()
        for item in nothing:
            yield item
        raise NotImplementedError

    async def UploadAttachment(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        raise NotImplementedError

    async def DownloadAttachment(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        nothing: tuple[Message, ...] = ()
        for item in nothing:
            yield item
        raise NotImplementedError

    async def ListTickets(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        raise NotImplementedError

    async def ListTicketEvents(self, request, context):  # type: ignore[no-untyped-def] # a fake of the wire
        raise NotImplementedError


@asynccontextmanager
async def serving(node: FakeNode) -> AsyncIterator[grpc.aio.Channel]:
    """Serve the fake on a free loopback port and yield a channel to it."""
    server = grpc.aio.server()
    ticket_service_pb2_grpc.add_TicketServiceServicer_to_server(node, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)
