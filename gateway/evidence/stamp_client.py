"""The way to a time stamp service over HTTP (RFC 3161 §3.4)."""

from __future__ import annotations

import aiohttp

from gateway.kernel.errors import PeerUnreachable, SignatureInvalid
from gateway.trust.timestamps import RESPONSE_BYTES_MAX, SIGNER

ANSWER_SECONDS = 30
QUERY_TYPE = "application/timestamp-query"
REPLY_TYPE = "application/timestamp-reply"


class StampClient:
    """Posts requests to one service."""

    def __init__(self, url: str) -> None:
        """Ask the service at `url`."""
        self._url = url

    async def send(self, request: bytes) -> bytes:
        """Return the response to a request, not judged yet.

        Raises:
            PeerUnreachable: the service did not answer, or not with success.
            SignatureInvalid: what it answered is no time stamp.
        """
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
                session.post(
                    self._url,
                    data=request,
                    headers={"Content-Type": QUERY_TYPE, "Accept-Encoding": "identity"},
                    allow_redirects=False,
                ) as answer,
            ):
                content = await answer.content.read(RESPONSE_BYTES_MAX + 1)
                while not answer.content.at_eof() and len(content) <= RESPONSE_BYTES_MAX:
                    content += await answer.content.read(RESPONSE_BYTES_MAX)
                state, kind = answer.status, answer.content_type
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise PeerUnreachable(peer=SIGNER, got=type(error).__name__) from error
        if state != 200:  # noqa: PLR2004 # HTTP OK
            raise PeerUnreachable(peer=SIGNER, got=f"HTTP {state}")
        if kind != REPLY_TYPE or len(content) > RESPONSE_BYTES_MAX:
            raise SignatureInvalid(signer=SIGNER, got=f"{len(content)} bytes of {kind}")
        return content
