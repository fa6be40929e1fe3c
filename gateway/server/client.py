"""Opening a channel to a node with a folder of certificates, and understanding its refusals.

A certificate folder holds `cert.pem` and `key.pem` of the principal and `ca.pem`, the federation
root: the only issuer that a node's certificate may have. The key is readable by its owner only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from gateway.kernel.errors import (
    InvariantViolated,
    LubiaoError,
    PeerUnreachable,
    QuotaExceeded,
    ResourceNotFound,
)
from gateway.kernel.values import dataclass
from gateway.server.status import from_status
from gateway.trust.certificates import Certificate
from gateway.trust.key_files import load_private_key, private_pem
from gateway.trust.keys import Purpose

CERTIFICATE, KEY, ROOT = "cert.pem", "key.pem", "ca.pem"
MESSAGE_BYTES_MAX = 17 * 1024 * 1024  # a signed roster of 16 MiB
DETAILS_LENGTH_MAX = 160  # of what gRPC itself says; it is shown in a terminal
_LOST = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
    }
)
_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # A restarted node must be found again at once; gRPC's own defaults wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """A principal's certificate, its key, and the federation root."""

    certificate: Certificate
    key_pem: bytes
    root: Certificate

    @classmethod
    def load(cls, directory: Path) -> CertificateFolder:
        """Read a certificate folder.

        Raises:
            ResourceNotFound: a file is missing.
            FieldInvalid: the key is readable by others or is no key.
            SignatureInvalid: a certificate is none.
        """
        return cls(
            certificate=Certificate.load(directory / CERTIFICATE),
            key_pem=private_pem(load_private_key(directory / KEY, Purpose.TLS)),
            root=Certificate.load(directory / ROOT),
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return what a channel to a node needs."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.root.pem,
            private_key=self.key_pem,
            certificate_chain=self.certificate.pem,
        )


def open_channel(
    endpoint: str, credentials: grpc.ChannelCredentials, *, host: str = ""
) -> grpc.aio.Channel:
    """Return a channel to `endpoint`, which connects when it is first used.

    Args:
        endpoint: `host:port` of the node.
        credentials: see `CertificateFolder.channel_credentials`.
        host: name to expect in the node's certificate (`node_host`); empty: that of the endpoint.
    """
    options = list(_OPTIONS)
    if host:
        options.append(("grpc.ssl_target_name_override", host))
    return grpc.aio.secure_channel(endpoint, credentials, options=options)


@contextmanager
def typed_errors(*, peer: str) -> Iterator[None]:
    """Turn failed RPCs of the block into the typed errors that the node sent, or the nearest."""
    try:
        yield
    except grpc.aio.AioRpcError as failure:
        raise error_of_call(failure, peer=peer) from failure


def error_of_call(failure: grpc.aio.AioRpcError, *, peer: str) -> LubiaoError:
    """Return the typed error of a failed RPC; total."""
    error = from_status(failure)
    if error is not None:
        return error
    code = failure.code()
    got = f"{code.name}: {failure.details() or ''}"[:DETAILS_LENGTH_MAX]
    if code in _LOST:
        return PeerUnreachable(peer=peer, got=got)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return QuotaExceeded(quota="message size or requests", got=got, expected="less")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return ResourceNotFound(kind="RPC", name=peer, hint="this node does not offer the service")
    return InvariantViolated(invariant="a node answers with a typed error", got=got)
