"""The ceiling of every RPC: a grpc.aio server behind mutual TLS that returns what it got.

`python -m benchmarks.echo TLS_DIR BUNDLE PORT`; it parses and serialises the same messages as
CreateTicket and does nothing else.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
import uvloop

from gateway.server.client import CertificateFolder
from hotline.ticket.v1 import ticket_service_pb2 as pb

METHOD = "/benchmarks.Echo/Echo"


async def _echo(
    request: pb.CreateTicketRequest, _context: grpc.aio.ServicerContext[Any, Any]
) -> pb.CreateTicketResponse:
    return pb.CreateTicketResponse(ticket=request.ticket)


async def serve(tls: Path, bundle: bytes, port: int) -> None:
    """Serve until SIGTERM."""
    folder = CertificateFolder.load(tls)
    handler = grpc.unary_unary_rpc_method_handler(
        _echo,
        request_deserializer=pb.CreateTicketRequest.FromString,
        response_serializer=pb.CreateTicketResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("benchmarks.Echo", {"Echo": handler}),)
    )
    credentials = grpc.ssl_server_credentials(
        [(folder.key_pem, folder.certificate.pem)],
        root_certificates=bundle,
        require_client_auth=True,
    )
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    await server.stop(None)


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), int(sys.argv[3])))
