"""The streaming RPCs of TicketService: messages, files in, files out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
import structlog

from gateway.delivery.codec import error_to_status
from gateway.dispatch.attaching import Attaching, Handed, Start
from gateway.dispatch.codec import to_bytes
from gateway.dispatch.streaming import Numbered, SubmissionStream
from gateway.kernel.errors import BatchTooLarge, FieldInvalid, InvariantViolated, LubiaoError
from gateway.kernel.ids import TicketNumber
from gateway.kernel.validation import validate
from gateway.kernel.values import dataclass
from gateway.tickets.attachment_codec import file_from_pb, file_to_pb
from gateway.tickets.attachments import Place
from gateway.tickets.servicer import PrincipalOf
from gateway.trust.call import Call
from gateway.trust.principal import Principal
from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2, ticket_service_pb2_grpc

PIECE_BYTES_MAX = 262_144  # of the standard
MESSAGE_BYTES_MAX = 262_144  # a window of them must not fill the memory; a ticket is far smaller
Context = grpc.aio.ServicerContext[Any, Any]
Create = Callable[[ticket_service_pb2.CreateTicketRequest, Principal], Awaitable[ticket_pb2.Ticket]]
_pb = ticket_service_pb2
_Stream = SubmissionStream[
    ticket_service_pb2.StreamCreateTicketsRequest, ticket_service_pb2.StreamCreateTicketsResult
]
_Message = Numbered[ticket_service_pb2.StreamCreateTicketsRequest]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StreamingRoom:
    """What the streaming RPCs need; `create` takes one message, as CreateTicket does."""

    create: Create
    attaching: Attaching
    principal_of: PrincipalOf


class StreamingServicer(ticket_service_pb2_grpc.TicketServiceServicer):
    """StreamCreateTickets, UploadAttachment, DownloadAttachment: a part of TicketServicer."""

    streaming: StreamingRoom

    # --- messages -----------------------------------------------------------------------------

    async def StreamCreateTickets(  # type: ignore[override] # it writes by itself, to acknowledge on a drain
        self,
        request_iterator: AsyncIterator[ticket_service_pb2.StreamCreateTicketsRequest],
        context: Context,
    ) -> None:
        """Take messages as they come; write acknowledgements as results gather."""
        principal = self.streaming.principal_of(context)

        async def create(message: _Message) -> ticket_service_pb2.StreamCreateTicketsResult:
            return await self._result(message, principal)

        async def acknowledge(
            results: list[ticket_service_pb2.StreamCreateTicketsResult], up_to: int
        ) -> None:
            response = _pb.StreamCreateTicketsResponse(results=results, up_to_sequence=up_to)
            await context.write(response)

        stream = _Stream(create=create, acknowledge=acknowledge)
        await stream.run(_numbered(request_iterator))

    async def _result(
        self, message: _Message, principal: Principal
    ) -> ticket_service_pb2.StreamCreateTicketsResult:
        try:
            ticket = await self.streaming.create(message.item.request, principal)
        except LubiaoError as error:
            refusal = error
        except Exception as error:  # a defect of ours must not hold up the other messages
            log.exception("stream.item_failed")
            refusal = InvariantViolated(
                invariant="a message is taken or refused", got=type(error).__name__
            )
        else:
            return _pb.StreamCreateTicketsResult(sequence=message.sequence, name=ticket.name)
        status = error_to_status(refusal)
        return _pb.StreamCreateTicketsResult(sequence=message.sequence, error=status)

    # --- files --------------------------------------------------------------------------------

    async def UploadAttachment(
        self,
        request_iterator: AsyncIterator[ticket_service_pb2.UploadAttachmentRequest],
        context: Context,
    ) -> ticket_service_pb2.UploadAttachmentResponse:
        """Take a file, or a part of it."""
        principal = self.streaming.principal_of(context)
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or not first.HasField("start"):
            raise FieldInvalid(field="part", got="no start", expected="start, then chunks")
        validate(first)
        described = first.start
        file = file_from_pb(described.attachment, field="start.attachment")
        start = Start(
            TicketNumber(described.ticket.removeprefix("tickets/")), file, described.offset
        )
        call = Call(
            principal=principal,
            method="UploadAttachment",
            request_id=described.request_id,
            # A resumed upload is the same request from another offset on.
            body=to_bytes(
                _pb.UploadAttachmentStart(ticket=described.ticket, attachment=file_to_pb(file))
            ),
        )
        handed = await self.streaming.attaching.upload(call, start, _pieces(requests))
        return _handed_to_pb(handed, start.ticket)

    async def DownloadAttachment(
        self, request: ticket_service_pb2.DownloadAttachmentRequest, context: Context
    ) -> AsyncGenerator[ticket_service_pb2.DownloadAttachmentResponse, None]:
        """Give the bytes of a file."""
        validate(request)
        principal = self.streaming.principal_of(context)
        _, number, _, digest = request.name.split("/")
        place = Place(principal.authority, TicketNumber(number), digest)
        chunks = self.streaming.attaching.download(
            principal, place, offset=request.offset, purpose=request.purpose
        )
        async with aclosing(chunks) as found:
            async for chunk in found:
                yield _pb.DownloadAttachmentResponse(chunk=chunk)


async def _numbered(
    requests: AsyncIterator[ticket_service_pb2.StreamCreateTicketsRequest],
) -> AsyncIterator[_Message]:
    async for request in requests:
        if (size := request.ByteSize()) > MESSAGE_BYTES_MAX:
            raise BatchTooLarge(got=f"{size} bytes", expected=f"{MESSAGE_BYTES_MAX} bytes")
        yield Numbered(request.sequence, request)


async def _pieces(
    requests: AsyncIterator[ticket_service_pb2.UploadAttachmentRequest],
) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.HasField("start"):
            raise FieldInvalid(field="part", got="a second start", expected="chunks")
        if len(request.chunk) > PIECE_BYTES_MAX:
            expected = f"{PIECE_BYTES_MAX} bytes at most"
            raise FieldInvalid(field="chunk", got=len(request.chunk), expected=expected)
        yield request.chunk


def _handed_to_pb(
    handed: Handed, number: TicketNumber
) -> ticket_service_pb2.UploadAttachmentResponse:
    attachment = file_to_pb(handed.file, number=number)
    attachment.available = handed.is_available
    return _pb.UploadAttachmentResponse(attachment=attachment, stored_size=handed.stored_size)
