"""Following changes without a gap: the resume token is saved after the item was handled.

The order is: handle, then write the token whole, then go on. A crash in between hands the same item
to the handler again, so handlers are idempotent. The stream is opened again from the saved token
after an error, after silence, and when the handler could not finish for a passing reason.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import grpc
import structlog

from adapters.kit.client import Client
from adapters.kit.files import write_whole
from adapters.kit.status import error_of_rpc, is_transient
from gateway.kernel.errors import LubiaoError, PageTokenInvalid, PeerUnreachable
from hotline.ticket.v1 import ticket_service_pb2

SILENCE_MAX = timedelta(seconds=60)  # a connection that died without a word is opened again
Change = ticket_service_pb2.WatchTicketsResponse
log = structlog.get_logger()


class Watcher:
    """Feeds every change of the caller's tickets to a handler, at least once and in order."""

    def __init__(
        self, client: Client, token_file: Path, handle: Callable[[Change], Awaitable[None]]
    ) -> None:
        """Watch through `client`, keeping the resume token in `token_file`."""
        self._client = client
        self._token_file = token_file
        self._handle = handle
        self._failures = 0

    @property
    def token(self) -> str:
        """The saved resume token; empty before the first change."""
        if not self._token_file.exists():
            return ""
        return self._token_file.read_text(encoding="utf-8").strip()

    async def run(self, stopping: asyncio.Event) -> None:
        """Watch until `stopping` is set.

        Raises:
            LubiaoError: the node refuses, or the handler fails for good.
        """
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                work = asyncio.create_task(self._follow())
                await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
                error = await _finished(work)
                if error is None or stopping.is_set():
                    continue
                if not is_transient(error):
                    raise error
                log.info("watch.interrupted", reason=error.reason, failures=self._failures)
                pause = self._client.backoff.delay(self._failures, error)
                self._failures += 1
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause.total_seconds()):
                        await asyncio.shield(stop)
        finally:
            stop.cancel()

    async def _follow(self) -> None:
        request = ticket_service_pb2.WatchTicketsRequest(resume_token=self.token)
        call = self._client.tickets.WatchTickets(request)
        try:
            async for change in _until_silent(call):
                if change.HasField("event"):
                    await self._handle(change)
                if change.resume_token:
                    self._save(change.resume_token)
                self._failures = 0
            raise PeerUnreachable(peer=self._client.peer, got="the stream ended")
        except grpc.aio.AioRpcError as failure:
            error = error_of_rpc(failure, peer=self._client.peer)
            if isinstance(error, PageTokenInvalid) and request.resume_token:
                # The node was restored or replaced; handlers stand a repeat from the beginning.
                log.warning("watch.restarted", reason=error.reason)
                self._save("")
                return
            raise error from failure
        finally:
            call.cancel()

    def _save(self, token: str) -> None:
        if token != self.token:
            write_whole(self._token_file, token.encode())


async def _until_silent(
    call: grpc.aio.UnaryStreamCall[ticket_service_pb2.WatchTicketsRequest, Change],
) -> AsyncIterator[Change]:
    """Yield the changes of a stream; end it after too long a silence."""
    while True:
        try:
            async with asyncio.timeout(SILENCE_MAX.total_seconds()):
                change = await call.read()
        except TimeoutError:
            return
        if not isinstance(change, Change):  # grpc.aio.EOF
            return
        yield change


async def _finished(work: asyncio.Task[None]) -> LubiaoError | None:
    """End `work` and return the typed error it ended with."""
    work.cancel()
    try:
        await work
    except asyncio.CancelledError:
        return None
    except LubiaoError as error:
        return error
    return None
