"""The mutual-TLS channel of an adapter to its node.

A certificate folder holds `cert.pem` and `key.pem` of the principal and `ca.pem`, the federation
root, the only issuer that a node's certificate may have. The key is readable by its owner only.
"""

from __future__ import annotations

import os
from pathlib import Path

import grpc

from gateway.kernel.errors import FieldInvalid

CERTIFICATE, KEY, ROOT = "cert.pem", "key.pem", "ca.pem"
MESSAGE_BYTES_MAX = 8 * 1024 * 1024  # a batch of 500 tickets stays below 4 MiB; room for answers
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # A restarted node must be found again at once; gRPC's own defaults wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


def open_channel(endpoint: str, certificates: Path, *, host: str = "") -> grpc.aio.Channel:
    """Return a channel to `endpoint`, which connects when it is first used.

    Args:
        endpoint: `host:port` of the node.
        certificates: folder with `cert.pem`, `key.pem` and `ca.pem`.
        host: name to expect in the node's certificate; empty: the host of the endpoint.

    Raises:
        FieldInvalid: a file is missing, or the key is readable by others.
    """
    key = certificates / KEY
    for path in (certificates / CERTIFICATE, key, certificates / ROOT):
        if not path.is_file():
            raise FieldInvalid(field=path, got="no file", expected="a PEM file")
    mode = key.stat().st_mode & 0o777
    if os.name == "posix" and mode & 0o077:
        raise FieldInvalid(field=key, got=f"mode {mode:04o}", expected="mode 0600 or less")
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(certificates / ROOT).read_bytes(),
        private_key=key.read_bytes(),
        certificate_chain=(certificates / CERTIFICATE).read_bytes(),
    )
    options: list[tuple[str, str | int]] = list(_OPTIONS)
    if host:
        options.append(("grpc.ssl_target_name_override", host))
    return grpc.aio.secure_channel(endpoint, credentials, options=options)
