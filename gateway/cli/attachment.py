"""`lubiao ticket attach` and `fetch`: files beside tickets; and the streamed `submit`.

An upload that was cut goes on where it stopped: the node is asked first how much it has. A fetch
goes on behind what the file on this machine holds already, and compares the digest at the end.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import uuid
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, pick, print_json, print_line
from gateway.kernel.errors import FieldInvalid, ResourceNotFound
from hotline.ticket.v1 import ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc
from hotline.type.v1 import statement_pb2 as type_pb

PIECE_BYTES = 131_072
FILE_BYTES_MAX = 50 * 1024 * 1024  # of the standard
TRANSFER_SECONDS = 600
STREAM_SECONDS = 3600
STREAM_WINDOW = 64  # of the node; more would only wait
OTHER_TYPE = "application/octet-stream"
_NAMESPACE = uuid.UUID("6c756269-616f-5000-8000-617474616368")  # "lubiao", "attach"
Number = Annotated[str, typer.Argument(help="工单编号 / number of the ticket")]


def attach(
    *,
    number: Number,
    file: Annotated[Path, typer.Argument(help="文件 / file, 50 MiB at most")],
    media_type: Annotated[
        str, typer.Option("--type", help="媒体类型，默认按扩展名 / default: by suffix")
    ] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """上传附件，可断点续传 / attach a file; do it again to resume."""
    attachment = describe(file, media_type)
    start = ticket_pb.UploadAttachmentStart(
        ticket=f"tickets/{number}",
        attachment=attachment,
        request_id=str(uuid.uuid5(_NAMESPACE, f"{number}/{attachment.digest.value.hex()}")),
    )

    async def send(channel: grpc.aio.Channel) -> ticket_pb.UploadAttachmentResponse:
        stub = ticket_grpc.TicketServiceStub(channel)
        asked = await stub.UploadAttachment(_upload(start, None), timeout=TRANSFER_SECONDS)
        if asked.attachment.available:
            return asked
        start.offset = asked.stored_size
        return await stub.UploadAttachment(_upload(start, file), timeout=TRANSFER_SECONDS)

    handed = Target.of(node, cert, host).ask(send)
    if as_json:
        print_json({"name": handed.attachment.name, "stored_size": handed.stored_size})
        return
    print_line(handed.attachment.name)


def fetch(
    *,
    number: Number,
    digest: Annotated[str, typer.Argument(help="附件摘要（SHA-256）/ digest of the file")],
    file: Annotated[Path, typer.Argument(help="存到 / where to put it")],
    purpose: Annotated[str, typer.Option(help="查看用途 / why the file is read")],
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
) -> None:
    """下载附件，可断点续传 / fetch a file of a ticket; the reading is recorded with its purpose."""
    part = file.with_name(f"{file.name}.part")
    offset = part.stat().st_size if part.exists() else 0
    request = ticket_pb.DownloadAttachmentRequest(
        name=f"tickets/{number}/attachments/{digest}", offset=offset, purpose=purpose
    )

    async def receive(channel: grpc.aio.Channel) -> None:
        stub = ticket_grpc.TicketServiceStub(channel)
        with part.open("ab") as target:
            async for response in stub.DownloadAttachment(request, timeout=TRANSFER_SECONDS):
                target.write(response.chunk)

    if not part.exists() or digest_of(part) != digest:  # it may have been whole already
        Target.of(node, cert, host).ask(receive)
    got = digest_of(part)
    if got != digest:
        part.unlink()
        raise FieldInvalid(
            field="digest",
            got=got,
            expected=digest,
            hint="what was fetched is removed; fetch it again",
        )
    part.replace(file)
    print_line(str(file))


def describe(file: Path, media_type: str = "") -> ticket_pb2.Attachment:
    """Return the description of a file on this machine.

    Raises:
        ResourceNotFound: there is none.
        FieldInvalid: it is empty or too large.
    """
    if not file.is_file():
        raise ResourceNotFound(kind="file", name=str(file))
    size = file.stat().st_size
    if not 0 < size <= FILE_BYTES_MAX:
        expected = pick(f"1 至 {FILE_BYTES_MAX} 字节", f"1 to {FILE_BYTES_MAX} bytes")
        raise FieldInvalid(field=str(file), got=f"{size} bytes", expected=expected)
    return ticket_pb2.Attachment(
        digest=type_pb.Digest(
            algorithm=type_pb.DIGEST_ALGORITHM_SHA256, value=bytes.fromhex(digest_of(file))
        ),
        size=size,
        media_type=media_type or mimetypes.guess_type(file.name)[0] or OTHER_TYPE,
        file_name=file.name,
    )


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file, read piece by piece."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


async def submit_stream(
    channel: grpc.aio.Channel, requests: Iterable[ticket_pb.CreateTicketRequest]
) -> list[ticket_pb.StreamCreateTicketsResult]:
    """Hand messages in as a stream; return the results in the order of the messages."""
    stub = ticket_grpc.TicketServiceStub(channel)
    room, results = asyncio.Semaphore(STREAM_WINDOW), list[ticket_pb.StreamCreateTicketsResult]()

    async def messages() -> AsyncIterator[ticket_pb.StreamCreateTicketsRequest]:
        for sequence, request in enumerate(requests, start=1):
            await room.acquire()
            yield ticket_pb.StreamCreateTicketsRequest(request=request, sequence=sequence)

    async for response in stub.StreamCreateTickets(messages(), timeout=STREAM_SECONDS):
        results += response.results
        for _ in response.results:
            room.release()
    return sorted(results, key=lambda result: result.sequence)


async def _upload(
    start: ticket_pb.UploadAttachmentStart, file: Path | None
) -> AsyncIterator[ticket_pb.UploadAttachmentRequest]:
    yield ticket_pb.UploadAttachmentRequest(start=start)
    if file is None:
        return
    with file.open("rb") as opened:
        opened.seek(start.offset)
        while piece := opened.read(PIECE_BYTES):
            yield ticket_pb.UploadAttachmentRequest(chunk=piece)


def stream_row(result: ticket_pb.StreamCreateTicketsResult, *, refusal: Any) -> dict[str, Any]:
    """Return a result for output; `refusal` reads a status."""
    reason, text = refusal(result.error) if result.HasField("error") else ("", "")
    return {
        "index": result.sequence,
        "number": result.name.removeprefix("tickets/"),
        "state": "" if reason else pick("已受理", "taken"),
        "reason": reason,
        "text": text,
    }
