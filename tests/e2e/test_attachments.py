"""Files and streams over real processes: cut, resumed, lied about, handed over, small."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import MessageToJson

from gateway.cli.ca import write_folder
from gateway.cli.main import main
from gateway.trust.certificates import node_host
from gateway.trust.principal import Role
from hotline.ticket.v1 import ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc
from hotline.type.v1 import statement_pb2
from tests.fixtures.federations import (
    CALL_SECONDS,
    CLOCK,
    Refusal,
    Running,
    a_ticket,
    creating,
    getting,
    request_id,
)

PIECE = 131_072
TRANSFER_SECONDS = 50.0
FILE_BYTES_MAX = 50 * 1024 * 1024
RSS_GROWTH_MAX = 32 * 1024 * 1024
ORIGIN, PLATFORM = "120000", "120000-p1"


def describe(content: bytes) -> ticket_pb2.Attachment:
    return ticket_pb2.Attachment(
        digest=statement_pb2.Digest(
            algorithm=statement_pb2.DIGEST_ALGORITHM_SHA256, value=hashlib.sha256(content).digest()
        ),
        size=len(content),
        media_type="image/jpeg",
    )


def parts(
    name: str, content: bytes, attachment: ticket_pb2.Attachment, *, offset: int = 0
) -> Iterator[ticket_pb.UploadAttachmentRequest]:
    yield ticket_pb.UploadAttachmentRequest(
        start=ticket_pb.UploadAttachmentStart(
            ticket=name, attachment=attachment, offset=offset, request_id=request_id()
        )
    )
    for at in range(offset, len(content), PIECE):
        yield ticket_pb.UploadAttachmentRequest(chunk=content[at : at + PIECE])


def upload(
    stub: ticket_grpc.TicketServiceStub, name: str, content: bytes, *, offset: int = 0
) -> ticket_pb.UploadAttachmentResponse:
    sent = parts(name, content, describe(content), offset=offset)
    return stub.UploadAttachment(sent, timeout=TRANSFER_SECONDS)


def until_stored(stub: ticket_grpc.TicketServiceStub, name: str, content: bytes) -> int:
    """Return how much of a file the node has, once that is something; asking changes nothing."""
    end = time.monotonic() + CALL_SECONDS
    while True:
        sent = parts(name, b"", describe(content))
        asked = stub.UploadAttachment(sent, timeout=CALL_SECONDS)
        if asked.stored_size or asked.attachment.available:
            return asked.stored_size
        assert time.monotonic() < end, "nothing was stored"
        time.sleep(0.05)


def download(
    stub: ticket_grpc.TicketServiceStub, name: str, digest: str, *, offset: int = 0
) -> bytes:
    request = ticket_pb.DownloadAttachmentRequest(
        name=f"{name}/attachments/{digest}", offset=offset, purpose="handling"
    )
    answers = stub.DownloadAttachment(request, timeout=TRANSFER_SECONDS)
    return b"".join(answer.chunk for answer in answers)


def announcing(content: bytes) -> ticket_pb2.Ticket:
    message = a_ticket()
    message.content.attachments.append(describe(content))
    return message


def test_a_cut_upload_is_resumed_and_the_bytes_follow_the_ticket(federation: Running) -> None:
    content = hashlib.shake_256(b"e2e").digest(3 * 1024 * 1024 + 17)
    stub = federation.tickets(ORIGIN, PLATFORM)
    ticket = federation.hand_in(announcing(content))

    class Cut(Exception):
        pass

    def cut() -> Iterator[ticket_pb.UploadAttachmentRequest]:
        yield from parts(ticket.name, content[: 2 * 1024 * 1024], describe(content))
        until_stored(stub, ticket.name, content)
        raise Cut

    with pytest.raises(grpc.RpcError):
        stub.UploadAttachment(cut(), timeout=TRANSFER_SECONDS)
    asked = stub.UploadAttachment(
        parts(ticket.name, b"", describe(content)), timeout=TRANSFER_SECONDS
    )
    assert not asked.attachment.available
    assert 0 < asked.stored_size <= 2 * 1024 * 1024
    handed = upload(stub, ticket.name, content, offset=asked.stored_size)
    assert handed.attachment.available

    held = federation.until_held_by("131000", ticket.name)
    digest = hashlib.sha256(content).hexdigest()
    there = federation.tickets("131000", Role.HANDLER)
    end = time.monotonic() + 30
    while not held.content.attachments[0].available:
        assert time.monotonic() < end, "the bytes did not follow the ticket"
        time.sleep(0.1)
        held = there.GetTicket(getting(ticket.name), timeout=CALL_SECONDS).ticket
    assert download(there, ticket.name, digest) == content
    assert download(there, ticket.name, digest, offset=PIECE + 1) == content[PIECE + 1 :]


def test_a_digest_that_lies_is_refused_and_nothing_is_kept(federation: Running) -> None:
    content = hashlib.shake_256(b"lie").digest(400_000)
    stub = federation.tickets(ORIGIN, PLATFORM)
    ticket = federation.hand_in(announcing(content))
    lying = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(grpc.RpcError) as failure:
        stub.UploadAttachment(
            parts(ticket.name, lying, describe(content)), timeout=TRANSFER_SECONDS
        )
    assert Refusal.of_call(failure.value).reason == "FIELD_INVALID"
    asked = stub.UploadAttachment(
        parts(ticket.name, b"", describe(content)), timeout=TRANSFER_SECONDS
    )
    assert asked.stored_size == 0


def test_who_has_no_part_in_a_ticket_uploads_and_reads_nothing(federation: Running) -> None:
    content = b"synthetic"
    ticket = federation.hand_in(announcing(content))
    stranger = federation.tickets(ORIGIN, "120000-p9")
    for call in (
        lambda: upload(stranger, ticket.name, content),
        lambda: download(stranger, ticket.name, hashlib.sha256(content).hexdigest()),
    ):
        with pytest.raises(grpc.RpcError) as failure:
            call()
        assert Refusal.of_call(failure.value).reason == "RESOURCE_NOT_FOUND"


def test_a_stream_is_answered_whole_and_its_repeat_gets_the_first_answers(
    federation: Running,
) -> None:
    stub = federation.tickets(ORIGIN, PLATFORM)
    requests = [creating(a_ticket(region="120101")) for _ in range(150)]

    def answers() -> dict[int, str]:
        sent = (
            ticket_pb.StreamCreateTicketsRequest(request=request, sequence=number)
            for number, request in enumerate(requests, start=1)
        )
        found: dict[int, str] = {}
        for response in stub.StreamCreateTickets(sent, timeout=TRANSFER_SECONDS):
            found |= {result.sequence: result.name for result in response.results}
        return found

    first = answers()
    assert sorted(first) == list(range(1, 151))
    assert all(first.values())
    assert answers() == first


def test_a_number_out_of_turn_ends_a_stream_with_a_typed_error(federation: Running) -> None:
    stub = federation.tickets(ORIGIN, PLATFORM)
    sent = [
        ticket_pb.StreamCreateTicketsRequest(
            request=creating(a_ticket(region="120101")), sequence=number
        )
        for number in (1, 3)
    ]
    answers = stub.StreamCreateTickets(iter(sent), timeout=CALL_SECONDS)
    answered = [result.sequence for result in next(answers).results]
    with pytest.raises(grpc.RpcError) as failure:
        next(answers)
    refused = Refusal.of_call(failure.value)
    assert (refused.reason, refused.metadata["field"]) == ("FIELD_INVALID", "sequence")
    assert answered == [1]


def test_the_command_hands_in_a_stream_and_a_file_and_fetches_it(
    federation: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    issued = federation.ca(ORIGIN).issue_platform(PLATFORM, now=CLOCK.now())
    write_folder(issued, tmp_path / "cert", root=federation.root().certificate)
    node = federation.federation.topology.node_of(ORIGIN).name
    target = ["--node", federation.federation.endpoints[node], "--host", node_host(node)]
    target += ["--cert", str(tmp_path / "cert")]
    file, got = tmp_path / "picture.jpg", tmp_path / "fetched.jpg"
    file.write_bytes(hashlib.shake_256(b"command").digest(300_000))
    tickets = tmp_path / "tickets.jsonl"
    messages = [announcing(file.read_bytes()), a_ticket(region="120101")]
    tickets.write_text("\n".join(MessageToJson(each, indent=None) for each in messages))

    assert main(["ticket", "submit", "--stream", "--json", str(tickets), *target]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["reason"] for row in rows] == ["", ""]
    number, digest = rows[0]["number"], hashlib.sha256(file.read_bytes()).hexdigest()
    assert main(["ticket", "attach", number, str(file), *target]) == 0
    assert digest in capsys.readouterr().out
    got.with_name(f"{got.name}.part").write_bytes(file.read_bytes()[:1000])  # of a cut fetch
    asked = ["ticket", "fetch", number, digest, str(got), "--purpose", "handling"]
    assert main([*asked, *target]) == 0
    assert got.read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_the_greatest_file_passes_through_both_nodes_in_bounded_memory(
    federation: Running,
) -> None:
    content = hashlib.shake_256(b"great").digest(FILE_BYTES_MAX)
    stub = federation.tickets(ORIGIN, PLATFORM)
    warm = federation.hand_in(announcing(content[:PIECE]))
    upload(stub, warm.name, content[:PIECE])
    before = {node: _peak(federation, node) for node in ("tianjin", "hebei")}

    ticket = federation.hand_in(announcing(content))
    assert upload(stub, ticket.name, content).attachment.available
    there = federation.tickets("131000", Role.HANDLER)
    held = federation.until_held_by("131000", ticket.name)
    end = time.monotonic() + TRANSFER_SECONDS
    while not held.content.attachments[0].available:
        assert time.monotonic() < end, "the bytes did not follow the ticket"
        time.sleep(0.2)
        held = there.GetTicket(getting(ticket.name), timeout=CALL_SECONDS).ticket
    digest = hashlib.sha256(content).hexdigest()
    assert download(there, ticket.name, digest) == content
    growth = {node: _peak(federation, node) - was for node, was in before.items()}
    assert max(growth.values()) < RSS_GROWTH_MAX, f"bytes of memory grown: {growth}"


def _peak(federation: Running, node: str) -> int:
    """Return the greatest resident memory of a node's gateway so far, in bytes."""
    _, _, pid = (federation.federation.layout.node(node) / "serving").read_text().split()
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
