"""The streaming RPCs over a real channel: what a platform's client sees."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
import pytest

from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2, ticket_service_pb2_grpc
from hotline.type.v1 import statement_pb2
from tests.fixtures.nodes import IDS, NOW, a_federation, a_message

PB = ticket_service_pb2
CONTENT = hashlib.shake_256(b"servicer").digest(300_000)


@asynccontextmanager
async def a_stub() -> AsyncIterator[ticket_service_pb2_grpc.TicketServiceAsyncStub]:
    server = grpc.aio.server()
    servicer = a_federation().nodes["tianjin"].dispatch.servicer
    ticket_service_pb2_grpc.add_TicketServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield ticket_service_pb2_grpc.TicketServiceStub(channel)
    finally:
        await server.stop(None)


def a_request(message: ticket_pb2.Ticket) -> ticket_service_pb2.CreateTicketRequest:
    return PB.CreateTicketRequest(ticket=message, request_id=IDS.uuid7(NOW))


async def streamed(
    stub: ticket_service_pb2_grpc.TicketServiceAsyncStub,
    requests: Sequence[ticket_service_pb2.CreateTicketRequest],
) -> tuple[dict[int, ticket_service_pb2.StreamCreateTicketsResult], int]:
    async def messages() -> AsyncIterator[ticket_service_pb2.StreamCreateTicketsRequest]:
        for sequence, request in enumerate(requests, start=1):
            yield PB.StreamCreateTicketsRequest(request=request, sequence=sequence)

    results: dict[int, ticket_service_pb2.StreamCreateTicketsResult] = {}
    up_to = 0
    async for response in stub.StreamCreateTickets(messages()):
        assert response.up_to_sequence >= up_to
        up_to = response.up_to_sequence
        results |= {result.sequence: result for result in response.results}
    return results, up_to


async def test_a_repeated_stream_gets_the_first_answers_and_a_bad_message_fails_alone() -> None:
    requests = [a_request(a_message(f"S-{n}", region="120101")) for n in range(20)]
    requests[7].ticket.content.title = ""
    async with a_stub() as stub:
        first, up_to = await streamed(stub, requests)
        again, _ = await streamed(stub, requests)
    assert up_to == len(requests)
    assert sorted(first) == list(range(1, len(requests) + 1))
    assert [n for n, result in first.items() if result.HasField("error")] == [8]
    assert {n: r.name for n, r in again.items()} == {n: r.name for n, r in first.items()}
    assert len({result.name for result in first.values()}) == len(requests)


def a_start(
    ticket: str, content: bytes = CONTENT, *, offset: int = 0
) -> ticket_service_pb2.UploadAttachmentRequest:
    return PB.UploadAttachmentRequest(
        start=PB.UploadAttachmentStart(
            ticket=ticket,
            attachment=ticket_pb2.Attachment(
                digest=statement_pb2.Digest(
                    algorithm=statement_pb2.DIGEST_ALGORITHM_SHA256,
                    value=hashlib.sha256(content).digest(),
                ),
                size=len(content),
                media_type="image/png",
            ),
            offset=offset,
            request_id=IDS.uuid7(NOW),
        )
    )


def chunks(content: bytes) -> list[ticket_service_pb2.UploadAttachmentRequest]:
    return [
        PB.UploadAttachmentRequest(chunk=content[at : at + 70_000])
        for at in range(0, len(content), 70_000)
    ]


async def upload(
    stub: ticket_service_pb2_grpc.TicketServiceAsyncStub,
    parts: Sequence[ticket_service_pb2.UploadAttachmentRequest],
) -> ticket_service_pb2.UploadAttachmentResponse:
    async def send() -> AsyncIterator[ticket_service_pb2.UploadAttachmentRequest]:
        for part in parts:
            yield part

    return await stub.UploadAttachment(send())


async def test_a_file_goes_in_and_comes_out() -> None:
    async with a_stub() as stub:
        request = a_request(a_message("S-file", region="120000"))
        ticket = (await stub.CreateTicket(request)).ticket
        handed = await upload(stub, [a_start(ticket.name), *chunks(CONTENT)])
        assert handed.attachment.available
        assert handed.stored_size == len(CONTENT)
        asked = PB.DownloadAttachmentRequest(name=handed.attachment.name, offset=5, purpose="check")
        got = b"".join([part.chunk async for part in stub.DownloadAttachment(asked)])
    assert got == CONTENT[5:]


@pytest.mark.parametrize(
    "parts",
    [
        [],
        chunks(b"no start"),
        [PB.UploadAttachmentRequest(start=PB.UploadAttachmentStart(ticket="no name"))],
    ],
    ids=["nothing", "no start", "invalid start"],
)
async def test_an_upload_that_does_not_begin_as_it_should_is_refused(
    parts: Sequence[ticket_service_pb2.UploadAttachmentRequest],
) -> None:
    async with a_stub() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await upload(stub, parts)
    assert "FieldInvalid" in str(refused.value.details())
