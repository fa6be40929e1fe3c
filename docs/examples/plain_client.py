"""A first ticket by plain gRPC: hand it in at 天津, watch it until a unit of 廊坊 has it.

Nothing here comes from the gateway: only grpcio and what `protoc` makes of `proto/`. It is what a
platform vendor writes in any language (proto/README.md):

    python docs/examples/plain_client.py --node 127.0.0.1:7443 --certificates DIR

`DIR` holds `cert.pem`, `key.pem` and `ca.pem` of a platform of 天津. Each change is a line of JSON
on standard output. Exit code 0: it got there; 1: not in time; 3: the node refused or is away.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
from google.rpc import error_details_pb2, status_pb2

from hotline.ticket.v1 import codes_pb2, ticket_pb2, ticket_service_pb2, ticket_service_pb2_grpc

GOAL = "131000"  # 廊坊, whose driving school it is
CALL_SECONDS = 10.0
PAUSE_SECONDS = 1.0
STATUS_KEY = "grpc-status-details-bin"
# The outcome is in doubt: the same request, with the same request id, is sent again.
IN_DOUBT = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


def open_channel(node: str, certificates: Path, server_name: str) -> grpc.Channel:
    """Return a mutual-TLS channel; the federation root is the only issuer of nodes."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(certificates / "ca.pem").read_bytes(),
        private_key=(certificates / "key.pem").read_bytes(),
        certificate_chain=(certificates / "cert.pem").read_bytes(),
    )
    options = [("grpc.ssl_target_name_override", server_name)] if server_name else []
    return grpc.secure_channel(node, credentials, options=options)


def a_ticket(external_id: str) -> ticket_pb2.Ticket:
    """Return the message: codes, a place, a text; the person is made up."""
    return ticket_pb2.Ticket(
        external_id=external_id,
        channel=codes_pb2.CHANNEL_PHONE,
        type=codes_pb2.TICKET_TYPE_COMPLAINT,
        matter="041200",
        urgency=codes_pb2.URGENCY_NORMAL,
        content=ticket_pb2.TicketContent(
            title="驾校收费后长期不安排训练",
            content="诉求人在三河市某驾校缴费后一直未安排训练。（示例数据）",
            place=ticket_pb2.Place(region="131082"),
        ),
        citizen=ticket_pb2.Citizen(display_name="测试人员", phones=["13800138000"]),
    )


def create(
    stub: ticket_service_pb2_grpc.TicketServiceStub, ticket: ticket_pb2.Ticket, *, end: float
) -> ticket_pb2.Ticket:
    """Hand in one ticket and return it as committed; repeat the same request while in doubt."""
    request = ticket_service_pb2.CreateTicketRequest(ticket=ticket, request_id=str(uuid.uuid4()))
    while True:
        try:
            return stub.CreateTicket(request, timeout=CALL_SECONDS).ticket
        except grpc.RpcError as error:
            if error.code() not in IN_DOUBT or time.monotonic() > end:
                raise
        time.sleep(PAUSE_SECONDS)


def changes(
    stub: ticket_service_pb2_grpc.TicketServiceStub, *, end: float
) -> Iterator[ticket_service_pb2.WatchTicketsResponse]:
    """Yield every change of this platform's tickets; a broken stream goes on where it ended."""
    token = ""  # a real client keeps it on disk, written after a change was handled
    while (left := end - time.monotonic()) > 0:
        try:
            request = ticket_service_pb2.WatchTicketsRequest(resume_token=token)
            for response in stub.WatchTickets(request, timeout=left):
                if response.HasField("event"):  # else a heartbeat
                    yield response
                token = response.resume_token or token
        except grpc.RpcError as error:
            if error.code() not in IN_DOUBT:
                raise
            time.sleep(min(PAUSE_SECONDS, max(0.0, end - time.monotonic())))


def watch(
    stub: ticket_service_pb2_grpc.TicketServiceStub, name: str, goal: str, *, end: float
) -> bool:
    """Print the changes of one ticket until `goal` gave it to a unit; return whether it did."""
    for change in changes(stub, end=end):
        ticket = change.ticket
        if ticket.name != name:
            continue
        line = {
            "event": change.event.kind,
            "ticket": name,
            "state": ticket_pb2.Ticket.State.Name(ticket.state),
            "custodian": ticket.custody.custodian,
            "path": list(ticket.custody.path),
            "units": [item.unit for item in ticket.assignments],
            "followed": ticket.followed,
        }
        print(json.dumps(line, ensure_ascii=False), flush=True)
        if ticket.custody.custodian == goal and ticket.assignments:
            return True
    return False


def explain(error: grpc.RpcError) -> str:
    """Return why a call failed: the reason and metadata that programs read, the text for people."""
    for item in error.trailing_metadata() or ():
        if item.key != STATUS_KEY:
            continue
        info = error_details_pb2.ErrorInfo()
        for detail in status_pb2.Status.FromString(item.value).details:
            if detail.Unpack(info):
                return f"{info.reason} {dict(info.metadata)}: {error.details()}"
    return f"{error.code().name}: {error.details()}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client; return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--node", required=True, help="host:port of the node of 天津")
    parser.add_argument("--certificates", required=True, type=Path, help="cert, key and ca.pem")
    parser.add_argument("--server-name", default="", help="name in the node's certificate")
    parser.add_argument("--external-id", default="", help="the platform's own number; default: new")
    parser.add_argument("--until", default=GOAL, help="authority that shall hold it at the end")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to wait")
    options = parser.parse_args(arguments)
    if not options.certificates.is_dir():
        parser.error(f"--certificates: there is no folder {options.certificates}")
    end = time.monotonic() + options.seconds
    external_id = options.external_id or f"EXAMPLE-{uuid.uuid4()}"
    with open_channel(options.node, options.certificates, options.server_name) as channel:
        stub = ticket_service_pb2_grpc.TicketServiceStub(channel)
        try:
            ticket = create(stub, a_ticket(external_id), end=end)
            created = {
                "event": "created",
                "ticket": ticket.name,
                "due": ticket.due_time.ToJsonString(),
            }
            print(json.dumps(created), flush=True)
            is_there = watch(stub, ticket.name, options.until, end=end)
        except grpc.RpcError as error:
            sys.stderr.write(f"{explain(error)}\n")
            return 3
    if not is_there:
        sys.stderr.write(f"{options.until} did not get it in {options.seconds:g} seconds\n")
    return 0 if is_there else 1


if __name__ == "__main__":
    sys.exit(main())
