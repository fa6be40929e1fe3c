"""Time stamps of an authority outside of the federation (RFC 3161): asking for one, judging one.

A time stamp says that a digest existed at a time that neither side of a dispute chose. The library
is optional (`lubiao[timestamps]`): without it nothing is asked for, and a verifier says that it did
not examine time stamps.

`judge` says only that somebody whose certificate leads to one of the roots stamped this digest at
that time; the certificates need to have been valid then, not now. Which roots to trust is the
caller's to know: roots that came with the file are the exporter's own choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from importlib.util import find_spec
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.kernel.errors import FieldInvalid, ResourceNotFound, SignatureInvalid
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass

RESPONSE_BYTES_MAX = 65_536  # of the standard; a response with its certificates has a few KiB
ROOTS_MAX = 8
SIGNER = "the time stamp authority"
# What the libraries raise on bytes that are no time stamp or no certificate.
UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    AssertionError,
    x509.InvalidVersion,
    UnsupportedAlgorithm,
)


def is_available() -> bool:
    """Tell whether the library for time stamps is installed."""
    return find_spec("rfc3161_client") is not None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a time stamp, as it is sent, and the digest that it is for."""

    request: bytes
    digest: bytes
    nonce: int


def ask(digest: bytes) -> Asked:
    """Return the request for a time stamp over `digest`, with a fresh nonce."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder  # noqa: PLC0415 # optional

    builder = TimestampRequestBuilder().data(digest).hash_algorithm(HashAlgorithm.SHA256)
    request = builder.cert_request(cert_request=True).nonce(nonce=True).build()
    return Asked(request.as_bytes(), digest, request.nonce or 0)


def judge(
    response: bytes, digest: bytes, roots: Sequence[bytes], *, nonce: int | None = None
) -> Instant:
    """Return the time of a time stamp over `digest`.

    Args:
        response: the TimeStampResp, DER.
        digest: what was stamped: its SHA-256 is the imprint.
        roots: certificates, DER, to one of which the signer's must lead.
        nonce: that of the request, when it was just asked for.

    Raises:
        SignatureInvalid: it is none, of another digest, or of a signer that no root vouches for.
    """
    from rfc3161_client import (  # noqa: PLC0415 # optional
        VerificationError,
        VerifierBuilder,
        decode_timestamp_response,
    )

    if len(response) > RESPONSE_BYTES_MAX:
        raise _wrong(f"{len(response)} bytes")
    try:
        certificates = [x509.load_der_x509_certificate(root) for root in roots[:ROOTS_MAX]]
        if not certificates:
            raise _wrong("no root certificate")
        parsed = decode_timestamp_response(response)
        verifier = VerifierBuilder(roots=certificates, nonce=nonce).build()
        verifier.verify_message(parsed, digest)
        stamped: Instant = parsed.tst_info.gen_time
    except (*UNREADABLE, VerificationError) as error:
        raise _wrong(str(error)[:200] or type(error).__name__) from error
    return stamped.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class StampJudge:
    """Judges the time stamps in evidence files, under roots that the reader trusts, if any."""

    roots: tuple[bytes, ...] = ()

    @property
    def is_anchored(self) -> bool:
        """Whether the reader's own roots count, not those that came with the file."""
        return bool(self.roots)

    def judge(self, response: bytes, digest: bytes, given: Sequence[bytes]) -> Instant:
        """Return the time of a time stamp; `given` are the roots that came with it.

        Raises:
            SignatureInvalid: it does not hold.
        """
        return judge(response, digest, self.roots or given)


def stamp_judge(roots: tuple[bytes, ...]) -> StampJudge | None:
    """Return a judge, or None when the library is not installed."""
    return StampJudge(roots) if is_available() else None


def load_roots(path: Path) -> tuple[bytes, ...]:
    """Return the certificates of a PEM file, DER.

    Raises:
        ResourceNotFound: there is no such file.
        FieldInvalid: it holds no certificate.
    """
    if not path.is_file():
        raise ResourceNotFound(kind="file", name=str(path))
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as error:
        raise FieldInvalid(field=path, got="no certificate", expected="PEM") from error
    return tuple(each.public_bytes(Encoding.DER) for each in certificates[:ROOTS_MAX])


def _wrong(got: str) -> SignatureInvalid:
    return SignatureInvalid(signer=SIGNER, got=got)
