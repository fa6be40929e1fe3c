"""The operator's little web server: `/metrics`, `/healthz`, `/readyz`; loopback by default.

`/healthz` says that the process answers; `/readyz` says that it takes work, and why not. Neither
shows tickets, peers or versions to whoever can reach the port.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

from gateway.kernel.errors import PeerUnreachable

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
READY = ""  # a readiness function answers with this, or with the reason why not


class Exposed(Protocol):
    """What `/metrics` shows: the metrics of a process, or of several."""

    def exposition(self) -> bytes | Awaitable[bytes]:
        """Return everything in the Prometheus text form."""
        ...


class TelemetryServer:
    """Serves metrics and health of one process, or of a node with several."""

    def __init__(
        self, *, bind: str, metrics: Exposed, readiness: Callable[[], Awaitable[str]]
    ) -> None:
        """Describe the server.

        Args:
            bind: `host:port`; port 0 takes a free one.
            metrics: what `/metrics` shows.
            readiness: returns `READY`, or in a few words why the node takes no work.
        """
        self._bind = bind
        self._metrics = metrics
        self._readiness = readiness
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Start to serve and return the port.

        Raises:
            PeerUnreachable: the address cannot be bound.
        """
        app = web.Application()
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/healthz", self._show_health)
        app.router.add_get("/readyz", self._show_readiness)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        host, _, port = self._bind.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            await runner.cleanup()
            raise PeerUnreachable(
                peer=f"metrics address {self._bind}",
                got=type(error).__name__,
                hint="choose another [metrics] bind in node.toml",
            ) from error
        self._runner = runner
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop to serve."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        found = self._metrics.exposition()
        body = await found if inspect.isawaitable(found) else found
        return web.Response(body=body, headers={"Content-Type": METRICS_TYPE})

    async def _show_health(self, _request: web.Request) -> web.Response:
        return web.json_response({"state": "alive"})

    async def _show_readiness(self, _request: web.Request) -> web.Response:
        reason = await self._readiness()
        if reason == READY:
            return web.json_response({"state": "ready"})
        return web.json_response({"state": "not ready", "reason": reason}, status=503)
